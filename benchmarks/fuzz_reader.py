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
import struct
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

import nibabel as nib
import numpy as np

from benchmarks.nifti_oracle import FIELDS, Volume, decode, unfold
from darnet.errors import DataError
from darnet.io import Scan, read_scan

SECONDS = 5.0
BYTES = 64 << 20
SHAPES = ((9, 8, 7), (12, 5, 3), (16, 14, 1), (1, 7, 6))
KINDS = ("u1", "i1", "<i2", ">i2", "<u2", "<i4", ">i4", "<f4", ">f4", "<f8", ">f8", "<i8", "<u8")
NUMBERS = (0, 1, -1, 2, 3, 4, 7, 255, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**62, 0.5, 1e-30, 1e30, 348, 352)
STRANGE = (float("nan"), float("inf"), float("-inf"))

Rng = np.random.Generator
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


# Sound files


def sound_file(rng: Rng) -> bytes:
    """A random small NIfTI file, uncompressed: either version, order and type, with and without scaling and forms."""
    kind = np.dtype(str(rng.choice(KINDS)))
    shape = SHAPES[rng.integers(len(SHAPES))]
    noise = rng.integers(0, 100 if kind.itemsize == 1 else 4000, shape)
    array = (noise if rng.random() < 0.6 else noise // 50 * (rng.random(shape) < 0.2)).astype(kind)
    image_class, header_class = (
        (nib.Nifti1Image, nib.Nifti1Header) if rng.random() < 0.75 else (nib.Nifti2Image, nib.Nifti2Header)
    )
    header = header_class(endianness=">" if kind.byteorder == ">" else "<")
    header.set_data_dtype(kind)
    angle = rng.uniform(-0.5, 0.5)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3] = turn * rng.uniform(0.5, 6.0, 3) * rng.choice([-1, 1], 3)
    affine[:3, 3] = rng.uniform(-200, 200, 3)
    image = image_class(array, affine, header, dtype=kind)
    image.set_sform(affine, int(rng.integers(0, 3)))
    image.set_qform(affine, int(rng.integers(0, 3)))
    image.header.set_xyzt_units("mm")
    content = bytearray(image.to_bytes())
    if rng.random() < 0.3:
        size = 348 if image_class is nib.Nifti1Image else 540
        put(content, size, image.header.endianness, "scl_slope", 0, float(rng.choice([2.0, 0.5, -1.0])))
        put(content, size, image.header.endianness, "scl_inter", 0, float(rng.choice([0.0, -1024.0])))
    return bytes(content)


def put(content: bytearray, size: int, order: str, name: str, index: int, value: float) -> None:
    """Overwrite one number of the header; what does not fit is cut to its bits."""
    start, kind, _ = FIELDS[size][name]
    dtype = np.dtype(f"{order}{kind}")
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            raw = np.asarray(value, np.float64).astype(dtype).tobytes()
    else:
        number = int(value) if np.isfinite(value) else 0
        raw = (number % (1 << 8 * dtype.itemsize)).to_bytes(dtype.itemsize, "little" if order == "<" else "big")
    place = start + index * dtype.itemsize
    content[place : place + dtype.itemsize] = raw


# Mutations of bytes


def flip_bits(content: bytearray, rng: Rng, start: int, stop: int) -> None:
    """Flip one to four bits."""
    for _ in range(rng.integers(1, 5)):
        content[int(rng.integers(start, stop))] ^= 1 << int(rng.integers(8))


def set_bytes(content: bytearray, rng: Rng, start: int, stop: int) -> None:
    """Overwrite up to eight bytes in a row."""
    place = int(rng.integers(start, stop))
    raw = rng.bytes(int(rng.integers(1, 9))) if rng.random() < 0.6 else bytes([int(rng.choice([0, 255]))]) * 4
    content[place : min(place + len(raw), stop)] = raw[: max(stop - place, 0)]


def set_fields(content: bytearray, rng: Rng) -> None:
    """Overwrite one to three numbers of the header with likely or unlikely ones."""
    order = "<" if struct.unpack("<i", content[:4])[0] in FIELDS else ">"
    size = int(struct.unpack(f"{order}i", content[:4])[0])
    for _ in range(rng.integers(1, 4)):
        name = str(rng.choice(sorted(FIELDS[size])))
        _, kind, count = FIELDS[size][name]
        choices = NUMBERS + (STRANGE if kind[0] == "f" else ())
        value = choices[rng.integers(len(choices))] if rng.random() < 0.8 else float(rng.normal(0, 1000))
        put(content, size, order, name, int(rng.integers(count)), value)


def change_length(content: bytearray, rng: Rng) -> None:
    """Cut off the end, or leave out, repeat or add bytes."""
    way, place = rng.integers(6), int(rng.integers(len(content)))
    length = int(rng.integers(1, 200))
    if way == 0:
        del content[place:]
    elif way == 1:
        del content[-length:]
    elif way == 2:
        del content[place : place + length]
    elif way == 3:
        content[place:place] = rng.bytes(length)
    elif way == 4:
        content += rng.bytes(length)
    else:
        content += bytes(int(rng.choice([1, 100, 4096, 4097, 100_000, 4 << 20])))


def pick(rng: Rng, percent: dict[str, int]) -> str:
    """One of these kinds, as often as they say."""
    return str(rng.choice(list(percent), p=np.array(list(percent.values())) / 100))


def mutate_plain(content: bytes, rng: Rng) -> tuple[str, bytes]:
    """Change the bytes of an uncompressed file."""
    changed = bytearray(content)
    header = 540 if struct.unpack("<i", content[:4])[0] == 540 or struct.unpack(">i", content[:4])[0] == 540 else 348
    kind = pick(rng, {"header bits": 30, "header bytes": 15, "header fields": 30, "voxels": 10, "length": 15})
    if kind == "header bits":
        flip_bits(changed, rng, 0, header)
    elif kind == "header bytes":
        set_bytes(changed, rng, 0, header)
    elif kind == "header fields":
        set_fields(changed, rng)
    elif kind == "voxels":
        (flip_bits if rng.random() < 0.5 else set_bytes)(changed, rng, header, len(changed))
    else:
        change_length(changed, rng)
    return kind, bytes(changed)


def mutate_gzip(content: bytes, rng: Rng) -> tuple[str, bytes]:
    """Change the bytes of a gzip file."""
    changed = bytearray(content)
    kind = pick(rng, {"bits": 35, "bytes": 20, "length": 20, "header": 10, "end": 10, "second member": 5})
    if kind == "bits":
        flip_bits(changed, rng, 0, len(changed))
    elif kind == "bytes":
        set_bytes(changed, rng, 0, len(changed))
    elif kind == "length":
        change_length(changed, rng)
    elif kind == "header":
        flip_bits(changed, rng, 0, 10)
    elif kind == "end":
        flip_bits(changed, rng, len(changed) - 8, len(changed))
    else:
        changed += gzip.compress(rng.bytes(50) if rng.random() < 0.5 else bytes(int(rng.integers(1, 8000))), mtime=0)
    return f"gzip {kind}", bytes(changed)


# The judgement


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
