"""Random intensity curves that rise or fall: what is bright in one kind of scan may be dark in another."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from darnet.imaging import AIR

CURVE_POINTS = 8  # steps between the knots of a curve
DARKEST = -0.8  # that a curve shows of the body of a slice: apart from air, which stays


def draw_steps(rng: np.random.Generator) -> NDArray[np.float64]:
    """Steps (CURVE_POINTS,) of a curve, which sum to 1 and rise, or to -1 and fall; both are as likely."""
    return rng.dirichlet(np.full(CURVE_POINTS, 2.0)) * (1.0 if rng.random() < 0.5 else -1.0)


def curve_of(steps: NDArray[np.floating]) -> NDArray[np.float32]:
    """Knots (CURVE_POINTS + 1,), evenly over -1..1, of a curve with these steps: from -1 to 1, or from 1 to -1."""
    knots = np.concatenate([[0.0], np.cumsum(steps)]) * 2
    knots -= 1.0 if knots[-1] > 0 else -1.0
    return knots.astype(np.float32)


def along_curve(image: Tensor, knots: NDArray[np.float32]) -> Tensor:
    """Intensities (float32, any shape), clipped to -1..1, along a curve (K,), linearly between its knots."""
    last = len(knots) - 1
    position = ((image.clamp(-1, 1) + 1) * (last / 2)).clamp(max=last - 1e-4)
    index = position.long()
    table = torch.from_numpy(knots).to(image.device)
    low = table[index]
    return low + (table[index + 1] - low) * (position - index)


def slices_along_curves(slices: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """Show slices along random curves, each along its own.

    Args:
        slices: (N, C, H, W) in -1..1, C planes along the same curve; pixels up to `AIR` stay as they are, all others
            come to `DARKEST`..1.
        rng: Source of the curves.
        share: Of the slices that get one; the others stay as they are.

    Returns:
        (N, C, H, W) in -1..1, of the type of the slices.
    """
    shown = [
        along_curve(image.float(), (curve_of(draw_steps(rng)) + 1) * ((1 - DARKEST) / 2) + np.float32(DARKEST))
        if rng.random() < share
        else image
        for image in slices
    ]
    return torch.where(slices > AIR, torch.stack(shown).to(slices.dtype), slices)
