"""Each check on both sides of its limit; what is not good says what was found, what was expected and what to do."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from darnet.health import (
    Finding,
    Recovered,
    TranslationFacts,
    check_content,
    check_detail,
    check_facts,
    check_styles,
)
from darnet.synthesis import StyleBank


def facts_of(**values):
    same = {"source": 0.3, "translated": 0.3, "target": 0.3}
    fields = {"contrast": 0.2, "change": 0.2, "styles_apart": 0.1, "flicker": same, "sharpness": same,
              "distance_before": 0.3, "distance_after": 0.1}  # fmt: skip
    return TranslationFacts(**(fields | values))


def unlike(kind, value):
    return {"source": 0.3, "translated": 0.3, "target": 0.3, kind: value}


def bank_of(sizes, scans):
    """Clusters of so many slices, each dealt out to so many scans."""
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    cases = tuple(f"t{n % count}" for size, count in zip(sizes, scans, strict=True) for n in range(size))
    first = np.array([int(np.flatnonzero(clusters == k)[0]) for k in range(len(sizes))])
    return StyleBank(np.zeros((len(clusters), 8)), clusters, first, cases, tuple(range(len(clusters))))


def recovered_of(*styles):
    return Recovered({"liver": 0.9, "left_kidney": 0.9}, tuple({"liver": 0.9, "left_kidney": v} for v in styles))


CHECKS = [
    (check_facts, facts_of(), None, None),
    (check_facts, facts_of(contrast=0.01), "bad", "has collapsed"),
    (check_facts, facts_of(contrast=math.nan), "bad", "has collapsed"),
    (
        check_facts,
        facts_of(style_contrast=(0.2, 0.06), target_contrast=0.2),
        "doubtful",
        "in style 2 by 3 % of the range",
    ),
    (check_facts, facts_of(style_contrast=(0.2, 0.11), target_contrast=0.2), None, None),
    (check_facts, facts_of(change=0.01), "bad", "Almost nothing was translated"),
    (check_facts, facts_of(styles_apart=0.001), "doubtful", "Two styles of a volume differ by"),
    (check_facts, facts_of(styles_apart=math.nan), None, None),
    (check_facts, facts_of(distance_after=0.4), "doubtful", "those of translated volumes 20 %"),
    (check_detail, facts_of(), None, None),
    (check_detail, facts_of(flicker=unlike("translated", 0.6)), "doubtful", "translated volumes change by 0.6"),
    (check_detail, facts_of(sharpness=unlike("translated", 0.1)), "doubtful", "From pixel to pixel"),
    (check_styles, bank_of((95, 5), (5, 5)), "doubtful", "2 clusters hold 95 %, 5 %"),
    (check_styles, bank_of((50, 50), (9, 1)), "doubtful", "no other scan shares: t0 (cluster 2)"),
    (check_styles, bank_of((50, 50), (9, 8)), None, None),
    (check_styles, bank_of((50,), (9,)), None, None),
    (check_content, recovered_of(0.9, 0.8), None, None),
    (check_content, recovered_of(0.9, 0.7), "doubtful", "left kidney 90 % → 70 % in style 2 (100 %"),
    (check_content, recovered_of(0.55, 0.9), "bad", "left kidney 90 % → 55 % in style 1 (100 %"),
    (check_content, Recovered({"liver": 0.9}, ({},)), "bad", "liver 90 % → 50 %"),
]


@pytest.mark.parametrize(("check", "given", "level", "words"), CHECKS)
def test_checks(check, given, level, words):
    found = list(check(given))
    worse = [finding for finding in found if finding.level != "good"]
    if level is None:
        assert worse == []
        assert found
    else:
        assert [finding.level for finding in worse] == [level]
        assert words in worse[0].found
        assert all(finding.remedy and finding.expected for finding in worse)


def test_classes_that_the_probe_never_knew_are_not_judged():
    assert list(check_content(Recovered({"liver": 0.6}, ({"liver": 0.5},)))) == []


def test_what_is_not_judged_is_said_beside_a_warning_and_beside_praise():
    known = {"liver": 0.9, "spleen": 0.6}
    for found in (0.9, 0.5):
        (finding,) = check_content(Recovered(known, ({"liver": found, "spleen": 0.5},)))
        assert "It is too simple to judge spleen, whatever the labels are like." in finding.found


def test_what_is_expected_of_the_content_is_in_the_unit_of_what_was_found():
    (finding,) = check_content(recovered_of(0.9, 0.7))
    assert finding.expected == "left kidney at least 78 %."  # 0.5 + 0.7 * (0.9 - 0.5)


def test_a_finding_in_one_line():
    finding = Finding("bad", "Content", "It is lost.", "Look at it.", "that it is there.")
    assert str(finding) == "Content: It is lost. Expected: that it is there. Look at it."
    assert str(Finding("good", "Content", "It is there.")) == "Content: It is there."
    assert Finding.from_json(finding.to_json()) == finding
    *_, single = check_styles(bank_of((50, 50), (9, 1)))
    assert single.cases == ("t0",)
    assert Finding.from_json(json.loads(json.dumps(single.to_json()))) == single


@pytest.mark.parametrize(
    ("share", "sharpness", "level"), [(0.0, 0.2, "doubtful"), (0.7, 0.2, "good"), (0.7, 0.1, "doubtful")]
)
def test_patches_of_source_volumes_make_up_for_a_blur(share, sharpness, level):
    *_, finding = check_detail(facts_of(sharpness=unlike("translated", sharpness)), share)
    assert finding.level == level


def test_what_to_do_is_in_the_documentation():
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "when-adaptation-fails.md").read_text("utf-8")
    shown = (finding for check, given, _, _ in CHECKS for finding in check(given))
    titles = {finding.title for finding in shown if finding.level != "good"}
    assert len(titles) >= 8
    assert [title for title in sorted(titles) if f"`{title}" not in page] == []
