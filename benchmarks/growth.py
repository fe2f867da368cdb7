"""How time and memory of prediction grow with the scan, and time of preprocessing with the number of cases.

    python -m benchmarks.growth            # stops after the first scan that takes two minutes
    python -m benchmarks.growth --largest  # up to 512 x 512 x 600 voxels, however long it takes
    python -m benchmarks.growth --draw     # draws what was measured

Scans are noise. Writes `benchmarks/growth.json`, two pictures and a table into `docs/`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.commands import Command, darnet_command
from benchmarks.models import plans_of, write_model, write_scan
from benchmarks.pairs import machine, use_threads
from benchmarks.tables import replace_between
from darnet.training.pictures import new_figure, save_figure

SIZES = ((64, 64, 64), (128, 128, 128), (256, 256, 100), (256, 256, 256), (512, 512, 200), (512, 512, 600))
SCAN_SPACING = (0.75, 0.75, 1.0)  # mm (i, j, k)
PLANNED = (4.0, 3.0, 3.0)  # mm (D, H, W): about what the preset fast plans for an abdomen
PATCH = (16, 80, 80)
CLASSES = (5, 20)
CASES = (4, 8, 16, 32)
CASE_SIZE = (128, 128, 40)
PROCESSES = 2
LIMIT = 120.0  # seconds of one prediction

HERE = Path(__file__).parent
RESULTS = HERE / "growth.json"
DOCS = HERE.parent / "docs"
PREDICTION, PREPROCESSING = DOCS / "growth_prediction.png", DOCS / "growth_preprocessing.png"

Point = dict[str, float]


def prediction(classes: int, limit: float, threads: int) -> list[Point]:
    """Time and peak memory of darnet_predict, preset fast, for scans of growing size.

    Args:
        classes: Background included.
        limit: Seconds; a prediction that takes longer is the last.
        threads: For the computation.
    """
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_model(folder / "model", plans_of("fast", classes, PLANNED, PATCH))
        for size in SIZES:
            scan = folder / "scan_0000.nii.gz"
            write_scan(scan, size, SCAN_SPACING)
            command = Command(
                [darnet_command("darnet_predict"), "-i", f"{scan}", "-o", f"{folder / 'out'}", "-m",
                 f"{folder / 'model'}", "-device", "cpu", "--quiet"],
                threads,
                before=lambda: shutil.rmtree(folder / "out", ignore_errors=True),
                limit=3600.0,
            )  # fmt: skip
            seconds = command.run()
            points.append({"voxels": float(np.prod(size)), "seconds": seconds, "bytes": command.peaks[-1]})
            print(
                f"prediction, {classes} classes, {size}: {seconds:.1f} s, {command.peaks[-1] / 2**20:.0f} MB",
                flush=True,
            )
            if seconds > limit:
                break
    return points


def preprocessing() -> list[Point]:
    """Time and peak memory of darnet_plan_and_preprocess for growing numbers of cases, half of them labelled."""
    points: list[Point] = []
    with tempfile.TemporaryDirectory() as name:
        root, made = Path(name), 0
        raw = root / "raw" / "Dataset001_Random"
        for cases in CASES:
            for index in range(made, cases):
                _write_case(raw, index)
            made = cases
            command = Command(
                [darnet_command("darnet_plan_and_preprocess"), "-d", "1", "--root", f"{root}", "--preset", "paper",
                 "-np", f"{PROCESSES}", "-device", "cpu", "--quiet"],
                before=lambda: shutil.rmtree(root / "preprocessed", ignore_errors=True),
            )  # fmt: skip
            _describe(raw, cases)
            seconds = command.run()
            points.append({"cases": float(cases), "seconds": seconds, "bytes": command.peaks[-1]})
            print(f"preprocessing, {cases} cases: {seconds:.1f} s, {command.peaks[-1] / 2**20:.0f} MB", flush=True)
    return points


def _write_case(raw: Path, index: int) -> None:
    """A scan of noise: every second one is a source scan with labels."""
    source = index % 2 == 0
    folder = "imagesTr" if source else "imagesTr_target"
    write_scan(raw / folder / f"case_{index:03d}_0000.nii.gz", CASE_SIZE, (1.5, 1.5, 4.0), seed=index)
    if source:
        labels = np.zeros(CASE_SIZE, np.uint8)
        labels[40:80, 40:80, 10:30] = 1
        (raw / "labelsTr").mkdir(exist_ok=True)
        nib.save(nib.Nifti1Image(labels, np.diag([1.5, 1.5, 4.0, 1.0])), raw / "labelsTr" / f"case_{index:03d}.nii.gz")


def _describe(raw: Path, cases: int) -> None:
    values = {
        "name": "Random",
        "channel_names": {"0": "intensity"},
        "labels": {"background": 0, "organ": 1},
        "domains": {"source": "CT", "target": "MR"},
        "numTraining": cases // 2,
        "file_ending": ".nii.gz",
    }
    (raw / "dataset.json").write_text(json.dumps(values))


def draw(results: dict) -> None:
    """Both pictures."""
    _draw(
        PREDICTION,
        {f"{classes} classes": points for classes, points in results["prediction"].items()},
        ("million voxels of the scan", lambda p: p["voxels"] / 1e6),
    )
    _draw(
        PREPROCESSING,
        {f"{PROCESSES} processes": results["preprocessing"]},
        ("cases", lambda p: p["cases"]),
    )


def _draw(path: Path, series: dict[str, list[Point]], x_axis: tuple[str, Callable[[Point], float]]) -> None:
    """Seconds on the left, memory on the right."""
    figure = new_figure(9.0, 3.6)
    values = (("seconds", lambda p: p["seconds"]), ("peak memory, GB", lambda p: p["bytes"] / 2**30))
    for axes, (label, value) in zip(figure.subplots(1, 2), values, strict=True):
        for marker, (name, points) in zip("osx^", series.items(), strict=False):
            axes.plot([x_axis[1](p) for p in points], [value(p) for p in points], marker=marker, label=name)
        axes.set(xlabel=x_axis[0], ylabel=label, xlim=(0, None), ylim=(0, None))
        axes.grid(alpha=0.3)
        axes.legend()
    save_figure(figure, path)


def table(results: dict) -> str:
    """What was measured, as Markdown, with both pictures."""
    lines = [
        f"![Seconds and peak memory of prediction over the voxels of the scan]({PREDICTION.name})",
        "",
        "| Voxels of the scan | Classes | Seconds | Peak memory | More than the smallest, bytes a voxel |",
        "|---|---|---|---|---|",
    ]
    for classes, points in results["prediction"].items():
        for point in points:
            more = (point["bytes"] - points[0]["bytes"]) / point["voxels"]
            lines.append(
                f"| {point['voxels'] / 1e6:.2f} million | {classes} | {point['seconds']:.1f} | "
                f"{point['bytes'] / 2**30:.2f} GB | {more:.1f} |"
            )
    lines += ["", f"![Seconds and peak memory of preprocessing over the number of cases]({PREPROCESSING.name})"]
    lines += ["", "| Cases | Seconds | Peak memory of all processes |", "|---|---|---|"]
    for point in results["preprocessing"]:
        lines.append(f"| {point['cases']:.0f} | {point['seconds']:.1f} | {point['bytes'] / 2**30:.2f} GB |")
    return "\n".join([*lines, "", f"Measured on: {results['machine']}"])


def main() -> None:
    """Measure, draw and write."""
    parser = argparse.ArgumentParser(description="How darnet's time and memory grow.")
    parser.add_argument("--largest", action="store_true", help="all sizes, however long they take")
    parser.add_argument("--draw", action="store_true", help="only draw what growth.json holds")
    parser.add_argument("--threads", type=int, default=2, help="threads of a prediction")
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    if arguments.draw:
        results = json.loads(RESULTS.read_text())
    else:
        limit = float("inf") if arguments.largest else LIMIT
        results = {
            "machine": machine(),
            "prediction": {str(n): prediction(n, limit, arguments.threads) for n in CLASSES},
            "preprocessing": preprocessing(),
        }
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    draw(results)
    replace_between(DOCS / "performance.md", "growth", table(results))


if __name__ == "__main__":
    main()
