from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from darnet.training.optimizer import AdaBelief, cosine_learning_rate, rectification


def belief_oracle(
    start: np.ndarray, gradients: list[np.ndarray], lr: float, betas: tuple[float, float], eps: float, decay: float
) -> list[np.ndarray]:
    """AdaBelief with the rectification of RAdam (its algorithm 2, warmed up by momentum) and decoupled decay."""
    b1, b2 = betas
    theta = start.astype(float).copy()
    m, s = np.zeros_like(theta), np.zeros_like(theta)
    rho_inf = 2 / (1 - b2) - 1
    path = []
    for t, g in enumerate(gradients, start=1):
        theta = theta - lr * decay * theta
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * (g - m) ** 2 + eps
        m_hat = m / (1 - b1**t)
        rho = rho_inf - 2 * t * b2**t / (1 - b2**t)
        if rho >= 5:
            r = math.sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            s_hat = s / (1 - b2**t)
            theta = theta - lr * r * m_hat / (np.sqrt(s_hat) + eps)
        else:
            theta = theta - lr * m_hat
        path.append(theta.copy())
    return path


def follow(
    start: np.ndarray, gradients: list[np.ndarray], dtype: torch.dtype = torch.float64, **options: object
) -> list[np.ndarray]:
    parameter = torch.nn.Parameter(torch.tensor(start, dtype=dtype))
    optimizer = AdaBelief([parameter], **options)
    path = []
    for g in gradients:
        parameter.grad = torch.tensor(g, dtype=dtype)
        optimizer.step()
        path.append(parameter.detach().numpy().copy())
    return path


def random_gradients(count: int, seed: int = 0) -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(3, 2)), [rng.normal(0.3, 1, (3, 2)) for _ in range(count)]


@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.5, 0.9)])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_steps_before_and_past_the_rectification_threshold(betas, decay):
    start, gradients = random_gradients(14)
    found = follow(start, gradients, lr=0.01, betas=betas, eps=1e-16, weight_decay=decay)
    expected = belief_oracle(start, gradients, 0.01, betas, 1e-16, decay)
    for step, (a, b) in enumerate(zip(found, expected, strict=True), start=1):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12, err_msg=f"step {step}")


def test_large_epsilon_enters_variance_and_root():
    start, gradients = random_gradients(12, seed=1)
    found = follow(start, gradients, lr=0.01, betas=(0.5, 0.9), eps=1e-2)
    b1, b2 = 0.5, 0.9
    theta, m, s = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for t, g in enumerate(gradients, start=1):
        m, before = b1 * m + (1 - b1) * g, theta
        s = b2 * s + (1 - b2) * (g - m) ** 2 + 1e-2
        factor = rectification(t, b2)
        move = m if factor is None else factor * m / (np.sqrt(s) + 1e-2)
        theta = before - 0.01 / (1 - b1**t) * move
    np.testing.assert_allclose(found[-1], theta, rtol=1e-9)


def test_first_step_by_hand():
    # m = 0.1 * 2 = 0.2, corrected to 2; too early to adapt, so the weight moves by lr * 2.
    assert follow(np.array([1.0]), [np.array([2.0])], lr=0.1)[0][0] == pytest.approx(0.8)


def test_decay_is_decoupled_from_the_gradient():
    path = follow(np.array([1.0]), [np.array([0.0])], lr=0.1, weight_decay=0.5)
    assert path[0][0] == pytest.approx(0.95)


@pytest.mark.parametrize("beta_2", [0.9, 0.99, 0.999])
def test_rectification_starts_at_the_first_length_of_five(beta_2):
    factors = [rectification(t, beta_2) for t in range(1, 40)]
    lengths = [2 / (1 - beta_2) - 1 - 2 * t * beta_2**t / (1 - beta_2**t) for t in range(1, 40)]
    assert [f is None for f in factors] == [length < 5 for length in lengths]
    assert factors[0] is None
    assert factors[-1] is not None


def test_rectification_approaches_one():
    assert rectification(20_000, 0.999) == pytest.approx(1, abs=1e-3)


def test_single_precision_follows_the_oracle():
    start, gradients = random_gradients(12, seed=2)
    found = follow(start, gradients, dtype=torch.float32, lr=1e-3, betas=(0.9, 0.999), weight_decay=1e-4)
    expected = belief_oracle(start, gradients, 1e-3, (0.9, 0.999), 1e-16, 1e-4)
    np.testing.assert_allclose(found[-1], expected[-1], rtol=1e-5, atol=1e-6)


def test_parameters_without_gradient_stay_and_count_no_step():
    start, gradients = random_gradients(8, seed=3)
    late, always = (torch.nn.Parameter(torch.tensor(start)) for _ in range(2))
    optimizer = AdaBelief([late, always], lr=0.01, betas=(0.5, 0.9))
    for index, g in enumerate(gradients):
        always.grad = torch.tensor(g)
        late.grad = torch.tensor(g) if index >= 3 else None
        optimizer.step()
        if index < 3:
            assert np.array_equal(late.detach().numpy(), start)
    np.testing.assert_allclose(late.detach(), belief_oracle(start, gradients[3:], 0.01, (0.5, 0.9), 1e-16, 0)[-1])
    np.testing.assert_allclose(always.detach(), belief_oracle(start, gradients, 0.01, (0.5, 0.9), 1e-16, 0)[-1])


def test_groups_have_their_own_rate():
    a, b = (torch.nn.Parameter(torch.zeros(1)) for _ in range(2))
    optimizer = AdaBelief([{"params": [a], "lr": 0.1}, {"params": [b]}], lr=0.2)
    for p in (a, b):
        p.grad = torch.ones(1)
    optimizer.step()
    assert a.item() == pytest.approx(-0.1)
    assert b.item() == pytest.approx(-0.2)


def test_minimises_a_bowl():
    x = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
    optimizer = AdaBelief([x], lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        (x**2 * torch.tensor([1.0, 10.0])).sum().backward()
        optimizer.step()
    assert x.abs().max() < 0.1


@pytest.mark.parametrize(
    ("iteration", "expected"),
    [
        (0, 1.0),
        (25, 0.1 + 0.45 * (1 + math.sqrt(0.5))),
        (50, 0.55),
        (75, 0.1 + 0.45 * (1 - math.sqrt(0.5))),
        (100, 0.1),
        (130, 0.1),
    ],
)
def test_cosine_learning_rate(iteration, expected):
    assert cosine_learning_rate(iteration, 100, 1.0, 0.1) == pytest.approx(expected)


def test_cosine_learning_rate_only_falls():
    rates = [cosine_learning_rate(i, 60, 5e-4, 5e-7) for i in range(61)]
    assert all(a > b for a, b in zip(rates, rates[1:], strict=False))
    assert rates[0] == pytest.approx(5e-4)
    assert rates[-1] == pytest.approx(5e-7)
