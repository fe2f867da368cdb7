from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from darnet.demo.anatomy import LABELS, Tissue, draw_anatomy, organ_labels, smooth_field

SHAPE, SPACING = (34, 96, 96), (6.0, 3.0, 3.0)
ORGANS = {name: value for name, value in LABELS.items() if value}


@pytest.fixture(scope="module")
def anatomies() -> list[np.ndarray]:
    return [draw_anatomy(np.random.default_rng((5, n)), SHAPE, SPACING) for n in range(6)]


def test_every_tissue_has_a_label():
    labels = organ_labels(np.arange(len(Tissue), dtype=np.uint8))
    assert labels.dtype == np.uint8
    expected = {
        Tissue.LIVER: 1,
        Tissue.LIVER_VESSEL: 1,
        Tissue.RIGHT_KIDNEY: 2,
        Tissue.RIGHT_PELVIS: 2,
        Tissue.LEFT_KIDNEY: 3,
        Tissue.LEFT_PELVIS: 3,
        Tissue.SPLEEN: 4,
    }
    assert [int(labels[t]) for t in Tissue] == [expected.get(t, 0) for t in Tissue]


def test_organs_have_the_size_of_organs(anatomies: list[np.ndarray]):
    """Millilitres, wide enough for every body that may be drawn."""
    limits = {"liver": (400, 2000), "right_kidney": (30, 260), "left_kidney": (30, 260), "spleen": (50, 450)}
    for tissue in anatomies:
        labels = organ_labels(tissue)
        for name, value in ORGANS.items():
            volume = (labels == value).sum() * np.prod(SPACING) / 1000
            assert limits[name][0] < volume < limits[name][1], name


def test_sides_are_those_of_the_body(anatomies: list[np.ndarray]):
    """W runs to the patient's left, D to the head, H to the back."""
    for tissue in anatomies:
        labels = organ_labels(tissue)
        centre = {name: ndimage.center_of_mass(labels == value) for name, value in ORGANS.items()}
        assert centre["liver"][2] < centre["spleen"][2]
        assert centre["right_kidney"][2] < centre["left_kidney"][2]
        assert centre["liver"][0] > centre["right_kidney"][0]
        assert centre["liver"][1] < ndimage.center_of_mass(tissue == Tissue.CORD)[1]


def test_organs_are_of_one_piece(anatomies: list[np.ndarray]):
    for tissue in anatomies:
        labels = organ_labels(tissue)
        for name, value in ORGANS.items():
            pieces, number = ndimage.label(labels == value, np.ones((3, 3, 3)))
            largest = np.bincount(pieces.ravel())[1:].max() if number else 0
            assert largest >= 0.9 * (labels == value).sum(), name


def test_body_lies_inside_the_field_of_view(anatomies: list[np.ndarray]):
    for tissue in anatomies:
        edges = (tissue[:, 0], tissue[:, -1], tissue[:, :, 0], tissue[:, :, -1])
        assert all((edge == Tissue.AIR).all() for edge in edges)


def test_same_seed_same_body_other_seed_other_body():
    first, again, other = (draw_anatomy(np.random.default_rng(s), (12, 40, 40), (16.0, 7.2, 7.2)) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.05


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 20, 17), (30, 4, 9)])
def test_smooth_field_has_any_shape(shape: tuple[int, int, int]):
    field = smooth_field(np.random.default_rng(0), shape, (2.0, 1.0, 1.0), 10.0)
    assert field.shape == shape
    assert field.dtype == np.float32
    assert np.isfinite(field).all()


def test_smooth_field_has_unit_spread_and_is_smooth():
    field = smooth_field(np.random.default_rng(0), (60, 90, 90), (1.0, 1.0, 1.0), 6.0)
    assert abs(field.mean()) < 0.15
    assert 0.85 < field.std() < 1.15
    assert np.abs(np.diff(field, axis=1)).max() < 0.6 * np.ptp(field) / 2
