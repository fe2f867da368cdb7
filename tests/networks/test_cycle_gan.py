from __future__ import annotations

import numpy as np
import pytest
import torch

from darnet.networks import (
    EntangledTranslator,
    OverlappingPatchDiscriminator,
    ResNetGenerator,
    build_entangled,
    build_patch_discriminators,
)
from darnet.networks.cycle_gan import patch_of, strided_layers
from darnet.plans import TranslationPlan
from tests.networks.oracles import instance_normalised, numpy_parts, plane_convolution, rectified, translation_input

TOLERANCE = 1e-4


def transposed_convolution(x: np.ndarray, w: dict[str, np.ndarray], name: str) -> np.ndarray:
    """3x3, stride 2, padding 1, output padding 1: each input pixel adds its kernel to the output."""
    weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
    n, _, height, width = x.shape
    out = np.zeros((n, weight.shape[1], 2 * height + 2, 2 * width + 2))
    for h, v in np.ndindex(height, width):
        out[:, :, 2 * h : 2 * h + 3, 2 * v : 2 * v + 3] += np.einsum("ni,ioab->noab", x[:, :, h, v], weight)
    return out[:, :, 1:-1, 1:-1] + bias[:, None, None]


def numpy_generator(image: np.ndarray, w: dict[str, np.ndarray], blocks: int) -> np.ndarray:
    x = rectified(instance_normalised(plane_convolution(image, w, "stem", padding=3, mode="reflect")))
    for index in range(2):
        x = rectified(instance_normalised(plane_convolution(x, w, f"downs.{index}", stride=2, padding=1)))
    for index in range(blocks):
        y = plane_convolution(x, w, f"blocks.{index}.conv_0", padding=1, mode="reflect")
        y = plane_convolution(rectified(instance_normalised(y)), w, f"blocks.{index}.conv_1", padding=1, mode="reflect")
        x = x + instance_normalised(y)
    for index in range(2):
        x = rectified(instance_normalised(transposed_convolution(x, w, f"ups.{index}")))
    return np.tanh(plane_convolution(x, w, "head", padding=3, mode="reflect"))


def test_generator():
    torch.manual_seed(0)
    generator = ResNetGenerator(width=3, residual_blocks=2)
    image = translation_input(2, 1, 16, 24)
    expected = numpy_generator(image.numpy().astype(float), numpy_parts(generator), 2)
    np.testing.assert_allclose(generator(image).detach().numpy(), expected, atol=TOLERANCE)


def test_generator_has_nine_blocks_and_the_published_size():
    generator = ResNetGenerator()
    assert len(generator.blocks) == 9
    # One channel in and out instead of three.
    published, without = 11_378_179, 2 * 49 * 64 + 2 * (49 * 64 + 1)
    assert sum(p.numel() for p in generator.parameters()) == published - without


def test_discriminator():
    torch.manual_seed(0)
    discriminator = OverlappingPatchDiscriminator(width=3, strided=2)
    image = translation_input(2, 1, 32, 48)
    x, w = image.numpy().astype(float), numpy_parts(discriminator)
    for index, stride in enumerate((2, 2, 1)):
        x = plane_convolution(x, w, f"convs.{index}", stride=stride, padding=1)
        x = rectified(instance_normalised(x) if index else x, 0.2)
    (scores,) = discriminator(image)
    assert scores.shape == (2, 1, 32 // 4 - 2, 48 // 4 - 2)
    np.testing.assert_allclose(scores.detach().numpy(), plane_convolution(x, w, "out", padding=1), atol=TOLERANCE)


def test_discriminator_has_the_published_size():
    discriminator = OverlappingPatchDiscriminator()
    assert [conv.out_channels for conv in discriminator.convs] == [64, 128, 256, 512]
    assert sum(p.numel() for p in discriminator.parameters()) == 2_764_737 - 2 * 16 * 64


@pytest.mark.parametrize("strided", [1, 2, 3])
def test_a_score_sees_a_patch(strided):
    # Without norms, which see the whole slice, the gradient of one score reaches its patch alone.
    network = OverlappingPatchDiscriminator(1, strided)
    layers = torch.nn.Sequential(*network.convs, network.out)
    for layer in layers:
        torch.nn.init.ones_(layer.weight)
    image = torch.zeros(1, 1, 160, 160, requires_grad=True)
    scores = layers(image)
    scores[0, 0, scores.shape[2] // 2, scores.shape[3] // 2].backward()
    seen = image.grad[0, 0].abs() > 0
    assert seen.any(0).sum() == seen.any(1).sum() == patch_of(strided)


@pytest.mark.parametrize(
    ("slice_size", "pixels"), [((256, 256), 70), ((320, 256), 70), ((128, 144), 34), ((96, 96), 34), ((32, 64), 16)]
)
def test_patches_scale_with_the_slice(slice_size, pixels):
    assert patch_of(strided_layers(slice_size)) == pixels


def test_every_style_is_the_one_translation():
    translator = EntangledTranslator(2, 1)
    slices = translation_input(2, 1, 16, 16)
    first, second = translator.translations(slices, torch.empty(2, 0))
    assert torch.equal(first, second)
    assert torch.equal(first, translator.to_target(slices))
    assert not torch.equal(first, translator.to_source(slices))


def test_networks_from_a_plan():
    plan = TranslationPlan(slice_size=(64, 48), width=2, method="entangled", discriminator_width=3)
    translator, discriminators = build_entangled(plan), build_patch_discriminators(plan)
    assert translator.to_target.stem.out_channels == 2
    assert len(translator.to_source.blocks) == 9
    assert set(discriminators) == {"source", "target"}
    (scores,) = discriminators["target"](translation_input(1, 1, 64, 48))
    assert scores.shape == (1, 1, 30, 22)
