"""crossMoDA 2021 to 2023: contrast-enhanced T1 with labels, high-resolution T2 without."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from darnet.convert.found import Found, FoundCase, left_out, put_once, scans_below
from darnet.errors import DarnetError, DataError, raise_together
from darnet.io import read_scan
from darnet.progress import track

CLASSES = {"vestibular_schwannoma": 1, "cochlea": 2}
# From 2023 on the tumour is two classes.
CLASSES_2023 = {"intra_meatal_tumour": 1, "extra_meatal_tumour": 2, "cochlea": 3}
SOURCE, LABELS, TARGET = "scans of the source", "labels of the source", "scans of the target"
KINDS = {
    "cet1": SOURCE,
    "contrastt1": SOURCE,
    "t1ce": SOURCE,
    "t1": SOURCE,
    "label": LABELS,
    "labels": LABELS,
    "seg": LABELS,
    "hrt2": TARGET,
    "t2": TARGET,
}
NAME = re.compile(r"(?P<case>crossmoda.*)_(?P<end>[^_]+)\.nii(\.gz)?", re.IGNORECASE)
YEAR = re.compile(r"crossmoda(?:20)?(\d\d)_", re.IGNORECASE)
LAYOUT = (
    "names such as crossmoda_1_ceT1.nii.gz, crossmoda23_etz_1_ContrastT1.nii.gz, their ..._Label.nii.gz, "
    "crossmoda_106_hrT2.nii.gz or crossmoda23_etz_106_T2.nii.gz"
)


def find_crossmoda(folder: str | Path, quiet: bool = True) -> tuple[Found, Found]:
    """Find source and target scans in the folders that the downloads unpack to.

    Scans are known by the ends of their names, in capitals or not, so the names of the folders do not matter; target
    scans below a folder with "validation" in its name are test cases. The classes are those of 2023 where a name has
    that year or a label the value 3.

    Args:
        folder: A folder that holds them all.
        quiet: No progress bar while labels are read.

    Raises:
        DataError: The folder is laid out otherwise, holds editions of different classes, or scans and labels do not
            pair, cannot be read or have other values.
    """
    folder = Path(folder)
    found = _by_kind(folder)
    images, labels, targets = found[SOURCE], found[LABELS], found[TARGET]
    if not images or not targets:
        raise DataError(
            "the folder is no download of crossMoDA with both domains",
            where=folder.absolute(),
            found=", ".join(f"{len(found[kind])} {kind}" for kind in (SOURCE, LABELS, TARGET)),
            expected=LAYOUT,
            remedy="give a folder that holds the unpacked training folders of both domains",
        )
    odd = sorted(set(images) ^ set(labels))
    if odd:
        raise DataError(
            "scans and labels do not pair",
            where=folder.absolute(),
            found=f"only one of the two for {', '.join(odd[:10])}",
            expected=LAYOUT,
            remedy="unpack the download again",
        )
    source = tuple(FoundCase(case, images[case], labels[case]) for case in sorted(images))
    target = tuple(
        FoundCase(case, targets[case], test=_in_validation(targets[case], folder)) for case in sorted(targets)
    )
    classes = _classes(labels, folder, quiet)
    others = [path for path in scans_below(folder) if not NAME.fullmatch(path.name)]
    notes = left_out(others, folder, "their names are not those of crossMoDA")
    return Found(folder, "MR ceT1", classes, source, notes), Found(folder, "MR hrT2", classes, target)


def _by_kind(folder: Path) -> dict[str, dict[str, Path]]:
    """Files crossmoda*_END.nii.gz at any depth: for each kind of scan, by what stands before END.

    Raises:
        DataError: A name says not what the scan is, or is there twice.
    """
    found: dict[str, dict[str, Path]] = {kind: {} for kind in (SOURCE, LABELS, TARGET)}
    unknown = []
    for path in scans_below(folder):
        match = NAME.fullmatch(path.name)
        if match is None:
            continue
        kind = KINDS.get(match["end"].lower())
        if kind is None:
            unknown.append(str(path.relative_to(folder)))
            continue
        put_once(found[kind], match["case"], path)
    if unknown:
        raise DataError(
            "names do not say whether a file is a scan of the source, its labels or a scan of the target",
            where=folder.absolute(),
            found=", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if unknown[5:] else ""),
            expected=LAYOUT,
            remedy="rename these files, or move them out of the folder",
        )
    return found


def _classes(labels: Mapping[str, Path], folder: Path, quiet: bool) -> dict[str, int]:
    """The classes of the edition: by the year in the names, else by the values in the labels.

    Raises:
        DataError: Editions of different classes lie together, or labels hold other values or cannot be read.
    """
    years = {case: int(match[1]) for case in labels if (match := YEAR.match(case))}
    of_2023 = [case for case in labels if years.get(case, 21) >= 23]
    others = [case for case in labels if case not in of_2023]
    if of_2023 and others:
        # A 2 is the cochlea in one and a part of the tumour in the other.
        raise DataError(
            "labels of 2023 lie beside those of an earlier year, whose values stand for other classes",
            where=folder.absolute(),
            found=f"{of_2023[0]} and {others[0]}",
            remedy="give a folder with one of the two editions",
        )
    if of_2023 or _highest(list(labels.values()), quiet) == CLASSES_2023["cochlea"]:
        return CLASSES_2023
    return CLASSES


def _highest(labels: Sequence[Path], quiet: bool) -> int:
    """The highest value in label files.

    Raises:
        DataError: Files that cannot be read or have values of no edition, all of them together.
    """
    highest = 0
    faults: list[DarnetError] = []
    for path in track(labels, "read labels", "scan", quiet):
        try:
            value = int(np.max(read_scan(path, labels=True).array))
        except DataError as error:
            faults.append(error)
            continue
        highest = max(highest, value)
        if value > max(CLASSES_2023.values()):
            faults.append(
                DataError(
                    "labels have values of no edition of crossMoDA",
                    where=path,
                    found=value,
                    expected=" or ".join(
                        ", ".join(f"{n} {name}" for name, n in classes.items()) for classes in (CLASSES, CLASSES_2023)
                    ),
                    remedy="mend the label file",
                )
            )
    raise_together(faults, "the classes cannot be told from the labels")
    return highest


def _in_validation(path: Path, folder: Path) -> bool:
    return any("validation" in part.lower() for part in path.relative_to(folder).parts[:-1])
