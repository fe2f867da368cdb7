"""Freed memory that is kept is used again; outside of the block it goes back to the system."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from darnet import allocator
from darnet.allocator import freed_memory_kept

_PROGRAM = """
import resource, sys
import numpy as np
from darnet.allocator import _KEPT, _glibc, _set, freed_memory_kept

if not _set(_glibc(), _KEPT):
    sys.exit("refused")

def faults(rounds=6):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        np.ones(2**23)  # 64 MB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

with freed_memory_kept():
    pass  # from here on the usual values
faults(1)
outside, small = faults(), resident()
with freed_memory_kept():
    faults(1)
    inside, kept = faults(), resident()
print(outside, inside, faults(), small, kept, resident())
"""


@pytest.fixture
def numbers() -> list[int]:
    if not (sys.platform == "linux" and hasattr(ctypes.CDLL(None), "gnu_get_libc_version")):
        pytest.skip("the C library is not glibc")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
    clean["NUMPY_MADVISE_HUGEPAGE"] = "0"  # pages of one size, so that they can be counted
    done = subprocess.run([sys.executable, "-c", _PROGRAM], env=clean, capture_output=True, text=True)
    if done.stderr.strip() == "refused":
        pytest.skip("this glibc refuses the threshold")
    assert done.returncode == 0, done.stderr
    return [int(number) for number in done.stdout.split()]


def test_pages_are_used_again_within_the_block_only(numbers: list[int]) -> None:
    outside, inside, after, *_ = numbers
    assert inside < outside / 20
    assert after > outside / 2


def test_memory_goes_back_to_the_system_after_the_block(numbers: list[int]) -> None:
    *_, small, kept, back = numbers
    assert kept > small + 2**25
    assert back < small + 2**24


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_parameters_of_the_user_stay(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "1")
    monkeypatch.setattr(allocator, "_set", lambda *_: pytest.fail("parameters were set"))
    with freed_memory_kept():
        pass


def test_nothing_is_set_where_it_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(allocator, "_glibc", lambda: pytest.fail("the library was asked for"))
    with freed_memory_kept(wanted=False):
        pass


def test_a_threshold_that_is_refused_leaves_all_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def __init__(self) -> None:
            self.asked: list[tuple[int, int]] = []

        def mallopt(self, key: int, value: int) -> int:
            self.asked.append((key, value))
            return 0

    library = Refusing()
    monkeypatch.setattr(allocator, "_glibc", lambda: library)
    with freed_memory_kept():
        pass
    assert len(library.asked) == 1
