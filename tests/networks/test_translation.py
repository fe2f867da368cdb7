from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from darnet.networks import (
    ContentDiscriminator,
    ContentEncoder,
    ContentHead,
    Decoder,
    ImageDiscriminator,
    StyleEncoder,
    Translator,
    adaptive_instance_norm,
    build_discriminators,
    build_translator,
)
from darnet.networks.translation import PreActivationBlock, UpsampleConv
from darnet.plans import TranslationPlan
from tests.networks.oracles import instance_normalised, numpy_parts, plane_convolution, rectified, translation_input

TOLERANCE = 1e-4


def numpy_pre_activation(x: np.ndarray, w: dict[str, np.ndarray], prefix: str) -> np.ndarray:
    y = plane_convolution(rectified(instance_normalised(x)), w, prefix + "conv_0", padding=1)
    y = plane_convolution(rectified(instance_normalised(y)), w, prefix + "conv_1", padding=1)
    return (x + y) / math.sqrt(2)


def numpy_content(image: np.ndarray, w: dict[str, np.ndarray], blocks: int) -> np.ndarray:
    x = rectified(instance_normalised(plane_convolution(image, w, "stem", padding=3, mode="edge")))
    for name in ("down_0", "down_1"):
        x = rectified(instance_normalised(plane_convolution(x, w, name, stride=2, padding=1)))
    for index in range(blocks):
        x = numpy_pre_activation(x, w, f"blocks.{index}.")
    return x


def numpy_style(image: np.ndarray, w: dict[str, np.ndarray], norm: bool) -> np.ndarray:
    x = plane_convolution(image, w, "stem", padding=3, mode="edge")
    x = rectified(instance_normalised(x) if norm else x)
    for index in range(4):
        x = plane_convolution(x, w, f"downs.{index}", stride=2, padding=1)
        x = rectified(instance_normalised(x) if norm else x)
    return x.mean((2, 3)) @ w["out.weight"].T + w["out.bias"]


def numpy_decoder(content: np.ndarray, style: np.ndarray, w: dict[str, np.ndarray], blocks: int) -> np.ndarray:
    h = rectified(style @ w["style.0.weight"].T + w["style.0.bias"])
    h = rectified(h @ w["style.2.weight"].T + w["style.2.bias"])
    parameters = h @ w["style.4.weight"].T + w["style.4.bias"]
    used = 0

    def adain(x: np.ndarray) -> np.ndarray:
        nonlocal used
        c = x.shape[1]
        scale, shift = parameters[:, used : used + c], parameters[:, used + c : used + 2 * c]
        used += 2 * c
        return instance_normalised(x) * (1 + scale[:, :, None, None]) + shift[:, :, None, None]

    x = content
    for index in range(blocks):
        y = rectified(adain(plane_convolution(x, w, f"blocks.{2 * index}", padding=1)))
        y = adain(plane_convolution(y, w, f"blocks.{2 * index + 1}", padding=1))
        x = (x + y) / math.sqrt(2)
    for name in ("up_0.conv", "up_1.conv"):
        doubled = x.repeat(2, axis=2).repeat(2, axis=3)
        x = rectified(adain(plane_convolution(doubled, w, name, padding=2)))
    assert used == parameters.shape[1]
    return np.tanh(plane_convolution(x, w, "head", padding=3))


def test_adaptive_instance_norm():
    x = translation_input(2, 3, 4, 5) * 3 + 1
    weight, bias = translation_input(2, 3, seed=1), translation_input(2, 3, seed=2)
    found = adaptive_instance_norm(x, weight, bias).numpy()
    expected = instance_normalised(x.numpy().astype(float)) * (1 + weight.numpy()[:, :, None, None])
    np.testing.assert_allclose(found, expected + bias.numpy()[:, :, None, None], atol=TOLERANCE)


def test_adaptive_instance_norm_sets_mean_and_spread():
    x = translation_input(1, 2, 32, 32)
    out = adaptive_instance_norm(x, torch.tensor([[1.0, -0.5]]), torch.tensor([[3.0, -4.0]]))
    torch.testing.assert_close(out.mean((2, 3)), torch.tensor([[3.0, -4.0]]))
    torch.testing.assert_close(out.std((2, 3), correction=0), torch.tensor([[2.0, 0.5]]), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("size", [(1, 1), (4, 5), (7, 2)])
def test_upsampling_equals_nearest_doubling_and_a_5x5_convolution(size):
    up = UpsampleConv(3, 4)
    x = translation_input(2, 3, *size)
    doubled = x.numpy().repeat(2, axis=2).repeat(2, axis=3).astype(float)
    expected = plane_convolution(doubled, numpy_parts(up), "conv", padding=2)
    assert expected.shape == (2, 4, 2 * size[0], 2 * size[1])
    np.testing.assert_allclose(up(x).detach().numpy(), expected, atol=TOLERANCE)


def test_upsampling_has_the_same_gradients():
    up = UpsampleConv(3, 4).double()
    x = translation_input(2, 3, 4, 5).double().requires_grad_()
    factor = translation_input(2, 4, 8, 10, seed=1).double()
    wanted = (x, up.conv.weight, up.conv.bias)
    found = torch.autograd.grad((up(x) * factor).sum(), wanted)
    reference = F.conv2d(F.interpolate(x, scale_factor=2, mode="nearest"), up.conv.weight, up.conv.bias, padding=2)
    for a, b in zip(found, torch.autograd.grad((reference * factor).sum(), wanted), strict=True):
        torch.testing.assert_close(a, b)


def test_upsampling_stores_the_5x5_kernel_alone():
    assert {k: tuple(v.shape) for k, v in UpsampleConv(3, 4).state_dict().items()} == {
        "conv.weight": (4, 3, 5, 5),
        "conv.bias": (4,),
    }


def test_pre_activation_block():
    block = PreActivationBlock(6)
    x = translation_input(2, 6, 5, 4)
    expected = numpy_pre_activation(x.numpy().astype(float), numpy_parts(block), "")
    np.testing.assert_allclose(block(x).detach().numpy(), expected, atol=TOLERANCE)


def test_content_encoder():
    encoder = ContentEncoder(width=4, residual_blocks=2)
    image = translation_input(2, 1, 16, 24)
    found = encoder(image).detach().numpy()
    assert found.shape == (2, 16, 4, 6)
    expected = numpy_content(image.numpy().astype(float), numpy_parts(encoder), 2)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


@pytest.mark.parametrize("norm", ["none", "instance"])
def test_style_encoder(norm):
    encoder = StyleEncoder(width=4, style_dim=8, norm=norm)
    image = translation_input(2, 1, 32, 48)
    found = encoder(image).detach().numpy()
    assert found.shape == (2, 8)
    expected = numpy_style(image.numpy().astype(float), numpy_parts(encoder), norm == "instance")
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_style_without_norm_sees_contrast():
    encoder = StyleEncoder(width=4)
    image = translation_input(1, 1, 32, 32)
    assert (encoder(image) - encoder(2 * image)).abs().max() > 1e-3


def test_decoder():
    decoder = Decoder(width=4, style_dim=8, residual_blocks=2)
    content, style = translation_input(2, 16, 3, 4), translation_input(2, 8, seed=1)
    found = decoder(content, style).detach().numpy()
    assert found.shape == (2, 1, 12, 16)
    expected = numpy_decoder(content.numpy().astype(float), style.numpy().astype(float), numpy_parts(decoder), 2)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    assert np.abs(found).max() <= 1


def test_widths_of_the_paper():
    translator = Translator()
    assert translator.content.stem.weight.shape == (32, 1, 7, 7)
    assert len(translator.content.blocks) == 4
    assert [tuple(layer.weight.shape) for layer in translator.decoder.style[::2]][:2] == [(128, 8), (128, 128)]
    assert translator.decoder.sizes == [128] * 8 + [64, 32]
    assert translator(translation_input(1, 1, 32, 32), torch.zeros(1, 8)).shape == (1, 1, 32, 32)


def test_each_domain_has_its_own_style_encoder():
    translator = Translator(width=4)
    image = translation_input(2, 1, 32, 32)
    torch.testing.assert_close(translator.style(image, "source"), translator.style_source(image))
    torch.testing.assert_close(translator.style(image, "target"), translator.style_target(image))
    assert not torch.allclose(translator.style(image, "source"), translator.style(image, "target"))


def test_translator_decodes_content_with_a_style():
    translator = Translator(width=4)
    image, style = translation_input(2, 1, 32, 32), translation_input(2, 8, seed=1)
    torch.testing.assert_close(translator(image, style), translator.decoder(translator.content(image), style))


def test_style_of_one_image_does_not_touch_another():
    translator = Translator(width=4).eval()
    image, style = translation_input(2, 1, 16, 16), translation_input(2, 8, seed=1)
    together = translator(image, style)
    torch.testing.assert_close(together[1:], translator(image[1:], style[1:]), rtol=1e-4, atol=1e-5)


def test_gradients_reach_the_whole_translator():
    translator = Translator(width=4)
    image = translation_input(2, 1, 32, 32)
    styles = translator.style(image, "source") + translator.style(image, "target")
    out = translator(image, styles)
    (out * translation_input(*out.shape, seed=1)).sum().backward()
    # A bias ahead of an instance norm cancels; all others must get a gradient.
    assert all(p.grad is not None for p in translator.parameters())
    assert all(p.grad.abs().max() > 0 for n, p in translator.named_parameters() if n.endswith("weight"))


def enlarged(x: np.ndarray, factor: int) -> np.ndarray:
    """Linear between the centres of pixels, constant beyond the outermost."""
    for axis in (2, 3):
        size = x.shape[axis]
        at = np.clip((np.arange(factor * size) + 0.5) / factor - 0.5, 0, size - 1)
        x = np.apply_along_axis(lambda line, at=at, size=size: np.interp(at, np.arange(size), line), axis, x)
    return x


def test_content_head():
    torch.manual_seed(0)
    head = ContentHead(width=2, num_classes=3)
    content = translation_input(2, 8, 5, 6)
    w = numpy_parts(head)
    x = rectified(instance_normalised(plane_convolution(content.numpy().astype(float), w, "conv", padding=1)))
    expected = enlarged(plane_convolution(x, w, "out"), 4)
    np.testing.assert_allclose(head(content).detach().numpy(), expected, atol=TOLERANCE)
    assert expected.shape == (2, 3, 20, 24)


def test_translations_of_several_styles():
    torch.manual_seed(0)
    translator = Translator(2, 3, 1)
    slices, styles = translation_input(2, 1, 16, 16), translation_input(4, 3, seed=1)
    inputs = []
    translator.decoder.blocks[0].register_forward_hook(lambda _, given, __: inputs.append(given[0]))
    images = list(translator.translations(slices, styles))
    assert len(images) == 4
    assert len(inputs) == 1  # no style counts before the first convolution: it is made once for all
    for image, style in zip(images, styles, strict=True):
        torch.testing.assert_close(image, translator(slices, style.repeat(2, 1)))


def test_without_residual_blocks_a_content_is_decoded_as_it_is():
    torch.manual_seed(0)
    translator = Translator(2, 3, 0)
    slices, styles = translation_input(2, 1, 16, 16), translation_input(3, 3, seed=1)
    for image, style in zip(translator.translations(slices, styles), styles, strict=True):
        torch.testing.assert_close(image, translator(slices, style.repeat(2, 1)))
        assert image.shape == slices.shape


def numpy_patch_discriminator(x: np.ndarray, w: dict[str, np.ndarray], prefix: str, layers: int) -> np.ndarray:
    for index in range(layers):
        x = plane_convolution(x, w, f"{prefix}convs.{index}", stride=2, padding=1)
        x = rectified(instance_normalised(x) if index else x, 0.2)
    return plane_convolution(x, w, prefix + "out")


def halved(x: np.ndarray) -> np.ndarray:
    # Mean over the 3x3 neighbourhood of every second pixel; outside does not count.
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
    return np.nanmean(windows, axis=(4, 5))


def test_image_discriminator():
    discriminator = ImageDiscriminator(width=4, layers=3, scales=2)
    image = translation_input(2, 1, 32, 48)
    maps = [m.detach().numpy() for m in discriminator(image)]
    w, x = numpy_parts(discriminator), image.numpy().astype(float)
    assert len(maps) == 2
    np.testing.assert_allclose(maps[0], numpy_patch_discriminator(x, w, "scales.0.", 3), atol=TOLERANCE)
    np.testing.assert_allclose(maps[1], numpy_patch_discriminator(halved(x), w, "scales.1.", 2), atol=TOLERANCE)


@pytest.mark.parametrize(("layers", "scales"), [(5, 3), (4, 1), (3, 2), (1, 2)])
def test_image_discriminator_maps(layers, scales):
    discriminator = ImageDiscriminator(8, layers, scales)
    maps = discriminator(translation_input(2, 1, 128, 160))
    assert len(maps) == scales
    depths = [max(layers - s, 1) + s for s in range(scales)]
    assert [tuple(m.shape) for m in maps] == [(2, 1, 128 // 2**d, 160 // 2**d) for d in depths]


def test_image_discriminator_widths_stop_at_256():
    convs = ImageDiscriminator(32, 5, 3).scales[0].convs
    assert [conv.out_channels for conv in convs] == [32, 64, 128, 256, 256]
    assert all(conv.kernel_size == (4, 4) and conv.stride == (2, 2) for conv in convs)


@pytest.mark.parametrize("layers", [1, 2])
def test_content_discriminator(layers):
    discriminator = ContentDiscriminator(6, layers)
    content = translation_input(2, 6, 16, 24)
    maps = discriminator(content)
    x, w = content.numpy().astype(float), numpy_parts(discriminator)
    for index in range(layers):
        x = plane_convolution(x, w, f"convs.{index}", stride=2, padding=3)
        x = rectified(instance_normalised(x), 0.2)
    assert len(maps) == 1
    assert maps[0].shape == (2, 1, 16 // 2**layers, 24 // 2**layers)
    np.testing.assert_allclose(maps[0].detach().numpy(), plane_convolution(x, w, "out"), atol=TOLERANCE)


def test_networks_from_a_plan():
    plan = TranslationPlan(
        slice_size=(32, 32),
        width=4,
        style_dim=5,
        residual_blocks=1,
        style_norm="instance",
        discriminator_width=4,
        discriminator_layers=2,
        discriminator_scales=2,
        content_discriminator_layers=1,
    )
    translator, discriminators = build_translator(plan), build_discriminators(plan)
    image = translation_input(2, 1, 32, 32)
    assert translator.style(image, "target").shape == (2, 5)
    assert translator.style_source.norm == "instance"
    assert len(translator.content.blocks) == 1
    assert [tuple(m.shape[2:]) for m in discriminators["source"](image)] == [(8, 8), (8, 8)]
    assert discriminators["content"](translator.content(image))[0].shape == (2, 1, 4, 4)
    assert set(discriminators) == {"source", "target", "content"}
    assert discriminators["source"] is not discriminators["target"]
