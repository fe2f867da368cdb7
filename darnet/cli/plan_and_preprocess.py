"""darnet_plan_and_preprocess: look at a raw data set, plan everything, fill the case stores."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from darnet.cli.common import add_common, entry, parser, say, whole_number
from darnet.errors import ConfigurationError
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
    only = command.add_mutually_exclusive_group()
    only.add_argument("--verify", action="store_true", help="only check the data set and list all that is wrong")
    only.add_argument("--plan_only", action="store_true", help="stop after plans.json is written")
    only.add_argument("--keep_plan", action="store_true", help="preprocess with plans.json as it is, edits included")
    add_common(command)
    return command


def run(args: Namespace) -> None:
    """Carry out darnet_plan_and_preprocess."""
    from darnet.planning import fingerprint_dataset, verify_dataset
    from darnet.preprocessing import preprocess_dataset

    layout = find_dataset(args.dataset, args.root)
    dataset = verify_dataset(layout)
    say(args, f"{layout.name}: {len(dataset.source)} labelled source scans, {len(dataset.target)} target scans")
    if args.keep_plan:
        plans = Plans.read(layout.plans)
        _same_labels(plans, dataset.info.labels, layout)
    else:
        fingerprint = fingerprint_dataset(dataset, args.processes, args.quiet)
        for note in (*dataset.notes, *(note for case in fingerprint.cases for note in case.notes)):
            say(args, f"note: {note}")
        if args.verify:
            say(args, "the data set is in order")
            return
        plans = write_plans(args, layout, dataset, fingerprint)
    if args.plan_only:
        return
    made, there = preprocess_dataset(dataset, layout, plans, args.processes, args.quiet)
    say(args, f"{made} cases preprocessed, {there} were there; they are in {layout.preprocessed}")
    say(args, f"next: darnet_train {args.dataset} 0")


def write_plans(args: Namespace, layout: DatasetLayout, dataset: object, fingerprint: object) -> Plans:
    """Plan and write fingerprint.json, plans.json and splits.json."""
    from darnet.io import write_json
    from darnet.planning import Fingerprint, VerifiedDataset, find_preset, make_plans, make_splits
    from darnet.training import resolve_device

    assert isinstance(dataset, VerifiedDataset) and isinstance(fingerprint, Fingerprint)
    name = args.preset or ("paper" if resolve_device(args.device).type == "cuda" else "fast")
    plans = make_plans(fingerprint, dataset.info, layout.name, find_preset(name), args.seed)
    layout.preprocessed.mkdir(parents=True, exist_ok=True)
    write_json(layout.fingerprint, fingerprint.to_json())
    write_json(layout.plans, plans.to_json())
    splits = make_splits([files.case_id for files in dataset.source], plans.segmentation.folds, args.seed)
    write_json(layout.splits, splits)
    say(args, describe(plans))
    say(args, f"the whole plan, each choice with its reason: {layout.plans}")
    return plans


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


def _same_labels(plans: Plans, labels: dict[str, int], layout: DatasetLayout) -> None:
    if plans.labels != labels:
        raise ConfigurationError(
            "the plan was made for other labels",
            where=layout.plans,
            found=plans.labels,
            expected=labels,
            remedy="plan again, without --keep_plan",
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Console command."""
    return entry(build_parser, run, argv)
