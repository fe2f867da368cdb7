"""Choosing among the rounds of self-training without a label of a target scan."""

from darnet.selection.criteria import MARGIN, Criteria, agreement, certainty, change_contrast, choose
from darnet.selection.run import choose_round, compare
from darnet.selection.shapes import ShapeReference, describe_shapes, learn_shapes, plausibility, usual_plausibility

__all__ = [
    "MARGIN",
    "Criteria",
    "ShapeReference",
    "agreement",
    "certainty",
    "change_contrast",
    "choose",
    "choose_round",
    "compare",
    "describe_shapes",
    "learn_shapes",
    "plausibility",
    "usual_plausibility",
]
