"""The translation: source planes in each style, the style space, flicker along depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from darnet.health import Finding, TranslationFacts, assess_translation
from darnet.imaging import BODY_ABOVE, differences_along
from darnet.io import CaseStore
from darnet.layout import DatasetLayout
from darnet.plans import Plans
from darnet.report.charts import line_chart, scatter_chart
from darnet.report.domains import PLANES, draw_histograms, load_volume
from darnet.report.images import Volume, picture_file, plane_stack
from darnet.report.records import Stack, Table
from darnet.spread import spread
from darnet.synthesis import STYLE_BANK, StyleBank, choose_styles, variant_name
from darnet.synthesis.pictures import project
from darnet.training.seeds import generator_for
from darnet.words import number

MOST_PREVIEWS = 6


@dataclass(frozen=True)
class TranslationSection:
    """What the page says of the translation.

    Attributes:
        missing: Sentences on what is not there yet.
        stacks: A source case beside all its styles with a slider, by plane.
        previews: Pictures of the training, one a position of the slider.
        style_space: Chart of the styles of all target slices.
        clusters: The clusters in numbers.
        flicker: Chart of the differences along depth.
        measures: What was measured, in numbers.
        histogram: Intensities of source, translated and target volumes.
        findings: The health checks.
        volumes: Number of translated volumes.
    """

    missing: tuple[str, ...] = ()
    stacks: Mapping[str, Stack] = field(default_factory=dict)
    previews: Stack | None = None
    style_space: str = ""
    clusters: Table | None = None
    flicker: str = ""
    measures: Table | None = None
    histogram: str = ""
    findings: tuple[Finding, ...] = ()
    volumes: int = 0


NONE_PLANNED = (
    "The plan takes no patch out of translated volumes, so no translator is trained. To look at one all the same, run "
    "darnet_train with --stage synthesis after --stage translation."
)


def gather_translation(layout: DatasetLayout, plans: Plans | None) -> TranslationSection:
    """Read previews of the training, the style bank and the translated volumes.

    Raises:
        DarnetError: A file of them is damaged.
    """
    missing = []
    previews = _previews(layout)
    if previews is None and plans is not None and not plans.translates:
        return TranslationSection((NONE_PLANNED,))
    if previews is None:
        missing.append("The translator has not been trained yet. Run darnet_train.")
    source, target, synthetic = (
        CaseStore(f) for f in (layout.cases("source"), layout.cases("target"), layout.synthetic)
    )
    there = set(synthetic.case_ids())
    styles = 0 if plans is None else plans.translations_a_case
    wanted = {} if plans is None else plans.styles_of_cases(source.case_ids())
    complete = [case for case, own in wanted.items() if len(own) == styles]
    whole = [c for c in complete if all(variant_name(c, k) in there for k in range(styles))]
    if plans is None or not whole or not target.case_ids():
        missing.append("There are no translated volumes yet. darnet_train makes them after the translator.")
        return TranslationSection(tuple(missing), previews=previews)
    shown = whole[len(whole) // 2]
    first = load_volume(source, shown, plans, f"{plans.source.modality} {shown}")
    translated = [synthetic.image(variant_name(shown, k))[0] for k in range(styles)]
    row = [
        Volume(f"source: {shown}", first.image, first.spacing, first.axes),
        *(Volume(f"style {k + 1}", image, first.spacing, first.axes) for k, image in enumerate(translated)),
    ]
    real = target.case_ids()[len(target.case_ids()) // 2]
    row.append(load_volume(target, real, plans, f"real {plans.target.modality}: {real}"))
    health = assess_translation(plans, layout, {c: [variant_name(c, k) for k in range(styles)] for c in whole})
    names = {"source": plans.source.modality, "translated": "translated", "target": plans.target.modality}
    bank = StyleBank.read(layout.synthetic / STYLE_BANK) if (layout.synthetic / STYLE_BANK).exists() else None
    return TranslationSection(
        missing=tuple(missing),
        stacks={plane: plane_stack(row, plane) for plane in PLANES},
        previews=previews,
        style_space="" if bank is None else _draw_style_space(bank, plans, shown),
        clusters=None if bank is None else _cluster_table(bank),
        flicker=_draw_flicker(first.image, translated, plans),
        measures=_measures(health.facts, plans),
        histogram=draw_histograms(
            {names[k]: s for k, s in health.shares.items()}, "Intensities before and after translation"
        ),
        findings=health.findings,
        volumes=len(there),
    )


def _previews(layout: DatasetLayout) -> Stack | None:
    paths = sorted((layout.translation / "previews").glob("*.png"))
    if not paths:
        return None
    chosen = spread(paths, MOST_PREVIEWS)
    steps = []
    for path in chosen:
        iteration = path.stem.lstrip("0") or "0"
        alt = f"after {iteration} iterations, in columns: input, reconstruction, translation, and translation back"
        steps.append((picture_file(path, alt, f"after {iteration} iterations"),))
    return Stack("progress of the training", ("",), tuple(steps), len(steps) - 1)


def _draw_style_space(bank: StyleBank, plans: Plans, case_id: str) -> str:
    points = project(bank.codes)
    groups = {
        f"cluster {k + 1}": [(float(x), float(y)) for x, y in points[bank.clusters == k]]
        for k in range(bank.number_of_styles)
    }
    chosen = choose_styles(bank, plans.synthesis.choice, generator_for(plans.seed, f"styles of {case_id}", 0))
    marks = {}
    for n, code in enumerate(chosen):
        x, y = points[int(np.linalg.norm(bank.codes - code, axis=1).argmin())]
        marks[f"style {n + 1}"] = (float(x), float(y))
    return scatter_chart(
        groups,
        marks,
        "first main axis of the styles (no unit)",
        "second main axis (no unit)",
        f"Styles of {len(points)} target slices in {bank.number_of_styles} clusters, the chosen ones ringed",
    )


def _cluster_table(bank: StyleBank) -> Table:
    rows = []
    for k, middle in enumerate(bank.medoids):
        members = np.flatnonzero(bank.clusters == k)
        share, cases = len(members) / len(bank.clusters), len({bank.cases[i] for i in members})
        most = f"case {bank.cases[middle]}, plane {bank.indices[middle] + 1}"
        rows.append((f"cluster {k + 1}", f"{len(members)} ({100 * share:.0f} %)", f"{cases}", most))
    return Table(("cluster", "target slices", "from so many scans", "slice in its middle"), tuple(rows))


def _draw_flicker(source: NDArray[np.floating], styles: Sequence[NDArray[np.floating]], plans: Plans) -> str:
    body = source > BODY_ABOVE
    series = {plans.source.modality: differences_along(source, body)}
    series |= {f"style {k + 1}": differences_along(style, body) for k, style in enumerate(styles)}
    millimetres = plans.preprocessing.spacing[0]
    points = {
        name: [((n + 0.5) * millimetres, float(v)) for n, v in enumerate(values) if np.isfinite(v)]
        for name, values in series.items()
    }
    return line_chart(
        points,
        "place along the body (mm)",
        "difference to next plane",
        "Mean absolute difference of neighbouring planes along the body, source against translated",
    )


def _measures(facts: TranslationFacts, plans: Plans) -> Table:
    unit = "% of the range from black to white"
    as_range = {name: f"{number(50 * value, 2)} {unit}" for name, value in (
        ("change", facts.change), ("apart", facts.styles_apart), ("before", facts.distance_before),
        ("after", facts.distance_after), ("contrast", facts.contrast),
    )}  # fmt: skip
    words = (("source", plans.source.modality), ("translated", "translated"), ("target", plans.target.modality))
    flicker = ", ".join(f"{number(facts.flicker[kind], 2)} {name}" for kind, name in words)
    sharpness = ", ".join(f"{number(facts.sharpness[kind], 2)} {name}" for kind, name in words)
    rows = (
        ("translated volumes differ from their source by", as_range["change"]),
        ("two styles of a volume differ by", as_range["apart"]),
        ("least contrast (standard deviation) of a translated volume", as_range["contrast"]),
        (
            f"intensities of {plans.source.modality} are away from those of {plans.target.modality} by",
            as_range["before"],
        ),
        (f"intensities of translated volumes are away from those of {plans.target.modality} by", as_range["after"]),
        ("flicker: change from plane to plane, in standard deviations of the intensities", flicker),
        (
            "added flicker: change from plane to plane of a translated volume over that of its source",
            number(facts.added_flicker, 2),
        ),
        ("sharpness: change from pixel to pixel, in standard deviations of the intensities", sharpness),
    )
    return Table(("measure", "value"), rows, "Means within the body.")
