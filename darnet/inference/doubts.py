"""Why masks may be wrong: what a network found in target training scans; planes, values and size of a scan."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darnet.errors import ConfigurationError
from darnet.imaging import Orientation, body_axes, foreground_mask, plane_across, without_padding
from darnet.inference.checkpoints import CHOICE, SEGMENTATION
from darnet.io import read_json, sha256_of
from darnet.planning import contradiction
from darnet.plans import DomainPlan, Plans, is_mr
from darnet.words import number

# Of the plausibility that source cases have, each among the others.
LEAST_OF_ONE, LEAST_OF_ALL = 0.75, 0.92  # of a class; of all classes on average
MOST = 0.8  # that is expected on average, however alike the source labels are
ALL = "all classes on average"
FACTOR = 3.0  # that a body is smaller or larger than those of training, in both directions of a plane
COARSE = 200_000  # voxels that tell the values of a scan


def doubtful_shapes(folder: Path, fold: str, checkpoint: Path, plans: Plans) -> str | None:
    """A sentence where a network's classes are little like those of the source labels, from `choice.json`.

    No target label is read. How much a class must be like the labels follows from how much these are like each other. A
    class that a network before it took something else for is told too: rounds of self-training learn from mistakes.

    Args:
        folder: Results of a data set.
        fold: Name of the fold.
        checkpoint: Of the network.
        plans: Its plan.

    Returns:
        None where the shapes are alike, or nothing is known of this network.
    """
    try:
        entry = read_json(folder / CHOICE)["folds"][fold]
        found = {_round_of(name): candidate for name, candidate in entry["candidates"].items()}
        own = max((n for n in found if found[n]["checkpoint"] == sha256_of(checkpoint)), default=-1)
        usual = {name: entry["usual"][name] for name in plans.foreground if name in entry["usual"]}
        odd = _unusual([found[n]["shapes"] for n in sorted(found) if n <= own], usual)
        scans = len(entry["scans"])
    except (ConfigurationError, KeyError, TypeError, AttributeError, ValueError, ArithmeticError):
        return None
    if not odd:
        return None
    return (
        f"doubtful: what fold {fold} found in {scans} target training scans is little like the source labels in "
        f"volume, extent, place or number of pieces. Found, of 1, and expected: {', '.join(odd)}. Whole classes may be "
        f"missing or wrong: look at masks (darnet_predict --preview) before you use any. {_advice(plans)}"
    )


def other_planes(affine: NDArray[np.floating], orientation: Orientation, through_plane: str) -> str | None:
    """A sentence where the planes of a scan have another direction than those of most training scans.

    Args:
        affine: (4, 4) from voxel (i, j, k) to mm in R, A, S.
        orientation: In which the scan is segmented.
        through_plane: Of the plan: the body axis, "R", "A" or "S", across which most planes of training lie.
    """
    found, learned = plane_across(body_axes(affine, orientation)[0]), plane_across(through_plane)
    if found == learned:
        return None
    return (
        f"doubtful: the planes are {found}, those of most training scans {learned}, and organs look unlike in them; "
        f"take a scan with {learned} planes, or resample this one to equal voxels, which darnet turns by itself"
    )


def other_values(array: NDArray[Any], domain: DomainPlan) -> str | None:
    """A sentence where a scan that should be CT in Hounsfield units is hardly, or one that should be MR looks like CT.

    Args:
        array: Voxels of the scan, with its axes in any order; every few of them are looked at.
        domain: Of the plan: whose scan it is.
    """
    hounsfield = domain.hounsfield
    if not hounsfield and not is_mr(domain.modality):
        return None
    step = max(1, round((array.size / COARSE) ** (1 / 3)))
    coarse = np.asarray(array[::step, ::step, ::step], np.float32)
    coarse = coarse if hounsfield else without_padding(coarse)
    body = coarse[foreground_mask(coarse, hounsfield)]
    if not body.size:
        return None
    lowest, median, highest = (float(value) for value in np.percentile(body, (0.5, 50, 99.5)))
    found = contradiction(lowest, median, highest, hounsfield)
    if found is None:
        return None
    return (
        f"doubtful: its values within the body are {found}, but the model is for {domain.modality}; see whether it is "
        "another kind of scan or was converted without its offset"
    )


def other_size(shape: tuple[int, int], plans: Plans) -> str | None:
    """A sentence where a body is far smaller or larger in its planes than those of training.

    Args:
        shape: (H, W) of the scan on the planned grid, cropped to its body.
        plans: The plan.
    """
    size, pixel = plans.translation.slice_size, plans.preprocessing.spacing[1:]
    factors = [n / usual for n, usual in zip(shape, size, strict=True)]
    if min(factors) < FACTOR and max(factors) > 1 / FACTOR:
        return None
    found, usual = (" x ".join(number(n * mm) for n, mm in zip(sides, pixel, strict=True)) for sides in (shape, size))
    return (
        f"doubtful: its body is {found} mm in plane, those of training are about {usual} mm; see whether voxel sizes "
        "in the header are in mm, and whether the scan is of the same part of the body"
    )


def _advice(plans: Plans) -> str:
    if plans.preprocessing.source_inverted:
        return (
            "In training bright and dark of source scans are turned round (preprocessing.source_inverted in "
            "plans.json). Where most of what is bright in them is bright in target scans too, set it to null, "
            "preprocess with --keep_plan, and train again"
        )
    if plans.segmentation.appearance < 1.0:
        return (
            "Do target scans show bright what source scans show dark? Then set preprocessing.source_inverted to true "
            "in plans.json where that is so of most, and preprocess with --keep_plan, or segmentation.appearance to 1 "
            "and segmentation.expected_appearance to null where it is so of some; and train again"
        )
    if not plans.translates:
        return (
            "Do target scans show dark most of what source scans show bright? Then set preprocessing.source_inverted "
            "to true in plans.json, preprocess with --keep_plan, and train again. To see whether a translator would "
            "help, run darnet_train with --stage translation: where the pictures in translation/previews look like "
            "target scans, set segmentation.source_share to 0.7 and self_training.matched_translated to 0.5, and train "
            "again"
        )
    return (
        "Look at translation/previews too: where they keep the source's contrast, train the translator longer "
        "(translation.iterations in plans.json)"
    )


def _round_of(candidate: str) -> int:
    """Number of a round by its name in `choice.json`; 0 before self-training."""
    return 0 if candidate == SEGMENTATION else int(candidate.removeprefix("round_"))


def _unusual(shapes: Sequence[dict[str, float]], usual: dict[str, float]) -> list[str]:
    """Each class, and the mean of all, that is less plausible than may be, with the least that is expected.

    Args:
        shapes: Plausibility of the classes in each network of a fold up to the one that is judged.
        usual: Among source labels.
    """
    known = [name for name in shapes[-1] if name in usual] if shapes else []
    if not known:
        return []
    own = shapes[-1]
    rows = [(name, own[name], LEAST_OF_ONE * usual[name]) for name in known]
    rows.append(
        (ALL, fmean(own[name] for name in known), min(LEAST_OF_ALL * fmean(usual[name] for name in known), MOST))
    )
    odd = [f"{name} {value:.2f} (at least {least:.2f})" for name, value, least in rows if value < least]
    for name, value, least in rows[:-1]:
        before = min((other.get(name, value) for other in shapes[:-1]), default=value)
        if before < least <= value:
            odd.append(f"{name} {before:.2f} (at least {least:.2f}) in an earlier network, from which rounds learned")
    return odd
