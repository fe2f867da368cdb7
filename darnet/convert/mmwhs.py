"""MM-WHS 2017 (Multi-Modality Whole Heart Segmentation): CT and MR of hearts, with seven structures."""

from __future__ import annotations

import re
from pathlib import Path

from darnet.convert.found import Found, FoundCase, left_out, put_once, scans_below
from darnet.errors import ConfigurationError, DataError
from darnet.words import several

MODALITIES = ("CT", "MR")
CLASSES = {
    "myocardium": 205,
    "left_atrium": 420,
    "left_ventricle": 500,
    "right_atrium": 550,
    "right_ventricle": 600,
    "ascending_aorta": 820,
    "pulmonary_artery": 850,
}
# One label file of the download has this value where the left atrium is meant.
ALIASES = {421: CLASSES["left_atrium"]}
NAME = re.compile(r"(?P<case>(?P<modality>ct|mr)_(?:train|test)_\d+)_(?P<kind>image|label)\.nii(\.gz)?")
SEALED = re.compile(r"(ct|mr)_test_\d+_label.*")
LAYOUT = "ct_train_1001_image.nii.gz, ct_train_1001_label.nii.gz, mr_train_1001_image.nii.gz, mr_test_2001_image.nii.gz"


def find_mmwhs(folder: str | Path, modality: str, labelled: bool = True) -> Found:
    """Find the scans of one modality in the folders that the downloads unpack to.

    Scans are known by their names, in capitals or not, so the names of the folders do not matter. Training scans have
    labels. Test scans of the challenge have none and are cases to train with as a target.

    Args:
        folder: A folder that holds what was unpacked, all of it or some.
        modality: CT or MR.
        labelled: There must be training scans, each with its labels; else missing labels are no fault.

    Raises:
        ConfigurationError: There is no such modality.
        DataError: There are no such scans, scans and labels do not pair, or one of them is there twice.
    """
    folder = Path(folder)
    if modality not in MODALITIES:
        raise ConfigurationError(f"there is no modality {modality}", expected=", ".join(MODALITIES))
    images, labels, sealed, others = _by_kind(folder, modality)
    training = {case for case in images if "_train_" in case}
    if not (training if labelled else images):
        raise DataError(
            f"the folder is no download of MM-WHS with {'labelled ' if labelled else ''}scans of {modality}",
            where=folder.absolute(),
            found=f"{len(training)} training scans, {len(labels)} labels, {len(images) - len(training)} test scans",
            expected=f"names such as {LAYOUT}",
            remedy="give a folder that holds the unpacked training folder of this modality",
        )
    single = set(labels) - training | (training - set(labels) if labelled else set())
    if single:
        raise DataError(
            "scans and labels do not pair",
            where=folder.absolute(),
            found=f"only one of the two for {several(sorted(single))}",
            expected=f"names such as {LAYOUT}",
            remedy="unpack the download again",
        )
    cases = tuple(FoundCase(case, images[case], labels.get(case)) for case in sorted(images))
    notes = left_out(others, folder, "their names are not those of MM-WHS")
    notes += left_out(sealed, folder, "labels of test scans are published encrypted")
    return Found(folder, modality, CLASSES, cases, notes, ALIASES)


def _by_kind(folder: Path, modality: str) -> tuple[dict[str, Path], dict[str, Path], list[Path], list[Path]]:
    """Scans and labels of a modality by case; of both, labels of test scans, and files of other names.

    Raises:
        DataError: A scan or labels are there twice.
    """
    images: dict[str, Path] = {}
    labels: dict[str, Path] = {}
    sealed, others = [], []
    for path in scans_below(folder):
        name = path.name.lower()
        match = NAME.fullmatch(name)
        if SEALED.match(name):
            sealed.append(path)
        elif match is None:
            others.append(path)
        elif match["modality"] == modality.lower():
            put_once(images if match["kind"] == "image" else labels, match["case"], path)
    return images, labels, sealed, others
