"""What training tells while it runs: a line an interval with losses, time and memory, and TensorBoard's events."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from darnet.errors import ConfigurationError
from darnet.progress import SECONDS_A_LINE, message
from darnet.training.loop import Hook, Losses
from darnet.words import counted, duration


def tell_start(stage: str, done: int, iterations: int, say: Callable[[str], None] = message) -> None:
    """Say where a stage that was begun before goes on; nothing of one that begins."""
    if done >= iterations:
        say(f"{stage} is done")
    elif done:
        say(f"{stage} goes on after iteration {done} of {iterations}")


class Means:
    """Means of losses since they were last taken; iterations whose losses are not finite are counted apart."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self.count = self.skipped = 0

    def add(self, values: Mapping[str, float]) -> None:
        """Take in one iteration."""
        if not all(math.isfinite(value) for value in values.values()):
            self.skipped += 1
            return
        self.count += 1
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value

    def take(self) -> tuple[dict[str, float], int]:
        """Name and mean of each loss, and how many iterations were skipped; starts anew."""
        means, skipped = {name: total / self.count for name, total in self._sums.items()}, self.skipped
        self._sums, self.count, self.skipped = {}, 0, 0
        return means, skipped


def peak_memory_gb(device: torch.device) -> float | None:
    """Most memory so far in GB: of the GPU where one computes, else of this process; None where it cannot be known."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**30 if sys.platform == "darwin" else peak / 2**20  # bytes on macOS, kB elsewhere


class TrainingLines(Hook):
    """Prints a line every `every` iterations, and each minute: losses, time of an iteration, time left, memory."""

    def __init__(
        self,
        stage: str,
        iterations: int,
        device: torch.device,
        every: int,
        start: int = 0,
        say: Callable[[str], None] = message,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.stage, self.iterations, self.device, self.every = stage, iterations, device, every
        self.say, self.clock = say, clock
        self._means, self._since, self._done = Means(), clock(), start

    def after_update(self, iteration: int, losses: Losses) -> None:
        """Sum up, and print at each multiple of `every` and when the last line is a minute old."""
        self._means.add(losses.values())
        if (iteration + 1) % self.every == 0 or self.clock() - self._since >= SECONDS_A_LINE:
            self._print(iteration + 1)

    def at_end(self, iteration: int) -> None:
        """Print what is left."""
        if iteration > self._done:
            self._print(iteration)

    def _print(self, done: int) -> None:
        now = self.clock()
        seconds = (now - self._since) / max(done - self._done, 1)
        means, skipped = self._means.take()
        self._since, self._done = now, done
        parts = [f"{self.stage}: iteration {done} of {self.iterations}"]
        parts += [f"{name.replace('_', ' ')} {value:.3g}" for name, value in means.items()]
        parts += [f"{counted(skipped, 'iteration')} skipped"] if skipped else []
        parts += [
            f"{seconds:.2g} s an iteration",
            f"about {duration(seconds * (self.iterations - done))} left in this stage",
        ]
        memory = peak_memory_gb(self.device)
        parts += [] if memory is None else [f"{memory:.1f} GB at most"]
        self.say(", ".join(parts))


class TensorBoardLog(Hook):
    """Writes the mean losses of every `every` iterations as events for TensorBoard.

    Args:
        folder: Gets the event files.
        every: Iterations an event.
        start: Iterations done before; events after them, of a run that was interrupted, are hidden.

    Raises:
        ConfigurationError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path, every: int, start: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise ConfigurationError(
                "TensorBoard is not installed", remedy="pip install 'darnet[tensorboard]', or leave --tensorboard out"
            ) from None
        self.writer = SummaryWriter(str(folder), purge_step=start + 1)  # type: ignore[no-untyped-call]
        self.every = every
        self._means = Means()

    def after_update(self, iteration: int, losses: Losses) -> None:
        """Sum up, and write at each multiple of `every`."""
        self._means.add(losses.values())
        if (iteration + 1) % self.every == 0:
            self._write(iteration + 1)

    def at_end(self, iteration: int) -> None:
        """Write what is left."""
        if self._means.count or self._means.skipped:
            self._write(iteration)
        self.writer.close()  # type: ignore[no-untyped-call]

    def _write(self, done: int) -> None:
        means, skipped = self._means.take()
        for name, value in (*means.items(), ("skipped", float(skipped))):
            self.writer.add_scalar(name, value, done)  # type: ignore[no-untyped-call]
        self.writer.flush()  # type: ignore[no-untyped-call]
