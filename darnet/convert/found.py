"""What a download holds: scans, labels and the classes that the labels' values stand for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from darnet.errors import ConfigurationError, DataError
from darnet.io.dataset_json import FILE_ENDINGS
from darnet.words import several


@dataclass(frozen=True)
class FoundCase:
    """One scan of a download.

    Attributes:
        case_id: Its name in the data set to be made.
        image: A NIfTI file, or a folder of DICOM slices.
        labels: A NIfTI file, or a folder of PNG masks, one a slice; None where there are none.
        test: It is a test case of its download.
        masks_named_after: Folder of the slices whose names the PNG masks bear, where it is not `image`.
    """

    case_id: str
    image: Path
    labels: Path | None = None
    test: bool = False
    masks_named_after: Path | None = None


@dataclass(frozen=True)
class Found:
    """The scans of one modality of a download.

    Attributes:
        where: Its folder.
        modality: Name for dataset.json, such as "CT".
        classes: Values in the label files by class, without the background, which is 0.
        cases: The scans.
        notes: Which files of its folder are left out, and what of it is not as announced, a sentence each.
        aliases: Further values in the label files, each with the value in `classes` that it means.
    """

    where: Path
    modality: str
    classes: Mapping[str, int]
    cases: tuple[FoundCase, ...]
    notes: tuple[str, ...] = ()
    aliases: Mapping[int, int] = field(default_factory=dict)

    @property
    def class_of(self) -> dict[int, str]:
        """The class that each value in the label files stands for."""
        names = {value: name for name, value in self.classes.items()}
        return names | {alias: names[value] for alias, value in self.aliases.items()}


def scans_below(folder: Path) -> list[Path]:
    """All NIfTI files of a folder at any depth."""
    files = sorted(p for p in folder.rglob("*") if p.name.lower().endswith(FILE_ENDINGS) and not p.is_dir())
    return [path for path in files if not path.name.startswith(".")]


def left_out(paths: Sequence[Path], folder: Path, why: str) -> tuple[str, ...]:
    """A note that names what is left out below a folder; none where that is nothing."""
    names = several([path.relative_to(folder).as_posix() for path in sorted(paths)])
    return (f"left out of {folder}: {names} ({why})",) if names else ()


def put_once(found: dict[str, Path], name: str, path: Path) -> None:
    """Add a file under its name.

    Raises:
        DataError: There is another file of this name.
    """
    former = found.setdefault(name, path)
    if former != path:
        raise DataError(
            "a scan is there twice", where=path.parent, found=f"{former} and {path}", remedy="keep one of them"
        )


def matching(found: Found, patterns: Sequence[str]) -> tuple[FoundCase, ...]:
    """The cases whose names match any of the patterns, in which * stands for anything.

    Raises:
        ConfigurationError: A pattern matches none.
    """
    names = [case.case_id for case in found.cases]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigurationError(
                f"no case is named {pattern}",
                where=found.where,
                found=", ".join(names[:10]) + (", ..." if len(names) > 10 else ""),
                remedy="mend the name; * stands for any letters",
            )
    return tuple(c for c in found.cases if any(fnmatchcase(c.case_id, pattern) for pattern in patterns))


def with_test_cases(found: Found, patterns: Sequence[str]) -> Found:
    """The same scans, with these for testing too."""
    chosen = {case.case_id for case in matching(found, patterns)}
    cases = tuple(dataclasses.replace(case, test=case.test or case.case_id in chosen) for case in found.cases)
    return dataclasses.replace(found, cases=cases)


def divide(source: Found, target: Found, patterns: Sequence[str]) -> tuple[Found, Found]:
    """Two domains out of scans that lie together.

    Args:
        source: All of them, in the channel of the source.
        target: All of them, in the channel of the target.
        patterns: Names of the target cases; * stands for anything.

    Returns:
        The cases of `source` that match none of the patterns, those of `target` that match.

    Raises:
        ConfigurationError: A pattern matches none.
    """
    chosen = matching(target, patterns)
    names = {case.case_id for case in chosen}
    rest = tuple(case for case in source.cases if case.case_id not in names)
    return dataclasses.replace(source, cases=rest), dataclasses.replace(target, cases=chosen)


def same_name(one: str, other: str) -> bool:
    """Whether two class names differ by no more than case, spaces, dots, hyphens and underscores."""
    first, second = ("".join(c for c in name.casefold() if c not in " _-.") for name in (one, other))
    return first == second


def _called(classes: Mapping[str, int], name: str) -> list[str]:
    """The class of exactly this name; where there is none, all that differ from it by no more than such signs."""
    return [name] if name in classes else [own for own in classes if same_name(own, name)]


def choose_classes(found: Found, names: Sequence[str] | None) -> dict[str, int]:
    """Value in `found` of each class to keep, in the order asked for; all of them by value where none are named.

    Raises:
        ConfigurationError: A class is not there, is named twice, or could be any of several.
    """
    if names is None:
        return dict(sorted(found.classes.items(), key=lambda item: item[1]))
    chosen: dict[str, int] = {}
    for name in names:
        match = _called(found.classes, name)
        if len(match) > 1:
            raise ConfigurationError(
                f"class {name} could be any of several",
                where=found.where,
                found=", ".join(match),
                expected="one of these names",
                remedy="write the name with --classes exactly as it is there",
            )
        if not match or match[0] in chosen:
            raise ConfigurationError(
                f"class {name} is asked for twice" if match else f"there is no class {name}",
                where=found.where,
                found=", ".join(found.classes),
                remedy="name others with --classes",
            )
        chosen[match[0]] = found.classes[match[0]]
    return chosen


def values_for(found: Found, labels: Mapping[str, int]) -> dict[int, int]:
    """Value in a data set for each value in the files of `found`; classes that the data set has not become background.

    Raises:
        DataError: The data set has a class that `found` has not, or of which it is not clear which one it is there.
    """
    values = {0: 0} | dict.fromkeys(found.classes.values(), 0)
    named: dict[str, str] = {}
    for name, value in labels.items():
        if value == 0:
            continue
        match = _called(found.classes, name)
        if not match:
            raise DataError(
                f"the labels of the test cases have no class {name}",
                where=found.where,
                found=", ".join(found.classes),
                expected=", ".join(name for name, value in labels.items() if value),
                remedy="choose classes that both domains have with --classes, or leave --test_cases out",
            )
        if len(match) > 1 or match[0] in named:
            asked = [named[match[0]], name] if match[0] in named else [name]
            raise DataError(
                "names of classes are too much alike to tell which is which",
                where=found.where,
                found=", ".join(match),
                expected=", ".join(asked),
                remedy="give classes the same names in both domains, or leave --test_cases out",
            )
        named[match[0]] = name
        values[found.classes[match[0]]] = value
    return values | {alias: values[value] for alias, value in found.aliases.items()}
