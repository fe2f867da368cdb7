"""A 3D convolution that stays quick for a single small sample."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from darnet.networks import winograd

# Channels and pixels along each side of a plane from which on tiles are quicker than oneDNN.
LEAST_BY_TILES = (64, 16)
MOST_BY_TILES = 96 * 96  # pixels of a plane: tiles need memory for several planes, nine times their size each

_HAS_ONEDNN: bool = cast(Any, torch.backends.mkldnn).is_available()


class Conv3d(nn.Conv3d):
    """As `torch.nn.Conv3d`, with the same parameters and numbers.

    On a CPU PyTorch convolves a single sample of fewer than about 20,000 rows in a way that is several times slower
    than oneDNN's, which it takes for all others. Where no gradient is wanted, oneDNN is called for those too, or, with
    many channels on processors of Intel, tiles that need fewer products: then numbers differ by rounding, about 1e-5 of
    their size.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin, D, H, W) -> (N, Cout, ...)."""
        return self._convolve(x, self.weight, self.bias)

    def share(self, x: Tensor, channels: slice) -> Tensor:
        """What some of the input channels contribute to the output; the bias comes with the first of them."""
        return self._convolve(x, self.weight[:, channels], None if channels.start else self.bias)

    def _convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        alone = len(x) == 1 and x.device.type == "cpu" and x.dtype == torch.float32
        if not alone or torch.is_grad_enabled() or not _HAS_ONEDNN:
            return cast(Tensor, self._conv_forward(x, weight, bias))
        if self._by_tiles(x, weight):
            return winograd.convolve_3x3x3(x, weight, bias)
        padding = cast(tuple[int, ...], self.padding)
        return torch.mkldnn_convolution(x, weight, bias, padding, self.stride, self.dilation, self.groups)

    def _by_tiles(self, x: Tensor, weight: Tensor) -> bool:
        plain = self.kernel_size == (3, 3, 3) and self.stride == self.padding == self.dilation == (1, 1, 1)
        plain = plain and self.groups == 1 and self.padding_mode == "zeros" and not torch.is_autocast_enabled("cpu")
        fits = LEAST_BY_TILES[1] <= min(x.shape[3:]) and x.shape[3] * x.shape[4] <= MOST_BY_TILES
        return winograd.PAYS and plain and fits and min(weight.shape[:2]) >= LEAST_BY_TILES[0]
