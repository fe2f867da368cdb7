from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from darnet.networks import group_norm as module
from darnet.networks.dar_unet import DARUNet
from darnet.networks.group_norm import group_norm, normalize, run_layers

LAST = torch.channels_last_3d


@pytest.fixture(autouse=True)
def also_small_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LEAST_VALUES", 1)
    monkeypatch.setattr(module, "_IN_CACHE", 300)


def feature(channels: int, *size: int, scale: float = 1.0, shift: float = 0.0, n: int = 1) -> torch.Tensor:
    values = np.random.default_rng(0).normal(shift, scale, (n, channels, *size)).astype(np.float32)
    return torch.from_numpy(values).contiguous(memory_format=LAST)


def norm_of(channels: int) -> nn.GroupNorm:
    norm = group_norm(channels)
    torch.manual_seed(1)
    with torch.no_grad():
        norm.weight.normal_()
        norm.bias.normal_()
    return norm


def normalised(x: torch.Tensor, norm: nn.GroupNorm, channels: slice = slice(None)) -> np.ndarray:
    size = norm.num_channels // norm.num_groups
    values = x.double().numpy()
    groups = values.reshape(len(values), -1, size, *values.shape[2:])
    mean = groups.mean((2, 3, 4, 5), keepdims=True)
    groups = (groups - mean) / np.sqrt(groups.var((2, 3, 4, 5), keepdims=True) + norm.eps)
    weight, bias = (p[channels].detach().double().numpy()[:, None, None, None] for p in (norm.weight, norm.bias))
    return groups.reshape(values.shape) * weight + bias


@given(
    st.sampled_from([8, 12, 16, 40]),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.floats(0.01, 100),
    st.floats(-20, 20),
)
def test_values_are_those_of_the_formula(channels, size, scale, shift):
    x, norm = feature(channels, *size, scale=scale, shift=shift * scale), norm_of(channels)
    expected = normalised(x, norm)
    with torch.no_grad():
        np.testing.assert_allclose(normalize(x, norm).numpy(), expected, atol=2e-3, rtol=1e-3)


def test_a_feature_of_one_value_becomes_the_bias():
    norm = norm_of(16)
    with torch.no_grad():
        found = normalize(torch.ones(1, 16, 4, 4, 4).contiguous(memory_format=LAST), norm)
    np.testing.assert_allclose(found[0, :, 0, 0, 0].numpy(), norm.bias.detach().numpy(), atol=1e-3)


@torch.no_grad()
def test_a_large_mean_leaves_no_negative_variance():
    for value in np.linspace(1000, 2000, 30):
        x = torch.full((1, 16, 4, 5, 7), float(value)).contiguous(memory_format=LAST)
        assert torch.isfinite(normalize(x, norm_of(16))).all()


@torch.no_grad()
def test_sums_of_many_values_are_double_precision():
    x, norm = feature(8, 16, 64, 64, shift=100.0), norm_of(8)
    np.testing.assert_allclose(normalize(x.clone(), norm).numpy(), normalised(x, norm), atol=1e-3)


@torch.no_grad()
def test_some_channels_are_normalised_with_their_own_scale():
    norm, x = norm_of(24), feature(16, 3, 5, 4)
    expected = normalised(x, norm, slice(8, 24))
    np.testing.assert_allclose(normalize(x, norm, slice(8, 24)).numpy(), expected, atol=1e-5)


@torch.no_grad()
def test_the_memory_of_one_sample_is_used():
    x = feature(16, 3, 5, 4)
    assert normalize(x, norm_of(16)).data_ptr() == x.data_ptr()


@pytest.mark.parametrize(
    "x",
    [
        feature(16, 3, 5, 4, n=2),
        feature(16, 3, 5, 4).double(),
        feature(16, 3, 5, 4).contiguous(),
    ],
    ids=["two samples", "double precision", "channels first"],
)
@torch.no_grad()
def test_other_features_keep_their_values(x):
    norm, before = norm_of(16).to(x.dtype), x.clone()
    np.testing.assert_allclose(normalize(x, norm).numpy(), normalised(x, norm), atol=1e-5)
    assert torch.equal(x, before)


def test_where_gradients_are_wanted_the_input_is_kept():
    x, norm = feature(16, 3, 5, 4).requires_grad_(), norm_of(16)
    assert torch.equal(normalize(x, norm), norm(x))


@torch.no_grad()
def test_layers_lose_their_input_only_where_they_may():
    layers = nn.Sequential(norm_of(16), nn.LeakyReLU(0.01, inplace=True), nn.Conv3d(16, 16, 1), norm_of(16))
    x = feature(16, 3, 5, 4)
    before, expected = x.clone(), layers(x)
    torch.testing.assert_close(run_layers(layers, x), expected)
    assert torch.equal(x, before)
    torch.testing.assert_close(run_layers(layers, x, own=True), expected)
    assert not torch.equal(x, before)


@pytest.mark.parametrize("voxel_attention", [True, False])
@pytest.mark.parametrize("deep_supervision", [True, False])
@pytest.mark.parametrize("quartet_attention", [True, False])
def test_a_network_gives_the_same_with_and_without_gradients(
    voxel_attention, deep_supervision, quartet_attention, monkeypatch
):
    in_place = []
    rows = module._normalize_rows
    monkeypatch.setattr(module, "_normalize_rows", lambda *args: in_place.append(rows(*args)))
    torch.manual_seed(0)
    network = DARUNet(
        channels=(8, 16, 24),
        strides=((1, 2, 2), (2, 2, 2)),
        voxel_attention=voxel_attention,
        quartet_attention=quartet_attention,
        deep_supervision=deep_supervision,
    ).eval()
    network.to(memory_format=LAST)
    x = torch.randn(1, 1, 4, 16, 16)
    kept = x.clone()
    expected = network(x)
    assert not in_place
    for _ in range(2):
        with torch.no_grad():
            torch.testing.assert_close(network(x), expected, atol=1e-5, rtol=1e-4)
    assert len(in_place) >= 2 * 3 * 5  # skips, and two norms of each body, of five blocks
    assert torch.equal(x, kept)
