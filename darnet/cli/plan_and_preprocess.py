"""darnet_plan_and_preprocess: look at a raw data set, plan everything, fill the case stores."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from darnet.cli.common import (
    add_common,
    add_replace_non_finite,
    entry,
    parser,
    positive,
    root_flag,
    say,
    seed,
    warn,
    whole_number,
)
from darnet.errors import DarnetError, DataError, collect
from darnet.layout import DatasetLayout, find_dataset
from darnet.plans import Plans
from darnet.words import counted, duration

if TYPE_CHECKING:
    import torch

    from darnet.planning import Fingerprint, VerifiedDataset

PRESET_NAMES = ("paper", "fast")
LEAST_OF_OWN = 0.75  # share of the cores that training would use which others leave free, or else it is said


def build_parser() -> ArgumentParser:
    """Flags of darnet_plan_and_preprocess."""
    command = parser("darnet_plan_and_preprocess", "Check a data set, plan everything from it, and preprocess it.")
    command.add_argument("-d", dest="dataset", required=True, help="id, name or path of the data set")
    command.add_argument(
        "--preset", choices=PRESET_NAMES, default=None, help="how much to compute; else paper with a GPU, fast without"
    )
    command.add_argument(
        "-np", dest="processes", type=whole_number(1), default=min(os.cpu_count() or 1, 8), help="cases at once"
    )
    command.add_argument("--seed", type=seed, default=0, help="seed of folds, training and synthesis")
    command.add_argument(
        "--memory",
        type=positive,
        default=24.0,
        metavar="GB",
        help="memory that a training step may take; patches are planned for it",
    )
    only = command.add_mutually_exclusive_group()
    only.add_argument("--verify", action="store_true", help="only list all faults of the data set, as a table")
    only.add_argument("--plan_only", action="store_true", help="stop after plans.json is written")
    only.add_argument("--keep_plan", action="store_true", help="preprocess with plans.json as it is, edits included")
    add_replace_non_finite(command)
    add_common(command)
    return command


def run(args: Namespace) -> None:
    """Carry out darnet_plan_and_preprocess."""
    from darnet.workers import start_server

    layout = find_dataset(args.dataset, args.root)
    if args.processes > 1:  # before this process imports: both take seconds
        start_server("darnet.preprocessing.dataset")
    if args.verify:
        verify(args, layout)
    else:
        plan_and_preprocess(args, layout)


def plan_and_preprocess(args: Namespace, layout: DatasetLayout) -> None:
    """Plan a data set, fill its case stores and tell of it, as far as the flags ask for it."""
    from darnet import pipeline
    from darnet.io import CaseStore
    from darnet.planning import find_preset, verify_dataset
    from darnet.preprocessing import thin_classes
    from darnet.training import fold_notes, other_number_of_folds, resolve_device

    pipeline.require_room_for(layout, "preprocessed")
    device = resolve_device(args.device)
    preset = find_preset(args.preset or ("paper" if device.type == "cuda" else "fast"))
    if args.keep_plan:
        dataset = verify_dataset(layout, args.replace_non_finite)
        plans = pipeline.keep_plan(layout, dataset, warn)
    else:
        dataset, fingerprint = pipeline.verify(layout, args.processes, args.quiet, args.replace_non_finite)
        tell_notes(args, dataset, fingerprint)
        say(args, f"{layout.name}: {len(dataset.source)} labelled source scans, {len(dataset.target)} target scans")
        plans = pipeline.plan(
            layout, dataset, fingerprint, preset, args.seed, args.memory, args.processes, args.quiet, warn
        )
        shown = {case.case_id: case.class_ml for case in fingerprint.of("source")}
        for text in fold_notes(layout.splits, shown):
            say(args, f"note: {text}")
    if note := other_number_of_folds(layout.splits, plans.segmentation.folds, len(dataset.source)):
        say(args, f"note: {note}")
    if args.plan_only:
        say(args, f"{describe(plans)}\nthe whole plan, each choice with its reason: {layout.plans}")
        return
    made, there = pipeline.preprocess(layout, dataset, plans, args.processes, args.quiet, warn)
    say(args, f"{counted(made, 'case')} preprocessed, {there} were there; they are in {layout.preprocessed}")
    if (known := known_fingerprint(layout)) is not None:
        for doubt in thin_classes(CaseStore(layout.cases("source")), known, plans):
            warn(doubt)
    if not args.quiet:
        counts = f"{len(dataset.source)} {plans.source.modality} scans with labels, {len(dataset.target)}"
        say(args, f"\n{layout.name} is ready for training\n  data          {counts} {plans.target.modality} scans")
        say(args, f"{describe_scans(layout, plans)}{describe(plans)}\n{describe_effort(layout, plans, device)}")
        train, report = f"darnet_train {args.dataset} 0{root_flag(args)}", f"darnet_report -d {args.dataset}"
        say(args, f"  next          {train}; to look at it all: {report}{root_flag(args)}")


def verify(args: Namespace, layout: DatasetLayout) -> None:
    """Check a data set to its last voxel and say what is wrong, all at once.

    Raises:
        DataError: A table of all faults.
    """
    from darnet import pipeline
    from darnet.planning import format_faults

    try:
        dataset, fingerprint = pipeline.verify(layout, args.processes, args.quiet, args.replace_non_finite)
    except DataError as error:
        table = format_faults(error.faults, layout.raw)
        number = counted(len(error.faults), "fault")
        raise DataError(f"the data set {layout.name} in {layout.raw} has {number}\n\n{table}") from None
    tell_notes(args, dataset, fingerprint)
    counts = f"{len(dataset.source)} labelled source scans, {len(dataset.target)} target scans"
    say(args, f"{layout.name}: the data set is in order: {counts}, {len(dataset.info.labels) - 1} classes")


def tell_notes(args: Namespace, dataset: VerifiedDataset, fingerprint: Fingerprint) -> None:
    """What a user should know of a data set that can be used; what is in doubt is said with --quiet too."""
    from darnet.planning import doubtful_kinds, mixed_planes, odd_values, odd_volumes

    for note in (*dataset.notes, *(note for case in fingerprint.cases for note in case.notes)):
        say(args, f"note: {note}")
    names = dataset.info.source_modality, dataset.info.target_modality
    kinds = [*doubtful_kinds(fingerprint, *names), *odd_values(fingerprint, *names)]
    for doubt in (*dataset.info.doubts, *kinds, *mixed_planes(fingerprint), *odd_volumes(fingerprint)):
        warn(doubt)


def known_fingerprint(layout: DatasetLayout) -> Fingerprint | None:
    """What was measured of the scans; None where that is not known, as with --keep_plan, which does not need it."""
    from darnet.planning import Fingerprint

    return collect([], lambda: Fingerprint.read(layout.fingerprint))


def describe_scans(layout: DatasetLayout, plans: Plans) -> str:
    """Median voxel of either kind of scan in a line, to compare the planned grid with; empty where it is not known."""
    from darnet.layout import DOMAINS

    fingerprint = known_fingerprint(layout)
    if fingerprint is None:
        return ""
    medians = (
        f"{plans.domain(d).modality} {' x '.join(f'{s:.3g}' for s in fingerprint.median(d, 'spacing'))}"
        for d in DOMAINS
    )
    return f"  voxels        {', '.join(medians)} mm (medians of the scans)\n"


def describe(plans: Plans) -> str:
    """The plan in a few lines."""
    cross = " x ".join
    pre, tra, seg = plans.preprocessing, plans.translation, plans.segmentation
    styles, few = plans.translations_a_case, plans.synthesis.styles_a_case
    a_scan = f", most scans in {few} of them" if few and few < styles else ""
    windows = f" in windows of {cross(map(str, tra.window))}" if tra.window else ""
    lines = [
        f"  plan          preset {plans.preset}",
        f"  grid          {cross(f'{s:g}' for s in pre.spacing)} mm (through plane, in plane)",
        f"  intensities   {plans.source.modality}: {plans.source.intensity.rule} {plans.source.intensity.low:g} to "
        f"{plans.source.intensity.high:g}; {plans.target.modality}: {plans.target.intensity.rule} "
        f"{plans.target.intensity.low:g} to {plans.target.intensity.high:g}"
        + (f"; bright and dark of {plans.source.modality} turned round" if pre.source_inverted else ""),
        f"  translation   slices {cross(map(str, tra.slice_size))}{windows}, width {tra.width}, {tra.iterations} "
        f"iterations of {tra.batch_size}, then {styles} style{'s' if styles > 1 else ''}{a_scan}"
        if plans.translates
        else f"  translation   none: {plans.segmentation.why.get('source_share', 'segmentation.source_share is 1')}",
        f"  segmentation  patches {cross(map(str, seg.patch_size))}, widths {' '.join(map(str, seg.channels))}, "
        f"{seg.iterations} iterations of {seg.batch_size}, about {plans.predicted_memory_gb:g} GB a step",
        f"  strides       {', '.join(cross(map(str, s)) for s in seg.strides)} (how the network shrinks a patch)",
    ]
    if plans.self_training.rounds:
        own = plans.self_training
        some = f", {plans.most_scans} of them at most" if plans.most_scans else ""
        lines.append(
            f"  self-training {counted(own.rounds, 'round')} of {own.iterations} iterations, on target scans too{some}"
        )
    return "\n".join(lines)


def describe_effort(layout: DatasetLayout, plans: Plans, device: torch.device) -> str:
    """Time and memory of training on this machine, in two lines.

    The time is measured; where that fails, training would tell why, and so does the line.
    """
    import torch

    from darnet.io import CaseStore
    from darnet.planning.memory import PACKAGES_GB
    from darnet.training import cores_here, measure_time, memory_here

    cores = cores_here()
    try:
        expected = measure_time(plans, CaseStore(layout.cases("source")), CaseStore(layout.cases("target")), device)
    except DarnetError as error:
        effort = f"not measured: {error.what}"
    except (MemoryError, RuntimeError) as error:  # torch.OutOfMemoryError is a RuntimeError
        effort = f"not measured, an iteration failed on {device}: {(str(error).splitlines() or ['no memory'])[0]}"
    else:
        rest = f", self-training {duration(expected.self_training)}" if expected.self_training else ""
        translator, between = "", "predicting"
        if plans.translates:
            translator = f"translator {duration(expected.translation)} (once for all), "
            between = "translating and predicting"
        effort = (
            f"about {duration(expected.fold)} a fold on this machine ({device}): {translator}segmentation "
            f"{duration(expected.segmentation)}{rest}, {between} between them {duration(expected.between)}"
        )
        wanted = min(torch.get_num_threads(), cores)
        if device.type == "cpu" and cores - expected.others < LEAST_OF_OWN * wanted:
            effort += (
                f"\n                other programs used {expected.others:.1f} of {counted(cores, 'core')} "
                "while this was measured: it is quicker without them"
            )
    here = memory_here(device)
    needed, parts = plans.predicted_memory_gb, ""
    if device.type == "cpu":  # there the packages share the memory with the training step
        parts = f": {needed:.1f} for a training step, {PACKAGES_GB:g} for Python and the scans"
        needed += PACKAGES_GB
    memory = f"about {needed:.1f} GB" + ("" if here is None else f" of {here:.0f} GB here") + parts
    warning = "; it does not fit, give --memory" if here is not None and needed > 0.9 * here else ""
    return f"  time          {effort}\n  memory        {memory}{warning}"


def main(argv: Sequence[str] | None = None) -> int:
    """Console command."""
    return entry(build_parser, run, argv)
