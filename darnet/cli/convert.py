"""darnet_convert: bring data sets of nnU-Net and public downloads into place."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from darnet.cli.common import add_common, entry, parser, require_folder, root_flag, say
from darnet.errors import ConfigurationError
from darnet.layout import DatasetLayout, find_dataset, find_root

if TYPE_CHECKING:
    from darnet.convert import Found

ROLES = ("source", "target")
SEQUENCES = ("T2SPIR", "T1DUAL_InPhase", "T1DUAL_OutPhase")
MODALITIES = ("CT", "MR")


def build_parser() -> ArgumentParser:
    """Flags of darnet_convert."""
    command = parser("darnet_convert", "Bring scans and labels from elsewhere into a data set below ROOT/raw.")
    kinds = command.add_subparsers(dest="layout", metavar="LAYOUT", required=True)

    def kind(name: str, text: str) -> ArgumentParser:
        # The same strictness as that of the command itself.
        return kinds.add_parser(
            name, help=text, description=text, epilog=command.epilog, allow_abbrev=False,
            formatter_class=command.formatter_class,
        )  # fmt: skip

    nnunet = kind("nnunet", "One or two data sets of nnU-Net.")
    for role in ROLES:
        targets = "; one of darnet, given alone, brings its target scans along" if role == "source" else ""
        nnunet.add_argument(
            f"--{role}", metavar="FOLDER", help=f"data set of nnU-Net whose scans are the {role}{targets}"
        )
    nnunet.add_argument(
        "--target_cases",
        nargs="+",
        metavar="PATTERN",
        help="target scans that lie among those of --source, such as 'amos_05*' 'amos_06*'; instead of --target",
    )
    for role in ROLES:
        else_of_source = "; else --target_cases have that of the source" if role == "target" else ""
        nnunet.add_argument(
            f"--{role}_channel",
            metavar="NAME",
            help=f"channel of the {role} scans where they have several{else_of_source}",
        )
        needed = "; needed for --target_cases of the source's channel" if role == "target" else ""
        nnunet.add_argument(
            f"--{role}_modality", metavar="NAME", help=f"what to call it; else the channel's name{needed}"
        )
    chaos = kind("chaos", "CHAOS: MR as DICOM slices with PNG masks, the unpacked Train_Sets or Test_Sets.")
    btcv = kind("btcv", "BTCV, abdomen: CT, the unpacked RawData.")
    crossmoda = kind("crossmoda", "crossMoDA 2021 to 2023: both domains, a folder with all that was unpacked.")
    mmwhs = kind("mmwhs", "MM-WHS 2017: CT or MR of hearts, a folder with all that was unpacked.")
    for one in (chaos, btcv, crossmoda, mmwhs):
        one.add_argument("folder", help="the unpacked download")
    for one in (chaos, btcv, mmwhs):
        one.add_argument("--as", dest="role", choices=ROLES, required=True, help="which domain its scans are")
    chaos.add_argument("--sequence", choices=SEQUENCES, default=SEQUENCES[0], help="kind of MR scan")
    mmwhs.add_argument("--modality", choices=MODALITIES, required=True, help="which of its scans")
    for one in (nnunet, chaos, btcv, crossmoda, mmwhs):
        _add_shared(one)
    return command


def _add_shared(command: ArgumentParser) -> None:
    """Flags of all layouts."""
    command.add_argument(
        "-d", dest="dataset", required=True, metavar="NAME",
        help="the data set: DatasetNNN_Name of a new one; to add target scans, id, name or path of one that is there",
    )  # fmt: skip
    command.add_argument(
        "--classes", nargs="+", metavar="CLASS", help="classes to keep, numbered in this order; else all of the source"
    )
    command.add_argument(
        "--test_cases", nargs="+", metavar="PATTERN",
        help="target scans for testing: they go to imagesTs, their labels to labelsTs",
    )  # fmt: skip
    command.add_argument("--copy", action="store_true", help="copy files instead of linking to them")
    add_common(command)


def run(args: Namespace) -> None:
    """Carry out darnet_convert."""
    from darnet.convert import new_layout, place, with_test_cases

    source, target = _find(args)
    if args.test_cases:
        if target is None:
            raise ConfigurationError("--test_cases names target scans, and there are none", remedy="leave it out")
        target = with_test_cases(target, args.test_cases)
    layout: DatasetLayout
    layout = find_dataset(args.dataset, args.root) if source is None else new_layout(args.dataset, find_root(args.root))
    placed = place(layout, source, target, args.classes, args.copy, args.quiet)
    if source is not None:
        say(args, f"{placed.source} labelled source scans, {source.modality}")
        left = len(source.cases) - placed.source
        if left:
            say(args, f"note: {left} scans of the source are left behind, for they have no labels or are test cases")
    # Both domains may have been found in one folder, with the same notes.
    for note in dict.fromkeys(note for made in (source, target, placed) if made for note in made.notes):
        say(args, f"note: {note}")
    if target is not None:
        say(args, f"{placed.target} target scans without labels, {target.modality}")
        say(args, f"{placed.test} target scans for testing, {placed.labelled_test} with labels")
    say(args, f"{', '.join(f'{count} files {how}' for how, count in placed.how.items())}; in {layout.raw}")
    if (layout.images("target")).is_dir():
        say(args, f"next: darnet_plan_and_preprocess -d {layout.name}{root_flag(args)}")
    else:
        say(args, "next: add target scans, with darnet_convert or as imagesTr_target/CASE_0000.nii.gz")


def _find(args: Namespace) -> tuple[Found | None, Found | None]:
    """Source and target scans."""
    from darnet.convert import find_btcv, find_chaos, find_crossmoda, find_mmwhs

    given = {"--source": args.source, "--target": args.target} if args.layout == "nnunet" else {"FOLDER": args.folder}
    for flag, folder in given.items():
        if folder is not None:
            require_folder(folder, flag)
    if args.layout == "nnunet":
        return _find_nnunet(args)
    if args.layout == "crossmoda":
        return find_crossmoda(args.folder, args.quiet)
    if args.layout == "mmwhs":
        found = find_mmwhs(args.folder, args.modality, labelled=args.role == "source")
    else:
        found = find_chaos(args.folder, args.sequence) if args.layout == "chaos" else find_btcv(args.folder)
    return (found, None) if args.role == "source" else (None, found)


def _find_nnunet(args: Namespace) -> tuple[Found | None, Found | None]:
    """Source and target scans of data sets of nnU-Net."""
    from darnet.convert import divide, find_nnunet, find_targets

    if args.source is None and args.target is None:
        raise ConfigurationError("no data set of nnU-Net is given", remedy="name it with --source, --target or both")
    if args.target_cases and (args.source is None or args.target is not None):
        raise ConfigurationError("--target_cases are among the scans of --source", remedy="leave --target out")
    source: Found | None = None
    target: Found | None = None
    if args.source is not None:
        own = args.target is None and not args.target_cases
        source = find_nnunet(args.source, args.source_channel, args.source_modality, with_targets=own)
        of_target = args.target_channel or args.source_channel, args.target_modality
        if own:
            target = find_targets(args.source, *of_target)
        elif args.target_cases:
            source, target = divide(source, find_nnunet(args.source, *of_target, domain=None), args.target_cases)
            _require_name(args, source, target)
    if args.target is not None:
        target = find_nnunet(args.target, args.target_channel, args.target_modality, labelled=False)
        _refuse_same(source, target)
    _refuse_idle_flags(args, source, target)
    return source, target


def _require_name(args: Namespace, source: Found, target: Found) -> None:
    """Refuse target cases of which nothing but their common channel says what kind of scan they are.

    Raises:
        ConfigurationError: They are named as the source scans are, or only by the channel of these.
    """
    if args.target_modality is None and (args.target_channel is None or target.modality == source.modality):
        raise ConfigurationError(
            "it is not said what kind of scan the target cases are",
            where=args.source,
            found=f"{target.modality}, the name of their channel; the source scans are {source.modality}",
            expected="a name of their own: what is named CT gets a window of CT, other scans do not",
            remedy="name it with --target_modality, such as MR",
        )


def _refuse_same(source: Found | None, target: Found) -> None:
    """Refuse a target whose scans are those of the source.

    Raises:
        ConfigurationError: They are the same files.
    """
    if source is not None and {case.image for case in source.cases} == {case.image for case in target.cases}:
        raise ConfigurationError(
            "source and target are the same scans",
            where=target.where,
            expected="another data set or another channel as --target",
            remedy="leave --target out where the data set is one of darnet: its target scans come along; choose "
            "channels with --source_channel and --target_channel, or some of the scans with --target_cases",
        )


def _refuse_idle_flags(args: Namespace, source: Found | None, target: Found | None) -> None:
    """Refuse the channel or the name of a domain that has no scans.

    Raises:
        ConfigurationError: There are such flags.
    """
    for found, role, naming in ((source, "source", "--source"), (target, "target", "--target or --target_cases")):
        idle = [flag for flag in (f"{role}_channel", f"{role}_modality") if getattr(args, flag) is not None]
        if idle and found is None:
            raise ConfigurationError(
                f"a flag is about {role} scans, and none are given",
                found=", ".join(f"--{flag} {getattr(args, flag)}" for flag in idle),
                remedy=f"name the scans with {naming}, or leave the flag out",
            )


def main(argv: Sequence[str] | None = None) -> int:
    """Console command."""
    return entry(build_parser, run, argv)
