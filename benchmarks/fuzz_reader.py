"""Thousands of damaged NIfTI files through darnet's reader.

    python -m benchmarks.fuzz_reader --mutations 20000 --seed 0 --report docs/reports/fuzz_reader.json

A mutation changes a sound file: bits, bytes and fields of its header, its voxels, its length, or its gzip stream. The
reader may refuse it with a `DataError`. A *silent error* is a volume that it gives although

* the file, read by an independent oracle (`benchmarks/nifti_oracle.py`: zlib and the NIfTI standard), is no sound
  volume, or
* the oracle's voxels or affine are other ones, or
* the file was changed as gzip: its checksum is then the witness of the voxels, so they must be those of before.

A changed voxel in a plain .nii, or a changed number in its header, leaves no trace in the file: what the oracle reads
is then the truth, and the reader must give just that. Further faults are any other exception or warning, more than
`SECONDS` for a file, and more than `BYTES` of memory.
"""

from __future__ import annotations

import argparse
import gzip
import json
import signal
import sys
import tempfile
import time
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.damage import Rng, mutate_gzip, mutate_plain, sound_file
from benchmarks.nifti_oracle import Volume, decode, unfold
from darnet.errors import DataError
from darnet.io import Scan, read_scan

SECONDS = 5.0
BYTES = 64 << 20
Reader = Callable[..., Scan]


@dataclass
class Report:
    """What a campaign found.

    Attributes:
        outcomes: Number of files by kind of mutation and outcome: "refused", "same" (the volume of before) or
            "changed" (another volume that the file itself tells of).
        faults: What must not be, with the number of the mutation.
        slowest: Seconds of the slowest file.
        largest: Most bytes that one file took.
    """

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    slowest: float = 0.0
    largest: int = 0

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        kinds = sorted({kind for kind, _ in self.outcomes})
        return {
            "faults": self.faults,
            "silent_errors": sum("silent" in fault for fault in self.faults),
            "slowest_seconds": round(self.slowest, 3),
            "largest_bytes": self.largest,
            "outcomes": {
                kind: {o: self.outcomes[kind, o] for o in ("refused", "same", "changed") if self.outcomes[kind, o]}
                for kind in kinds
            },
        }


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeoutError` after so many seconds."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def differs(scan: Scan, truth: Volume, labels: bool) -> str:
    """What the reader gives otherwise than the file says; "" where nothing."""
    if scan.array.shape != truth.array.shape:
        return f"shape {scan.array.shape}, not {truth.array.shape}"
    with np.errstate(all="ignore"):
        expected = np.rint(truth.array) if labels else truth.array.astype(np.float32)
    if not np.array_equal(scan.array.astype(np.float64), expected.astype(np.float64)):
        return "other voxels"
    spacing = np.linalg.norm(truth.affine[:3, :3], axis=0)
    if not np.allclose(scan.spacing, spacing, rtol=1e-4):
        return "another spacing"
    # Three single-precision numbers of a quaternion tell a direction to about 5e-4, whoever reads them.
    turned = np.abs(scan.affine - truth.affine)[:3, :3] / spacing
    moved = np.abs(scan.affine - truth.affine)[:3, 3]
    same = turned.max() < 1e-3 and (moved <= 1e-3 + 1e-6 * np.abs(truth.affine[:3, 3])).all()
    return "" if same or not truth.oriented else "another affine"


def judge(scan: Scan, before: bytes, after: bytes, as_gzip: bool, labels: bool) -> tuple[str, str]:
    """Outcome of a file that was read, and what is wrong with it ("" where nothing).

    Args:
        scan: What the reader gave.
        before: The sound file, uncompressed.
        after: The file that was read.
        as_gzip: Whether the gzip stream was changed, and not what is in it.
        labels: Whether it was read as labels.
    """
    original = decode(before)
    assert original is not None, "the sound file is not sound"
    if as_gzip:
        wrong = differs(scan, original, labels)
        return ("changed", f"silent error: {wrong}") if wrong else ("same", "")
    plain = unfold(after) if scan.path.name.endswith(".gz") else after
    truth = None if plain is None else decode(plain)
    if truth is None:
        return "changed", "silent error: a volume of a file that is none"
    if wrong := differs(scan, truth, labels):
        return "changed", f"silent error: {wrong}"
    return ("changed" if differs(scan, original, labels) else "same"), ""


def run(
    mutations: int, seed: int, reader: Reader = read_scan, progress: Callable[[int], None] = lambda _: None
) -> Report:
    """Put so many damaged files through a reader. The same seed gives the same files."""
    report = Report()
    tracemalloc.start()
    try:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            warnings.simplefilter("error")
            for number in range(mutations):
                _try_one(np.random.default_rng([seed, number]), number, Path(folder), reader, report)
                progress(number)
    finally:
        tracemalloc.stop()
    return report


def _try_one(rng: Rng, number: int, folder: Path, reader: Reader, report: Report) -> None:
    before, labels, way = sound_file(rng), bool(rng.random() < 0.3), rng.random()
    if way < 0.4:
        kind, after = mutate_gzip(gzip.compress(before, 5, mtime=0), rng)
    else:
        kind, after = mutate_plain(before, rng)
        after = after if way < 0.7 else gzip.compress(after, 5, mtime=0)
    path = folder / ("scan.nii" if 0.4 <= way < 0.7 else "scan.nii.gz")
    path.write_bytes(after)
    tracemalloc.reset_peak()
    base, start = tracemalloc.get_traced_memory()[0], time.monotonic()
    outcome, fault = "refused", ""
    try:
        with time_limit(SECONDS):
            scan = reader(path, labels)
    except DataError as error:
        if error.where is None or not (error.remedy or error.expected):
            fault = f"an error without a place or a remedy: {error}"
    except Exception as error:
        outcome, fault = "fault", f"{type(error).__name__}: {error}"
    else:
        outcome, fault = judge(scan, before, after, way < 0.4, labels)
    report.slowest = max(report.slowest, time.monotonic() - start)
    peak = tracemalloc.get_traced_memory()[1] - base
    report.largest = max(report.largest, peak)
    if peak > BYTES:
        fault = fault or f"{peak} bytes of memory"
    report.outcomes[kind, outcome] += 1
    if fault:
        report.faults.append(f"mutation {number} ({kind}): {fault}")


def main() -> int:
    """Run a campaign and write its report."""
    parser = argparse.ArgumentParser(description="Thousands of damaged NIfTI files through darnet's reader.")
    parser.add_argument("--mutations", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--report", type=Path, help="JSON to write")
    args = parser.parse_args()
    start = time.monotonic()

    def show(number: int) -> None:
        if (number + 1) % 1000 == 0:
            print(f"{number + 1} files, {time.monotonic() - start:.0f} s", flush=True)

    report = run(args.mutations, args.seed, progress=show)
    values = {
        "command": f"python -m benchmarks.fuzz_reader --mutations {args.mutations} --seed {args.seed}",
        "mutations": args.mutations,
        "limits": {"seconds": SECONDS, "bytes": BYTES},
        **report.to_json(),
    }
    text = json.dumps(values, indent=2)
    print(text)
    if args.report:
        args.report.parent.mkdir(parents=True, exist_ok=True)
        args.report.write_text(text + "\n", encoding="utf-8")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
