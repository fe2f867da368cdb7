"""darnet_export_model: trained networks as one file to share."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from darnet.cli.common import add_common, entry, parser, say, warn
from darnet.layout import find_dataset


def build_parser() -> ArgumentParser:
    """Flags of darnet_export_model."""
    command = parser(
        "darnet_export_model",
        "Write trained networks and their plan as one zip to share. It holds weights, plan, class names and the name "
        "of the data set: no path, no date and no name of a scan.",
    )
    model = command.add_mutually_exclusive_group(required=True)
    model.add_argument("-d", dest="dataset", help="id, name or path of the data set whose networks are exported")
    model.add_argument("-m", dest="model", metavar="FOLDER", help="a results folder instead of a data set")
    command.add_argument("-o", dest="output", required=True, metavar="FILE", help="NAME.zip; it must not be there")
    command.add_argument(
        "-f", dest="folds", nargs="+", metavar="FOLD", help="folds to export: numbers, or all; else every trained fold"
    )
    add_common(command)
    return command


def run(args: Namespace) -> None:
    """Carry out darnet_export_model."""
    from darnet.sharing import export_model

    folder = Path(args.model) if args.model else find_dataset(args.dataset, args.root).results
    folds, digest = export_model(folder, Path(args.output), "all" if args.folds == ["all"] else args.folds, warn)
    say(args, f"fold {', '.join(folds)} of {folder} is in {args.output}\nSHA-256 {digest}")


def main(argv: Sequence[str] | None = None) -> int:
    """Console command."""
    return entry(build_parser, run, argv)
