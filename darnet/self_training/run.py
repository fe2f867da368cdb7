"""One round of self-training: from a teacher's checkpoint to a student's."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from darnet.io import CaseStore, load_checkpoint, sha256_of, write_json
from darnet.plans import Plans, SegmentationPlan, SelfTrainingPlan
from darnet.self_training.matched import (
    looks_of_targets,
    matched_patches,
    partly_near,
    target_appearances,
)
from darnet.self_training.pseudo_labels import UNKNOWN
from darnet.self_training.trust import class_trust
from darnet.training import RunOptions, SegmentationStep, data_of, fit, load_module, stage_hash, validate
from darnet.training.loaders import MixedLoader, PatchLoader, as_scanned, labelled_patches
from darnet.training.looks import expected_looks, learn_expected, planned_expected, random_tissues
from darnet.training.seeds import generator_for

LEAST_TRUST = 0.5  # in a class; with less it is told
NOT_MATCHED = (
    "round {} has no patches in the appearance of target scans: their background within the body, or that of the "
    "source scans, is too small to be measured. Compare its masks with those of darnet_predict --no_self_training"
)
DOUBTED = (
    "round {}: what was found of {} in target scans is little like the source labels in shape, so little of it is "
    "learned from"
)


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
    former: Sequence[CaseStore] = (),
) -> None:
    """Train the teacher's weights on, with source and translated volumes, in their own appearance and in that of target
    scans, and, from the second round on, pseudo-labelled target scans.

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
        former: Stores of pseudo-labels of the rounds before: what was doubted in one stays doubted.
    """
    train, held_out = fold
    settings = plans.self_training
    plan = dataclasses.replace(plans.segmentation, iterations=settings.iterations, learning_rate=settings.learning_rate)
    of_train = {case: variants[case] for case in train}
    trust = np.ones(plans.num_classes)
    if settings.matched_share or round_number > 1:
        trust = class_trust(plans, labels, pseudo, *former)
    loader = _patches(plans, plan, images, labels, of_train, pseudo, targets, trust, round_number, options.notice)
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
        "seed": plans.seed,
        # Held-out cases tell too what is believed of the pseudo-labels.
        "data": data_of(
            (labels, labels.case_ids()), *((images, of_train[case]) for case in train), (pseudo, sorted(targets))
        ),
    }
    fit(step, plan.iterations, folder, meta, options)
    if held_out:
        write_json(
            folder / "validation.json",
            _validate(plans, step.network, labels, plans.some_of(sorted(held_out)), pseudo, images, variants, options),
        )


def _patches(
    plans: Plans,
    plan: SegmentationPlan,
    images: CaseStore,
    labels: CaseStore,
    variants: Mapping[str, Sequence[str]],
    pseudo: CaseStore,
    targets: Mapping[str, Sequence[str]],
    trust: NDArray[np.float64],
    round_number: int,
    notice: Callable[[str], None],
) -> MixedLoader:
    """Patches of a round, with the augmentation of `plan` and the trust (K,) in each class; other arguments as in
    `train_student`."""
    settings, matched = plans.self_training, None
    if names := [name for name, value in plans.foreground.items() if trust[value] < LEAST_TRUST]:
        notice(DOUBTED.format(round_number, ", ".join(names)))
    if settings.matched_share:
        looks = target_appearances(pseudo, plans.num_classes)
        share = settings.expected_background or 0.0
        expected = learn_expected(plans, labels, list(variants), pseudo) if share else None
        draw = partly_near(expected.background if expected and expected.enough else None, share)
        translated = settings.matched_translated or 0.0
        matched = matched_patches(images, labels, variants, looks, plan, translated, trust, draw)
        if matched is None:
            notice(NOT_MATCHED.format(round_number))
    shares = patch_shares(settings, round_number, matched is not None, float(trust.min()))
    known = (plans, labels, list(variants), pseudo)
    looking = expected_looks(*known[:3], planned_expected(*known)) if shares[0] else None
    loaders = [
        labelled_patches(images, labels, variants, plan, random_tissues(*known), looking),
        PatchLoader(pseudo, pseudo, targets, as_scanned(plan, 0.0)),
        *([] if matched is None else [matched]),
    ]
    return MixedLoader(loaders, shares[: len(loaders)])


def patch_shares(
    settings: SelfTrainingPlan, round_number: int, matched: bool = True, trust: float = 1.0
) -> tuple[float, float, float]:
    """Shares of a round's patches: volumes in their own appearance, target scans, volumes in that of a target scan.

    The first teacher has not learned from target scans: its pseudo-labels are good enough to measure how classes look,
    not to be copied. So target scans come in from the second round on.

    Args:
        settings: The plan's.
        round_number: From 1.
        matched: Whether there are volumes in the appearance of target scans.
        trust: In the pseudo-labels of the class that is trusted least: as much of the share of target scans is drawn.
    """
    target = trust * settings.target_share if round_number > 1 else 0.0
    share = settings.matched_share if matched else 0.0
    return (1.0 - target) * (1.0 - share), target, (1.0 - target) * share


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
    """Dice on held-out source volumes: in the appearance of target scans where the round has such, else translated.

    Volumes are never translated and matched at once, so that settings of `matched_translated` can be compared.
    """
    cases, restyle = looks_of_targets(
        source, source, {case: (case,) for case in held_out}, target_appearances(pseudo, plans.num_classes)
    )
    if restyle is None or not plans.self_training.matched_share:
        return validate(plans, network, translated, source, {c: variants[c] for c in held_out}, options.device)

    def look(case: str, image: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return restyle(case, image, labels, generator_for(plans.seed, f"validation of {case}", 0))

    return validate(plans, network, source, source, cases, options.device, look)
