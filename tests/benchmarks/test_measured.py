"""Labels are spoilt as the benchmark says, and the table says what is measured from them."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.measured import SPOILS, as_table, measure, moved, spoil
from darnet.io import CaseStore
from tests.cases import write_case


@pytest.fixture
def organ():
    mask = np.zeros((10, 40, 40), bool)
    mask[3:7, 12:24, 14:26] = True
    return mask


def test_a_moved_label_keeps_its_shape(organ):
    there = moved(organ, np.array([1.2, -3.6, 2.0]))
    np.testing.assert_array_equal(there[4:8, 8:20, 16:28], True)
    assert there.sum() == organ.sum()


@pytest.mark.parametrize("seed", range(5))
def test_labels_are_spoilt_in_each_way(organ, seed):
    as_it_is, elsewhere, grown, doubled = (spoil(organ, kind, np.random.default_rng(seed)) for kind in SPOILS)
    np.testing.assert_array_equal(as_it_is, organ)
    assert 0 < (elsewhere & organ).sum() < organ.sum() == elsewhere.sum()
    assert (grown & organ).sum() == organ.sum() < grown.sum()
    assert (doubled & organ).sum() == organ.sum() < doubled.sum() <= 2 * organ.sum()


def test_a_table_of_a_small_data_set(organ, small_layout):
    rng = np.random.default_rng(0)
    image = rng.uniform(-0.9, 0.2, organ.shape)
    image[organ] = rng.normal(0.7, 0.05, int(organ.sum()))
    value = 1
    write_case(CaseStore(small_layout.cases("source")), "a", image[None], np.where(organ, value, 0).astype(np.uint8))
    rows = measure("7", small_layout.root)
    assert [row["label"] for row in rows] == list(SPOILS)
    assert rows[0]["median"] == 0 and rows[0]["excess"] < 0.02
    assert rows[2]["excess"] < 0.05 < rows[2]["median"]
    assert as_table(rows).splitlines()[2].startswith("| as it is | 1.000 | 0.000 |")
