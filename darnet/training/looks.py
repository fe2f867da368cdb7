"""How volumes look: each class by its median and deviation, the rest by its intensities; random and expected looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from darnet.augmentation import (
    Appearance,
    Expected,
    draw_any_curve,
    draw_appearance,
    draw_expected,
    expect_appearance,
    fill_unseen,
    histogram_of_places,
    match_appearance,
    measure_appearance,
    measure_quantiles,
    shares_of_places,
)
from darnet.io import CaseStore
from darnet.plans import Plans
from darnet.training.loaders import Looking, Restyle

NOT_EXPECTED = (
    "where classes lie in the body tells too little of how target scans show them, as of scans of other parts of the "
    "body, of fields of view that differ, or of very few scans: no patch is shown as target scans are expected to "
    "look. Training goes on without such patches"
)


def looks_of(
    images: CaseStore,
    labels: CaseStore,
    variants: Mapping[str, Sequence[str]],
    num_classes: int,
    excess: bool = False,
) -> dict[str, Appearance]:
    """How volumes show each class, by name, as far as they can be measured.

    A class of too few voxels to be measured is shown as in other volumes.

    Args:
        images: Store of the volumes.
        labels: Store of their labels.
        variants: Source case -> names under which `images` holds it.
        num_classes: With background.
        excess: As in `measure_appearance`.
    """
    looks: dict[str, Appearance] = {}
    for case, names in variants.items():
        of_case = labels.labels(case)
        for name in names:
            appearance = measure_appearance(images.image(name), of_case, num_classes, excess)
            if appearance is not None:
                looks[name] = appearance
    return dict(zip(looks, fill_unseen(list(looks.values())), strict=True))


def random_tissues(plans: Plans, source: CaseStore, cases: Sequence[str], target: CaseStore | None) -> Restyle | None:
    """What shows a share of the source patches at random intensities of target scans.

    Each class gets an intensity of its own, the rest goes along any curve: classes can then be told by place and shape
    alone. After the random intensities of SynthSeg (Billot et al. 2023), which has labels of all tissues.

    Args:
        plans: The plan.
        source: Store of source volumes and their labels.
        cases: Those that are learned from.
        target: Store of target scans; None where nothing of them may be used.

    Returns:
        None where the plan has none of it, or no scan can be measured.
    """
    share = plans.segmentation.random_tissues
    if not share or target is None:
        return None
    quantiles = _quantiles(plans, target)
    own = looks_of(source, source, {case: (case,) for case in cases}, plans.num_classes)
    if not quantiles or not own:
        return None

    def restyle(name: str, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= share or name not in own:
            return image
        look = draw_appearance(rng, quantiles[int(rng.integers(len(quantiles)))], plans.num_classes)
        return match_appearance(image, labels, own[name], look, draw_any_curve(rng))

    return restyle


def learn_expected(plans: Plans, source: CaseStore, cases: Sequence[str], target: CaseStore) -> Expected | None:
    """How target scans are expected to show source volumes, from where classes and background lie in the body.

    Args:
        plans: The plan.
        source: Store of source volumes and their labels.
        cases: Those that are looked at, or as many of them as the plan allows.
        target: Store of target scans, whose labels are not read.

    Returns:
        None where places tell too little.
    """
    names, scans = plans.some_of(sorted(cases)), plans.some_of(target.case_ids())
    shares = (shares_of_places(source.image(c), source.labels(c), plans.num_classes) for c in names)
    histograms = (histogram_of_places(target.image(case)) for case in scans)
    return expect_appearance(
        (share for share in shares if share is not None),
        (histogram for histogram in histograms if histogram is not None),
        _quantiles(plans, target),
    )


def expected_looks(
    plans: Plans,
    source: CaseStore,
    cases: Sequence[str],
    target: CaseStore | None,
    notice: Callable[[str], None],
) -> Looking | None:
    """What shows source patches as target scans are expected to look.

    Args:
        plans: The plan.
        source: Store of source volumes and their labels.
        cases: Those that are learned from.
        target: Store of target scans; None where nothing of them may be used.
        notice: Gets a sentence where the plan has it and places tell too little.

    Returns:
        The cases that can be measured, and the function; None where the plan has none of it, or places tell too little.
    """
    settings = plans.segmentation
    if not (settings.expected_appearance and settings.source_share) or target is None:
        return None
    expected = learn_expected(plans, source, cases, target)
    own = looks_of(source, source, {case: (case,) for case in cases}, plans.num_classes)
    if expected is None:
        notice(NOT_EXPECTED)
    if expected is None or not own:
        return None
    quantiles = _quantiles(plans, target)

    def restyle(name: str, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        look, curve = draw_expected(rng, expected, quantiles[int(rng.integers(len(quantiles)))])
        return match_appearance(image, labels, own[name], look, curve)

    return tuple(own), restyle


def _quantiles(plans: Plans, target: CaseStore) -> list[np.ndarray]:
    """Of the bodies of target scans that show one."""
    measured = (measure_quantiles(target.image(case)) for case in plans.some_of(target.case_ids()))
    return [found for found in measured if found is not None]
