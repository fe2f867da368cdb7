"""Progress of long work: a bar in a terminal, a line a minute in a log file, nothing where quiet is asked for."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterator
from typing import TextIO, TypeVar

from darnet.words import duration

Item = TypeVar("Item")

SECONDS_A_LINE = 60.0


class Progress:
    """Shows how far a piece of work is, until it is closed, as a with statement does. This one shows nothing."""

    def update(self, steps: int = 1) -> None:
        """Move on by so many steps."""

    def note(self, text: str) -> None:
        """Show a few words, such as a loss, from the next time on."""

    def close(self) -> None:
        """Show the last state and stop."""

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def progress(
    description: str,
    total: int,
    unit: str = "case",
    start: int = 0,
    quiet: bool = False,
    stream: TextIO | None = None,
    clock: Callable[[], float] = time.monotonic,
    lines: bool = True,
) -> Progress:
    """Show how far a piece of work is.

    A terminal gets a bar that moves. Anything else, such as the log file of a job on a cluster, gets a line a minute
    and one at the end, without control characters.

    Args:
        description: What is being done.
        total: Steps in all.
        unit: What a step is, in the singular.
        start: Steps that were done before.
        quiet: Show nothing.
        stream: Where to; standard error if not given.
        clock: Seconds that pass.
        lines: Whether there are lines where there is no terminal: not where the work tells more in lines of its own.
    """
    stream = sys.stderr if stream is None else stream
    if quiet or not total or not (lines or stream.isatty()):
        return Progress()
    if stream.isatty():
        return _Bar(description, total, unit, start, stream)
    return _Lines(description, total, unit, start, stream, clock)


def track(items: Collection[Item], description: str, unit: str = "case", quiet: bool = False) -> Iterator[Item]:
    """Give the items one by one and show how far that is."""
    with progress(description, len(items), unit, quiet=quiet) as shown:
        for item in items:
            yield item
            shown.update()


def message(text: str, stream: TextIO | None = None) -> None:
    """Print a line to standard error without tearing a bar that is shown there."""
    stream = sys.stderr if stream is None else stream
    if stream.isatty():
        from tqdm import tqdm

        tqdm.write(text, file=stream)
    else:
        print(text, file=stream, flush=True)


class _Bar(Progress):
    """A bar that moves."""

    def __init__(self, description: str, total: int, unit: str, start: int, stream: TextIO) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            total=total, initial=start, desc=description, unit=unit, file=stream, mininterval=0.5, dynamic_ncols=True
        )

    def update(self, steps: int = 1) -> None:
        self._bar.update(steps)

    def note(self, text: str) -> None:
        self._bar.set_postfix_str(text, refresh=False)

    def close(self) -> None:
        self._bar.close()


class _Lines(Progress):
    """A line a minute and one at the end."""

    def __init__(
        self, description: str, total: int, unit: str, start: int, stream: TextIO, clock: Callable[[], float]
    ) -> None:
        self._description, self._total, self._unit, self._stream, self._clock = description, total, unit, stream, clock
        self._first = self._done = start
        self._note = ""
        self._began = self._shown = clock()
        self._closed = False

    def update(self, steps: int = 1) -> None:
        """Count steps, and print a line when the last is a minute old."""
        self._done += steps
        now = self._clock()
        if now - self._shown >= SECONDS_A_LINE and self._done < self._total:
            self._shown = now
            left = (self._total - self._done) * (now - self._began) / max(self._done - self._first, 1)
            self._print(f"{duration(now - self._began)} gone, about {duration(left)} left")

    def note(self, text: str) -> None:
        self._note = text

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._print(f"in {duration(self._clock() - self._began)}")

    def _print(self, times: str) -> None:
        line = f"{self._description}: {self._unit} {self._done} of {self._total}, {times}"
        print(f"{line}, {self._note}" if self._note else line, file=self._stream, flush=True)
