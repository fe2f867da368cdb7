from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from darnet.networks import DARUNet, build_segmentation
from darnet.networks.convolution import Conv3d
from darnet.networks.dar_unet import ResidualBlock, UpBlock
from darnet.plans import SegmentationPlan

Weights = dict[str, np.ndarray]

SMALL = {"num_classes": 3, "channels": (8, 16, 24), "strides": ((1, 2, 2), (2, 2, 2))}


def small_unet(**changes: object) -> DARUNet:
    torch.manual_seed(0)
    return DARUNet(**{**SMALL, **changes})


def unet_input(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def jitter_buffers_and_norms(module: torch.nn.Module) -> Weights:
    generator = torch.Generator().manual_seed(5)
    for name, tensor in module.state_dict().items():
        if name.endswith("running_var"):
            tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
        elif tensor.ndim == 1 and tensor.is_floating_point():
            tensor.add_(torch.randn(tensor.shape, generator=generator) * 0.2)
    return {name: tensor.detach().numpy().astype(float) for name, tensor in module.state_dict().items()}


def part(weights: Weights, prefix: str) -> Weights:
    return {name.removeprefix(prefix + "."): w for name, w in weights.items() if name.startswith(prefix + ".")}


def numpy_convolution(x: np.ndarray, w: Weights, stride: tuple[int, int, int] = (1, 1, 1)) -> np.ndarray:
    weight = w["weight"]
    out = np.zeros((len(x), len(weight), *x.shape[2:]))
    for n, o, c in np.ndindex(len(x), len(weight), x.shape[1]):
        out[n, o] += ndimage.correlate(x[n, c], weight[o, c], mode="constant")
    if "bias" in w:
        out += w["bias"].reshape(1, -1, 1, 1, 1)
    return out[:, :, :: stride[0], :: stride[1], :: stride[2]]


def numpy_norm_and_activation(x: np.ndarray, w: Weights) -> np.ndarray:
    flat = x.reshape(len(x), x.shape[1] // 8, -1)
    flat = (flat - flat.mean(2, keepdims=True)) / np.sqrt(flat.var(2, keepdims=True) + 1e-5)
    y = flat.reshape(x.shape) * w["weight"].reshape(1, -1, 1, 1, 1) + w["bias"].reshape(1, -1, 1, 1, 1)
    return np.maximum(y, 0.01 * y)


def numpy_norm(x: np.ndarray, w: Weights) -> np.ndarray:
    y = numpy_norm_and_activation(x, w)
    return np.where(y < 0, y / 0.01, y)


def numpy_quartet(x: np.ndarray, w: Weights) -> np.ndarray:
    total = np.zeros(x.shape)
    for branch in range(4):
        pooled = np.stack((x.max(branch + 1), x.mean(branch + 1)), axis=1)
        gate, norm = part(w, f"gates.{branch}.conv"), part(w, f"gates.{branch}.norm")
        score = (numpy_convolution(pooled, gate) - norm["running_mean"]) / np.sqrt(norm["running_var"] + 1e-5)
        score = score * norm["weight"] + norm["bias"]
        total += x * np.expand_dims(1 / (1 + np.exp(-score[:, 0])), branch + 1)
    return total / 4


def numpy_residual(x: np.ndarray, w: Weights, stride: tuple[int, int, int], leading: bool) -> np.ndarray:
    skip = numpy_norm(numpy_convolution(x, part(w, "skip.0"), stride), part(w, "skip.1"))
    at = 0
    if leading:
        x, at = numpy_norm_and_activation(x, part(w, "body.0")), 2
    y = numpy_convolution(x, part(w, f"body.{at}"), stride)
    for norm in (at + 1, at + 4):
        y = numpy_convolution(numpy_norm_and_activation(y, part(w, f"body.{norm}")), part(w, f"body.{norm + 2}"))
    return numpy_quartet(y + skip, part(w, "attention"))


def numpy_transposed(x: np.ndarray, w: Weights, stride: tuple[int, int, int]) -> np.ndarray:
    # Each input voxel paints its kernel at stride * index - 1; what falls outside of the result is dropped.
    n, _, *size = x.shape
    full = np.zeros((n, w["weight"].shape[1], *(s * t + 3 for s, t in zip(size, stride, strict=True))))
    for d, h, v in np.ndindex(*size):
        corner = (d * stride[0], h * stride[1], v * stride[2])
        window = tuple(slice(c, c + 3) for c in corner)
        full[(slice(None), slice(None), *window)] += np.einsum("ni,ioxyz->noxyz", x[:, :, d, h, v], w["weight"])
    ends = [1 + s * t for s, t in zip(size, stride, strict=True)]
    return full[:, :, 1 : ends[0], 1 : ends[1], 1 : ends[2]] + w["bias"].reshape(1, -1, 1, 1, 1)


def numpy_voxel(encoder: np.ndarray, decoder: np.ndarray, w: Weights, stride: tuple[int, int, int]) -> np.ndarray:
    a = numpy_convolution(numpy_norm_and_activation(encoder, part(w, "encoder.0")), part(w, "encoder.2"))
    n, c, *size = a.shape
    a = a.reshape(n, c, *(v for s, t in zip(size, stride, strict=True) for v in (s // t, t))).max((3, 5, 7))
    b = numpy_convolution(numpy_norm_and_activation(decoder, part(w, "decoder.0")), part(w, "decoder.2"))
    return decoder * numpy_convolution(numpy_norm_and_activation(a + b, part(w, "map.0")), part(w, "map.2"))


def numpy_enlarge(x: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    # Linear with half-voxel centres; beyond the outermost centres the border value stays.
    for axis, wanted in enumerate(size, start=2):
        have = x.shape[axis]
        at = np.clip((np.arange(wanted) + 0.5) * have / wanted - 0.5, 0, have - 1)
        x = np.apply_along_axis(lambda line, at=at, have=have: np.interp(at, np.arange(have), line), axis, x)
    return x


def numpy_unet(x: np.ndarray, w: Weights, strides: tuple[tuple[int, int, int], ...]) -> list[np.ndarray]:
    """Fused result and side outputs."""
    features, size = [], x.shape[2:]
    for level, stride in enumerate(((1, 1, 1), *strides)):
        x = numpy_residual(x, part(w, f"encoder.{level}"), stride, level > 0)
        features.append(x)
    levels = [x]
    for index, stride in enumerate(reversed(strides)):
        own, encoder = part(w, f"decoder.{index}"), features[-2 - index]
        decoder = numpy_voxel(encoder, levels[0], part(own, "attention"), stride)
        decoder = numpy_transposed(decoder, part(own, "upsample"), stride)
        joined = np.concatenate((decoder, encoder), axis=1)
        levels.insert(0, numpy_residual(joined, part(own, "block"), (1, 1, 1), True))
    sides = [numpy_enlarge(numpy_convolution(f, part(w, f"heads.{i}")), size) for i, f in enumerate(levels)]
    return [numpy_convolution(np.concatenate(sides, axis=1), part(w, "fuse")), *sides]


def test_parameters_of_the_paper():
    assert sum(p.numel() for p in DARUNet(in_channels=1, num_classes=5).parameters()) == 17_749_025


def test_default_strides_and_widths():
    model = DARUNet()
    assert model.stride == (4, 16, 16)
    assert [head.in_channels for head in model.heads] == [16, 32, 64, 128, 256]


@pytest.mark.parametrize("stride", [(1, 1, 1), (1, 2, 2), (2, 2, 2)])
@pytest.mark.parametrize("leading", [True, False])
def test_residual_block(leading, stride):
    block = ResidualBlock(8, 16, stride, leading_norm=leading).eval()
    weights = jitter_buffers_and_norms(block)
    x = unet_input(2, 8, 4, 4, 6)
    expected = numpy_residual(x.numpy().astype(float), weights, stride, leading)
    np.testing.assert_allclose(block(x).detach().numpy(), expected, atol=1e-4)


@pytest.mark.parametrize("stride", [(1, 2, 2), (2, 2, 2), (1, 1, 1)])
def test_upsampling_by_transposed_convolution(stride):
    up = UpBlock(8, 16, stride).upsample
    x = unet_input(2, 8, 2, 3, 4)
    weights = {name: p.detach().numpy().astype(float) for name, p in up.named_parameters()}
    found = up(x).detach().numpy()
    assert found.shape[2:] == tuple(n * s for n, s in zip((2, 3, 4), stride, strict=True))
    np.testing.assert_allclose(found, numpy_transposed(x.numpy().astype(float), weights, stride), atol=1e-4)


def test_whole_network_against_numpy():
    model = small_unet().eval()
    weights = jitter_buffers_and_norms(model)
    x = unet_input(1, 1, 4, 8, 8)
    expected = numpy_unet(x.numpy().astype(float), weights, SMALL["strides"])
    with torch.no_grad():
        np.testing.assert_allclose(model(x).numpy(), expected[0], atol=1e-4)
        # Side outputs come in training mode only; batch norm alone must then stay as in eval mode.
        model.train()
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                module.eval()
        outputs = model(x)
    assert len(outputs) == 4
    for found, wanted in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(found.numpy(), wanted, atol=1e-4)


def test_five_levels_give_a_fused_and_five_side_outputs():
    model = DARUNet(num_classes=5, channels=(8, 8, 8, 8, 8))
    x = unet_input(2, 1, 4, 16, 32)
    outputs = model.train()(x)
    assert isinstance(outputs, tuple)
    assert [tuple(o.shape) for o in outputs] == [(2, 5, 4, 16, 32)] * 6
    fused = model.eval()(x)
    assert isinstance(fused, torch.Tensor)
    assert fused.shape == (2, 5, 4, 16, 32)


def test_without_deep_supervision_there_is_one_output_and_one_head():
    model = small_unet(deep_supervision=False)
    x = unet_input(2, 1, 4, 8, 8)
    assert model.train()(x).shape == model.eval()(x).shape == (2, 3, 4, 8, 8)
    assert len(model.heads) == 1
    assert not hasattr(model, "fuse")


@pytest.mark.parametrize(
    ("switch", "fragment"), [("quartet_attention", "gates"), ("voxel_attention", "decoder.0.attention.map")]
)
def test_attention_switches_remove_their_weights(switch, fragment):
    x = unet_input(1, 1, 4, 8, 8)
    on, off = small_unet().eval(), small_unet(**{switch: False}).eval()
    assert any(fragment in name for name in on.state_dict())
    assert not any(fragment in name for name in off.state_dict())
    kept = off.load_state_dict(on.state_dict(), strict=False)
    assert not kept.missing_keys
    assert not torch.allclose(on(x), off(x), atol=1e-3)


def test_quartet_norm_switch():
    names = small_unet(quartet_norm=False).state_dict()
    assert not any("gates.0.norm" in name for name in names)
    assert any("gates.0.norm" in name for name in small_unet().state_dict())


def test_voxel_sigmoid_switch():
    x = unet_input(1, 1, 4, 8, 8)
    plain, squashed = small_unet().eval(), small_unet(voxel_sigmoid=True).eval()
    squashed.load_state_dict(plain.state_dict())
    assert not torch.allclose(plain(x), squashed(x), atol=1e-3)


@pytest.mark.parametrize(
    ("strides", "product"), [(((2, 2, 2), (2, 2, 2)), (4, 4, 4)), (((1, 2, 2), (1, 1, 2)), (1, 2, 4))]
)
def test_strides(strides, product):
    model = small_unet(strides=strides).eval()
    assert model.stride == product
    assert model(unet_input(1, 1, *product)).shape[2:] == product


def test_number_of_strides_must_fit():
    with pytest.raises(ValueError, match="3 channels need 2 strides, got 1"):
        small_unet(strides=((1, 2, 2),))


@pytest.mark.parametrize("size", [(3, 8, 8), (4, 6, 8), (4, 8, 5)])
def test_patch_that_is_no_multiple_of_the_strides_is_refused(size):
    with pytest.raises(ValueError, match="not a multiple"):
        small_unet()(unet_input(1, 1, *size))


def test_gradients_reach_all_parameters():
    model = small_unet().train()
    outputs = model(unet_input(2, 1, 4, 8, 8))
    sum((o * unet_input(*o.shape, seed=i)).sum() for i, o in enumerate(outputs)).backward()
    silent = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert silent == []


def test_fused_output_alone_reaches_all_parameters():
    model = small_unet().train()
    fused = model(unet_input(2, 1, 4, 8, 8))[0]
    (fused * unet_input(*fused.shape, seed=1)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())


def test_input_stays_as_it_was():
    x = unet_input(1, 1, 4, 8, 8)
    before = x.clone()
    small_unet().eval()(x)
    assert torch.equal(x, before)


def test_network_from_a_plan():
    plan = SegmentationPlan(
        patch_size=(4, 8, 8),
        batch_size=2,
        channels=(8, 16),
        strides=((1, 2, 2),),
        quartet_attention=False,
        voxel_attention=True,
        deep_supervision=False,
    )
    model = build_segmentation(plan, 4).eval()
    assert model.stride == (1, 2, 2)
    assert model(unet_input(1, 1, 4, 8, 8)).shape == (1, 4, 4, 8, 8)
    assert not any("gates" in name for name in model.state_dict())
    assert any("map" in name for name in model.state_dict())


def test_samples_are_predicted_one_after_the_other_with_the_result_of_a_batch():
    unet, x = small_unet().eval(), unet_input(3, 1, 4, 8, 8)
    sizes: list[int] = []
    unet.encoder[0].register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    with torch.inference_mode():
        alone = unet(x)
    assert sizes == [1, 1, 1]
    for module in unet.modules():  # with the statistics of prediction, in one batch
        module.training = isinstance(module, DARUNet)
    together = unet(x)[0]
    assert sizes[3:] == [3]
    torch.testing.assert_close(alone, together, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("stride", "bias"), [((1, 1, 1), True), ((1, 2, 2), True), ((2, 2, 2), False)])
def test_convolution_of_a_single_sample_is_that_of_pytorch(stride, bias):
    torch.manual_seed(0)
    ours = Conv3d(3, 8, 3, stride=stride, padding=1, bias=bias)
    x = unet_input(1, 3, 4, 6, 8)
    expected = ours(x)  # with gradients: PyTorch's own
    for layout in (torch.contiguous_format, torch.channels_last_3d):
        with torch.inference_mode():
            torch.testing.assert_close(ours(x.contiguous(memory_format=layout)), expected, atol=1e-5, rtol=1e-5)
    assert expected.requires_grad


@pytest.mark.parametrize("channels", [(16, 8), (8, 8, 8), (24,), (12, 12)])  # the last: a group of both parts
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
@pytest.mark.parametrize("batch", [1, 2])
def test_joined_parts_give_what_their_concatenation_gives(channels, layout, batch):
    block, x = ResidualBlock(24, 8), unet_input(batch, 24, 4, 6, 8)
    jitter_buffers_and_norms(block.eval())
    weights = torch.randn(batch, 8, 4, 6, 8, generator=torch.Generator().manual_seed(3))
    x.requires_grad_()
    expected = block(x)
    expected_gradients = torch.autograd.grad((expected * weights).sum(), [x, *block.parameters()])

    parts = [part.contiguous(memory_format=layout) for part in x.split(channels, dim=1)]
    found = block.join(parts)
    assert parts == []
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    gradients = torch.autograd.grad((found * weights).sum(), [x, *block.parameters()])
    torch.testing.assert_close(gradients, expected_gradients, atol=1e-3, rtol=1e-4)
    with torch.inference_mode():
        parts = [part.clone(memory_format=layout) for part in x.split(channels, dim=1)]
        torch.testing.assert_close(block.join(parts), expected, atol=1e-5, rtol=1e-5)
