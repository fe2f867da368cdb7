from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from darnet.networks import Translator, winograd
from darnet.networks.convolution import LEAST_BY_TILES, Conv3d
from darnet.networks.instance_norm import adaptive_instance_norm, instance_norm
from darnet.networks.winograd import MIN_CHANNELS, _by_tiles, convolve_3x3, convolve_3x3x3


@pytest.fixture(autouse=True)
def tiles_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(winograd, "PAYS", True)


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


@pytest.mark.parametrize("times", [2, 3])
@pytest.mark.parametrize(("height", "width"), [(3, 8), (5, 4), (40, 9)])
def test_channels_are_spread_over_pixels(height, width, times, monkeypatch):
    """Channel c of pixel (i, j) of the enlarged plane is channel c s^2 + (i mod s) s + j mod s of the convolution."""
    monkeypatch.setattr(winograd, "_IN_CACHE", 20_000)  # so that bands of rows are stored apart
    x, weight, bias = inputs(2, 3, 5 * times**2, height, width)
    plain, found = correlate(x, weight, bias), _by_tiles(x, weight, bias, times).numpy()
    assert found.shape == (2, 5, times * height, times * width)
    for i in range(times):
        for j in range(times):
            np.testing.assert_allclose(found[:, :, i::times, j::times], plain[:, i * times + j :: times**2], atol=1e-5)


@pytest.mark.parametrize("bias", [None, random_tensor(128)])
def test_spreading_by_tiles_is_that_of_the_plain_convolution(bias):
    x, weight, _ = inputs(2, 32, 128, 16, 12)
    with torch.no_grad():
        by_tiles = convolve_3x3(x, weight, bias, shuffled=2)
    plain = convolve_3x3(x, weight.requires_grad_(), bias, shuffled=2)
    assert plain.requires_grad
    torch.testing.assert_close(by_tiles, plain.detach(), atol=2e-5, rtol=0)


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
def test_where_tiles_do_not_pay_the_plain_convolution_is_taken(monkeypatch):
    monkeypatch.setattr(winograd, "PAYS", False)
    x, weight, bias = inputs(2, MIN_CHANNELS, MIN_CHANNELS, 8, 8)
    assert torch.equal(convolve_3x3(x, weight, bias), F.conv2d(x, weight, bias, padding=1))
    assert not layer(64, 64)._by_tiles(random_tensor(1, 64, 4, 16, 16), layer(64, 64).weight)


@pytest.mark.parametrize(("vendor", "pays"), [("GenuineIntel", True), ("AuthenticAMD", False)])
def test_tiles_pay_on_processors_of_intel(monkeypatch, vendor, pays):
    text = f"processor\t: 0\nvendor_id\t: {vendor}\n"
    monkeypatch.setattr(winograd.Path, "open", lambda *_, **__: io.StringIO(text))
    assert winograd._products_are_quick() is pays


def test_without_proc_the_processor_is_asked_of_the_system(monkeypatch):
    def missing(*_: object, **__: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(winograd.Path, "open", missing)
    monkeypatch.setattr(winograd.platform, "processor", lambda: "Intel64 Family 6 Model 85 Stepping 7, GenuineIntel")
    assert winograd._products_are_quick()


@torch.no_grad()
def test_other_precisions_and_small_inputs_take_the_plain_convolution():
    x, weight, bias = inputs(2, MIN_CHANNELS, MIN_CHANNELS, 8, 8)
    double = [tensor.double() for tensor in (x, weight, bias)]
    assert torch.equal(convolve_3x3(*double), F.conv2d(*double, padding=1))
    small = x[:, :, :, :7]
    assert torch.equal(convolve_3x3(small, weight, bias), F.conv2d(small, weight, bias, padding=1))
    with torch.autocast("cpu", torch.bfloat16):
        assert convolve_3x3(x, weight, bias).dtype == torch.bfloat16


@pytest.mark.parametrize("gradients", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_norms_do_not_depend_on_the_order_in_memory(gradients):
    x, scale, shift = random_tensor(2, 5, 6, 7), random_tensor(2, 5, seed=1), random_tensor(2, 5, seed=2)
    last = x.clone(memory_format=torch.channels_last)
    with gradients():
        torch.testing.assert_close(instance_norm(last), instance_norm(x))
        found = adaptive_instance_norm(last, scale, shift)
        torch.testing.assert_close(found, adaptive_instance_norm(x, scale, shift))
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(last, x)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("size", [(32, 48), (36, 44)])
def test_translations_without_gradients_are_those_with(mode, size):
    """By tiles and in place, several styles out of one content."""
    torch.manual_seed(0)
    translator = Translator(8, 3, 2)
    slices, styles = random_tensor(2, 1, *size), random_tensor(4, 3, seed=1)
    expected = [translator(slices, style.repeat(2, 1)).detach() for style in styles]
    with mode():
        found = [image.clone() for image in translator.translations(slices, styles)]
    for image, plain in zip(found, expected, strict=True):
        torch.testing.assert_close(image, plain, atol=1e-4, rtol=0)
    assert not torch.equal(found[0], expected[0])  # another way was taken


@pytest.mark.parametrize("shape", [(1, 4, 4), (2, 5, 7), (7, 8, 3), (9, 1, 6)])
@pytest.mark.parametrize("biased", [True, False])
def test_tiles_of_volumes_equal_the_sum_of_products(shape, biased):
    x, weight = random_tensor(1, 3, *shape), random_tensor(5, 3, 3, 3, 3, seed=1) / 9
    bias = random_tensor(5, seed=2)
    expected = [
        sum(ndimage.correlate(v, k, mode="constant") for v, k in zip(x[0].double().numpy(), kernel, strict=True))
        for kernel in weight.double().numpy()
    ]
    expected = np.array(expected) + (bias.double().numpy()[:, None, None, None] if biased else 0)
    found = convolve_3x3x3(x, weight, bias if biased else None)
    assert found.is_contiguous(memory_format=torch.channels_last_3d)
    np.testing.assert_allclose(found[0].numpy(), expected, atol=1e-5)


def layer(channels: int, out: int, **options: int) -> Conv3d:
    torch.manual_seed(0)
    return Conv3d(channels, out, 3, **{"padding": 1, **options}).to(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize(("channels", "size"), [(64, (9, 16, 16)), (96, (6, 18, 21)), (64, (5, 70, 66))])
def test_a_layer_with_many_channels_gives_the_plain_values_by_tiles(channels, size):
    conv, x = layer(channels, 64), random_tensor(1, channels, *size)
    plain = F.conv3d(x.double(), conv.weight.double(), conv.bias.double(), padding=1)
    with torch.no_grad():
        assert conv._by_tiles(x, conv.weight)
        torch.testing.assert_close(conv(x).double(), plain, atol=2e-5, rtol=0)
        parts = [slice(0, 64)] if channels == 64 else [slice(0, 32), slice(32, 96)]
        shares = sum(conv.share(x[:, part], part) for part in parts)
        torch.testing.assert_close(shares.double(), plain, atol=2e-5, rtol=0)


@pytest.mark.parametrize(
    ("channels", "options", "size"),
    [
        (LEAST_BY_TILES[0] - 1, {}, (4, 16, 16)),
        (64, {}, (16, 16, LEAST_BY_TILES[1] - 1)),
        (64, {"stride": 2}, (4, 32, 32)),
        (64, {"padding": 0}, (4, 32, 32)),
        (128, {"groups": 2}, (4, 16, 16)),
        (64, {}, (2, 96, 97)),
    ],
)
def test_other_layers_take_the_plain_convolution(channels, options, size):
    conv, x = layer(channels, 64, **options), random_tensor(1, channels, *size)
    with torch.no_grad():
        assert not conv._by_tiles(x, conv.weight)
        torch.testing.assert_close(
            conv(x), F.conv3d(x, conv.weight, conv.bias, conv.stride, conv.padding, groups=conv.groups)
        )


def test_training_takes_the_plain_convolution_of_volumes():
    conv, x = layer(64, 64), random_tensor(1, 64, 4, 16, 16)
    assert torch.equal(conv(x), F.conv3d(x, conv.weight, conv.bias, padding=1))
    with torch.no_grad():
        assert not torch.equal(conv(x), F.conv3d(x, conv.weight, conv.bias, padding=1))


def test_half_precision_takes_the_plain_convolution_of_volumes():
    conv, x = layer(64, 64), random_tensor(1, 64, 4, 16, 16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert not conv._by_tiles(x, conv.weight)
