"""Which scans are to be segmented, and the names of what is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from darnet.errors import ConfigurationError, DataError
from darnet.io import Scan, is_dicom_folder, list_cases, name_too_long, read_dicom_scan, read_scan

ENDINGS = (".nii.gz", ".nii")


@dataclass(frozen=True)
class InputCase:
    """A scan to segment and the name of its results without ending."""

    case_id: str
    path: Path
    ending: str

    def labels(self, folder: Path) -> Path:
        """Where its labels go."""
        return folder / f"{self.case_id}{self.ending}"

    def probabilities(self, folder: Path) -> Path:
        """Where its probabilities go."""
        return folder / f"{self.case_id}.npz"

    def dicom_seg(self, folder: Path) -> Path:
        """Where its labels as DICOM SEG go."""
        return folder / f"{self.case_id}.dcm"

    def preview(self, folder: Path) -> Path:
        """Where its picture goes."""
        return folder / f"{self.case_id}.png"


def find_inputs(source: str | Path) -> list[InputCase]:
    """The scans of a folder of CASE_0000.nii.gz (or .nii), sorted by case; a single file of any name; a folder of the
    DICOM slices of one scan.

    Raises:
        ConfigurationError: There is no such file or folder.
        DataError: No scan, a name that is wrong or too long, a wrong ending, or a second channel.
    """
    source = Path(source)
    if source.is_dir() and is_dicom_folder(source):
        # A link has its own name; "." and ".." have none.
        named = source.resolve() if source.name in ("", "..") else source
        if too_long := name_too_long(named):
            raise too_long
        return [InputCase(named.name, source, ".nii.gz")]
    if source.is_dir():
        _refuse_folder_of_series(source)
        names = [path.name.lower() for path in source.iterdir() if not path.name.startswith(".")]
        plain = any(n.endswith(".nii") for n in names) and not any(n.endswith(".nii.gz") for n in names)
        ending = ".nii" if plain else ".nii.gz"
        return [InputCase(case_id, path, ending) for case_id, path in sorted(list_cases(source, ending).items())]
    if not source.is_file():
        raise ConfigurationError(
            "the input does not exist",
            where=source.absolute(),
            expected="a scan, or a folder of scans named CASE_0000.nii.gz",
            remedy="give the right path with -i",
        )
    ending = next((e for e in ENDINGS if source.name.endswith(e)), "")
    if not ending:
        raise DataError(
            "the input is not a scan that can be read",
            where=source,
            found=source.name,
            expected="a name that ends in .nii.gz or .nii, or a folder of DICOM slices",
            remedy="convert it to NIfTI; of DICOM slices, give the folder",
        )
    case_id = source.name.removesuffix(ending).removesuffix("_0000")
    if not case_id:
        raise DataError(
            "the scan has no name of its own, so its mask would have none",
            where=source,
            expected=f"a name such as CASE_0000{ending}",
            remedy="rename it",
        )
    if too_long := name_too_long(source, ending):
        raise too_long
    return [InputCase(case_id, source, ending)]


def _refuse_folder_of_series(folder: Path) -> None:
    """A study with a folder for each series is no scan, and which of them is meant cannot be known."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    series = [path.name for path in entries if path.is_dir() and is_dicom_folder(path)]
    if series and not any(path.name.lower().endswith(ENDINGS) for path in entries):
        raise DataError(
            "the input is a folder of several folders with DICOM slices",
            where=folder,
            found=", ".join(series[:5]),
            expected="a folder of the slices of one scan",
            remedy="give one of them with -i, one command for each scan",
        )


def read_input(case: InputCase, replace_non_finite: bool = False) -> Scan:
    """Read the scan of a case, a file or a folder of slices.

    Args:
        case: Whose scan.
        replace_non_finite: Give NaN and infinite voxels of a file the scan's lowest value instead of refusing it.

    Raises:
        DataError: It cannot be used.
    """
    if case.path.is_dir():
        return read_dicom_scan(case.path)
    return read_scan(case.path, replace_non_finite=replace_non_finite)


def select_part(cases: Sequence[InputCase], num_parts: int = 1, part_id: int = 0) -> list[InputCase]:
    """Every `num_parts`-th case, starting at `part_id`. All parts together are all cases, none twice.

    Raises:
        ConfigurationError: There is no such part.
    """
    if not 0 <= part_id < num_parts:
        raise ConfigurationError(
            "there is no such part",
            found=f"-part_id {part_id} with -num_parts {num_parts}",
            expected=f"-part_id from 0 to {num_parts - 1}",
            remedy="mend -part_id or -num_parts",
        )
    return list(cases[part_id::num_parts])
