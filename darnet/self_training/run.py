"""One round of self-training: from a teacher's checkpoint to a student's."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from darnet.io import CaseStore, load_checkpoint, sha256_of, write_json
from darnet.plans import Plans
from darnet.self_training.pseudo_labels import UNKNOWN
from darnet.training import RunOptions, SegmentationStep, data_of, fit, load_module, stage_hash, validate
from darnet.training.loaders import MixedLoader, PatchLoader, labelled_patches


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
    """Train the teacher's weights on, with translated source volumes and pseudo-labelled target scans.

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
    # The borders of pseudo-labels are not those of organs: gains of single classes would draw false ones.
    on_targets = dataclasses.replace(plan, class_gain=0.0)
    loader = MixedLoader(
        (
            labelled_patches(images, labels, {case: variants[case] for case in train}, plan),
            PatchLoader(pseudo, pseudo, targets, on_targets),
        ),
        (1.0 - settings.target_share, settings.target_share),
    )
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
        summary = validate(plans, step.network, images, labels, {c: variants[c] for c in held_out}, options.device)
        write_json(folder / "validation.json", summary)
