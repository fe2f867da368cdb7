"""darnet_train: translation, synthesis and the segmentation of one fold, each only where it is not done yet."""

from __future__ import annotations

import dataclasses
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from darnet.cli.common import add_common, entry, parser, say
from darnet.errors import ConfigurationError
from darnet.layout import DatasetLayout, find_dataset
from darnet.plans import Plans

if TYPE_CHECKING:
    from darnet.training import RunOptions

STAGES = ("all", "translation", "synthesis", "segmentation")


def build_parser() -> ArgumentParser:
    """Flags of darnet_train."""
    command = parser("darnet_train", "Train the translator (once a data set) and the segmentation of a fold.")
    command.add_argument("dataset", help="id, name or path of the data set")
    command.add_argument("fold", help="0 to 4, or all to train on every source case")
    command.add_argument("--continue", dest="resume", action="store_true", help="go on from the last checkpoint")
    command.add_argument("--stage", choices=STAGES, default="all", help="do only this stage")
    command.add_argument(
        "--no_adaptation",
        action="store_true",
        help="train on the untranslated source scans, as a baseline; goes to results/.../no_adaptation",
    )
    command.add_argument("--seed", type=int, default=None, help="seed of everything random; the plan's if not given")
    add_common(command)
    return command


def run(args: Namespace) -> None:
    """Carry out darnet_train."""
    from darnet.training import RunOptions, resolve_device

    layout = find_dataset(args.dataset, args.root)
    plans = Plans.read(layout.plans)
    if args.seed is not None:
        plans = dataclasses.replace(plans, seed=args.seed)
    options = RunOptions(device=resolve_device(args.device), resume=args.resume, quiet=args.quiet)
    say(args, f"{layout.name}, preset {plans.preset}, fold {args.fold}, on {options.device}")
    if args.no_adaptation:
        train_without_adaptation(layout, plans, args.fold, options)
    else:
        train(layout, plans, args.fold, options, args.stage)
    say(args, f"results are in {layout.results}")


def _publish_plans(plans: Plans, folder: Path) -> None:
    """Put the plan beside the weights, so that the results folder alone is enough to predict."""
    from darnet.io import write_json

    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "plans.json", plans.to_json())


def train(layout: DatasetLayout, plans: Plans, fold: str | int, options: RunOptions, stage: str = "all") -> None:
    """Train one fold from the case stores: translator, synthetic volumes, DAR-UNet.

    The translator and the synthetic volumes are shared by all folds; a finished one is used as it is, an unfinished
    one is gone on with.

    Args:
        layout: Where the data set lies.
        plans: Its plan.
        fold: 0 to 4, or "all".
        options: Device, resume, quiet.
        stage: "all", or the only one to do.
    """
    from darnet.io import CaseStore
    from darnet.synthesis import synthesis_hash, synthesize
    from darnet.training import (
        CHECKPOINT,
        load_translator,
        read_fold,
        train_segmentation,
        train_translation,
    )

    split = read_fold(layout.splits, fold)
    source, target = CaseStore(layout.cases("source")), CaseStore(layout.cases("target"))
    synthetic = CaseStore(layout.synthetic)
    _publish_plans(plans, layout.results)
    checkpoint = layout.translation / CHECKPOINT
    if stage in ("all", "translation"):
        # Folds after the first find the translator there; they must not be refused for it.
        resume = dataclasses.replace(options, resume=checkpoint.exists())
        train_translation(plans, source, target, layout.translation, resume)
    if stage == "translation":
        return
    translator, done = load_translator(plans, layout.translation, options.device)
    if done < plans.translation.iterations:
        raise ConfigurationError(
            "the translator is not trained to its end",
            where=checkpoint,
            found=f"{done} iterations",
            expected=plans.translation.iterations,
            remedy="run darnet_train without --stage, or with --stage translation",
        )
    origin = synthesis_hash(plans, checkpoint)
    variants = synthesize(plans, translator, source, target, synthetic, origin, options.device, options.quiet)
    if stage == "synthesis":
        return
    folder = layout.segmentation(fold)
    train_segmentation(plans, synthetic, source, variants, split, str(fold), folder, options)


def train_without_adaptation(layout: DatasetLayout, plans: Plans, fold: str | int, options: RunOptions) -> None:
    """The baseline: the same DAR-UNet and budget on the source volumes as they are."""
    from darnet.io import CaseStore
    from darnet.training import read_fold, train_segmentation

    source = CaseStore(layout.cases("source"))
    results = layout.results / "no_adaptation"
    _publish_plans(plans, results)
    variants = {case: (case,) for case in source.case_ids()}
    folder = results / "segmentation" / f"fold_{fold}"
    split = read_fold(layout.splits, fold)
    train_segmentation(plans, source, source, variants, split, str(fold), folder, options)


def main(argv: Sequence[str] | None = None) -> int:
    """Console command."""
    return entry(build_parser, run, argv)
