"""A data set of noise for nnU-Net, from which it plans its own network for a patch of a given size."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.commands import Command
from benchmarks.models import Shape, Spacing, write_scan
from benchmarks.nnunet import NNUNetSide, nnunet_command, nnunet_environment
from benchmarks.pairs import Skipped

DATASET = "Dataset001_Random"


def plan_nnunet(folder: Path, patch_size: Shape, spacing: Spacing, classes: int, threads: int) -> NNUNetSide:
    """Let nnU-Net plan for scans as large as the patch; the network it plans is built in the side that is given back.

    Args:
        folder: For its data.
        patch_size: Voxels (D, H, W).
        spacing: mm (D, H, W).
        classes: Background included.
        threads: Of the side.

    Raises:
        Skipped: nnU-Net plans another patch or spacing for such scans.
    """
    raw = folder / "nnunet_raw" / DATASET
    (raw / "labelsTr").mkdir(parents=True)
    labels = np.arange(int(np.prod(patch_size)), dtype=np.uint8).reshape(patch_size[::-1]) % classes
    for case in ("a", "b"):
        write_scan(raw / "imagesTr" / f"{case}_0000.nii.gz", patch_size[::-1], spacing[::-1], seed=ord(case))
        image = nib.Nifti1Image(labels.astype(np.uint8), np.diag([*spacing[::-1], 1.0]))
        nib.save(image, raw / "labelsTr" / f"{case}.nii.gz")
    names = {"background": 0, **{f"organ_{n}": n for n in range(1, classes)}}
    describe_for_nnunet(raw, names, 2)
    plan = [nnunet_command("nnUNetv2_plan_and_preprocess"), "-d", "1", "-npfp", "1", "--no_pp"]
    Command(plan, threads, nnunet_environment(folder)).run()
    side = NNUNetSide(folder, threads)
    built = side.ask("build", dataset=DATASET, classes=classes)
    if tuple(built["patch_size"]) != patch_size or not np.allclose(built["spacing"], spacing):
        side.close()
        raise Skipped(f"nnU-Net plans patches of {built['patch_size']} voxels of {built['spacing']} mm")
    return side


def describe_for_nnunet(raw: Path, labels: dict[str, int], cases: int) -> None:
    """Write nnU-Net's dataset.json."""
    values = {
        "channel_names": {"0": "intensity"},
        "labels": labels,
        "numTraining": cases,
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(values))
