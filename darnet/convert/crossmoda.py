"""crossMoDA 2021 and 2022: contrast-enhanced T1 with labels, high-resolution T2 without."""

from __future__ import annotations

from pathlib import Path

from darnet.convert.found import Found, FoundCase
from darnet.errors import DataError

CLASSES = {"vestibular_schwannoma": 1, "cochlea": 2}
SOURCE, LABELS, TARGET = "_ceT1", "_Label", "_hrT2"
LAYOUT = (
    "source_training/crossmoda_1_ceT1.nii.gz, source_training/crossmoda_1_Label.nii.gz, "
    "target_training/crossmoda_106_hrT2.nii.gz, target_validation/crossmoda_211_hrT2.nii.gz"
)


def find_crossmoda(folder: str | Path) -> tuple[Found, Found]:
    """Find source and target scans in the folders that the downloads unpack to.

    Scans are known by the ends of their names, so the names of the folders do not matter; target scans below a folder
    with "validation" in its name are test cases.

    Args:
        folder: A folder that holds them all.

    Raises:
        DataError: The folder is laid out otherwise, or scans and labels do not pair.
    """
    folder = Path(folder)
    images, labels, targets = (_ending(folder, end) for end in (SOURCE, LABELS, TARGET))
    if not images or not targets:
        raise DataError(
            "the folder is no download of crossMoDA 2021 or 2022",
            where=folder.absolute(),
            found=f"{len(images)} files *{SOURCE}.nii.gz, {len(targets)} files *{TARGET}.nii.gz",
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
    return Found(folder, "MR ceT1", CLASSES, source), Found(folder, "MR hrT2", CLASSES, target)


def _ending(folder: Path, end: str) -> dict[str, Path]:
    """Files crossmoda*END.nii.gz at any depth, by what stands before END.

    Raises:
        DataError: One name in two folders.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"**/crossmoda*{end}.nii.gz")):
        case = path.name.removesuffix(f"{end}.nii.gz")
        if case in found:
            raise DataError(
                "a scan is there twice", where=folder.absolute(), found=f"{found[case]} and {path}",
                remedy="keep one of them",
            )  # fmt: skip
        found[case] = path
    return found


def _in_validation(path: Path, folder: Path) -> bool:
    return any("validation" in part.lower() for part in path.relative_to(folder).parts[:-1])
