"""Freed memory kept for the next array instead of being given back to the system.

The C library of Linux maps every large array anew and hands it back when it is freed, so a network on a CPU waits for
fresh pages at every layer. Kept memory is used again at once.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Parameters of glibc's mallopt.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
_MB = 2**20
# Larger arrays, such as whole scans, still come from the system and go back to it.
_KEPT = ((_MMAP_THRESHOLD, 256 * _MB), (_TRIM_THRESHOLD, 1024 * _MB), (_TOP_PAD, 4 * _MB))
# What glibc itself arrives at once it has freed large arrays; from then on both are fixed.
_USUAL = ((_MMAP_THRESHOLD, 32 * _MB), (_TRIM_THRESHOLD, 64 * _MB), (_TOP_PAD, 128 * 1024))


@contextmanager
def freed_memory_kept(wanted: bool = True) -> Iterator[None]:
    """Keep freed memory, about 1 GB at most, while the block runs; then give it back.

    Changes nothing where the C library is not glibc or refuses (some versions do), or where the user has set its
    parameters by the environment. One block at a time: the first that ends sets the usual values.

    Args:
        wanted: Off for a network that computes elsewhere than on the CPU.
    """
    library = _glibc() if wanted else None
    if library is None or not _set(library, _KEPT):
        yield
        return
    try:
        yield
    finally:
        _set(library, _USUAL)
        library.malloc_trim(0)


def _glibc() -> Any:
    """The C library, if it is glibc and its parameters are not the user's."""
    if os.name != "posix" or any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return None
    try:
        library = ctypes.CDLL(None)
    except OSError:
        return None
    names = ("gnu_get_libc_version", "mallopt", "malloc_trim")
    return library if all(hasattr(library, name) for name in names) else None


def _set(library: Any, values: tuple[tuple[int, int], ...]) -> bool:
    """Whether all values were taken; some versions refuse a threshold above 32 MB, the first value."""
    return all(library.mallopt(key, value) == 1 for key, value in values)
