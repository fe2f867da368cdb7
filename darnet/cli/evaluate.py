"""darnet_evaluate: compare predicted labels with reference labels."""

from __future__ import annotations

import functools
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from darnet.cli.common import add_common, entry, parser, require_folder, say, warn
from darnet.errors import ConfigurationError, DarnetError, SomeCasesFailed

SUMMARY = "summary.json"
DATASET = "dataset.json"
# Written beside predictions by darnet_predict, with the labels of the plan.
PREDICTION = "prediction.json"


def build_parser() -> ArgumentParser:
    """The flags of darnet_evaluate."""
    command = parser(
        "darnet_evaluate",
        "Dice and average symmetric surface distance (ASD) of predicted labels. A class that only prediction or only "
        "reference has is a failure: Dice 0, ASD infinite. A class that neither has does not apply and is not counted.",
    )
    command.add_argument(
        "-p", dest="predictions", required=True, metavar="FOLDER", help="predicted labels, CASE.nii.gz"
    )
    command.add_argument(
        "-r", dest="references", required=True, metavar="FOLDER", help="reference labels, CASE.nii.gz of the same names"
    )
    command.add_argument("-o", dest="output", metavar="FILE", help=f"result; else {SUMMARY} beside the predictions")
    command.add_argument(
        "-l",
        dest="labels",
        metavar="FILE",
        help=f"{DATASET} or plans.json with the classes; else the {DATASET} or {PREDICTION} in the folder of the "
        f"predictions, else the {DATASET} above it or in or above the folder of the references, else a class for each "
        "value found in the references",
    )
    add_common(command)
    return command


def run(args: Namespace) -> None:
    """Check the paths, find the classes, evaluate, write and print."""
    predictions, references = require_folder(args.predictions, "-p"), require_folder(args.references, "-r")
    output = Path(args.output) if args.output else predictions / SUMMARY
    _check_output(output)

    from darnet.evaluation import evaluate_folders, find_labels, format_table
    from darnet.io import write_json
    from darnet.progress import track

    source = _find_classes(args.labels, predictions, references)
    reading, evaluating = (functools.partial(track, description=d, quiet=args.quiet) for d in ("read", "evaluate"))
    labels = _read_classes(source) if source else find_labels(references, reading)
    say(args, f"classes of {source or 'the values in the references'}: {', '.join(labels)}")
    summary = evaluate_folders(predictions, references, labels, evaluating)
    output.parent.mkdir(parents=True, exist_ok=True)
    write_json(output, {"labels": labels, **summary.to_json()})
    say(args, f"{format_table(summary)}\nall numbers are in {output}")
    if not summary.mean.n:
        warn(f"no mask and no reference has any of these classes ({', '.join(labels)}): nothing was compared")
    missing = [case.case_id for case in summary.cases if case.missing]
    if missing:
        raise SomeCasesFailed(
            f"{len(missing)} of {len(summary.cases)} references have no prediction",
            where=predictions,
            found="none for " + ", ".join(missing[:10]) + (", ..." if missing[10:] else ""),
            remedy="predict these cases too; they are counted as predicted empty",
        )


def _check_output(path: Path) -> None:
    """Refuse, before anything is computed, a file that cannot be written or that is no earlier result.

    Raises:
        ConfigurationError: It is no JSON file, its folder cannot be written to, or it holds something else.
    """
    from darnet.io import read_json, require_writable

    if path.suffix != ".json" or path.is_dir():
        raise ConfigurationError(
            "the output is not a JSON file",
            where=path,
            expected=f"a name such as {SUMMARY}",
            remedy="give -o such a name",
        )
    require_writable(path.absolute().parent, "give another file with -o")
    if path.exists():
        former = read_json(path)
        if not isinstance(former, dict) or not {"mean", "classes", "cases"} <= former.keys():
            raise ConfigurationError(
                "the result would replace a file that is no evaluation", where=path, remedy="give another file with -o"
            )


def _find_classes(given: str | None, predictions: Path, references: Path) -> Path | None:
    """The file that names the classes, None where there is none."""
    if given is not None:
        if not Path(given).is_file():
            raise ConfigurationError(
                "there is no such file",
                where=Path(given).absolute(),
                remedy="name another file with -l",
            )
        return Path(given)
    beside = [predictions / DATASET, predictions / PREDICTION, predictions.absolute().parent / DATASET]
    theirs = [references / DATASET, references.absolute().parent / DATASET]
    found = [next((path for path in places if path.is_file()), None) for places in (beside, theirs)]
    if found[0] and found[1]:
        _refuse_contradiction(found[0], found[1])
    return found[0] or found[1]


def _refuse_contradiction(predictions: Path, references: Path) -> None:
    """Refuse files that give a class two values: other classes would be compared than the names say.

    That of the references decides nothing: where darnet cannot use it, it is passed over.

    Raises:
        ConfigurationError: They contradict each other.
    """
    own = _read_classes(predictions)
    try:
        other = _read_classes(references)
    except DarnetError:
        return
    if any(other.get(name, value) != value for name, value in own.items()):
        raise ConfigurationError(
            "predictions and references say otherwise which value is which class",
            where=references,
            found=other,
            expected=f"{own}, as in {predictions}",
            remedy="give masks with the same values; where they have them, name the file that is right with -l",
        )


def _read_classes(path: Path) -> dict[str, int]:
    """Value of each class by name, without the background, out of a dataset.json or what darnet writes: a plan,
    the record of a prediction, an earlier summary.
    """
    from darnet.io import read_dataset_json, read_json

    values = {} if path.name == DATASET else read_json(path)
    if path.name == DATASET or (isinstance(values, dict) and "channel_names" in values):
        labels: Any = read_dataset_json(path).labels
    else:
        labels = values.get("labels") if isinstance(values, dict) else None
        if not isinstance(labels, dict) or not labels or any(type(v) is not int or v < 0 for v in labels.values()):
            keys = ", ".join(list(values)[:5]) if isinstance(values, dict) else ""
            raise ConfigurationError(
                "the file names no classes",
                where=path,
                found=f"keys {keys or 'none'}" if labels is None else f'"labels" with a wrong value: {labels}',
                expected='"labels": {"background": 0, "liver": 1, ...}',
                remedy=f"give the {DATASET} or the plans.json of the data set with -l",
            )
    classes = {name: value for name, value in labels.items() if value != 0}
    if len(set(classes.values())) < len(classes):
        raise ConfigurationError(
            "two classes have one value", where=path, found=classes, remedy="give each class a value of its own"
        )
    return classes


def main(argv: Sequence[str] | None = None) -> int:
    """Entry of the console script."""
    return entry(build_parser, run, argv)
