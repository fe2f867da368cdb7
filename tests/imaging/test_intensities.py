from __future__ import annotations

import numpy as np
import pytest

from darnet.errors import ConfigurationError
from darnet.imaging import foreground_mask, normalize, without_padding


def ball(air: float, tissue: float, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A scan of a ball, and where the ball is."""
    grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, n) for n in (12, 40, 40)], indexing="ij"))
    inside = (grid**2).sum(0) < 0.5
    rng = np.random.default_rng(seed)
    return (np.where(inside, tissue, air) + noise * rng.standard_normal(inside.shape)).astype(np.float32), inside


@pytest.mark.parametrize(
    ("air", "tissue", "noise"), [(-1000, 40, 20), (-125, 60, 5), (0, 300, 10), (0, 0.7, 0.02), (5, 900, 30)]
)
def test_body_in_air(air, tissue, noise):
    scan, inside = ball(air, tissue, noise)
    found = foreground_mask(scan)
    assert (found ^ inside).sum() < 0.02 * inside.sum()


def test_body_is_one_piece():
    scan, inside = ball(0, 300, 5)
    scan[0, 0, 0] = 300
    found = foreground_mask(scan)
    assert not found[0, 0, 0]
    assert found[inside].mean() > 0.98


def head(reach: float, air: float = 6.0, brain: float = 150.0, fluid: float = 600.0) -> tuple[np.ndarray, np.ndarray]:
    """A T2 scan of a head of so many half field widths, most of it dark beside bright fluid, and its tissue: 0 air,
    1 scalp, 2 skull, 3 fluid, 4 brain."""
    d, h, w = np.meshgrid(*[np.linspace(-1, 1, n) for n in (8, 64, 64)], indexing="ij")
    r, rng = np.hypot(h, w / 0.85) / reach, np.random.default_rng(3)
    tissue = np.select([r < 0.15, r < 0.84, r < 0.88, r < 0.93, r < 1], [3, 4, 3, 2, 1], 0)
    mean = np.array([air, 350.0, 40.0, fluid, brain])[tissue]
    sd = np.array([3.0, 40.0, 15.0, 50.0, brain / 10])[tissue]
    return np.clip(mean + sd * rng.standard_normal(d.shape), 0, None).astype(np.float32), tissue


@pytest.mark.parametrize("reach", [0.6, 0.8, 0.9, 1.0, 1.15, 1.5, 2.0])
@pytest.mark.parametrize(("brain", "fluid"), [(150.0, 600.0), (200.0, 600.0), (250.0, 600.0)])
def test_dark_tissue_beside_bright_fluid_is_body_however_little_air_there_is(reach, brain, fluid):
    scan, tissue = head(reach, brain=brain, fluid=fluid)
    for unit in (1.0, 0.01):
        found = foreground_mask(scan * np.float32(unit))
        assert found[tissue == 4].mean() > 0.99
        if (tissue == 0).mean() > 0.05:
            assert found[tissue == 0].mean() < 0.01
    assert (normalize(scan, "percentile", 0.5, 99.5)[tissue == 4] > -1).mean() > 0.97


def test_a_scan_without_air_is_body_throughout():
    rng = np.random.default_rng(0)
    place = np.hypot(*np.meshgrid(np.linspace(-1, 1, 60), np.linspace(-1, 1, 60)))
    muscle_and_blood = np.where(place < 0.5, 400.0, 130.0) + 15 * rng.standard_normal((6, 60, 60))
    assert foreground_mask(muscle_and_blood.astype(np.float32)).all()
    undershoot = muscle_and_blood.astype(np.float32)
    undershoot[0, 0, 0] = -5.0
    assert foreground_mask(undershoot).mean() > 0.99


@pytest.mark.parametrize("noise", [5.0, 15.0, 30.0])
def test_noisy_air_is_not_body(noise):
    _, inside = ball(0, 1, 0)
    rng = np.random.default_rng(0)
    real, imaginary = noise * rng.standard_normal((2, *inside.shape))
    scan = np.hypot(np.where(inside, 250.0, 0.0) + real, imaginary).astype(np.float32)
    found = foreground_mask(scan)
    assert found[inside].mean() > 0.98
    assert found[~inside].mean() < 0.05


@pytest.mark.parametrize("around", [-1000.0, -1024.0, -2000.0, -3024.0])
def test_what_lies_beyond_a_round_field_of_view_does_not_make_air_body(around):
    scan, inside = ball(-1000, 40, 15)
    h, w = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 40), indexing="ij")
    scan[:, np.hypot(h, w) > 1] = around
    assert (foreground_mask(scan) ^ inside).sum() < 0.02 * inside.sum()


@pytest.mark.parametrize("fill", [0.0, 0.3])
def test_air_that_was_filled_with_a_value_like_those_of_tissue(fill):
    _, inside = ball(0, 1, 0)
    scan = np.random.default_rng(0).standard_normal(inside.shape).astype(np.float32)
    scan[~inside] = fill
    assert foreground_mask(scan)[inside].mean() > 0.95
    normalized = normalize(scan, "percentile", 0.5, 99.5)
    assert (normalized[~inside] == -1).all()
    assert abs(np.median(normalized[inside])) < 0.1


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
@pytest.mark.parametrize("blurred", [False, True])
@pytest.mark.parametrize("around", [-1000.0, -1024.0, -32768.0])
def test_negative_padding_about_a_scan_without_unit_becomes_dark(around, blurred, dtype):
    scan, _ = ball(0, 300, 20)
    scan = np.maximum(scan, 0).astype(dtype)
    h, w = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 40), indexing="ij")
    outside = np.hypot(h, w) > 1
    zeros, padded = scan.copy(), scan.copy()
    zeros[:, outside], padded[:, outside] = 0, around
    if blurred:  # as where a padded scan was interpolated: values in between at the edge
        edge = np.abs(np.hypot(h, w) - 1) < 0.02
        padded[:, edge & ~outside] = around / 2
        zeros[:, edge & ~outside] = 0
    found = without_padding(padded)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, zeros)


@pytest.mark.parametrize("order", [1, 3])
def test_padding_that_was_interpolated_is_found(order):
    from scipy import ndimage

    scan, inside = ball(0, 300, 20)
    scan = np.maximum(scan, 0)
    zeros, padded = (
        ndimage.rotate(scan, 20, (1, 2), reshape=False, order=order, cval=value, mode="constant")
        for value in (0, -1000)
    )
    found = without_padding(padded)
    assert found.min() == 0
    expected = foreground_mask(np.maximum(zeros, 0))
    assert (foreground_mask(found) ^ expected).sum() < 0.02 * expected.sum()


def test_two_values_of_padding_and_padding_of_a_scan_of_mean_0():
    scan, inside = ball(0, 300, 20)
    scan = np.maximum(scan, 0)
    two = np.pad(scan, ((0, 0), (8, 8), (8, 8)), constant_values=-1000.0)
    two[:, :4] = -1024.0
    assert (without_padding(two)[:, :8] == 0).all()
    normal = np.pad((scan - scan.mean()) / scan.std(), ((0, 0), (8, 8), (8, 8)), constant_values=-1000.0)
    found = without_padding(normal)
    assert found.min() > -5
    np.testing.assert_array_equal(found[:, 8:-8, 8:-8][inside], normal[:, 8:-8, 8:-8][inside])


@pytest.mark.parametrize("place", ["about a round field of view", "planes at one end"])
def test_the_highest_number_in_a_corner_is_padding(place):
    scan, inside = ball(5, 300, 20)
    scan = np.maximum(scan, 0)
    h, w = np.meshgrid(np.linspace(-1, 1, 40), np.linspace(-1, 1, 40), indexing="ij")
    outside = np.broadcast_to(np.hypot(h, w) > 1, scan.shape).copy()
    if place == "planes at one end":
        outside[:] = False
        outside[:2] = True
    padded = np.where(outside, np.float32(32767), scan)
    found = without_padding(padded)
    np.testing.assert_array_equal(found[~outside], scan[~outside])
    assert found[outside].max() < 10
    inside &= ~outside
    assert (foreground_mask(found) ^ inside).sum() < 0.02 * inside.sum()


@pytest.mark.parametrize(
    "kind",
    ["without padding", "one dead voxel", "mean 0", "-1 to 1", "few below 0", "phase", "Hounsfield units",
     "saturated fluid", "constant"],
)  # fmt: skip
def test_scans_that_were_not_padded_stay_as_they_are(kind):
    scan, inside = ball(0, 300, 20)
    scan = np.maximum(scan, 0)
    if kind == "one dead voxel":
        scan[0, 0, 0] = -1000.0
    elif kind == "mean 0":
        scan = (scan - scan.mean()) / scan.std()
    elif kind == "-1 to 1":
        scan = scan / scan.max() * 2 - 1
    elif kind == "few below 0":
        scan = np.where(inside, np.where(np.arange(40) < 17, -0.5, 0.5), -1.0).astype(np.float32)
    elif kind == "phase":
        scan = np.where(inside, 200 * np.random.default_rng(0).standard_normal(scan.shape), 0).astype(np.float32)
    elif kind == "Hounsfield units":
        scan, _ = ball(-1000, 40, 15)
        scan = np.maximum(scan, -1000.0)
        scan[:, :3, :3] = -3024.0
    elif kind == "saturated fluid":
        scan[inside & (scan > scan[inside].mean())] = 32767.0
    elif kind == "constant":
        scan = np.full((3, 4, 5), -1000.0, np.float32)
    assert without_padding(scan) is scan


@pytest.mark.parametrize(("low", "bone", "body"), [(-1e4, 700.0, True), (-1e4, 250.0, True), (-60.0, 700.0, False)])
def test_ct_that_ends_within_the_body_is_all_body(low, bone, body):
    _, inside = ball(0, 1, 0)
    rng = np.random.default_rng(0)
    fat = np.arange(40) < 12
    scan = np.where(inside, bone, np.where(fat, -100.0, 45.0)) + 15 * rng.standard_normal(inside.shape)
    scan = np.maximum(scan, low).astype(np.float32)  # where it was clipped, what is darkest may be air
    assert foreground_mask(scan, hounsfield=True).all() == body
    assert not foreground_mask(scan / 1000, hounsfield=True).all()


def test_large_negative_numbers_of_mr_are_not_hounsfield_units():
    scan, inside = ball(-32000, -20000, 300)
    assert (foreground_mask(scan) ^ inside).sum() < 0.02 * inside.sum()


def test_a_constant_scan_has_no_body():
    assert not foreground_mask(np.full((3, 4, 5), 7.0, np.float32)).any()


@pytest.mark.parametrize(
    ("value", "expected"), [(-1000.0, -1.0), (-125.0, -1.0), (75.0, 0.0), (175.0, 0.5), (275.0, 1.0), (3000.0, 1.0)]
)
def test_window(value, expected):
    assert normalize(np.full((1, 1, 1), value, np.float32), "window", -125, 275)[0, 0, 0] == pytest.approx(expected)


def test_percentiles_are_those_of_the_body():
    scan, _ = ball(0, 300, 20)
    body = scan[foreground_mask(scan)]
    low, high = np.percentile(body, [1, 99])
    expected = np.clip((scan - low) / (high - low) * 2 - 1, -1, 1)
    np.testing.assert_allclose(normalize(scan, "percentile", 1, 99), expected, atol=1e-4)


def test_percentiles_do_not_mind_the_unit():
    scan, _ = ball(0, 300, 20)
    np.testing.assert_allclose(
        normalize(scan * 13, "percentile", 0.5, 99.5), normalize(scan, "percentile", 0.5, 99.5), atol=1e-4
    )


def test_scans_of_few_values():
    assert (normalize(np.full((2, 2, 2), 3.0, np.float32), "percentile", 1, 99) == -1).all()
    two = np.zeros((2, 4, 4), np.float32)
    two[1] = 5
    assert set(np.unique(normalize(two, "percentile", 1, 99))) == {-1.0, 1.0}


@pytest.mark.parametrize(("rule", "low", "high"), [("zscore", 0, 1), ("window", 5, 5), ("percentile", 99, 1)])
def test_rules_that_cannot_be(rule, low, high):
    with pytest.raises(ConfigurationError):
        normalize(np.zeros((1, 1, 1), np.float32), rule, low, high)
