"""The one training loop. A step computes, hooks log, draw and save."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torch import Tensor

from darnet.errors import DataError, is_out_of_memory, out_of_memory
from darnet.progress import message
from darnet.training.interrupt import InterruptGuard

MOST_BAD_ITERATIONS = 10


class TrainingStep(Protocol):
    """One iteration of a stage: sampling, forward, losses, backward, optimizer. `stage` is its name."""

    @property
    def stage(self) -> str: ...

    def update(self, iteration: int) -> Losses:
        """Run iteration `iteration`, counted from 0. Non-finite losses leave the weights as they were."""

    def tensors(self) -> dict[str, Tensor]:
        """Everything that resuming needs."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Go back to a state that `tensors` gave."""


class Losses(Protocol):
    """The record of one iteration: plain floats, no tensors. `cases` names the cases that it saw."""

    @property
    def cases(self) -> tuple[str, ...]: ...

    def values(self) -> dict[str, float]:
        """Name and value of each loss."""


class Hook:
    """What happens beside the computing. Every method may be left as it is.

    What a hook that is not `essential` raises is said once and does not stop the training.
    """

    essential = False

    def after_update(self, iteration: int, losses: Losses) -> None:
        """Called when iteration `iteration`, counted from 0, is done."""

    def at_end(self, iteration: int) -> None:
        """Called once after the last iteration or when stopping early; `iteration` of them are done."""


def run_training(step: TrainingStep, iterations: int, hooks: Sequence[Hook], start: int = 0) -> None:
    """Run iterations `start` to `iterations`.

    Raises:
        DataError: The loss was not finite for 10 iterations in a row.
        ResourceError: Memory does not suffice for an iteration.
        Interrupted: A signal asked to stop; the hooks have saved by then.
    """
    bad: list[str] = []
    done = start
    failed: set[Hook] = set()
    with InterruptGuard() as guard:
        for iteration in range(start, iterations):
            losses = _update(step, iteration)
            done = iteration + 1
            if all(math.isfinite(v) for v in losses.values().values()):
                bad = []
            else:
                bad.append(", ".join(losses.cases))
                if len(bad) >= MOST_BAD_ITERATIONS:
                    raise DataError(
                        f"the loss of {step.stage} was not finite for {len(bad)} iterations in a row",
                        where=f"iteration {iteration}",
                        found="cases " + "; ".join(sorted(set(bad))),
                        remedy="look at these cases; if they are sound, lower the learning rate in plans.json",
                    )
            for hook in hooks:
                _call(hook, hook.after_update, (iteration, losses), failed)
            if guard.requested is not None:
                break
        for hook in hooks:
            _call(hook, hook.at_end, (done,), failed)
        if guard.requested is not None:
            raise guard.error(step.stage, done)


def _update(step: TrainingStep, iteration: int) -> Losses:
    try:
        return step.update(iteration)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        remedy = "plan with less with darnet_plan_and_preprocess --memory, or choose another -device; the last "
        raise out_of_memory(step.stage, f"iteration {iteration}", remedy + "checkpoint is intact") from error


def _call(hook: Hook, method: Callable[..., None], arguments: tuple[object, ...], failed: set[Hook]) -> None:
    """Call a method of a hook; where one that is not essential fails, say so once."""
    try:
        method(*arguments)
    except Exception as error:
        if hook.essential:
            raise
        if hook not in failed:
            with contextlib.suppress(Exception):  # the terminal may be what failed
                name, kind = type(hook).__name__, type(error).__name__
                message(f"{name} failed ({kind}: {error}); training goes on without it")
        failed.add(hook)
