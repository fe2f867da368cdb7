"""Random appearance of patches: random shallow convolutions and gains of single classes.

A network that has seen an anatomy in many made-up contrasts relies on shape more than on intensity.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from darnet.imaging import AIR, BACKGROUND

LAYERS = 4
CHANNELS = 2
POINTWISE = 0.7  # share of layers with 1x1 kernels: they change contrast, 3x3 kernels change texture too
LARGEST_SHARE = 0.8  # of the network's output in the mixture
ROBUST = (0.005, 0.995)  # quantiles within the body that are brought to -1 and 1


def random_convolution(image: Tensor, generator: torch.Generator) -> Tensor:
    """Mix an image with what a random shallow network makes of it (Ouyang et al. 2022, "GIN").

    The network has a few layers of random 1x1 or 3x3 kernels in plane with LeakyReLU between them; its output is
    brought to the norm of the input and mixed with it in a random proportion. The result fills -1..1 again.

    Args:
        image: (1, D, H, W) in -1..1; voxels up to `AIR` are background and become -1.
        generator: Source of the weights and of the proportion, on the CPU.

    Returns:
        (1, D, H, W) in -1..1.
    """
    body = image > AIR
    if not bool(body.any()):
        return image
    x = image.transpose(0, 1) - BACKGROUND  # planes as a batch: (D, 1, H, W)
    within = body.transpose(0, 1)
    features = x
    for layer in range(LAYERS):
        size = 1 if float(torch.rand((), generator=generator)) < POINTWISE else 3
        out_channels = 1 if layer == LAYERS - 1 else CHANNELS
        weight = torch.randn(out_channels, features.shape[1], size, size, generator=generator).to(image.device)
        bias = torch.randn(out_channels, generator=generator).to(image.device)
        features = F.conv2d(features, weight, bias, padding=size // 2)
        if layer < LAYERS - 1:
            features = F.leaky_relu(features)
    features = features - features[within].mean()
    centred = x - x[within].mean()
    features = features * (centred[within].norm() / features[within].norm().clamp(min=1e-6))
    share = LARGEST_SHARE * torch.rand((), generator=generator).to(image.device)
    return spread((share * features + (1 - share) * centred).transpose(0, 1), body)


def spread(image: Tensor, body: Tensor) -> Tensor:
    """Bring robust quantiles within the body to -1 and 1; outside of it comes background.

    Args:
        image: (1, D, H, W) of any unit.
        body: Mask of the same shape.
    """
    values = image[body]
    step = max(values.numel() // 20_000, 1)
    low, high = torch.quantile(values[::step], torch.tensor(ROBUST, device=image.device))
    scaled = ((image - low) / (high - low).clamp(min=1e-6) * 2 - 1).clamp(-1, 1)
    return torch.where(body, scaled, torch.full_like(scaled, BACKGROUND))


def class_gains(image: Tensor, labels: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Make single classes brighter or darker.

    Args:
        image: (1, D, H, W) in -1..1.
        labels: (D, H, W) integers; 0, background, is left as it is.
        strength: Gains are drawn from 1 - strength to 1 + strength, of the intensity above -1.
        generator: Source of the gains, on the CPU.
    """
    gains = 1 + strength * (2 * torch.rand(int(labels.max()) + 1, generator=generator) - 1)
    gains[0] = 1.0
    return ((image - BACKGROUND) * gains.to(image.device)[labels] + BACKGROUND).clamp(-1, 1)
