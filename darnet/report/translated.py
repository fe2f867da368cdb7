"""The translation: source planes in each style, the style space, flicker along depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from darnet.imaging import differences_along, flicker, relative_difference
from darnet.io import CaseStore
from darnet.layout import DatasetLayout
from darnet.plans import Plans
from darnet.report.charts import line_chart, scatter_chart
from darnet.report.domains import BINS, MOST_MEASURED, PLANES, draw_histograms, histogram, load_volume, spread
from darnet.report.images import Volume, picture_file, plane_stack
from darnet.report.records import Stack, Table, number
from darnet.synthesis import STYLE_BANK, StyleBank, choose_styles, variant_name
from darnet.synthesis.pictures import project
from darnet.training.seeds import generator_for

MOST_CASES = 4  # source cases whose translations are measured
MOST_PREVIEWS = 6
BODY_ABOVE = -0.9


@dataclass(frozen=True)
class TranslationFacts:
    """What the health checks ask for. Intensities are in the unit of -1 (black) to 1 (white).

    Attributes:
        contrast: Least standard deviation within the body of any translated volume.
        change: Mean absolute difference between translated and source volumes within the body.
        styles_apart: Mean absolute difference between two styles of one volume within the body.
        flicker: Mean absolute difference of neighbouring planes over the standard deviation, by kind of volume:
            "source", "translated", "target".
        sharpness: The same of neighbouring pixels within planes.
        distance_before: Mean distance of the intensities of source from target scans.
        distance_after: The same of translated volumes.
        added_flicker: How many times as much translated volumes change from plane to plane as their own source.
    """

    contrast: float
    change: float
    styles_apart: float
    flicker: Mapping[str, float]
    sharpness: Mapping[str, float]
    distance_before: float
    distance_after: float
    added_flicker: float = float("nan")


@dataclass(frozen=True)
class TranslationSection:
    """What the page says of the translation.

    Attributes:
        missing: Sentences on what is not there yet.
        stacks: A source case beside all its styles with a slider, by plane.
        previews: Pictures of the training, one a position of the slider.
        style_space: Chart of the styles of all target slices.
        clusters: The clusters in numbers.
        cluster_shares: Share of the slices in each cluster.
        cluster_scans: Number of scans that the slices of each cluster come from.
        flicker: Chart of the differences along depth.
        measures: What was measured, in numbers.
        histogram: Intensities of source, translated and target volumes.
        facts: For the health checks.
        volumes: Number of translated volumes.
    """

    missing: tuple[str, ...] = ()
    stacks: Mapping[str, Stack] = field(default_factory=dict)
    previews: Stack | None = None
    style_space: str = ""
    clusters: Table | None = None
    cluster_shares: tuple[float, ...] = ()
    cluster_scans: tuple[int, ...] = ()
    flicker: str = ""
    measures: Table | None = None
    histogram: str = ""
    facts: TranslationFacts | None = None
    volumes: int = 0


def gather_translation(layout: DatasetLayout, plans: Plans | None) -> TranslationSection:
    """Read previews of the training, the style bank and the translated volumes.

    Raises:
        DarnetError: A file of them is damaged.
    """
    missing = []
    previews = _previews(layout)
    if previews is None:
        missing.append("The translator has not been trained yet. Run darnet_train.")
    source, target, synthetic = (
        CaseStore(f) for f in (layout.cases("source"), layout.cases("target"), layout.synthetic)
    )
    there = set(synthetic.case_ids())
    styles = 0 if plans is None else plans.translations_a_case
    whole = [c for c in source.case_ids() if styles and all(variant_name(c, k) in there for k in range(styles))]
    if plans is None or not whole or not target.case_ids():
        missing.append("There are no translated volumes yet. darnet_train makes them after the translator.")
        return TranslationSection(tuple(missing), previews=previews)
    shown = whole[len(whole) // 2]
    first = load_volume(source, shown, plans, f"{plans.source.modality} {shown}")
    translated = [synthetic.image(variant_name(shown, k))[0] for k in range(styles)]
    row = [
        Volume("source", first.image, first.spacing, first.axes),
        *(Volume(f"style {k + 1}", image, first.spacing, first.axes) for k, image in enumerate(translated)),
    ]
    real = target.case_ids()[len(target.case_ids()) // 2]
    row.append(load_volume(target, real, plans, f"real {plans.target.modality}"))
    cases = spread(whole, MOST_CASES)
    pairs = [(source.image(c)[0], [synthetic.image(variant_name(c, k))[0] for k in range(styles)]) for c in cases]
    targets = [target.image(c)[0] for c in spread(target.case_ids(), MOST_MEASURED)]
    facts, shares = measure(pairs, targets)
    names = {"source": plans.source.modality, "translated": "translated", "target": plans.target.modality}
    bank = StyleBank.read(layout.synthetic / STYLE_BANK) if (layout.synthetic / STYLE_BANK).exists() else None
    return TranslationSection(
        missing=tuple(missing),
        stacks={plane: plane_stack(row, plane) for plane in PLANES},
        previews=previews,
        style_space="" if bank is None else _draw_style_space(bank, plans, shown),
        clusters=None if bank is None else _cluster_table(bank),
        cluster_shares=() if bank is None else _cluster_shares(bank),
        cluster_scans=() if bank is None else _cluster_scans(bank),
        flicker=_draw_flicker(first.image, translated, plans),
        measures=_measures(facts, plans),
        histogram=draw_histograms({names[k]: s for k, s in shares.items()}, "Intensities before and after translation"),
        facts=facts,
        volumes=len(there),
    )


def measure(
    pairs: Sequence[tuple[NDArray[np.floating], Sequence[NDArray[np.floating]]]],
    targets: Sequence[NDArray[np.floating]],
) -> tuple[TranslationFacts, dict[str, NDArray[np.float64]]]:
    """Compare source volumes (D, H, W) with their translations and with target volumes.

    Returns:
        The facts, and the histograms of source, translated and target volumes.
    """
    contrast: list[float] = []
    change: list[float] = []
    apart: list[float] = []
    added: list[float] = []
    along_depth: dict[str, list[float]] = {"source": [], "translated": [], "target": []}
    sharpness: dict[str, list[float]] = {"source": [], "translated": [], "target": []}

    def note(kind: str, volume: NDArray[np.floating], body: NDArray[np.bool_]) -> None:
        along_depth[kind].append(relative_difference(volume, body, 0))
        sharpness[kind].append(float(np.mean([relative_difference(volume, body, axis) for axis in (1, 2)])))

    for image, styles in pairs:
        body = image > BODY_ABOVE if (image > BODY_ABOVE).any() else np.ones(image.shape, bool)
        note("source", image, body)
        for style in styles:
            note("translated", style, body)
            added.append(flicker(style, image))
            contrast.append(float(style[body].std()))
            change.append(float(np.abs(style - image)[body].mean()))
        apart += [float(np.abs(a - b)[body].mean()) for a, b in combinations(styles, 2)]
    for image in targets:
        note("target", image, image > BODY_ABOVE)
    shares = {
        "source": histogram([image for image, _ in pairs]),
        "translated": histogram([style for _, styles in pairs for style in styles]),
        "target": histogram(targets),
    }
    facts = TranslationFacts(
        contrast=min(contrast),
        change=float(np.mean(change)),
        styles_apart=float(np.mean(apart)) if apart else float("nan"),
        flicker={kind: float(np.mean(values)) for kind, values in along_depth.items()},
        sharpness={kind: float(np.mean(values)) for kind, values in sharpness.items()},
        distance_before=histogram_distance(shares["source"], shares["target"]),
        distance_after=histogram_distance(shares["translated"], shares["target"]),
        added_flicker=float(np.mean(added)),
    )
    return facts, shares


def histogram_distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """How far intensities must be moved on average to make one histogram the other (Wasserstein-1)."""
    return float(np.abs(np.cumsum(a - b)).sum() * (BINS[1] - BINS[0]))


def _previews(layout: DatasetLayout) -> Stack | None:
    paths = sorted((layout.translation / "previews").glob("*.png"))
    if not paths:
        return None
    chosen = [paths[int(name)] for name in spread([str(n) for n in range(len(paths))], MOST_PREVIEWS)]
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


def _cluster_shares(bank: StyleBank) -> tuple[float, ...]:
    return tuple(float((bank.clusters == k).mean()) for k in range(bank.number_of_styles))


def _cluster_scans(bank: StyleBank) -> tuple[int, ...]:
    members = [np.flatnonzero(bank.clusters == k) for k in range(bank.number_of_styles)]
    return tuple(len({bank.cases[i] for i in own}) for own in members)


def _cluster_table(bank: StyleBank) -> Table:
    rows = []
    for k, (share, cases) in enumerate(zip(_cluster_shares(bank), _cluster_scans(bank), strict=True)):
        members = np.flatnonzero(bank.clusters == k)
        middle = int(bank.medoids[k])
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
        ("flicker: change from plane to plane, in standard deviations", flicker),
        (
            "added flicker: change from plane to plane of a translated volume over that of its source",
            number(facts.added_flicker, 2),
        ),
        ("sharpness: change from pixel to pixel, in standard deviations", sharpness),
    )
    return Table(("measure", "value"), rows, "Means within the body.")
