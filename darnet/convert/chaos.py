"""CHAOS (Zenodo 3431873): abdominal MR as DICOM slices, with four organs as PNG masks."""

from __future__ import annotations

from pathlib import Path

from darnet.convert.found import Found, FoundCase, left_out
from darnet.errors import ConfigurationError, DataError
from darnet.io.dicom import list_slices

CLASSES = {"liver": 63, "right_kidney": 126, "left_kidney": 189, "spleen": 252}
LAYOUT = "MR/1/T2SPIR/DICOM_anon/*.dcm, MR/1/T2SPIR/Ground/*.png, MR/1/T1DUAL/DICOM_anon/InPhase/*.dcm"
PHASES = ("InPhase", "OutPhase")
# Name of the modality and folder of the slices below that of the patient.
SEQUENCES = {
    "T2SPIR": ("MR T2-SPIR", Path("T2SPIR", "DICOM_anon")),
    "T1DUAL_InPhase": ("MR T1 in phase", Path("T1DUAL", "DICOM_anon", "InPhase")),
    "T1DUAL_OutPhase": ("MR T1 out of phase", Path("T1DUAL", "DICOM_anon", "OutPhase")),
}


def find_chaos(folder: str | Path, sequence: str = "T2SPIR") -> Found:
    """Find the MR scans of the unpacked CHAOS_Train_Sets.zip or CHAOS_Test_Sets.zip.

    Args:
        folder: Train_Sets or Test_Sets, or a folder that holds one of them or both.
        sequence: T2SPIR, T1DUAL_InPhase or T1DUAL_OutPhase. Both phases share their masks.

    Raises:
        ConfigurationError: There is no such sequence.
        DataError: The folder is laid out otherwise.
    """
    folder = Path(folder)
    if sequence not in SEQUENCES:
        raise ConfigurationError(f"there is no sequence {sequence}", expected=", ".join(SEQUENCES))
    modality, below = SEQUENCES[sequence]
    roots = [p for p in sorted([folder, *folder.glob("**/MR")]) if p.name == "MR" and p.is_dir()]
    folders = [p for root in roots for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")]
    patients = [p for p in folders if p.name.isdecimal() and (p / below).is_dir()]
    if not patients:
        raise DataError(
            f"the folder is no download of CHAOS with {sequence}",
            where=folder.absolute(),
            expected=LAYOUT,
            remedy="give the unpacked Train_Sets folder",
        )
    patients.sort(key=lambda path: int(path.name))
    others = [p for p in folders if p not in patients]
    notes = left_out(others, folder, f"no patient's number, or no {below.as_posix()} within")
    return Found(folder, modality, CLASSES, tuple(_case(patient, below) for patient in patients), notes)


def _case(patient: Path, below: Path) -> FoundCase:
    """The scan of a patient, and its masks where there are any."""
    ground = patient / below.parts[0] / "Ground"
    named_after = None
    if ground.is_dir() and below.name in PHASES:
        named_after = _phase_of(ground, patient / below.parent)
    return FoundCase(
        f"chaos_{int(patient.name):02d}",
        patient / below,
        ground if ground.is_dir() else None,
        masks_named_after=named_after,
    )


def _phase_of(ground: Path, series: Path) -> Path:
    """The folder of the phase whose slices have the names of the masks."""
    masks = {path.stem for path in ground.glob("*.png")}
    for phase in PHASES:
        if (series / phase).is_dir() and masks <= {path.stem for path in list_slices(series / phase)}:
            return series / phase
    raise DataError(
        "the masks have the names of no phase's slices",
        where=ground,
        found=", ".join(sorted(masks)[:5]) or "no mask",
        expected=f"the names of the slices in {' or '.join(PHASES)}",
        remedy="unpack the download again",
    )
