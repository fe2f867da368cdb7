"""dataset.json and the names of files in a raw data set: nnU-Net's, plus the names of two domains."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darnet.errors import ConfigurationError, DarnetError, DataError, collect, raise_together
from darnet.io.files import name_too_long
from darnet.strict_json import read_json

FILE_ENDINGS = (".nii.gz", ".nii")
DICOM = ".dcm"
SCAN_ENDINGS = (*FILE_ENDINGS, ".mha", ".mhd", ".nrrd", ".nhdr", ".img", ".hdr", ".mgz", ".mgh", ".mnc", DICOM, ".gipl")
UNKNOWN = "unknown"

_DOMAINS = '"domains": {"source": "CT", "target": "MR"}'
_LABELS = '"labels": {"background": 0, "liver": 1}'
_KEYS = f'{{"channel_names": {{"0": "CT"}}, {_LABELS}, {_DOMAINS}, "file_ending": ".nii.gz"}}'


@dataclass(frozen=True)
class DatasetInfo:
    """What dataset.json says.

    Attributes:
        name: Name of the data set; that of its folder where dataset.json has none.
        labels: Value of each class by name, background first, values 0, 1, 2, ...
        source_modality: Modality of the labelled scans.
        target_modality: Modality of the unlabelled scans, "unknown" where it is not said.
        file_ending: ".nii.gz" or ".nii".
        channel_names: Name of the one channel by its number, "0".
        doubts: What had to be assumed, and what to write instead.
    """

    name: str
    labels: dict[str, int]
    source_modality: str
    target_modality: str
    file_ending: str
    channel_names: dict[str, str]
    doubts: tuple[str, ...] = ()


def read_dataset_json(path: str | Path) -> DatasetInfo:
    """Read dataset.json. Keys that darnet does not use are ignored.

    Raises:
        DataError: It is missing, malformed (with its line), of the old nnU-Net layout, or asks for what darnet has not.
    """
    path = Path(path)
    try:
        values = read_json(path)
    except ConfigurationError as error:
        remedy = error.remedy or f"write one: {_KEYS}"
        raise DataError("dataset.json: " + error.what, where=error.where, found=error.found, remedy=remedy) from None
    if not isinstance(values, dict):
        raise DataError("dataset.json is no object", where=path, found=type(values).__name__, expected=_KEYS)
    document = _Document(path, values)
    document.refuse_old_layout()
    faults: list[DarnetError] = []
    labels = collect(faults, document.labels)
    channels = collect(faults, document.channel_names) or {"0": UNKNOWN}
    domains = collect(faults, lambda: document.domains(channels["0"]))
    ending = collect(faults, document.file_ending)
    raise_together(faults, "dataset.json cannot be used")
    assert labels is not None and domains is not None and ending is not None
    name = values.get("name") or path.absolute().parent.name
    return DatasetInfo(str(name), labels, *domains, ending, channels, document.doubts(*domains))


class _Document:
    """dataset.json while it is checked."""

    def __init__(self, path: Path, values: dict[str, Any]) -> None:
        self.path, self.values = path, values

    def wrong(self, key: str, what: str, found: object, expected: object, remedy: str | None = None) -> DataError:
        return DataError(f"dataset.json: {what}", where=self.place(key), found=found, expected=expected, remedy=remedy)

    def place(self, key: str) -> str:
        """File, line and key."""
        lines = self.path.read_text(encoding="utf-8").splitlines()
        number = next((n for n, line in enumerate(lines, 1) if re.search(rf'"{re.escape(key)}"\s*:', line)), None)
        return f"{self.path}, " + (f"line {number}, " if number else "") + f'key "{key}"'

    def _require(self, key: str, kind: type, expected: str) -> Any:
        if key not in self.values:
            raise self.wrong(key, f'the key "{key}" is missing', None, expected, f'add "{key}"')
        value = self.values[key]
        if not isinstance(value, kind) or not value:
            raise self.wrong(key, f'"{key}" has a wrong value', json.dumps(value), expected)
        return value

    def refuse_old_layout(self) -> None:
        """Refuse `modality` and labels by value, with what to write instead."""
        labels = self.values.get("labels")
        inverted = isinstance(labels, dict) and bool(labels) and all(str(k).isdecimal() for k in labels)
        if "modality" not in self.values and not inverted:
            return
        key = "modality" if "modality" in self.values else "labels"
        if inverted and isinstance(labels, dict):
            labels = {str(name): int(value) for value, name in labels.items()}
        mended = {"channel_names": self.values.get("modality", {"0": "CT"}), "labels": labels, "file_ending": ".nii.gz"}
        raise self.wrong(
            key,
            "it has the layout of the old nnU-Net",
            f'"{key}": {json.dumps(self.values[key])}',
            "channel_names, labels by name, and file_ending",
            f"replace modality and labels by {json.dumps(mended)[1:-1]}; training and test lists are not needed",
        )

    def labels(self) -> dict[str, int]:
        """Value of each class by name, in the order of the values."""
        expected = '{"background": 0, "liver": 1, ...} with the values 0, 1, 2, ...'
        labels = self._require("labels", dict, expected)
        values = list(labels.values())
        if any(isinstance(value, list) for value in values):
            raise self.wrong(
                "labels",
                "labels of regions are not supported",
                json.dumps(labels),
                expected,
                "give each class its own value",
            )
        if "ignore" in labels:
            raise self.wrong(
                "labels",
                "an ignore label is not supported",
                json.dumps(labels),
                expected,
                "label these voxels and remove the class",
            )
        whole = all(type(v) is int for v in values)
        if not whole or sorted(values) != list(range(len(values))):
            raise self.wrong(
                "labels",
                "the values of the labels have gaps or are no whole numbers",
                json.dumps(labels),
                expected,
                "number the classes without gaps, in the label files too"
                + ("; darnet_convert nnunet does both and takes target scans along" if whole else ""),
            )
        if labels.get("background") != 0 or len(labels) < 2 or len(labels) > 256:
            raise self.wrong("labels", "background must be 0, beside 1 to 255 classes", json.dumps(labels), expected)
        return dict(sorted(labels.items(), key=lambda item: int(item[1])))

    def channel_names(self) -> dict[str, str]:
        """The one channel by its number."""
        expected = 'one channel, such as {"0": "CT"}'
        channels = self._require("channel_names", dict, expected)
        if len(channels) > 1:
            raise self.wrong(
                "channel_names",
                "scans of several channels are not supported",
                json.dumps(channels),
                expected,
                "keep one channel, as CASE_0000",
            )
        if list(channels) != ["0"] or not isinstance(channels["0"], str):
            raise self.wrong("channel_names", "the channel has a wrong number or name", json.dumps(channels), expected)
        return dict(channels)

    def domains(self, channel: str) -> tuple[str, str]:
        """Modalities of source and target."""
        domains = self.values.get("domains", {})
        expected = '{"source": "CT", "target": "MR"}'
        good = isinstance(domains, dict) and set(domains) <= {"source", "target"}
        if not good or not all(isinstance(v, str) and v for v in domains.values()):
            raise self.wrong("domains", '"domains" has a wrong value', json.dumps(domains), expected)
        return domains.get("source", channel), domains.get("target", UNKNOWN)

    def doubts(self, *modalities: str) -> tuple[str, ...]:
        """What was assumed of the kinds of scan that `domains` does not name."""
        said = self.values.get("domains", {})
        assumed = zip(("source", "target"), modalities, strict=True)
        taken = [f'the {domain} scans are taken for "{kind}"' for domain, kind in assumed if domain not in said]
        if not taken:
            return ()
        what = f'"domains" does not name both kinds of scan: {", ".join(taken)}'
        expected = "the kinds of both; intensities are clipped as those of CT only where CT is named"
        remedy = f"write {_DOMAINS} with the kinds of your scans, and plan again"
        return (str(self.wrong("domains", what, json.dumps(said) if said else "no such key", expected, remedy)),)

    def file_ending(self) -> str:
        """Ending of all scans and labels."""
        ending = self.values.get("file_ending", FILE_ENDINGS[0])
        if ending not in FILE_ENDINGS:
            raise self.wrong(
                "file_ending",
                "scans of this kind are not read",
                json.dumps(ending),
                " or ".join(FILE_ENDINGS),
                "convert the scans to NIfTI",
            )
        return str(ending)


@dataclass(frozen=True)
class Listing:
    """The scans, or the labels, of a folder.

    Attributes:
        cases: File of each case whose name is in order, sorted by case.
        seen: All cases that a file speaks of, those with a fault included.
        faults: What is wrong with the folder and its names.
    """

    cases: dict[str, Path]
    seen: frozenset[str]
    faults: tuple[DarnetError, ...]


def list_cases(folder: str | Path, file_ending: str = ".nii.gz") -> dict[str, Path]:
    """Scans of a folder, named CASE_0000 and `file_ending`, by case and sorted. Hidden and other files are ignored.

    Raises:
        DataError: No folder, no scan, another ending, no _0000, a second channel, a case twice, a dangling link.
    """
    return _sound(survey_folder(folder, file_ending, images=True), folder)


def list_labels(folder: str | Path, file_ending: str = ".nii.gz") -> dict[str, Path]:
    """Labels of a folder, named CASE and `file_ending`, by case and sorted.

    Hidden and other files are ignored, and CASE.dcm beside a case: it is the same as DICOM SEG.

    Raises:
        DataError: No folder, no file, another ending, a case twice, a dangling link.
    """
    return _sound(survey_folder(folder, file_ending, images=False), folder)


def survey_folder(folder: str | Path, file_ending: str, images: bool) -> Listing:
    """Look at all names in a folder of scans or labels, and list what is sound and what is wrong."""
    folder = Path(folder)
    pattern = f"CASE_0000{file_ending}" if images else f"CASE{file_ending}"
    if not folder.is_dir():
        fault = DataError(
            "the folder is missing",
            where=folder.absolute(),
            expected=f"a folder of {pattern}",
            remedy=f"make it and put the {'scans' if images else 'labels'} there, or mend the path",
        )
        return Listing({}, frozenset(), (fault,))
    faults: list[DarnetError] = []
    cases: dict[str, Path] = {}
    seen: dict[str, Path] = {}
    ids: set[str] = set()
    files = sorted(p for p in folder.iterdir() if not p.name.startswith(".") and not p.is_dir())
    for path in files:
        ending = next((e for e in SCAN_ENDINGS if path.name.lower().endswith(e)), None)
        if ending is None:
            continue
        name = path.name[: -len(ending)]
        if ending == DICOM and not images and (folder / f"{name}{file_ending}").exists():
            continue  # the same labels as DICOM SEG
        match = re.fullmatch(r"(.+)_(\d{4})", name, re.DOTALL) if images else None
        case_id = match[1] if match else name
        fault_of_name = _fault(path, file_ending, pattern, match[2] if match else None, images)
        key = f"{case_id}_{match[2]}".casefold() if match else case_id.casefold()
        if key in seen:
            fault_of_name = DataError(
                f"case {case_id} is there twice",
                where=folder,
                found=f"{seen[key].name} and {path.name}",
                expected="one file a case, names that differ by more than case",
                remedy="remove or rename one of them",
            )
        seen[key] = path
        ids.add(case_id)
        if fault_of_name:
            faults.append(fault_of_name)
        else:
            cases[case_id] = path
    if not cases and not faults:
        fault = DataError(
            "the folder has no scan" if images else "the folder has no labels",
            where=folder.absolute(),
            found=", ".join(p.name for p in files[:5]) or "no file",
            expected=f"files named {pattern}",
            remedy=f"put the {'scans' if images else 'labels'} there, rename them, or mend the path",
        )
        faults.append(fault)
    return Listing(dict(sorted(cases.items())), frozenset(ids), tuple(faults))


def _sound(listing: Listing, folder: str | Path) -> dict[str, Path]:
    raise_together(listing.faults, f"{folder} has files that cannot be used")
    return listing.cases


def _fault(path: Path, file_ending: str, pattern: str, channel: str | None, images: bool) -> DataError | None:
    """What is wrong with the name of a file, or None."""
    if not path.is_file():
        return DataError("a link leads nowhere", where=path, remedy="mend or remove the link")
    if too_long := name_too_long(path, file_ending):
        return too_long
    if not path.name.endswith(file_ending):
        return DataError(
            "a file has another ending",
            where=path,
            expected=pattern,
            remedy=("compress it (gzip)" if file_ending == f"{path.suffix}.gz" else "convert it to NIfTI or rename it")
            + "; in a data set, file_ending of dataset.json says how files end",
        )
    if images and channel is None:
        return _no_channel(path, file_ending, pattern)
    if images and channel != "0000":
        return DataError(
            "a scan has a further channel",
            where=path,
            found=f"channel {channel}",
            expected=pattern,
            remedy="keep one channel for each case, as CASE_0000",
        )
    return None


def _no_channel(path: Path, file_ending: str, pattern: str) -> DataError:
    """What to do with a file CASE among scans. Beside CASE_0000 it must not be renamed: that would replace the scan."""
    named = path.with_name(f"{path.name.removesuffix(file_ending)}_0000{file_ending}")
    found, remedy = None, f"rename it to {named.name}"
    if named.exists():
        found, remedy = f"{named.name} is there already", "take one of them away"
    remedy += "; if it is a label file, move it: those of source scans into labelsTr"
    return DataError("a scan's name has no channel number", where=path, found=found, expected=pattern, remedy=remedy)
