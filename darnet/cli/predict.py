"""darnet_predict: segment scans with trained networks."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from darnet.cli.common import add_common, add_replace_non_finite, entry, fraction, parser, say, warn, whole_number
from darnet.layout import find_dataset
from darnet.words import counted


def build_parser() -> ArgumentParser:
    """The flags of darnet_predict."""
    command = parser("darnet_predict", "Segment target scans. Each result is on its scan's own grid.")
    command.add_argument(
        "-i",
        dest="input",
        required=True,
        metavar="PATH",
        help="a scan, a folder of CASE_0000.nii.gz, or a folder of the DICOM slices of one scan",
    )
    command.add_argument("-o", dest="output", required=True, metavar="FOLDER", help="where CASE.nii.gz are written")
    model = command.add_mutually_exclusive_group(required=True)
    model.add_argument("-d", dest="dataset", help="id, name or path of the data set whose networks are used")
    model.add_argument("-m", dest="model", metavar="FOLDER", help="a results folder instead of a data set")
    command.add_argument(
        "-f", dest="folds", nargs="+", metavar="FOLD", help="folds to average: numbers, or all; else every trained fold"
    )
    rounds = command.add_mutually_exclusive_group()
    rounds.add_argument(
        "--no_self_training", action="store_true", help="the networks as they were before self-training"
    )
    rounds.add_argument(
        "--chosen",
        action="store_true",
        help="of each fold the round that was chosen without labels (choice.json), not the last; else as planned",
    )
    command.add_argument(
        "-step_size",
        "--step_size",
        type=fraction,
        help="step of the sliding window, a fraction of the patch; else the plan's",
    )
    command.add_argument(
        "--save_probabilities", action="store_true", help="also write CASE.npz with class probabilities"
    )
    command.add_argument(
        "--dicom_seg",
        action="store_true",
        help="where the scan is a folder of DICOM slices, also write CASE.dcm: the mask as DICOM SEG of these slices",
    )
    command.add_argument("--preview", action="store_true", help="also write CASE.png: three planes and surfaces")
    command.add_argument("--continue", dest="resume", action="store_true", help="skip scans that are segmented already")
    command.add_argument(
        "-num_parts", "--num_parts", type=whole_number(1), default=1, help="share the scans among so many runs"
    )
    command.add_argument(
        "-part_id", "--part_id", type=whole_number(0), default=0, help="which part this run does, from 0"
    )
    add_replace_non_finite(command)
    add_common(command)
    return command


def run(args: Namespace) -> None:
    """Check input and output, load the networks, segment."""
    from darnet.allocator import freed_memory_kept
    from darnet.inference import FolderOptions, Predictor, check_output, find_inputs, predict_folder, select_part

    options = FolderOptions(
        save_probabilities=args.save_probabilities,
        dicom_seg=args.dicom_seg,
        preview=args.preview,
        resume=args.resume,
        num_parts=args.num_parts,
        part_id=args.part_id,
        quiet=args.quiet,
        replace_non_finite=args.replace_non_finite,
    )
    cases = find_inputs(args.input)
    select_part(cases, args.num_parts, args.part_id)
    check_output(Path(args.output), cases, options)
    folder = Path(args.model) if args.model else find_dataset(args.dataset, args.root).results
    folds = "all" if args.folds == ["all"] else args.folds
    predictor = Predictor.from_results(
        folder,
        folds,
        args.device,
        step_size=args.step_size,
        notice=warn,
        self_trained=not args.no_self_training,
        chosen=args.chosen or None,
    )
    if args.chosen and not any(folder.glob("self_training/round_*/fold_*")):
        warn(f"--chosen changes nothing: there is no round of self-training in {folder} to choose")
    say(args, f"{counted(len(predictor.networks), 'network')} of {folder} on {predictor.device}")
    with freed_memory_kept(predictor.device.type == "cpu"):
        predict_folder(args.input, args.output, predictor, options, notice=lambda text: say(args, text))


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of the console script."""
    return entry(build_parser, run, argv)
