"""Strides of the DAR-UNet, patches that suit them, and the sizes of the 2D networks."""

from __future__ import annotations

import math
from collections.abc import Sequence

Stride = tuple[int, int, int]
Shape = tuple[int, int, int]

LEVELS = 4
LEAST_PLANES = 4  # a stack of planes is never halved below this
LEAST_MAP = 4  # nor does a map of a discriminator get smaller
SLICE_MULTIPLE = 16
LEAST_SIDE = 2 * SLICE_MULTIPLE
WINDOW_MULTIPLE = 8  # of a window about as large as a field of view: as much of it as possible, without padding
CONTENT_DOWNSAMPLING = 4


def determine_strides(spacing: Sequence[float], depth: int, levels: int = LEVELS) -> tuple[tuple[Stride, ...], str]:
    """Strides of each level and their reason.

    An axis is halved while its spacing is less than twice the finest, so voxels become cubes and stay so (section
    III.B, anisotropic strides).

    Args:
        spacing: mm (D, H, W).
        depth: Planes of the patch, or of the volumes where the patch is not chosen yet.
        levels: Number of strided levels.
    """
    now, planes, strides = list(spacing), depth, []
    for _ in range(levels):
        enough = planes // 2 >= LEAST_PLANES and planes % 2 == 0
        # Planes that can get no fewer no longer hold the other axes back.
        finest = min(now if enough else now[1:])
        halved = [s < 2 * finest * (1 - 1e-6) for s in now]
        halved[0] = halved[0] and enough
        strides.append((1 + halved[0], 1 + halved[1], 1 + halved[2]))
        now = [s * n for s, n in zip(now, strides[-1], strict=True)]
        planes //= strides[-1][0]
    why = (
        f"an axis is halved while its spacing is below twice the finest (through plane to in plane "
        f"{spacing[0] / min(spacing[1:]):.2g} to 1), and planes never get fewer than {LEAST_PLANES}"
    )
    return tuple(strides), why


def divisor(strides: Sequence[Stride]) -> Shape:
    """What a patch must be divisible by."""
    d, h, w = (math.prod(stride[axis] for stride in strides) for axis in range(3))
    return d, h, w


def round_up(size: int, multiple: int) -> int:
    """The next multiple."""
    return -(-size // multiple) * multiple


def determine_slice_size(body: tuple[float, float]) -> tuple[tuple[int, int], str]:
    """Size (H, W) of the translator's slices, which covers the median body of both domains.

    Args:
        body: Pixels (H, W) of the larger domain's.
    """
    why = "covers the median body of both domains, source scans as cropped; larger slices are cut about their centre"
    return (_slice_side(body[0]), _slice_side(body[1])), why


def _slice_side(pixels: float) -> int:
    return max(round_up(math.ceil(pixels), SLICE_MULTIPLE), LEAST_SIDE)


def determine_window(
    slice_size: tuple[int, int], limit: int | None, narrow: tuple[float | None, float | None] = (None, None)
) -> tuple[tuple[int, int] | None, str]:
    """Size (H, W) of the windows of slices that the translator learns from, or None for whole slices.

    Args:
        slice_size: Pixels of a slice.
        limit: Most pixels along an axis, or None.
        narrow: Pixels (H, W) that both domains show, to which windows are rounded down; None along an axis where one
            shows hardly more of the body than the other.
    """
    h, w = (
        n if field is None else min(n, max(int(field) // WINDOW_MULTIPLE * WINDOW_MULTIPLE, LEAST_SIDE))
        for n, field in zip(slice_size, narrow, strict=True)
    )
    shown = (h, w)
    window = shown if limit is None else (min(shown[0], limit), min(shown[1], limit))
    if window == slice_size:
        return None, "whole slices, as in the paper" if limit is None else "whole slices are small enough"
    reasons = []
    if any(w == s < n for w, s, n in zip(window, shown, slice_size, strict=True)):
        reasons.append("as much as both domains show, where scans of one end within the body")
    if window != shown:
        reasons.append(f"at most {limit} pixels along an axis, so that a CPU sees many of them in its time")
    return window, "; ".join(reasons)


def determine_discriminator(slice_size: tuple[int, int], layers: int, scales: int) -> tuple[int, int, int, str]:
    """Layers and scales of the image discriminators, and layers of the content discriminator.

    The largest numbers up to the given ones with which no map of scores gets smaller than 4x4; a smaller scale has a
    layer less each time.
    """
    side = min(slice_size)
    layers = max(min(layers, int(math.log2(side / LEAST_MAP))), 1)
    scales = max(min(scales, layers), 1)
    content = max(min(3, int(math.log2(side / CONTENT_DOWNSAMPLING / LEAST_MAP))), 1)
    return (
        layers,
        scales,
        content,
        f"the preset's, or fewer so that at least {LEAST_MAP} x {LEAST_MAP} verdicts are left of a slice",
    )
