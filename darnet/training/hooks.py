"""What happens beside training: log, progress bar, progress picture, checkpoints, pictures of the work."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from darnet.errors import DataError
from darnet.io import save_checkpoint
from darnet.progress import progress
from darnet.training.lines import Means
from darnet.training.loop import Hook, Losses, TrainingStep


class JsonLinesLog(Hook):
    """Appends the mean losses of every `every` iterations to `log.jsonl`."""

    def __init__(self, path: Path, stage: str, every: int = 10) -> None:
        self.path, self.stage, self.every = path, stage, every
        self._means, self._since = Means(), time.monotonic()

    def after_update(self, iteration: int, losses: Losses) -> None:
        """Sum up, and write a line when enough iterations are in."""
        self._means.add(losses.values())
        if (iteration + 1) % self.every == 0:
            self._write(iteration + 1)

    def at_end(self, iteration: int) -> None:
        """Write what is left."""
        if self._means.count or self._means.skipped:
            self._write(iteration)

    def _write(self, iteration: int) -> None:
        seconds = (time.monotonic() - self._since) / max(self._means.count + self._means.skipped, 1)
        means, skipped = self._means.take()
        self._since = time.monotonic()
        line = {
            "stage": self.stage,
            "iteration": iteration,
            "seconds_per_iteration": round(seconds, 4),
            "skipped": skipped,
            **{name: round(mean, 6) for name, mean in means.items()},
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def read_log(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a log, each iteration once: what was repeated after a crash counts as its last time."""
    rows: dict[int, dict[str, Any]] = {}
    if path.exists():
        for line in path.read_text(encoding="utf-8").splitlines():
            try:
                row = json.loads(line)
                rows[int(row["iteration"])] = row
            except (json.JSONDecodeError, KeyError, TypeError):
                continue  # a line cut off by a crash
    return [rows[i] for i in sorted(rows)]


def seconds_of(rows: Sequence[Mapping[str, Any]]) -> float:
    """Seconds of the iterations that a log of `read_log` tells of."""
    total, before = 0.0, 0
    for row in rows:
        total += (int(row["iteration"]) - before) * float(row.get("seconds_per_iteration", 0))
        before = int(row["iteration"])
    return total


class ProgressBar(Hook):
    """A progress bar with the main loss, in a terminal alone: log files have the lines of `TrainingLines`."""

    def __init__(self, stage: str, iterations: int, start: int = 0, quiet: bool = False) -> None:
        self.bar = progress(stage, iterations, "iteration", start, quiet, lines=False)

    def after_update(self, iteration: int, losses: Losses) -> None:
        """Move on by one."""
        name, value = next(iter(losses.values().items()))
        self.bar.note(f"{name} {value:.3f}")
        self.bar.update()

    def at_end(self, iteration: int) -> None:
        """Leave the bar as it is."""
        self.bar.close()


class ProgressPicture(Hook):
    """Draws the losses of the log over the iterations into `progress.png`."""

    def __init__(self, log: Path, picture: Path, every: int) -> None:
        self.log, self.picture, self.every = log, picture, every

    def after_update(self, iteration: int, losses: Losses) -> None:
        """Draw at each multiple of `every`."""
        if (iteration + 1) % self.every == 0:
            self._draw()

    def at_end(self, iteration: int) -> None:
        """Draw the last state."""
        self._draw()

    def _draw(self) -> None:
        from darnet.training.pictures import draw_losses

        rows = read_log(self.log)
        if rows:
            draw_losses(rows, self.picture)


class Checkpoint(Hook):
    """Saves the step's tensors every `every` iterations and at the end. Weights that are not finite are never saved."""

    essential = True

    def __init__(self, path: Path, step: TrainingStep, meta: dict[str, Any], every: int) -> None:
        self.path, self.step, self.meta, self.every = path, step, meta, every
        self._saved = -1

    def after_update(self, iteration: int, losses: Losses) -> None:
        """Save at each multiple of `every`."""
        if (iteration + 1) % self.every == 0:
            self._save(iteration + 1)

    def at_end(self, iteration: int) -> None:
        """Save the last state if it is not saved already."""
        self._save(iteration)

    def _save(self, done: int) -> None:
        if done == self._saved:
            return
        tensors = self.step.tensors()
        broken = [name for name, t in tensors.items() if t.is_floating_point() and not bool(torch.isfinite(t).all())]
        if broken:
            raise DataError(
                f"the weights of {self.step.stage} are not finite any more and are not saved",
                where=f"after iteration {done}",
                found=f"{len(broken)} of {len(tensors)} tensors, first {broken[0]}",
                remedy="lower the learning rate in plans.json; the checkpoint before is intact",
            )
        save_checkpoint(self.path, tensors, {**self.meta, "iteration": done})
        self._saved = done


class Periodic(Hook):
    """Calls a function with the number of iterations done, every `every` iterations and at the end."""

    def __init__(self, call: Callable[[int], None], every: int) -> None:
        self.call, self.every = call, every
        self._last = -1

    def after_update(self, iteration: int, losses: Losses) -> None:
        """Call at each multiple of `every`."""
        if (iteration + 1) % self.every == 0:
            self._last = iteration + 1
            self.call(self._last)

    def at_end(self, iteration: int) -> None:
        """Call once more unless that was just done."""
        if iteration != self._last:
            self.call(iteration)
