"""How far the choice of a round without labels is from the oracle's, which sees the labels of target scans.

    python -m benchmarks.choice -m RESULTS -i imagesTs -r labelsTs [-o choice_report.json]

Every candidate of `choice.json` segments all scans; Dice is that of darnet_evaluate. Labels are read after the choice
was made, and change nothing of it.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def distance_from_oracle(dice: Mapping[str, float], chosen: str) -> dict[str, Any]:
    """Compare a choice with the best one, and with the last round.

    Args:
        dice: Mean Dice of each candidate, in the order of training.
        chosen: The candidate that was chosen without labels.

    Returns:
        "oracle": the best candidate; "behind_oracle": its Dice less that of the chosen one, 0 or more;
        "last": the last candidate; "ahead_of_last": Dice of the chosen one less that of the last.
    """
    oracle, last = max(dice, key=lambda name: dice[name]), list(dice)[-1]
    return {
        "chosen": chosen,
        "oracle": oracle,
        "behind_oracle": dice[oracle] - dice[chosen],
        "last": last,
        "ahead_of_last": dice[chosen] - dice[last],
    }


def evaluate_choice(results: Path, images: Path, labels: Path, device: str = "cpu") -> dict[str, Any]:
    """Dice of every candidate of every fold in `choice.json`, and how far each choice is from the oracle's.

    Args:
        results: Results of a data set.
        images: Folder of target scans, CASE_0000.nii.gz.
        labels: Folder of their labels, CASE.nii.gz.
        device: Where to predict.

    Returns:
        Fold -> "candidates" (criteria and "dice" of each) and what `distance_from_oracle` gives.
    """
    from darnet.evaluation import evaluate_folders
    from darnet.inference import CHOICE, FolderOptions, Predictor, candidates, load_network, predict_folder
    from darnet.io import read_json
    from darnet.plans import Plans

    plans = Plans.read(results / "plans.json")
    report = {}
    for fold, entry in read_json(results / CHOICE)["folds"].items():
        paths = candidates(results, fold, plans)
        found: dict[str, dict[str, Any]] = {}
        for name, criteria in entry["candidates"].items():
            predictor = Predictor(plans, [load_network(paths[name], plans)], device)
            with tempfile.TemporaryDirectory() as masks:
                predict_folder(images, masks, predictor, FolderOptions(quiet=True), notice=lambda _: None)
                summary = evaluate_folders(masks, labels, plans.foreground)
            found[name] = {**criteria, "dice": summary.mean.dice_mean}
        dice = {name: values["dice"] for name, values in found.items()}
        report[fold] = {"candidates": found, **distance_from_oracle(dice, entry["chosen"])}
    return report


COLUMNS = ("certainty", "stability", "agreement", "plausibility", "score", "dice")


def as_table(report: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    lines = ["| fold | candidate | " + " | ".join(COLUMNS) + " |", "|" + "---|" * (len(COLUMNS) + 2)]
    for fold, entry in report.items():
        for name, values in entry["candidates"].items():
            marks = [mark for mark in ("chosen", "oracle") if entry[mark] == name]
            title = name + (f" ({', '.join(marks)})" if marks else "")
            cells = ["–" if values[c] is None else f"{values[c]:.3f}" for c in COLUMNS]
            lines.append(f"| {fold} | {title} | " + " | ".join(cells) + " |")
        lines.append(
            f"\nFold {fold}: {entry['behind_oracle']:.3f} Dice behind the oracle, "
            f"{entry['ahead_of_last']:+.3f} against the last round.\n"
        )
    return "\n".join(lines)


def main() -> None:
    """Print a table."""
    from darnet.io import write_json

    command = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    command.add_argument("-m", dest="results", required=True, type=Path, help="results folder of a data set")
    command.add_argument("-i", dest="images", required=True, type=Path, help="target scans")
    command.add_argument("-r", dest="labels", required=True, type=Path, help="their labels")
    command.add_argument("-o", dest="output", type=Path, help="also write the report as JSON")
    command.add_argument("-device", default="cpu")
    args = command.parse_args()
    report = evaluate_choice(args.results, args.images, args.labels, args.device)
    print(as_table(report))
    if args.output:
        write_json(args.output, report)


if __name__ == "__main__":
    main()
