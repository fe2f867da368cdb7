from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from darnet.plans import Plans
from darnet.training import expected
from darnet.training.expected import memory_here, smaller_patch


@pytest.mark.parametrize(
    ("patch", "batch", "strides", "smaller", "one"),
    [
        ((16, 80, 80), 2, ((1, 2, 2),) * 4, (16, 80, 80), 2),  # small enough as it is
        ((32, 256, 256), 2, ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)), (32, 64, 64), 1),
        ((64, 96, 96), 1, ((2, 2, 2),) * 4, (64, 48, 48), 1),
        ((512, 32, 32), 2, ((2, 2, 2),) * 5, (512, 32, 32), 1),  # cannot be halved
    ],
)
def test_smaller_patch(make_small_plans, patch, batch, strides, smaller, one):
    plan = dataclasses.replace(make_small_plans().segmentation, patch_size=patch, batch_size=batch, strides=strides)
    found = smaller_patch(plan)
    assert (found.patch_size, found.batch_size) == (smaller, one)
    assert all(n % math.prod(s[a] for s in strides) == 0 for a, n in enumerate(found.patch_size))


class Clock:
    """Time that only the steps move on."""

    now = 0.0

    def perf_counter(self):
        return self.now


def test_time_follows_from_the_plan(make_small_plans, monkeypatch):
    """A step of so many seconds, times the iterations; the warming up does not count, the quickest does."""
    clock = Clock()
    lengths = {"translation": [50.0, 2.0, 0.5, 1.0], "segmentation": [50.0, 9.0, 3.5]}

    class Step:
        def __init__(self, kind, *args):
            self.kind, self.left = kind, list(lengths[kind])

        def update(self, iteration):
            clock.now += self.left.pop(0) if self.left else 1e9

    monkeypatch.setattr(expected, "time", clock)
    monkeypatch.setattr(expected, "PatchLoader", lambda *args: None)
    monkeypatch.setattr(expected, "translation_step", lambda *args: Step("translation"))
    monkeypatch.setattr(expected, "SegmentationStep", lambda *args: Step("segmentation"))
    plans: Plans = make_small_plans()
    plans = dataclasses.replace(
        plans,
        translation=dataclasses.replace(plans.translation, iterations=100),
        segmentation=dataclasses.replace(plans.segmentation, iterations=10),
        self_training=dataclasses.replace(plans.self_training, rounds=2, iterations=5),
    )

    class Store:
        def case_ids(self):
            return ("a",)

        def image(self, case):
            return np.zeros((1, 4, 8, 8), np.float32)

        def record(self, case):
            return SimpleNamespace(shape=(20, 40, 24))

    found = expected.measure_time(plans, Store(), Store(), torch.device("cpu"))
    # Three are timed within the time allowed, and two where the first is longer.
    assert found.translation == pytest.approx(50.0)
    assert found.segmentation == pytest.approx(35.0)
    assert found.self_training == pytest.approx(35.0)
    # One scan of a domain. Patches of 8 x 16 x 16, half overlapped, are 4 x 4 x 2 windows of it: three validations, two
    # rounds of labels, and three networks on it twice, each a third of 3.5 s for two patches.
    predicted = (3 + 2 + 6) * 32 * 3.5 / 3 / 2
    # 0.5 s for four slices of 32 x 32, encoded once and decoded in each style.
    translated = 0.5 / 4 * (1 + plans.translations_a_case) / 35 * 20 * 40 * 24 / 32**2
    assert found.between == pytest.approx(predicted + translated)
    assert found.fold == pytest.approx(120.0 + found.between)
    none = dataclasses.replace(plans, segmentation=dataclasses.replace(plans.segmentation, source_share=1.0))
    alone = expected.measure_time(none, Store(), Store(), torch.device("cpu"))
    assert (alone.translation, alone.segmentation) == (0.0, found.segmentation)
    assert alone.between == pytest.approx(predicted)


def test_memory_of_this_machine():
    found = memory_here(torch.device("cpu"))
    assert found is None or 0.5 < found < 100_000
