"""Shares of the other side at borders are those that a blur of known weights gives."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.borders import BLURS, as_table, measure, other_side
from darnet.io import CaseStore
from tests.cases import write_case


@pytest.fixture
def organ():
    labels = np.zeros((6, 30, 30), np.uint8)
    labels[1:5, 8:20, 10:22] = 1
    return labels


@pytest.mark.parametrize("weight", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("contrast", [0.8, -1.3])
def test_share_of_a_border_that_is_blurred(weight, contrast):
    labels = np.zeros((2, 12, 12), np.uint8)
    labels[:, :, 6:] = 1
    profile = np.array([0, 0, 0, 0, 0, weight, 1 - weight, 1, 1, 1, 1, 1])
    image = np.broadcast_to(contrast * profile - 0.2, labels.shape)
    assert other_side(image, labels) == pytest.approx(weight)


def test_without_borders_there_is_no_share(organ):
    assert np.isnan(other_side(organ.astype(np.float32), np.zeros_like(organ)))


def test_a_table_of_a_small_data_set(organ, small_layout):
    rng, source = np.random.default_rng(0), CaseStore(small_layout.cases("source"))
    image = np.where(organ == 1, 0.4, -0.4)[None] + rng.normal(0, 0.03, (1, *organ.shape))
    write_case(source, "s1", image.astype(np.float32), organ)
    empty = np.full((1, *organ.shape), -1.0, np.float32)
    write_case(source, "s2", empty, np.zeros_like(organ))
    rows = measure("7", small_layout.root)
    assert {row["case"] for row in rows} == {"s1"}, "a scan that shows nothing is left out"
    means = [float(line.split("|")[2]) for line in as_table(rows).splitlines()[2:]]
    assert len(means) == 1 + len(BLURS)
    assert means[0] == pytest.approx(0, abs=0.01), "the scan itself has sharp borders"
    assert means[1] < 0.05 and sorted(means[1:]) == means[1:] and means[-1] > 0.2
