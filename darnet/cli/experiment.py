"""darnet_experiment: variants of a plan under one budget, and a table that compares them."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from darnet.cli.common import add_common, entry, parser, say, warn, whole_number
from darnet.errors import SomeCasesFailed, raise_together
from darnet.layout import find_dataset
from darnet.plans import Plans

if TYPE_CHECKING:
    from darnet.experiment import Experiment
    from darnet.training import RunOptions


def build_parser() -> ArgumentParser:
    """Flags of darnet_experiment."""
    command = parser(
        "darnet_experiment",
        "Train variants of the plan of a preprocessed data set under one budget, segment its test scans with each, and "
        "compare them. What is done is kept: the same command goes on, and other rows or seeds are added to the table.",
    )
    what = command.add_mutually_exclusive_group(required=True)
    what.add_argument("-d", dest="dataset", help="id, name or path of the data set")
    what.add_argument("--list", dest="show", action="store_true", help="only list the rows and what they are")
    command.add_argument("--rows", nargs="+", metavar="ROW", help="rows to run; all if not given")
    command.add_argument("--seeds", type=whole_number(1), default=1, metavar="N", help="seeds of each row")
    command.add_argument("--fold", default="0", help="0 to 4, or all to train on every source case")
    command.add_argument(
        "--labelled_target",
        nargs=2,
        metavar=("IMAGES", "LABELS"),
        help="folders of target scans and their labels for the row supervised, which segments each scan with a network "
        "that has not seen it; else it trains on imagesTr_target with labelsTr_target and segments imagesTs",
    )
    command.add_argument("--estimate", action="store_true", help="only tell how long it will take")
    command.add_argument(
        "-np", dest="processes", type=whole_number(1), default=min(os.cpu_count() or 1, 8), help="cases at once"
    )
    add_common(command)
    return command


def run(args: Namespace) -> None:
    """Carry out darnet_experiment."""
    from darnet.experiment import ROWS, Experiment, ExperimentOptions, make_table, write_table
    from darnet.training import RunOptions, resolve_device

    if args.show:
        print("\n".join(f"{row.name:20} {row.description}" for row in ROWS))
        return
    layout = find_dataset(args.dataset, args.root)
    labelled = (Path(args.labelled_target[0]), Path(args.labelled_target[1])) if args.labelled_target else None
    chosen = ExperimentOptions(tuple(args.rows or ()), args.seeds, args.fold, labelled, args.processes)
    experiment = Experiment(layout, Plans.read(layout.plans), chosen)
    options = RunOptions(resolve_device(args.device), quiet=args.quiet, notice=warn)
    describe(args, experiment, options)
    if args.estimate:
        return
    failed = experiment.run(
        options, lambda text: say(args, text), lambda failed: write_table(experiment, make_table(experiment, failed))
    )
    path = write_table(experiment, make_table(experiment, failed))
    say(args, f"\n{path.read_text('utf-8')}\nthe table is {path}, with .json and .png beside it")
    if len(failed) == len(experiment.runs()):
        raise_together(list(failed.values()), "no row could be run")
    if failed:
        raise SomeCasesFailed(
            f"{len(failed)} of {len(experiment.runs())} runs failed; what the others gave is kept",
            found="\n".join(f"{name}: {error}" for name, error in failed.items()),
            remedy="mend this and run the same command again: it goes on where it was",
        )


def describe(args: Namespace, experiment: Experiment, options: RunOptions) -> None:
    """Say what will be done, and how long that takes here."""
    from darnet.experiment import NOT_SCORED
    from darnet.words import duration

    for row in experiment.rows:
        reason = experiment.unavailable(row)
        if reason:
            say(args, f"{row.name}: {reason}")
    runs = experiment.runs(1)
    unscored = [run.row.name for run in runs if experiment.references(run.row) is None]
    if unscored:
        rows = "" if len(unscored) == len(runs) else f"{', '.join(unscored)}: "
        warn(f"{rows}{NOT_SCORED}. Put them there before the training if you want scores")
    if args.quiet and not args.estimate:
        return
    say(args, "timing a few iterations of each network")
    expected = experiment.estimate(options)
    for name, seed, seconds in expected:
        time = "not measured" if seconds is None else duration(seconds)
        print(f"  {name:20} seed {seed}  {time:>12}", flush=True)
    total = sum(seconds for _, _, seconds in expected if seconds is not None)
    print(f"about {duration(total)} of training on {options.device} for {len(expected)} runs", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Console command."""
    return entry(build_parser, run, argv)
