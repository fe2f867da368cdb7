"""`-h` of every command of darnet against `nnUNetv2_predict -h`: a process from start to end each.

python -m benchmarks.command_help
"""

from __future__ import annotations

import statistics
import tempfile
from importlib.metadata import entry_points
from pathlib import Path

from benchmarks.commands import Command, darnet_command
from benchmarks.nnunet import nnunet_command, nnunet_environment
from benchmarks.pairs import Row, make_row, run_row, time_pairs


def measure(pairs: int, threads: int) -> Row:
    """How long `-h` takes; the slowest of darnet's commands counts."""
    names = sorted(e.name for e in entry_points(group="console_scripts") if e.name.startswith("darnet_"))
    own = {name: Command([darnet_command(name), "-h"], threads) for name in names}
    with tempfile.TemporaryDirectory() as folder:
        theirs = [nnunet_command("nnUNetv2_predict"), "-h"]
        other = Command(theirs, threads, nnunet_environment(Path(folder)))
        for command in own.values():
            command.run()  # the warm-up of those that are not the slowest
        seconds = {name: statistics.median(command.run() for _ in range(3)) for name, command in own.items()}
        slowest = max(seconds, key=lambda name: seconds[name])
        times = time_pairs(own[slowest].run, other.run, pairs)
    note = f"the slowest of {len(names)} commands, {slowest}; the quickest takes {min(seconds.values()):.2g} s"
    return make_row("`-h` of every command", "`nnUNetv2_predict -h`", times, target=0.1, note=note)


if __name__ == "__main__":
    run_row(measure)
