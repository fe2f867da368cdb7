"""What a mask was made from, as hashes in its header.

So --continue keeps no mask of another scan or network, and no mask that was changed since is replaced.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darnet.io import Scan, read_scan
from darnet.planning import hash_of_voxels

_MARK = re.compile(r"darnet scan ([0-9a-f]{16}) model ([0-9a-f]{16})(?: mask ([0-9a-f]{16}))?")


@dataclass(frozen=True)
class Mark:
    """Hashes of the scan that a mask shows, and of all in a predictor that a mask depends on."""

    scan: str
    model: str

    def of(self, labels: NDArray[np.integer]) -> str:
        """As the header of a mask (i, j, k) has it, with a hash of the mask itself."""
        return f"darnet scan {self.scan} model {self.model} mask {_hash_of_labels(labels)}"


def mark_of(scan: Scan, model: str) -> Mark:
    """The mark of a scan's mask. Type and packing of the scan's file do not matter."""
    content = f"{hash_of_voxels(scan)} {scan.affine.tolist()}"
    return Mark(hashlib.sha256(content.encode()).hexdigest()[:16], model)


def read_mark(path: Path) -> Mark | None:
    """The mark of a mask; None where another program has written or changed it.

    Raises:
        DataError: It cannot be read to its end.
    """
    mask = read_scan(path, labels=True)
    found = _MARK.fullmatch(bytes(mask.header["descrip"]).rstrip(b"\0").decode("latin-1"))
    if found is None or (found[3] is not None and found[3] != _hash_of_labels(mask.array)):
        return None
    return Mark(found[1], found[2])


def _hash_of_labels(labels: NDArray[np.integer]) -> str:
    """Of shape and values, whatever the type; plane by plane, since a copy of all may be large."""
    digest = hashlib.sha256(str(labels.shape).encode())
    for k in range(labels.shape[2]):
        digest.update(labels[..., k].astype(np.int32).tobytes())
    return digest.hexdigest()[:16]
