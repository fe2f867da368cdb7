"""Depth below the surface of the body: against distances to all voxels of air, one by one."""

from __future__ import annotations

import numpy as np
import pytest

from darnet.imaging import depth_in_planes

SHAPE, SPACING = (40, 48), (2.0, 1.5)
H, W = np.meshgrid(np.arange(SHAPE[0]) * SPACING[0], np.arange(SHAPE[1]) * SPACING[1], indexing="ij")
DISC = np.hypot(H - 40, W - 36) < 25


def by_hand(body, cut=()):
    """Distance of each voxel of a plane to the nearest one of air, which lies beyond all edges that are not cut."""
    rows, columns = np.arange(-1, SHAPE[0] + 1), np.arange(-1, SHAPE[1] + 1)
    air = [(h, w) for h, w in np.argwhere(~body)]
    air += [(h, w) for h, edge in ((-1, "top"), (SHAPE[0], "bottom")) if edge not in cut for w in columns]
    air += [(h, w) for w, edge in ((-1, "left"), (SHAPE[1], "right")) if edge not in cut for h in rows]
    points = np.argwhere(np.ones(SHAPE)) * SPACING
    nearest = np.linalg.norm(points[:, None] - np.array(air) * SPACING, axis=-1).min(1).reshape(SHAPE)
    return np.where(body, nearest, 0)


@pytest.mark.parametrize(
    ("body", "cut"),
    [
        (DISC, ()),
        (W < 30, ("left",)),
        (DISC | (abs(H - 40) < 12), ()),
        (DISC | (abs(H - 40) < 32), ("left", "right")),
    ],
)
def test_distances_are_those_to_the_nearest_air(body, cut):
    depth = depth_in_planes(body[None], SPACING)
    assert depth.shape == (1, *SHAPE) and depth.dtype == np.float32
    np.testing.assert_allclose(depth[0], by_hand(body, cut), atol=1e-4)


def test_dark_parts_within_the_body_are_no_surface():
    lung = DISC & ~(np.hypot(H - 44, W - 30) < 9)
    np.testing.assert_allclose(depth_in_planes(lung[None], SPACING), depth_in_planes(DISC[None], SPACING))


def test_a_gap_in_the_skin_is_closed():
    gap = DISC & ~((H < 40) & (abs(W - 36) < 2.5))
    closed, whole = (depth_in_planes(body[None], SPACING)[0] for body in (gap, DISC))
    assert whole[16, 24] > 15 and gap.sum() < DISC.sum()
    np.testing.assert_allclose(closed[16, 20:29], whole[16, 20:29], atol=4.0)


def test_planes_stand_alone():
    body = np.stack([DISC, np.ones_like(DISC), np.zeros_like(DISC)])
    depth = depth_in_planes(body, SPACING)
    np.testing.assert_allclose(depth[0], by_hand(DISC), atol=1e-4)
    assert np.isinf(depth[1]).all() and not depth[2].any()
