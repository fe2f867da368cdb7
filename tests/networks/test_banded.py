from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from darnet.networks.banded import convolve_planes, convolve_rows


def random_tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).requires_grad_()


def correlate(x: torch.Tensor, weight: torch.Tensor) -> np.ndarray:
    kernels = weight.detach().numpy()[0]
    sums = [
        sum(ndimage.correlate(channel, kernel, mode="constant") for channel, kernel in zip(image, kernels, strict=True))
        for image in x.detach().numpy()
    ]
    return np.stack(sums)[:, None]


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 16, 19])
@pytest.mark.parametrize("taps", [3, 7])
def test_planes_and_rows_equal_the_plain_convolutions(size, taps):
    x, weight = random_tensor(2, 2, size, 5, 4), random_tensor(1, 2, taps, taps, taps, seed=1)
    np.testing.assert_allclose(convolve_planes(x, weight).detach().numpy(), correlate(x, weight), atol=1e-10)
    x, weight = random_tensor(2, 3, size, 5), random_tensor(1, 3, taps, taps, seed=1)
    found = convolve_rows(x, weight, torch.tensor([0.5], dtype=torch.float64)).detach().numpy()
    np.testing.assert_allclose(found, correlate(x, weight) + 0.5, atol=1e-10)


def test_gradients_are_those_of_the_plain_convolutions():
    x, weight = random_tensor(2, 2, 11, 5, 4), random_tensor(1, 2, 7, 7, 7, seed=1)
    factor = random_tensor(2, 1, 11, 5, 4, seed=2).detach()
    found = torch.autograd.grad((convolve_planes(x, weight) * factor).sum(), (x, weight))
    expected = torch.autograd.grad((F.conv3d(x, weight, padding=3) * factor).sum(), (x, weight))
    torch.testing.assert_close(found, expected)

    x, weight, bias = random_tensor(2, 2, 11, 5), random_tensor(1, 2, 7, 7, seed=1), random_tensor(1, seed=3)
    factor = random_tensor(2, 1, 11, 5, seed=2).detach()
    found = torch.autograd.grad((convolve_rows(x, weight, bias) * factor).sum(), (x, weight, bias))
    expected = torch.autograd.grad((F.conv2d(x, weight, bias, padding=3) * factor).sum(), (x, weight, bias))
    torch.testing.assert_close(found, expected)
