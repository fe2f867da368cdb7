"""All rows of the benchmarks, each in a process of its own: `benchmarks/results.json` and the tables of
`docs/performance.md`.

    python -m benchmarks [--rows training_step synthesis] [--pairs 5] [--threads 2]

Rows that are not asked for keep their former result. A row that cannot be measured, or fails, says why and is left out
of the table; the others are measured all the same.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.pairs import DARNET, LEAST_PAIRS, OTHER
from benchmarks.tables import replace_between

# Modules of this folder, in the order of the table.
ROWS = (
    "training_step",
    "inference",
    "translation_step",
    "synthesis",
    "patch_loader",
    "network_inference",
    "network_inference_fast",
    "preprocessing",
    "prediction",
    "prediction_fast",
    "evaluation",
    "command_help",
)
HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAGE = HERE.parent / "docs" / "performance.md"


def measure(name: str, pairs: int, threads: int) -> dict:
    """The row of a module, or `{"skipped": why}`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "row.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", "--json", str(out)]
        command += ["--pairs", str(pairs), "--threads", str(threads)]
        start = time.monotonic()
        done = subprocess.run(command, cwd=HERE.parent, stderr=subprocess.PIPE, text=True)
        if done.returncode or not out.exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            print(f"{name} failed: {last}", flush=True)
            return {"skipped": f"failed: {last}"}
        print(f"  {name} took {time.monotonic() - start:.0f} s", flush=True)
        return json.loads(out.read_text())


def table(results: dict[str, dict]) -> str:
    """The results as a Markdown table, and below it what was left out and the notes."""
    lines = [
        "| What | Against | Time, as a share (spread) | At most | Seconds | Memory, as a share | At most | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    notes = []
    for name in (n for n in ROWS if n in results):
        row = results[name]
        if "skipped" in row:
            notes.append(f"* `{name}` is left out: {row['skipped']}")
            continue
        low, high = row["spread"]
        seconds = " against ".join(f"{row['seconds'][side]:.3g}" for side in (DARNET, OTHER))
        memory, limit = (
            "" if value is None else f"{value:.2f}" for value in (row["memory_ratio"], row["memory_target"])
        )
        lines.append(
            f"| {row['row']} | {row['against']} | {row['ratio']:.3f} ({low:.3f} to {high:.3f}) | {row['target']:.2f} | "
            f"{seconds} | {memory} | {limit} | {'met' if row['met'] else '**missed**'} |"
        )
        if row["note"]:
            notes.append(f"* {row['row']}: {row['note']}")
    return "\n".join([*lines, "", *notes, *_machines(results)])


def _machines(results: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A note for each machine that rows were measured on, with its rows where there are several."""
    rows: dict[str, list[str]] = {}
    for name in (n for n in ROWS if "machine" in results.get(n, {})):
        rows.setdefault(results[name]["machine"], []).append(f"`{name}`")
    if len(rows) == 1:
        return [f"* Measured on: {machine}" for machine in rows]
    return [f"* Measured on {machine}: {', '.join(names)}" for machine, names in sorted(rows.items())]


def main() -> None:
    """Measure the rows that are asked for and write all."""
    parser = argparse.ArgumentParser(description="Darnet against other ways of doing the same.")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS, metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--pairs", type=int, default=LEAST_PAIRS, help="timed runs of each side, at least five")
    parser.add_argument("--threads", type=int, default=2, help="threads that either side computes with")
    arguments = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in arguments.rows:
        results[name] = measure(name, arguments.pairs, arguments.threads)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        replace_between(PAGE, "rows", table(results))


if __name__ == "__main__":
    main()
