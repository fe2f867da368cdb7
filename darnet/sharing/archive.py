"""The file of a shared model: a zip of safetensors and JSON with the SHA-256 of each, and nothing else."""

from __future__ import annotations

import hashlib
import json
import re
import stat
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darnet.errors import ConfigurationError
from darnet.inference import CHOICE
from darnet.io import atomic_path, sha256_of
from darnet.strict_json import parse_json

FORMAT, VERSION = "darnet model", 1
MANIFEST, PLANS = "model.json", "plans.json"
WEIGHTS = re.compile(r"(segmentation|self_training/round_\d{1,2})/fold_(\d{1,3}|all)/checkpoint\.safetensors")
MOST_FILES = 256
LARGEST_JSON = 1 << 22  # bytes
LARGEST_WEIGHTS = 1 << 32
BLOCK = 1 << 20
STAGING = "import"  # of the hidden folder in which a model is checked
# The same model gives the same bytes, and says nothing of when it was made.
_NO_DATE = (1980, 1, 1, 0, 0, 0)
_REMEDY = "ask for the file again; a model is made by darnet_export_model and not packed again by hand"


@dataclass(frozen=True)
class Entry:
    """A file of a model: its name, with / between folders, its bytes and their SHA-256."""

    name: str
    size: int
    sha256: str


def refuse(what: str, archive: Path, found: object = None, expected: object = None) -> ConfigurationError:
    """The error for a file that is no sound model."""
    return ConfigurationError(what, where=archive, found=found, expected=expected, remedy=_REMEDY)


def write_archive(
    path: Path, files: Iterable[tuple[str, bytes]], about: Mapping[str, Any], needed: int | None = None
) -> str:
    """Write a model. It appears whole or not at all.

    Args:
        path: File to write, in an existing folder; it must not be there.
        files: Name and bytes of each, drawn one at a time.
        about: Further values of the manifest.
        needed: Bytes of the file, as far as they are known, for the message when the disk is full.

    Returns:
        SHA-256 of the file.

    Raises:
        ConfigurationError: There is such a file.
        DiskFull: There is no room for it.
    """
    entries: dict[str, dict[str, Any]] = {}
    with atomic_path(path, needed) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name, content in files:
                entries[name] = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
                _add(archive, name, content)
            manifest = {"format": FORMAT, "version": VERSION, **about, "files": entries}
            _add(archive, MANIFEST, (json.dumps(manifest, indent=2, sort_keys=True) + "\n").encode())
        digest = sha256_of(temporary)
        if path.exists():
            raise ConfigurationError("there is such a file", where=path, remedy="give another file with -o")
    return digest


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _NO_DATE)
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    archive.writestr(info, content)


def check_entries(archive: zipfile.ZipFile, path: Path) -> tuple[dict[str, Any], list[Entry]]:
    """Read the manifest of a model, before anything of it is written.

    Entries are stored as they are, so that a model never takes more room than its file.

    Args:
        archive: The open zip.
        path: Its file, for messages.

    Returns:
        The manifest, and all other files.

    Raises:
        ConfigurationError: A name that is not of a model (so none that leads out of a folder), a name twice, a link,
            an entry that is compressed, encrypted or too large, or entries and manifest that do not agree.
    """
    infos = archive.infolist()
    if len(infos) > MOST_FILES:
        raise refuse("the model has too many files", path, len(infos), f"at most {MOST_FILES}")
    names = [info.filename for info in infos]
    for info in infos:
        plain = info.filename in (MANIFEST, PLANS, CHOICE)
        limit = LARGEST_JSON if plain else LARGEST_WEIGHTS
        if not plain and not WEIGHTS.fullmatch(info.filename):
            expected = f"{MANIFEST}, {PLANS}, {CHOICE} and checkpoint.safetensors of folds"
            raise refuse("the file has an entry that no model has", path, ascii(info.filename), expected)
        if names.count(info.filename) > 1:
            raise refuse("the model has a file twice", path, info.filename)
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG) or info.flag_bits & 1:
            raise refuse("the model has a link or an encrypted file", path, info.filename)
        if info.compress_type != zipfile.ZIP_STORED or info.compress_size != info.file_size:
            raise refuse("the model has a compressed file", path, info.filename, "files that are stored as they are")
        if info.file_size > limit:
            raise refuse("a file of the model is too large", path, f"{info.file_size} bytes of {info.filename}", limit)
    if sum(info.file_size for info in infos) > path.stat().st_size:
        raise refuse("the files of the model overlap", path)
    if MANIFEST not in names or PLANS not in names:
        raise refuse("the file is no model of darnet", path, ", ".join(sorted(names)[:5]), f"{MANIFEST} and {PLANS}")
    return _manifest(archive.read(MANIFEST), path, {i.filename: i.file_size for i in infos if i.filename != MANIFEST})


def _manifest(content: bytes, path: Path, sizes: Mapping[str, int]) -> tuple[dict[str, Any], list[Entry]]:
    try:
        manifest = parse_json(content)
    except (ValueError, RecursionError) as error:
        raise refuse(f"{MANIFEST} of the model is not valid JSON", path, error) from None
    known = isinstance(manifest, dict) and manifest.get("format") == FORMAT
    if not known or manifest.get("version") != VERSION:
        found = manifest.get("version") if known else "another file"
        raise refuse("the model has a format that is not read", path, f"version {found}", f"version {VERSION}")
    listed = manifest.get("files")
    if not isinstance(listed, dict) or set(listed) != set(sizes):
        raise refuse(f"{MANIFEST} does not list the files of the model", path, expected=", ".join(sorted(sizes)))
    entries = []
    for name, value in sorted(listed.items()):
        if not isinstance(value, dict) or value.get("bytes") != sizes[name] or not isinstance(value.get("sha256"), str):
            raise refuse(f"{MANIFEST} and a file of the model do not agree", path, name)
        entries.append(Entry(name, sizes[name], value["sha256"]))
    return manifest, entries


def extract(archive: zipfile.ZipFile, path: Path, entries: Iterable[Entry], folder: Path) -> None:
    """Write all files of a model into a new folder, onto the disk, and compare their hashes.

    Raises:
        ConfigurationError: A file has not the SHA-256 of the manifest.
        DiskFull: There is no room for a file.
    """
    for entry in entries:
        target = folder / entry.name
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        # Closed, flushed and renamed in this order.
        with (
            archive.open(entry.name) as source,
            atomic_path(target, entry.size) as temporary,
            temporary.open("xb") as file,
        ):
            while block := source.read(BLOCK):
                digest.update(block)
                file.write(block)
        if digest.hexdigest() != entry.sha256:
            raise refuse(
                "a file of the model is damaged", path, f"{entry.name}: {digest.hexdigest()}", f"SHA-256 {entry.sha256}"
            )
