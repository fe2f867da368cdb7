"""Masks of an earlier prediction in the output folder: which of them may be replaced."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darnet.errors import ConfigurationError, DataError
from darnet.inference.inputs import ENDINGS, InputCase
from darnet.inference.marks import Mark, read_mark
from darnet.io import read_json


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
