from __future__ import annotations

import numpy as np
import pytest

from darnet.errors import DataError
from darnet.imaging import colour_of, cut_plane, label_colours, plane_of_most_labels, plane_views, render_surfaces

# A mark in each octant is found in the picture where a radiologist expects it.
AXES = [("S", "P", "L"), ("A", "I", "L"), ("R", "I", "P"), ("I", "A", "R"), ("L", "S", "A")]


def marked(axes, **body):
    """A volume with one bright voxel at the given ends of the body axes, such as S=True for the superior end."""
    index = []
    for code in axes:
        pair = next(p for p in ("SI", "AP", "LR") if code in p)
        positive = next(letter for letter in pair if letter in body or letter == pair[0])
        towards = positive if positive in body else pair.replace(positive, "")
        index.append(-1 if code == towards else 0)
    volume = np.zeros((4, 5, 6), np.uint8)
    volume[tuple(index)] = 1
    return volume, index


@pytest.mark.parametrize("axes", AXES)
def test_planes_lie_as_radiologists_expect(axes):
    # The superior, anterior, right corner of the body is at the top left of axial and coronal planes, and at the top
    # left (anterior) of sagittal ones.
    volume, index = marked(axes, S=True, A=True, R=True)
    for view, edges in zip(plane_views(axes), ("APRL", "SIRL", "SIAP"), strict=True):
        assert view.edges == tuple(edges)
        plane = cut_plane(volume, view, index[view.across])
        assert plane[0, 0] == 1
        assert plane.sum() == 1
        assert plane.shape == (volume.shape[view.rows], volume.shape[view.columns])


def test_axes_that_name_one_direction_twice_are_refused():
    with pytest.raises(DataError, match="do not name each body axis once"):
        plane_views(("S", "I", "L"))


def test_plane_of_most_labels():
    labels = np.zeros((6, 8, 8), np.uint8)
    axial = plane_views(("S", "P", "L"))[0]
    assert plane_of_most_labels(labels, axial) == 3
    labels[1, :4, :4] = 1
    assert plane_of_most_labels(labels, axial) == 1
    labels[4, :2, :1], labels[4, 4:5, :1] = 1, 2  # fewer voxels, but both classes
    assert plane_of_most_labels(labels, axial) == 4


def test_surfaces_are_seen_from_the_side_that_is_named():
    # Label 1 lies in front (anterior), label 2 behind it, label 3 at the patient's left.
    labels = np.zeros((12, 12, 12), np.uint8)
    labels[2:10, 1:4, 2:10], labels[2:10, 8:11, 2:10], labels[4:8, 5:7, 10:12] = 1, 2, 3
    axes, spacing = ("S", "P", "L"), (1.0, 1.0, 1.0)

    def shown(azimuth):
        picture = render_surfaces(labels, spacing, axes, azimuth, size=60)
        middle = picture[:, picture.shape[1] // 2]
        hues = middle[middle[:, 3] > 0][:, :3].astype(float)
        wanted = {n: label_colours(4)[n, :3].astype(float) for n in (1, 2, 3)}
        unit = hues.mean(axis=0) / np.linalg.norm(hues.mean(axis=0))
        return max(wanted, key=lambda n: unit @ wanted[n] / np.linalg.norm(wanted[n]))

    assert shown(0) == 1
    assert shown(180) == 2
    assert shown(90) == 3
    # The picture from behind shows the patient's left on the left.
    behind = render_surfaces((labels == 3).astype(np.uint8) + (labels == 1), spacing, axes, 180, size=60)
    assert behind[..., 3].any()


def test_surfaces_keep_true_proportions():
    labels = np.zeros((4, 20, 20), np.uint8)
    labels[:, 8:12, 5:15] = 1  # 40 mm high, 4 mm deep, 10 mm wide
    picture = render_surfaces(labels, (10.0, 1.0, 1.0), ("S", "P", "L"), 0, size=100)
    rows, columns = (np.flatnonzero(picture[..., 3].any(axis=axis)) for axis in (1, 0))
    assert (rows[-1] - rows[0]) / (columns[-1] - columns[0]) == pytest.approx(4, rel=0.25)


def test_nothing_to_see():
    assert not render_surfaces(np.zeros((3, 4, 5), np.uint8), (1, 1, 1), ("S", "P", "L"), 0, size=20).any()


def test_one_thin_voxel_is_seen():
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[4, 4, 4] = 1
    assert render_surfaces(labels, (1, 1, 1), ("S", "P", "L"), 30, size=20)[..., 3].any()


def test_colours_differ():
    colours = [colour_of(label) for label in range(1, 15)]
    assert len(set(colours)) == 14
    table = label_colours(3, opacity=1)
    assert table[0].tolist() == [0, 0, 0, 0]
    assert table[1].tolist() == [0xE6, 0x9F, 0x00, 255]
