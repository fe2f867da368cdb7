"""The whole plan of a data set, to JSON and back."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darnet.errors import ConfigurationError
from darnet.plans.checks import check_plans
from darnet.plans.parse import build
from darnet.plans.parts import (
    DomainPlan,
    InferencePlan,
    Place,
    PreprocessingPlan,
    SegmentationPlan,
    SelfTrainingPlan,
    SynthesisPlan,
    TranslationPlan,
)
from darnet.spread import spread
from darnet.strict_json import read_json

SCHEMA_VERSION = 1
LEAST_COMPARISON, LARGEST_COMPARISON = 2, 6  # target scans that rounds are compared on
COMPLETE_CASES = 8  # in all styles, whatever the plan says: pictures and checks compare the styles of a case
COMPARED_SHARE = 3  # one of so many scans that training may segment at once


@dataclass(frozen=True)
class Plans:
    """Everything that planning decided for one data set.

    Attributes:
        dataset: Its name.
        preset: Name of the preset that it was planned with.
        labels: Value of each class, background included.
        source: Intensities of the labelled scans.
        target: Intensities of the scans without labels.
        preprocessing: The grid.
        translation: The translator.
        synthesis: The translated volumes.
        segmentation: The DAR-UNet.
        self_training: Rounds on target scans.
        inference: Prediction.
        seed: Of all that is random.
        most_scans: Scans that training segments at once at most, evenly among all: target scans that a round labels,
            held-out source scans of a validation; a third of it, two to six, to compare rounds on. null segments all,
            and compares on six.
        memory_target_gb: What --memory said, in GB of 2^30 bytes; a step of the segmentation may take nine tenths.
        predicted_memory_gb: What such a step is expected to take, without Python and the scans.
        schema_version: Of this file's form.
    """

    dataset: str
    preset: str
    labels: dict[str, int]
    source: DomainPlan
    target: DomainPlan
    preprocessing: PreprocessingPlan
    translation: TranslationPlan
    synthesis: SynthesisPlan
    segmentation: SegmentationPlan
    self_training: SelfTrainingPlan
    inference: InferencePlan
    seed: int = 0
    most_scans: int | None = None
    memory_target_gb: float = 24.0
    predicted_memory_gb: float = 0.0
    schema_version: int = SCHEMA_VERSION

    def some_of(self, names: Sequence[str]) -> list[str]:
        """Names of scans, `most_scans` of them at most, evenly from the first to the last."""
        return list(names) if self.most_scans is None else spread(names, self.most_scans)

    @property
    def places(self) -> dict[int, Place]:
        """Place of each label of which predictions keep one piece, as far as it is known."""
        known = self.inference.places or {}
        values = self.foreground
        return {values[n]: place for n, place in known.items() if values[n] in self.inference.largest_component}

    @property
    def kept_largest(self) -> tuple[int, ...]:
        """Labels of which the largest piece is kept: those of one piece whose place is not known."""
        return tuple(label for label in self.inference.largest_component if label not in self.places)

    @property
    def most_compared(self) -> int:
        """Target scans that rounds of self-training are compared on at most."""
        most = LARGEST_COMPARISON if self.most_scans is None else self.most_scans // COMPARED_SHARE
        return min(max(most, LEAST_COMPARISON), LARGEST_COMPARISON)

    @property
    def num_classes(self) -> int:
        """Number of classes, background included."""
        return len(self.labels)

    @property
    def foreground(self) -> dict[str, int]:
        """Labels without background."""
        return {name: value for name, value in self.labels.items() if value != 0}

    @property
    def translates(self) -> bool:
        """Whether any patch comes out of a translated volume."""
        rounds = self.self_training
        of_rounds = rounds.rounds and rounds.matched_share and rounds.matched_translated
        return self.segmentation.source_share < 1.0 or bool(of_rounds)

    @property
    def translations_a_case(self) -> int:
        """Styles that a source scan may be translated into."""
        one = self.translation.method == "entangled" or self.synthesis.choice == "mean"
        return 1 if one else self.synthesis.number_of_styles

    def styles_of_cases(self, cases: Sequence[str]) -> dict[str, tuple[int, ...]]:
        """Styles, which count from 0, that each source case is translated into.

        All of them, or `synthesis.styles_a_case` in turn, so that each style is as frequent; a few cases have all.
        """
        every, few = tuple(range(self.translations_a_case)), self.synthesis.styles_a_case
        if few is None or few >= len(every):
            return dict.fromkeys(cases, every)
        complete = set(spread(cases, COMPLETE_CASES))
        others = [case for case in cases if case not in complete]
        turns = {case: sorted((n * few + k) % len(every) for k in range(few)) for n, case in enumerate(others)}
        return {case: tuple(turns[case]) if case in turns else every for case in cases}

    def domain(self, name: str) -> DomainPlan:
        return self.source if name == "source" else self.target

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; `from_json` gives an equal plan back."""
        return typing.cast("dict[str, Any]", json.loads(json.dumps(dataclasses.asdict(self))))

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str | Path = "plans.json") -> Plans:
        """Build a plan from JSON values.

        Raises:
            ConfigurationError: An unknown or missing key, a value of the wrong type, or another schema version.
        """
        version = values.get("schema_version") if isinstance(values, dict) else None
        if version != SCHEMA_VERSION:
            raise ConfigurationError(
                "the plan has another schema_version",
                where=where,
                found=version,
                expected=SCHEMA_VERSION,
                remedy="plan again with darnet_plan_and_preprocess",
            )
        plans: Plans = build(cls, values, str(where), "")
        check_plans(plans, where)
        return plans

    @classmethod
    def read(cls, path: str | Path, missing: str = "run darnet_plan_and_preprocess first") -> Plans:
        """Read a plan from a file.

        Args:
            path: The file.
            missing: What to do where there is none.

        Raises:
            ConfigurationError: No such file, not JSON, a key twice, or not a valid plan.
        """
        if not Path(path).exists():
            raise ConfigurationError("there is no plan", where=path, remedy=missing)
        return cls.from_json(read_json(path), path)
