"""The plan of a data set: frozen dataclasses that go to JSON and back. Planning fills them, every stage reads them."""

from darnet.plans.checks import check_plans
from darnet.plans.modalities import is_ct, is_mr, names_sequence
from darnet.plans.parts import (
    LABEL_MARGIN,
    NOTHING_IF_NULL,
    DomainPlan,
    InferencePlan,
    IntensityPlan,
    Place,
    PreprocessingPlan,
    SegmentationPlan,
    SelfTrainingPlan,
    SynthesisPlan,
    TranslationPlan,
    settings_of,
)
from darnet.plans.schema import COMPARED_SHARE, LARGEST_COMPARISON, Plans

__all__ = [
    "COMPARED_SHARE",
    "LABEL_MARGIN",
    "LARGEST_COMPARISON",
    "NOTHING_IF_NULL",
    "DomainPlan",
    "InferencePlan",
    "IntensityPlan",
    "Place",
    "Plans",
    "PreprocessingPlan",
    "SegmentationPlan",
    "SelfTrainingPlan",
    "SynthesisPlan",
    "TranslationPlan",
    "check_plans",
    "is_ct",
    "is_mr",
    "names_sequence",
    "settings_of",
]
