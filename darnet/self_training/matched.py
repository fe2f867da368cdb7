"""Patches of source volumes, as they are or translated, in the appearance of target scans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from darnet.augmentation import (
    Appearance,
    draw_appearance,
    draw_curve,
    draw_near,
    fill_unseen,
    keep_order,
    match_appearance,
    measure_appearance,
)
from darnet.io import CaseStore
from darnet.plans import SegmentationPlan
from darnet.training.loaders import MATCHED_GAIN, MixedLoader, PatchLoader, Restyle, as_scanned
from darnet.training.looks import looks_of

DrawCurve = Callable[[np.random.Generator], np.ndarray]


def target_appearances(pseudo: CaseStore, num_classes: int) -> list[Appearance]:
    """How each target scan that can be measured shows each class.

    Args:
        pseudo: Store of target scans with pseudo-labels.
        num_classes: With background.
    """
    measured = (
        measure_appearance(pseudo.image(c), pseudo.labels(c), num_classes, excess=True) for c in pseudo.case_ids()
    )
    return fill_unseen([appearance for appearance in measured if appearance is not None])


def matched_patches(
    images: CaseStore,
    labels: CaseStore,
    variants: Mapping[str, Sequence[str]],
    targets: Sequence[Appearance],
    plan: SegmentationPlan,
    translated: float = 0.0,
    trust: NDArray[np.float64] | None = None,
    draw_source: DrawCurve = draw_curve,
) -> PatchLoader | MixedLoader | None:
    """Patches of source volumes, each in the appearance of a random target scan.

    The background of a source volume gets the target's intensities in a drawn order; in a translated volume they are in
    the translator's order, which is nearer to the target's.

    Args:
        images: Store of translated source volumes.
        labels: Store of the source volumes and their labels.
        variants: Source case -> names under which `images` holds it.
        targets: Of `target_appearances`.
        plan: Patches and augmentation.
        translated: Share of the patches out of translated volumes.
        trust: (K,) chance that a class is shown as it was measured; see `looks_of_targets`.
        draw_source: Gives the order of the background's intensities in a source volume.

    Returns:
        None where no target scan or no volume can be measured.
    """
    kinds: list[tuple[CaseStore, Mapping[str, Sequence[str]], DrawCurve, float]] = [
        (labels, {case: (case,) for case in variants}, draw_source, 1.0 - translated),
        (images, variants, keep_order, translated),
    ]
    loaders, shares = [], []
    for store, names, draw, share in kinds:
        own, restyle = looks_of_targets(store, labels, names, targets, draw, trust) if share else ({}, None)
        if restyle is not None:
            augmented = as_scanned(plan, MATCHED_GAIN * plan.class_gain)
            loaders.append(PatchLoader(store, labels, own, augmented, restyle))
            shares.append(share)
    if len(loaders) < 2:
        return loaders[0] if loaders else None
    return MixedLoader(loaders, shares)


def partly_near(curve: NDArray[np.float32] | None, share: float) -> DrawCurve:
    """What draws a share of the curves near the one that is expected, if there is one, and the others anyhow."""

    def draw(rng: np.random.Generator) -> np.ndarray:
        if curve is not None and rng.random() < share:
            return draw_near(rng, curve)
        return draw_curve(rng)

    return draw


def looks_of_targets(
    images: CaseStore,
    labels: CaseStore,
    variants: Mapping[str, Sequence[str]],
    targets: Sequence[Appearance],
    draw: DrawCurve = draw_curve,
    trust: NDArray[np.float64] | None = None,
) -> tuple[dict[str, tuple[str, ...]], Restyle | None]:
    """The volumes that can be measured, and what shows them as a random target scan does; None without either.

    Args:
        images: Store of the volumes.
        labels: Store of their labels.
        variants: Source case -> names under which `images` holds it.
        targets: Of `target_appearances`.
        draw: Gives the order of the background's intensities.
        trust: (K,) chance that a class is shown as it was measured, and not at a random intensity of the target scan;
            None for always.

    Returns:
        Source case -> names of the volumes that can be measured, and the function.
    """
    looks = looks_of(images, labels, variants, len(targets[0].medians), excess=True) if targets else {}
    measured = {case: tuple(name for name in names if name in looks) for case, names in variants.items()}
    own = {case: names for case, names in measured.items() if names}

    def restyle(name: str, image: np.ndarray, of_patch: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        look = targets[int(rng.integers(len(targets)))]
        if trust is not None and trust.min() < 1.0:
            look = doubted(look, rng.random(len(trust)) >= trust, rng)
        return match_appearance(image, of_patch, looks[name], look, draw(rng))

    return own, restyle if own else None


def doubted(look: Appearance, classes: NDArray[np.bool_], rng: np.random.Generator) -> Appearance:
    """The appearance of a scan with random intensities of it for some classes (K,)."""
    drawn = draw_appearance(rng, look.quantiles, len(classes))
    return Appearance(
        np.where(classes, drawn.medians, look.medians),
        np.where(classes, drawn.deviations, look.deviations),
        look.quantiles,
    )
