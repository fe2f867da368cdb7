from __future__ import annotations

import math

from darnet.evaluation import CaseScores, Scores, format_table, summarize

ABSENT = Scores(math.nan, math.nan, math.nan)
CASES = (
    CaseScores("good", {"liver": Scores(0.9, 1.0, 2.0), "spleen": Scores(0.8, 2.0, 4.0)}),
    CaseScores("bad", {"liver": Scores(0.5, 3.0, 6.0), "spleen": Scores(0.0, math.inf, math.inf)}, missing=True),
    CaseScores("none", {"liver": ABSENT, "spleen": ABSENT}),
    CaseScores("near", {"liver": Scores(0.7, 5.0, 4.0), "spleen": ABSENT}),
    CaseScores("far", {"liver": Scores(0.7, 9.0, 4.0), "spleen": ABSENT}),
)

EXPECTED = """\
class   n  failures    Dice     std  ASD mm   std  finite  ASD voxels   std  finite
liver   4         0  0.7000  0.1414    4.50  2.96    4.50        4.00  1.41    4.00
spleen  2         1  0.4000  0.4000     inf     -    2.00         inf     -    4.00
mean    6         1  0.5500  0.2250     inf     -    3.25         inf     -    4.00

case, worst first      Dice  ASD mm  Dice liver  Dice spleen
bad (no prediction)  0.2500     inf      0.5000       0.0000
far                  0.7000    9.00      0.7000            -
near                 0.7000    5.00      0.7000            -
good                 0.8500    1.50      0.9000       0.8000
none                      -       -           -            -
note: one
note: two"""


def test_the_whole_table():
    assert format_table(summarize(CASES, ["one", "two"])) == EXPECTED


def test_only_the_worst_are_shown_where_they_are_many():
    lines = format_table(summarize(CASES), worst=2).splitlines()
    assert [line.split()[0] for line in lines[-3:-1]] == ["bad", "far"]
    assert lines[-1] == "... and 3 better ones"
    assert "better" not in format_table(summarize(CASES), worst=None)


def test_numbers_and_names_stand_in_columns():
    long = "a class of a very long name"
    lines = format_table(summarize([CaseScores("x", {long: CASES[0].classes["liver"]})])).splitlines()
    assert len({len(line) for line in lines[:3]}) == 1
    assert lines[1].startswith(long + "  1")
