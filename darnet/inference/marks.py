"""What a mask was made from: two hashes in its header, so that --continue keeps no mask of another scan or network."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from darnet.io import Scan, read_scan
from darnet.planning import hash_of_voxels

_MARK = re.compile(r"darnet scan ([0-9a-f]{16}) model ([0-9a-f]{16})")


@dataclass(frozen=True)
class Mark:
    """Hashes of the scan that a mask shows, and of all in a predictor that a mask depends on."""

    scan: str
    model: str

    def __str__(self) -> str:
        """As the header has it."""
        return f"darnet scan {self.scan} model {self.model}"


def mark_of(scan: Scan, model: str) -> Mark:
    """The mark of a scan's mask. Type and packing of the scan's file do not matter."""
    content = f"{hash_of_voxels(scan)} {scan.affine.tolist()}"
    return Mark(hashlib.sha256(content.encode()).hexdigest()[:16], model)


def read_mark(path: Path) -> Mark | None:
    """The mark of a mask; None where another program has written it.

    Raises:
        DataError: It cannot be read to its end.
    """
    text = bytes(read_scan(path, labels=True).header["descrip"]).rstrip(b"\0").decode("latin-1")
    found = _MARK.fullmatch(text)
    return Mark(found[1], found[2]) if found else None
