"""darnet_predict against nnUNetv2_predict, from file to file, each with its own network, untrained.

    python -m benchmarks.prediction

The scan has twice as many voxels along each axis as on the planned grid, as a CT has on a grid that suits MR too.
nnU-Net predicts without mirroring, as darnet does, and in one process: its workers for many scans would only
import everything once more.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from pathlib import Path

from benchmarks.commands import Command, darnet_command, peaks_of
from benchmarks.models import plans_of, write_model, write_scan
from benchmarks.nnunet import nnunet_command, nnunet_environment
from benchmarks.nnunet_model import DATASET, plan_nnunet
from benchmarks.pairs import Row, make_row, run_row, time_pairs

SCAN = (256, 256, 100)  # (i, j, k)
SCAN_SPACING = (1.25, 1.25, 2.5)
PATCH = (32, 128, 128)  # (D, H, W)
SPACING = (5.0, 2.5, 2.5)
CLASSES = 5
STEP = "0.5"


def measure(pairs: int, threads: int, preset: str = "paper") -> Row:
    """Time and memory of the whole command, imports included."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_scan(folder / "scans" / "case_0000.nii.gz", SCAN, SCAN_SPACING)
        write_model(folder / "model", plans_of(preset, CLASSES, SPACING, PATCH))
        with contextlib.closing(plan_nnunet(folder, PATCH, SPACING, CLASSES, threads)) as side:
            side.ask("save", dataset=DATASET)
        out = {side: folder / f"out_{side}" for side in ("darnet", "nnunet")}
        darnet = Command(
            [darnet_command("darnet_predict"), "-i", f"{folder}/scans", "-o", f"{out['darnet']}", "-m",
             f"{folder}/model", "-step_size", STEP, "-device", "cpu", "--quiet"],
            threads,
            before=lambda: shutil.rmtree(out["darnet"], ignore_errors=True),
        )  # fmt: skip
        nnunet = Command(
            [nnunet_command("nnUNetv2_predict"), "-i", f"{folder}/scans", "-o", f"{out['nnunet']}", "-d", "1", "-c",
             "3d_fullres", "-f", "0", "-step_size", STEP, "--disable_tta", "-npp", "0", "-nps", "0", "-device", "cpu",
             "--disable_progress_bar"],
            threads,
            nnunet_environment(folder),
            before=lambda: shutil.rmtree(out["nnunet"], ignore_errors=True),
        )  # fmt: skip
        times = time_pairs(darnet.run, nnunet.run, pairs)
        for path in (out["darnet"] / "case.nii.gz", out["nnunet"] / "case.nii.gz"):
            if not path.exists():
                raise FileNotFoundError(f"a side has not written {path.name}")
    return make_row(
        f"prediction of a scan of {' x '.join(map(str, SCAN))} from file to file, preset `{preset}`",
        "`nnUNetv2_predict` without mirroring, in one process",
        times,
        target=0.5,
        memory=peaks_of(darnet, nnunet),
        memory_target=0.5,
        note=f"memory of all processes, imports included; patches of {' x '.join(map(str, PATCH))} at steps of half",
    )


if __name__ == "__main__":
    run_row(measure)
