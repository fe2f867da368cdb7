"""The health of a translation: measured once, kept in the results, and told in plain words."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from darnet import __version__
from darnet.errors import ConfigurationError
from darnet.health.checks import check_content, check_detail, check_facts, check_styles
from darnet.health.findings import Finding
from darnet.health.measure import TranslationFacts, measure
from darnet.health.probe import Recovered, recover_labels
from darnet.io import CaseStore, read_json, sha256_of, write_json
from darnet.layout import DOMAINS, DatasetLayout
from darnet.plans import Plans
from darnet.spread import spread
from darnet.synthesis import STYLE_BANK, StyleBank

HEALTH = "health.json"
MOST_PAIRS = 4  # source volumes that are compared with their translations
MOST_TARGETS = 8  # target scans that they are compared with


@dataclass(frozen=True)
class TranslationHealth:
    """What was found of a translation.

    Attributes:
        facts: What was measured of the volumes.
        shares: Histograms of source, translated and target volumes.
        recovered: What the probe tells; None where there are too few cases.
        findings: The checks.
    """

    facts: TranslationFacts
    shares: Mapping[str, NDArray[np.float64]]
    recovered: Recovered | None
    findings: tuple[Finding, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives an equal record back. nan is null."""
        values = {
            "findings": [finding.to_json() for finding in self.findings],
            "facts": dataclasses.asdict(self.facts),
            "recovered": None if self.recovered is None else dataclasses.asdict(self.recovered),
            "shares": {kind: share.tolist() for kind, share in self.shares.items()},
        }
        return {name: _without_nan(value) for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TranslationHealth:
        """Build a record from what `to_json` gave.

        Raises:
            KeyError, TypeError: The values are of another form.
        """
        facts = {name: _with_nan(value) for name, value in values["facts"].items()}
        recovered = values["recovered"]
        return cls(
            TranslationFacts(**facts | {"style_contrast": tuple(facts["style_contrast"])}),
            {kind: np.asarray(share) for kind, share in values["shares"].items()},
            None if recovered is None else Recovered(recovered["source"], tuple(recovered["styles"])),
            tuple(Finding.from_json(finding) for finding in values["findings"]),
        )


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _with_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_nan(item) for key, item in value.items()}
    return math.nan if value is None else value


def assess_translation(
    plans: Plans, layout: DatasetLayout, variants: Mapping[str, Sequence[str]], keep: bool = False
) -> TranslationHealth:
    """Measure and check the translated volumes, or read what was found of the same volumes before.

    No target label is read. The same volumes give the same record.

    Args:
        plans: The plan.
        layout: Where the stores and the style bank lie.
        variants: Source case -> names of its translations. Those cases count that are translated into most styles.
        keep: Write `health.json` into the results.
    """
    path = layout.results / HEALTH
    source, target, synthetic = (CaseStore(f) for f in (*map(layout.cases, DOMAINS), layout.synthetic))
    styles = max(map(len, variants.values()))
    variants = {case: names for case, names in variants.items() if len(names) == styles}
    made_from = _made_from(plans, source, target, synthetic, variants)
    with contextlib.suppress(ConfigurationError, KeyError, TypeError, AttributeError):
        values = read_json(path)
        if values["made_from"] == made_from:
            return TranslationHealth.from_json(values)
    cases = spread(sorted(variants), MOST_PAIRS)
    pairs = [(source.image(c)[0], [synthetic.image(name)[0] for name in variants[c]]) for c in cases]
    facts, shares = measure(pairs, [target.image(c)[0] for c in spread(target.case_ids(), MOST_TARGETS)])
    recovered = recover_labels(plans, source, synthetic, variants)
    bank = synthetic.folder / STYLE_BANK
    findings = [*check_facts(facts), *check_detail(facts, plans.segmentation.source_share)]
    findings += [] if recovered is None else check_content(recovered)
    findings += check_styles(StyleBank.read(bank)) if bank.exists() else []
    health = TranslationHealth(facts, shares, recovered, tuple(findings))
    if keep:
        write_json(path, {"made_from": made_from, **health.to_json()})
    return health


def _made_from(
    plans: Plans, source: CaseStore, target: CaseStore, synthetic: CaseStore, variants: Mapping[str, Sequence[str]]
) -> str:
    """Hash of all that a record depends on."""
    hashes = [[c, source.record(c).content_hash, *(synthetic.record(n).content_hash for n in variants[c])]
              for c in sorted(variants)]  # fmt: skip
    hashes.append([target.record(c).content_hash for c in target.case_ids()])
    bank = synthetic.folder / STYLE_BANK
    about = [
        __version__,
        plans.labels,
        plans.seed,
        plans.segmentation.source_share,
        sha256_of(bank) if bank.exists() else "",
    ]
    return hashlib.sha256(json.dumps([about, hashes]).encode()).hexdigest()


def tell_health(
    plans: Plans, layout: DatasetLayout, variants: Mapping[str, Sequence[str]], notice: Callable[[str], None]
) -> None:
    """Say what is doubtful of the translated volumes before hours of training on them; what was found is kept.

    Args:
        plans: The plan.
        layout: Where the data set lies.
        variants: Source case -> names of its translated volumes.
        notice: Gets a sentence for each check that is not good, and where to look.
    """
    unsure = [f for f in assess_translation(plans, layout, variants, keep=True).findings if f.level != "good"]
    for finding in unsure:
        notice(f"{finding.level}: {finding}")
    if unsure:
        notice(
            "training goes on; stop it (Ctrl-C) only where a check says bad and the pictures show it. They are in "
            f"{layout.synthetic} and {layout.translation / 'previews'}; darnet_report -d {layout.name} shows all of "
            "it under Translation"
        )
