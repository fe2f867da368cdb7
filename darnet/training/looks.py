"""Patches that look as another scan would show them: each class by its median and deviation, the rest along a curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from darnet.augmentation import (
    Appearance,
    draw_any_curve,
    draw_appearance,
    fill_unseen,
    match_appearance,
    measure_appearance,
    measure_quantiles,
)
from darnet.io import CaseStore
from darnet.plans import Plans
from darnet.training.loaders import Restyle

DrawLook = Callable[[np.random.Generator], Appearance]
DrawCurve = Callable[[np.random.Generator], np.ndarray]


def looks_of(
    images: CaseStore, labels: CaseStore, variants: Mapping[str, Sequence[str]], num_classes: int
) -> tuple[dict[str, Appearance], dict[str, tuple[str, ...]]]:
    """How volumes show each class, as far as they can be measured.

    Args:
        images: Store of the volumes.
        labels: Store of their labels.
        variants: Source case -> names under which `images` holds it.
        num_classes: With background.

    Returns:
        Name -> how it looks, and source case -> names of the volumes that could be measured. A class of too few voxels
        is shown as in other volumes.
    """
    looks: dict[str, Appearance] = {}
    measured: dict[str, tuple[str, ...]] = {}
    for case, names in variants.items():
        of_case = labels.labels(case)
        for name in names:
            appearance = measure_appearance(images.image(name), of_case, num_classes)
            if appearance is not None:
                looks[name] = appearance
                measured[case] = (*measured.get(case, ()), name)
    return dict(zip(looks, fill_unseen(list(looks.values())), strict=True)), measured


def restyle_as(own: Mapping[str, Appearance], draw_look: DrawLook, draw_curve: DrawCurve) -> Restyle:
    """What shows a patch of a volume in a drawn look.

    Args:
        own: Name of each volume -> how it looks by itself.
        draw_look: Gives the look of a patch.
        draw_curve: Gives the order of its background's intensities.
    """

    def restyle(name: str, image: np.ndarray, of_patch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return match_appearance(image, of_patch, own[name], draw_look(rng), draw_curve(rng))

    return restyle


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
    own, _ = looks_of(source, source, {case: (case,) for case in cases}, plans.num_classes)
    if not quantiles or not own:
        return None

    def draw_look(rng: np.random.Generator) -> Appearance:
        return draw_appearance(rng, quantiles[int(rng.integers(len(quantiles)))], plans.num_classes)

    shown = restyle_as(own, draw_look, draw_any_curve)

    def restyle(name: str, image: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return shown(name, image, labels, rng) if rng.random() < share and name in own else image

    return restyle
