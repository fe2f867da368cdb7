"""Commands in processes of their own: how long they take, and the peak memory of all processes they start."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.pairs import DARNET, OTHER, Skipped

INTERVAL = 0.05  # seconds between two looks at the memory
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass
class Command:
    """A command that may be run again and again.

    Attributes:
        arguments: Program and flags.
        threads: That each of its processes computes with.
        environment: Variables beside those of this process.
        before: Called before each run, such as to remove what the last one wrote; its time does not count.
        limit: Seconds after which the command counts as hanging.
        peaks: Peak bytes of each run.
        seconds: Time of each run.
    """

    arguments: Sequence[str]
    threads: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    before: Callable[[], object] = lambda: None
    limit: float = 900.0
    peaks: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def run(self) -> float:
        """Run it to its end; gives its seconds.

        Raises:
            RuntimeError: It failed; the message has the last lines of what it said.
            subprocess.TimeoutExpired: It did not end.
        """
        self.before()
        environment = {**os.environ, **dict.fromkeys(THREADS, str(self.threads)), **self.environment}
        start = time.perf_counter()
        process = subprocess.Popen(
            self.arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        with _watched(process.pid) as peak:
            try:
                said, _ = process.communicate(timeout=self.limit)
            finally:
                process.kill()
        seconds = time.perf_counter() - start
        if process.returncode:
            raise RuntimeError(f"{self.arguments[0]} failed:\n" + "\n".join(said.splitlines()[-15:]))
        self.seconds.append(seconds)
        self.peaks.append(peak[0])
        return seconds


def peaks_of(darnet: Command, other: Command) -> dict[str, float]:
    """Median peak memory of the runs of both, by side.

    Raises:
        Skipped: The system does not tell the memory of processes.
    """
    middle = {side: sorted(c.peaks)[len(c.peaks) // 2] for side, c in ((DARNET, darnet), (OTHER, other))}
    if not all(middle.values()):
        raise Skipped("the memory of processes is read from /proc, which this system lacks")
    return middle


def darnet_command(name: str) -> str:
    """Path of a command of darnet, installed beside the Python that runs this.

    Raises:
        Skipped: It is not installed.
    """
    path = Path(sys.executable).parent / name
    if not path.exists():
        raise Skipped(f"{path} is missing: install darnet with make setup")
    return str(path)


@contextlib.contextmanager
def _watched(pid: int):  # noqa: ANN202 - a generator of one list
    """Looks at the memory of a process and all below it until the body ends; gives a list with the peak in bytes."""
    peak, stop = [0.0], threading.Event()

    def look() -> None:
        while not stop.wait(INTERVAL):
            peak[0] = max(peak[0], sum(map(_proportional, _tree(pid))))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()


def _tree(pid: int) -> list[int]:
    """A process and all below it."""
    found, rest = [], [pid]
    while rest:
        found.append(rest.pop())
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{found[-1]}/task").iterdir():
                rest += map(int, (task / "children").read_text().split())
    return found


def _proportional(pid: int) -> float:
    """Resident bytes of a process, of a page that several share its part alone (PSS)."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return float(line.split()[1]) * 1024
    return 0.0
