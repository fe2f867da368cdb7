"""The 2D content/style translator of section III.A: shared content encoder, two style encoders, AdaIN decoder."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darnet.networks.banded import convolve_rows
from darnet.networks.instance_norm import adaptive_instance_norm, instance_norm
from darnet.networks.winograd import convolve_3x3

DOWNSAMPLING = 4  # content maps are a quarter of the slice in each direction


def _rectify(x: Tensor) -> Tensor:
    # Norms return views of other shapes; in place, the backward pass of those would copy.
    return F.relu(x) if torch.is_grad_enabled() else F.relu_(x)


def _pad_image(x: Tensor) -> Tensor:
    # Slices end in air or in cut anatomy: repeating the border keeps zero, a mid-grey, from drawing a frame.
    return F.pad(x, (3, 3, 3, 3), mode="replicate")


class Conv3x3(nn.Conv2d):
    """As `torch.nn.Conv2d` with a kernel of 3x3 and zeros around the input, with the same parameters."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin, H, W) -> (N, Cout, H, W)."""
        return convolve_3x3(x, self.weight, self.bias)


class PreActivationBlock(nn.Module):
    """Two instance-norm, ReLU, 3x3 convolution steps added to the input; the sum is divided by sqrt 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_0 = Conv3x3(channels, channels)
        self.conv_1 = Conv3x3(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv_0(_rectify(instance_norm(x)))
        y = self.conv_1(_rectify(instance_norm(y)))
        return torch.mul(x + y, math.sqrt(0.5))


class ContentEncoder(nn.Module):
    """Shared content encoder: 7x7 convolution, two 4x4 stride-2 convolutions, pre-activation residual blocks."""

    def __init__(self, width: int = 32, residual_blocks: int = 4) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 7)
        self.down_0 = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)
        self.down_1 = nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1)
        self.blocks = nn.Sequential(*(PreActivationBlock(4 * width) for _ in range(residual_blocks)))

    def forward(self, image: Tensor) -> Tensor:
        """(N, 1, H, W) -> content (N, 4 width, H / 4, W / 4)."""
        x = _rectify(instance_norm(self.stem(_pad_image(image))))
        x = _rectify(instance_norm(self.down_0(x)))
        x = _rectify(instance_norm(self.down_1(x)))
        return self.blocks(x)  # type: ignore[no-any-return]


class StyleEncoder(nn.Module):
    """Style encoder of one domain: convolutions, global mean, linear layer.

    Instance norm would remove the statistics that are the style, so `norm` is "none" unless asked for.
    """

    def __init__(self, width: int = 32, style_dim: int = 8, norm: str = "none") -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 7)
        sizes = (width, 2 * width, 4 * width, 4 * width, 4 * width)
        self.downs = nn.ModuleList(
            nn.Conv2d(i, o, 4, stride=2, padding=1) for i, o in zip(sizes, sizes[1:], strict=False)
        )
        self.out = nn.Linear(sizes[-1], style_dim)
        self.norm = norm

    def forward(self, image: Tensor) -> Tensor:
        """(N, 1, H, W) -> style_code (N, style_dim)."""
        x = _rectify(self._normalize(self.stem(_pad_image(image))))
        for down in self.downs:
            x = _rectify(self._normalize(down(x)))
        return self.out(x.mean((2, 3)))  # type: ignore[no-any-return]

    def _normalize(self, x: Tensor) -> Tensor:
        return instance_norm(x) if self.norm == "instance" else x


class UpsampleConv(nn.Module):
    """Nearest-neighbour doubling followed by a zero-padded 5x5 convolution.

    After doubling, each output pixel sees only 3x3 different values. So the four output phases are computed as one
    3x3 convolution at the small size whose kernels are sums of the 5x5 kernel's taps, with 36 instead of 100 products.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 5, padding=2)
        # Row p of a phase: which of the small pixels -1, 0, 1 each of the five taps falls on.
        phase = torch.zeros(2, 3, 5)
        for p in range(2):
            for tap in range(5):
                phase[p, (p + tap - 2) // 2 + 1, tap] = 1.0
        self.register_buffer("phase", phase, persistent=False)
        self.phase: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(N, Cin, H, W) -> (N, Cout, 2 H, 2 W)."""
        out_channels, in_channels = self.conv.weight.shape[:2]
        weight = torch.einsum("oiyx,pay,qbx->opqiab", self.conv.weight, self.phase, self.phase)
        weight = weight.reshape(4 * out_channels, in_channels, 3, 3)
        assert self.conv.bias is not None
        bias = self.conv.bias.repeat_interleave(4)
        return convolve_3x3(x, weight, bias, shuffled=2)


class Decoder(nn.Module):
    """Shared decoder: AdaIN residual blocks, two doublings with AdaIN, 7x7 convolution, tanh.

    A multilayer perceptron turns the style code into the scales and shifts of all AdaIN layers.
    """

    def __init__(self, width: int = 32, style_dim: int = 8, residual_blocks: int = 4) -> None:
        super().__init__()
        channels = 4 * width
        self.blocks = nn.ModuleList(Conv3x3(channels, channels) for _ in range(2 * residual_blocks))
        self.up_0 = UpsampleConv(channels, channels // 2)
        self.up_1 = UpsampleConv(channels // 2, channels // 4)
        self.head = nn.Conv2d(channels // 4, 1, 7, padding=3)
        self.sizes = [channels] * (2 * residual_blocks) + [channels // 2, channels // 4]
        self.style = nn.Sequential(
            nn.Linear(style_dim, 128),
            nn.ReLU(),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Linear(128, 2 * sum(self.sizes)),
        )

    def begin(self, content: Tensor) -> Tensor:
        """The first convolution, which comes before any style; the content itself where there are no blocks."""
        return self.blocks[0](content) if len(self.blocks) else content

    def forward(self, content: Tensor, style_code: Tensor, begun: Tensor | None = None) -> Tensor:
        """Content (N, C, H / 4, W / 4) and style_code (N, style_dim) -> image (N, 1, H, W) in -1..1.

        Who decodes a content in several styles gives what `begin` made of it, once for all of them.
        """
        parameters = iter(self.style(style_code).split([s for size in self.sizes for s in (size, size)], dim=1))
        x, y = content, self.begin(content) if begun is None else begun
        for first, second in zip(self.blocks[::2], self.blocks[1::2], strict=True):
            y = y if first is self.blocks[0] else first(x)
            y = _rectify(adaptive_instance_norm(y, next(parameters), next(parameters)))
            y = adaptive_instance_norm(second(y), next(parameters), next(parameters))
            x = (x + y) * math.sqrt(0.5)
        for up in (self.up_0, self.up_1):
            x = _rectify(adaptive_instance_norm(up(x), next(parameters), next(parameters)))
        cpu = x.device.type == "cpu"
        return torch.tanh(convolve_rows(x, self.head.weight, self.head.bias) if cpu else self.head(x))


class ContentHead(nn.Module):
    """Finds the classes in a content code: one 3x3 convolution, a score a class, enlarged to the slice."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4 * width, 2 * width, 3, padding=1)
        self.out = nn.Conv2d(2 * width, num_classes, 1)

    def forward(self, content: Tensor) -> Tensor:
        """Content (N, 4 width, H / 4, W / 4) -> logits (N, K, H, W)."""
        scores = self.out(F.relu(instance_norm(self.conv(content))))
        return F.interpolate(scores, scale_factor=DOWNSAMPLING, mode="bilinear", align_corners=False)


class Translator(nn.Module):
    """All generating parts: G_enc_c, G_enc_s_a (source), G_enc_s_b (target) and G_dec."""

    def __init__(self, width: int = 32, style_dim: int = 8, residual_blocks: int = 4, style_norm: str = "none") -> None:
        super().__init__()
        self.content = ContentEncoder(width, residual_blocks)
        self.style_source = StyleEncoder(width, style_dim, style_norm)
        self.style_target = StyleEncoder(width, style_dim, style_norm)
        self.decoder = Decoder(width, style_dim, residual_blocks)

    def style(self, image: Tensor, domain: str) -> Tensor:
        """Style codes (N, style_dim) of slices (N, 1, H, W) of a domain, "source" or "target"."""
        return (self.style_source if domain == "source" else self.style_target)(image)  # type: ignore[no-any-return]

    def forward(self, image: Tensor, style_code: Tensor) -> Tensor:
        """Translate slices (N, 1, H, W) into the given styles (N, style_dim)."""
        return self.decoder(self.content(image), style_code)  # type: ignore[no-any-return]

    def translations(self, slices: Tensor, styles: Tensor) -> Iterator[Tensor]:
        """Slices (N, 1, H, W) in each style (K, style_dim) in turn; their content is encoded once for all styles."""
        content = self.content(slices)
        begun = self.decoder.begin(content)
        for style in styles:
            yield self.decoder(content, style.expand(len(content), -1), begun)
