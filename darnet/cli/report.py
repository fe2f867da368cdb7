"""darnet_report: everything there is to look at of a data set, in one HTML file."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from darnet.cli.common import add_common, entry, parser, say
from darnet.layout import find_dataset

REPORT = "report.html"


def build_parser() -> ArgumentParser:
    """Flags of darnet_report."""
    command = parser(
        "darnet_report",
        "Write one HTML file that shows a data set, its plan, translation, training and predictions, with health "
        "checks in plain words. What is not there yet is said. The file opens from disk and needs no network.",
    )
    command.add_argument("-d", dest="dataset", required=True, help="id, name or path of the data set")
    command.add_argument("-o", dest="output", metavar="FILE", help=f"the report; else {REPORT} in the results")
    command.add_argument(
        "-p", dest="predictions", metavar="FOLDER", help="predicted labels to show; else those found in the results"
    )
    command.add_argument(
        "-i", dest="scans", metavar="FOLDER", help="scans that were segmented; else those of the data set"
    )
    command.add_argument(
        "-e", dest="evaluation", metavar="FILE", help="summary of darnet_evaluate; else the one beside the predictions"
    )
    command.add_argument(
        "-r", dest="references", metavar="FOLDER", help="reference labels to show beside the predicted ones"
    )
    add_common(command)
    return command


def run(args: Namespace) -> None:
    """Carry out darnet_report."""
    from darnet.report import ReportInputs, write_report

    layout = find_dataset(args.dataset, args.root)
    output = Path(args.output) if args.output else layout.results / REPORT
    given = (args.predictions, args.scans, args.evaluation, args.references)
    findings = write_report(layout, output, ReportInputs(*(None if path is None else Path(path) for path in given)))
    for finding in findings:
        if finding.level != "good":
            say(args, f"{finding.level}: {finding.title}. {finding.found}")
    if not findings:
        say(args, f"there is nothing yet that a health check could judge; the report is {output.absolute()}")
        return
    good = sum(finding.level == "good" for finding in findings)
    say(args, f"{good} of {len(findings)} health checks are good; the report is {output.absolute()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Console command."""
    return entry(build_parser, run, argv)
