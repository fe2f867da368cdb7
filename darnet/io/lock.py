"""One process at a time in a folder: a lock that the system lets go of when its holder dies, and who holds it."""

from __future__ import annotations

import contextlib
import os
import socket
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from darnet.errors import ConfigurationError
from darnet.io.files import write_json
from darnet.strict_json import read_json


@contextmanager
def only_one(
    path: Path,
    work: str,
    wait: bool = False,
    notice: Callable[[str], None] = warnings.warn,
    keep: bool = True,
) -> Iterator[None]:
    """Hold a lock while the body runs.

    The lock's file may stay, empty; it says nothing by being there. Beside it lies, while the lock is held,
    `NAME.holder` with process and host, for messages. A holder that was killed leaves it: that is said, and the work
    goes on.

    Args:
        path: The lock's file; its folder is made where it is missing.
        work: What the body does, for messages: "trains fold 0".
        wait: Wait for another process that holds the lock, rather than refuse.
        notice: Gets a sentence when there is waiting to do, when the former holder was killed, or when the file system
            knows no locks.
        keep: Leave the lock's file where it is. Where processes wait for each other it must stay.

    Raises:
        ConfigurationError: Another process holds the lock, and `wait` is off.
        ResourceError: The disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock, record = FileLock(path), _record(path)
    try:
        _acquire(lock, record, work, wait, notice)
        if record.exists():
            notice(f"{_holder(record)} was stopped before its end; its lock is taken over")
    except NotImplementedError:
        notice(f"the file system of {path.parent} knows no locks: take care that only one process {work}")
    try:
        write_json(record, {"process": os.getpid(), "host": socket.gethostname()})
        yield
    finally:
        with contextlib.suppress(OSError):
            record.unlink()
            if not keep:
                path.unlink()
        lock.release()


def is_held(path: Path) -> bool:
    """Whether another process, or another part of this one, holds a lock; false where the file system does not tell."""
    if not path.exists():
        return False
    lock = FileLock(path)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return True
    except (NotImplementedError, OSError):
        return False
    lock.release()
    return False


def refuse_held(paths: Iterable[Path], work: str) -> None:
    """Refuse to go on beside other processes. Locks that nobody holds are left as they are.

    Args:
        paths: Files of their locks.
        work: What a holder does, for the message: "trains fold 0".

    Raises:
        ConfigurationError: One of the locks is held.
    """
    for path in paths:
        if is_held(path):
            raise _held(path, work)


def _acquire(lock: FileLock, record: Path, work: str, wait: bool, notice: Callable[[str], None]) -> None:
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise _held(Path(lock.lock_file), work) from None
        notice(f"another process {work}; waiting for it to end" + (f" ({_holder(record)})" if record.exists() else ""))
        lock.acquire()


def _held(path: Path, work: str) -> ConfigurationError:
    """The error for a lock that another process holds."""
    return ConfigurationError(
        f"another process {work}",
        where=path,
        found=_holder(_record(path)),
        remedy="wait for it to end, or stop it, and run the command again",
    )


def _record(path: Path) -> Path:
    """Where the holder of a lock says who it is."""
    return path.with_name(path.name + ".holder")


def _holder(record: Path) -> str:
    """The process that wrote a record of a lock, as far as it can be read."""
    try:
        values = read_json(record)
        return f"process {int(values['process'])} on {values['host']}"
    except (ConfigurationError, OSError, KeyError, TypeError, ValueError):
        return "a process"
