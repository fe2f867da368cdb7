"""How much of the machine other programs use, where the system tells."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

STAT = Path("/proc/stat")
IDLE = (3, 4)  # idle and waiting for disks, among the times of the first line
COUNTED = 8  # user, nice, system, idle, iowait, irq, softirq, steal; what follows is counted in user


@dataclass(frozen=True)
class Moment:
    """Seconds at one moment.

    Attributes:
        clock: Of a clock on the wall.
        machine: That all cores have worked, for any program.
        own: That they have worked for this process.
    """

    clock: float
    machine: float
    own: float


def this_moment(stat: Path = STAT) -> Moment | None:
    """Times until now; None where the system does not tell, as on macOS and Windows."""
    try:
        ticks = [int(n) for n in stat.read_text().split("\n", 1)[0].split()[1 : 1 + COUNTED]]
        if len(ticks) <= max(IDLE):
            return None
        worked = sum(n for place, n in enumerate(ticks) if place not in IDLE) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError):
        return None
    return Moment(time.perf_counter(), worked, time.process_time())


def cores_of_others(before: Moment | None, after: Moment | None) -> float:
    """Cores that other programs kept busy between two moments; 0 where that is not known."""
    if before is None or after is None or after.clock <= before.clock:
        return 0.0
    others = (after.machine - before.machine) - (after.own - before.own)
    return max(others / (after.clock - before.clock), 0.0)
