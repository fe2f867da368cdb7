"""darnet_plan_and_preprocess: look at a raw data set, plan everything, fill the case stores."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from darnet.cli.common import add_common, add_replace_non_finite, entry, parser, positive, say, warn, whole_number
from darnet.errors import DataError
from darnet.layout import DatasetLayout, find_dataset
from darnet.plans import Plans

PRESET_NAMES = ("paper", "fast")


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
    command.add_argument("--seed", type=whole_number(0), default=0, help="seed of folds, training and synthesis")
    command.add_argument(
        "--memory", type=positive, default=24.0, metavar="GB", help="memory that training may take; else 24"
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
    from darnet import pipeline
    from darnet.planning import find_preset, verify_dataset
    from darnet.training import fold_notes, resolve_device

    layout = find_dataset(args.dataset, args.root)
    if args.verify:
        verify(args, layout)
        return
    pipeline.require_room_for(layout, "preprocessed")
    preset = find_preset(args.preset or ("paper" if resolve_device(args.device).type == "cuda" else "fast"))
    if args.keep_plan:
        dataset, plans = verify_dataset(layout, args.replace_non_finite), Plans.read(layout.plans)
        pipeline.write_splits(layout, dataset, plans)
    else:
        dataset, fingerprint = pipeline.verify(layout, args.processes, args.quiet, args.replace_non_finite)
        for note in (*dataset.notes, *(note for case in fingerprint.cases for note in case.notes)):
            say(args, f"note: {note}")
        say(args, f"{layout.name}: {len(dataset.source)} labelled source scans, {len(dataset.target)} target scans")
        plans = pipeline.plan(layout, dataset, fingerprint, preset, args.seed, args.memory)
        say(args, f"{describe(plans)}\nthe whole plan, each choice with its reason: {layout.plans}")
        shown = {case.case_id: case.class_ml for case in fingerprint.of("source")}
        for note in fold_notes(layout.splits, shown):
            say(args, f"note: {note}")
    if args.plan_only:
        return
    made, there = pipeline.preprocess(layout, dataset, plans, args.processes, args.quiet, warn)
    say(args, f"{made} cases preprocessed, {there} were there; they are in {layout.preprocessed}")
    say(args, f"next: darnet_train {args.dataset} 0")


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
        number = f"{len(error.faults)} fault{'s' if len(error.faults) > 1 else ''}"
        raise DataError(f"the data set {layout.name} in {layout.raw} has {number}\n\n{table}") from None
    for note in (*dataset.notes, *(note for case in fingerprint.cases for note in case.notes)):
        say(args, f"note: {note}")
    counts = f"{len(dataset.source)} labelled source scans, {len(dataset.target)} target scans"
    say(args, f"{layout.name}: the data set is in order: {counts}, {len(dataset.info.labels) - 1} classes")


def describe(plans: Plans) -> str:
    """The plan in a few lines."""
    cross = " x ".join
    pre, tra, seg = plans.preprocessing, plans.translation, plans.segmentation
    lines = [
        f"preset {plans.preset}",
        f"  grid          {cross(f'{s:g}' for s in pre.spacing)} mm (through plane, in plane)",
        f"  intensities   {plans.source.modality}: {plans.source.intensity.rule} {plans.source.intensity.low:g} to "
        f"{plans.source.intensity.high:g}; {plans.target.modality}: {plans.target.intensity.rule} "
        f"{plans.target.intensity.low:g} to {plans.target.intensity.high:g}",
        f"  translation   slices {cross(map(str, tra.slice_size))}, width {tra.width}, {tra.iterations} iterations of "
        f"{tra.batch_size}, then {plans.synthesis.number_of_styles} styles",
        f"  segmentation  patches {cross(map(str, seg.patch_size))}, widths {' '.join(map(str, seg.channels))}, "
        f"{seg.iterations} iterations of {seg.batch_size}, about {plans.predicted_memory_gb:g} GB",
        f"  strides       {' '.join(cross(map(str, s)) for s in seg.strides)}",
    ]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Console command."""
    return entry(build_parser, run, argv)
