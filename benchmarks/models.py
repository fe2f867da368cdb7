"""Untrained networks and random scans as files, for rows that measure how long prediction takes and not how well."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from darnet.allocator import freed_memory_kept
from darnet.io import save_checkpoint, write_json
from darnet.networks import build_segmentation
from darnet.planning import find_preset
from darnet.planning.topology import determine_strides
from darnet.plans import (
    DomainPlan,
    InferencePlan,
    IntensityPlan,
    Plans,
    PreprocessingPlan,
    SegmentationPlan,
    SelfTrainingPlan,
    SynthesisPlan,
    TranslationPlan,
)
from darnet.training import CHECKPOINT, stage_hash
from darnet.training.state import module_tensors

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]


_OPEN = contextlib.ExitStack()  # a block that nobody holds would end at once


def keep_freed_memory() -> None:
    """What prediction and synthesis do on a CPU, for as long as this process runs."""
    _OPEN.enter_context(freed_memory_kept())


def plans_of(preset: str, classes: int, spacing: Spacing, patch_size: Shape) -> Plans:
    """A plan with a preset's widths.

    Args:
        preset: "paper" or "fast".
        classes: Background included.
        spacing: Planned, mm (D, H, W).
        patch_size: Voxels (D, H, W).
    """
    rule = IntensityPlan("percentile", 0.5, 99.5)
    strides, _ = determine_strides(spacing, patch_size[0])
    return Plans(
        dataset="Dataset001_Random",
        preset=preset,
        labels={"background": 0, **{f"organ_{n}": n for n in range(1, classes)}},
        source=DomainPlan("CT", rule),
        target=DomainPlan("MR", rule),
        preprocessing=PreprocessingPlan(spacing, "S", spacing[0] >= 1.5 * spacing[1], None),
        translation=TranslationPlan(slice_size=(64, 64), width=16),
        synthesis=SynthesisPlan(),
        segmentation=SegmentationPlan(patch_size, 2, find_preset(preset).channels, strides),
        self_training=SelfTrainingPlan(),
        inference=InferencePlan(),
    )


def write_model(folder: Path, plans: Plans) -> None:
    """Write a results folder whose fold 0 is an untrained DAR-UNet that counts as trained to its end."""
    torch.manual_seed(0)
    network = build_segmentation(plans.segmentation, plans.num_classes)
    path = folder / "segmentation" / "fold_0" / CHECKPOINT
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(folder / "plans.json", plans.to_json())
    meta = {
        "dataset": plans.dataset,
        "labels": plans.labels,
        "stage": "segmentation",
        "plan": stage_hash(plans, "segmentation"),
        "iteration": plans.segmentation.iterations,
    }
    save_checkpoint(path, module_tensors("network", network), meta)


def write_scan(path: Path, shape: Sequence[int], spacing: Sequence[float], seed: int = 0) -> None:
    """Write a scan of noise, int16, that fills its field of view, so that no crop makes it smaller.

    Args:
        path: Ends in .nii.gz or .nii.
        shape: Voxels (i, j, k).
        spacing: mm (i, j, k).
        seed: Of the noise.
    """
    rng = np.random.default_rng(seed)
    voxels = np.empty(tuple(shape), np.int16, order="F")
    for plane in range(shape[2]):
        voxels[:, :, plane] = rng.integers(100, 1000, shape[:2], dtype=np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(voxels, np.diag([*spacing, 1.0])), path)
