from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from darnet.losses import soft_dice_loss
from darnet.losses.dice import soft_dice_from_probabilities


def dice_case(seed: int, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(0, 2, (2, classes, 3, 4, 5)).astype(np.float32), rng.integers(0, classes, (2, 3, 4, 5))


def dice_oracle(logits: np.ndarray, target: np.ndarray) -> float:
    powers = np.exp(logits.astype(float) - logits.max(1, keepdims=True))
    p = powers / powers.sum(1, keepdims=True)
    scores = []
    for k in range(logits.shape[1]):
        y = (target == k).astype(float)
        scores.append(2 * (p[:, k] * y).sum() / ((p[:, k] ** 2).sum() + y.sum()))
    return 1 - float(np.mean(scores))


def dice_of(logits: np.ndarray, target: np.ndarray) -> float:
    return soft_dice_loss(torch.from_numpy(logits), torch.from_numpy(target)).item()


def certain_logits(target: np.ndarray, classes: int) -> np.ndarray:
    return np.where(np.arange(classes).reshape(1, -1, 1, 1, 1) == target[:, None], 50.0, -50.0).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
def test_dice_against_numpy(seed):
    logits, target = dice_case(seed)
    assert dice_of(logits, target) == pytest.approx(dice_oracle(logits, target), abs=1e-5)


def test_dice_pools_the_batch_before_it_divides():
    # One patch without the second class: per-patch Dice would make it count as a full miss or hit.
    target = np.zeros((2, 1, 1, 4), dtype=np.int64)
    target[0, 0, 0, :2] = 1
    logits = np.zeros((2, 2, 1, 1, 4), dtype=np.float32)
    # p = 1/2: class 0: 2 * 3 / (2 + 6); class 1: 2 * 1 / (2 + 2).
    assert dice_of(logits, target) == pytest.approx(1 - (6 / 8 + 2 / 4) / 2, abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(2, 5))
def test_perfect_prediction_has_no_loss_and_any_is_bounded(seed, classes):
    logits, target = dice_case(seed, classes)
    assert dice_of(certain_logits(target, classes), target) == pytest.approx(0, abs=1e-6)
    assert 0 < dice_of(logits, target) < 1


def test_wrong_everywhere_costs_one():
    target = np.random.default_rng(0).integers(0, 3, (2, 3, 4, 5))
    assert dice_of(certain_logits((target + 1) % 3, 3), target) == pytest.approx(1, abs=1e-5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31))
def test_dice_does_not_depend_on_the_order_of_classes_or_voxels(seed):
    logits, target = dice_case(seed)
    rng = np.random.default_rng(seed)
    order = rng.permutation(4)
    assert dice_of(logits[:, order], np.argsort(order)[target]) == pytest.approx(dice_of(logits, target), abs=1e-5)
    voxels = rng.permutation(60)
    moved = logits.reshape(2, 4, 60)[:, :, voxels].reshape(logits.shape)
    moved_target = target.reshape(2, 60)[:, voxels].reshape(target.shape)
    assert dice_of(moved, moved_target) == pytest.approx(dice_of(logits, target), abs=1e-5)


def test_class_that_is_neither_there_nor_predicted_counts_as_found():
    target = np.zeros((1, 2, 2, 2), dtype=np.int64)
    assert dice_of(certain_logits(target, 3), target) == pytest.approx(0, abs=1e-6)


def test_dice_of_given_probabilities():
    p = torch.tensor([[[[[0.8, 0.4]]], [[[0.2, 0.6]]]]])
    y = torch.tensor([[[[[1.0, 0.0]]], [[[0.0, 1.0]]]]])
    expected = 1 - (2 * 0.8 / (0.8 + 1) + 2 * 0.6 / (0.4 + 1)) / 2
    assert soft_dice_from_probabilities(p, y).item() == pytest.approx(expected, abs=1e-4)


def test_dice_of_half_precision_logits_is_single_precision():
    logits, target = dice_case(0)
    loss = soft_dice_loss(torch.from_numpy(logits).half(), torch.from_numpy(target))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(dice_oracle(logits, target), abs=1e-3)


def test_descent_on_dice_finds_the_labels():
    logits, target = dice_case(1)
    x, y = torch.from_numpy(logits).requires_grad_(), torch.from_numpy(target)
    optimizer = torch.optim.Adam([x], lr=0.3)
    for _ in range(60):
        optimizer.zero_grad()
        soft_dice_loss(x, y).backward()
        optimizer.step()
    assert (x.argmax(1) == y).float().mean() > 0.98
