from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from darnet.losses import content_segmentation_loss, dice_focal, focal_loss, segmentation_loss, soft_dice_loss


def outputs_and_target(count: int, classes: int = 3) -> tuple[list[torch.Tensor], torch.Tensor]:
    rng = np.random.default_rng(count)
    outputs = [torch.from_numpy(rng.normal(0, 2, (2, classes, 2, 3, 4)).astype(np.float32)) for _ in range(count)]
    return outputs, torch.from_numpy(rng.integers(0, classes, (2, 2, 3, 4)))


def numpy_loss(logits: torch.Tensor, target: torch.Tensor, weight: float, gamma: float) -> float:
    z, labels = logits.numpy().astype(float), target.numpy()
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    y = np.stack([labels == k for k in range(z.shape[1])], axis=1).astype(float)
    axes = (0, 2, 3, 4)
    dice = (2 * (p * y).sum(axes) / ((p**2).sum(axes) + (y**2).sum(axes))).mean()
    return float(1 - dice - weight * (y * (1 - p) ** gamma * np.log(p)).mean())


@pytest.mark.parametrize(("weight", "gamma"), [(10.0, 2.0), (0.0, 2.0), (3.0, 1.0)])
def test_one_output(weight, gamma):
    (logits,), target = outputs_and_target(1)
    found = segmentation_loss(logits, target, weight, gamma).item()
    assert found == pytest.approx(numpy_loss(logits, target, weight, gamma), rel=1e-4)


def test_focal_weight_is_ten_by_default():
    (logits,), target = outputs_and_target(1)
    expected = soft_dice_loss(logits, target) + 10 * focal_loss(logits, target)
    torch.testing.assert_close(segmentation_loss(logits, target), expected)


def test_all_six_outputs_count_the_same():
    outputs, target = outputs_and_target(6)
    expected = np.mean([numpy_loss(o, target, 10, 2) for o in outputs])
    assert segmentation_loss(tuple(outputs), target).item() == pytest.approx(expected, rel=1e-4)
    assert segmentation_loss(outputs[::-1], target).item() == pytest.approx(expected, rel=1e-4)


def test_perfect_outputs_have_no_loss():
    _, target = outputs_and_target(1)
    logits = F.one_hot(target, 3).movedim(-1, 1).float() * 100
    assert segmentation_loss([logits, logits], target).item() == pytest.approx(0, abs=1e-6)


def test_one_bad_side_output_shows():
    outputs, target = outputs_and_target(1)
    good = F.one_hot(target, 3).movedim(-1, 1).float() * 100
    single = segmentation_loss(outputs[0], target).item()
    assert segmentation_loss([good, outputs[0]], target).item() == pytest.approx(single / 2, rel=1e-4)


def test_every_output_gets_a_gradient_and_the_target_stays():
    outputs, target = outputs_and_target(3)
    before = target.clone()
    leaves = [o.requires_grad_() for o in outputs]
    segmentation_loss(leaves, target).backward()
    assert all(leaf.grad.abs().max() > 0 for leaf in leaves)
    assert torch.equal(target, before)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("unknown", [None, 255])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d])
def test_gradient_is_that_of_the_two_formulas(gamma, unknown, layout, monkeypatch):
    monkeypatch.setattr(dice_focal, "_VOXELS_AT_ONCE", 24)  # two planes of three
    rng = np.random.default_rng(11)
    target = torch.from_numpy(rng.integers(0, 3, (2, 3, 3, 4)))
    logits = [torch.from_numpy(rng.normal(0, 2, (2, 3, 3, 3, 4))).contiguous(memory_format=layout) for _ in range(2)]
    leaves = [z.requires_grad_() for z in logits]
    known = torch.from_numpy(rng.random(target.shape) < 0.7)
    marked = target if unknown is None else target.where(known, torch.tensor(unknown))
    counts = torch.ones_like(target) if unknown is None else known.long()
    y = F.one_hot(target, 3).movedim(-1, 1) * counts[:, None]
    expected = []
    for z in leaves:
        p = z.softmax(1) * counts[:, None]
        dice = (2 * (p * y).sum((0, 2, 3, 4)) + 1e-5) / ((p**2 + y).sum((0, 2, 3, 4)) + 1e-5)
        focal = -(y * (1 - z.softmax(1)) ** gamma * z.log_softmax(1)).sum() / counts.sum() / 3
        expected.append(1 - dice.mean() + 5 * focal)
    loss = torch.stack(expected).mean()
    found = segmentation_loss(leaves, marked, 5.0, gamma, unknown)
    torch.testing.assert_close(found, loss)
    gradients, references = (torch.autograd.grad(value * 3, leaves) for value in (found, loss))
    torch.testing.assert_close(gradients, references)


def test_certain_outputs_have_a_finite_gradient():
    _, target = outputs_and_target(1)
    leaf = (F.one_hot(target, 3).movedim(-1, 1).float() * 100).requires_grad_()
    segmentation_loss(leaf, target, gamma=0.5).backward()
    assert leaf.grad.isfinite().all()


def test_unknown_voxels_have_no_say():
    (logits,), target = outputs_and_target(1)
    unknown = np.random.default_rng(5).random(target.shape) < 0.4
    marked = target.clone()
    marked[torch.from_numpy(unknown)] = 255
    z, known = logits.numpy().astype(float), ~unknown
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    y = np.stack([target.numpy() == k for k in range(3)], axis=1).astype(float)
    p_known, y_known = (np.moveaxis(a, 1, -1)[known] for a in (p, y))
    dice = (2 * (p_known * y_known).sum(0) / ((p_known**2).sum(0) + (y_known**2).sum(0))).mean()
    expected = 1 - dice - 10 * (y_known * (1 - p_known) ** 2 * np.log(p_known)).mean()
    leaf = logits.clone().requires_grad_()
    loss = segmentation_loss(leaf, marked, unknown=255)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    loss.backward()
    assert (np.moveaxis(leaf.grad.numpy(), 1, -1)[unknown] == 0).all()
    nothing = torch.full_like(target, 255)
    assert np.isfinite(segmentation_loss(logits, nothing, unknown=255).item())
    same = segmentation_loss(logits, target, unknown=255)
    torch.testing.assert_close(same, segmentation_loss(logits, target))


def test_segmentation_of_contents():
    rng = np.random.default_rng(7)
    z, labels = rng.normal(0, 2, (2, 3, 4, 5)), rng.integers(0, 3, (2, 4, 5))
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    y = np.stack([labels == k for k in range(3)], axis=1).astype(float)
    dice = (2 * (p * y).sum((0, 2, 3)) / ((p**2).sum((0, 2, 3)) + (y**2).sum((0, 2, 3)))).mean()
    cross_entropy = -(y * np.log(p)).sum(1).mean()
    found = content_segmentation_loss(torch.from_numpy(z), torch.from_numpy(labels))
    assert found.item() == pytest.approx(1 - dice + cross_entropy, rel=1e-4)
