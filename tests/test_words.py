"""Numbers and names in words, against what a person writes."""

from __future__ import annotations

import math

import pytest

from darnet.words import cross, dice_text, duration, number, percent, several


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (5.0, "5"), (2.6456, "2.65"), (1603.4, "1603"), (0.00123456, "0.00123"), (-96.2, "−96.2"),
     (math.nan, "–"), (math.inf, "∞"), (-math.inf, "−∞"), (1e9, "1e+09")],
)  # fmt: skip
def test_number(value, text):
    assert number(value) == text


def test_words():
    assert cross((5.0, 1.25, 1.25)) == "5 × 1.25 × 1.25"
    assert [duration(s) for s in (12, 600, 7200, 86400 * 3)] == ["12 s", "10 min", "2.0 h", "3.0 days"]
    assert several(["a", "b", "c"], 2) == "a, b and 1 more"
    assert [dice_text(v) for v in (0.9, None, math.nan)] == ["0.900", "–", "–"]
    assert percent(0.254) == "25 %"
