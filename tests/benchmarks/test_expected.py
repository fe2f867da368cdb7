"""What is expected of target scans is compared with their labels, which change nothing of it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.expected import as_table, measure
from darnet.io import CaseStore, write_new_image, write_new_labels
from tests.cases import write_case

SHAPE = (6, 40, 44)
CUBE, ROD = (slice(1, 5), slice(8, 24), slice(8, 24)), (slice(1, 5), slice(26, 30), slice(30, 34))


@pytest.fixture
def labels():
    out = np.zeros(SHAPE, np.uint8)
    out[CUBE], out[ROD] = 1, 2
    return out


def scan_of(seed, cube):
    image = np.full(SHAPE, -1.0, np.float32)
    image[:, 2:-2, 2:-2] = np.random.default_rng(seed).uniform(-0.5, 0.5, (6, 36, 40))
    image[CUBE] = cube
    return image


@pytest.fixture
def layout(small_layout, labels):
    for seed, name in enumerate(("a", "b")):
        write_case(CaseStore(small_layout.cases("source")), name, scan_of(seed, 0.7)[None], labels)
        write_case(CaseStore(small_layout.cases("target")), f"t{name}", scan_of(5 + seed, -0.7)[None])
    for part in ("imagesTs", "labelsTs"):
        (small_layout.raw / part).mkdir(parents=True)
    affine = np.diag([1.0, 1.0, 3.0, 1.0])
    raw = np.rint(400 * (scan_of(9, -0.7) + 1)).transpose(2, 1, 0)
    write_new_image(small_layout.raw / "imagesTs" / "x_0000.nii.gz", raw, affine)
    write_new_labels(small_layout.raw / "labelsTs" / "x.nii.gz", labels.transpose(2, 1, 0), affine)
    return small_layout


def test_the_dark_class_is_expected_dark_and_is(layout):
    first, second = measure("7", layout.root)
    assert (first["class"], second["class"]) == ("cube", "rod")
    assert max(first["expected"]) < 0.4 and len(first["true"]) == 1 and first["true"][0] < 0.3


def test_other_labels_of_test_scans_change_nothing_of_what_is_expected(layout, labels):
    before = [row["expected"] for row in measure("7", layout.root)]
    path = layout.raw / "labelsTs" / "x.nii.gz"
    path.unlink()
    write_new_labels(path, np.roll(labels, 5, 2).transpose(2, 1, 0), np.diag([1.0, 1.0, 3.0, 1.0]))
    assert [row["expected"] for row in measure("7", layout.root)] == before


def test_a_class_that_places_do_not_tell_is_named():
    rows = [
        {"class": "right_kidney", "expected": [0.5, 0.75, 0.9], "true": [0.6, 0.8]},
        {"class": "tumour", "expected": None, "true": []},
    ]
    assert as_table(rows).splitlines()[2:] == [
        "| right kidney | 0.50, 0.75, 0.90 | 0.70 | 0.60, 0.80 |",
        "| tumour | not told | - | - |",
    ]
