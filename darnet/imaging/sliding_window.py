"""Prediction of a whole volume from overlapping patches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from darnet.errors import ConfigurationError, DataError
from darnet.imaging.contrast import BACKGROUND

SMALLEST_WEIGHT = 1e-4
SIGMA = 1 / 8  # of the Gaussian, as a fraction of the patch


def window_starts(size: int, patch: int, step_fraction: float) -> list[int]:
    """First voxels of the windows along one axis: evenly spread, about a step apart at most, reaching both ends.

    Args:
        size: Voxels of the axis.
        patch: Voxels of a window.
        step_fraction: Largest step as a fraction of the window, above 0 and at most 1.

    Raises:
        ConfigurationError: The step is out of range.
    """
    if not 0 < step_fraction <= 1:
        raise ConfigurationError(
            "the step of the sliding window is out of range", found=step_fraction, expected="above 0, at most 1"
        )
    room = max(0, size - patch)
    steps = math.ceil(room / max(1, patch * step_fraction) - 1e-9)  # 0.29 * 100 is a little less than 29
    return [round(room * step / steps) for step in range(steps)] + [room]


def gaussian_weights(patch_size: Sequence[int]) -> Tensor:
    """Weight of each voxel of a patch: a Gaussian about its middle, 1 at most, clipped to stay above 0.

    Args:
        patch_size: (D, H, W) voxels.

    Returns:
        float32 of the patch's shape.
    """
    weights = torch.ones((), dtype=torch.float64)
    for size in patch_size:
        offset = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
        weights = weights[..., None] * torch.exp(-0.5 * (offset / (size * SIGMA)) ** 2)
    return (weights / weights.max()).clamp_(min=SMALLEST_WEIGHT).float()


@torch.no_grad()
def sliding_planes(
    image: Tensor,
    network: Callable[[Tensor], Tensor],
    patch_size: Sequence[int],
    num_classes: int,
    step_size: float = 0.5,
    average: str = "probabilities",
    batch_size: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Tensor]:
    """Class probabilities of a volume, averaged over overlapping patches with Gaussian weights, in blocks of planes.

    Each comes as soon as no window to come reaches it.

    So the sums of one patch's planes are held, however many planes and classes there are.

    Args:
        image: (C, D, H, W), on the device of the network. An axis shorter than the patch is padded, and cut off again.
        network: Logits (N, K, *patch_size) of patches (N, C, *patch_size).
        patch_size: (D, H, W) voxels.
        num_classes: K.
        step_size: Largest step between patches as a fraction of the patch.
        average: What is averaged: "probabilities", or "logits" before the softmax.
        batch_size: Patches per call of the network.
        progress: Called with the number of patches done and their total after each batch.

    Yields:
        float32 probabilities (K, planes, H, W) from the first plane to the last, on the device of the image.

    Raises:
        ConfigurationError: Unknown `average`, or an output of another shape than promised.
        DataError: The network's output is not finite.
    """
    if average not in ("probabilities", "logits"):
        raise ConfigurationError("unknown average", found=repr(average), expected="probabilities or logits")
    padded, original = _pad(image, patch_size)
    windows = _windows(padded.shape[1:], patch_size, step_size)
    sums = _Sums(num_classes, (patch_size[0], *padded.shape[2:]), gaussian_weights(patch_size).to(image.device))
    inner = original[1]

    def finished(planes: int) -> Tensor:
        start = sums.start
        mean = sums.take(planes)[:, max(inner.start - start, 0) : inner.stop - start, original[2], original[3]]
        return mean if average == "probabilities" else mean.softmax(dim=0)

    for first in range(0, len(windows), batch_size):
        chosen = windows[first : first + batch_size]
        batch = torch.stack([padded[window] for window in chosen])
        outputs = _checked(network(batch), chosen, num_classes, patch_size)
        values = outputs.softmax(dim=1) if average == "probabilities" else outputs
        for value, window in zip(values, chosen, strict=True):
            if window[1].start > sums.start:
                yield finished(window[1].start - sums.start)
            sums.add(value, window)
        if progress is not None:
            progress(first + len(chosen), len(windows))
    yield finished(patch_size[0])


class _Sums:
    """Weighted sums of the windows over the planes that windows to come may reach; `start` is the first of them."""

    def __init__(self, num_classes: int, shape: Sequence[int], weights: Tensor) -> None:
        self.start, self.weights = 0, weights
        self.total = torch.zeros((num_classes, *shape), dtype=torch.float32, device=weights.device)
        self.share = torch.zeros(tuple(shape), dtype=torch.float32, device=weights.device)

    def add(self, value: Tensor, window: tuple[slice, ...]) -> None:
        """Add a window that begins at the plane `start`."""
        _, _, rows, columns = window
        self.total[:, :, rows, columns].addcmul_(value, self.weights)
        self.share[:, rows, columns] += self.weights

    def take(self, planes: int) -> Tensor:
        """Means (K, planes, H, W) of the first planes, which are forgotten."""
        mean = self.total[:, :planes] / self.share[:planes]
        self.start += planes
        for sums, axis in ((self.total, 1), (self.share, 0)):
            left = sums.shape[axis] - planes
            sums.narrow(axis, 0, left).copy_(sums.narrow(axis, planes, left).clone())
            sums.narrow(axis, left, planes).zero_()
        return mean


def _pad(image: Tensor, patch_size: Sequence[int]) -> tuple[Tensor, tuple[slice, ...]]:
    """Pad (C, D, H, W) evenly with background to at least one patch; also the slices of the original."""
    missing = [max(0, patch - size) for size, patch in zip(image.shape[1:], patch_size, strict=True)]
    inner = (slice(m // 2, m // 2 + size) for m, size in zip(missing, image.shape[1:], strict=True))
    original = (slice(None), *inner)
    if not any(missing):
        return image, original
    padding = [side for m in reversed(missing) for side in (m // 2, m - m // 2)]  # F.pad counts from the last axis
    return F.pad(image, padding, value=BACKGROUND), original


def _windows(shape: Sequence[int], patch_size: Sequence[int], step_fraction: float) -> list[tuple[slice, ...]]:
    """Slices (all channels, D, H, W) of all windows of a volume."""
    starts = [window_starts(size, patch, step_fraction) for size, patch in zip(shape, patch_size, strict=True)]
    return [
        (slice(None), *(slice(start, start + patch) for start, patch in zip(corner, patch_size, strict=True)))
        for corner in product(*starts)
    ]


def _checked(
    outputs: Tensor, chosen: Sequence[tuple[slice, ...]], num_classes: int, patch_size: Sequence[int]
) -> Tensor:
    """The network's output as float32.

    Raises:
        ConfigurationError: It has another shape than promised.
        DataError: It is not finite.
    """
    expected = (len(chosen), num_classes, *patch_size)
    if tuple(outputs.shape) != expected:
        found = tuple(outputs.shape)
        raise ConfigurationError("the network's output has another shape", found=found, expected=expected)
    outputs = outputs.float()
    if not torch.isfinite(outputs).all():
        count = int((~torch.isfinite(outputs)).sum())
        raise DataError(
            "the network's output is not finite",
            where=f"window {[(s.start, s.stop) for s in chosen[0][1:]]} of the volume",
            found=f"{count} of {outputs.numel()} values",
            expected="finite logits",
            remedy="look at the scan's intensities; use another checkpoint if all scans fail",
        )
    return outputs
