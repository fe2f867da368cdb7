"""Choosing without a label of a target scan: the contrast of source scans, and a round of self-training."""

from darnet.selection.contrast import Contrasts, Volume, compare_contrasts
from darnet.selection.criteria import MARGIN, Criteria, agreement, certainty, change_contrast, choose
from darnet.selection.run import choose_round, describe_cases
from darnet.selection.shapes import describe_shapes, learn_shapes, plausibility, usual_plausibility
from darnet.selection.source_contrast import choose_source_contrast, with_contrast

__all__ = [
    "MARGIN",
    "Contrasts",
    "Criteria",
    "Volume",
    "agreement",
    "certainty",
    "change_contrast",
    "choose",
    "choose_round",
    "choose_source_contrast",
    "compare_contrasts",
    "describe_cases",
    "describe_shapes",
    "learn_shapes",
    "plausibility",
    "usual_plausibility",
    "with_contrast",
]
