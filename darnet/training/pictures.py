"""Pictures that training leaves behind, as PNG."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from darnet.imaging import colour_of
from darnet.io import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NOT_LOSSES = {"stage", "iteration", "seconds_per_iteration", "skipped"}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure that needs no display and leaves matplotlib's global state alone."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG: whole, or not at all."""
    picture = io.BytesIO()
    figure.savefig(picture, dpi=100, format="png")
    atomic_write(path, picture.getvalue())


def draw_losses(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Each loss of a log over the iterations, and the seconds each iteration takes."""
    # From all rows: a row whose iterations were all skipped has no losses.
    names = list(dict.fromkeys(n for r in rows for n in r if n not in NOT_LOSSES))
    figure = new_figure(10, 2.2 * (len(names) + 1))
    axes = np.atleast_1d(figure.subplots(len(names) + 1, 1, sharex=True))
    for axis, name in zip(axes, [*names, "seconds_per_iteration"], strict=True):
        points = [(r["iteration"], r[name]) for r in rows if name in r]
        axis.plot(*zip(*points, strict=True), linewidth=1)
        axis.set_ylabel(name.replace("_", " "))
        axis.grid(alpha=0.3)
    axes[-1].set_xlabel("iteration")
    save_figure(figure, path)


def draw_grid(
    rows: Sequence[Sequence[np.ndarray]],
    titles: Sequence[str],
    path: Path,
    side: Sequence[str] = (),
    labels: Sequence[np.ndarray] = (),
) -> None:
    """A grid of slices (H, W) in -1..1.

    Args:
        rows: The slices of each row.
        titles: Above the columns.
        path: The picture.
        side: Left of the rows.
        labels: Of each row (H, W), whose outlines are drawn over all its slices.
    """
    tall = max(image.shape[0] / image.shape[1] for row in rows for image in row)
    figure = new_figure(1.8 * len(titles), (1.75 * tall + 0.1) * len(rows) + 0.3)
    axes = np.asarray(figure.subplots(len(rows), len(titles), squeeze=False))
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            axis = axes[i, j]
            axis.imshow(image, cmap="gray", vmin=-1, vmax=1, interpolation="nearest")
            # A label that fills its plane has no outline.
            for value in np.unique(labels[i][labels[i] > 0]) if labels and not labels[i].all() else ():
                axis.contour(labels[i] == value, levels=[0.5], colors=[colour_of(int(value))], linewidths=0.7)
            axis.set_xticks([])
            axis.set_yticks([])
            if i == 0:
                axis.set_title(titles[j], fontsize=9)
            if j == 0 and side:
                axis.set_ylabel(side[i], fontsize=8)
    save_figure(figure, path)
