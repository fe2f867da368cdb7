"""A shared model into the results of a root folder: checked beside its place, then renamed, never over anything."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from darnet.errors import ConfigurationError, DarnetError, DiskFull
from darnet.inference import CHOICE, load_network
from darnet.io import read_json
from darnet.io.files import temporary_folder
from darnet.layout import DatasetLayout
from darnet.plans import Plans
from darnet.sharing.archive import PLANS, STAGING, Entry, check_entries, extract, refuse

LONGEST_NAME = 120
CRITERIA = ("certainty", "stability", "agreement", "plausibility", "score")  # that a choice tells of a network


def import_model(
    archive: Path, root: Path, name: str | None = None, notice: Callable[[str], None] = warnings.warn
) -> Path:
    """Put a shared model where darnet_predict finds it. The file is not trusted: all of it is checked before.

    Args:
        archive: A file of darnet_export_model.
        root: Folder of raw, preprocessed and results.
        name: Of the data set; None takes the file's own.
        notice: Gets a sentence where something is odd.

    Returns:
        The new results folder.

    Raises:
        ConfigurationError: The file is no sound model, or there are results of that name.
        DiskFull: The disk has not enough room.
    """
    if not archive.is_file():
        what = "this is a folder, no zip" if archive.is_dir() else "there is no such file"
        raise ConfigurationError(what, where=archive.absolute(), remedy="name another file with -i")
    try:
        with zipfile.ZipFile(archive) as content:
            manifest, entries = check_entries(content, archive)
            target = _target(manifest, root, name, archive)
            with _new_folder(target) as temporary:
                _refuse_full_disk(entries, target)
                extract(content, archive, entries, temporary)
                _check_model(temporary, entries, archive, notice)
                _refuse_taken(target)
                temporary.rename(target)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, ValueError, struct.error) as error:
        raise refuse("the file is no zip, or damaged", archive, error) from None
    except OSError as error:
        if error.errno != errno.EINVAL:  # what a place before the file's start gives
            raise
        raise refuse("the file is no zip, or damaged", archive, error) from None
    return target


@contextlib.contextmanager
def _new_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target`. If it is still there at the end, it goes, with the folders that were made for it."""
    above = [folder for folder in target.parents if not folder.exists()]
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with temporary_folder(target.parent, STAGING) as temporary:
            yield temporary
    finally:
        for folder in above:
            with contextlib.suppress(OSError):  # it holds the model now
                folder.rmdir()


def _target(manifest: dict[str, Any], root: Path, name: str | None, archive: Path) -> Path:
    """The new results folder."""
    chosen = manifest.get("dataset") if name is None else name
    chosen = chosen if isinstance(chosen, str) else ""
    good = all(sign.isalnum() or sign in " _-." for sign in chosen) and chosen[:1].isalnum()
    if not good or len(chosen) > LONGEST_NAME:
        raise ConfigurationError(
            "the name of the data set cannot be a folder's",
            where=archive if name is None else "--name",
            found=ascii(chosen),
            expected="letters, digits, spaces, and . _ - after the first",
            remedy="give a name such as Dataset101_AbdomenCT2MR with --name",
        )
    target = DatasetLayout(root, chosen).results
    _refuse_taken(target)
    return target


def _refuse_taken(target: Path) -> None:
    if os.path.lexists(target):
        raise ConfigurationError(
            "there are results of this data set",
            where=target,
            remedy="give another name with --name; nothing is replaced",
        )


def _refuse_full_disk(entries: list[Entry], target: Path) -> None:
    needed, free = sum(entry.size for entry in entries), shutil.disk_usage(target.parent).free
    if needed > free:
        raise DiskFull(
            "the disk has not enough room", where=target, found=f"{free} bytes free", expected=f"{needed} bytes",
            remedy="free some space, or name another root with --root",
        )  # fmt: skip


def _check_model(folder: Path, entries: list[Entry], archive: Path, notice: Callable[[str], None]) -> None:
    """See that darnet can predict with every network of the model.

    Raises:
        ConfigurationError: A plan or checkpoint that does not fit; the message names the file within the model.
    """
    name = PLANS
    try:
        plans = Plans.read(folder / PLANS)
        checkpoints = [entry.name for entry in entries if entry.name not in (PLANS, CHOICE)]
        folds = {name.split("/")[-2] for name in checkpoints}
        if not checkpoints or any(f"segmentation/{fold}/checkpoint.safetensors" not in checkpoints for fold in folds):
            raise refuse("the model lacks the network of a fold", archive, ", ".join(checkpoints) or "no network")
        for name in checkpoints:
            load_network(folder / name, plans, notice)
        name = CHOICE
        if any(entry.name == CHOICE for entry in entries) and not _is_choice(read_json(folder / CHOICE), plans):
            raise refuse("what the model says of its networks has another form", archive)
    except DarnetError as error:
        raise ConfigurationError(
            error.what, where=f"{archive}, {name}", found=error.found, expected=error.expected, remedy=error.remedy
        ) from None


def _is_choice(values: Any, plans: Plans) -> bool:
    """Whether a `choice.json` has the form that darnet writes, with shares of 0 to 1 of the plan's classes alone."""

    def shares(found: Any, names: Iterable[str]) -> bool:
        known = isinstance(found, dict) and set(found) <= set(names)
        return known and all(
            value is None or (type(value) in (int, float) and 0 <= value <= 1) for value in found.values()
        )

    try:
        for fold, entry in values["folds"].items():
            names = entry["candidates"]
            good = (
                (fold == "all" or fold.isdecimal())
                and set(entry) == {"chosen", "candidates", "usual", "scans"}
                and all(name == "segmentation" or re.fullmatch(r"round_\d{1,2}", name) for name in names)
                and entry["chosen"] in names
                and shares(entry["usual"], plans.foreground)
                and all(re.fullmatch(r"scan \d{1,6}", scan) for scan in entry["scans"])
            )
            for found in names.values():
                rest = {key: value for key, value in found.items() if key not in ("checkpoint", "shapes")}
                good = good and bool(re.fullmatch(r"([0-9a-f]{64})?", found["checkpoint"]))
                good = good and shares(found["shapes"], plans.foreground) and shares(rest, CRITERIA)
            if not good:
                return False
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return True
