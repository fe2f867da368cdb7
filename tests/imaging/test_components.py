"""Connected components against SciPy's, on small boxes above all."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from darnet.imaging import count_components, keep_largest
from darnet.imaging.components import large_components, largest_fraction, numbered_components

TOUCHING = {6: 1, 26: 3}


def lattice(*shape):
    """Every other voxel: none touches another."""
    mask = np.zeros(shape, bool)
    mask[::2, ::2, ::2] = True
    return mask


@pytest.mark.parametrize("shape", [(1, 1, 3), (3, 3, 3), (1, 7, 9), (5, 1, 1), (1, 1, 1)])
def test_single_voxels_that_fill_a_box(shape):
    mask = lattice(*shape)
    assert count_components(mask) == mask.sum()
    assert largest_fraction(mask) == pytest.approx(1 / mask.sum())
    assert keep_largest(mask.astype(np.uint8), (1,)).sum() == 1
    np.testing.assert_array_equal(large_components(mask, 1.0), mask)


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("connectivity", [6, 26])
def test_components_are_those_of_scipy(seed, connectivity):
    rng = np.random.default_rng(seed)
    mask = rng.random(rng.integers(1, 9, 3)) < rng.choice([0.05, 0.2, 0.5])
    numbered, count = ndimage.label(mask, ndimage.generate_binary_structure(3, TOUCHING[connectivity]))
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)[1:]
    components, voxels, _ = numbered_components(mask, connectivity)
    np.testing.assert_array_equal(components > 0, mask)
    pairs = np.unique([numbered[mask], components[mask]], axis=1)
    assert pairs.shape[1] == count == len(voxels)
    assert {int(a): sizes[a - 1] for a, _ in pairs.T} == {int(a): voxels[b - 1] for a, b in pairs.T}
    if connectivity == 6:
        kept = large_components(mask, 0.5)
        np.testing.assert_array_equal(kept, np.isin(numbered, 1 + np.flatnonzero(sizes * 2 >= sizes.max(initial=0))))
        return
    assert count_components(mask) == count
    found = keep_largest(mask.astype(np.uint8), (1,)) == 1
    assert found.shape == mask.shape
    assert found.sum() == (sizes.max() if count else 0)
    assert not count or len(np.unique(numbered[found])) == 1


def test_a_class_of_two_single_voxels():
    labels = np.zeros((40, 40, 20), np.uint8)
    labels[10, 12, 5] = labels[12, 12, 5] = 2
    assert keep_largest(labels, (2,)).sum() == 2
