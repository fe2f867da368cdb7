"""Which networks of a results folder are predicted with."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from darnet.errors import ConfigurationError
from darnet.io import load_checkpoint, read_json, read_meta, sha256_of
from darnet.networks import build_segmentation
from darnet.plans import Plans
from darnet.training.run import CHECKPOINT
from darnet.training.stages import stage_hash, stage_iterations
from darnet.training.state import load_module

SEGMENTATION = "segmentation"
SELF_TRAINING = "self_training"
CHOICE = "choice.json"
NO_PLAN = (
    "train a fold first; beside networks that are there darnet_train with --continue writes the plan again, and a "
    "model that was imported is imported again"
)


def segmentation_checkpoint(folder: Path, fold: str) -> Path:
    """Checkpoint of a fold before any self-training."""
    return folder / SEGMENTATION / f"fold_{fold}" / CHECKPOINT


def candidates(folder: Path, fold: str, plans: Plans, notice: Callable[[str], None] = warnings.warn) -> dict[str, Path]:
    """Checkpoints of a fold that may be predicted with, in the order of training: the one before any self-training,
    "segmentation", and those of finished rounds, "round_1", "round_2", ...

    A round that began from other weights than those before it, and all after it, are left out, which is said: they are
    of another training."""
    rounds: dict[int, Path] = {}
    for path in (folder / SELF_TRAINING).glob(f"round_*/fold_{fold}/{CHECKPOINT}"):
        number = path.parents[1].name.removeprefix("round_")
        if number.isdecimal() and is_finished(path, plans):
            rounds[int(number)] = path
    first = segmentation_checkpoint(folder, fold)
    found = {SEGMENTATION: first}
    before: tuple[int, Path] = 0, first
    for round_number in sorted(rounds):
        teacher = read_meta(rounds[round_number]).get("teacher")
        if round_number == before[0] + 1 and teacher is not None and teacher != sha256_of(before[1]):
            notice(
                f"round {round_number} of fold {fold} and those after it are left out: they did not begin from "
                f"{before[1]} as it is now. Put back the file that they began from, or move "
                f"{rounds[round_number].parent} away and go on with darnet_train --continue"
            )
            break
        found[f"round_{round_number}"] = rounds[round_number]
        before = round_number, rounds[round_number]
    return found


def last_checkpoint(folder: Path, fold: str, plans: Plans, notice: Callable[[str], None] = warnings.warn) -> Path:
    """Checkpoint of a fold's last finished round of self-training, or the one before any."""
    return list(candidates(folder, fold, plans, notice).values())[-1]


def chosen_checkpoint(folder: Path, fold: str, plans: Plans, notice: Callable[[str], None] = warnings.warn) -> Path:
    """Checkpoint of a fold that `choice.json` names: the one that did best without a label of a target scan.

    Where there is no choice between just these networks, the last one is taken, and that is said.

    Raises:
        ConfigurationError: `choice.json` cannot be read.
    """
    paths = candidates(folder, fold, plans, notice)
    if len(paths) == 1:
        return paths[SEGMENTATION]
    values = read_json(folder / CHOICE) if (folder / CHOICE).exists() else {}
    try:
        entry = values["folds"][fold]
        compared = {name: found["checkpoint"] for name, found in entry["candidates"].items()}
        chosen = entry["chosen"]
    except (KeyError, TypeError, AttributeError):
        compared, chosen = {}, None
    if chosen in paths and compared == {name: sha256_of(path) for name, path in paths.items()}:
        return paths[chosen]
    notice(
        f"there is no choice between the networks of fold {fold} in {folder / CHOICE}; the last round is taken. "
        "darnet_train --continue chooses"
    )
    return list(paths.values())[-1]


def checkpoint_of(
    folder: Path,
    fold: str,
    plans: Plans,
    self_trained: bool = True,
    chosen: bool | None = None,
    notice: Callable[[str], None] = warnings.warn,
) -> Path:
    """Checkpoint of a fold that is predicted with; arguments as in `Predictor.from_results`."""
    if not self_trained:
        return segmentation_checkpoint(folder, fold)
    if plans.self_training.choose if chosen is None else chosen:
        return chosen_checkpoint(folder, fold, plans, notice)
    return last_checkpoint(folder, fold, plans, notice)


def is_finished(path: Path, plans: Plans) -> bool:
    """Whether a checkpoint has done all iterations of its plan."""
    done, planned = iterations_of(path, plans)
    return done >= planned


def iterations_of(path: Path, plans: Plans) -> tuple[int, int]:
    """Iterations that a checkpoint has done, and that its plan has."""
    meta = read_meta(path)
    planned = stage_iterations(plans, meta.get("stage", SEGMENTATION))
    return iterations_done(meta, planned, path), planned


def leave_out_unfinished(folder: Path, folds: list[str], plans: Plans, notice: Callable[[str], None]) -> list[str]:
    """Folds trained to their end; all of them where none is."""
    finished = [fold for fold in folds if is_finished(segmentation_checkpoint(folder, fold), plans)]
    left_out = [fold for fold in folds if fold not in finished]
    if finished and left_out:
        notice(f"fold {', '.join(left_out)} is not trained to its end and left out; -f takes it all the same")
    return finished or folds


def trained_folds(folder: Path) -> list[str]:
    """Names of the folds that have a checkpoint, sorted.

    Raises:
        ConfigurationError: There is none.
    """
    names = (p.parent.name.removeprefix("fold_") for p in (folder / SEGMENTATION).glob(f"fold_*/{CHECKPOINT}"))
    found = sorted(name for name in names if name == "all" or name.isdecimal())
    if not found:
        raise ConfigurationError(
            "there is no trained network",
            where=folder / SEGMENTATION,
            found="no fold with a checkpoint" if folder.is_dir() else "no such folder",
            expected=f"fold_0/{CHECKPOINT}",
            remedy="train with darnet_train, or wait until it is done; or name a trained data set with -d, or its "
            "folder below results with -m",
        )
    return found


def choose_folds(folder: Path, folds: Sequence[int | str] | str | None) -> list[str]:
    """Names of the folds to average; `folds` as in `Predictor.from_results`.

    Raises:
        ConfigurationError: A fold is not trained, or none is.
    """
    there = trained_folds(folder)
    if folds is None or (folds == "all" and "all" not in there):
        return there
    chosen = [folds] if isinstance(folds, str) else list(dict.fromkeys(str(fold) for fold in folds))
    missing = [fold for fold in chosen if fold not in there]
    if missing or not chosen:
        raise ConfigurationError(
            f"fold {', '.join(missing)} is not trained" if missing else "no fold is chosen",
            where=folder / SEGMENTATION,
            found="trained folds: " + ", ".join(there),
            remedy="choose a trained fold with -f, or train it with darnet_train",
        )
    return chosen


def load_network(path: Path, plans: Plans, notice: Callable[[str], None] = warnings.warn) -> nn.Module:
    """Build the network of a plan and fill it from a checkpoint of that plan.

    Raises:
        ConfigurationError: No such checkpoint, or one of another plan.
    """
    tensors, meta = load_checkpoint(path, notice=notice)
    stage = meta.get("stage", SEGMENTATION)
    length = stage_iterations(plans, stage)
    wanted = {"dataset": plans.dataset, "labels": plans.labels, "plan": stage_hash(plans, stage)}
    for key, expected in wanted.items():
        if meta.get(key, expected) != expected:
            raise ConfigurationError(
                f"the checkpoint was trained with another {key}",
                where=path,
                found=meta[key],
                expected=expected,
                remedy="use the checkpoint with the plan that lies beside it",
            )
    done = iterations_done(meta, length, path)
    if done < length:
        notice(f"{path}: trained for {done} of {length} iterations; darnet_train --continue goes on")
    # Without memory first: a plan may ask for any size, and the file has only so many weights.
    with torch.device("meta"):
        network = build_segmentation(plans.segmentation, plans.num_classes)
    load_module("network", network, tensors, assign=True)
    return network


def iterations_done(meta: dict[str, Any], otherwise: int, path: Path) -> int:
    """Iterations that the record of a checkpoint tells of.

    Raises:
        ConfigurationError: It tells of no number.
    """
    done = meta.get("iteration", otherwise)
    if type(done) is not int:
        raise ConfigurationError(
            "the record of a checkpoint has a wrong value for iteration",
            where=path,
            found=repr(done),
            expected="a whole number",
            remedy="use a checkpoint that darnet wrote",
        )
    return done
