"""DAR-UNet and its loss as section III.B of the paper words them: an oracle for darnet's numbers and a partner for its
times. Parameters have the names of `darnet.networks.DARUNet`, so that weights can be exchanged.

Quartet attention permutes its input four times, gates each copy, permutes it back and takes the mean; all tensors lie
as PyTorch lays them by itself; each of the six losses works on one-hot labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Stride = tuple[int, int, int]
# (C, D, H, W) to X, X^d, X^h and X^w, behind the batch axis; each is its own inverse but the last two.
PERMUTATIONS = ((0, 1, 2, 3, 4), (0, 2, 1, 3, 4), (0, 3, 1, 2, 4), (0, 4, 1, 2, 3))


def norm(channels: int) -> nn.GroupNorm:
    """Group norm of eight channels a group."""
    return nn.GroupNorm(max(channels // 8, 1) if channels % 8 == 0 else 1, channels)


class Gate(nn.Module):
    """Z-pool, convolution, norm and sigmoid of one branch; the gate times its input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(2, 1, 7, padding=3, bias=False)
        self.norm = nn.BatchNorm3d(1, momentum=0.01)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat((x.max(1, keepdim=True)[0], x.mean(1, keepdim=True)), dim=1)
        return x * torch.sigmoid(self.norm(self.conv(pooled)))


class PlainQuartetAttention(nn.Module):
    """Fig. 5d: four permuted copies, each gated and permuted back, and their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.gates = nn.ModuleList(Gate() for _ in PERMUTATIONS)

    def forward(self, x: Tensor) -> Tensor:
        refined = []
        for gate, order in zip(self.gates, PERMUTATIONS, strict=True):
            back = [order.index(axis) for axis in range(5)]
            refined.append(gate(x.permute(order).contiguous()).permute(back).contiguous())
        return (refined[0] + refined[1] + refined[2] + refined[3]) / 4


class PlainBlock(nn.Module):
    """Fig. 5b."""

    def __init__(self, inputs: int, outputs: int, stride: Stride = (1, 1, 1), leading_norm: bool = True) -> None:
        super().__init__()
        layers: list[nn.Module] = [norm(inputs), nn.LeakyReLU(0.01)] if leading_norm else []
        layers.append(nn.Conv3d(inputs, outputs, 3, stride, 1))
        for _ in range(2):
            layers += [norm(outputs), nn.LeakyReLU(0.01), nn.Conv3d(outputs, outputs, 3, padding=1)]
        self.body = nn.Sequential(*layers)
        self.skip = nn.Sequential(nn.Conv3d(inputs, outputs, 3, stride, 1), norm(outputs))
        self.attention = PlainQuartetAttention()

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(self.body(x) + self.skip(x))


class PlainVoxelAttention(nn.Module):
    """Fig. 5c."""

    def __init__(self, encoder: int, decoder: int, stride: Stride) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            norm(encoder), nn.LeakyReLU(0.01), nn.Conv3d(encoder, decoder, 3, padding=1), nn.MaxPool3d(stride)
        )
        self.decoder = nn.Sequential(norm(decoder), nn.LeakyReLU(0.01), nn.Conv3d(decoder, decoder, 3, padding=1))
        self.map = nn.Sequential(norm(decoder), nn.LeakyReLU(0.01), nn.Conv3d(decoder, 1, 1))

    def forward(self, encoder: Tensor, decoder: Tensor) -> Tensor:
        return decoder * self.map(self.encoder(encoder) + self.decoder(decoder))


class PlainUp(nn.Module):
    """One level of the decoder."""

    def __init__(self, decoder: int, encoder: int, stride: Stride) -> None:
        super().__init__()
        self.attention = PlainVoxelAttention(encoder, decoder, stride)
        outer = (stride[0] - 1, stride[1] - 1, stride[2] - 1)
        self.upsample = nn.ConvTranspose3d(decoder, decoder, 3, stride, 1, outer)
        self.block = PlainBlock(decoder + encoder, encoder)

    def forward(self, decoder: Tensor, encoder: Tensor) -> Tensor:
        return self.block(torch.cat((self.upsample(self.attention(encoder, decoder)), encoder), dim=1))


class PlainDARUNet(nn.Module):
    """Fig. 5a; see `darnet.networks.DARUNet` for arguments, inputs and outputs."""

    def __init__(self, num_classes: int, channels: Sequence[int], strides: Sequence[Stride]) -> None:
        super().__init__()
        steps: list[Stride] = [(1, 1, 1), *strides]
        inputs = (1, *channels[:-1])
        self.encoder = nn.ModuleList(
            PlainBlock(i, o, s, level > 0) for level, (i, o, s) in enumerate(zip(inputs, channels, steps, strict=True))
        )
        self.decoder = nn.ModuleList(
            PlainUp(channels[level + 1], channels[level], steps[level + 1]) for level in reversed(range(len(strides)))
        )
        self.heads = nn.ModuleList(nn.Conv3d(c, num_classes, 3, padding=1) for c in channels)
        self.fuse = nn.Conv3d(num_classes * len(channels), num_classes, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        features = []
        for block in self.encoder:
            x = block(x)
            features.append(x)
        levels = [features[-1]]
        for up, skip in zip(self.decoder, reversed(features[:-1]), strict=True):
            levels.append(up(levels[-1], skip))
        levels.reverse()
        size = levels[0].shape[2:]
        sides = [
            F.interpolate(head(level), size=size, mode="trilinear", align_corners=False)
            for head, level in zip(self.heads, levels, strict=True)
        ]
        fused = self.fuse(torch.cat(sides, dim=1))
        return (fused, *sides) if self.training else fused


def plain_loss(outputs: Sequence[Tensor], target: Tensor, focal_weight: float = 10.0, gamma: float = 2.0) -> Tensor:
    """Mean over the outputs of soft Dice and weighted focal loss, section III.B.4."""
    losses = []
    for logits in outputs:
        one_hot = F.one_hot(target, logits.shape[1]).permute(0, 4, 1, 2, 3).float()
        p = torch.softmax(logits, dim=1)
        axes = (0, 2, 3, 4)
        dice = (2 * (p * one_hot).sum(axes) + 1e-5) / ((p**2).sum(axes) + (one_hot**2).sum(axes) + 1e-5)
        focal = -(one_hot * (1 - p) ** gamma * torch.log_softmax(logits, dim=1)).mean()
        losses.append(1 - dice.mean() + focal_weight * focal)
    return torch.stack(losses).mean()
