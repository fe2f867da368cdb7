"""A data set of nnU-Net: version 2 with or without a list of its files, the older layout, or one of darnet."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darnet.convert.found import Found, FoundCase, left_out
from darnet.errors import ConfigurationError, DarnetError, DataError, raise_together
from darnet.io import read_json
from darnet.io.dataset_json import FILE_ENDINGS, SCAN_ENDINGS

BACKGROUND = "background"
MOST_VALUE = 65535
TRAINING = ("imagesTr", "labelsTr")
TEST = ("imagesTs", "labelsTs")
TARGETS = "imagesTr_target"  # a data set with this folder is one of darnet: its test cases are target scans too


@dataclass(frozen=True)
class _Description:
    """What dataset.json says; `number` and `name` are those of the channel to keep, out of `channels`."""

    path: Path
    values: Mapping[str, Any]
    number: int
    name: str
    channels: int
    classes: Mapping[str, int]
    ending: str
    domains: Mapping[str, str]


def find_nnunet(
    folder: str | Path,
    channel: str | None = None,
    modality: str | None = None,
    labelled: bool = True,
    with_targets: bool = False,
    domain: str | None = "source",
) -> Found:
    """Find the scans of a data set of nnU-Net.

    Cases of imagesTr (or of the key "dataset") are labelled; those of imagesTs are test cases, labelled where
    labelsTs has them. Of a data set of darnet, these are the source cases alone.

    Args:
        folder: The one with dataset.json.
        channel: Name or number of the channel to keep; needed where there are several.
        modality: What to call it; if not given the name of `domain` in "domains", else the channel's name.
        labelled: The cases must have labels; else a missing labelsTr is no fault.
        with_targets: Target scans of a data set of darnet are taken with `find_targets`; else a note says that they are
            left out.
        domain: What the cases are in a data set of darnet; None for those of a channel that is named alone.

    Raises:
        ConfigurationError: No such channel, or several and none chosen.
        DataError: dataset.json or the files are not as they should be, or ask for what darnet has not.
    """
    folder = Path(folder)
    told = _describe(folder, channel)
    own_targets = _has_targets(folder)
    listed = "dataset" in told.values
    cases = (
        _listed(told.values["dataset"], told.path, told.number)
        if listed
        else _training_cases(folder, told.ending, told.number, labelled)
    )
    notes = _announced(told.values, len(cases), told.path)
    test = [] if own_targets else _test_cases(folder, told)
    images = ([] if listed else ["imagesTr"]) + ([] if own_targets else ["imagesTs"])
    notes += _odd_names(folder, told, images, test)
    if own_targets and not with_targets:
        own = [path for name in (TARGETS, *TEST) if (path := folder / name).is_dir()]
        notes += left_out(own, folder, "target scans of its own; they come along with --source alone")
    read = ", ".join((*TRAINING, *([TARGETS] if own_targets else []), *TEST))
    notes += left_out(_not_read(folder, cases), folder, f"only {read} are read")
    name = told.domains.get(domain, told.name) if domain else told.name
    return Found(folder, modality or name, told.classes, (*cases, *test), notes)


def find_targets(folder: str | Path, channel: str | None = None, modality: str | None = None) -> Found | None:
    """Find the target scans of a data set of darnet: those of imagesTr_target and, for testing, those of imagesTs.

    Args:
        folder: The one with dataset.json.
        channel: Name or number of the channel to keep; needed where there are several.
        modality: What to call it; if not given the name of the target in "domains".

    Returns:
        None where imagesTr_target is not there or empty.

    Raises:
        ConfigurationError: No such channel, several and none chosen, or no name.
        DataError: dataset.json or the files are not as they should be.
    """
    folder = Path(folder)
    if not _has_targets(folder):
        return None
    told = _describe(folder, channel)
    modality = modality or told.domains.get("target")
    if modality is None:
        raise ConfigurationError(
            "it is not said what kind of scan the target scans are",
            where=folder / TARGETS,
            expected=f'"domains" with "target" in {told.path}',
            remedy="name it with --target_modality, such as MR",
        )
    scans = _scans(folder / TARGETS, told.ending, told.number)
    cases = [FoundCase(case, path) for case, path in sorted(scans.items())]
    test = _test_cases(folder, told)
    notes = _odd_names(folder, told, [TARGETS, "imagesTs"], test)
    return Found(folder, modality, told.classes, (*cases, *test), notes)


def _has_targets(folder: Path) -> bool:
    """Whether a data set has target scans of its own, as those of darnet."""
    targets = folder / TARGETS
    return targets.is_dir() and any(not path.name.startswith(".") for path in targets.iterdir())


def _describe(folder: Path, channel: str | None) -> _Description:
    """Read dataset.json."""
    path = folder / "dataset.json"
    if not path.is_file():
        raise DataError(
            "the folder is no data set of nnU-Net",
            where=folder.absolute(),
            expected="dataset.json, imagesTr and labelsTr",
            remedy="give the folder with dataset.json",
        )
    try:
        values = read_json(path)
    except ConfigurationError as error:
        what = f"dataset.json: {error.what}"
        raise DataError(what, where=error.where, found=error.found, remedy=error.remedy) from None
    if not isinstance(values, dict):
        raise DataError("dataset.json is no object", where=path, found=type(values).__name__)
    number, name, channels = _channel(values, path, channel)
    classes, ending = _classes(values, path), _file_ending(values, path)
    domains = values.get("domains")  # a key of darnet: in other data sets it may mean anything
    domains = domains if isinstance(domains, dict) else {}
    domains = {role: kind for role, kind in domains.items() if isinstance(kind, str) and kind}
    return _Description(path, values, number, name, channels, classes, ending, domains)


def _wrong(path: Path, key: str, what: str, found: object, expected: object, remedy: str | None = None) -> DataError:
    return DataError(f"dataset.json: {what}", where=f'{path}, key "{key}"', found=json.dumps(found), expected=expected,
                     remedy=remedy)  # fmt: skip


def _announced(values: Mapping[str, Any], there: int, path: Path) -> tuple[str, ...]:
    """A note where dataset.json tells of another number of cases: some may not have arrived."""
    number = values.get("numTraining", there)
    return () if number == there else (f"{there} training cases are there, numTraining in {path} is {number}",)


def _channel(values: Mapping[str, Any], path: Path, wanted: str | None) -> tuple[int, str, int]:
    """Number and name of the channel to keep, and how many there are. The older layout calls the key "modality"."""
    key = "channel_names" if "channel_names" in values else "modality"
    channels = values.get(key)
    sound = isinstance(channels, dict) and bool(channels) and all(isinstance(n, str) and n for n in channels.values())
    if not sound or not isinstance(channels, dict) or set(channels) != {str(n) for n in range(len(channels))}:
        raise _wrong(path, key, "the channels are missing or wrong", channels, '{"0": "CT"}')
    listing = ", ".join(f"{number} {name}" for number, name in channels.items())
    if wanted is None:
        if len(channels) > 1:
            raise ConfigurationError(
                "the scans have several channels and darnet uses one",
                where=path,
                found=listing,
                remedy="choose one with --source_channel or --target_channel",
            )
        wanted = next(iter(channels))
    for number, name in channels.items():
        if wanted in (number, name):
            return int(number), str(name), len(channels)
    raise ConfigurationError(
        f"there is no channel {wanted}", where=path, found=listing, remedy="mend its name or number"
    )


def _classes(values: Mapping[str, Any], path: Path) -> dict[str, int]:
    """Value of each class. The older layout has the values as keys."""
    expected = '{"background": 0, "liver": 1, ...}'
    labels = values.get("labels")
    if not isinstance(labels, dict) or not labels:
        raise _wrong(path, "labels", "the labels are missing or wrong", labels, expected)
    if all(str(key).isdecimal() and isinstance(name, str) for key, name in labels.items()):
        if len(set(labels.values())) < len(labels):
            raise _wrong(path, "labels", "two values have one name", labels, expected)
        labels = {name: int(value) for value, name in labels.items()}
    if any(isinstance(value, list) for value in labels.values()):
        raise _wrong(path, "labels", "labels of regions are not supported", labels, expected,
                     "give each class its own value, in the label files too")  # fmt: skip
    if "ignore" in labels:
        raise _wrong(path, "labels", "an ignore label is not supported", labels, expected,
                     "label these voxels and remove the class")  # fmt: skip
    numbers = list(labels.values())
    if any(type(v) is not int or not 0 <= v <= MOST_VALUE for v in numbers) or len(set(numbers)) < len(numbers):
        raise _wrong(
            path, "labels", f"values are no whole numbers from 0 to {MOST_VALUE}, or there twice", labels, expected
        )
    zero = [name for name, value in labels.items() if value == 0]
    if not zero or zero[0].casefold() != BACKGROUND or len(labels) < 2:
        raise _wrong(path, "labels", "background must be 0, beside at least one class", labels, expected)
    return {name: value for name, value in labels.items() if value}


def _file_ending(values: Mapping[str, Any], path: Path) -> str:
    ending = values.get("file_ending", FILE_ENDINGS[0])
    if ending not in FILE_ENDINGS:
        raise _wrong(path, "file_ending", "files of this kind are not read", ending, " or ".join(FILE_ENDINGS),
                     "convert scans and labels to NIfTI")  # fmt: skip
    return str(ending)


def _listed(files: Any, path: Path, channel: int) -> list[FoundCase]:
    """The cases of the key "dataset", whose paths start at the folder of dataset.json."""
    expected = '{"CASE": {"images": ["imagesTr/CASE_0000.nii.gz"], "label": "labelsTr/CASE.nii.gz"}}'
    if not isinstance(files, dict) or not files:
        raise _wrong(path, "dataset", "the list of files is empty or wrong", type(files).__name__, expected)
    cases = []
    faults: list[DarnetError] = []
    for case, entry in sorted(files.items()):
        images = entry.get("images") if isinstance(entry, dict) else None
        label = entry.get("label") if isinstance(entry, dict) else None
        if not isinstance(images, list) or len(images) <= channel or not isinstance(label, str):
            faults.append(_wrong(path, "dataset", f"the entry of {case} is wrong", entry, expected))
            continue
        files_of_case = [path.parent / str(images[channel]), path.parent / label]
        faults += [
            DataError(f"a file of case {case} is missing", where=file, remedy="mend its path in dataset.json")
            for file in files_of_case
            if not file.is_file()
        ]
        faults += [
            DataError(
                f"a file of case {case} is of a kind that is not read",
                where=file,
                expected=" or ".join(FILE_ENDINGS),
                remedy="convert it to NIfTI",
            )
            for file in files_of_case
            if not file.name.endswith(FILE_ENDINGS)
        ]
        cases.append(FoundCase(case, files_of_case[0], files_of_case[1]))
    raise_together(faults, f"{path} lists files that cannot be used")
    return cases


def _training_cases(folder: Path, ending: str, channel: int, labelled: bool) -> list[FoundCase]:
    """Scans of imagesTr, each with its labels."""
    images, labels = folder / "imagesTr", folder / "labelsTr"
    scans = _scans(images, ending, channel)
    if not labelled and not labels.is_dir():
        return [FoundCase(case, path) for case, path in sorted(scans.items())]
    masks = _files(labels, ending)
    faults: list[DarnetError] = [
        DataError(f"case {case} has no labels", where=scans[case], expected=labels / f"{case}{ending}")
        for case in sorted(set(scans) - set(masks))
    ]
    faults += [
        DataError(f"labels of {case} have no scan", where=masks[case],
                  expected=images / f"{case}_{channel:04d}{ending}")
        for case in sorted(set(masks) - set(scans))
    ]  # fmt: skip
    raise_together(faults, "scans and labels do not pair")
    return [FoundCase(case, scans[case], masks[case]) for case in sorted(scans)]


def _test_cases(folder: Path, told: _Description) -> list[FoundCase]:
    """Scans of imagesTs, with labels where labelsTs has them."""
    images, labels = (folder / name for name in TEST)
    if not images.is_dir():
        return []
    masks = _files(labels, told.ending) if labels.is_dir() else {}
    scans = _scans(images, told.ending, told.number, may_be_empty=True)
    return [FoundCase(case, path, masks.get(case), test=True) for case, path in sorted(scans.items())]


def _odd_names(folder: Path, told: _Description, images: Sequence[str], test: Sequence[FoundCase]) -> tuple[str, ...]:
    """Notes on scans of these folders whose names are others, and on labels of test scans that are not there."""
    unused = [path for name in images for path in _unused(folder / name, told)]
    notes = left_out(unused, folder, f"not named CASE_{told.number:04d}{told.ending}")
    labels = folder / "labelsTs"
    masks = _files(labels, told.ending).values() if "imagesTs" in images and labels.is_dir() else ()
    alone = [mask for mask in masks if mask not in {case.labels for case in test}]
    return notes + left_out(alone, folder, "no scan of this name in imagesTs")


def _not_read(folder: Path, cases: Sequence[FoundCase]) -> list[Path]:
    """Other folders of scans or labels, but for those that a list of files names."""
    named = {path.parent for case in cases for path in (case.image, case.labels) if path is not None}
    known = {folder / name for name in (*TRAINING, *TEST, TARGETS)} | named
    others = [p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".") and p not in known]
    return [p for p in others if any(file.name.lower().endswith(FILE_ENDINGS) for file in p.iterdir())]


def _scans(folder: Path, ending: str, channel: int, may_be_empty: bool = False) -> dict[str, Path]:
    """Scans CASE_NNNN of one channel by case."""
    end = f"_{channel:04d}"
    files = _files(folder, ending)
    scans = {name.removesuffix(end): path for name, path in files.items() if name.endswith(end)}
    if not scans and not may_be_empty:
        raise DataError(
            f"the folder has no scans of channel {channel}",
            where=folder,
            found=", ".join(path.name for path in list(files.values())[:5]) or "no file with this ending",
            expected=f"files named CASE{end}{ending}",
            remedy="rename the files, or mend dataset.json",
        )
    return scans


def _unused(folder: Path, told: _Description) -> list[Path]:
    """Scans of a folder that are neither used nor another channel of one that is."""
    if not folder.is_dir():
        return []
    cases = _scans(folder, told.ending, told.number, may_be_empty=True)
    known = {f"{case}_{number:04d}" for case in cases for number in range(told.channels)}
    return [path for name, path in _files(folder, told.ending).items() if name not in known]


def _files(folder: Path, ending: str) -> dict[str, Path]:
    """Files of a folder with this ending, by their names without it.

    Raises:
        DataError: The folder is missing, or has scans of another ending.
    """
    if not folder.is_dir():
        raise DataError("the folder is missing", where=folder.absolute(), remedy="mend the path")
    files = sorted(p for p in folder.iterdir() if not p.name.startswith(".") and not p.is_dir())
    odd = [p for p in files if p.name.lower().endswith(SCAN_ENDINGS) and not p.name.endswith(ending)]
    if odd:
        raise DataError(
            "a file has another ending than dataset.json says",
            where=odd[0],
            expected=ending,
            remedy="convert or rename it, or mend file_ending",
        )
    return {p.name.removesuffix(ending): p for p in files if p.name.endswith(ending)}
