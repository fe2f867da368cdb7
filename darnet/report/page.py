"""From a data set's files to one HTML file that needs nothing else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darnet import __version__
from darnet.errors import ConfigurationError, collect
from darnet.health import Finding
from darnet.imaging import colour_of
from darnet.io import atomic_write, require_writable
from darnet.layout import DOMAINS, DatasetLayout
from darnet.plans import Plans
from darnet.report.domains import PLANES, gather_domains
from darnet.report.health import check_health
from darnet.report.planned import gather_plan
from darnet.report.predicted import find_predictions, gather_predictions
from darnet.report.scored import gather_scores
from darnet.report.trained import gather_training
from darnet.report.translated import gather_translation
from darnet.words import dice_text, number

MARK = '<meta name="generator" content="darnet_report'
SUMMARY = "summary.json"


@dataclass(frozen=True)
class ReportInputs:
    """What a report may be told beside the data set.

    Attributes:
        predictions: Folder of predicted labels; else the one found below the results.
        scans: Folder of the scans that were segmented; else those of the data set.
        evaluation: The summary of darnet_evaluate; else the one beside the predictions.
        references: Folder of reference labels to show beside the predictions.
    """

    predictions: Path | None = None
    scans: Path | None = None
    evaluation: Path | None = None
    references: Path | None = None


def write_report(layout: DatasetLayout, output: Path, inputs: ReportInputs = ReportInputs()) -> tuple[Finding, ...]:
    """Gather everything that is there and write the report; returns its health checks.

    Raises:
        ConfigurationError: An input or the output cannot be used.
        DataError: A file that the report needs is damaged.
    """
    check_output(output)
    _check_inputs(inputs)
    beside = layout.results / "plans.json"  # all that there is of a model that was trained elsewhere
    plans = next((Plans.read(path) for path in (layout.plans, beside) if path.exists()), None)
    planned = collect([], lambda: Plans.read(layout.planned)) if layout.plans.exists() else None  # gives reasons alone
    folder = inputs.predictions or find_predictions(layout)
    evaluation = inputs.evaluation
    if evaluation is None and folder is not None and (folder / SUMMARY).exists():
        evaluation = folder / SUMMARY
    scored = folder if evaluation is not None and folder in (inputs.predictions, evaluation.parent) else None
    scores = gather_scores(evaluation, scored, inputs.references)
    translation = gather_translation(layout, plans)
    domains = gather_domains(layout, plans, {case for finding in translation.findings for case in finding.cases})
    training = gather_training(layout, plans)
    worst = [case.case_id for case in scores.cases]
    predictions = gather_predictions(layout, plans, folder, inputs.scans, inputs.references, worst)
    findings = check_health(plans, domains, translation, training, predictions, scores)
    content = {
        "name": layout.name,
        "version": __version__,
        "date": time.strftime("%d %B %Y, %H:%M"),
        "plans": plans,
        "findings": findings,
        "data": domains,
        "plan": gather_plan(plans, planned),
        "translation": translation,
        "training": training,
        "predictions": predictions,
        "scores": scores,
        "references": any(case.reference is not None for case in predictions.cases),
        "planes": PLANES,
        "domains": [(d, f"{plans.domain(d).modality} ({d})" if plans else d) for d in DOMAINS],
        "classes": [] if plans is None else [(n.replace("_", " "), colour_of(v)) for n, v in plans.foreground.items()],
    }
    output.parent.mkdir(parents=True, exist_ok=True)
    atomic_write(output, render(content))
    return findings


def render(content: dict[str, Any]) -> str:
    """The page as text; everything that is not a picture or a chart is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("darnet.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    environment.filters["dice"] = dice_text
    environment.filters["zip"] = zip
    return environment.get_template("report.html").render(content)


def check_output(path: Path) -> None:
    """Refuse, before anything is read, a file that cannot be written or that is no earlier report.

    Raises:
        ConfigurationError: It is no HTML file, its folder cannot be written to, or it holds something else.
    """
    if path.suffix != ".html" or path.is_dir():
        raise ConfigurationError(
            "the output is not an HTML file",
            where=path,
            expected="a name such as report.html",
            remedy="give -o such a name",
        )
    require_writable(path.absolute().parent, "give another file with -o")
    if path.exists() and MARK not in path.read_text(encoding="utf-8", errors="replace")[:2000]:
        raise ConfigurationError(
            "the report would replace a file that is no report", where=path, remedy="give another file with -o"
        )


def _check_inputs(inputs: ReportInputs) -> None:
    for path, flag in ((inputs.predictions, "-p"), (inputs.scans, "-i"), (inputs.references, "-r")):
        if path is not None and not path.is_dir():
            raise ConfigurationError(
                "there is no such folder",
                where=path.absolute(),
                remedy=f"name another folder with {flag}",
            )
    if inputs.evaluation is not None and not inputs.evaluation.is_file():
        raise ConfigurationError(
            "there is no such file",
            where=inputs.evaluation.absolute(),
            remedy="name with -e the file that darnet_evaluate wrote",
        )
