"""Both domains side by side: sizes, intensities, planes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from darnet.health import BINS, MOST_TARGETS, histogram
from darnet.io import CaseStore
from darnet.layout import DOMAINS, DatasetLayout
from darnet.planning import CaseFingerprint, Fingerprint
from darnet.plans import DomainPlan, Plans
from darnet.report.charts import line_chart
from darnet.report.images import Volume, middle_plane, plane_stack
from darnet.report.records import Picture, Stack, Table
from darnet.spread import spread
from darnet.words import number

PLANES = ("axial", "coronal", "sagittal")
MOST_SHOWN = 6  # cases of a montage
AXIS_WORDS = {
    "S": "up-down",
    "I": "up-down",
    "A": "front-back",
    "P": "front-back",
    "L": "left-right",
    "R": "left-right",
}


@dataclass(frozen=True)
class ScanTables:
    """The scans in numbers.

    Attributes:
        sizes: Spacings and fields of view.
        intensities: Percentiles in the scans' own units.
        classes: Volumes of the source's classes.
    """

    sizes: Table
    intensities: Table
    classes: Table


@dataclass(frozen=True)
class DomainsSection:
    """What the page says of the data.

    Attributes:
        missing: Sentences on what is not there yet.
        fingerprint: What planning measured; None before planning.
        tables: The same in numbers.
        notes: What was noticed while the data were checked.
        montages: Pictures of the middle of each case, by plane and domain.
        stacks: One case of each domain with a slider, by plane.
        histogram: Intensities of both domains as planned for training.
        shares: The histograms' shares of voxels, by domain.
        labelled: Whether the pictures show labels.
    """

    missing: tuple[str, ...] = ()
    fingerprint: Fingerprint | None = None
    tables: ScanTables | None = None
    notes: tuple[str, ...] = ()
    montages: Mapping[str, Mapping[str, tuple[Picture, ...]]] = field(default_factory=dict)
    stacks: Mapping[str, Stack] = field(default_factory=dict)
    histogram: str = ""
    shares: Mapping[str, NDArray[np.float64]] = field(default_factory=dict)
    labelled: bool = False


def gather_domains(layout: DatasetLayout, plans: Plans | None, named: Collection[str] = ()) -> DomainsSection:
    """Read fingerprint and case stores.

    Args:
        layout: Where the data set lies.
        plans: The plan; None before planning.
        named: Cases that a health check names, which are shown in any case.

    Raises:
        DarnetError: A file of them is damaged.
    """
    missing = []
    fingerprint = Fingerprint.read(layout.fingerprint) if layout.fingerprint.exists() else None
    if fingerprint is None or plans is None:
        missing.append("The scans have not been measured yet. Run darnet_plan_and_preprocess.")
    stores = {domain: CaseStore(layout.cases(domain)) for domain in DOMAINS}
    empty = [domain for domain in DOMAINS if not stores[domain].case_ids()]
    if plans is None or empty:
        missing.append("There are no preprocessed scans to show yet. Run darnet_plan_and_preprocess.")
    tables = None if fingerprint is None or plans is None else _tables(fingerprint, plans)
    notes = () if fingerprint is None else tuple(n for case in fingerprint.cases for n in case.notes)
    if plans is not None and plans.preprocessing.source_inverted:
        notes = (*notes, "Bright and dark of source scans are turned round, in the pictures here as in training.")
    if plans is None or empty:
        return DomainsSection(tuple(missing), fingerprint, tables, notes)
    volumes = {d: [load_volume(stores[d], c, plans, c) for c in _shown(stores[d], named)] for d in DOMAINS}
    montages = {
        plane: {d: tuple(middle_plane(v, plane, v.name) for v in volumes[d]) for d in DOMAINS} for plane in PLANES
    }
    pair = [
        Volume(f"{plans.domain(d).modality} ({d}), case {v.name}", v.image, v.spacing, v.axes, labels=v.labels)
        for d in DOMAINS
        for v in [volumes[d][len(volumes[d]) // 2]]
    ]
    shares = {d: histogram([stores[d].image(c) for c in spread(stores[d].case_ids(), MOST_TARGETS)]) for d in DOMAINS}
    return DomainsSection(
        missing=tuple(missing),
        fingerprint=fingerprint,
        tables=tables,
        notes=notes,
        montages=montages,
        stacks={plane: plane_stack(pair, plane) for plane in PLANES},
        histogram=draw_histograms(
            {f"{plans.domain(d).modality} ({d})": shares[d] for d in DOMAINS}, "Intensities of both domains"
        ),
        shares=shares,
        labelled=any(v.labels is not None for v in volumes["source"]),
    )


def _shown(store: CaseStore, named: Collection[str]) -> list[str]:
    cases = store.case_ids()
    return sorted({*spread(cases, MOST_SHOWN), *(case for case in cases if case in named)})


def load_volume(store: CaseStore, case_id: str, plans: Plans, name: str) -> Volume:
    """A preprocessed case as a volume to look at, on the planned grid."""
    record = store.record(case_id)
    labels = store.labels(case_id) if record.has_labels else None
    return Volume(name, store.image(case_id)[0], plans.preprocessing.spacing, record.body_axes, labels=labels)


def draw_histograms(shares: Mapping[str, NDArray[np.float64]], title: str) -> str:
    """Histograms as lines."""
    centres = (BINS[1:] + BINS[:-1]) / 2
    series = {name: list(zip(centres.tolist(), (100 * s).tolist(), strict=True)) for name, s in shares.items()}
    return line_chart(series, "intensity after preprocessing (−1 black, 1 white)", "share of voxels (%)", title)


def unit_of(domain: DomainPlan) -> str:
    """Unit of the intensities of a domain's scans."""
    return "HU" if domain.hounsfield else "arbitrary units"


def _tables(fingerprint: Fingerprint, plans: Plans) -> ScanTables:
    names = {d: f"{plans.domain(d).modality} ({d})" for d in DOMAINS}
    cases = {d: fingerprint.of(d) for d in DOMAINS}
    axis = fingerprint.cases[0].body_axes if fingerprint.cases else ("S", "P", "L")
    words = [
        f"{place} ({AXIS_WORDS.get(a, a)})" for place, a in zip(("through plane", "rows", "columns"), axis, strict=True)
    ]
    rows = [("scans", *(f"{len(cases[d])}" for d in DOMAINS))]
    for title, attribute, unit in (("voxel", "spacing", "mm"), ("field of view", "field_of_view", "mm"),
                                   ("body", "body_extent", "mm"), ("size", "shape", "voxels")):  # fmt: skip
        for n, word in enumerate(words):
            rows.append((f"{title}, {word}", *(_spread_of(cases[d], attribute, n, unit) for d in DOMAINS)))
    head = ("", *(names[d] for d in DOMAINS))
    sizes = Table(head, tuple(rows), "Median over the scans, and in brackets the least and the most.")
    levels = ("0.5 %", "5 %", "50 % (median)", "95 %", "99.5 %")
    medians = {d: np.median([c.percentiles for c in cases[d]], axis=0) for d in DOMAINS if cases[d]}
    units = {d: unit_of(plans.domain(d)) for d in DOMAINS}
    intensities = tuple(
        (
            f"{level} of the body is darker than",
            *(f"{number(float(medians[d][n]))} {units[d]}" if d in medians else "–" for d in DOMAINS),
        )
        for n, level in enumerate(levels)
    )
    caption = "Intensities of the scans as they are: medians over the scans."
    return ScanTables(sizes, Table(head, intensities, caption), _class_table(cases["source"], plans))


def _class_table(cases: Sequence[CaseFingerprint], plans: Plans) -> Table:
    rows = []
    for name in plans.foreground:
        volumes = [case.class_ml[name] for case in cases if case.class_ml.get(name, 0) > 0]
        text = (
            f"{number(float(np.median(volumes)))} ml ({number(min(volumes))} to {number(max(volumes))} ml)"
            if volumes
            else "–"
        )
        rows.append((name.replace("_", " "), f"{len(volumes)} of {len(cases)} scans", text))
    return Table(("class", "shown in", "volume"), tuple(rows), "Classes of the labelled source scans.")


def _spread_of(cases: Sequence[CaseFingerprint], attribute: str, axis: int, unit: str) -> str:
    values = [float(getattr(case, attribute)[axis]) for case in cases]
    if not values:
        return "–"
    middle, low, high = float(np.median(values)), min(values), max(values)
    around = "" if high - low < 0.005 * max(abs(middle), 1e-9) else f" ({number(low)} to {number(high)})"
    return f"{number(middle)}{around} {unit}"
