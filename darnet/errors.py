"""Errors that name what is wrong, where, and how to mend it, each with the exit code of its kind."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_FREE = "free some space and run the command again"
DISK_FULL = {  # what is wrong, and the remedy
    errno.ENOSPC: ("the disk is full", _FREE),
    errno.EDQUOT: ("the quota of the disk is used up", _FREE),
    errno.EFBIG: (
        "the file is larger than the file system or a limit of this process allows",
        "raise the limit (ulimit -f) or name a folder of another file system, and run the command again",
    ),
}


class ExitCode(IntEnum):
    """Exit codes shared by all commands."""

    DONE = 0
    CONFIGURATION = 2
    DATA = 3
    RESOURCES = 4
    SOME_CASES_FAILED = 5
    INTERRUPTED = 130
    TERMINATED = 143


class DarnetError(Exception):
    """Base of all errors that darnet raises on purpose.

    Args:
        what: What is wrong, in one sentence.
        where: The case, file or key it was found in.
        found: What was found there.
        expected: What was expected instead.
        remedy: What the user can do.
    """

    exit_code: ExitCode = ExitCode.CONFIGURATION

    def __init__(
        self,
        what: str,
        *,
        where: str | Path | None = None,
        found: object = None,
        expected: object = None,
        remedy: str | None = None,
    ) -> None:
        self.what, self.where, self.found, self.expected, self.remedy = what, where, found, expected, remedy
        lines = [what]
        for name, value in (("where", where), ("found", found), ("expected", expected), ("remedy", remedy)):
            if value is not None:
                lines.append(f"  {name + ':':<10}{value}")
        super().__init__("\n".join(lines))
        self.parts: tuple[DarnetError, ...] = ()

    @property
    def faults(self) -> tuple[DarnetError, ...]:
        """The single faults of an error that lists several, else the error itself."""
        return tuple(fault for part in self.parts for fault in part.faults) or (self,)


class ConfigurationError(DarnetError):
    """A wrong flag, path, plan or checkpoint: the user's instructions cannot be carried out."""

    exit_code = ExitCode.CONFIGURATION


class DataError(DarnetError):
    """A scan, label or dataset.json that cannot be used as it is."""

    exit_code = ExitCode.DATA


class ResourceError(DarnetError):
    """Not enough disk, memory or device."""

    exit_code = ExitCode.RESOURCES


class DiskFull(ResourceError):
    """No room for a file: nor is there for what would come after it."""


class SomeCasesFailed(DarnetError):
    """Some cases failed; the results of the others, those of earlier runs too, are kept."""

    exit_code = ExitCode.SOME_CASES_FAILED


class Interrupted(DarnetError):
    """Stopped by a signal."""

    exit_code = ExitCode.INTERRUPTED


class Terminated(Interrupted):
    """Stopped by SIGTERM."""

    exit_code = ExitCode.TERMINATED


def raise_together(faults: Sequence[DarnetError], summary: str) -> None:
    """Raise one error that lists all faults, or return where there are none.

    Raises:
        ResourceError: Disk or memory is among the faults: with more of it the others may show or go.
        DataError: Else.
    """
    single = [fault for error in faults for fault in error.faults]
    if len(single) == 1:
        raise single[0]
    if single:
        body = "\n".join(f"- {fault}" for fault in single)
        kind = ResourceError if any(isinstance(fault, ResourceError) for fault in single) else DataError
        error = kind(f"{summary} ({len(single)} faults):\n{body}")
        error.parts = tuple(single)
        raise error


def collect(faults: list[DarnetError], call: Callable[[], T]) -> T | None:
    """What a call returns; where it raises, the error is appended to `faults` and None returned."""
    try:
        return call()
    except DarnetError as error:
        faults.append(error)
        return None


# How libraries say it that have no exception of their own for it; the last is oneDNN, which says no more.
OUT_OF_MEMORY = (
    "out of memory",
    "allocate memory",
    "not enough memory",
    "bad allocation",
    "bad_alloc",
    "could not create a primitive",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, of the device or of the machine."""
    # torch's own is known by its name, so that torch need not be imported here.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if isinstance(error, OSError):
        return error.errno == errno.ENOMEM
    text = str(error).replace("could not create a primitive descriptor", "")  # what oneDNN says of other faults
    return isinstance(error, RuntimeError) and any(words in text for words in OUT_OF_MEMORY)


def out_of_memory(work: str, where: str | Path | None, remedy: str) -> ResourceError:
    """The error for work that memory did not suffice for."""
    return ResourceError(f"{work} ran out of memory", where=where, remedy=remedy)
