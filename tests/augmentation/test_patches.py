from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from darnet.augmentation import PatchTransform, apply_patch_transform, sample_patch_transform
from darnet.plans import SegmentationPlan

SIZE = (6, 12, 16)
PLAN = SegmentationPlan(patch_size=SIZE, batch_size=2, channels=(8, 16), strides=((1, 2, 2),))
STILL = PatchTransform(np.eye(3), np.zeros(3), None, None, gain=1.0, offset=0.0, noise=0.0, noise_seed=0)
GEOMETRY_ONLY = dataclasses.replace(PLAN, contrast=0.0, appearance=0.0)


def changed(**values: object) -> PatchTransform:
    return dataclasses.replace(STILL, **values)


def random_patch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    image = torch.from_numpy(rng.uniform(-0.9, 1, (1, *SIZE)).astype(np.float32))
    return image, torch.from_numpy(rng.integers(0, 5, SIZE))


def labelled_blocks() -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.zeros(SIZE, dtype=torch.long)
    labels[1:5, 2:6, 3:9] = 1
    labels[2:6, 6:11, 6:14] = 2
    return (labels.float() * 0.8 - 1.0)[None], labels


def test_identity():
    image, labels = random_patch()
    moved, picked = apply_patch_transform(image, labels, STILL)
    torch.testing.assert_close(moved, image, rtol=0, atol=1e-5)
    assert torch.equal(picked, labels)
    assert picked.dtype == torch.long


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flip_of_image_and_labels(axis):
    image, labels = random_patch()
    signs = np.where(np.arange(3) == axis, -1.0, 1.0)
    moved, picked = apply_patch_transform(image, labels, changed(matrix=np.diag(signs)))
    torch.testing.assert_close(moved, image.flip(axis + 1), rtol=0, atol=1e-5)
    assert torch.equal(picked, labels.flip(axis))


@pytest.mark.parametrize(("axis", "voxels"), [(0, 2), (0, -1), (1, 3), (1, -3), (2, 4), (2, -4)])
def test_shift_counts_half_patches_and_samples_ahead(axis, voxels):
    image, labels = random_patch()
    labels = labels + 1
    shift = np.where(np.arange(3) == axis, 2 * voxels / SIZE[axis], 0.0)
    moved, picked = apply_patch_transform(image, labels, changed(shift=shift))
    expected, expected_labels = torch.full_like(image, -1.0), torch.zeros_like(labels)
    for index in np.ndindex(*SIZE):
        source = list(index)
        source[axis] += voxels
        if 0 <= source[axis] < SIZE[axis]:
            expected[(0, *index)] = image[(0, *source)]
            expected_labels[index] = labels[tuple(source)]
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-4)
    assert torch.equal(picked, expected_labels)


@pytest.mark.parametrize("seed", range(6))
def test_labels_move_with_the_image(seed):
    image, labels = labelled_blocks()
    plan = dataclasses.replace(GEOMETRY_ONLY, mirror_axes=(0, 1, 2))
    moved, picked = apply_patch_transform(image, labels, sample_patch_transform(np.random.default_rng(seed), plan))
    # Linear interpolation brings a voxel to within half a step of the label that the nearest voxel has, but at edges.
    implied = ((moved[0] + 1) / 0.8).round().long()
    assert (implied == picked).float().mean() > 0.9
    assert set(picked.unique().tolist()) == {0, 1, 2}
    assert not torch.equal(picked, labels)


def test_labels_stay_whole_numbers_of_the_classes():
    image, labels = labelled_blocks()
    labels = labels * 3
    for seed in range(5):
        picked = apply_patch_transform(image, labels, sample_patch_transform(np.random.default_rng(seed), PLAN))[1]
        assert set(picked.unique().tolist()) <= {0, 3, 6}


@pytest.mark.parametrize("size", [(6, 12, 16), (6, 16, 12), (4, 8, 8)])
@pytest.mark.parametrize("seed", range(4))
def test_rotation_is_rigid_in_voxels_and_in_plane(size, seed):
    plan = dataclasses.replace(GEOMETRY_ONLY, patch_size=size, scale=0.0, rotation_degrees=40.0)
    matrix = sample_patch_transform(np.random.default_rng(seed), plan).matrix
    half = np.diag(np.array(size) / 2)
    in_voxels = half @ matrix @ np.linalg.inv(half)
    np.testing.assert_allclose(in_voxels @ in_voxels.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(in_voxels[0], [1, 0, 0], atol=1e-12)
    assert abs(math.atan2(in_voxels[2, 1], in_voxels[1, 1])) <= math.radians(40)
    assert abs(in_voxels[2, 1]) > 1e-3


def test_mirror_axes_are_the_only_ones_that_flip():
    plan = dataclasses.replace(GEOMETRY_ONLY, rotation_degrees=0.0, mirror_axes=(1,))
    signs = [np.sign(np.diag(sample_patch_transform(np.random.default_rng(s), plan).matrix)) for s in range(40)]
    assert {tuple(s) for s in signs} == {(1.0, 1.0, 1.0), (1.0, -1.0, 1.0)}


def test_ranges_of_the_plan():
    drawn = [sample_patch_transform(np.random.default_rng(s), PLAN) for s in range(300)]
    shifts = np.abs([t.shift for t in drawn]).max(0)
    assert shifts[0] <= 0.05
    assert 0.08 < shifts[1] <= 0.1
    gains, offsets = np.array([t.gain for t in drawn]), np.array([t.offset for t in drawn])
    assert 0.75 <= gains.min() < 0.8
    assert 1.2 < gains.max() <= 1.25
    assert 0.1 < np.abs(offsets).max() <= 0.125
    assert all(0 <= t.noise <= 0.05 for t in drawn)
    assert 0.3 < np.mean([t.elastic is not None for t in drawn]) < 0.7
    assert all(t.curve is None for t in drawn)


def test_appearance_draws_a_monotone_curve():
    plan = dataclasses.replace(PLAN, appearance=1.0)
    rng = np.random.default_rng(0)
    curves = [sample_patch_transform(rng, plan).curve for _ in range(60)]
    assert all((curve >= 0).all() or (curve <= 0).all() for curve in curves)
    assert all(abs(curve.sum()) == pytest.approx(1) for curve in curves)
    assert 15 < sum(curve.sum() > 0 for curve in curves) < 45


def test_switched_off_plan_is_the_identity():
    plan = dataclasses.replace(GEOMETRY_ONLY, rotation_degrees=0.0, scale=0.0, shift=0.0, elastic=0.0)
    image, labels = random_patch()
    moved, picked = apply_patch_transform(image, labels, sample_patch_transform(np.random.default_rng(0), plan))
    torch.testing.assert_close(moved, image, rtol=0, atol=1e-5)
    assert torch.equal(picked, labels)


def test_constant_elastic_field_is_a_shift():
    image, labels = random_patch()
    field = np.zeros((3, 3, 5, 5))
    field[2] = 2 * 3 / SIZE[2]
    found = apply_patch_transform(image, labels, changed(elastic=field))
    expected = apply_patch_transform(image, labels, changed(shift=np.array([0, 0, 2 * 3 / SIZE[2]])))
    torch.testing.assert_close(found[0], expected[0], rtol=0, atol=1e-4)
    assert torch.equal(found[1], expected[1])


def test_elastic_field_bends_along_its_own_axis():
    # The displacement of D grows with W: planes at low W stay, planes at high W come from two voxels ahead.
    image, labels = random_patch()
    field = np.zeros((3, 3, 5, 5))
    field[0] = np.linspace(0, 2 * 2 / SIZE[0], 5)
    moved = apply_patch_transform(image, labels, changed(elastic=field))[0]
    torch.testing.assert_close(moved[0, :, :, 0], image[0, :, :, 0], rtol=0, atol=1e-4)
    torch.testing.assert_close(moved[0, :4, :, -1], image[0, 2:, :, -1], rtol=0, atol=1e-4)


@pytest.mark.parametrize(("gain", "offset"), [(1.3, 0.0), (0.7, 0.1), (1.0, -0.2), (2.0, 0.5)])
def test_contrast_and_brightness(gain, offset):
    image, labels = random_patch()
    moved, picked = apply_patch_transform(image, labels, changed(gain=gain, offset=offset))
    torch.testing.assert_close(moved, (image * gain + offset).clamp(-1, 1), rtol=0, atol=1e-5)
    assert torch.equal(picked, labels)


@pytest.mark.parametrize("sign", [1, -1])
def test_curve_against_linear_interpolation(sign):
    image, labels = random_patch()
    curve = np.random.default_rng(0).dirichlet(np.ones(8))
    moved, _ = apply_patch_transform(image, labels, changed(curve=sign * curve))
    knots = sign * (np.concatenate(([0.0], np.cumsum(curve))) * 2 - 1)
    expected = np.interp(image.numpy(), np.linspace(-1, 1, 9), knots)
    np.testing.assert_allclose(moved.numpy(), expected, atol=1e-4)


def test_equal_increments_are_no_change():
    image, labels = random_patch()
    image[0, 0, 0, 0] = 1.0
    moved, _ = apply_patch_transform(image, labels, changed(curve=np.full(8, 1 / 8)))
    torch.testing.assert_close(moved, image, rtol=0, atol=1e-4)


def test_background_stays_background():
    image, labels = labelled_blocks()
    transform = changed(curve=np.full(8, 1 / 8), gain=1.2, offset=0.4, noise=0.2)
    moved, _ = apply_patch_transform(image, labels, transform)
    assert (moved[0][labels == 0] == -1).all()
    assert not (moved[0][labels == 1] == -1).all()


@pytest.mark.parametrize("seed", range(4))
def test_empty_patch_stays_empty_whatever_is_drawn(seed):
    plan = dataclasses.replace(PLAN, appearance=1.0, mirror_axes=(0, 1, 2))
    image, labels = torch.full((1, *SIZE), -1.0), torch.zeros(SIZE, dtype=torch.long)
    moved, picked = apply_patch_transform(image, labels, sample_patch_transform(np.random.default_rng(seed), plan))
    assert torch.equal(moved, image)
    assert torch.equal(picked, labels)


@pytest.mark.parametrize("seed", range(4))
def test_values_stay_within_the_range(seed):
    image, labels = random_patch(seed)
    plan = dataclasses.replace(PLAN, appearance=1.0)
    moved, _ = apply_patch_transform(image, labels, sample_patch_transform(np.random.default_rng(seed), plan))
    assert moved.shape == image.shape
    assert moved.min() >= -1
    assert moved.max() <= 1


def test_same_seed_same_patch():
    image, labels = random_patch()
    results = [
        apply_patch_transform(image, labels, sample_patch_transform(np.random.default_rng(seed), PLAN))
        for seed in (3, 3, 4)
    ]
    assert torch.equal(results[0][0], results[1][0])
    assert torch.equal(results[0][1], results[1][1])
    assert not torch.equal(results[0][0], results[2][0])


def test_noise_has_its_own_seed_and_leaves_the_global_generator():
    image, labels = random_patch()
    state = torch.random.get_rng_state()
    first = apply_patch_transform(image, labels, changed(noise=0.1, noise_seed=1))[0]
    second = apply_patch_transform(image, labels, changed(noise=0.1, noise_seed=2))[0]
    assert torch.equal(torch.random.get_rng_state(), state)
    inside = image.abs() < 0.5
    assert (first - image)[inside].std().item() == pytest.approx(0.1, rel=0.2)
    assert not torch.equal(first, second)


def test_input_is_not_changed():
    image, labels = random_patch()
    before = image.clone(), labels.clone()
    plan = dataclasses.replace(PLAN, appearance=1.0)
    apply_patch_transform(image, labels, sample_patch_transform(np.random.default_rng(0), plan))
    assert torch.equal(image, before[0])
    assert torch.equal(labels, before[1])
