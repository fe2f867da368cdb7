"""The picture of a volume in all its styles."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest

from darnet.imaging import colour_of
from darnet.synthesis.pictures import draw_styles


def pixels_of(path, colour):
    """How many pixels have about a colour, "#RRGGBB"."""
    picture = matplotlib.image.imread(path)[..., :3]
    wanted = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return int((np.abs(picture - wanted).max(axis=2) < 0.1).sum())


@pytest.fixture
def volumes():
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (1, 12, 32, 32)), rng.uniform(-1, 1, (2, 12, 32, 32))


def test_outlines_of_labels_in_all_columns(tmp_path, volumes):
    labels = np.zeros((12, 32, 32), np.uint8)
    labels[1:4, 8:20, 8:20] = 1
    labels[2:3, 22:28, 22:28] = 2
    draw_styles(*volumes, tmp_path / "with.png", labels, "ct_01")
    draw_styles(*volumes, tmp_path / "without.png")
    for label in (1, 2):
        assert pixels_of(tmp_path / "with.png", colour_of(label)) > 50
        assert pixels_of(tmp_path / "without.png", colour_of(label)) == 0
    one = tmp_path / "one.png"
    draw_styles(volumes[0], volumes[1][:0], one, labels)
    assert 3 * pixels_of(one, colour_of(1)) == pytest.approx(pixels_of(tmp_path / "with.png", colour_of(1)), rel=0.3)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_thin_volumes_and_labels_on_one_plane(tmp_path, volumes, depth):
    labels = np.zeros((depth, 32, 32), np.uint8)
    labels[-1, 4:9, 4:9] = 1
    draw_styles(volumes[0][:, :depth], volumes[1][:, :depth], tmp_path / "styles.png", labels)
    assert pixels_of(tmp_path / "styles.png", colour_of(1)) > 20
