"""The chart of an experiment: Dice and surface distance of each row, with its spread over seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from darnet.training.pictures import new_figure, save_figure

if TYPE_CHECKING:
    from darnet.experiment.table import Line

REFERENCES = {"no_adaptation": "0.4", "supervised": "0.0"}  # rows that get a line, and its grey


def draw_table(lines: Sequence[Line], path: Path) -> None:
    """Draw a bar for each row, its spread over seeds, and a dot for each class.

    Args:
        lines: Rows with scores.
        path: PNG to write.
    """
    names = list(dict.fromkeys(name for line in lines for name in line.classes))
    figure = new_figure(11, 0.38 * len(lines) + 1.8)
    dice, distance = figure.subplots(1, 2, sharey=True)
    for axis, measure in ((dice, 0), (distance, 1)):
        means = [line.dice if measure == 0 else line.asd_mm for line in lines]
        axis.barh(range(len(lines)), [m.mean if math.isfinite(m.mean) else 0.0 for m in means], color="0.85")
        for i, spread in enumerate(means):
            if math.isfinite(spread.std):
                axis.errorbar(spread.mean, i, xerr=spread.std, color="0.3", capsize=3)
        for number, name in enumerate(names):
            found = [(i, line.classes[name][measure].mean) for i, line in enumerate(lines) if name in line.classes]
            found = [(i, value) for i, value in found if math.isfinite(value)]
            axis.plot([v for _, v in found], [i for i, _ in found], "o", markersize=4, color=f"C{number}", label=name)
        for i, spread in enumerate(means):
            text = spread.text(3) if measure == 0 else spread.text(1)
            axis.annotate(text, (1.01, i), xycoords=("axes fraction", "data"), va="center", fontsize=7)
        for line, spread in zip(lines, means, strict=True):
            if line.name in REFERENCES and math.isfinite(spread.mean):
                axis.axvline(spread.mean, color=REFERENCES[line.name], linestyle="--", linewidth=1)
        axis.grid(axis="x", alpha=0.3)
    dice.set_yticks(range(len(lines)), [line.name for line in lines], fontsize=8)
    dice.invert_yaxis()
    dice.set_xlim(0, 1)
    distance.set_xlim(left=0)
    dice.set_xlabel("Dice")
    distance.set_xlabel("ASD in mm (no bar: an organ was missed)")
    dice.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=max(len(names), 1), fontsize=7, frameon=False)
    save_figure(figure, path)
