"""The translator, its training step and the synthesis as section III.A of the paper words them: an oracle for darnet's
numbers and a partner for its times. Parameters have the names of `darnet.networks.Translator`.

Each pass of a network has the slices of one domain: every code is encoded and every image decoded by itself. The
decoder doubles its maps, then convolves them. The discriminators' update and the generator's make their own
translations, as in two alternating optimisations. Synthesis takes one slice and one style at a time.
"""

from __future__ import annotations

import copy
import math
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from darnet.networks import Translator
from darnet.training import AdaBelief

BETAS = (0.5, 0.9)


class PlainContentEncoder(nn.Module):
    """G_enc_c: 7x7, two 4x4 of stride 2, residual blocks."""

    def __init__(self, width: int, residual_blocks: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 7, padding=3, padding_mode="replicate")
        self.down_0 = nn.Conv2d(width, 2 * width, 4, 2, 1)
        self.down_1 = nn.Conv2d(2 * width, 4 * width, 4, 2, 1)
        self.blocks = nn.ModuleList(
            nn.ModuleDict({name: nn.Conv2d(4 * width, 4 * width, 3, padding=1) for name in ("conv_0", "conv_1")})
            for _ in range(residual_blocks)
        )

    def forward(self, image: Tensor) -> Tensor:
        x = image
        for conv in (self.stem, self.down_0, self.down_1):
            x = torch.relu(F.instance_norm(conv(x)))
        for block in self.blocks:
            y = x
            for name in ("conv_0", "conv_1"):
                y = block[name](torch.relu(F.instance_norm(y)))  # type: ignore[index]
            x = (x + y) / math.sqrt(2)
        return x


class PlainStyleEncoder(nn.Module):
    """G_enc_s of one domain: 7x7, four 4x4 of stride 2, mean, linear."""

    def __init__(self, width: int, style_dim: int) -> None:
        super().__init__()
        sizes = (width, 2 * width, 4 * width, 4 * width, 4 * width)
        self.stem = nn.Conv2d(1, width, 7, padding=3, padding_mode="replicate")
        self.downs = nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1) for i, o in pairwise(sizes))
        self.out = nn.Linear(sizes[-1], style_dim)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.stem(image))
        for down in self.downs:
            x = torch.relu(down(x))
        return self.out(F.adaptive_avg_pool2d(x, 1).flatten(1))


class PlainDoubling(nn.Module):
    """Nearest doubling and the 5x5 convolution of the doubled map."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 5, padding=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class PlainDecoder(nn.Module):
    """G_dec: residual blocks and doublings with AdaIN, 7x7, tanh."""

    def __init__(self, width: int, style_dim: int, residual_blocks: int) -> None:
        super().__init__()
        c = 4 * width
        self.blocks = nn.ModuleList(nn.Conv2d(c, c, 3, padding=1) for _ in range(2 * residual_blocks))
        self.up_0, self.up_1 = PlainDoubling(c, c // 2), PlainDoubling(c // 2, c // 4)
        self.head = nn.Conv2d(c // 4, 1, 7, padding=3)
        self.sizes = [c] * (2 * residual_blocks) + [c // 2, c // 4]
        layers: list[nn.Module] = [nn.Linear(style_dim, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU()]
        self.style = nn.Sequential(*layers, nn.Linear(128, 2 * sum(self.sizes)))

    def forward(self, content: Tensor, style_code: Tensor) -> Tensor:
        parameters, start = self.style(style_code)[:, :, None, None], 0
        x = content
        convs: list[nn.Module] = [*self.blocks, self.up_0, self.up_1]
        for index, (conv, size) in enumerate(zip(convs, self.sizes, strict=True)):
            second = index < len(self.blocks) and index % 2 == 1
            if not second:
                y = x
            scale, shift = parameters[:, start : start + size], parameters[:, start + size : start + 2 * size]
            start += 2 * size
            y = F.instance_norm(conv(y)) * (1 + scale) + shift
            if second:
                x = (x + y) / math.sqrt(2)
            else:
                y = torch.relu(y)
                x = x if index < len(self.blocks) else y
        return torch.tanh(self.head(x))


class PlainTranslator(nn.Module):
    """G_enc_c, G_enc_s_a, G_enc_s_b and G_dec."""

    def __init__(self, width: int = 32, style_dim: int = 8, residual_blocks: int = 4) -> None:
        super().__init__()
        self.content = PlainContentEncoder(width, residual_blocks)
        self.style_source = PlainStyleEncoder(width, style_dim)
        self.style_target = PlainStyleEncoder(width, style_dim)
        self.decoder = PlainDecoder(width, style_dim, residual_blocks)


def plain_translator(translator: Translator, width: int, style_dim: int, residual_blocks: int) -> PlainTranslator:
    """The plain form of a translator, with its weights."""
    plain = PlainTranslator(width, style_dim, residual_blocks)
    plain.load_state_dict(translator.state_dict())
    return plain


def real_or_fake(maps: tuple[Tensor, ...], value: float) -> Tensor:
    """Least-squares distance of a discriminator's maps to a value."""
    return sum(((m - value) ** 2).mean() for m in maps) / len(maps)  # type: ignore[return-value]


class PlainTranslationStep:
    """One iteration: the discriminators' update, then the generator's, then the moving average."""

    def __init__(self, translator: PlainTranslator, discriminators: nn.ModuleDict, rates: tuple[float, float]) -> None:
        self.translator, self.d = translator, discriminators
        self.average = copy.deepcopy(translator)
        self.generator = AdaBelief(translator.parameters(), lr=rates[0], betas=BETAS, eps=1e-16)
        self.discriminator = AdaBelief(discriminators.parameters(), lr=rates[1], betas=BETAS, eps=1e-16)

    def update(self, a: Tensor, b: Tensor, iteration: int) -> Tensor:
        """Generator's loss before the update, for slices (N, 1, H, W) of both domains."""
        self._update_discriminators(a, b)
        loss = self._generator_loss(a, b)
        self.generator.zero_grad()
        loss.backward()
        self.generator.step()
        decay = min(0.999, (1 + iteration) / (10 + iteration))
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.translator.parameters(), strict=True):
                kept.copy_(decay * kept + (1 - decay) * new)
        return loss.detach()

    def _update_discriminators(self, a: Tensor, b: Tensor) -> None:
        t, d = self.translator, self.d
        with torch.no_grad():
            content_a, content_b = t.content(a), t.content(b)
            ab, ba = t.decoder(content_a, t.style_target(b)), t.decoder(content_b, t.style_source(a))
        loss = real_or_fake(d["source"](a), 1) + real_or_fake(d["source"](ba), 0)
        loss = loss + real_or_fake(d["target"](b), 1) + real_or_fake(d["target"](ab), 0)
        loss = loss + real_or_fake(d["content"](content_a), 0) + real_or_fake(d["content"](content_b), 1)
        self.discriminator.zero_grad()
        loss.backward()
        self.discriminator.step()

    def _generator_loss(self, a: Tensor, b: Tensor) -> Tensor:
        t, d = self.translator, self.d
        content_a, content_b = t.content(a), t.content(b)
        style_a, style_b = t.style_source(a), t.style_target(b)
        ab, ba = t.decoder(content_a, style_b), t.decoder(content_b, style_a)
        content_ab, content_ba = t.content(ab), t.content(ba)
        image = F.l1_loss(t.decoder(content_a, style_a), a) + F.l1_loss(t.decoder(content_b, style_b), b)
        content = F.l1_loss(content_ab, content_a) + F.l1_loss(content_ba, content_b)
        style = F.l1_loss(t.style_source(ba), style_a) + F.l1_loss(t.style_target(ab), style_b)
        cycle = F.l1_loss(t.decoder(content_ab, style_a), a) + F.l1_loss(t.decoder(content_ba, style_b), b)
        adversarial = real_or_fake(d["source"](ba), 1) + real_or_fake(d["target"](ab), 1)
        adversarial = adversarial + real_or_fake(d["content"](content_a), 1) + real_or_fake(d["content"](content_b), 0)
        return 10 * image + content + style + 10 * cycle + adversarial


@torch.no_grad()
def plain_synthesis(translator: PlainTranslator, volume: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """A volume (1, D, H, W) in the styles `codes` (K, style_dim), as (K, D, H, W): a style and a slice at a time."""
    out = np.empty((len(codes), *volume.shape[1:]), np.float32)
    for k, code in enumerate(torch.from_numpy(codes)):
        for index, plane in enumerate(torch.from_numpy(volume[0])):
            image = translator.decoder(translator.content(plane[None, None]), code[None])
            out[k, index] = image[0, 0].numpy()
    return out
