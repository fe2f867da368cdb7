from __future__ import annotations

import numpy as np
import torch

from darnet.training.seeds import generator_for, seed_weights


def numbers(seed: int, stage: str, iteration: int) -> list[float]:
    return generator_for(seed, stage, iteration).random(4).tolist()


def test_same_place_same_numbers():
    assert numbers(1, "translation", 5) == numbers(1, "translation", 5)


def test_seed_stage_and_iteration_all_count():
    drawn = {tuple(numbers(*key)) for key in ((1, "a", 5), (2, "a", 5), (1, "b", 5), (1, "a", 6), (5, "a", 1))}
    assert len(drawn) == 5


def test_iterations_look_independent():
    first = np.array([numbers(0, "a", i)[0] for i in range(400)])
    assert abs(np.corrcoef(first[:-1], first[1:])[0, 1]) < 0.15
    assert abs(first.mean() - 0.5) < 0.06


def test_weights_are_drawn_again_alike():
    seed_weights(3, "segmentation")
    first = torch.nn.Linear(3, 3).weight
    seed_weights(3, "segmentation")
    assert torch.equal(first, torch.nn.Linear(3, 3).weight)
    seed_weights(4, "segmentation")
    assert not torch.equal(first, torch.nn.Linear(3, 3).weight)
