"""How volumes look: each class by its median and deviation, the rest by its intensities; random and expected looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

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
from darnet.io import CaseStore, write_json
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
    measured = (measure_quantiles(target.image(case)) for case in plans.some_of(target.case_ids()))
    quantiles = [found for found in measured if found is not None]
    own = looks_of(source, source, {case: (case,) for case in cases}, plans.num_classes)
    if not quantiles or not own:
        return None

    def restyle(name: str, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if rng.random() >= share or name not in own:
            return image
        look = draw_appearance(rng, quantiles[int(rng.integers(len(quantiles)))], plans.num_classes)
        return match_appearance(image, labels, own[name], look, draw_any_curve(rng))

    return restyle


def learn_expected(plans: Plans, source: CaseStore, cases: Sequence[str], target: CaseStore) -> Expected:
    """How target scans are expected to show source volumes, from where classes and background lie in the body.

    Args:
        plans: The plan.
        source: Store of source volumes and their labels.
        cases: Those that are looked at, or as many of them as the plan allows.
        target: Store of target scans, whose labels are not read.
    """
    names = plans.some_of(sorted(cases))
    shares = (shares_of_places(source.image(c), source.labels(c), plans.num_classes) for c in names)
    scans = (target.image(case) for case in plans.some_of(target.case_ids()))
    found = [(histogram_of_places(scan), measure_quantiles(scan)) for scan in scans]
    return expect_appearance(
        (share for share in shares if share is not None),
        [histogram for histogram, _ in found if histogram is not None],
        [quantiles for _, quantiles in found if quantiles is not None],
    )


def planned_expected(
    plans: Plans, source: CaseStore, cases: Sequence[str], target: CaseStore | None
) -> Expected | None:
    """What `learn_expected` gives, where the plan asks for it and target scans may be used; else None."""
    settings = plans.segmentation
    if not (settings.expected_appearance and settings.source_share) or target is None:
        return None
    return learn_expected(plans, source, cases, target)


def record_expected(path: Path, expected: Expected | None, foreground: Mapping[str, int]) -> None:
    """Write what places tell, for people, or remove what they told another training where nothing was asked of them.

    Args:
        path: JSON: whether it is used, the share explained, and class -> quartiles of its ranks, None where too little
            is told of it.
        expected: Of `planned_expected`.
        foreground: Class -> value.
    """
    if expected is None:
        path.unlink(missing_ok=True)
        return
    classes: dict[str, list[float] | None] = dict.fromkeys(foreground)
    if expected.enough:
        told = {name: expected.classes[value] for name, value in foreground.items()}
        classes |= {name: ranks.tolist() for name, ranks in told.items() if not np.isnan(ranks).any()}
    write_json(path, {"used": expected.enough, "explained": expected.explained, "classes": classes})


def expected_looks(plans: Plans, source: CaseStore, cases: Sequence[str], expected: Expected | None) -> Looking | None:
    """What shows source patches as target scans are expected to look.

    Args:
        plans: The plan.
        source: Store of source volumes and their labels.
        cases: Those that are learned from.
        expected: Of `planned_expected`.

    Returns:
        The cases that can be measured, and the function; None where nothing is asked for, or places tell too little.
    """
    if expected is None or not expected.enough:
        return None
    own = looks_of(source, source, {case: (case,) for case in cases}, plans.num_classes)

    def restyle(name: str, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        look, curve = draw_expected(rng, expected)
        return match_appearance(image, labels, own[name], look, curve)

    return tuple(own), restyle
