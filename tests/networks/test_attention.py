from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.autograd import gradcheck

from darnet.networks.attention import (
    AttentionGate,
    QuartetAttention,
    VoxelAttention,
    group_norm,
)
from darnet.networks.gating import multiply_by_gates, z_pools

TOLERANCE = 1e-4
EPS = 1e-5

LAYOUTS = (torch.contiguous_format, torch.channels_last_3d)

# The permuted inputs of the paper: X, X^d (D, C, H, W), X^h (H, C, D, W), X^w (W, C, D, H).
PERMUTATIONS = ((0, 1, 2, 3), (1, 0, 2, 3), (2, 0, 1, 3), (3, 0, 1, 2))


def attention_input(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def correlate_volumes(x: np.ndarray, weight: np.ndarray, bias: np.ndarray | None = None) -> np.ndarray:
    out = np.zeros((len(x), len(weight), *x.shape[2:]))
    for n in range(len(x)):
        for o in range(len(weight)):
            for c in range(x.shape[1]):
                out[n, o] += ndimage.correlate(x[n, c].astype(float), weight[o, c].astype(float), mode="constant")
            out[n, o] += 0.0 if bias is None else bias[o]
    return out


def correlate_by_loops(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    k = weight.shape[-1]
    padded = np.pad(x, [(0, 0)] + [(k // 2, k // 2)] * 3)
    out = np.zeros(x.shape[1:])
    for index in np.ndindex(out.shape):
        d, h, w = index
        out[index] = (padded[:, d : d + k, h : h + k, w : w + k] * weight).sum()
    return out


def logistic(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def leaky(x: np.ndarray, slope: float = 0.01) -> np.ndarray:
    return np.where(x > 0, x, slope * x)


def group_normalised(x: np.ndarray, groups: int, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    n, c = x.shape[:2]
    flat = x.reshape(n, groups, -1).astype(float)
    flat = (flat - flat.mean(2, keepdims=True)) / np.sqrt(flat.var(2, keepdims=True) + EPS)
    shape = (1, c, 1, 1, 1)
    return flat.reshape(x.shape) * weight.reshape(shape) + bias.reshape(shape)


def randomise_weights(module: torch.nn.Module, seed: int = 1) -> None:
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.3)


def numpy_weights(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy().copy() for name, tensor in module.state_dict().items()}


def gated_branch(permuted: np.ndarray, weights: dict[str, np.ndarray], prefix: str, training: bool) -> np.ndarray:
    pooled = np.stack((permuted.max(1), permuted.mean(1)), axis=1)
    score = correlate_volumes(pooled, weights[prefix + "conv.weight"])
    if prefix + "norm.weight" in weights:
        mean, variance = weights[prefix + "norm.running_mean"], weights[prefix + "norm.running_var"]
        if training:
            mean, variance = score.mean(), score.var()
        score = (score - mean) / np.sqrt(variance + EPS)
        score = score * weights[prefix + "norm.weight"] + weights[prefix + "norm.bias"]
    return permuted * logistic(score)


def quartet_oracle(x: np.ndarray, weights: dict[str, np.ndarray], training: bool) -> np.ndarray:
    total = np.zeros(x.shape)
    for branch, order in enumerate(PERMUTATIONS):
        axes = (0, *(a + 1 for a in order))
        refined = gated_branch(x.transpose(axes), weights, f"gates.{branch}.", training)
        total += refined.transpose(np.argsort(axes))
    return total / 4


def test_z_pool_value_table():
    x = torch.tensor([[[1.0, 5.0], [3.0, -7.0]]]).reshape(1, 2, 1, 1, 2)
    assert z_pools(x)[0].flatten().tolist() == [3.0, 5.0, 2.0, -1.0]
    assert z_pools(x)[3].flatten().tolist() == [5.0, 3.0, 3.0, -2.0]


@pytest.mark.parametrize("axis", [1, 2, 3, 4])
def test_z_pool_keeps_the_order_of_the_other_axes(axis):
    x = attention_input(2, 16, 4, 5, 24)
    moved = np.moveaxis(x, axis, 1)
    for layout in LAYOUTS:
        pooled = z_pools(torch.from_numpy(x).contiguous(memory_format=layout))[axis - 1].numpy()
        assert pooled.shape == (2, 2, *moved.shape[2:])
        np.testing.assert_allclose(pooled[:, 0], moved.max(1), atol=TOLERANCE)
        np.testing.assert_allclose(pooled[:, 1], moved.mean(1), atol=TOLERANCE)


def gradient_input(layout: torch.memory_format, seed: int = 0) -> torch.Tensor:
    x = torch.from_numpy(attention_input(2, 3, 2, 4, 5, seed=seed)).double()
    return x.contiguous(memory_format=layout).requires_grad_()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_are_those_of_finite_differences(layout):
    x = gradient_input(layout)
    assert gradcheck(z_pools, (x,))
    gates = [pooled[:, :1].detach().clone().requires_grad_() for pooled in z_pools(gradient_input(layout, seed=1))]
    assert gradcheck(lambda x, *gates: multiply_by_gates(x, gates), (x, *gates))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_equal_maxima_share_their_gradient(layout):
    x = torch.zeros(1, 2, 3, 4, 5).contiguous(memory_format=layout).requires_grad_()
    for axis, pooled in enumerate(z_pools(x), start=1):
        (gradient,) = torch.autograd.grad(pooled[:, 0].sum(), x, retain_graph=True)
        torch.testing.assert_close(gradient, torch.full_like(x, 1 / x.shape[axis]))


def test_correlation_oracles_agree():
    x, weight = attention_input(2, 4, 3, 5), attention_input(2, 3, 3, 3, seed=1)
    np.testing.assert_allclose(correlate_volumes(x[None], weight[None])[0, 0], correlate_by_loops(x, weight), atol=1e-6)


@pytest.mark.parametrize("norm", [True, False])
def test_gate_in_eval_mode(norm):
    gate = AttentionGate(7, norm).eval()
    randomise_weights(gate)
    x = attention_input(2, 3, 4, 5, 6)
    pooled = np.stack((x.max(1), x.mean(1)), axis=1)
    expected = gated_branch(x, numpy_weights(gate), "", training=False) / x
    found = gate(torch.from_numpy(pooled)).detach().numpy()
    assert found.shape == (2, 1, 4, 5, 6)
    np.testing.assert_allclose(np.broadcast_to(found, x.shape), expected, atol=TOLERANCE)
    assert 0 < found.min() < found.max() < 1


def test_gate_updates_its_running_statistics_with_momentum_of_a_hundredth():
    gate = AttentionGate(3).train()
    randomise_weights(gate)
    before = numpy_weights(gate)
    pooled = attention_input(2, 2, 4, 5, 6)
    gate(torch.from_numpy(pooled))
    score = correlate_volumes(pooled, before["conv.weight"])
    mean = 0.99 * before["norm.running_mean"] + 0.01 * score.mean()
    variance = 0.99 * before["norm.running_var"] + 0.01 * score.var(ddof=1)
    np.testing.assert_allclose(gate.norm.running_mean.numpy(), mean, atol=1e-5)
    np.testing.assert_allclose(gate.norm.running_var.numpy(), variance, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("kernel_size", "norm"), [(7, True), (7, False), (3, True)])
def test_quartet_attention_permutes_gates_and_averages(kernel_size, norm, training):
    module = QuartetAttention(kernel_size, norm).train(training)
    randomise_weights(module)
    weights = numpy_weights(module)
    x = attention_input(2, 3, 4, 5, 6)
    found = module(torch.from_numpy(x)).detach().numpy()
    expected = quartet_oracle(x, weights, training)
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)
    # The branches differ, so an oracle with swapped gates must not fit.
    swapped = {name.replace("gates.1", "gates.x").replace("gates.2", "gates.1").replace("gates.x", "gates.2"): w
               for name, w in weights.items()}  # fmt: skip
    assert np.abs(found - quartet_oracle(x, swapped, training)).max() > 1e-2


def test_quartet_attention_with_zero_weights_halves_the_input():
    module = QuartetAttention(norm=False)
    for parameter in module.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.from_numpy(attention_input(1, 2, 3, 4, 5))
    torch.testing.assert_close(module(x), x / 2)


def test_quartet_attention_has_four_gates_without_bias():
    names = [name for name, _ in QuartetAttention(7, norm=False).named_parameters()]
    assert names == [f"gates.{i}.conv.weight" for i in range(4)]
    assert all(gate.conv.weight.shape == (1, 2, 7, 7, 7) for gate in QuartetAttention().gates)


@pytest.mark.parametrize(("channels", "groups"), [(8, 1), (16, 2), (64, 8), (12, 1), (3, 1), (1, 1)])
def test_groups_have_eight_channels_where_they_can(channels, groups):
    assert group_norm(channels).num_groups == groups


def voxel_oracle(
    encoder: np.ndarray, decoder: np.ndarray, w: dict[str, np.ndarray], stride: tuple[int, int, int], sigmoid: bool
) -> np.ndarray:
    def step(x: np.ndarray, name: str, groups: int) -> np.ndarray:
        x = leaky(group_normalised(x, groups, w[name + ".0.weight"], w[name + ".0.bias"]))
        return correlate_volumes(x, w[name + ".2.weight"], w[name + ".2.bias"])

    a = step(encoder, "encoder", encoder.shape[1] // 8)
    n, c, *size = a.shape
    blocks = [v for s, k in zip(size, stride, strict=True) for v in (s // k, k)]
    a = a.reshape(n, c, *blocks).max((3, 5, 7))
    b = step(decoder, "decoder", decoder.shape[1] // 8)
    attention = step(a + b, "map", decoder.shape[1] // 8)
    return decoder * (logistic(attention) if sigmoid else attention)


@pytest.mark.parametrize("sigmoid", [False, True])
@pytest.mark.parametrize("stride", [(1, 2, 2), (2, 2, 2)])
def test_voxel_attention(stride, sigmoid):
    module = VoxelAttention(8, 16, stride, sigmoid)
    randomise_weights(module)
    low = (2, 3, 4)
    encoder = attention_input(2, 8, *(n * s for n, s in zip(low, stride, strict=True)))
    decoder = attention_input(2, 16, *low, seed=3)
    found = module(torch.from_numpy(encoder), torch.from_numpy(decoder)).detach().numpy()
    expected = voxel_oracle(encoder, decoder, numpy_weights(module), stride, sigmoid)
    assert found.shape == decoder.shape
    np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=TOLERANCE)


def test_voxel_attention_uses_one_map_for_all_channels():
    module = VoxelAttention(8, 8, (1, 2, 2))
    decoder = torch.from_numpy(attention_input(1, 8, 2, 3, 4))
    encoder = torch.from_numpy(attention_input(1, 8, 2, 6, 8, seed=1))
    ratio = module(encoder, decoder) / decoder
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio), rtol=1e-3, atol=1e-4)
