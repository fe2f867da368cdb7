from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from darnet.augmentation import (
    SliceTransform,
    apply_slice_transform,
    apply_slice_transform_to_labels,
    sample_slice_transform,
)
from darnet.plans import TranslationPlan

PLAN = TranslationPlan(slice_size=(16, 24), width=4)


def slice_transform(
    n: int = 1,
    angle: float = 0.0,
    scale: float = 1.0,
    shift: tuple[float, float] = (0.0, 0.0),
    flip: tuple[bool, bool] = (False, False),
) -> SliceTransform:
    return SliceTransform(
        angle=np.full(n, angle), scale=np.full(n, scale), shift=np.tile(shift, (n, 1)), flip=np.tile(flip, (n, 1))
    )


def random_slices(n: int = 1, height: int = 16, width: int = 24, seed: int = 0) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.uniform(-1, 1, (n, 1, height, width)).astype(np.float32))


def mass_center(image: torch.Tensor) -> tuple[float, float]:
    weight = image[0, 0].double() + 1
    h, w = torch.meshgrid(torch.arange(weight.shape[0]), torch.arange(weight.shape[1]), indexing="ij")
    return float((weight * h).sum() / weight.sum()), float((weight * w).sum() / weight.sum())


def test_identity():
    x = random_slices(2)
    torch.testing.assert_close(apply_slice_transform(x, slice_transform(2)), x, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("flip", "axes"), [((True, False), (2,)), ((False, True), (3,)), ((True, True), (2, 3))])
def test_flips(flip, axes):
    x = random_slices()
    torch.testing.assert_close(apply_slice_transform(x, slice_transform(flip=flip)), x.flip(axes), rtol=0, atol=1e-5)


@pytest.mark.parametrize("rows", [-4, 0, 4])
@pytest.mark.parametrize("columns", [-6, 0, 6])
def test_shift_is_a_fraction_of_the_slice_and_samples_ahead(rows, columns):
    # Output pixel p shows input pixel p + shift.
    x = random_slices()
    found = apply_slice_transform(x, slice_transform(shift=(rows / 16, columns / 24)))
    expected = torch.full_like(x, -1.0)
    for h, w in np.ndindex(16, 24):
        if 0 <= h + rows < 16 and 0 <= w + columns < 24:
            expected[0, 0, h, w] = x[0, 0, h + rows, w + columns]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 24), (24, 16)])
def test_a_quarter_turn_is_a_quarter_turn_in_pixels(height, width):
    # The square in the middle of the result is the turned square in the middle of the input, whatever the aspect.
    x = random_slices(height=height, width=width)
    found = apply_slice_transform(x, slice_transform(angle=math.pi / 2))
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    middle = (slice(None), slice(None), slice(top, top + side), slice(left, left + side))
    torch.testing.assert_close(found[middle], x[middle].rot90(1, (2, 3)), rtol=0, atol=1e-4)


def test_half_a_turn_flips_both_axes():
    x = random_slices()
    torch.testing.assert_close(
        apply_slice_transform(x, slice_transform(angle=math.pi)), x.flip(2, 3), rtol=0, atol=1e-4
    )


def test_scale_magnifies():
    x = torch.full((1, 1, 32, 32), -1.0)
    x[:, :, 12:20, 12:20] = 1.0
    found = apply_slice_transform(x, slice_transform(scale=2.0))
    assert ((found + 1).sum() / (x + 1).sum()).item() == pytest.approx(4, rel=0.02)
    assert mass_center(found) == pytest.approx((15.5, 15.5), abs=1e-3)


def test_background_comes_in_from_outside():
    x = torch.ones(1, 1, 16, 16)
    found = apply_slice_transform(x, slice_transform(shift=(0.5, 0.0)))
    assert torch.equal(found[0, 0, 8:], torch.full((8, 16), -1.0))
    empty = torch.full((2, 1, 16, 16), -1.0)
    moved = apply_slice_transform(empty, slice_transform(2, 0.3, 0.9, (0.1, -0.1), (True, False)))
    torch.testing.assert_close(moved, empty, rtol=0, atol=1e-6)


def test_values_stay_within_the_range():
    transform = sample_slice_transform(np.random.default_rng(0), PLAN, 8)
    found = apply_slice_transform(random_slices(8), transform)
    assert found.min() >= -1 - 1e-5
    assert found.max() <= 1 + 1e-5


def test_each_slice_has_its_own_transform():
    x = random_slices(1).expand(3, -1, -1, -1)
    transform = sample_slice_transform(np.random.default_rng(1), PLAN, 3)
    together = apply_slice_transform(x, transform)
    for i in range(3):
        one = SliceTransform(
            *(v[i : i + 1] for v in (transform.angle, transform.scale, transform.shift, transform.flip))
        )
        torch.testing.assert_close(together[i : i + 1], apply_slice_transform(x[:1], one))
    assert not torch.allclose(together[0], together[1])


def test_same_seed_same_transform():
    first, second, other = (sample_slice_transform(np.random.default_rng(s), PLAN, 4) for s in (5, 5, 6))
    for name in ("angle", "scale", "shift", "flip"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert not np.array_equal(first.angle, other.angle)


def test_parameters_stay_within_the_plan():
    t = sample_slice_transform(np.random.default_rng(0), PLAN, 2000)
    assert np.abs(t.angle).max() <= math.radians(30)
    assert np.abs(t.angle).max() > math.radians(29)
    assert 0.9 <= t.scale.min() < 0.91
    assert 1.09 < t.scale.max() <= 1.1
    assert 0.09 < np.abs(t.shift).max() <= 0.1


@pytest.mark.parametrize(("axes", "columns"), [((), []), ((0,), []), ((1,), [0]), ((2,), [1]), ((0, 1, 2), [0, 1])])
def test_flips_only_along_the_mirror_axes(axes, columns):
    plan = TranslationPlan(slice_size=(16, 16), width=4, mirror_axes=axes)
    flips = sample_slice_transform(np.random.default_rng(0), plan, 200).flip
    assert np.flatnonzero(flips.any(0)).tolist() == columns
    assert not flips.all(0).any()


def test_input_is_not_changed():
    x = random_slices()
    before = x.clone()
    apply_slice_transform(x, slice_transform(angle=0.2))
    assert torch.equal(x, before)


def test_labels_are_those_of_the_nearest_pixel():
    # Slices of row and column numbers tell where each pixel of a transformed slice comes from.
    n, height, width = 6, 20, 28
    transform = sample_slice_transform(np.random.default_rng(3), dataclasses.replace(PLAN, mirror_axes=(1, 2)), n)
    labels = torch.from_numpy(np.random.default_rng(4).integers(0, 5, (n, height, width)))
    ramps = [np.broadcast_to(r / 100, (n, 1, height, width)) for r in np.ogrid[:height, :width]]
    row, column, whole = (
        100 * apply_slice_transform(torch.from_numpy(slices.astype(np.float32)), transform)[:, 0].numpy()
        for slices in (*ramps, np.ones((n, 1, height, width)))
    )
    moved = apply_slice_transform_to_labels(labels, transform)
    assert moved.shape == labels.shape and moved.dtype == labels.dtype
    compared = 0
    for i, h, w in np.ndindex(n, height, width):
        r, c = row[i, h, w], column[i, h, w]
        if whole[i, h, w] > 99.99 and all(abs(v - np.floor(v) - 0.5) > 0.01 for v in (r, c)):
            assert moved[i, h, w] == labels[i, round(float(r)), round(float(c))]
            compared += 1
    assert compared > 0.5 * labels.numel()


def test_labels_from_outside_are_background():
    labels = torch.ones(1, 16, 16, dtype=torch.int64)
    moved = apply_slice_transform_to_labels(labels, slice_transform(shift=(0.5, 0.0)))
    assert torch.equal(moved[0, :8], labels[0, :8])
    assert not moved[0, 8:].any()


@pytest.mark.parametrize(("rows", "columns"), [(3, 0), (-5, 2), (0, -7), (4, -9)])
def test_edges_are_mirrored_where_that_is_asked_for(rows, columns):
    images, labels = (
        random_slices(1, 16, 24),
        torch.randint(0, 4, (1, 16, 24), generator=torch.Generator().manual_seed(1)),
    )
    transform = slice_transform(shift=(rows / 16, columns / 24))

    def expected(values):
        padded = np.pad(values, ((10, 10), (10, 10)), mode="symmetric")
        return padded[10 + rows : 26 + rows, 10 + columns : 34 + columns]

    moved = apply_slice_transform(images, transform, mirrored=True)
    np.testing.assert_allclose(moved[0, 0], expected(images[0, 0].numpy()), atol=1e-4)
    picked = apply_slice_transform_to_labels(labels, transform, mirrored=True)
    np.testing.assert_array_equal(picked[0], expected(labels[0].numpy()))
