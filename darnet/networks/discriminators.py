"""Discriminators of section III.A.2: multi-scale for images, one for content."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from darnet.networks.instance_norm import instance_norm


class PatchDiscriminator(nn.Module):
    """4x4 stride-2 convolutions with LeakyReLU 0.2, instance norm but for the first, then a map of scores."""

    def __init__(self, width: int = 32, layers: int = 5, largest: int = 256) -> None:
        super().__init__()
        sizes = [1, *(min(width * 2**i, largest) for i in range(layers))]
        self.convs = nn.ModuleList(
            nn.Conv2d(i, o, 4, stride=2, padding=1) for i, o in zip(sizes, sizes[1:], strict=False)
        )
        self.out = nn.Conv2d(sizes[-1], 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        """(N, 1, H, W) -> scores (N, 1, H / 2^layers, W / 2^layers)."""
        x = image
        for index, conv in enumerate(self.convs):
            x = conv(x)
            x = F.leaky_relu(instance_norm(x) if index else x, 0.2)
        return self.out(x)  # type: ignore[no-any-return]


class ImageDiscriminator(nn.Module):
    """The same patch discriminator shape at several scales, each half the one before.

    Layers are left out at the smaller scales so that no map gets smaller than 4x4; `planning` chooses the numbers.
    """

    def __init__(self, width: int = 32, layers: int = 5, scales: int = 3) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchDiscriminator(width, max(layers - s, 1)) for s in range(scales))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """(N, 1, H, W) -> one map of scores a scale."""
        maps = []
        for index, scale in enumerate(self.scales):
            if index:
                image = F.avg_pool2d(image, 3, stride=2, padding=1, count_include_pad=False)
            maps.append(scale(image))
        return tuple(maps)


class ContentDiscriminator(nn.Module):
    """Tells source content from target content: padded 7x7 stride-2 convolutions, then one map of scores."""

    def __init__(self, channels: int, layers: int = 2) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels, 7, stride=2, padding=3) for _ in range(layers))
        self.out = nn.Conv2d(channels, 1, 1)

    def forward(self, content: Tensor) -> tuple[Tensor, ...]:
        """(N, C, H, W) -> a tuple of one map of scores."""
        x = content
        for conv in self.convs:
            x = F.leaky_relu(instance_norm(conv(x)), 0.2)
        return (self.out(x),)
