"""A trained model into one file that says nothing of the scans it was trained on."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from darnet import __version__
from darnet.errors import ConfigurationError
from darnet.inference import CHOICE, load_network
from darnet.inference.checkpoints import (
    NO_PLAN,
    checkpoint_of,
    choose_folds,
    leave_out_unfinished,
    segmentation_checkpoint,
)
from darnet.io import load_checkpoint, pack_checkpoint, read_json, require_writable, sha256_of
from darnet.io.files import remove_left_over_folders
from darnet.plans import Plans
from darnet.sharing.archive import PLANS, STAGING, write_archive
from darnet.training import CHECKPOINT

# Of a checkpoint's record. The cases of training, and all tensors but the network's, stay behind.
KEPT = ("dataset", "stage", "plan", "labels", "fold", "iteration")
NETWORK = "network."


def export_model(
    results: Path,
    output: Path,
    folds: Sequence[int | str] | str | None = None,
    notice: Callable[[str], None] = warnings.warn,
) -> tuple[list[str], str]:
    """Write the networks of a results folder, and their plan, as one file.

    It holds weights, plan, class names, the name of the data set and how plausible the networks' shapes are; no path,
    no date, no name of a case.

    Args:
        results: A data set's results.
        output: File to write, NAME.zip; it must not be there. Its folder is made where it is missing.
        folds: As in `Predictor.from_results`.
        notice: Gets a sentence where something is done in another way than asked for.

    Returns:
        The folds that were exported, and the SHA-256 of the file.

    Raises:
        ConfigurationError: No trained network, a damaged one, or a file that is there already.
        DiskFull: There is no room for the file.
    """
    _check_output(output)
    remove_left_over_folders(results.absolute().parent, STAGING)
    chosen = choose_folds(results, folds)
    plans = Plans.read(results / "plans.json", NO_PLAN)
    if folds is None or folds == "all":
        chosen = leave_out_unfinished(results, chosen, plans, notice)
    paths = {}
    for fold in chosen:
        for path in (segmentation_checkpoint(results, fold), checkpoint_of(results, fold, plans, notice=notice)):
            paths[path.relative_to(results).as_posix()] = path
    needed = 0
    for path in paths.values():
        network = load_network(path, plans, notice)  # what cannot be predicted with is not shared
        needed += sum(tensor.nbytes for tensor in network.state_dict().values())
    output.absolute().parent.mkdir(parents=True, exist_ok=True)
    about = {"darnet": __version__, "dataset": plans.dataset}
    return chosen, write_archive(output, _files(results, plans, paths, notice), about, needed)


def _check_output(output: Path) -> None:
    if output.suffix != ".zip":
        raise ConfigurationError(
            "the output is no zip",
            where=output,
            expected="such as model.zip",
            remedy="give -o such a name",
        )
    if os.path.lexists(output):
        raise ConfigurationError("there is such a file", where=output, remedy="give another file with -o")
    require_writable(output.absolute().parent, "give another file with -o")


def _files(
    results: Path, plans: Plans, paths: dict[str, Path], notice: Callable[[str], None]
) -> Iterator[tuple[str, bytes]]:
    """Plan, checkpoints and what is known of their shapes, as they are shared."""
    values = without_reasons(plans.to_json())
    values["self_training"]["choose"] = False  # the choice is made: of each fold no other round is shared
    yield PLANS, _as_bytes(values)
    hashes = {}
    for name, path in sorted(paths.items()):
        tensors, meta = load_checkpoint(path, notice)
        network = {key: tensor for key, tensor in tensors.items() if key.startswith(NETWORK)}
        content = pack_checkpoint(network, {key: meta[key] for key in KEPT if key in meta})
        hashes[name] = hashlib.sha256(content).hexdigest()
        yield name, content
    if folds := shared_choice(results, hashes):
        yield CHOICE, _as_bytes({"folds": folds})


def shared_choice(results: Path, hashes: Mapping[str, str]) -> dict[str, Any]:
    """What `choice.json` tells of shared folds, so that prediction elsewhere warns of doubtful shapes as here.

    Args:
        results: A data set's results.
        hashes: SHA-256 of each shared checkpoint, by its path below `results`.

    Returns:
        Of each fold what was found of its networks, those that stay behind included, and how many scans that was, not
        which; empty where nothing can be read.
    """
    folds = {}
    with contextlib.suppress(ConfigurationError, KeyError, TypeError, AttributeError):
        for fold, entry in read_json(results / CHOICE)["folds"].items():
            if f"segmentation/fold_{fold}/{CHECKPOINT}" not in hashes:
                continue
            found = {}
            for name, values in entry["candidates"].items():
                stage = name if name == "segmentation" else f"self_training/{name}"
                path = f"{stage}/fold_{fold}/{CHECKPOINT}"
                if path in hashes and values["checkpoint"] != sha256_of(results / path):
                    break  # it was said of another network
                numbers = {key: value for key, value in values.items() if not isinstance(value, str)}
                found[name] = {"checkpoint": hashes.get(path, ""), **numbers}
            if len(found) < len(entry["candidates"]):
                continue
            scans = [f"scan {number}" for number in range(1, len(entry["scans"]) + 1)]
            folds[fold] = {"chosen": entry["chosen"], "candidates": found, "usual": entry["usual"], "scans": scans}
    return folds


def _as_bytes(values: Any) -> bytes:
    return (json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode()


def without_reasons(values: Any) -> Any:
    """A plan's JSON without its reasons: they are free text, which may name anything."""
    if isinstance(values, dict):
        return {k: type(v)() if k == "why" else without_reasons(v) for k, v in values.items()}
    return [without_reasons(v) for v in values] if isinstance(values, list) else values
