"""Health of a translation, before a segmentation learns on it: what is good, what is doubtful, what to do."""

from darnet.health.checks import check_content, check_detail, check_facts, check_styles
from darnet.health.findings import Finding, Level
from darnet.health.measure import BINS, TranslationFacts, histogram, histogram_distance, measure
from darnet.health.probe import Recovered, recover_labels
from darnet.health.run import MOST_TARGETS, assess_translation, tell_health

__all__ = [
    "tell_health",
    "BINS",
    "MOST_TARGETS",
    "Finding",
    "Level",
    "Recovered",
    "TranslationFacts",
    "assess_translation",
    "check_content",
    "check_detail",
    "check_facts",
    "check_styles",
    "histogram",
    "histogram_distance",
    "measure",
    "recover_labels",
]
