"""Quartet attention (QAM, Fig. 5d) and voxel-wise attention (VAM, Fig. 5c) of section III.B."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from darnet.networks.banded import convolve_planes
from darnet.networks.convolution import Conv3d
from darnet.networks.gating import POOLED_AXES, multiply_by_gates, z_pools
from darnet.networks.group_norm import group_norm, run_layers


class AttentionGate(nn.Module):
    """One branch of quartet attention after Z-pool: convolution, norm, sigmoid."""

    def __init__(self, kernel_size: int = 7, norm: bool = True) -> None:
        super().__init__()
        self.conv = Conv3d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)
        self.norm = nn.BatchNorm3d(1, momentum=0.01) if norm else nn.Identity()

    def forward(self, pooled: Tensor) -> Tensor:
        """(N, 2, X, Y, Z) -> gate (N, 1, X, Y, Z) in 0..1."""
        return torch.sigmoid(self.norm(self._convolve(pooled)))

    def _convolve(self, pooled: Tensor) -> Tensor:
        return convolve_planes(pooled, self.conv.weight) if pooled.device.type == "cpu" else self.conv(pooled)


class QuartetAttention(nn.Module):
    """Quartet attention module: y = X * mean of the four gates, each broadcast along the axis it pooled.

    The paper permutes the input four times, gates each copy, permutes back and averages. A gate does not vary along
    the axis that was pooled, so one product with the mean of the broadcast gates gives the same result.
    """

    def __init__(self, kernel_size: int = 7, norm: bool = True) -> None:
        super().__init__()
        self.gates = nn.ModuleList(AttentionGate(kernel_size, norm) for _ in POOLED_AXES)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, D, H, W) -> the same shape."""
        return multiply_by_gates(x, [gate(pooled) for gate, pooled in zip(self.gates, z_pools(x), strict=True)])


class VoxelAttention(nn.Module):
    """Voxel-wise attention module: weighs the decoder's features with one map made from encoder and decoder.

    Args:
        encoder_channels: Channels of the encoder's feature X_e.
        decoder_channels: Channels of the decoder's feature X_d, one level below.
        stride: (D, H, W) stride between both levels.
        sigmoid: Squash the map to 0..1; off as in Fig. 5c.
    """

    def __init__(
        self, encoder_channels: int, decoder_channels: int, stride: tuple[int, int, int], sigmoid: bool = False
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            group_norm(encoder_channels),
            nn.LeakyReLU(0.01, inplace=True),
            Conv3d(encoder_channels, decoder_channels, 3, padding=1),
            nn.MaxPool3d(stride),
        )
        self.decoder = nn.Sequential(
            group_norm(decoder_channels),
            nn.LeakyReLU(0.01, inplace=True),
            Conv3d(decoder_channels, decoder_channels, 3, padding=1),
        )
        self.map = nn.Sequential(
            group_norm(decoder_channels), nn.LeakyReLU(0.01, inplace=True), Conv3d(decoder_channels, 1, 1)
        )
        self.sigmoid = sigmoid

    def forward(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        """X_e (N, Ce, D, H, W) and X_d (N, Cd, D', H', W') -> weighted X_d."""
        both = run_layers(self.encoder, encoder).add_(run_layers(self.decoder, decoder))
        attention = run_layers(self.map, both, own=True)
        return decoder * (torch.sigmoid(attention) if self.sigmoid else attention)
