"""BTCV, abdomen (Synapse syn3193805): CT scans with thirteen organs."""

from __future__ import annotations

import re
from pathlib import Path

from darnet.convert.found import Found, FoundCase, left_out, put_once
from darnet.errors import DataError
from darnet.io.dataset_json import FILE_ENDINGS

CLASSES = {
    "spleen": 1,
    "right_kidney": 2,
    "left_kidney": 3,
    "gallbladder": 4,
    "esophagus": 5,
    "liver": 6,
    "stomach": 7,
    "aorta": 8,
    "inferior_vena_cava": 9,
    "portal_and_splenic_veins": 10,
    "pancreas": 11,
    "right_adrenal_gland": 12,
    "left_adrenal_gland": 13,
}
LAYOUT = "Training/img/img0001.nii.gz, Training/label/label0001.nii.gz, Testing/img/img0061.nii.gz"


def find_btcv(folder: str | Path) -> Found:
    """Find the scans of the unpacked RawData.zip; `folder` is RawData or a folder that holds it.

    Scans of Training have labels. Scans of Testing have none and are cases to train with as a target.

    Raises:
        DataError: The folder is laid out otherwise, scans and labels do not pair, or one of them is there twice.
    """
    folder = Path(folder)
    trainings = [p for p in sorted(folder.glob("**/Training")) if (p / "img").is_dir()]
    if not trainings:
        raise DataError(
            "the folder is no download of BTCV",
            where=folder.absolute(),
            expected=LAYOUT,
            remedy="give the unpacked RawData folder",
        )
    training = trainings[0]
    (images, odd_images), (labels, odd_labels) = (_numbered(training / kind, kind) for kind in ("img", "label"))
    single = sorted(set(images) ^ set(labels))
    if single:
        raise DataError(
            "scans and labels do not pair",
            where=training,
            found=f"only one of the two for {', '.join(single)}",
            expected=LAYOUT,
            remedy="unpack the download again",
        )
    cases = [FoundCase(f"btcv_{number}", images[number], labels[number]) for number in sorted(images)]
    testing, odd_testing = _numbered(training.parent / "Testing" / "img", "img")
    cases += [FoundCase(f"btcv_{number}", testing[number]) for number in sorted(testing)]
    notes = left_out(odd_images + odd_labels + odd_testing, training.parent, "their names are not those of BTCV")
    notes += left_out(trainings[1:], folder, f"{training.relative_to(folder)} is read")
    return Found(folder, "CT", CLASSES, tuple(cases), notes)


def _numbered(folder: Path, prefix: str) -> tuple[dict[str, Path], list[Path]]:
    """Files such as img0001.nii.gz by number, and the NIfTI files of other names.

    Raises:
        DataError: A number is there twice, as .nii and as .nii.gz.
    """
    found: dict[str, Path] = {}
    others = []
    for path in sorted(folder.glob("*")):
        match = re.fullmatch(rf"{prefix}(\d+)\.nii(\.gz)?", path.name)
        if match:
            put_once(found, match[1], path)
        elif path.name.lower().endswith(FILE_ENDINGS) and not path.name.startswith("."):
            others.append(path)
    return found, others
