"""The two steps of quartet attention that see a whole feature: Z-pool over every axis, and the product with the gates.

Section III.B.2 permutes the input once for each branch. A pooled map and a gate do not vary along the axis that is
pooled, so no permuted copy is needed. Both steps have their own gradients: what autograd would keep for them and the
full-size tensors that it would pass through are several times the feature.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

# Axes of (N, C, D, H, W) that the four branches pool over: the permuted inputs X, X^d, X^h and X^w of the paper.
POOLED_AXES = (1, 2, 3, 4)

_ROW = 8


def z_pools(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Z-pool of section III.B.2 over each axis: maximum and mean.

    Where several voxels share a maximum, they share its gradient.

    Args:
        x: Features (N, C, D, H, W).

    Returns:
        For each of `POOLED_AXES` (N, 2, ...) with the three axes that are left, in the order that `x` has them.
    """
    return cast(tuple[Tensor, Tensor, Tensor, Tensor], _ZPools.apply(x))  # type: ignore[no-untyped-call]


def multiply_by_gates(x: Tensor, gates: Sequence[Tensor]) -> Tensor:
    """Product of a feature with the mean of four gates, each broadcast along the axis that it pooled.

    Args:
        x: (N, C, D, H, W).
        gates: One (N, 1, ...) for each of `POOLED_AXES`, with the three other axes.

    Returns:
        (N, C, D, H, W).
    """
    return cast(Tensor, _Gated.apply(x, *gates))  # type: ignore[no-untyped-call]


class _ZPools(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, ...]:
        """Maximum and mean along each pooled axis; the maxima are kept, their places are not."""
        memory = _in_memory_order(x)
        maxima = [_amax(memory, _place(x, axis)) for axis in POOLED_AXES]
        means = [memory.mean(_place(x, axis)) for axis in POOLED_AXES]
        ctx.save_for_backward(x, *maxima)
        return tuple(
            torch.stack([_channels_first(pooled, x, axis) for pooled in both], dim=1)
            for axis, *both in zip(POOLED_AXES, maxima, means, strict=True)
        )

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Gradient of x: that of a maximum is shared by all voxels that reach it."""
        x, *maxima = ctx.saved_tensors
        memory = _in_memory_order(x)
        of_means = [
            _broadcast(g[:, 1] / x.shape[axis], x, axis) for g, axis in zip(gradients, POOLED_AXES, strict=True)
        ]
        result = _sum(of_means)
        hits = torch.empty_like(memory[0])  # of one sample, so that little is held besides
        for axis, gradient, maximum in zip(POOLED_AXES, gradients, maxima, strict=True):
            place = _place(x, axis)
            of_maximum = _broadcast(gradient[:, 0], x, axis)
            for n in range(len(x)):
                torch.eq(memory[n], maximum.unsqueeze(place)[n], out=hits)
                result[n].addcmul_(hits, of_maximum[n] / hits.sum(place - 1, keepdim=True))
        return _out_of_memory_order(result, x)


class _Gated(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, *gates: Tensor) -> Tensor:
        """Product of x and the mean of its gates."""
        ctx.save_for_backward(x, *gates)
        return _out_of_memory_order(_mean_gate(x, gates).mul_(_in_memory_order(x)), x)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        """Gradients of x and of each gate."""
        x, *gates = ctx.saved_tensors
        memory = _in_memory_order(x)
        gradient = gradient.permute(_order(x)).contiguous()
        of_gates = [torch.empty_like(gate) for gate in gates]
        for n in range(len(x)):
            product = memory[n] * gradient[n]
            for axis, of_gate in zip(POOLED_AXES, of_gates, strict=True):
                place = _place(x, axis)
                of_gate[n, 0] = _channels_first(product.sum(place - 1)[None], x, axis)[0].mul_(0.25)
        return _out_of_memory_order(_mean_gate(x, gates).mul_(gradient), x), *of_gates


def _mean_gate(x: Tensor, gates: Iterable[Tensor]) -> Tensor:
    return _sum([_broadcast(gate[:, 0] * 0.25, x, axis) for gate, axis in zip(gates, POOLED_AXES, strict=True)])


def _sum(parts: Sequence[Tensor]) -> Tensor:
    """Sum of parts of which the first two together have the whole shape."""
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total += part
    return total


def _order(x: Tensor) -> tuple[int, ...]:
    """Axes of x from the slowest to the fastest in memory: reductions over strided axes are up to 15 times slower."""
    channels_last = x.is_contiguous(memory_format=torch.channels_last_3d) and not x.is_contiguous()
    return (0, 2, 3, 4, 1) if channels_last else (0, 1, 2, 3, 4)


def _in_memory_order(x: Tensor) -> Tensor:
    return x.permute(_order(x))


def _out_of_memory_order(y: Tensor, like: Tensor) -> Tensor:
    order = _order(like)
    return y.permute([order.index(axis) for axis in range(5)])


def _place(x: Tensor, axis: int) -> int:
    """Where an axis of x is in memory order."""
    return _order(x).index(axis)


def _channels_first(pooled: Tensor, x: Tensor, axis: int) -> Tensor:
    """A feature in memory order that lacks one axis, in the order of x."""
    return pooled.movedim(-1, 1) if axis != 1 and _order(x)[-1] == 1 else pooled


def _broadcast(pooled: Tensor, x: Tensor, axis: int) -> Tensor:
    """A map in the order of x that lacks one axis, in memory order with that axis of length 1."""
    return pooled.unsqueeze(axis).permute(_order(x)).contiguous()


def _amax(x: Tensor, axis: int) -> Tensor:
    """Maximum over an axis, in two steps where it can: the first then takes whole rows of neighbours in memory."""
    size = x.shape[axis]
    if size % _ROW == 0 and size > _ROW:
        x = x.reshape(*x.shape[:axis], size // _ROW, _ROW, *x.shape[axis + 1 :]).amax(axis)
    return x.amax(axis)
