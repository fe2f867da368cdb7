"""Soft Dice + focal loss of several outputs with a gradient of its own, a block of voxels at a time.

`darnet.losses.dice` and `darnet.losses.focal` hold the two formulas. Autograd would keep about ten tensors of the size
of the logits for each output; here nothing but the logits is kept, and a block stays in the processor's cache.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

EPS = 1e-5
SMALLEST = 1e-7  # of 1 - p, so that an exponent below 1 keeps a finite gradient at certainty

_VOXELS_AT_ONCE = 32768  # on a CPU; a GPU takes whole samples


def dice_focal_loss(
    outputs: Sequence[Tensor], target: Tensor, known: Tensor | None, focal_weight: float, gamma: float
) -> Tensor:
    """Mean over the outputs of soft Dice + focal_weight * focal.

    With p_k the softmax of an output, y the one-hot target and n the voxels that count,

        L = 1 - 1/K sum_k (2 I_k + eps) / (S_k + eps) - focal_weight / (n K) sum_v (1 - p_t)^gamma log p_t,

    where I_k = sum p_k y_k, S_k = sum p_k^2 + sum y_k over batch and space, and t is the class of a voxel.

    Args:
        outputs: Logits (N, K, D, H, W) each.
        target: (N, D, H, W) integers, 0 to K - 1.
        known: (N, D, H, W) booleans: voxels that count; None counts all.
        focal_weight: lambda of section III.B.4.
        gamma: Exponent of the focal loss.
    """
    loss = _DiceFocal.apply(target, known, focal_weight, gamma, *outputs)  # type: ignore[no-untyped-call]
    return cast(Tensor, loss)


class _DiceFocal(Function):
    @staticmethod
    def forward(
        ctx: Any, target: Tensor, known: Tensor | None, focal_weight: float, gamma: float, *outputs: Tensor
    ) -> Tensor:
        """The loss; sums over blocks of planes are kept, probabilities are not."""
        classes, dtype = outputs[0].shape[1], torch.promote_types(outputs[0].dtype, torch.float32)
        overlap, squares = torch.zeros(2, len(outputs), classes, dtype=dtype, device=target.device)
        focal, there = torch.zeros_like(overlap[:, 0]), torch.zeros_like(overlap[0])
        for n, planes in _blocks(target):
            y, counts = _one_hot(target[n, planes], known, n, planes, classes, dtype)
            there += y.sum(1)
            for o, logits in enumerate(outputs):
                log_p = _rows(logits, n, planes, dtype).log_softmax(0)
                picked = (log_p * y).sum(0)
                focal[o] -= ((1 - picked.exp()).clamp_(min=SMALLEST).pow_(gamma) * picked).sum()
                p = log_p.exp_() if counts is None else log_p.exp_() * counts
                overlap[o] += (p * y).sum(1)
                squares[o] += p.square_().sum(1)
        voxels = target.numel() if known is None else known.sum().clamp(min=1)
        ctx.save_for_backward(target, known, overlap, squares + there, *outputs)
        ctx.gamma, ctx.focal_scale = gamma, focal_weight / (voxels * classes)
        dice = (2 * overlap + EPS) / (squares + there + EPS)
        loss: Tensor = (1 - dice.mean(1) + ctx.focal_scale * focal).mean()
        return loss

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the logits, whose probabilities are computed again block by block."""
        target, known, overlap, size, *outputs = ctx.saved_tensors
        classes, dtype, gamma = overlap.shape[1], overlap.dtype, ctx.gamma
        each = gradient / len(outputs)
        of_overlap = (-2 * each / classes / (size + EPS)).unsqueeze(-1)
        of_squares = (2 * each / classes * (2 * overlap + EPS) / (size + EPS).square()).unsqueeze(-1)
        results = [torch.empty_like(logits) for logits in outputs]
        for n, planes in _blocks(target):
            y, counts = _one_hot(target[n, planes], known, n, planes, classes, dtype)
            for o, logits in enumerate(outputs):
                log_p = _rows(logits, n, planes, dtype).log_softmax(0)
                picked = (log_p * y).sum(0)
                p = log_p.exp_()
                right = picked.exp()
                missing = (1 - right).clamp_(min=SMALLEST)
                slope = gamma * missing.pow(gamma - 1) * right * picked * (missing > SMALLEST)
                of_picked = (slope - missing.pow_(gamma)).mul_(each * ctx.focal_scale)
                of_p = (p * of_squares[o]).addcmul_(y, of_overlap[o])
                if counts is not None:
                    of_p, of_picked = of_p * counts, of_picked * counts
                of_p -= (p * of_p).sum(0) + of_picked
                of_z = of_p.mul_(p).addcmul_(y, of_picked)
                block = results[o][n, :, planes]
                block.copy_(of_z.view(block.shape))
        return None, None, None, None, *results


def _blocks(target: Tensor) -> Iterator[tuple[int, slice]]:
    """Index of the sample, and planes, of each block."""
    depth, plane = target.shape[1], target[0, 0].numel()
    step = max(_VOXELS_AT_ONCE // plane, 1) if target.device.type == "cpu" else depth
    for n in range(len(target)):
        for start in range(0, depth, step):
            yield n, slice(start, start + step)


def _rows(logits: Tensor, n: int, planes: slice, dtype: torch.dtype) -> Tensor:
    """Logits of a block, (K, voxels): rows of one class each, over which everything is quick."""
    return logits[n, :, planes].to(dtype).flatten(1)


def _one_hot(
    target: Tensor, known: Tensor | None, n: int, planes: slice, classes: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor | None]:
    """(K, voxels) of 0 and 1, all 0 where the class is not known, and which voxels count; None where all do."""
    y = (target.flatten() == torch.arange(classes, device=target.device)[:, None]).to(dtype)
    if known is None:
        return y, None
    counts = known[n, planes].flatten().to(dtype)
    return y * counts, counts
