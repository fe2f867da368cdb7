from __future__ import annotations

import numpy as np
import pytest
import torch

from darnet.losses import (
    content_discriminator_loss,
    content_generator_loss,
    lsgan_discriminator,
    lsgan_generator,
)

# Maps of two scales with unequal sizes: scales, not pixels, must count the same.
SIZES = ((8, 6), (4, 3))


def score_maps(seed: int) -> list[torch.Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.normal(seed, 1 + i, (2, 1, *size)).astype(np.float32)) for i, size in enumerate(SIZES)]


def squares(maps: list[torch.Tensor], value: float) -> float:
    return float(np.mean([np.mean((m.numpy().astype(float) - value) ** 2) for m in maps]))


def constant_maps(value: float) -> list[torch.Tensor]:
    return [torch.full((2, 1, *size), value) for size in SIZES]


def test_discriminator_against_numpy():
    real, fake = score_maps(0), score_maps(1)
    assert lsgan_discriminator(real, fake).item() == pytest.approx(squares(real, 1) + squares(fake, 0), rel=1e-5)


def test_generator_against_numpy():
    fake = score_maps(2)
    assert lsgan_generator(fake).item() == pytest.approx(squares(fake, 1), rel=1e-5)


def test_content_losses_against_numpy():
    a, b = score_maps(3), score_maps(4)
    assert content_discriminator_loss(a, b).item() == pytest.approx(squares(a, 0) + squares(b, 1), rel=1e-5)
    assert content_generator_loss(a, b).item() == pytest.approx(squares(a, 1) + squares(b, 0), rel=1e-5)


@pytest.mark.parametrize(
    ("real", "fake", "discriminator", "generator"),
    [(1.0, 0.0, 0.0, 1.0), (0.0, 1.0, 2.0, 0.0), (0.5, 0.5, 0.5, 0.25), (1.0, 1.0, 1.0, 0.0)],
)
def test_values_of_constant_maps(real, fake, discriminator, generator):
    assert lsgan_discriminator(constant_maps(real), constant_maps(fake)).item() == discriminator
    assert lsgan_generator(constant_maps(fake)).item() == generator


def test_each_scale_counts_the_same():
    maps = [torch.ones(1, 1, 32, 32), torch.zeros(1, 1, 1, 1)]
    assert lsgan_generator(maps).item() == 0.5


def test_content_generator_is_the_discriminator_with_domains_exchanged():
    a, b = score_maps(5), score_maps(6)
    assert content_generator_loss(a, b).item() == content_discriminator_loss(b, a).item()
    assert content_discriminator_loss(constant_maps(0.0), constant_maps(1.0)).item() == 0
    assert content_generator_loss(constant_maps(0.0), constant_maps(1.0)).item() == 2


def test_generator_pulls_scores_up_and_discriminator_pushes_them_down():
    fake = torch.full((1, 1, 2, 2), 0.5, requires_grad=True)
    up = torch.autograd.grad(lsgan_generator([fake]), fake)[0]
    down = torch.autograd.grad(lsgan_discriminator([torch.ones(1)], [fake]), fake)[0]
    assert (up < 0).all()
    assert (down > 0).all()


def test_half_precision_maps_are_summed_in_single_precision():
    maps = [torch.full((1, 1, 64, 64), 300.0, dtype=torch.float16)]
    loss = lsgan_generator(maps)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(299.0**2)
