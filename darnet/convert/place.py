"""One or both domains into a data set: all of it or, where anything is wrong, nothing."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darnet.convert.files import put_image, put_labels
from darnet.convert.found import Found, FoundCase, choose_classes, values_for
from darnet.errors import ConfigurationError, DarnetError, DataError, raise_together
from darnet.io import only_one, paired_notes, read_dataset_json, read_json, require_writable, write_json
from darnet.io.dataset_json import survey_folder
from darnet.layout import DatasetLayout
from darnet.progress import track
from darnet.words import counted

RECORD = "conversion.json"
TARGET_FOLDERS = ("imagesTr_target", "imagesTs", "labelsTs")


@dataclass(frozen=True)
class Placed:
    """What was put into a data set.

    Attributes:
        source: Number of labelled source scans.
        target: Number of unlabelled target scans.
        test: Number of target scans for testing.
        labelled_test: How many of these have labels.
        how: Number of files that were linked, copied and converted.
        notes: What a user should know of the data set, a sentence each.
    """

    source: int
    target: int
    test: int
    labelled_test: int
    how: Mapping[str, int]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Task:
    """A case and where it goes; `labels` is None where none are wanted. `classes` tells what values there mean."""

    case: FoundCase
    image: Path
    labels: Path | None
    values: Mapping[int, int]
    classes: Mapping[int, str]


def place(
    layout: DatasetLayout,
    source: Found | None = None,
    target: Found | None = None,
    classes: Sequence[str] | None = None,
    copy: bool = False,
    quiet: bool = True,
) -> Placed:
    """Make a data set out of source scans, add target scans to it, or both at once.

    Labels of target scans go to labelsTs for test cases; those of all others are left behind.

    Args:
        layout: The data set. With `source` it must not be there, without it must.
        source: Labelled scans; those without labels and test cases are left behind.
        target: Scans of the other modality.
        classes: Classes to keep, numbered in this order; all if None. Needs `source`.
        copy: Copy files that could be linked.
        quiet: No progress bar.

    Raises:
        ConfigurationError: Something is in the way, or missing.
        DataError: Scans or labels that cannot be used, all of them at once; nothing is left of the data set then.
    """
    _check_place(layout, source, target)
    description = _describe(layout, source, target, classes)
    folder = layout.raw.parent / f".{layout.name}.convert"
    tasks = _tasks(folder, description, source, target)
    require_writable(layout.raw.parent, "mend its rights, or name another root with --root")
    lock = layout.raw.parent / f".{layout.name}.convert.lock"
    with only_one(lock, f"converts {layout.name}", keep=False), _staging(folder):
        _check_place(layout, source, target)  # another process may just have made it
        made, dropped = _put_all(tasks, folder, copy, quiet)
        former = read_json(layout.raw / RECORD) if (layout.raw / RECORD).exists() else []
        write_json(folder / RECORD, former + made)
        write_json(folder / "dataset.json", description)
        _move(folder, layout.raw)
    test = [t for t in tasks if t.image.parent.name == "imagesTs"]
    how = [line["how"] for line in made]
    return Placed(
        source=sum(t.image.parent.name == "imagesTr" for t in tasks),
        target=sum(t.image.parent.name == "imagesTr_target" for t in tasks),
        test=len(test),
        labelled_test=sum(t.labels is not None for t in test),
        how={word: how.count(word) for word in sorted(set(how))},
        notes=(*_left_out_classes(dropped), *_paired(layout, description["file_ending"])),
    )


def _left_out_classes(dropped: Mapping[str, int]) -> tuple[str, ...]:
    """A note on classes that are background now, with the number of label files that hold each; none where none are."""
    names = ", ".join(f"{name} in {counted(files, 'label file')}" for name, files in dropped.items())
    return (f"classes left out, which are background now: {names}",) if names else ()


def _paired(layout: DatasetLayout, ending: str) -> list[str]:
    """Notes on cases of one name in both domains of the data set as it is now."""
    folders = (layout.images("source"), layout.images("target"), layout.raw / "imagesTs")
    return paired_notes(*(survey_folder(folder, ending, images=True).cases for folder in folders))


def labelled(source: Found) -> list[FoundCase]:
    """The cases that can be source cases: labelled, and not for testing."""
    return [case for case in source.cases if case.labels is not None and not case.test]


def new_layout(name: str, root: Path) -> DatasetLayout:
    """Where a new data set goes.

    Raises:
        ConfigurationError: Its name is no DatasetNNN_Name, or its number belongs to another one.
    """
    match = re.fullmatch(r"Dataset(\d{3})_[^/\\]+", name)
    if not match:
        raise ConfigurationError(
            "a data set cannot have this name",
            found=name,
            expected="DatasetNNN_Name, such as Dataset101_AbdomenCT2MR",
            remedy="give its whole name with -d",
        )
    others = [p.name for p in (root / "raw").glob(f"Dataset{match[1]}_*") if p.name != name]
    if others:
        raise ConfigurationError(
            f"the number {match[1]} belongs to another data set",
            where=(root / "raw").absolute(),
            found=", ".join(others),
            remedy="choose another number",
        )
    return DatasetLayout(root, name)


def _check_place(layout: DatasetLayout, source: Found | None, target: Found | None) -> None:
    """Refuse what would replace files, and targets for a data set that is not there."""
    raw = layout.raw
    if source is not None and raw.exists():
        raise ConfigurationError(
            "there is such a data set already", where=raw.absolute(), remedy="choose another name, or move it away"
        )
    if source is None and not (raw / "dataset.json").is_file():
        raise ConfigurationError(
            "there is no such data set to add target scans to",
            where=raw.absolute(),
            remedy="bring its source scans into place first",
        )
    there = [name for name in TARGET_FOLDERS if target is not None and (raw / name).exists()]
    if there:
        raise ConfigurationError(
            "the data set has target scans already",
            where=raw.absolute(),
            found=", ".join(there),
            remedy="move these folders away, or choose another data set",
        )


def _describe(
    layout: DatasetLayout, source: Found | None, target: Found | None, classes: Sequence[str] | None
) -> dict[str, Any]:
    """The content of dataset.json."""
    if source is None:
        if classes is not None:
            raise ConfigurationError(
                "the classes of a data set are those of its source", remedy="leave --classes out for target scans"
            )
        ending = read_dataset_json(layout.dataset_json).file_ending
        description = {**read_json(layout.dataset_json), "file_ending": ending}
        domains = dict(description.get("domains", {}))
    else:
        names = choose_classes(source, classes)
        ending = next((".nii" for c in source.cases if c.image.name.lower().endswith(".nii")), ".nii.gz")
        description = {
            "name": layout.name.split("_", 1)[1],
            "channel_names": {"0": source.modality},
            "labels": {"background": 0} | {name: n for n, name in enumerate(names, 1)},
            "numTraining": len(labelled(source)),
            "file_ending": ending,
        }
        domains = {"source": source.modality}
    if target is not None:
        domains["target"] = target.modality
    return description | {"domains": domains}


def _tasks(folder: Path, description: Mapping[str, Any], source: Found | None, target: Found | None) -> list[_Task]:
    """What to put where."""
    ending, labels = description["file_ending"], description["labels"]
    tasks = []
    if source is not None:
        values = values_for(source, labels)
        for case in _told_apart(labelled(source), source):
            tasks.append(_task(folder, "imagesTr", "labelsTr", case, ending, values, source.class_of))
    if target is not None:
        wanted = any(case.test and case.labels is not None for case in target.cases)
        values = values_for(target, labels) if wanted else {}
        for case in _told_apart(target.cases, target):
            if case.test:
                place_of_labels = "labelsTs" if case.labels is not None else None
                tasks.append(_task(folder, "imagesTs", place_of_labels, case, ending, values, target.class_of))
            else:
                tasks.append(_task(folder, "imagesTr_target", None, case, ending, {}, target.class_of))
        if not any(not case.test for case in target.cases):
            raise DataError(
                "no target scan is left to train with", where=target.where, remedy="name fewer cases with --test_cases"
            )
    return tasks


def _task(
    folder: Path,
    images: str,
    labels: str | None,
    case: FoundCase,
    ending: str,
    values: Mapping[int, int],
    classes: Mapping[int, str],
) -> _Task:
    image = folder / images / f"{case.case_id}_0000{ending}"
    return _Task(case, image, folder / labels / f"{case.case_id}{ending}" if labels else None, values, classes)


def _told_apart(cases: Sequence[FoundCase], found: Found) -> Sequence[FoundCase]:
    """The same cases, unless there are none or two have one name."""
    if not cases:
        raise DataError("there are no scans to convert", where=found.where, remedy="mend the path")
    names = [case.case_id.casefold() for case in cases]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            "two scans have the same name", where=found.where, found=", ".join(twice), remedy="rename one of them"
        )
    return cases


@contextlib.contextmanager
def _staging(folder: Path) -> Iterator[None]:
    """A hidden folder beside the data set that never stays; what a killed run left of it is removed."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _put_all(
    tasks: Sequence[_Task], folder: Path, copy: bool, quiet: bool
) -> tuple[list[dict[str, str]], Mapping[str, int]]:
    """Put all files into place.

    Returns:
        Where each came from; and in how many label files each class that became background was.

    Raises:
        DataError: All faults together.
    """
    faults: list[DarnetError] = []
    record: list[dict[str, str]] = []
    dropped: Counter[str] = Counter()
    for task in track(tasks, "convert", "scan", quiet):
        for put in (_put_image, _put_labels):
            try:
                lines, classes = put(task, folder, copy)
            except DataError as error:
                faults.append(error)
            else:
                record += lines
                dropped.update(classes)
    # What ails a scan may show in its labels again.
    raise_together(list({str(fault): fault for fault in faults}.values()), "nothing was converted")
    return record, dropped


def _put_image(task: _Task, folder: Path, copy: bool) -> tuple[list[dict[str, str]], list[str]]:
    """Put a scan into place and record where it came from; no class becomes background."""
    task.image.parent.mkdir(exist_ok=True)
    return [_line(folder, task.image, task.case.image, put_image(task.case, task.image, copy))], []


def _put_labels(task: _Task, folder: Path, copy: bool) -> tuple[list[dict[str, str]], list[str]]:
    """Put the labels of a scan into place, where any are wanted; where they came from, and classes made background."""
    if task.labels is None or task.case.labels is None:
        return [], []
    task.labels.parent.mkdir(exist_ok=True)
    how, dropped = put_labels(task.case, task.labels, task.values, copy)
    classes = list(dict.fromkeys(task.classes[value] for value in dropped))
    return [_line(folder, task.labels, task.case.labels, how)], classes


def _line(folder: Path, path: Path, source: Path, how: str) -> dict[str, str]:
    return {"file": path.relative_to(folder).as_posix(), "from": str(source.absolute()), "how": how}


def _move(folder: Path, raw: Path) -> None:
    """From the hidden folder to the data set, dataset.json last."""
    if not raw.exists():
        folder.rename(raw)
        return
    names = sorted((p.name for p in folder.iterdir()), key=lambda name: (name == "dataset.json", name == RECORD, name))
    for name in names:
        (folder / name).replace(raw / name)
