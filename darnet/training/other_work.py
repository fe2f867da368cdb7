"""How much of the machine other programs use, where the system tells."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
WORK = (
    0,
    1,
    2,
    5,
    6,
)  # user, nice, system and interrupts, among the times of a core; the rest is idle or another machine's


@dataclass(frozen=True)
class Moment:
    """Seconds at one moment.

    Attributes:
        clock: Of a clock on the wall.
        machine: That the cores open to this process have worked, for any program.
        own: That they have worked for this process.
    """

    clock: float
    machine: float
    own: float


def this_moment(stat: Path = STAT) -> Moment | None:
    """Times until now; None where the system does not tell, as on macOS and Windows."""
    try:
        own = {f"cpu{core}" for core in os.sched_getaffinity(0)}
        rows = [line.split() for line in stat.read_text().splitlines()]
        ticks = [int(row[1 + place]) for row in rows if row and row[0] in own for place in WORK]
        tick = 1 / os.sysconf("SC_CLK_TCK")
    except (AttributeError, IndexError, OSError, ValueError):
        return None
    return Moment(time.perf_counter(), sum(ticks) * tick, time.process_time()) if ticks else None


def cores_here() -> int:
    """Cores that are open to this process."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def cores_of_others(before: Moment | None, after: Moment | None) -> float:
    """Cores that other programs kept busy between two moments; 0 where that is not known."""
    if before is None or after is None or after.clock <= before.clock:
        return 0.0
    others = (after.machine - before.machine) - (after.own - before.own)
    return max(others / (after.clock - before.clock), 0.0)
