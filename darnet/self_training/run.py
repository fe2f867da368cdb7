"""One round of self-training: from a teacher's checkpoint to a student's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from darnet.augmentation import Appearance, draw_curve, fill_unseen, match_appearance, measure_appearance
from darnet.io import CaseStore, load_checkpoint, sha256_of, write_json
from darnet.plans import Plans, SegmentationPlan, SelfTrainingPlan
from darnet.self_training.pseudo_labels import UNKNOWN
from darnet.training import RunOptions, SegmentationStep, data_of, fit, load_module, stage_hash, validate
from darnet.training.loaders import MixedLoader, PatchLoader, Restyle, labelled_patches
from darnet.training.seeds import generator_for

MATCHED_GAIN = 0.3  # of the gains of single classes: pseudo-labels tell their intensities only roughly


def train_student(
    plans: Plans,
    teacher: Path,
    images: CaseStore,
    labels: CaseStore,
    variants: Mapping[str, Sequence[str]],
    pseudo: CaseStore,
    targets: Mapping[str, Sequence[str]],
    fold: tuple[Sequence[str], Sequence[str]],
    fold_name: str,
    round_number: int,
    folder: Path,
    options: RunOptions,
) -> None:
    """Train the teacher's weights on, with translated source volumes, source volumes in the appearance of target scans
    and, from the second round on, pseudo-labelled target scans.

    Args:
        plans: The plan.
        teacher: Checkpoint to start from.
        images: Store of translated source volumes.
        labels: Store of their labels.
        variants: Source case -> names under which `images` holds it.
        pseudo: Store of target scans with pseudo-labels.
        targets: Target case -> names under which `pseudo` holds it.
        fold: Training and held-out source cases.
        fold_name: 0 to 4, or all.
        round_number: From 1.
        folder: Gets `checkpoint.safetensors`, `log.jsonl`, `progress.png` and `validation.json`.
        options: Device and the like.
    """
    train, held_out = fold
    settings = plans.self_training
    plan = dataclasses.replace(plans.segmentation, iterations=settings.iterations, learning_rate=settings.learning_rate)
    loaders = [
        labelled_patches(images, labels, {case: variants[case] for case in train}, plan),
        PatchLoader(pseudo, pseudo, targets, _as_scanned(plan, 0.0)),
    ]
    matched = matched_patches(labels, train, pseudo, plan, plans.num_classes) if settings.matched_share else None
    shares = patch_shares(settings, round_number, matched is not None)
    if matched is not None:
        loaders.append(matched)
    loader = MixedLoader(loaders, shares[: len(loaders)])
    stage = f"self-training round {round_number} fold {fold_name}"
    step = SegmentationStep(plan, plans.num_classes, loader, options.device, plans.seed, stage, UNKNOWN)
    tensors, _ = load_checkpoint(teacher)
    load_module("network", step.network, tensors)
    meta = {
        "dataset": plans.dataset,
        "stage": "self_training",
        "plan": stage_hash(plans, "self_training"),
        "labels": plans.labels,
        "fold": fold_name,
        "cases": sorted(train),
        "teacher": sha256_of(teacher),
        "data": data_of((labels, train), (pseudo, sorted(targets))),
    }
    fit(step, plan.iterations, folder, meta, options)
    if held_out:
        write_json(
            folder / "validation.json",
            _validate(plans, step.network, labels, plans.some_of(sorted(held_out)), pseudo, images, variants, options),
        )


def patch_shares(settings: SelfTrainingPlan, round_number: int, matched: bool = True) -> tuple[float, float, float]:
    """Shares of the patches of a round: source and translated volumes, target scans, matched source volumes.

    The first teacher has not seen a target scan: its pseudo-labels are good enough to measure how classes look, not to
    be copied. So target scans come in from the second round on.

    Args:
        settings: The plan's.
        round_number: From 1.
        matched: Whether there are source volumes in the appearance of target scans.
    """
    target = settings.target_share if round_number > 1 else 0.0
    share = settings.matched_share if matched else 0.0
    return (1.0 - target) * (1.0 - share), target, (1.0 - target) * share


def _as_scanned(plan: SegmentationPlan, class_gain: float) -> SegmentationPlan:
    """Augmentation of patches that look like target scans already: no made-up contrasts.

    The borders of pseudo-labels are not those of organs, so gains of single classes would draw false ones there.
    """
    return dataclasses.replace(plan, appearance=0.0, random_convolution=0.0, class_gain=class_gain)


def matched_patches(
    source: CaseStore, cases: Sequence[str], pseudo: CaseStore, plan: SegmentationPlan, num_classes: int
) -> PatchLoader | None:
    """Patches of source volumes, each in the appearance of a random target scan.

    Args:
        source: Store of the source volumes and their labels.
        cases: Source cases to take.
        pseudo: Store of target scans with pseudo-labels.
        plan: Patches and augmentation.
        num_classes: With background.

    Returns:
        None where no target scan or none of the cases can be measured.
    """
    own, restyle = looks_of_targets(source, cases, pseudo, num_classes)
    if restyle is None:
        return None
    variants = {case: (case,) for case in own}
    return PatchLoader(source, source, variants, _as_scanned(plan, MATCHED_GAIN * plan.class_gain), restyle)


def looks_of_targets(
    source: CaseStore, cases: Sequence[str], pseudo: CaseStore, num_classes: int
) -> tuple[tuple[str, ...], Restyle | None]:
    """The source cases that can be measured, and what shows them as a random target scan does; None without either."""

    def measure(store: CaseStore, names: Sequence[str]) -> dict[str, Appearance]:
        measured = {c: measure_appearance(store.image(c), store.labels(c), num_classes) for c in names}
        return {case: appearance for case, appearance in measured.items() if appearance is not None}

    own, others = measure(source, cases), fill_unseen(list(measure(pseudo, pseudo.case_ids()).values()))

    def restyle(case: str, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return match_appearance(image, labels, own[case], others[rng.integers(len(others))], draw_curve(rng))

    return tuple(own), restyle if own and others else None


def _validate(
    plans: Plans,
    network: nn.Module,
    source: CaseStore,
    held_out: Sequence[str],
    pseudo: CaseStore,
    translated: CaseStore,
    variants: Mapping[str, Sequence[str]],
    options: RunOptions,
) -> dict[str, Any]:
    """Dice on held-out source volumes as the round's patches look: matched to target scans, else translated."""
    cases, restyle = looks_of_targets(source, held_out, pseudo, plans.num_classes)
    if restyle is None or not plans.self_training.matched_share:
        return validate(plans, network, translated, source, {c: variants[c] for c in held_out}, options.device)

    def look(case: str, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return restyle(case, image, labels, generator_for(plans.seed, f"validation of {case}", 0))

    return validate(plans, network, source, source, {c: (c,) for c in cases}, options.device, look)
