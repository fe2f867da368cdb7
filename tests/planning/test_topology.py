from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from darnet.networks import ContentDiscriminator, ImageDiscriminator
from darnet.planning.topology import (
    LEAST_MAP,
    LEAST_PLANES,
    determine_discriminator,
    determine_slice_size,
    determine_strides,
    determine_window,
    divisor,
    round_up,
)

HALF, PLANES = (2, 2, 2), (1, 2, 2)


@pytest.mark.parametrize(
    ("spacing", "depth", "expected"),
    [
        ((4.0, 1.0, 1.0), 32, (PLANES, PLANES, HALF, HALF)),
        ((5.0, 1.25, 1.25), 64, (PLANES, PLANES, HALF, HALF)),
        ((1.0, 1.0, 1.0), 128, (HALF, HALF, HALF, HALF)),
        ((1.9, 1.0, 1.0), 128, (HALF, HALF, HALF, HALF)),
        ((2.0, 1.0, 1.0), 128, (PLANES, HALF, HALF, HALF)),
        ((3.0, 1.0, 1.0), 128, (PLANES, HALF, HALF, HALF)),
        ((8.0, 1.0, 1.0), 128, (PLANES, PLANES, PLANES, HALF)),
        ((40.0, 1.0, 1.0), 128, (PLANES, PLANES, PLANES, PLANES)),
        # Stacks too thin to be halved as often.
        ((1.0, 1.0, 1.0), 4, (PLANES, PLANES, PLANES, PLANES)),
        ((1.0, 1.0, 1.0), 8, (HALF, PLANES, PLANES, PLANES)),
        ((1.0, 1.0, 1.0), 20, (HALF, HALF, PLANES, PLANES)),
        ((4.0, 1.0, 1.0), 8, (PLANES, PLANES, HALF, PLANES)),
        ((1.0, 1.0, 1.0), 3, (PLANES, PLANES, PLANES, PLANES)),
        # Planes finer than their pixels.
        ((1.0, 2.0, 2.0), 64, ((2, 1, 1), HALF, HALF, HALF)),
    ],
)
def test_strides(spacing, depth, expected):
    strides, why = determine_strides(spacing, depth)
    assert strides == expected
    assert why


@settings(max_examples=200, deadline=None, derandomize=True, database=None)
@given(
    spacing=st.tuples(st.floats(0.3, 12), st.floats(0.3, 3)),
    depth=st.integers(1, 200),
    levels=st.integers(1, 6),
)
def test_strides_keep_planes_and_cubes(spacing, depth, levels):
    through, plane = spacing
    strides, _ = determine_strides((through, plane, plane), depth, levels)
    assert len(strides) == levels
    now, planes = [through, plane, plane], depth
    for stride in strides:
        before = max(now) / min(now)
        now = [s * n for s, n in zip(now, stride, strict=True)]
        if stride[0] == 2:
            assert planes % 2 == 0
            planes //= 2
            assert planes >= LEAST_PLANES
        if depth > 2 ** (levels + 3) and depth % 2**levels == 0:
            # With planes enough, voxels never get further from cubes, but within a factor of two.
            assert max(now) / min(now) <= max(before, 2) * (1 + 1e-6)
    assert divisor(strides)[0] == depth // planes if depth % planes == 0 else True
    assert divisor(strides) == tuple(math.prod(s[a] for s in strides) for a in range(3))


@pytest.mark.parametrize(("size", "multiple", "expected"), [(1, 16, 16), (16, 16, 16), (17, 16, 32), (0, 4, 0)])
def test_round_up(size, multiple, expected):
    assert round_up(size, multiple) == expected


@pytest.mark.parametrize(
    ("planes", "expected"),
    [
        ((100.0, 120.5), (112, 128)),
        ((16.0, 3.0), (32, 32)),
        ((256.0, 256.1), (256, 272)),
    ],
)
def test_slice_size(planes, expected):
    size, why = determine_slice_size(planes)
    assert size == expected
    assert why


@pytest.mark.parametrize(
    ("size", "limit", "narrow", "expected", "reason"),
    [
        ((272, 224), None, (None, None), None, "as in the paper"),
        ((96, 80), 96, (None, None), None, "small enough"),
        ((112, 80), 96, (None, None), (96, 80), "at most 96 pixels along an axis, so"),
        ((272, 224), 96, (None, None), (96, 96), "at most 96 pixels along an axis, so"),
        # A domain that ends within the body.
        (
            (112, 144),
            96,
            (80.0, 79.2),
            (80, 72),
            "as much as both domains show, where scans of one end within the body",
        ),
        (
            (112, 144),
            None,
            (87.5, 144.0),
            (80, 144),
            "as much as both domains show, where scans of one end within the body",
        ),
        ((96, 80), 96, (50.0, None), (48, 80), "as much as both domains show, where scans of one end within the body"),
        ((272, 224), 96, (200.0, 224.0), (96, 96), "at most 96 pixels along an axis, so"),
        ((272, 224), 96, (80.0, None), (80, 96), "end within the body; at most 96 pixels along an axis, so"),
        ((96, 80), 96, (96.0, 80.0), None, "small enough"),
        ((272, 224), None, (20.0, 1.0), (32, 32), "end within the body"),
    ],
)
def test_window(size, limit, narrow, expected, reason):
    window, why = determine_window(size, limit, narrow)
    assert window == expected
    assert reason in why
    assert ("within the body" in why) == ("within the body" in reason)
    assert ("at most" in why) == ("at most" in reason)


@pytest.mark.parametrize("size", [(32, 32), (32, 160), (48, 48), (64, 112), (96, 80), (128, 128), (272, 256)])
@pytest.mark.parametrize(("layers", "scales"), [(5, 3), (4, 2), (1, 1), (5, 5)])
def test_no_map_of_a_discriminator_is_too_small(size, layers, scales):
    chosen, chosen_scales, content, _ = determine_discriminator(size, layers, scales)
    assert 1 <= chosen <= layers
    assert 1 <= chosen_scales <= scales
    with torch.no_grad():
        maps = ImageDiscriminator(2, chosen, chosen_scales)(torch.zeros(1, 1, *size))
        maps += ContentDiscriminator(2, content)(torch.zeros(1, 2, size[0] // 4, size[1] // 4))
    assert len(maps) == chosen_scales + 1
    assert min(n for scores in maps for n in scores.shape[2:]) >= LEAST_MAP


def test_large_slices_get_the_layers_of_the_paper():
    assert determine_discriminator((256, 256), 5, 3)[:3] == (5, 3, 3)
