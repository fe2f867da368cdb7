"""Pictures of the style space and of one slice in all its styles (Fig. 4)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from darnet.synthesis.styles import StyleBank
from darnet.training.pictures import draw_grid, new_figure, save_figure


def project(codes: np.ndarray) -> np.ndarray:
    """The two main axes (S, 2) of style codes (S, style_dim)."""
    centred = codes - codes.mean(axis=0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    return centred @ axes[:2].T  # type: ignore[no-any-return]


def draw_style_space(bank: StyleBank, path: Path) -> None:
    """All styles in the plane of their two main axes, a colour a cluster, with their middles and their mean."""
    points = project(bank.codes)
    figure = new_figure(6, 5)
    axis = figure.subplots()
    axis.scatter(points[:, 0], points[:, 1], c=bank.clusters, cmap="tab10", s=12)
    chosen = points[bank.medoids]
    axis.scatter(
        chosen[:, 0],
        chosen[:, 1],
        marker="^",
        s=90,
        facecolors="none",
        edgecolors="black",
        label="middle of each cluster",
    )
    for number, place in enumerate(chosen, 1):
        axis.annotate(f"cluster {number}", place, xytext=(7, 4), textcoords="offset points")
    mean = points.mean(axis=0)
    axis.scatter(mean[:1], mean[1:], marker="*", s=160, color="red", label="mean of all styles")
    axis.set_xlabel("first main axis of the style codes")
    axis.set_ylabel("second main axis")
    axis.legend()
    save_figure(figure, path)


def draw_styles(
    source: np.ndarray, translated: np.ndarray, path: Path, labels: np.ndarray | None = None, name: str = "source"
) -> None:
    """Three slices of one source volume beside their translations, all with the outlines of its labels.

    Args:
        source: The volume (1, D, H, W).
        translated: Its translations (K, D, H, W).
        path: The picture.
        labels: Of the volume (D, H, W); slices are taken from where there are any.
        name: What the volume is called.
    """
    planes = np.arange(source.shape[1])
    if labels is not None and labels.any():
        planes = np.flatnonzero(labels.any(axis=(1, 2)))
    picks = planes[np.linspace(0, len(planes) - 1, 5).astype(int)[1:-1]]
    rows = [[source[0, index], *(volume[index] for volume in translated)] for index in picks]
    outlines = [] if labels is None else [labels[index] for index in picks]
    draw_grid(rows, (name, *(f"style {k + 1}" for k in range(len(translated)))), path, labels=outlines)
