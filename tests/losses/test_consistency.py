from __future__ import annotations

import numpy as np
import pytest
import torch

from darnet.losses import depth_consistency_loss


def planes(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (2, 1, 4, 5))


def loss_of(*arrays: np.ndarray) -> float:
    return float(depth_consistency_loss(*map(torch.from_numpy, arrays)))


def test_against_numpy():
    a, t, u = planes(0), planes(1), planes(2)
    b = a + 0.1 * planes(3)
    weight = np.exp(-np.abs(a - b) / 0.1)
    assert loss_of(a, b, t, u) == pytest.approx((weight * np.abs(t - u)).sum() / weight.sum(), rel=1e-5)


def test_planes_that_agree_have_the_plain_difference():
    a, t, u = planes(0), planes(1), planes(2)
    assert loss_of(a, a, t, u) == pytest.approx(np.abs(t - u).mean(), rel=1e-5)
    assert loss_of(a, a, t, t) == 0


def test_where_the_source_changes_the_translation_may():
    a, t = planes(0), planes(1)
    b, u = a.copy(), t.copy()
    b[..., :2] += 2.0
    u[..., :2] += 1.0
    assert loss_of(a, b, t, u) < 1e-6
    u[..., 2:] += 1.0
    assert loss_of(a, b, t, u) == pytest.approx(1.0, rel=1e-5)


def test_both_translations_get_a_gradient():
    a, (t, u) = torch.from_numpy(planes(0)), (torch.from_numpy(planes(n)).requires_grad_() for n in (1, 2))
    depth_consistency_loss(a, a, t, u).backward()
    torch.testing.assert_close(t.grad, -u.grad)
    assert (t.grad.abs() > 0).all()
