"""One process at a time in a folder: a lock that the system lets go of when its holder dies."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from darnet.errors import ConfigurationError


@contextmanager
def only_one(
    path: Path, work: str, wait: bool = False, notice: Callable[[str], None] = warnings.warn
) -> Iterator[None]:
    """Hold a lock while the body runs. The lock's file stays, empty; it says nothing by being there.

    Args:
        path: The lock's file; its folder is made where it is missing.
        work: What the body does, for messages: "trains fold 0".
        wait: Wait for another process that holds the lock, rather than refuse.
        notice: Gets a sentence when there is waiting to do, or when the file system knows no locks.

    Raises:
        ConfigurationError: Another process holds the lock, and `wait` is off.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path)
    try:
        _acquire(lock, work, wait, notice)
    except NotImplementedError:
        notice(f"the file system of {path.parent} knows no locks: take care that only one process {work}")
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, work: str, wait: bool, notice: Callable[[str], None]) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise ConfigurationError(
                f"another process {work}",
                where=lock.lock_file,
                remedy="wait for it to end, or stop it, and run the command again",
            ) from None
        notice(f"another process {work}; waiting for it to end")
        lock.acquire()
