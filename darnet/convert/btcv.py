"""BTCV, abdomen (Synapse syn3193805): CT scans with thirteen organs."""

from __future__ import annotations

import re
from pathlib import Path

from darnet.convert.found import Found, FoundCase
from darnet.errors import DataError

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
        DataError: The folder is laid out otherwise, or scans and labels do not pair.
    """
    folder = Path(folder)
    training = next((p for p in sorted(folder.glob("**/Training")) if (p / "img").is_dir()), None)
    if training is None:
        raise DataError(
            "the folder is no download of BTCV",
            where=folder.absolute(),
            expected=LAYOUT,
            remedy="give the unpacked RawData folder",
        )
    images, labels = (_numbered(training / kind, kind) for kind in ("img", "label"))
    odd = sorted(set(images) ^ set(labels))
    if odd:
        raise DataError(
            "scans and labels do not pair",
            where=training,
            found=f"only one of the two for {', '.join(odd)}",
            expected=LAYOUT,
            remedy="unpack the download again",
        )
    cases = [FoundCase(f"btcv_{number}", images[number], labels[number]) for number in sorted(images)]
    testing = training.parent / "Testing" / "img"
    if testing.is_dir():
        cases += [FoundCase(f"btcv_{number}", path) for number, path in sorted(_numbered(testing, "img").items())]
    return Found(folder, "CT", CLASSES, tuple(cases))


def _numbered(folder: Path, prefix: str) -> dict[str, Path]:
    """Files such as img0001.nii.gz by number."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"{prefix}*.nii*")):
        match = re.fullmatch(rf"{prefix}(\d+)\.nii(\.gz)?", path.name)
        if match:
            found[match[1]] = path
    return found
