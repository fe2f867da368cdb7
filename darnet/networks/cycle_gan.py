"""CycleGAN (Zhu et al. 2017): one generator for each direction, content and style entangled in it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darnet.networks.instance_norm import instance_norm

RESIDUAL_BLOCKS = 9
WIDEST = 8  # times the first width: more than that no layer of a discriminator has
# A patch of the discriminator covers 70 of 256 pixels along an axis.
PATCH, SLICE = 70, 256
MOST_STRIDED = 3


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance norm, a ReLU between them, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_0 = nn.Conv2d(channels, channels, 3)
        self.conv_1 = nn.Conv2d(channels, channels, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(instance_norm(self.conv_0(_reflect(x, 1))))
        return x + instance_norm(self.conv_1(_reflect(y, 1)))


class ResNetGenerator(nn.Module):
    """7x7 convolution, two 3x3 stride-2 convolutions, residual blocks, two transposed convolutions, 7x7, tanh."""

    def __init__(self, width: int = 64, residual_blocks: int = RESIDUAL_BLOCKS) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 7)
        self.downs = nn.ModuleList(nn.Conv2d(n * width, 2 * n * width, 3, stride=2, padding=1) for n in (1, 2))
        self.blocks = nn.Sequential(*(ResidualBlock(4 * width) for _ in range(residual_blocks)))
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(2 * n * width, n * width, 3, stride=2, padding=1, output_padding=1) for n in (2, 1)
        )
        self.head = nn.Conv2d(width, 1, 7)

    def forward(self, image: Tensor) -> Tensor:
        """Slices (N, 1, H, W) of one domain -> slices of the other, in -1..1. H and W are multiples of 4."""
        x = F.relu(instance_norm(self.stem(_reflect(image, 3))))
        for down in self.downs:
            x = F.relu(instance_norm(down(x)))
        x = self.blocks(x)
        for up in self.ups:
            x = F.relu(instance_norm(up(x)))
        return torch.tanh(self.head(_reflect(x, 3)))


class EntangledTranslator(nn.Module):
    """Both generators of CycleGAN. A slice has one translation: there are no style codes."""

    def __init__(self, width: int = 64, residual_blocks: int = RESIDUAL_BLOCKS) -> None:
        super().__init__()
        self.to_target = ResNetGenerator(width, residual_blocks)
        self.to_source = ResNetGenerator(width, residual_blocks)

    def translations(self, slices: Tensor, styles: Tensor) -> Iterator[Tensor]:
        """Source slices (N, 1, H, W) as target slices, the same for each row of `styles` (K, 0)."""
        translated = self.to_target(slices)
        for _ in styles:
            yield translated


class OverlappingPatchDiscriminator(nn.Module):
    """PatchGAN: 4x4 convolutions, the first ones with stride 2, LeakyReLU 0.2, instance norm but for the first.

    Three strided layers score overlapping patches of 70 x 70 pixels.
    """

    def __init__(self, width: int = 64, strided: int = MOST_STRIDED) -> None:
        super().__init__()
        sizes = [1, *(min(2**n, WIDEST) * width for n in range(strided + 1))]
        strides = [2] * strided + [1]
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, 4, stride=stride, padding=1)
            for i, o, stride in zip(sizes, sizes[1:], strides, strict=False)
        )
        self.out = nn.Conv2d(sizes[-1], 1, 4, padding=1)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(N, 1, H, W) -> a tuple of one map of scores (N, 1, H / 2^strided - 2, W / 2^strided - 2)."""
        x = image
        for index, conv in enumerate(self.convs):
            x = conv(x)
            x = F.leaky_relu(instance_norm(x) if index else x, 0.2)
        return (self.out(x),)


def patch_of(strided: int) -> int:
    """Pixels along an axis that one score sees: 16, 34 or 70 with one, two or three strided layers."""
    pixels = 7  # two 4x4 convolutions of stride 1
    for _ in range(strided):
        pixels = 2 * pixels + 2
    return pixels


def strided_layers(slice_size: Sequence[int]) -> int:
    """Strided layers with which a patch covers a share of the slice as near as can be to 70 of 256 pixels."""
    wanted = PATCH / SLICE * min(slice_size)
    return min(range(1, MOST_STRIDED + 1), key=lambda n: abs(patch_of(n) - wanted))


def _reflect(x: Tensor, pixels: int) -> Tensor:
    return F.pad(x, (pixels,) * 4, mode="reflect")
