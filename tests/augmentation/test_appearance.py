from __future__ import annotations

import numpy as np
import pytest
import torch

from darnet.augmentation.appearance import class_gains, random_convolution, spread


def scan() -> torch.Tensor:
    rng = np.random.default_rng(3)
    image = np.full((1, 4, 20, 24), -1.0, np.float32)
    image[:, :, 3:17, 4:20] = rng.uniform(-0.9, 1, (1, 4, 14, 16))
    return torch.from_numpy(image)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("seed", range(8))
def test_convolution_keeps_background_and_range(seed):
    image = scan()
    changed = random_convolution(image, seeded(seed))
    assert changed.shape == image.shape
    assert bool((changed[image == -1] == -1).all())
    assert float(changed.min()) >= -1 and float(changed.max()) <= 1
    assert float(changed.max()) > 0.9
    assert not torch.allclose(changed, image, atol=0.02)


def test_convolution_is_the_same_for_the_same_seed():
    image = scan()
    assert torch.equal(random_convolution(image, seeded(1)), random_convolution(image, seeded(1)))
    assert not torch.equal(random_convolution(image, seeded(1)), random_convolution(image, seeded(2)))


def test_convolution_of_background_only():
    image = torch.full((1, 4, 8, 8), -1.0)
    assert torch.equal(random_convolution(image, seeded(0)), image)


def test_spread_brings_quantiles_to_the_ends():
    image = scan() * 7 + 3
    body = scan() > -1
    values = np.sort(spread(image, body)[body].numpy())
    low, high = np.quantile(image[body].numpy(), [0.005, 0.995])
    expected = np.clip((np.sort(image[body].numpy()) - low) / (high - low) * 2 - 1, -1, 1)
    np.testing.assert_allclose(values, expected, atol=1e-5)


def test_gains_are_one_factor_a_class():
    image = torch.full((1, 2, 4, 6), -0.4)
    labels = torch.zeros(2, 4, 6, dtype=torch.long)
    labels[:, :2], labels[:, 2:, :3] = 1, 2
    changed = class_gains(image, labels, 0.3, seeded(5))
    torch.testing.assert_close(changed[0][labels == 0], image[0][labels == 0])
    for label in (1, 2):
        above = (changed[0][labels == label] + 1) / 0.6
        assert float(above.std()) < 1e-6
        assert 0.7 <= float(above[0]) <= 1.3
    assert float(changed[0][labels == 1][0]) != float(changed[0][labels == 2][0])


def test_no_gain_changes_nothing():
    image, labels = scan(), torch.ones(4, 20, 24, dtype=torch.long)
    torch.testing.assert_close(class_gains(image, labels, 0.0, seeded(0)), image)
