"""Numbers and names in words, against what a person writes."""

from __future__ import annotations

import math

import pytest

from darnet.words import counted, cross, dice_text, duration, number, percent, several


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (5.0, "5"), (2.6456, "2.65"), (1603.4, "1603"), (0.00123456, "0.00123"), (-96.2, "−96.2"),
     (math.nan, "–"), (math.inf, "∞"), (-math.inf, "−∞"), (1e9, "1e+09")],
)  # fmt: skip
def test_number(value, text):
    assert number(value) == text


def test_words():
    assert cross((5.0, 1.25, 1.25)) == "5 × 1.25 × 1.25"
    assert [counted(n, "case") for n in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]
    assert several(["a", "b", "c"], 2) == "a, b and 1 more"
    assert [dice_text(v) for v in (0.9, None, math.nan)] == ["0.900", "–", "–"]
    assert percent(0.254) == "25 %"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (90, "2 min"), (3600, "1 h 00 min"), (7500, "2 h 05 min"),
     (86400 * 3, "3.0 days")],
)  # fmt: skip
def test_duration(seconds, words):
    assert duration(seconds) == words
