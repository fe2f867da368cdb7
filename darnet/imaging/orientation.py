"""One orientation for all scans: D runs through the planes, H and W lie in them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import numpy as np
from numpy.typing import NDArray

from darnet.errors import ConfigurationError, DataError
from darnet.imaging.crop import Scalar

ANISOTROPIC_RATIO = 1.5  # the coarsest spacing over the next one, from which a scan has planes of its own
BODY = "RAS"  # positive directions of the world axes
OPPOSITE = "LPI"
# Directions in which the canonical D, H and W run, by the body axis that D follows. All three have one handedness, so
# that of two oblique stacks nearly alike, of which one is nearer to another body axis, neither is a mirror image.
CANONICAL_CODES = {"S": ("S", "P", "L"), "A": ("P", "I", "L"), "R": ("R", "I", "P")}


@dataclass(frozen=True)
class Orientation:
    """How an input array (i, j, k) becomes a canonical one (D, H, W).

    Attributes:
        axes: Canonical axis n is the input axis `axes[n]`.
        flips: Whether canonical axis n runs against the input axis.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]


def determine_orientation(affine: NDArray[np.floating], through_plane: str = "S") -> Orientation:
    """Find the orientation that brings a scan to canonical axes.

    An anisotropic scan (its coarsest spacing at least 1.5 times the next) keeps its own through-plane axis as D, as
    only that axis has planes. Any other scan gets the array axis nearest to the body axis `through_plane` as D. Axes
    are matched to body axes all at once, so oblique stacks never give one body axis twice.

    The directions follow from the body axis of D: along S, D runs to superior, H to posterior, W to the left; along A,
    D runs to posterior, H to inferior, W to the left; along R, D runs to the right, H to inferior, W to posterior.

    Args:
        affine: (4, 4) map from voxel (i, j, k) to mm in R, A, S.
        through_plane: "R", "A" or "S".

    Raises:
        ConfigurationError: `through_plane` is none of these.
        DataError: The affine has a zero or non-finite axis.
    """
    if through_plane not in CANONICAL_CODES:
        raise ConfigurationError(
            "unknown through-plane axis",
            where="preprocessing.through_plane",
            found=repr(through_plane),
            expected="R, A or S",
            remedy="mend the value in plans.json",
        )
    body, cosines, spacing = _match_axes(affine)
    order = np.argsort(spacing, kind="stable")
    coarsest = int(order[2])
    if spacing[coarsest] >= ANISOTROPIC_RATIO * spacing[order[1]]:
        codes = CANONICAL_CODES[BODY[body[coarsest]]]
    else:
        codes = CANONICAL_CODES[through_plane]
    axes, flips = [], []
    for code in codes:
        world = world_axis(code)
        axis = body.index(world)
        axes.append(axis)
        flips.append(bool((cosines[world, axis] > 0) != (code in BODY)))
    return Orientation((axes[0], axes[1], axes[2]), (flips[0], flips[1], flips[2]))


def world_axis(code: str) -> int:
    """World axis, 0 to 2 for R, A, S, along which a direction code of the body runs, either way."""
    return BODY.index(code) if code in BODY else OPPOSITE.index(code)


def canonical_view(array: NDArray[Scalar], orientation: Orientation) -> NDArray[Scalar]:
    """An array (i, j, k) seen as a canonical one (D, H, W): no voxel is copied."""
    return np.transpose(array, orientation.axes)[_reversal(orientation)]


def to_canonical(array: NDArray[Scalar], orientation: Orientation) -> NDArray[Scalar]:
    """Turn an array (i, j, k) into a contiguous canonical one (D, H, W)."""
    return np.ascontiguousarray(canonical_view(array, orientation))


def from_canonical(array: NDArray[Scalar], orientation: Orientation) -> NDArray[Scalar]:
    """Turn a canonical array (D, H, W) back into a contiguous one (i, j, k); the exact inverse of `to_canonical`."""
    back = np.argsort(orientation.axes)
    return np.ascontiguousarray(np.transpose(array[_reversal(orientation)], back))


def body_axes(affine: NDArray[np.floating], orientation: Orientation) -> tuple[str, str, str]:
    """Direction codes towards which the canonical D, H and W run, such as ("S", "P", "L")."""
    body, cosines, _ = _match_axes(affine)
    codes = []
    for axis, flip in zip(orientation.axes, orientation.flips, strict=True):
        towards = (cosines[body[axis], axis] > 0) != flip
        codes.append((BODY if towards else OPPOSITE)[body[axis]])
    return codes[0], codes[1], codes[2]


def spacing_of(affine: NDArray[np.floating], orientation: Orientation) -> tuple[float, float, float]:
    """Spacing in mm of the canonical axes (D, H, W)."""
    spacing = np.linalg.norm(np.asarray(affine, dtype=np.float64)[:3, :3], axis=0)
    d, h, w = (float(spacing[axis]) for axis in orientation.axes)
    return d, h, w


def _reversal(orientation: Orientation) -> tuple[slice, slice, slice]:
    d, h, w = (slice(None, None, -1 if flip else 1) for flip in orientation.flips)
    return d, h, w


def _match_axes(affine: NDArray[np.floating]) -> tuple[tuple[int, ...], NDArray[np.float64], NDArray[np.float64]]:
    """Body axis (0 R, 1 A, 2 S) of each array axis, the cosines (body, array) between them, and the spacing."""
    matrix = np.asarray(affine, dtype=np.float64)[:3, :3]
    spacing = np.linalg.norm(matrix, axis=0)
    if not np.all(np.isfinite(spacing)) or spacing.min() <= 0:
        raise DataError(
            "the affine has a zero or non-finite axis",
            found=f"spacing {spacing.tolist()}",
            expected="three spacings above 0 mm",
            remedy="mend the header of the scan",
        )
    # Rounding keeps the choice the same on all machines where two axes lie at 45 degrees.
    cosines = np.round(matrix / spacing, 6)
    body = max(permutations(range(3)), key=lambda order: round(sum(abs(cosines[order[a], a]) for a in range(3)), 6))
    return body, cosines, spacing
