from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from darnet.networks import DARUNet
from darnet.planning.memory import MIXED_PRECISION, SINGLE_PRECISION, largest_patch, parameters_of, predict_memory
from darnet.planning.topology import determine_strides, divisor

PAPER = (16, 32, 64, 128, 256)
STRIDES = ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))


def memory(patch=(32, 256, 256), batch=2, channels=PAPER, strides=STRIDES, value_bytes=SINGLE_PRECISION, classes=5):
    return predict_memory(patch, batch, channels, strides, value_bytes, classes)


@pytest.mark.parametrize(
    "larger",
    [
        {"patch": (36, 256, 256)},
        {"patch": (32, 272, 256)},
        {"patch": (32, 256, 272)},
        {"batch": 3},
        {"channels": (17, 32, 64, 128, 256)},
        {"channels": (16, 32, 64, 128, 257)},
        {"value_bytes": 8.0},
        {"classes": 6},
        {"strides": ((1, 2, 2), (1, 2, 2), (1, 2, 2), (2, 2, 2))},
    ],
)
def test_more_of_anything_takes_more_memory(larger):
    assert memory(**larger) > memory()


def test_the_patch_of_the_paper_takes_a_24_gb_device():
    assert 16 * 2**30 < memory(value_bytes=MIXED_PRECISION) < 24 * 2**30
    assert memory() > 24 * 2**30


@pytest.mark.parametrize(
    ("width", "measured_gb", "patch", "classes"),
    [(16, 2.63, (16, 96, 96), 5), (16, 4.14, (32, 96, 96), 5), (8, 1.42, (16, 96, 96), 5), (8, 0.64, (16, 64, 64), 16),
     (8, 0.8, (16, 48, 48), 60)],
)  # fmt: skip
def test_prediction_is_near_to_measured_peaks(width, measured_gb, patch, classes):
    # Measured by benchmarks/memory.py on the CPU.
    channels = tuple(width * 2**level for level in range(5))
    assert memory(patch=patch, channels=channels, classes=classes) / 2**30 == pytest.approx(measured_gb, rel=0.35)


def test_memory_of_patches_grows_with_their_voxels():
    weights = memory(patch=(0, 0, 0))
    assert memory(patch=(64, 256, 256)) - weights == pytest.approx(2 * (memory() - weights))


@pytest.mark.parametrize("channels", [PAPER, (8, 16, 32, 64, 128)])
def test_number_of_parameters(channels):
    network = DARUNet(1, 5, channels, STRIDES)
    assert parameters_of(channels) == pytest.approx(sum(p.numel() for p in network.parameters()), rel=0.5)


def choose(shape, limit=256, most=10**9, spacing=(4.0, 1.0, 1.0)):
    def fits(patch, strides):
        return patch[0] * patch[1] * patch[2] <= most

    return largest_patch(shape, limit, fits, lambda planes: determine_strides(spacing, planes)[0])


@pytest.mark.parametrize(
    ("shape", "limit", "most", "expected"),
    [
        ((32, 256, 256), 256, 10**9, (32, 256, 256)),
        ((32, 400, 300), 256, 10**9, (32, 256, 256)),
        ((30, 250, 200), 256, 10**9, (32, 256, 208)),
        ((64, 256, 256), 256, 32 * 256 * 256, (32, 256, 256)),
        ((10, 100, 100), 256, 10**9, (12, 112, 112)),
        ((1, 60, 60), 256, 10**9, (4, 64, 64)),
    ],
)
def test_largest_patch(shape, limit, most, expected):
    assert choose(shape, limit, most)[0] == expected


@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(
    shape=st.tuples(st.integers(1, 200), st.integers(8, 400), st.integers(8, 400)),
    most=st.integers(30_000, 4_000_000),
    ratio=st.floats(0.8, 9),
)
def test_patches_divide_and_fit(shape, most, ratio):
    patch, strides = choose(shape, 256, most, (ratio, 1.0, 1.0))
    assert all(p % d == 0 for p, d in zip(patch, divisor(strides), strict=True))
    # Below two voxels at the coarsest level planes are not cut further, whatever the limit.
    smallest = max(patch[1:]) <= 2 * max(divisor(strides)[1:])
    assert patch[0] * patch[1] * patch[2] <= most or smallest
    # Never more than padding beyond the volumes.
    assert all(p < max(n, 4) + max(d, 4) for p, n, d in zip(patch, shape, divisor(strides), strict=True))
    assert strides == determine_strides((ratio, 1.0, 1.0), patch[0])[0]
