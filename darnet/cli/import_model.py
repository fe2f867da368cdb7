"""darnet_import_model: put a shared model where darnet_predict finds it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from darnet.cli.common import add_common, entry, parser, say, warn
from darnet.layout import find_root


def build_parser() -> ArgumentParser:
    """Flags of darnet_import_model."""
    command = parser(
        "darnet_import_model",
        "Put a model of darnet_export_model below a root folder. The file is checked before it takes its place, "
        "nothing in it is executed, and nothing that is there is replaced.",
    )
    command.add_argument("-i", dest="input", required=True, metavar="FILE", help="a zip of darnet_export_model")
    command.add_argument("--name", help="name of the data set, such as Dataset101_AbdomenCT2MR; else the file's own")
    add_common(command)
    return command


def run(args: Namespace) -> None:
    """Carry out darnet_import_model."""
    from darnet.io import sha256_of
    from darnet.sharing import import_model

    archive = Path(args.input)
    folder = import_model(archive, find_root(args.root), args.name, warn)
    say(args, f"{archive} is in {folder}\nSHA-256 {sha256_of(archive)}\nnext: darnet_predict -m {folder} ...")


def main(argv: Sequence[str] | None = None) -> int:
    """Console command."""
    return entry(build_parser, run, argv)
