"""What may be chosen when a folder is predicted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from darnet.inference.inputs import InputCase


@dataclass(frozen=True)
class FolderOptions:
    """What may be chosen when a folder is predicted.

    Attributes:
        save_probabilities: Write CASE.npz with `probabilities` (K, i, j, k) in half precision beside the labels.
        dicom_seg: Write CASE.dcm, the labels as a DICOM segmentation of the slices that are the input.
        preview: Write CASE.png with the labels drawn on three planes, and their surfaces.
        resume: Skip cases whose results are there and were made of the same scan, and replace the masks of those scans
            of a folder that have changed.
        num_parts: Number of runs that share the work.
        part_id: Which of them this one is, from 0.
        quiet: No progress bar.
        replace_non_finite: Give NaN and infinite voxels their scan's lowest value instead of refusing the scan.
    """

    save_probabilities: bool = False
    dicom_seg: bool = False
    preview: bool = False
    resume: bool = False
    num_parts: int = 1
    part_id: int = 0
    quiet: bool = False
    replace_non_finite: bool = False

    def results(self, case: InputCase, folder: Path) -> list[Path]:
        """Everything that is written for a case, its labels first."""
        paths = [case.labels(folder)]
        if self.save_probabilities:
            paths.append(case.probabilities(folder))
        if self.dicom_seg:
            paths.append(case.dicom_seg(folder))
        if self.preview:
            paths.append(case.preview(folder))
        return paths


MASKS_ALONE = FolderOptions()
