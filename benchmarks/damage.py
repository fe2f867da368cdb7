"""Small sound NIfTI files, and what can happen to the bytes of one. Everything is drawn from the generator given."""

from __future__ import annotations

import gzip
import struct

import nibabel as nib
import numpy as np

from benchmarks.nifti_oracle import FIELDS

SHAPES = ((9, 8, 7), (12, 5, 3), (16, 14, 1), (1, 7, 6))
KINDS = ("u1", "i1", "<i2", ">i2", "<u2", "<i4", ">i4", "<f4", ">f4", "<f8", ">f8", "<i8", "<u8")
NUMBERS = (0, 1, -1, 2, 3, 4, 7, 255, 32767, -32768, 65535, 2**31 - 1, -(2**31), 2**62, 0.5, 1e-30, 1e30, 348, 352)
STRANGE = (float("nan"), float("inf"), float("-inf"))

Rng = np.random.Generator


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
