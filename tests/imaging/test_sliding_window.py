from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from darnet.errors import ConfigurationError, DataError
from darnet.imaging import gaussian_weights, sliding_planes, window_starts


def whole(*args, **options):
    """All planes together."""
    return torch.cat(list(sliding_planes(*args, **options)), 1)


@pytest.mark.parametrize(
    ("size", "patch", "step", "expected"),
    [(10, 10, 0.5, [0]), (4, 10, 0.5, [0]), (20, 10, 0.5, [0, 5, 10]), (30, 10, 1, [0, 10, 20])],
)  # fmt: skip
def test_starts(size, patch, step, expected):
    assert window_starts(size, patch, step) == expected


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 200), st.integers(1, 64), st.floats(0.1, 1))
def test_windows_cover_everything(size, patch, step):
    starts = window_starts(size, patch, step)
    assert starts[0] == 0
    assert starts[-1] == max(size - patch, 0)
    assert all(b - a <= max(1, round(patch * step) + 1) for a, b in zip(starts, starts[1:], strict=False))


@pytest.mark.parametrize("step", [0, -1, 1.01])
def test_wrong_steps(step):
    with pytest.raises(ConfigurationError):
        window_starts(10, 5, step)


def test_weights_are_gaussian():
    weights = gaussian_weights((4, 8, 6)).numpy()
    axes = [np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in (4, 8, 6)]
    expected = axes[0][:, None, None] * axes[1][:, None] * axes[2]
    np.testing.assert_allclose(weights, np.maximum(expected / expected.max(), 1e-4), rtol=1e-5)


@pytest.mark.parametrize("average", ["probabilities", "logits"])
@pytest.mark.parametrize("shape", [(3, 5, 6), (8, 8, 8), (13, 9, 17)])
def test_a_network_that_sees_one_voxel_gives_its_own_values(shape, average):
    image = torch.from_numpy(np.random.default_rng(0).normal(size=(1, *shape)).astype(np.float32))

    def network(patches):
        return torch.cat((patches, -patches, 0.5 * patches), 1)

    found = whole(image, network, (8, 8, 8), 3, average=average, batch_size=2)
    expected = torch.cat((image, -image, 0.5 * image)).softmax(0)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_overlaps_are_weighted():
    values = iter([0.0, 2.0])

    def network(patches):
        value = next(values)
        return torch.stack([torch.full((4, 4, 4), value), torch.zeros(4, 4, 4)])[None]

    found = whole(torch.zeros(1, 4, 4, 6), network, (4, 4, 4), 2, average="logits")[0].numpy()
    axis = np.exp(-0.5 * ((np.arange(4) - 1.5) / 0.5) ** 2)
    weights = axis[:, None, None] * axis[:, None] * axis
    weights = np.maximum(weights / weights.max(), 1e-4)
    total, share = np.zeros((4, 4, 6)), np.zeros((4, 4, 6))
    for start, value in ((0, 0.0), (2, 2.0)):
        total[..., start : start + 4] += weights * value
        share[..., start : start + 4] += weights
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-total / share)), atol=1e-5)


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_planes_come_as_soon_as_they_are_done(average):
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.normal(size=(1, 19, 6, 9)).astype(np.float32))
    patch, calls = (8, 8, 8), 0

    def network(patches):
        nonlocal calls
        calls += 1
        generator = torch.Generator().manual_seed(calls)
        return torch.cat((patches, torch.randn(patches.shape, generator=generator)), 1)

    arrived = []
    blocks = []
    for block in sliding_planes(image, network, patch, 2, average=average):
        arrived.append(calls)
        blocks.append(block)
    # D starts 0, 4, 7, 11 with two windows each along W: the first window of a row sends off the planes before it.
    assert window_starts(19, 8, 0.5) == [0, 4, 7, 11]
    assert arrived == [3, 5, 7, 8]
    assert [block.shape[1] for block in blocks] == [4, 3, 4, 8]

    calls = 0
    total, share = np.zeros((2, 19, 8, 9)), np.zeros((19, 8, 9))
    padded = torch.nn.functional.pad(image, (0, 0, 1, 1), value=-1.0)
    weights = gaussian_weights(patch).numpy().astype(float)
    for d in (0, 4, 7, 11):
        for w in (0, 1):
            logits = network(padded[None, :, d : d + 8, :, w : w + 8])[0]
            total[:, d : d + 8, :, w : w + 8] += (
                weights * (logits if average == "logits" else logits.softmax(0)).numpy()
            )
            share[d : d + 8, :, w : w + 8] += weights
    mean = (total / share)[:, :, 1:7]
    expected = np.exp(mean) / np.exp(mean).sum(0) if average == "logits" else mean
    np.testing.assert_allclose(torch.cat(blocks, 1).numpy(), expected, atol=1e-5)


def test_progress_counts_all_windows():
    seen = []
    whole(
        torch.zeros(1, 8, 8, 12), lambda x: torch.cat((x, x), 1), (8, 8, 8), 2, batch_size=1,
        progress=lambda done, of: seen.append((done, of)),
    )  # fmt: skip
    assert seen == [(1, 2), (2, 2)]


def test_outputs_that_cannot_be_used():
    image = torch.zeros(1, 4, 4, 4)
    with pytest.raises(DataError, match="not finite"):
        whole(image, lambda x: torch.full((1, 2, 4, 4, 4), float("nan")), (4, 4, 4), 2)
    with pytest.raises(ConfigurationError, match="shape"):
        whole(image, lambda x: x, (4, 4, 4), 2)
    with pytest.raises(ConfigurationError, match="average"):
        whole(image, lambda x: torch.cat((x, x), 1), (4, 4, 4), 2, average="median")
