"""What can be measured of translated volumes: contrast, change, flicker, sharpness, intensities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from darnet.imaging import AIR, BODY_ABOVE, flicker, relative_difference

BINS = np.linspace(-1, 1, 49)


@dataclass(frozen=True)
class TranslationFacts:
    """What the health checks ask for. Intensities are in the unit of -1 (black) to 1 (white).

    Attributes:
        contrast: Least standard deviation within the body of any translated volume.
        change: Mean absolute difference between translated and source volumes within the body.
        styles_apart: Mean absolute difference between two styles of one volume within the body.
        flicker: Mean absolute difference of neighbouring planes over the standard deviation, by kind of volume:
            "source", "translated", "target".
        sharpness: The same of neighbouring pixels within planes.
        distance_before: Mean distance of the intensities of source from target scans.
        distance_after: The same of translated volumes.
        added_flicker: How many times as much translated volumes change from plane to plane as their own source.
        style_contrast: Mean standard deviation within the body of the volumes of each style.
        target_contrast: Least standard deviation within the body of a target scan.
    """

    contrast: float
    change: float
    styles_apart: float
    flicker: Mapping[str, float]
    sharpness: Mapping[str, float]
    distance_before: float
    distance_after: float
    added_flicker: float = float("nan")
    style_contrast: tuple[float, ...] = ()
    target_contrast: float = float("nan")


def histogram(images: Sequence[NDArray[np.floating]]) -> NDArray[np.float64]:
    """Share of the voxels above background in each bin of `BINS`, all images weighing the same."""
    found = []
    for image in images:
        counts, _ = np.histogram(image[image > AIR], BINS)
        found.append(counts / max(counts.sum(), 1))
    return np.asarray(np.mean(found, axis=0))


def measure(
    pairs: Sequence[tuple[NDArray[np.floating], Sequence[NDArray[np.floating]]]],
    targets: Sequence[NDArray[np.floating]],
) -> tuple[TranslationFacts, dict[str, NDArray[np.float64]]]:
    """Compare source volumes (D, H, W) with their translations and with target volumes.

    Returns:
        The facts, and the histograms of source, translated and target volumes.
    """
    contrast: list[list[float]] = []  # of each pair, of each style
    change: list[float] = []
    apart: list[float] = []
    added: list[float] = []
    along_depth: dict[str, list[float]] = {"source": [], "translated": [], "target": []}
    sharpness: dict[str, list[float]] = {"source": [], "translated": [], "target": []}

    def note(kind: str, volume: NDArray[np.floating], body: NDArray[np.bool_]) -> None:
        along_depth[kind].append(relative_difference(volume, body, 0))
        sharpness[kind].append(float(np.mean([relative_difference(volume, body, axis) for axis in (1, 2)])))

    for image, styles in pairs:
        body = image > BODY_ABOVE if (image > BODY_ABOVE).any() else np.ones(image.shape, bool)
        note("source", image, body)
        contrast.append([float(style[body].std()) for style in styles])
        for style in styles:
            note("translated", style, body)
            added.append(flicker(style, image))
            change.append(float(np.abs(style - image)[body].mean()))
        apart += [float(np.abs(a - b)[body].mean()) for a, b in combinations(styles, 2)]
    for image in targets:
        note("target", image, image > BODY_ABOVE)
    shares = {
        "source": histogram([image for image, _ in pairs]),
        "translated": histogram([style for _, styles in pairs for style in styles]),
        "target": histogram(targets),
    }
    bodies = [image[image > BODY_ABOVE] for image in targets]
    facts = TranslationFacts(
        contrast=float(np.min(contrast)),
        change=float(np.mean(change)),
        styles_apart=float(np.mean(apart)) if apart else float("nan"),
        flicker={kind: float(np.mean(values)) for kind, values in along_depth.items()},
        sharpness={kind: float(np.mean(values)) for kind, values in sharpness.items()},
        distance_before=histogram_distance(shares["source"], shares["target"]),
        distance_after=histogram_distance(shares["translated"], shares["target"]),
        added_flicker=float(np.mean(added)),
        style_contrast=tuple(float(value) for value in np.mean(contrast, axis=0)),
        target_contrast=min((float(body.std()) for body in bodies if body.size), default=float("nan")),
    )
    return facts, shares


def histogram_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """How far intensities must be moved on average to make one histogram the other (Wasserstein-1)."""
    return float(np.abs(np.cumsum(a - b)).sum() * (BINS[1] - BINS[0]))
