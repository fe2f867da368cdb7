"""Charts as inline SVG. Lines and marks differ in dashes and shapes as well as in colour.

All text is escaped. Colours are CSS classes `c0` to `c6`, so that charts follow the light, dark and printed page.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from darnet.words import number

WIDTH, HEIGHT = 560, 260
LEFT, RIGHT, TOP, BOTTOM = 62, 12, 14, 44
COLOURS = 7
NAME_WIDTH, NAME_HEIGHT = 50, 14  # of a marked point
Points = Sequence[tuple[float, float]]

SHAPES = (
    '<circle cx="{x}" cy="{y}" r="4" class="{c}"/>',
    '<rect x="{l}" y="{t}" width="7" height="7" class="{c}"/>',
    '<path d="M{x} {t}l4.5 8h-9z" class="{c}"/>',
    '<path d="M{x} {t}l4.5 4.5-4.5 4.5-4.5-4.5z" class="{c}"/>',
    '<path d="M{l} {t}l7.5 7.5m0-7.5l-7.5 7.5" class="{c} stroke"/>',
    '<path d="M{x} {t}v8m-4-4h8" class="{c} stroke"/>',
    '<path d="M{l} {t}h8l-4 8z" class="{c}"/>',
)


def line_chart(series: Mapping[str, Points], x_label: str, y_label: str, title: str, from_zero: bool = True) -> str:
    """Lines over a common axis, named in a legend.

    Args:
        series: Points (x, y) of each line by its name.
        x_label: What x is, with its unit.
        y_label: What y is, with its unit.
        title: What the chart shows, for readers who cannot see it.
        from_zero: Whether the y axis begins at 0.
    """
    frame = _Frame([p for points in series.values() for p in points], from_zero)
    body = [frame.axes(x_label, y_label)]
    for n, points in enumerate(series.values()):
        path = " ".join(f"{frame.x(x):.1f},{frame.y(y):.1f}" for x, y in _thin(points))
        body.append(f'<polyline points="{path}" class="line c{n % COLOURS} d{n % COLOURS}"/>')
    return _chart(body, list(series), title, lines=True)


def scatter_chart(
    groups: Mapping[str, Points], marks: Mapping[str, tuple[float, float]], x_label: str, y_label: str, title: str
) -> str:
    """Points in groups, each with a colour and a shape, and some single points marked by name."""
    frame = _Frame([p for points in groups.values() for p in points], from_zero=False)
    body = [frame.axes(x_label, y_label)]
    for n, points in enumerate(groups.values()):
        body += [_shape(n, frame.x(x), frame.y(y)) for x, y in _thin(points, 250)]
    named: list[tuple[float, float]] = []  # places of names, which must not cover each other
    for name, (x, y) in marks.items():
        at_x, at_y = frame.x(x), frame.y(y)
        body.append(f'<circle cx="{at_x:.1f}" cy="{at_y:.1f}" r="9" class="ring"/>')
        late = at_x > 0.8 * WIDTH
        side = f'x="{at_x - 11:.1f}" class="mark end"' if late else f'x="{at_x + 11:.1f}" class="mark"'
        below = at_y + 4
        while any(abs(at_x - other) < NAME_WIDTH and abs(below - height) < NAME_HEIGHT for other, height in named):
            below += NAME_HEIGHT
        named.append((at_x, below))
        body.append(f'<text {side} y="{below:.1f}">{escape(name)}</text>')
    return _chart(body, list(groups), title, lines=False)


def _thin(points: Points, most: int = 400) -> Points:
    """Finite points; every n-th where they are too many to be told apart."""
    finite = [point for point in points if all(map(math.isfinite, point))]
    return finite[:: max(len(finite) // most, 1)]


def _shape(n: int, x: float, y: float) -> str:
    places = {"x": f"{x:.1f}", "y": f"{y:.1f}", "l": f"{x - 3.5:.1f}", "t": f"{y - 4:.1f}", "c": f"c{n % COLOURS}"}
    return SHAPES[n % COLOURS].format(**places)


def _chart(body: Sequence[str], names: Sequence[str], title: str, lines: bool) -> str:
    """The SVG with a legend below."""
    legend, x, y = [], float(LEFT), HEIGHT + 16.0
    for n, name in enumerate(names):
        wide = 40 + 7.2 * len(name)
        if x + wide > WIDTH and x > LEFT:
            x, y = float(LEFT), y + 20
        colour = f"c{n % COLOURS}"
        if lines:
            legend.append(f'<path d="M{x:.0f} {y - 4:.0f}h24" class="line {colour} d{n % COLOURS}"/>')
        else:
            legend.append(_shape(n, x + 16, y - 4))
        legend.append(f'<text x="{x + 30:.0f}" y="{y:.0f}">{escape(name)}</text>')
        x += wide
    height = y + 10
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title, quote=True)}">'
        f"{''.join(body)}{''.join(legend)}</svg>"
    )


class _Frame:
    """Axes of a chart and the way from values to places."""

    def __init__(self, points: Points, from_zero: bool) -> None:
        finite = [p for p in points if all(map(math.isfinite, p))] or [(0.0, 0.0), (1.0, 1.0)]
        xs, ys = [p[0] for p in finite], [p[1] for p in finite]
        self.x_ticks = _ticks(min(xs), max(xs))
        self.y_ticks = _ticks(min(0.0, *ys) if from_zero else min(ys), max(ys))
        self.x_range = (min(xs), max(xs)) if max(xs) > min(xs) else (min(xs) - 0.5, max(xs) + 0.5)
        if from_zero:
            self.x_range = _widened(self.x_range, self.x_ticks)
        self.y_range = (min(self.y_ticks[0], *ys), max(self.y_ticks[-1], *ys))
        if not from_zero:
            margin = 0.05 * (self.x_range[1] - self.x_range[0])
            self.x_range = (self.x_range[0] - margin, self.x_range[1] + margin)

    def x(self, value: float) -> float:
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self.y_range
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def axes(self, x_label: str, y_label: str) -> str:
        """Grid, numbers and names of the axes."""
        parts = []
        for value in self.y_ticks:
            y = self.y(value)
            parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" class="grid"/>')
            parts.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" class="end">{number(value)}</text>')
        for value in self.x_ticks:
            if self.x_range[0] <= value <= self.x_range[1]:
                x = self.x(value)
                parts.append(f'<path d="M{x:.1f} {HEIGHT - BOTTOM}v5" class="grid"/>')
                parts.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" class="middle">{number(value)}</text>')
        middle_y, middle_x = (HEIGHT - BOTTOM + TOP) / 2, (WIDTH + LEFT - RIGHT) / 2
        parts.append(f'<text x="{middle_x:.0f}" y="{HEIGHT - 8}" class="middle">{escape(x_label)}</text>')
        turned = f'transform="translate(14 {middle_y:.0f}) rotate(-90)"'
        parts.append(f'<text {turned} class="middle">{escape(y_label)}</text>')
        return "".join(parts)


def _widened(span: tuple[float, float], ticks: Sequence[float]) -> tuple[float, float]:
    """A range that goes on to the ticks beyond its ends where they are near."""
    near = 0.05 * (span[1] - span[0])
    return (ticks[0] if span[0] - ticks[0] < near else span[0], ticks[-1] if ticks[-1] - span[1] < near else span[1])


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers that cover a range, about five."""
    if not high > low:
        low, high = low - 0.5, high + 0.5
    raw = (high - low) / 4
    power = 10 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(n * step, 12) for n in range(first, last + 1)]
