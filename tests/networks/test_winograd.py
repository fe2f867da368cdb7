from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from darnet.networks.instance_norm import adaptive_instance_norm, instance_norm
from darnet.networks.winograd import MIN_CHANNELS, _by_tiles, convolve_3x3


def random_tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def inputs(n: int, channels: int, out: int, height: int, width: int) -> tuple[torch.Tensor, ...]:
    weight = random_tensor(out, channels, 3, 3, seed=1) / (9 * channels) ** 0.5
    return random_tensor(n, channels, height, width), weight, random_tensor(out, seed=2)


def correlate(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> np.ndarray:
    kernels = weight.double().numpy()
    planes = [
        [
            sum(ndimage.correlate(plane, k, mode="constant") for plane, k in zip(image, kernel, strict=True))
            for kernel in kernels
        ]
        for image in x.double().numpy()
    ]
    return np.array(planes) + bias.double().numpy()[:, None, None]


@pytest.mark.parametrize("height", [1, 3, 4, 5, 8, 10])
@pytest.mark.parametrize("width", [4, 7])
def test_tiles_equal_the_sum_of_products(height, width):
    x, weight, bias = inputs(2, 3, 5, height, width)
    np.testing.assert_allclose(_by_tiles(x, weight, bias).numpy(), correlate(x, weight, bias), atol=1e-5)


@pytest.mark.parametrize(
    "shape", [(3, 32, 64, 9, 18), (1, 64, 32, 24, 24), (50, 32, 32, 33, 8), (2, 32, 32, 300, 260), (2, 16, 32, 9, 9)]
)
@pytest.mark.parametrize("biased", [True, False])
def test_values_are_those_of_the_plain_convolution(shape, biased):
    x, weight, bias = inputs(*shape)
    added = bias if biased else None
    expected = F.conv2d(x.double(), weight.double(), None if added is None else added.double(), padding=1)
    with torch.no_grad():
        torch.testing.assert_close(convolve_3x3(x, weight, added).double(), expected, atol=2e-5, rtol=0)


def test_training_takes_the_plain_convolution():
    x, weight, bias = inputs(2, MIN_CHANNELS, MIN_CHANNELS, 8, 8)
    plain = F.conv2d(x, weight, bias, padding=1)
    assert torch.equal(convolve_3x3(x, weight, bias), plain)
    with torch.no_grad():
        assert not torch.equal(convolve_3x3(x, weight, bias), plain)


@torch.no_grad()
def test_other_precisions_and_small_inputs_take_the_plain_convolution():
    x, weight, bias = inputs(2, MIN_CHANNELS, MIN_CHANNELS, 8, 8)
    double = [tensor.double() for tensor in (x, weight, bias)]
    assert torch.equal(convolve_3x3(*double), F.conv2d(*double, padding=1))
    small = x[:, :, :, :7]
    assert torch.equal(convolve_3x3(small, weight, bias), F.conv2d(small, weight, bias, padding=1))
    with torch.autocast("cpu", torch.bfloat16):
        assert convolve_3x3(x, weight, bias).dtype == torch.bfloat16


def test_norms_do_not_depend_on_the_order_in_memory():
    x, scale, shift = random_tensor(2, 5, 6, 7), random_tensor(2, 5, seed=1), random_tensor(2, 5, seed=2)
    last = x.contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(instance_norm(last), instance_norm(x))
    found = adaptive_instance_norm(last, scale, shift)
    torch.testing.assert_close(found, adaptive_instance_norm(x, scale, shift))
    assert found.is_contiguous(memory_format=torch.channels_last)
