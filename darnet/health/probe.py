"""Whether the labels of source volumes can still be told from their translations: a quick probe.

A small forest learns the classes of single voxels from the intensities about them, on some volumes, and is scored on
others: once with source volumes, once with each style. What it knows in the source and no longer in a style was lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from darnet.imaging import neighbour_offsets
from darnet.io import CaseStore
from darnet.plans import Plans

MOST_CASES = 8  # half of them to fit, half to score
VOXELS_A_CLASS = 200  # of each volume
NEAR = 16.0  # mm along each axis, from a voxel of a class to one that surrounds it
RINGS = (4.0, 8.0, 16.0)  # mm from a voxel to those that the probe sees of its plane
TREES = 40


@dataclass(frozen=True)
class Recovered:
    """How well the probe tells each class from all other voxels: area under the ROC curve, 0.5 by guessing.

    Attributes:
        source: In source volumes, by class.
        styles: In their translations, one mapping a style.
    """

    source: Mapping[str, float]
    styles: tuple[Mapping[str, float], ...]


def recover_labels(
    plans: Plans, source: CaseStore, synthetic: CaseStore, variants: Mapping[str, Sequence[str]]
) -> Recovered | None:
    """Fit and score the probe on source volumes and on each style of the same volumes, at the same voxels.

    Args:
        plans: The plan.
        source: Store of the source volumes and their labels.
        synthetic: Store of their translations.
        variants: Source case -> names of its translations, one a style. Every second case is scored on.

    Returns:
        None where there are fewer than two cases. Classes that no volume shows in either half are left out.
    """
    cases = sorted(variants)
    cases = cases[:: -(-len(cases) // MOST_CASES)]
    if len(cases) < 2:
        return None
    rngs = [np.random.default_rng([plans.seed, number]) for number in range(len(cases))]
    samples = [sample_voxels(source.labels(case), plans, rng) for case, rng in zip(cases, rngs, strict=True)]

    def score(volumes: Sequence[NDArray[np.float32]]) -> dict[str, float]:
        spacing = plans.preprocessing.spacing
        seen = [neighbourhoods(v, s.places, spacing) for v, s in zip(volumes, samples, strict=True)]
        return fit_and_score(seen, samples, plans.foreground)

    names = [variants[case] for case in cases]
    styles = [score([synthetic.image(own[style])[0] for own in names]) for style in range(len(names[0]))]
    return Recovered(score([source.image(case)[0] for case in cases]), tuple(styles))


@dataclass(frozen=True)
class Sample:
    """Voxels of a volume.

    Attributes:
        places: (N, 3).
        labels: (N,) their labels.
        about: (N,) the class that each was drawn for: of its own voxels, or of what surrounds it.
    """

    places: NDArray[np.int64]
    labels: NDArray[np.uint8]
    about: NDArray[np.int64]


def sample_voxels(labels: NDArray[np.uint8], plans: Plans, rng: np.random.Generator) -> Sample:
    """Voxels of each class of labels (D, H, W), and up to as many within `NEAR` that are not of the class."""
    places, about = [np.zeros((0, 3), np.int64)], []
    for value in plans.foreground.values():
        own = np.argwhere(labels == value)
        own = own[rng.permutation(len(own))[:VOXELS_A_CLASS]]
        steps = rng.uniform(-NEAR, NEAR, own.shape) / np.asarray(plans.preprocessing.spacing)
        near = np.clip(own + steps.round().astype(np.int64), 0, np.asarray(labels.shape) - 1)
        near = near[labels[tuple(near.T)] != value]
        places += [own, near]
        about += [value] * (len(own) + len(near))
    chosen = np.concatenate(places)
    return Sample(chosen, labels[tuple(chosen.T)], np.asarray(about, np.int64))


def neighbourhoods(
    image: NDArray[np.float32], places: NDArray[np.int64], spacing: tuple[float, float, float]
) -> NDArray[np.float32]:
    """What the probe sees of each voxel: intensities there, in rings about it, above and below.

    Each is the mean of 3 x 3 voxels of a plane. Where a voxel lies in the volume is not told: it would be known
    without any content.

    Args:
        image: Volume (D, H, W).
        places: Voxels (N, 3).
        spacing: mm (D, H, W).

    Returns:
        (N, features).
    """
    from scipy.ndimage import uniform_filter

    smooth = uniform_filter(image, (1, 3, 3), mode="nearest")
    offsets = [(0, 0, 0), *neighbour_offsets(RINGS, spacing[1:])]
    last = np.asarray(image.shape) - 1
    columns = [smooth[tuple(np.clip(places + np.asarray(offset), 0, last).T)] for offset in offsets]
    return np.stack(columns, axis=1)


def fit_and_score(
    seen: Sequence[NDArray[np.float32]], samples: Sequence[Sample], classes: Mapping[str, int]
) -> dict[str, float]:
    """Fit on the volumes of even numbers; on the others, tell each class from what surrounds it.

    Args:
        seen: (N, features) of each volume.
        samples: The voxels of each volume.
        classes: Value of each class by name.

    Returns:
        Area under the ROC curve of each class that both halves show.
    """
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.metrics import roc_auc_score

    if not all(sum(len(s.labels) for s in samples[half::2]) for half in (0, 1)):
        return {}
    forest = ExtraTreesClassifier(TREES, min_samples_leaf=5, class_weight="balanced", random_state=0, n_jobs=1)
    forest.fit(np.concatenate(seen[0::2]), np.concatenate([s.labels for s in samples[0::2]]))
    chances = forest.predict_proba(np.concatenate(seen[1::2]))
    labels, about = (np.concatenate([getattr(s, key) for s in samples[1::2]]) for key in ("labels", "about"))
    found = {}
    for name, value in classes.items():
        own = labels[about == value] == value
        if value in forest.classes_ and own.any() and not own.all():
            column = list(forest.classes_).index(value)
            found[name] = float(roc_auc_score(own, chances[about == value, column]))
    return found
