"""The 3D dual attention residual U-Net (DAR-UNet) of section III.B and Fig. 5."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import reduce
from itertools import accumulate, pairwise
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darnet.networks.attention import QuartetAttention, VoxelAttention
from darnet.networks.convolution import Conv3d
from darnet.networks.group_norm import group_norm, normalize, run_layers

Stride = tuple[int, int, int]


class ResidualBlock(nn.Module):
    """Pre-activation residual block (Fig. 5b): three norm-activation-convolution steps, a convolved skip, QAM.

    Args:
        in_channels: Channels of the input.
        out_channels: Channels of the output.
        stride: (D, H, W) stride of the first convolution and of the skip.
        leading_norm: Norm and activation before the first convolution; off for the block that sees the image.
        quartet_attention: Refine the sum with quartet attention.
        quartet_norm: Batch norm within quartet attention.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: Stride = (1, 1, 1),
        leading_norm: bool = True,
        quartet_attention: bool = True,
        quartet_norm: bool = True,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = [group_norm(in_channels), nn.LeakyReLU(0.01, inplace=True)] if leading_norm else []
        layers.append(Conv3d(in_channels, out_channels, 3, stride=stride, padding=1))
        for _ in range(2):
            layers += [
                group_norm(out_channels),
                nn.LeakyReLU(0.01, inplace=True),
                Conv3d(out_channels, out_channels, 3, padding=1),
            ]
        self.body = nn.Sequential(*layers)
        self.skip = nn.Sequential(
            Conv3d(in_channels, out_channels, 3, stride=stride, padding=1), group_norm(out_channels)
        )
        self.attention = QuartetAttention(norm=quartet_norm) if quartet_attention else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin, D, H, W) -> (N, Cout, D / stride, ...)."""
        skip = run_layers(self.skip, x)
        # Under autocast the norm of the skip is single precision, and so is the sum.
        return self.attention(skip.add_(run_layers(self.body, x)))  # type: ignore[no-any-return]

    def join(self, parts: list[Tensor]) -> Tensor:
        """As `forward` of the parts' concatenation along the channels. A CPU needs less time and memory without it.

        Only for a block with a leading norm. The list is emptied: without gradients no part is held longer than needed,
        and its memory may be used.
        """
        norm, activation, conv = cast(nn.GroupNorm, self.body[0]), self.body[1], cast(Conv3d, self.body[2])
        size = norm.num_channels // norm.num_groups
        if parts[0].device.type != "cpu" or any(part.shape[1] % size for part in parts):
            parts[:] = [torch.cat(parts, dim=1)]
            return self(parts.pop())  # type: ignore[no-any-return]
        spans = [slice(*ends) for ends in pairwise(accumulate((part.shape[1] for part in parts), initial=0))]
        shares = map(cast(Conv3d, self.skip[0]).share, parts, spans)
        skip = normalize(_sum(shares), cast(nn.GroupNorm, self.skip[1]))
        # Each part goes out of the list before the next one is normalised.
        summed = (conv.share(activation(normalize(parts.pop(), norm, span)), span) for span in reversed(spans))
        # The sum has no name here: it goes as soon as the first layer is done with it.
        body = run_layers(cast(nn.Sequential, self.body[3:]), _sum(summed), own=True)
        return self.attention(skip.add_(body))  # type: ignore[no-any-return]


def _sum(parts: Iterable[Tensor]) -> Tensor:
    """Sum of tensors in the memory of the first."""
    return reduce(Tensor.add_, parts)


class UpBlock(nn.Module):
    """One level of the decoder: VAM, transposed convolution, concatenation with the encoder, residual block."""

    def __init__(
        self,
        decoder_channels: int,
        encoder_channels: int,
        stride: Stride,
        voxel_attention: bool = True,
        quartet_attention: bool = True,
        quartet_norm: bool = True,
        voxel_sigmoid: bool = False,
    ) -> None:
        super().__init__()
        self.attention = (
            VoxelAttention(encoder_channels, decoder_channels, stride, voxel_sigmoid) if voxel_attention else None
        )
        self.upsample = nn.ConvTranspose3d(
            decoder_channels,
            decoder_channels,
            3,
            stride=stride,
            padding=1,
            output_padding=(stride[0] - 1, stride[1] - 1, stride[2] - 1),
        )
        self.block = ResidualBlock(
            decoder_channels + encoder_channels,
            encoder_channels,
            quartet_attention=quartet_attention,
            quartet_norm=quartet_norm,
        )

    def forward(self, decoder: Tensor, features: list[Tensor]) -> Tensor:
        """X_d and the encoder's features, of which X_e, the last, is taken -> X_d one level higher (N, Ce, D, H, W).

        Without gradients the memory of X_e may be used.
        """
        encoder = features.pop()
        if self.attention is not None:
            decoder = self.attention(encoder, decoder)
        parts = [self.upsample(decoder), encoder]
        del decoder, encoder  # so that nothing but the list holds them
        return self.block.join(parts)


class DARUNet(nn.Module):
    """DAR-UNet: residual U-Net with quartet and voxel-wise attention, anisotropic strides and deep supervision.

    Args:
        in_channels: Image channels.
        num_classes: Classes, background included.
        channels: Width of each level.
        strides: (D, H, W) stride between each level and the next, one fewer than levels.
        quartet_attention: Switch of QAM.
        voxel_attention: Switch of VAM.
        deep_supervision: One side output a level, fused to the result by a convolution; else one head.
        quartet_norm: Batch norm within QAM.
        voxel_sigmoid: Sigmoid on VAM's map.
    """

    def __init__(
        self,
        in_channels: int = 1,
        num_classes: int = 5,
        channels: Sequence[int] = (16, 32, 64, 128, 256),
        strides: Sequence[Stride] = ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)),
        quartet_attention: bool = True,
        voxel_attention: bool = True,
        deep_supervision: bool = True,
        quartet_norm: bool = True,
        voxel_sigmoid: bool = False,
    ) -> None:
        super().__init__()
        if len(strides) != len(channels) - 1:
            raise ValueError(f"{len(channels)} channels need {len(channels) - 1} strides, got {len(strides)}")
        steps: list[Stride] = [(1, 1, 1), *((s[0], s[1], s[2]) for s in strides)]
        inputs = [in_channels, *channels[:-1]]
        self.encoder = nn.ModuleList(
            ResidualBlock(i, o, s, level > 0, quartet_attention, quartet_norm)
            for level, (i, o, s) in enumerate(zip(inputs, channels, steps, strict=True))
        )
        self.decoder = nn.ModuleList(
            UpBlock(
                channels[level + 1],
                channels[level],
                steps[level + 1],
                voxel_attention,
                quartet_attention,
                quartet_norm,
                voxel_sigmoid,
            )
            for level in reversed(range(len(strides)))
        )
        self.deep_supervision = deep_supervision
        self.stride = tuple(math.prod(s[axis] for s in steps) for axis in range(3))
        if deep_supervision:
            self.heads = nn.ModuleList(Conv3d(c, num_classes, 3, padding=1) for c in channels)
            self.fuse = Conv3d(num_classes * len(channels), num_classes, 3, padding=1)
        else:
            self.heads = nn.ModuleList([Conv3d(channels[0], num_classes, 3, padding=1)])

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Segment a batch of patches.

        Args:
            x: (N, in_channels, D, H, W); each axis a multiple of the product of its strides.

        Returns:
            Logits (N, num_classes, D, H, W). While training with deep supervision (fused, side_0, ..., side_4), all
            at full size, side_0 from the finest level.

        Raises:
            ValueError: An axis does not divide by its strides.
        """
        if any(size % stride for size, stride in zip(x.shape[2:], self.stride, strict=True)):
            raise ValueError(f"patch {tuple(x.shape[2:])} is not a multiple of the strides' product {self.stride}")
        if len(x) > 1 and not self.training and x.device.type == "cpu":
            # One after the other a CPU is as fast, and needs memory for one.
            return torch.cat([cast(Tensor, self(sample)) for sample in torch.split(x, 1)])
        features: list[Tensor] = []
        for block in self.encoder:
            x = block(x)
            features.append(x)
        levels = [features.pop()]
        for up in self.decoder:
            levels.append(up(levels[-1], features))
        levels.reverse()
        if not self.deep_supervision:
            return self.heads[0](levels[0])  # type: ignore[no-any-return]
        size = levels[0].shape[2:]
        sides = tuple(_resize(head(level), size) for head, level in zip(self.heads, levels, strict=True))
        fused = self.fuse(torch.cat(sides, dim=1))
        return (fused, *sides) if self.training else fused


def _resize(logits: Tensor, size: torch.Size) -> Tensor:
    if logits.shape[2:] == size:
        return logits
    return F.interpolate(logits, size=size, mode="trilinear", align_corners=False)
