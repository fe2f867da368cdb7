from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from darnet.losses import focal_loss


def focal_case(seed: int, classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(0, 2, (2, classes, 3, 4, 5)).astype(np.float32))
    return logits, torch.from_numpy(rng.integers(0, classes, (2, 3, 4, 5)))


def focal_oracle(logits: torch.Tensor, target: torch.Tensor, gamma: float) -> float:
    z, labels = logits.numpy().astype(float), target.numpy()
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    one_hot = np.stack([labels == k for k in range(z.shape[1])], axis=1)
    return float(-(one_hot * (1 - p) ** gamma * np.log(p)).mean())


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 3.5])
def test_focal_against_numpy(gamma):
    logits, target = focal_case(0)
    assert focal_loss(logits, target, gamma).item() == pytest.approx(focal_oracle(logits, target, gamma), rel=1e-4)


def test_focal_exponent_is_two_by_default():
    logits, target = focal_case(1)
    assert focal_loss(logits, target).item() == pytest.approx(focal_oracle(logits, target, 2.0), rel=1e-4)


def test_focal_without_focus_is_cross_entropy_over_the_classes():
    logits, target = focal_case(2)
    assert focal_loss(logits, target, 0.0).item() == pytest.approx(F.cross_entropy(logits, target).item() / 4, rel=1e-5)


def test_focal_value_of_equal_probabilities():
    logits, target = torch.zeros(1, 2, 1, 1, 3), torch.zeros(1, 1, 1, 3, dtype=torch.long)
    assert focal_loss(logits, target).item() == pytest.approx(0.25 * math.log(2) / 2)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.5, 4))
def test_focus_only_lowers_the_loss_and_never_below_zero(seed, gamma):
    logits, target = focal_case(seed)
    focused = focal_loss(logits, target, gamma).item()
    assert 0 <= focused <= focal_loss(logits, target, 0.0).item()


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_perfect_prediction_has_no_focal_loss(gamma):
    _, target = focal_case(3)
    logits = F.one_hot(target, 4).movedim(-1, 1).float() * 100
    assert focal_loss(logits, target, gamma).item() == pytest.approx(0, abs=1e-7)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_focal_does_not_depend_on_the_order_of_classes(seed):
    logits, target = focal_case(seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(4))
    moved = focal_loss(logits[:, order], torch.argsort(order)[target])
    assert moved.item() == pytest.approx(focal_loss(logits, target).item(), rel=1e-4)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_is_finite_for_extreme_logits(gamma):
    logits = torch.tensor([1e4, -1e4]).reshape(1, 2, 1, 1, 1).requires_grad_()
    for label in (0, 1):
        loss = focal_loss(logits, torch.full((1, 1, 1, 1), label), gamma)
        gradient = torch.autograd.grad(loss, logits)[0]
        assert torch.isfinite(loss)
        assert torch.isfinite(gradient).all()


def test_focal_gradient_against_finite_differences():
    logits, target = focal_case(4)
    small = logits[:1, :, :1, :2, :2].double().requires_grad_()
    # The loss itself works in single precision, so the differences are wide.
    found = torch.autograd.grad(focal_loss(small, target[:1, :1, :2, :2]), small)[0].flatten()
    for index in range(0, small.numel(), 3):
        step = torch.zeros(small.numel(), dtype=torch.double)
        step[index] = 1e-4
        up, down = (focal_oracle((small.detach() + s * step.reshape(small.shape)), target[:1, :1, :2, :2], 2.0)
                    for s in (1, -1))  # fmt: skip
        assert found[index].item() == pytest.approx((up - down) / 2e-4, abs=1e-5)
