"""The two training stages from case stores to checkpoints."""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from darnet.errors import ConfigurationError, ResourceError
from darnet.io import CaseStore, load_checkpoint, read_meta, remove_left_overs, write_json
from darnet.networks import AnyTranslator
from darnet.plans import Plans
from darnet.training.hooks import Checkpoint, JsonLinesLog, Periodic, ProgressBar, ProgressPicture
from darnet.training.lines import TensorBoardLog, TrainingLines, tell_start
from darnet.training.loaders import labelled_patches, list_slices, load_slice
from darnet.training.looks import NOT_EXPECTED, expected_looks, planned_expected, random_tissues, record_expected
from darnet.training.loop import Hook, TrainingStep, run_training
from darnet.training.pictures import draw_grid
from darnet.training.segmentation import SegmentationStep
from darnet.training.stages import stage_hash
from darnet.training.state import load_module
from darnet.training.translators import blank_translator, translation_step
from darnet.training.validation import validate

CHECKPOINT = "checkpoint.safetensors"
EXPECTED = "expected.json"
CHECKPOINTS_A_RUN = 20
PICTURES_A_RUN = 10
LINES_A_RUN = 50
PREVIEW_SLICES = 2


@dataclass(frozen=True)
class RunOptions:
    """What a run may choose beside the plan.

    Attributes:
        device: Where to compute.
        resume: Go on from the checkpoint, which must be there.
        quiet: No progress bar and no lines.
        log_every: Iterations a line of the log.
        tensorboard: Write events for TensorBoard.
        notice: Gets a sentence where something is not as it was.
    """

    device: torch.device
    resume: bool = False
    quiet: bool = False
    log_every: int = 10
    tensorboard: bool = False
    notice: Callable[[str], None] = warnings.warn


def _resume_point(folder: Path, step: TrainingStep, meta: Mapping[str, Any], options: RunOptions) -> int:
    """Load the checkpoint into the step and tell how many iterations are done.

    Raises:
        ConfigurationError: To continue without a checkpoint, from another plan, or to start over a finished one.
    """
    path = folder / CHECKPOINT
    if not options.resume:
        if path.exists():
            raise ConfigurationError(
                "there is a checkpoint already",
                where=path,
                remedy="use --continue to go on from it, or move the folder away to start afresh",
            )
        return 0
    tensors, found = load_checkpoint(path, options.notice)
    _refuse_another(path, found, {key: meta.get(key) for key in ("dataset", "stage", "plan", "teacher", "cases")})
    if "seed" in found and int(found["iteration"]) < int(meta["iterations"]):
        _refuse_another(path, found, {"seed": meta.get("seed")})
    _compare_data(path, found, meta, options)
    step.load(tensors)
    return int(found["iteration"])


def _refuse_another(path: Path, found: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for key, value in expected.items():
        if found.get(key) != value:
            raise ConfigurationError(
                f"the checkpoint is of {'other' if key == 'cases' else 'another'} {key}",
                where=path,
                found=found.get(key),
                expected=value,
                remedy=f"put back the {'seed' if key == 'seed' else 'plan and the cases'} of its training, or move the "
                "folder away to start afresh",
            )


def require_teacher(path: Path, iterations: int, cases: Sequence[str]) -> None:
    """Notice before a round that the network to start from is half trained, or has seen held-out cases.

    Args:
        path: Its checkpoint.
        iterations: Those of its whole training.
        cases: Training cases of the fold.

    Raises:
        ConfigurationError: It is so.
    """
    found = read_meta(path)
    if int(found["iteration"]) < iterations:
        raise ConfigurationError(
            "the network to start from is not trained to its end",
            where=path,
            found=f"{found['iteration']} iterations",
            expected=iterations,
            remedy="run darnet_train without --stage and with --continue",
        )
    _refuse_another(path, found, {"cases": sorted(cases)})


def _compare_data(path: Path, found: Mapping[str, Any], meta: Mapping[str, Any], options: RunOptions) -> None:
    """Weights that are half trained are not gone on with on other voxels; those that are done are used, and it is said.

    Raises:
        ConfigurationError: Cases have changed since the training began, and it is not done.
    """
    before, now = found.get("data", {}), meta.get("data", {})
    # A checkpoint may be older than the hashes of one of its stores: nothing is known of that one.
    known = {case.partition("/")[0] for case in before}
    either = (case for case in set(before) | set(now) if case.partition("/")[0] in known)
    changed = sorted(case for case in either if before.get(case) != now.get(case))
    if not changed:
        return
    if int(found["iteration"]) < int(meta["iterations"]):
        raise ConfigurationError(
            "cases have changed since the training of this checkpoint began",
            where=path,
            found=f"changed, new or gone: {', '.join(changed)}",
            remedy="put back their files (and most_scans in plans.json, if that was changed), or move the folder away "
            "to start afresh",
        )
    options.notice(f"{path} was trained before these cases changed: {', '.join(changed)}; move it away to train again")


def data_of(*stores: tuple[CaseStore, Sequence[str]]) -> dict[str, str]:
    """Hash of each case that a training sees, for its checkpoint. Stores are told apart by their folders' names."""
    return {
        f"{store.folder.name}/{case}": store.record(case).content_hash[:16] for store, cases in stores for case in cases
    }


def _drop_log_after(log: Path, iteration: int) -> None:
    """Forget log lines of iterations that will be done again. What cannot be read or written is left to the hook."""
    from darnet.io import atomic_write
    from darnet.training.hooks import read_log

    with contextlib.suppress(OSError, ResourceError):
        if log.exists():
            rows = [row for row in read_log(log) if row["iteration"] <= iteration]
            atomic_write(log, "".join(json.dumps(row) + "\n" for row in rows))


def fit(
    step: TrainingStep,
    iterations: int,
    folder: Path,
    meta: dict[str, Any],
    options: RunOptions,
    extra: Sequence[Hook] = (),
    begin: Callable[[], None] = lambda: None,
) -> None:
    """Train a step to its end, or go on with it.

    Args:
        step: What an iteration does.
        iterations: How many to do in all.
        folder: Gets `checkpoint.safetensors`, `log.jsonl` and `progress.png`.
        meta: Goes into the checkpoint; "dataset", "stage", "plan", "teacher" and "cases" must be the same to go on, and
            "seed" and "data" where the training is not done.
        options: Resume and the like.
        extra: Further hooks.
        begin: Called before the first iteration, if there is one to do.

    Raises:
        ConfigurationError: A checkpoint that cannot be gone on with, or one that is in the way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    remove_left_overs(folder)
    meta = {**meta, "iterations": iterations}
    start = _resume_point(folder, step, meta, options)
    if not options.quiet:
        tell_start(step.stage, start, iterations)
    log = folder / "log.jsonl"
    _drop_log_after(log, start)
    if start >= iterations:
        return
    begin()
    every = max(iterations // PICTURES_A_RUN, 1)
    hooks: list[Hook] = [
        JsonLinesLog(log, step.stage, options.log_every),
        ProgressBar(step.stage, iterations, start, options.quiet),
        ProgressPicture(log, folder / "progress.png", every),
        *extra,
        *_told(step, iterations, folder, options, start),
        # Last: what a crash between two hooks leaves out is done again.
        Checkpoint(folder / CHECKPOINT, step, meta, max(iterations // CHECKPOINTS_A_RUN, 1)),
    ]
    run_training(step, iterations, hooks, start)


def _told(step: TrainingStep, iterations: int, folder: Path, options: RunOptions, start: int) -> list[Hook]:
    """What tells of a training while it runs, as far as it is asked for."""
    hooks: list[Hook] = []
    if not options.quiet:
        every = max(iterations // LINES_A_RUN, 1)
        hooks.append(TrainingLines(step.stage, iterations, options.device, every, start))
    if options.tensorboard:
        hooks.append(TensorBoardLog(folder / "tensorboard", options.log_every, start))
    return hooks


def train_translation(
    plans: Plans, source: CaseStore, target: CaseStore, folder: Path, options: RunOptions
) -> AnyTranslator:
    """Train the translator, or go on, and give back the weights to translate with.

    Leaves `checkpoint.safetensors`, `log.jsonl`, `progress.png` and `previews/` in `folder`.
    """
    plan = plans.translation
    fraction = plans.synthesis.minimum_foreground
    tables = [list_slices(store, fraction) for store in (source, target)]
    if plan.method == "disentangled":
        _refuse_few_slices(plans, target, len(tables[1]))
    both = (source, tables[0]), (target, tables[1])
    step = translation_step(plan, plans.num_classes, *both, options.device, plans.seed)
    samples = []
    for store, table in both:
        picks = np.linspace(0, len(table) - 1, PREVIEW_SLICES + 2).astype(int)[1:-1]
        slices = [load_slice(store, table.cases[i], table.indices[i], plan.slice_size) for i in picks]
        samples.append(torch.from_numpy(np.stack(slices))[:, None])
    side = [plans.source.modality] * PREVIEW_SLICES + [plans.target.modality] * PREVIEW_SLICES

    def preview(iteration: int) -> None:
        (folder / "previews").mkdir(exist_ok=True)
        rows = step.preview(samples[0], samples[1])
        titles = ("input", "reconstruction", "translation", "cycle")
        draw_grid(rows, titles, folder / "previews" / f"{iteration:06d}.png", side)

    meta = {
        "dataset": plans.dataset,
        "stage": "translation",
        "plan": stage_hash(plans, "translation"),
        "seed": plans.seed,
        "data": data_of((source, source.case_ids()), (target, target.case_ids())),
    }
    extra = [Periodic(preview, max(plan.iterations // PICTURES_A_RUN, 1))]
    fit(step, plan.iterations, folder, meta, options, extra)
    return step.trained()


def _refuse_few_slices(plans: Plans, target: CaseStore, slices: int) -> None:
    """Notice before hours of training that there cannot be as many target styles as clusters."""
    wanted = plans.synthesis.number_of_styles
    if slices < wanted:
        raise ConfigurationError(
            "there are fewer target slices than style clusters",
            where=target.folder,
            found=f"{slices} slices with enough foreground",
            expected=f"at least {wanted}",
            remedy="add target scans, or lower synthesis.number_of_styles in plans.json",
        )


def load_translator(plans: Plans, folder: Path, device: torch.device) -> tuple[AnyTranslator, int]:
    """The translator of a checkpoint, and the iterations it has done.

    Raises:
        ConfigurationError: There is no checkpoint, or it is of another data set, stage or plan.
    """
    tensors, meta = load_checkpoint(folder / CHECKPOINT)
    _refuse_another(
        folder / CHECKPOINT,
        meta,
        {"dataset": plans.dataset, "stage": "translation", "plan": stage_hash(plans, "translation")},
    )
    translator, prefix = blank_translator(plans.translation)
    load_module(prefix, translator.to(device), tensors)
    return translator.eval(), int(meta["iteration"])


def train_segmentation(
    plans: Plans,
    images: CaseStore,
    labels: CaseStore,
    variants: Mapping[str, Sequence[str]],
    fold: tuple[Sequence[str], Sequence[str]],
    fold_name: str,
    folder: Path,
    options: RunOptions,
    target: CaseStore | None = None,
) -> None:
    """Train the DAR-UNet of one fold, or go on, then validate it on the held-out source cases.

    Args:
        plans: The plan.
        images: Store of the images to learn on.
        labels: Store of their labels.
        variants: Case -> names under which `images` holds it, one a style.
        fold: Training and held-out cases.
        fold_name: 0 to 4, or all.
        folder: Gets `checkpoint.safetensors`, `log.jsonl`, `progress.png`, `validation.json` and, where the plan has
            expected appearances, `expected.json`.
        options: Device and the like.
        target: Store of target scans, of which random tissues and expected appearances are learned; None for neither.
    """
    train, held_out = fold
    restyle = random_tissues(plans, labels, train, target)
    expected = planned_expected(plans, labels, train, target)
    if expected is not None and not expected.enough:
        options.notice(NOT_EXPECTED)
    of_train = {case: variants[case] for case in train}
    looking = expected_looks(plans, labels, train, expected)
    loader = labelled_patches(images, labels, of_train, plans.segmentation, restyle, looking)
    stage = f"segmentation fold {fold_name}"
    step = SegmentationStep(plans.segmentation, plans.num_classes, loader, options.device, plans.seed, stage)
    looked = plans.segmentation.random_tissues or plans.segmentation.expected_appearance
    looked = looked and plans.segmentation.source_share
    shown = [(target, plans.some_of(target.case_ids()))] if target is not None and looked else []
    meta = {
        "dataset": plans.dataset,
        "stage": "segmentation",
        "plan": stage_hash(plans, "segmentation"),
        "labels": plans.labels,
        "fold": fold_name,
        "cases": sorted(train),
        "seed": plans.seed,
        "data": data_of((labels, train), *((images, variants[case]) for case in train), *shown),
    }
    record = partial(record_expected, folder / EXPECTED, expected, plans.foreground)
    fit(step, plans.segmentation.iterations, folder, meta, options, begin=record)
    if held_out:
        some = {case: variants[case] for case in plans.some_of(sorted(held_out))}
        summary = validate(plans, step.network, images, labels, some, options.device)
        write_json(folder / "validation.json", summary)
