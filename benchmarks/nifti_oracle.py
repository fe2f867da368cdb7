"""What a NIfTI file says, read a second time by the standard alone: nothing here is shared with darnet or nibabel.

Used by `benchmarks/fuzz_reader.py` to tell a sound volume from a wrong one.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

LARGEST = 1 << 26  # bytes that the oracle unfolds
FILLING = 4096  # zero bytes that may follow the voxels
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8", 1280: "u8"}
# Byte of each field and its type, of both versions of the format.
FIELDS: dict[int, dict[str, tuple[int, str, int]]] = {
    348: {
        "dim": (40, "i2", 8),
        "datatype": (70, "i2", 1),
        "pixdim": (76, "f4", 8),
        "vox_offset": (108, "f4", 1),
        "scl_slope": (112, "f4", 1),
        "scl_inter": (116, "f4", 1),
        "xyzt_units": (123, "u1", 1),
        "qform_code": (252, "i2", 1),
        "sform_code": (254, "i2", 1),
        "quatern": (256, "f4", 3),
        "qoffset": (268, "f4", 3),
        "srow": (280, "f4", 12),
        "magic": (344, "u1", 4),
    },
    540: {
        "magic": (4, "u1", 8),
        "datatype": (12, "i2", 1),
        "dim": (16, "i8", 8),
        "pixdim": (104, "f8", 8),
        "vox_offset": (168, "i8", 1),
        "scl_slope": (176, "f8", 1),
        "scl_inter": (184, "f8", 1),
        "qform_code": (344, "i4", 1),
        "sform_code": (348, "i4", 1),
        "quatern": (352, "f8", 3),
        "qoffset": (376, "f8", 3),
        "srow": (400, "f8", 12),
        "xyzt_units": (500, "i4", 1),
    },
}


@dataclass(frozen=True)
class Volume:
    """Voxels (i, j, k) in double precision, scaled, and the affine (4, 4).

    `oriented` is False where the header has neither form: of such an affine the spacing alone counts, as the standard
    leaves the directions open.
    """

    array: NDArray[np.float64]
    affine: NDArray[np.float64]
    oriented: bool


def unfold(content: bytes) -> bytes | None:
    """Bytes of a gzip file, of all its members; None where a checksum, a length or anything else is wrong."""
    parts, left = [], content
    room = LARGEST
    while left:
        member = zlib.decompressobj(wbits=31)
        try:
            part = member.decompress(left, room + 1)
        except zlib.error:
            return None
        if not member.eof or len(part) > room:
            return None
        room -= len(part)
        parts.append(part)
        left = member.unused_data.lstrip(b"\0")  # zero bytes between and behind members are filling
    return b"".join(parts)


def decode(content: bytes) -> Volume | None:
    """The volume of an uncompressed NIfTI file; None where the bytes are no single, whole, finite volume."""
    for order in "<>":
        size = int(np.frombuffer(content[:4], f"{order}i4")[0]) if len(content) >= 4 else 0
        if size in FIELDS and len(content) >= size:
            return _decode(content, size, order)
    return None


def _decode(content: bytes, size: int, order: str) -> Volume | None:
    def field(name: str) -> Any:
        start, kind, count = FIELDS[size][name]
        values = np.frombuffer(content, f"{order}{kind}", count, start)
        return values if count > 1 else values[0]

    magic = bytes(field("magic"))[:3]
    if magic not in (b"n+1", b"n+2"):
        return None
    rank, *sizes = (int(n) for n in field("dim"))
    if not 3 <= rank <= 7 or min(sizes[:rank]) < 1 or any(n != 1 for n in sizes[3:rank]):
        return None
    kind, offset = TYPES.get(int(field("datatype"))), float(field("vox_offset"))
    if kind is None or not np.isfinite(offset) or offset != int(offset) or offset < size:
        return None
    shape = tuple(sizes[:3])
    count = shape[0] * shape[1] * shape[2]
    stop = int(offset) + count * np.dtype(kind).itemsize
    behind = len(content) - stop
    if behind < 0 or behind > FILLING or any(content[stop:]):
        return None
    stored = np.frombuffer(content, f"{order}{kind}", count, int(offset)).reshape(shape, order="F")
    slope, inter = float(field("scl_slope")), float(field("scl_inter"))
    with np.errstate(all="ignore"):
        array = stored.astype(np.float64)
        if slope != 0 and not np.isnan(slope):
            array = array * slope + inter
        affine = _affine(field)
    if affine is None or not np.isfinite(affine).all() or int(field("xyzt_units")) & 7 in (1, 3):
        return None
    return Volume(array, affine, int(field("sform_code")) > 0 or int(field("qform_code")) > 0)


def _affine(field: Any) -> NDArray[np.float64] | None:
    """The sform where it has a code, else the qform, else the spacing alone."""
    spacing = np.asarray(field("pixdim"), np.float64)
    affine = np.eye(4)
    if int(field("sform_code")) > 0:
        affine[:3] = np.asarray(field("srow"), np.float64).reshape(3, 4)
        return affine
    if int(field("qform_code")) > 0:
        b, c, d = (float(v) for v in field("quatern"))
        square = 1.0 - b * b - c * c - d * d
        a = float(np.sqrt(max(square, 0.0)))
        rotation = np.array(
            [
                [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
                [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
                [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
            ]
        )
        handed = spacing[1:4] * np.array([1.0, 1.0, -1.0 if spacing[0] < 0 else 1.0])
        affine[:3, :3] = rotation * handed
        affine[:3, 3] = np.asarray(field("qoffset"), np.float64)
        return affine
    return None if not (spacing[1:4] > 0).all() else np.diag([*spacing[1:4], 1.0])
