"""Two ways of doing the same, timed in turn, and the peak memory of each: what every row of the benchmarks is made of.

A row is a module of this folder with

    def prepare(side: str, threads: int) -> Callable[[], object]   # side is DARNET or OTHER; at module level
    def measure(pairs: int, threads: int) -> Row
    if __name__ == "__main__":
        run_row(measure)
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

DARNET, OTHER = "darnet", "other"
LEAST_PAIRS = 5

Prepare = Callable[[str, int], Callable[[], object]]


class Skipped(Exception):
    """A row that cannot be measured here, and why."""


@dataclass(frozen=True)
class Times:
    """Seconds of both sides, run in turn.

    Attributes:
        darnet: Seconds of each run of darnet.
        other: Seconds of each run of the other side, the partner of darnet's run of the same index.
    """

    darnet: tuple[float, ...]
    other: tuple[float, ...]

    @property
    def ratios(self) -> list[float]:
        """Darnet's time as a share of the other's, for each pair."""
        return [a / b for a, b in zip(self.darnet, self.other, strict=True)]


@dataclass(frozen=True)
class Row:
    """One row of the table. All ratios are darnet's value as a share of the other side's: smaller is better.

    Attributes:
        row: What is measured.
        against: The other side.
        ratio: Median ratio of times.
        spread: Smallest and largest ratio of the pairs.
        target: Ratio of times to reach.
        met: Whether all targets are reached.
        seconds: Median seconds, by side.
        memory_ratio: Ratio of peak memories, or None where it is not measured.
        memory_target: Ratio of peak memories to reach, or None.
        memory: Peak bytes above those after imports and inputs, by side.
        machine: What it ran on.
        note: What a reader should know besides, such as the distance from the arithmetic limit.
    """

    row: str
    against: str
    ratio: float
    spread: tuple[float, float]
    target: float
    met: bool
    seconds: dict[str, float]
    memory_ratio: float | None
    memory_target: float | None
    memory: dict[str, float] | None
    machine: str
    note: str = ""


def time_pairs(
    darnet: Callable[[], object], other: Callable[[], object], pairs: int = LEAST_PAIRS, warm_up: int = 1
) -> Times:
    """Time two functions in turn; the order within a pair changes from pair to pair.

    Args:
        darnet: Darnet's side.
        other: The other side.
        pairs: Timed runs of each, at least five.
        warm_up: Runs of each that are not counted.
    """
    for _ in range(warm_up):
        darnet()
        other()
    times: dict[str, list[float]] = {DARNET: [], OTHER: []}
    for index in range(max(pairs, LEAST_PAIRS)):
        order = ((DARNET, darnet), (OTHER, other))
        for side, function in order if index % 2 == 0 else reversed(order):
            start = time.perf_counter()
            function()
            times[side].append(time.perf_counter() - start)
    return Times(tuple(times[DARNET]), tuple(times[OTHER]))


@contextlib.contextmanager
def sides_apart(prepare: Prepare, threads: int) -> Iterator[tuple[Callable[[], None], Callable[[], None]]]:
    """Both sides for `time_pairs`, each in a process of its own that stays, so that neither finds the other's memory.

    Args:
        prepare: Of the row; a function of a module, so that the processes can import it.
        threads: For the computation.
    """
    with contextlib.ExitStack() as stack:
        calls = []
        for side in (DARNET, OTHER):
            executor = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
            stack.enter_context(executor)
            executor.submit(_prepare_here, prepare, side, threads).result()
            calls.append(functools.partial(_call_there, executor))
        yield calls[0], calls[1]


_PREPARED: list[Callable[[], object]] = []


def _prepare_here(prepare: Prepare, side: str, threads: int) -> None:
    use_threads(threads)
    _PREPARED[:] = [prepare(side, threads)]


def _call_here() -> None:
    _PREPARED[0]()


def _call_there(executor: ProcessPoolExecutor) -> None:
    executor.submit(_call_here).result()


def peak_memory(prepare: Prepare, side: str, threads: int, runs: int = 1) -> float:
    """Peak resident bytes of one side above those after imports and inputs, in a fresh process.

    Args:
        prepare: Of the row; a function of a module, so that the process can import it.
        side: DARNET or OTHER.
        threads: For the computation.
        runs: Calls of the function that `prepare` gives.
    """
    # Unlike a pool's, the process of an executor may start processes of its own.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(_peak_here, prepare, side, threads, runs).result()


def peak_memories(prepare: Prepare, threads: int, runs: int = 1) -> dict[str, float]:
    """`peak_memory` of both sides, by side."""
    return {side: peak_memory(prepare, side, threads, runs) for side in (DARNET, OTHER)}


def _peak_here(prepare: Prepare, side: str, threads: int, runs: int) -> float:
    use_threads(threads)
    function = prepare(side, threads)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew from what is resident now
    before = _resident("VmRSS")
    for _ in range(runs):
        function()
    return _resident("VmHWM") - before


def _resident(key: str) -> float:
    """Bytes of a line of the kernel's status of this process: VmRSS now, VmHWM at the peak.

    Raises:
        Skipped: The system has no such status.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError as error:
        raise Skipped("peak memory is read from /proc, which this system lacks") from error
    return next(float(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":"))


def use_threads(threads: int) -> None:
    """Let torch, and libraries that are imported later, compute with so many threads."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(threads)
    import torch

    torch.set_num_threads(threads)


def make_row(
    row: str,
    against: str,
    times: Times,
    target: float,
    memory: dict[str, float] | None = None,
    memory_target: float | None = None,
    note: str = "",
) -> Row:
    """A row from what was measured; see `Row`."""
    ratio = statistics.median(times.ratios)
    memory_ratio = None if memory is None else memory[DARNET] / memory[OTHER]
    met = ratio <= target
    if memory_ratio is not None and memory_target is not None:
        met = met and memory_ratio <= memory_target
    return Row(
        row=row,
        against=against,
        ratio=ratio,
        spread=(min(times.ratios), max(times.ratios)),
        target=target,
        met=met,
        seconds={DARNET: statistics.median(times.darnet), OTHER: statistics.median(times.other)},
        memory_ratio=memory_ratio,
        memory_target=memory_target,
        memory=memory,
        machine=machine(),
        note=note,
    )


def machine() -> str:
    """Processor, number of its cores, and versions of Python and torch."""
    import torch

    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                name = line.split(":", 1)[1].strip()
                break
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}, torch {torch.__version__}"


def one_line(row: Row) -> str:
    """A row as one line of text."""
    text = (
        f"{row.row} against {row.against}: time {row.ratio:.3f} ({row.spread[0]:.3f} to {row.spread[1]:.3f}, at most "
        f"{row.target:.2f}), {row.seconds[DARNET]:.3g} against {row.seconds[OTHER]:.3g} s"
    )
    if row.memory_ratio is not None and row.memory is not None:
        limit = "" if row.memory_target is None else f", at most {row.memory_target:.2f}"
        sizes = " against ".join(f"{row.memory[side] / 2**20:.0f}" for side in (DARNET, OTHER))
        text += f"; memory {row.memory_ratio:.3f}{limit} ({sizes} MB)"
    text += f"; {'met' if row.met else 'missed'}"
    return text + (f"; {row.note}" if row.note else "")


def run_row(measure: Callable[[int, int], Row]) -> dict[str, object]:
    """The command of a row's module: measures, prints one line and gives back the row as a dictionary."""
    parser = argparse.ArgumentParser(description=(measure.__doc__ or "").splitlines()[0])
    parser.add_argument("--pairs", type=int, default=LEAST_PAIRS, help="timed runs of each side, at least five")
    parser.add_argument("--threads", type=int, default=2, help="threads that either side computes with")
    parser.add_argument("--json", type=Path, help="write the row, or why it is left out, to this file")
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    result: dict[str, object]
    try:
        row = measure(arguments.pairs, arguments.threads)
        result, text = asdict(row), one_line(row)
    except Skipped as reason:
        result, text = {"skipped": str(reason)}, f"left out: {reason}"
    print(text, flush=True)
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return result
