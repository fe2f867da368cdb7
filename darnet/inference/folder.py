"""Many scans: where the results go, and what happens to the ones that fail."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from darnet.errors import (
    ConfigurationError,
    DarnetError,
    DataError,
    DiskFull,
    ResourceError,
    SomeCasesFailed,
    is_out_of_memory,
    out_of_memory,
    raise_together,
)
from darnet.inference.earlier import finished_cases, refuse_other_classes, refuse_to_replace
from darnet.inference.inputs import ENDINGS, InputCase, find_inputs, read_input, select_part
from darnet.inference.marks import mark_of
from darnet.inference.options import MASKS_ALONE, FolderOptions
from darnet.inference.predictor import Predictor
from darnet.inference.preview import write_preview
from darnet.inference.stale import remove_stale
from darnet.io import (
    atomic_path,
    atomic_write,
    is_dicom_folder,
    only_one,
    read_scan,
    read_seg_sources,
    refuse_held,
    require_highdicom,
    require_writable,
    write_dicom_seg,
    write_labels,
)
from darnet.progress import track
from darnet.words import counted

SCAN_ENDINGS = ("_0000.nii.gz", "_0000.nii")

# Lies beside predictions. A folder that has it may be written to again; without it no file is ever replaced.
RECORD = "prediction.json"
# Of a part, held while it runs. Parts of one division share no scan, those of two may.
LOCK = ".part_{}_of_{}.lock"

_Work = Callable[[InputCase], tuple[str, ...]]  # what is done for a case; gives notes on its scan


def check_output(folder: Path, cases: Sequence[InputCase], options: FolderOptions) -> None:
    """Refuse an output folder before anything is computed. Nothing is created or changed.

    Raises:
        ConfigurationError: It is a file, cannot be written to, holds scans or files that a result would replace; or
            DICOM SEG is asked for where it cannot be written.
    """
    if options.dicom_seg:
        _check_dicom_seg(cases)
    if folder.name.endswith(ENDINGS) or (folder.exists() and not folder.is_dir()):
        raise ConfigurationError(
            "the output is not a folder",
            where=folder,
            remedy="give a folder with -o; each case gets its own file in it",
        )
    require_writable(folder, "give another folder with -o, or mend the permissions")
    if folder.is_dir() and not (folder / RECORD).exists():
        _refuse_scans(folder)
    if (folder / RECORD).exists():
        theirs = {case.path.resolve() for case in cases}
        lost = [p for case in cases for p in options.results(case, folder) if p.resolve() in theirs]
    else:
        lost = [p for case in cases for p in options.results(case, folder) if os.path.lexists(p)]
    if lost:
        raise ConfigurationError(
            "results would replace files that are no predictions",
            where=folder,
            found=", ".join(sorted(p.name for p in lost)[:5]),
            expected=f"an empty folder, or one with the {RECORD} of an earlier prediction",
            remedy="give another folder with -o",
        )


def _refuse_scans(folder: Path) -> None:
    """Masks among scans would be taken for scans the next time."""
    scans = sorted(path.name for path in folder.iterdir() if path.name.endswith(SCAN_ENDINGS))
    if scans or is_dicom_folder(folder):
        raise ConfigurationError(
            "the output folder holds scans",
            where=folder,
            found=", ".join(scans[:5]) or "DICOM slices",
            expected="a new folder, or one of masks",
            remedy="give another folder with -o, and see that -i and -o are not mixed up",
        )


def _check_dicom_seg(cases: Sequence[InputCase]) -> None:
    """Refuse to write DICOM SEG of what is no DICOM, or without the package for it."""
    for case in cases:
        if not case.path.is_dir():
            raise ConfigurationError(
                "DICOM SEG refers to the slices of a DICOM series, but the input is NIfTI",
                where=case.path,
                expected="a folder of the DICOM slices of one scan",
                remedy="give the folder of slices with -i, or leave --dicom_seg out",
            )
    require_highdicom()


def predict_folder(
    source: str | Path,
    output: str | Path,
    predictor: Predictor,
    options: FolderOptions = MASKS_ALONE,
    notice: Callable[[str], None] = print,
) -> list[Path]:
    """Segment a scan or a folder of scans. Each result is on its scan's own grid and appears when it is whole.

    Args:
        source: A scan, a folder of CASE_0000.nii.gz, or a folder of the DICOM slices of one scan.
        output: Folder for CASE.nii.gz; made if it is not there.
        predictor: What segments.
        options: What else to write, and which of the cases to do.
        notice: Gets a sentence for each case that fails while others remain, and what is odd about a scan.

    Returns:
        The paths of all labels of this part, those of skipped cases included.

    Raises:
        ConfigurationError: Input or output cannot be used, masks that are there have other classes, or those to go on
            with are of other networks.
        DataError: All cases failed.
        DiskFull: There is no room for a result; those before it are kept.
        SomeCasesFailed: Some cases failed; the results of the others, those of earlier runs too, are kept.
    """
    output = Path(output)
    everything = find_inputs(source)
    cases = select_part(everything, options.num_parts, options.part_id)
    check_output(output, everything, options)
    refuse_other_classes(output / RECORD, predictor.plans.labels)
    # A single file or series often has a name that others have too: a mask of that name may be of another patient.
    changed = options.resume and all(case.path != Path(source) for case in everything)
    run = _Run(output, predictor, options, notice, changed)
    finished = finished_cases(cases, output, predictor.identity, options, notice) if options.resume else {}
    todo = [case for case in cases if case not in finished]
    if finished:
        notice(f"{len(finished)} of {len(cases)} cases are done already")
    started = time.monotonic()
    made = not output.exists()
    lock = output / LOCK.format(options.part_id, options.num_parts)
    with only_one(lock, "predicts this part into this folder", keep=False, notice=notice):
        # Looked for with the own lock held: of two runs that start at once at least one sees the other.
        beside = set(output.glob(LOCK.format("*", "*"))) - set(output.glob(LOCK.format("*", options.num_parts)))
        refuse_held(sorted(beside), "predicts the scans, or other parts of them, into this folder")
        faults = run.draw_missing([case for case, mark in finished.items() if mark]) + run.predict_all(todo)
    if made and not any(output.iterdir()):
        with contextlib.suppress(OSError):  # another run begins to write into it
            output.rmdir()
    if faults and len(faults) == len(cases):
        raise_together(faults, "no scan could be segmented")
    if faults:
        raise SomeCasesFailed(
            f"{len(faults)} of {len(cases)} cases failed; the results of the others are in {output}",
            found="\n".join(str(fault) for fault in faults),
            remedy="mend these scans and run the command again with --continue",
        )
    notice(f"{counted(len(todo), 'case')} segmented in {time.monotonic() - started:.1f} s; results are in {output}")
    return [case.labels(output) for case in cases]


@dataclass(frozen=True)
class _Run:
    """One part of a folder's prediction, no other run of this part beside.

    Attributes:
        output: Where masks go.
        predictor: What segments.
        options: What else to write.
        notice: Gets sentences.
        changed: Whether masks of scans that have changed are replaced.
    """

    output: Path
    predictor: Predictor
    options: FolderOptions
    notice: Callable[[str], None]
    changed: bool

    def predict_all(self, todo: Sequence[InputCase]) -> list[DarnetError]:
        """Segment scans; what is wrong with those that fail."""
        return self._do_all(todo, self._predict_and_write, "predict")

    def draw_missing(self, finished: Sequence[InputCase]) -> list[DarnetError]:
        """Draw the pictures that masks of these networks lack; what is wrong with those that fail."""
        lack = [case for case in finished if not case.preview(self.output).exists()] if self.options.preview else []
        return self._do_all(lack, self._draw, "draw") if lack else []

    def _do_all(self, cases: Sequence[InputCase], work: _Work, name: str) -> list[DarnetError]:
        """Do some work for one case after the other; what is wrong with those that fail."""
        faults: list[DarnetError] = []
        for case in track(cases, name, "scan", self.options.quiet):
            try:
                for note in self._do(case, work):
                    self.notice(f"note: {case.case_id}: {note}")
            except DiskFull:
                raise
            except (DataError, ResourceError) as error:
                faults.append(error)
                if len(cases) > 1:
                    self.notice(f"case {case.case_id} failed: {error}")
                if case.labels(self.output).exists():
                    self.notice(f"note: {case.case_id}: {case.labels(self.output)} stays as it was before")
        return faults

    def _do(self, case: InputCase, work: _Work) -> tuple[str, ...]:
        """Do it for one case; gives the scan's notes. What goes wrong names the scan."""
        try:
            return work(case)
        except (DataError, ResourceError) as error:
            named = any(str(path) in str(error.where) for path in (case.path, self.output))
            raise (error if named else _at(error, case.path)) from None
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            raise out_of_memory("prediction", case.path, "use a machine with more memory, or crop the scan") from None

    def _draw(self, case: InputCase) -> tuple[str, ...]:
        """The picture of a mask that is there. What is odd about the scan was said when it was segmented."""
        scan = read_input(case, self.options.replace_non_finite)
        labels = read_scan(case.labels(self.output), labels=True).array
        write_preview(case.preview(self.output), scan.array, labels, scan.affine, self.predictor.plans)
        return ()

    def _predict_and_write(self, case: InputCase) -> tuple[str, ...]:
        """The labels are written last: where they are, the rest is."""
        output, predictor, options = self.output, self.predictor, self.options
        scan = read_input(case, options.replace_non_finite)
        mark = mark_of(scan, predictor.identity)
        refuse_to_replace(case, output, mark, self.changed)
        names = predictor.plans.foreground
        sources = read_seg_sources(scan.slices, names) if options.dicom_seg else []
        prediction = predictor.predict_array(scan.array, scan.affine, keep_probabilities=options.save_probabilities)
        output.mkdir(parents=True, exist_ok=True)
        if (output / RECORD).exists():
            # Before the mask: a run that is stopped here must leave no scores of a mask that is gone.
            remove_stale(case, output, options.results(case, output), self.notice)
        _write_record(output / RECORD, predictor)
        if prediction.probabilities is not None:
            largest = prediction.probabilities.nbytes
            with atomic_path(case.probabilities(output), largest) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, probabilities=prediction.probabilities)
        if options.dicom_seg:
            write_dicom_seg(case.dicom_seg(output), prediction.labels, names, sources)
        if options.preview:
            write_preview(case.preview(output), scan.array, prediction.labels, scan.affine, predictor.plans)
        write_labels(case.labels(output), prediction.labels, scan, mark.of(prediction.labels))
        for note in prediction.notes:
            predictor.notice(f"case {case.case_id}: {note}")
        return scan.notes


def _write_record(path: Path, predictor: Predictor) -> None:
    """What the masks beside it come from; as it is where nothing has changed."""
    iterations = {fold: {"done": done, "planned": planned} for fold, (done, planned) in predictor.iterations.items()}
    record = {"dataset": predictor.plans.dataset, "labels": predictor.plans.labels, "iterations": iterations}
    content = (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()
    if not path.exists() or path.read_bytes() != content:
        atomic_write(path, content)


def _at(error: DarnetError, path: Path) -> DarnetError:
    """The same error with the file that it came from."""
    where = str(path) if error.where is None else f"{path}, {error.where}"
    return type(error)(error.what, where=where, found=error.found, expected=error.expected, remedy=error.remedy)
