"""darnet_train: translation, synthesis and the segmentation of one fold, each only where it is not done yet."""

from __future__ import annotations

import dataclasses
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from darnet.cli.common import add_common, entry, parser, root_flag, say, seed, warn
from darnet.errors import ConfigurationError
from darnet.layout import find_dataset
from darnet.plans import Plans

STAGES = ("all", "translation", "synthesis", "segmentation", "self_training")


def build_parser() -> ArgumentParser:
    """Flags of darnet_train."""
    command = parser("darnet_train", "Train the translator (once a data set) and the segmentation of a fold.")
    command.add_argument("dataset", help="id, name or path of the data set; with -d before it too")
    command.add_argument("fold", help="0 to 4, or all to train on every source case")
    command.add_argument("--continue", dest="resume", action="store_true", help="go on from the last checkpoint")
    command.add_argument("--stage", choices=STAGES, default="all", help="do only this stage; not of a baseline")
    baseline = command.add_mutually_exclusive_group()
    baseline.add_argument(
        "--no_adaptation",
        action="store_true",
        help="a baseline: train on the source scans as they are; goes to results/.../no_adaptation",
    )
    baseline.add_argument(
        "--no_translation",
        action="store_true",
        help="as --no_adaptation, but with the planned contrasts, made-up ones too; goes to results/.../no_translation",
    )
    command.add_argument("--seed", type=seed, default=None, help="seed of everything random; the plan's if not given")
    command.add_argument(
        "--tensorboard", action="store_true", help="also write events to tensorboard/ beside each checkpoint"
    )
    add_common(command)
    return command


def run(args: Namespace) -> None:
    """Carry out darnet_train."""
    from darnet.baselines import train_without_adaptation, train_without_translation
    from darnet.pipeline import train
    from darnet.training import RunOptions, resolve_device

    refuse_stage_of_baseline(args)
    layout = find_dataset(args.dataset, args.root)
    plans = Plans.read(layout.plans)
    if args.seed is not None:
        plans = dataclasses.replace(plans, seed=args.seed)
    device = resolve_device(args.device)
    options = RunOptions(device, args.resume, args.quiet, tensorboard=args.tensorboard, notice=warn)
    say(args, f"{layout.name}, preset {plans.preset}, fold {args.fold}, on {options.device}")
    if args.no_adaptation:
        train_without_adaptation(layout, plans, args.fold, options)
    elif args.no_translation:
        train_without_translation(layout, plans, args.fold, options)
    else:
        train(layout, plans, args.fold, options, args.stage, notice=warn)
    say(args, f"results are in {layout.results}")
    if args.stage in ("all", "self_training") and not (args.no_adaptation or args.no_translation):
        say(
            args,
            f"next: darnet_predict -i FOLDER_OF_SCANS -o FOLDER_FOR_MASKS -d {args.dataset} -f {args.fold}"
            f"{root_flag(args)} --preview",
        )


def refuse_stage_of_baseline(args: Namespace) -> None:
    """Refuse to do only one stage of a baseline, which has one alone.

    Raises:
        ConfigurationError: It was asked for.
    """
    baseline = "--no_adaptation" if args.no_adaptation else "--no_translation" if args.no_translation else None
    if baseline and args.stage != "all":
        raise ConfigurationError(
            "a baseline has no stages: it is one training on source scans",
            found=f"{baseline} --stage {args.stage}",
            remedy=f"leave out --stage to train the baseline, or {baseline} to do only this stage",
        )


def without_flag(argv: Sequence[str]) -> list[str]:
    """The arguments with the data set first, where it is named as in all other commands: with -d."""
    if "-d" not in argv[:-1]:
        return list(argv)
    place = argv.index("-d")
    return [argv[place + 1], *argv[:place], *argv[place + 2 :]]


def main(argv: Sequence[str] | None = None) -> int:
    """Console command."""
    return entry(build_parser, run, without_flag(sys.argv[1:] if argv is None else argv))
