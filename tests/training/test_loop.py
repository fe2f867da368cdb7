from __future__ import annotations

import math
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
import torch

from darnet.errors import DataError, Interrupted, Terminated
from darnet.training.loop import Hook, run_training


@dataclass
class OneLoss:
    value: float
    cases: tuple[str, ...]

    def values(self) -> dict[str, float]:
        return {"loss": self.value}


class ScriptedStep:
    stage = "test"

    def __init__(self, value: Callable[[int], float] = float, signals: Mapping[int, int] | None = None) -> None:
        self.value, self.signals, self.seen = value, dict(signals or {}), []

    def update(self, iteration: int) -> OneLoss:
        self.seen.append(iteration)
        if iteration in self.signals:
            signal.raise_signal(self.signals[iteration])
        return OneLoss(self.value(iteration), (f"case{iteration % 2}",))

    def tensors(self) -> dict[str, torch.Tensor]:
        return {}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        pass


class Recorder(Hook):
    def __init__(self) -> None:
        self.updates: list[tuple[int, float]] = []
        self.ends: list[int] = []

    def after_update(self, iteration, losses):
        self.updates.append((iteration, losses.values()["loss"]))

    def at_end(self, iteration):
        self.ends.append(iteration)


@pytest.mark.parametrize(("start", "stop"), [(0, 4), (2, 5), (3, 3)])
def test_iterations_and_hooks(start, stop):
    step, hooks = ScriptedStep(), [Recorder(), Recorder(), Hook()]
    run_training(step, stop, hooks, start)
    assert step.seen == list(range(start, stop))
    for hook in hooks[:2]:
        assert hook.updates == [(i, float(i)) for i in range(start, stop)]
        assert hook.ends == [stop]


@pytest.mark.parametrize(("number", "kind"), [(signal.SIGINT, Interrupted), (signal.SIGTERM, Terminated)])
def test_a_signal_ends_the_run_after_its_iteration(number, kind):
    step, hook = ScriptedStep(signals={2: number}), Recorder()
    with pytest.raises(kind, match="stopped by .* after iteration 3"):
        run_training(step, 10, [hook])
    assert step.seen == [0, 1, 2]
    assert [i for i, _ in hook.updates] == [0, 1, 2]
    assert hook.ends == [3]


def test_a_loss_that_stays_bad_is_an_error_that_names_the_cases():
    step = ScriptedStep(lambda i: math.nan if i >= 3 else 1.0)
    with pytest.raises(DataError, match="10 iterations in a row") as caught:
        run_training(step, 100, [])
    assert step.seen[-1] == 12
    assert "case0; case1" in str(caught.value.found)


def test_single_bad_iterations_are_passed_over():
    step, hook = ScriptedStep(lambda i: math.inf if i % 10 else 1.0), Recorder()
    run_training(step, 45, [hook])
    assert len(hook.updates) == 45
