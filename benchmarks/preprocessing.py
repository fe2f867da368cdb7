"""darnet_plan_and_preprocess against nnUNetv2_plan_and_preprocess on the same real scans, from raw files to cases.

    python -m benchmarks.preprocessing

Both use two processes and the spacing that darnet has planned. nnU-Net gets the target scans with empty labels, for it
takes no scan without. Only the training scans are copied; test scans and their labels are not looked at.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.commands import Command, darnet_command, peaks_of
from benchmarks.nnunet import nnunet_command, nnunet_environment
from benchmarks.nnunet_model import describe_for_nnunet
from benchmarks.pairs import Row, Skipped, make_row, run_row, time_pairs

DATASET = "Dataset102_AbdomenNative"
PROCESSES = 2
# Real scans are no part of darnet: DARNET_BENCH_DATA says where they lie, else they are sought beside the repository.
DATA = Path(os.environ.get("DARNET_BENCH_DATA", Path(__file__).parents[2] / "shared" / "data"))


def measure(pairs: int, threads: int) -> Row:
    """Time and memory of the whole command, imports included. Each process computes in one thread.

    Raises:
        Skipped: The scans are not there.
    """
    source = DATA / DATASET
    if not source.is_dir():
        raise Skipped(f"the real scans of {DATASET} are not here; DARNET_BENCH_DATA names their folder")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = copy_scans(source, folder)
        darnet = Command(
            [darnet_command("darnet_plan_and_preprocess"), "-d", "102", "--root", f"{folder}", "--preset", "paper",
             "-np", f"{PROCESSES}", "-device", "cpu", "--quiet"],
            before=lambda: shutil.rmtree(folder / "preprocessed", ignore_errors=True),
        )  # fmt: skip
        darnet.run()
        plans = json.loads((folder / "preprocessed" / DATASET / "plans.json").read_text())
        spacing = [str(s) for s in plans["preprocessing"]["spacing"]]
        nnunet = Command(
            [nnunet_command("nnUNetv2_plan_and_preprocess"), "-d", "102", "-c", "3d_fullres", "-np", f"{PROCESSES}",
             "-npfp", f"{PROCESSES}", "-overwrite_target_spacing", *spacing],
            environment=nnunet_environment(folder),
            before=lambda: shutil.rmtree(folder / "nnunet_preprocessed", ignore_errors=True),
        )  # fmt: skip
        times = time_pairs(darnet.run, nnunet.run, pairs)
        check_stored(folder, cases)
    return make_row(
        f"planning and preprocessing of {DATASET}, {cases} scans, {PROCESSES} processes",
        "`nnUNetv2_plan_and_preprocess`, same spacing",
        times,
        target=0.33,
        memory=peaks_of(darnet, nnunet),
        memory_target=0.5,
        note="memory of all processes, imports included",
    )


def copy_scans(source: Path, folder: Path) -> int:
    """Copy the training scans into darnet's and nnU-Net's layouts; gives their number."""
    raw, theirs = folder / "raw" / DATASET, folder / "nnunet_raw" / DATASET
    raw.mkdir(parents=True)
    shutil.copy(source / "dataset.json", raw)
    for part in ("imagesTr", "labelsTr", "imagesTr_target"):
        shutil.copytree(source / part, raw / part)
    for part in ("imagesTr", "labelsTr"):
        shutil.copytree(source / part, theirs / part)
    for path in sorted((source / "imagesTr_target").glob("*_0000.nii.gz")):
        shutil.copy(path, theirs / "imagesTr")
        image = nib.load(path)
        empty = nib.Nifti1Image(np.zeros(image.shape, np.uint8), image.affine, image.header, dtype=np.uint8)
        nib.save(empty, theirs / "labelsTr" / path.name.replace("_0000", ""))
    cases = len(list((theirs / "labelsTr").iterdir()))
    describe_for_nnunet(theirs, json.loads((source / "dataset.json").read_text())["labels"], cases)
    return cases


def check_stored(folder: Path, cases: int) -> None:
    """See that both sides have stored all cases.

    Raises:
        FileNotFoundError: They have not.
    """
    own = len(list((folder / "preprocessed" / DATASET).glob("*/*_image.b2nd")))
    theirs = len(list((folder / "nnunet_preprocessed" / DATASET / "nnUNetPlans_3d_fullres").glob("*.pkl")))
    if not own == theirs == cases:
        raise FileNotFoundError(f"of {cases} cases darnet has stored {own} and nnU-Net {theirs}")


if __name__ == "__main__":
    run_row(measure)
