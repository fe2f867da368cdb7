"""The plain arrangements that darnet is timed against give darnet's numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from benchmarks import synthesis, translation_step
from benchmarks.pairs import DARNET, OTHER
from benchmarks.plain_dar_unet import PlainDARUNet, plain_loss
from benchmarks.plain_translation import plain_translator
from darnet.losses import segmentation_loss
from darnet.networks import DARUNet, Translator
from darnet.plans import TranslationPlan

CHANNELS, STRIDES, CLASSES = (4, 8, 16), ((1, 2, 2), (2, 2, 2)), 3
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def threads_stay():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def networks():
    torch.manual_seed(0)
    ours = DARUNet(1, CLASSES, CHANNELS, STRIDES)
    plain = PlainDARUNet(CLASSES, CHANNELS, STRIDES)
    plain.load_state_dict(ours.state_dict())
    return ours.to(memory_format=torch.channels_last_3d), plain


def test_inference_is_equal(networks):
    images = torch.randn(2, 1, 4, 8, 12)
    with torch.inference_mode():
        ours, plain = (network.eval()(images) for network in networks)
    assert ours.std() > 1e-2
    torch.testing.assert_close(ours, plain, atol=TOLERANCE, rtol=TOLERANCE)


def test_outputs_losses_and_gradients_of_training_are_equal(networks):
    images, labels = torch.randn(2, 1, 4, 8, 12), torch.randint(0, CLASSES, (2, 4, 8, 12))
    outputs = [network.train()(images) for network in networks]
    for ours, plain in zip(*outputs, strict=True):
        torch.testing.assert_close(ours, plain, atol=TOLERANCE, rtol=TOLERANCE)
    losses = [segmentation_loss(outputs[0], labels), plain_loss(outputs[1], labels)]
    torch.testing.assert_close(*losses, atol=TOLERANCE, rtol=TOLERANCE)
    for loss in losses:
        loss.backward()
    for ours, plain in zip(*(network.parameters() for network in networks), strict=True):
        torch.testing.assert_close(ours.grad, plain.grad, atol=TOLERANCE, rtol=1e-2)
    assert max(float(p.grad.abs().max()) for p in networks[1].parameters()) > 1e-2


def test_translator_is_equal():
    torch.manual_seed(0)
    ours = Translator(4, 3, 2)
    plain = plain_translator(ours, 4, 3, 2)
    image = torch.rand(2, 1, 16, 20) * 2 - 1
    with torch.no_grad():
        code = ours.style(image, "target")
        torch.testing.assert_close(code, plain.style_target(image), atol=TOLERANCE, rtol=TOLERANCE)
        torch.testing.assert_close(ours.content(image), plain.content(image), atol=TOLERANCE, rtol=TOLERANCE)
        translated = plain.decoder(plain.content(image), code)
        assert translated.std() > 1e-2
        torch.testing.assert_close(ours(image, code), translated, atol=TOLERANCE, rtol=TOLERANCE)


def test_translation_steps_are_equal():
    plan = TranslationPlan(
        slice_size=(16, 16), width=4, residual_blocks=1, discriminator_width=4, discriminator_layers=2,
        discriminator_scales=2, content_discriminator_layers=1, batch_size=2,
    )  # fmt: skip
    losses = []
    for side in (DARNET, OTHER):
        step = translation_step.prepare(side, 1, plan)
        losses.append([step() for _ in range(3)])
    # Each step begins with the discriminators' update, and the second sees the first one's generator.
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-3)
    assert losses[0][0] != pytest.approx(losses[0][2], rel=1e-3)


def test_synthesis_is_equal():
    ours, plain = (synthesis.prepare(side, 1, (1, 3, 16, 20), width=4)() for side in (DARNET, OTHER))
    assert ours.shape == (synthesis.STYLES, 3, 16, 20) and ours.std() > 1e-2
    np.testing.assert_allclose(ours, plain, atol=TOLERANCE)
