"""What is measured of translated volumes, against other ways to compute it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import wasserstein_distance

from darnet.health import BINS, histogram, histogram_distance, measure
from darnet.spread import spread


def test_spread():
    assert spread(list("abcdefg"), 3) == ["a", "d", "g"]
    assert spread(["a"], 3) == ["a"]
    assert spread([], 3) == []


def test_histogram_distance_is_wasserstein():
    rng = np.random.default_rng(2)
    a, b = (rng.dirichlet(np.ones(len(BINS) - 1)) for _ in range(2))
    centres = (BINS[1:] + BINS[:-1]) / 2
    assert histogram_distance(a, b) == pytest.approx(wasserstein_distance(centres, centres, a, b))


def test_histogram_leaves_the_background_out():
    image = np.full((1, 2, 2, 2), -1.0)
    image[0, 0, 0] = 0.51
    shares = histogram([image])
    assert shares.sum() == pytest.approx(1)
    assert shares[np.searchsorted(BINS, 0.51) - 1] == pytest.approx(1)


def test_measure_knows_a_copy_from_a_translation():
    rng = np.random.default_rng(3)
    image = np.clip(rng.normal(0.2, 0.2, (6, 8, 8)), -0.8, 1).astype(np.float32)
    target = -image
    copied, _ = measure([(image, [image, image])], [target])
    assert copied.change == 0
    assert copied.styles_apart == 0
    assert copied.distance_after == copied.distance_before > 0.3
    turned, shares = measure([(image, [-image, np.full_like(image, 0.1)])], [target])
    assert turned.contrast == pytest.approx(0, abs=1e-6)
    assert turned.change > 0.2
    assert set(shares) == {"source", "translated", "target"}
    blurred, _ = measure([(image, [np.full_like(image, image.mean()) + 0.1 * np.arange(8)])], [target])
    assert blurred.sharpness["translated"] < 0.5 * blurred.sharpness["source"]


def test_contrast_of_each_style_and_of_target_scans():
    rng = np.random.default_rng(5)
    images = [np.clip(rng.normal(0.0, spread, (4, 8, 8)), -0.85, 0.85).astype(np.float32) for spread in (0.1, 0.2, 0.3)]
    targets = [images[2], images[0], np.full_like(images[0], -1)]
    facts, _ = measure([(image, [image, 0.25 * image]) for image in images], targets)
    mean = np.mean([image.std() for image in images])
    assert facts.style_contrast == pytest.approx((mean, mean / 4), rel=1e-5)
    assert facts.target_contrast == pytest.approx(images[0].std(), rel=1e-5)
