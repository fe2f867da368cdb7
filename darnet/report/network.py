"""The segmentation network, level by level: in numbers and as a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from darnet.plans import Plans, SegmentationPlan
from darnet.words import cross

# Places of the drawing, in its own pixels.
ROW, BOX, WIDE, NARROW = 78, 46, 230, 150
LEFT, MIDDLE, RIGHT = 190, 380, 570
TIP = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0l8 4-8 4z"/></marker></defs>'
)


@dataclass(frozen=True)
class NetworkLevel:
    """One level of the network.

    Attributes:
        features: Its width.
        shape: Voxels (D, H, W) of a patch there.
        spacing: mm of a voxel there.
        stride: From the level above; None for the first.
    """

    features: int
    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    stride: tuple[int, int, int] | None


def network_levels(plans: Plans) -> tuple[NetworkLevel, ...]:
    """All levels from the finest to the coarsest."""
    shape, spacing = np.array(plans.segmentation.patch_size), np.array(plans.preprocessing.spacing)
    levels = []
    for features, stride in zip(plans.segmentation.channels, (None, *plans.segmentation.strides), strict=True):
        if stride is not None:
            shape, spacing = shape // stride, spacing * stride
        d, h, w = (int(n) for n in shape)
        a, b, c = (float(s) for s in spacing)
        levels.append(NetworkLevel(features, (d, h, w), (a, b, c), stride))
    return tuple(levels)


def draw_network(plan: SegmentationPlan, levels: Sequence[NetworkLevel]) -> str:
    """The U of the network as SVG: sizes of its features at each level, strides between them."""
    last = len(levels) - 1
    parts = [
        _text(LEFT, 18, f"patch of the scan, one voxel {cross(levels[0].spacing)} mm", "middle strong"),
        _text(RIGHT, 18, "probability of each class", "middle strong"),
    ]
    for n, level in enumerate(levels):
        y = 30 + n * ROW
        width = WIDE - (WIDE - NARROW) * n / max(last, 1)
        lines = (f"{level.features} features", f"{cross(level.shape)} voxels")
        for x, kind in ((LEFT, "encoder"), (RIGHT, "decoder")) if n < last else ((MIDDLE, "encoder"),):
            place = f'x="{x - width / 2:.0f}" y="{y}" width="{width:.0f}" height="{BOX}"'
            parts.append(f'<rect {place} rx="5" class="{kind}"/>')
            parts += [_text(x, y + 19 + 17 * i, line, "middle") for i, line in enumerate(lines)]
        if n < last:
            parts += _skip(y + BOX / 2, width, plan.voxel_attention)
            parts += _steps(y, levels[n + 1].stride or (1, 1, 1), n == last - 1)
    bottom = 30 + last * ROW + BOX + 18
    parts.append(_text(MIDDLE, bottom, f"one voxel here: {cross(levels[last].spacing)} mm", "middle faint"))
    label = f"U-shaped network of {len(levels)} levels: " + "; ".join(
        f"level {n + 1}, {cross(level.shape)} voxels, {level.features} features" for n, level in enumerate(levels)
    )
    head = f'<svg class="network" viewBox="0 0 760 {bottom + 12}" role="img" aria-label="{escape(label)}">'
    return f"{head}{TIP}{''.join(parts)}</svg>"


def _text(x: float, y: float, words: str, style: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{style}">{escape(words)}</text>'


def _arrow(path: str) -> str:
    return f'<path d="{path}" class="arrow"/>'


def _skip(y: float, width: float, attention: bool) -> list[str]:
    words = "detail, by attention" if attention else "detail"
    path = f"M{LEFT + width / 2 + 4:.0f} {y:.0f}H{RIGHT - width / 2 - 5:.0f}"
    return [_arrow(path), _text(MIDDLE, y - 6, words, "middle faint")]


def _steps(y: float, stride: Sequence[int], to_bottom: bool) -> list[str]:
    """Arrows down and up between a level and the next."""
    top, bottom = y + BOX + 2, y + ROW - 4
    down, up = f"M{LEFT} {top}V{bottom}", f"M{RIGHT} {bottom}V{top}"
    if to_bottom:
        low, half = bottom + 26, NARROW / 2
        down = f"M{LEFT} {top}Q{LEFT} {low} {MIDDLE - half - 5:.0f} {low}"
        up = f"M{MIDDLE + half + 3:.0f} {low}Q{RIGHT} {low} {RIGHT} {top}"
    return [
        _arrow(down),
        _arrow(up),
        _text(LEFT + 10, top + 17, f"divided by {cross(stride)}", "faint"),
        _text(RIGHT + 10, top + 17, f"times {cross(stride)}", "faint"),
    ]
