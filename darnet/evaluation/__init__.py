"""How well predicted labels agree with reference labels: Dice, surface distance, and their summary over cases."""

from darnet.evaluation.dice import dice
from darnet.evaluation.folder import evaluate_folders, find_labels
from darnet.evaluation.summary import CaseScores, Scores, Summary, evaluate_pair, summarize
from darnet.evaluation.surface_distance import average_symmetric_surface_distance
from darnet.evaluation.table import format_table

__all__ = [
    "CaseScores",
    "Scores",
    "Summary",
    "average_symmetric_surface_distance",
    "dice",
    "evaluate_folders",
    "evaluate_pair",
    "find_labels",
    "format_table",
    "summarize",
]
