"""Masks of an earlier prediction in the output folder: which of them stay, and which may be replaced."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from darnet.errors import ConfigurationError, DataError, is_out_of_memory
from darnet.inference.inputs import ENDINGS, InputCase, read_input
from darnet.inference.marks import Mark, mark_of, read_mark
from darnet.inference.options import FolderOptions
from darnet.io import read_json
from darnet.words import several


def refuse_other_classes(record: Path, labels: Mapping[str, int]) -> None:
    """Refuse to write masks beside others in which values stand for other classes.

    Args:
        record: `prediction.json` of the masks that are there, if any.
        labels: Class -> value of the masks to come.

    Raises:
        ConfigurationError: The record names other classes or values.
    """
    if not record.exists():
        return
    try:
        found: Any = read_json(record)["labels"]
    except (ConfigurationError, KeyError, TypeError):
        return  # damaged: it is written anew
    if found != dict(labels):
        raise ConfigurationError(
            "the folder holds masks of other classes, or with other values for them",
            where=record,
            found=found,
            expected=dict(labels),
            remedy="give another folder with -o",
        )


def refuse_to_replace(case: InputCase, folder: Path, mark: Mark, changed: bool) -> None:
    """Refuse to replace a mask that cannot be had again: of another scan, or drawn or corrected by hand.

    A mask that cannot be read to its end is replaced.

    Args:
        case: Whose mask is to be written.
        folder: Where it goes.
        mark: What it would be made from.
        changed: Whether the mask of another scan of that name may be replaced.

    Raises:
        DataError: Such a mask is there, or one with the other ending.
    """
    for ending in ENDINGS:
        other = folder / f"{case.case_id}{ending}"
        if ending != case.ending and os.path.lexists(other):
            raise DataError(
                f"a mask of case {case.case_id} with another ending is there",
                where=other,
                expected=case.labels(folder).name,
                remedy="give another folder with -o, or move that mask away",
            )
    path = case.labels(folder)
    if not path.exists():
        return
    try:
        there = read_mark(path)
    except DataError:
        return
    if there is None:
        raise DataError(
            "the mask that is there was written or changed by another program",
            where=path,
            remedy="give another folder with -o, or move it away to have that scan segmented again",
        )
    if there.scan != mark.scan and not changed:
        raise DataError(
            "the mask that is there is of another scan of the same name",
            where=path,
            found=f"a mask of scan {there.scan}",
            expected=f"none, or one of scan {mark.scan}: {case.path}",
            remedy="give another folder with -o, or move that mask away where the scan itself was changed",
        )


def finished_cases(
    cases: Sequence[InputCase], folder: Path, model: str, options: FolderOptions, notice: Callable[[str], None]
) -> dict[InputCase, Mark | None]:
    """Cases that need not be segmented, each with the mark of its mask; None where another program has written that.

    Pictures may be missing: they can be drawn without the networks.

    Args:
        cases: To be segmented.
        folder: Where the masks lie.
        model: Hash of all in the predictor that a mask depends on.
        options: What else is to be written for each case.
        notice: Gets sentences on what is made again and what is kept.

    Raises:
        ConfigurationError: Masks are of other networks.
    """
    marks: dict[InputCase, Mark | None] = {}
    for case in cases:
        if not case.labels(folder).exists():
            continue
        try:
            marks[case] = read_mark(case.labels(folder))
        except DataError as error:
            notice(f"{case.labels(folder)} is made again: {error.what}")
    others = [case.labels(folder).name for case, mark in marks.items() if mark and mark.model != model]
    if others:
        raise ConfigurationError(
            "masks are of other networks, or of another plan or step size",
            where=folder,
            found=", ".join(others[:5]),
            expected=f"masks of model {model}",
            remedy="give another folder with -o, or leave out --continue to make all masks again",
        )
    missing = {case: [path for path in options.results(case, folder) if not path.exists()] for case in marks}
    unfinished = [case for case, mark in marks.items() if mark and set(missing[case]) - {case.preview(folder)}]
    whole = [case for case, mark in marks.items() if mark and case not in unfinished]  # others are read anyway
    changed = [case for case in whole if marks[case] != _mark_now(case, model, options)]
    if changed:
        notice(f"scans have changed: {', '.join(case.case_id for case in changed)}")
    unknown = [case for case, mark in marks.items() if mark is None]
    if unknown:
        notice(f"written by another program and kept as they are: {several([c.labels(folder).name for c in unknown])}")
    beside = [path.name for case in unknown for path in missing[case]]
    if beside:
        notice(f"not written, as those masks are not of these networks: {several(beside)}")
    return {case: mark for case, mark in marks.items() if case not in changed and case not in unfinished}


def _mark_now(case: InputCase, model: str, options: FolderOptions) -> Mark | None:
    """The mark that a mask of the scan would have; None where the scan cannot be read: its segmentation tells why."""
    try:
        return mark_of(read_input(case, options.replace_non_finite), model)
    except DataError:
        return None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return None
