"""darnet_demo: the whole way on a small built-in data set."""

from __future__ import annotations

import os
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from darnet.cli.common import add_common, entry, parser, say, seed, warn

MINUTES = 15


def build_parser() -> ArgumentParser:
    """Flags of darnet_demo."""
    command = parser(
        "darnet_demo",
        "Draw phantoms of two modalities, adapt from one to the other, and compare with no adaptation and with "
        f"supervised training. About {MINUTES} minutes on two cores; started again, it goes on where it was.",
    )
    command.add_argument("-o", dest="output", metavar="FOLDER", default="darnet_demo", help="where everything goes")
    command.add_argument("--seed", type=seed, default=0, help="seed of the phantoms and of training")
    add_common(command)
    return command


def run(args: Namespace) -> None:
    """Carry out darnet_demo."""
    from darnet.demo import format_demo, run_demo
    from darnet.training import RunOptions, resolve_device

    options = RunOptions(device=resolve_device(args.device), quiet=args.quiet, notice=warn)
    start = time.monotonic()
    processes = min(os.cpu_count() or 1, 4)
    result = run_demo(Path(args.output), options, args.seed, processes=processes, notice=lambda text: say(args, text))
    print(f"\n{format_demo(result)}\n\n{(time.monotonic() - start) / 60:.1f} minutes", flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Console command."""
    return entry(build_parser, run, argv)
