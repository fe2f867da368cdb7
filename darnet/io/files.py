"""Files that appear whole or not at all, and hashes of files."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from darnet.errors import DISK_FULL, ConfigurationError, DataError, DiskFull

LONGEST_NAME = 200  # bytes of CASE_0000; file systems allow 255, and what is made of a case has longer endings
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]


@contextlib.contextmanager
def atomic_path(path: str | Path, needed: int | None = None) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`; what is written there is flushed and renamed to `path` at the end.

    After an exception the temporary file is removed and `path` is as it was. Temporary files of processes that were
    killed are removed on the way.

    Args:
        path: The final path. Its folder must exist.
        needed: Bytes to be written, for the message when the disk is full.

    Yields:
        The temporary path. Its name is hidden and does not keep the ending of `path`.

    Raises:
        DiskFull: The disk is full.
    """
    path = Path(path)
    # A hash instead of the name itself, so that a long name does not become too long.
    stem = f".{hashlib.sha256(path.name.encode()).hexdigest()[:16]}.{_HOST}-"
    _remove_left_over(path.parent, stem)
    temporary = path.parent / f"{stem}{os.getpid()}.tmp"
    try:
        yield temporary
        _flush(temporary)
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError) and error.errno in DISK_FULL:
            raise _disk_full(path, needed, *DISK_FULL[error.errno]) from error
        raise
    if os.name == "posix":
        _flush(path.parent)


def atomic_write(path: str | Path, content: bytes | str) -> None:
    """Write a file so that `path` is never seen half written. Text is UTF-8.

    Raises:
        DiskFull: The disk is full; the former file, if any, is intact.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with atomic_path(path, len(data)) as temporary, temporary.open("wb") as file:
        file.write(data)


def keep_beside(path: Path) -> Path:
    """Copy a file that will be replaced to NAME.previous, or NAME.previous_2 and so on; earlier copies stay.

    Returns:
        The copy; an earlier one where it is the same.

    Raises:
        DiskFull: The disk is full.
    """
    content = path.read_bytes()
    endings = itertools.chain(("previous",), (f"previous_{number}" for number in itertools.count(2)))
    names = (path.with_name(f"{path.name}.{ending}") for ending in endings)
    copy = next(name for name in names if not name.exists() or name.read_bytes() == content)
    if not copy.exists():
        atomic_write(copy, content)
    return copy


def write_json(path: str | Path, values: Any, indent: int | None = 2) -> None:
    """Write JSON atomically. NaN and infinity, which JSON lacks, raise `ValueError`."""
    atomic_write(path, json.dumps(values, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def sha256_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def require_writable(folder: str | Path, remedy: str) -> None:
    """Refuse a folder that cannot be written to, before anything is computed for it. Nothing is made or changed.

    Args:
        folder: It, or the nearest folder above it that exists, must be open to writing.
        remedy: For the message.

    Raises:
        ConfigurationError: It is a file, or its rights or its file system forbid writing.
    """
    folder = Path(folder).absolute()
    parent = next(p for p in (folder, *folder.parents) if os.path.lexists(p))
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise ConfigurationError(
            "the folder cannot be written to",
            where=folder,
            found=f"{parent} is not a folder open to writing",
            remedy=remedy,
        )


def name_too_long(path: Path, ending: str = "") -> DataError | None:
    """What is wrong with the name of a scan, a label file or a folder of slices that is too long; None where it is not.

    Args:
        path: Of the file or folder.
        ending: Of its name; does not count.
    """
    length = len(os.fsencode(path.name.removesuffix(ending)))
    if length <= LONGEST_NAME:
        return None
    return DataError(
        "the name of a case is too long: names of what is made of it would not fit the file system",
        where=path,
        found=f"{length} bytes",
        expected=f"at most {LONGEST_NAME}",
        remedy="rename it",
    )


def remove_left_overs(folder: Path) -> None:
    """Remove all temporary files of this host's processes that are gone."""
    for path in folder.glob(f".*.{_HOST}-*.tmp"):
        _remove_left_over(folder, path.name[: path.name.rindex("-") + 1])


def _flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    # Windows flushes only what is open for writing; folders are read-only everywhere.
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_left_over(folder: Path, stem: str) -> None:
    """Remove temporary files of this host's processes that are gone."""
    for path in folder.glob(f"{stem}*.tmp"):
        process = path.name[len(stem) :].split(".")[0]
        if process.isdecimal() and not _is_running(int(process)):
            with contextlib.suppress(OSError):
                path.unlink()


@contextlib.contextmanager
def temporary_folder(parent: Path, work: str) -> Iterator[Path]:
    """A hidden folder, removed at the end if it still has its name. Those of processes that were killed go too.

    Args:
        parent: The folder that it is made in.
        work: What it is for, as a part of its name.
    """
    remove_left_over_folders(parent, work)
    folder = parent / f".{work}.{_HOST}-{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_left_over_folders(parent: Path, work: str) -> None:
    """Remove what `temporary_folder` made for this host's processes that are gone, this process's own included."""
    for folder in parent.glob(f".{work}.{_HOST}-*"):
        process = folder.name.rpartition("-")[2]
        if process.isdecimal() and (int(process) == os.getpid() or not _is_running(int(process))):
            shutil.rmtree(folder, ignore_errors=True)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # where signal 0 would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _disk_full(path: Path, needed: int | None, what: str, remedy: str) -> DiskFull:
    free = shutil.disk_usage(path.parent).free
    return DiskFull(
        what,
        where=path,
        found=f"{free} bytes free",
        expected=None if needed is None else f"{needed} bytes for this file",
        remedy=f"{remedy}; the former file, if any, is intact",
    )
