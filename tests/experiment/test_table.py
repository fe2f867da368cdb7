from __future__ import annotations

import math

import numpy as np
import pytest

from darnet.evaluation import CaseScores, Scores, summarize
from darnet.experiment import ROWS, ExperimentOptions, format_table, make_table, write_table
from darnet.experiment.rows import find_rows
from darnet.experiment.table import Spread
from darnet.io import read_json

CLASSES = ("liver", "spleen")


def record(seed, dice, asd, seconds=60.0, memory=1.5, left_out=0):
    """A run whose two scans have these scores of the classes, (scan, class)."""
    cases = [
        CaseScores(f"c{n}", {c: Scores(d, a, a) for c, d, a in zip(CLASSES, ds, aa, strict=True)})
        for n, (ds, aa) in enumerate(zip(dice, asd, strict=True))
    ]
    scores = summarize(cases).to_json()
    measured = {"seconds": {"a": seconds, "b": 1.0}, "memory_gb": memory, "left_out": left_out}
    return {"seed": seed, **measured, "scores": scores}


class Fake:
    """An experiment whose runs are given."""

    def __init__(self, folder, plans, records, asked=()):
        self.folder, self.plans, self._records = folder, plans, records
        self.former = {}
        self.options, self.rows = ExperimentOptions(fold="0"), find_rows(asked) if asked else ()

    def records(self, row):
        return ("multi_style" if row.name == "deep_supervision" else row.name), self._records.get(row.name, [])

    def left_out(self, row):
        return self.former if row.name == "content_curves" else {}

    def unavailable(self, row):
        return "not available: the plan lacks it" if row.name == "entangled" else None


DICE = {s: np.random.default_rng(s).uniform(0.3, 0.9, (2, 2)) for s in range(4)}
ASD = {s: np.random.default_rng(9 + s).uniform(1, 9, (2, 2)) for s in range(4)}


@pytest.fixture
def fake(tmp_path, make_small_plans):
    records = {
        "no_adaptation": [record(0, [[0.1, 0.2], [0.1, 0.2]], [[9.0, 9.0], [9.0, math.inf]])],
        "supervised": [record(0, [[0.95, 0.95], [0.95, 0.95]], [[1.0, 1.0], [1.0, 1.0]])],
        "multi_style": [record(s, DICE[s], ASD[s], 100.0 * s, s) for s in range(3)],
    }
    records["deep_supervision"] = records["multi_style"]
    return Fake(tmp_path / "experiment", make_small_plans(), records, ("multi_style", "entangled", "default"))


def test_mean_and_spread_over_seeds(fake):
    lines = {line.name: line for line in make_table(fake)}
    found = lines["multi_style"]
    dice, asd = (np.stack([values[s] for s in range(3)]) for values in (DICE, ASD))  # (seed, scan, class)
    per_seed = dice.mean(1).mean(1)
    assert found.dice.mean == pytest.approx(per_seed.mean())
    assert found.dice.std == pytest.approx(per_seed.std())
    for k, name in enumerate(CLASSES):
        for spread, values in zip(found.classes[name], (dice, asd), strict=True):
            assert spread.mean == pytest.approx(values[:, :, k].mean())
            assert spread.std == pytest.approx(values[:, :, k].mean(1).std())
    assert found.seconds.mean == pytest.approx(101.0)
    assert (found.memory_gb, found.seeds, found.missed, found.out_of) == (2, (0, 1, 2), 0, 12)
    assert found.closed == pytest.approx((per_seed.mean() - 0.15) / (0.95 - 0.15))
    assert (lines["no_adaptation"].closed, lines["supervised"].closed) == (0.0, 1.0)


def test_a_missed_organ_is_not_dropped_from_the_mean(fake):
    line = next(line for line in make_table(fake) if line.name == "no_adaptation")
    assert math.isinf(line.asd_mm.mean)
    assert (line.missed, line.out_of) == (1, 4)
    assert line.classes["liver"][1].mean == 9.0
    assert math.isnan(line.dice.std)


def test_rows_of_the_table(fake):
    lines = {line.name: line for line in make_table(fake, {"default, seed 0": "error"})}
    assert list(lines) == [row.name for row in ROWS if row.name in lines]
    assert set(lines) == {"no_adaptation", "supervised", "entangled", "multi_style", "deep_supervision", "default"}
    assert lines["deep_supervision"].note == "the same plan as multi_style"
    assert lines["entangled"].note == "not available: the plan lacks it"
    assert lines["default"].note == "default, seed 0 failed; not run yet"


def test_what_is_of_something_else_is_named_and_not_counted(fake):
    fake.former = {"of another plan": [0, 2], "scored on other test scans": [1]}
    named = "seed 0, 2 left out: of another plan; seed 1 left out: scored on other test scans"
    for records in ([], [record(3, DICE[3], ASD[3])]):
        fake._records["content_curves"] = records
        line = next(line for line in make_table(fake) if line.name == "content_curves")
        assert (line.note, len(line.seeds)) == (named, len(records))


def test_rounds_that_were_left_out_are_said(fake):
    fake._records["self_training"] = [record(s, DICE[s], ASD[s], left_out=s % 2) for s in range(4)]
    line = next(line for line in make_table(fake) if line.name == "self_training")
    assert line.note == "self-training left out with seed 1, 3"


def test_no_gap_without_its_ends(fake):
    for missing in ("no_adaptation", "supervised"):
        records = {name: found for name, found in fake._records.items() if name != missing}
        for line in make_table(Fake(fake.folder, fake.plans, records)):
            assert math.isnan(line.closed)


def test_files(fake):
    path = write_table(fake, make_table(fake))
    text = path.read_text("utf-8")
    assert text.startswith("# Dataset007_Small, preset fast, fold 0")
    widths = {line.count("|") for line in text.splitlines() if line.startswith("|")}
    assert widths == {10, 6}  # nine columns; a row and two measures of two classes
    values = read_json(path.with_suffix(".json"))
    rows = {row["row"]: row for row in values["rows"]}
    assert rows["no_adaptation"]["asd_mm"] == {"mean": "inf", "std": None}
    assert rows["multi_style"]["gap_closed"] == pytest.approx(make_table(fake)[2 + 1].closed)
    assert path.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_nothing_scored_draws_nothing(tmp_path, make_small_plans):
    fake = Fake(tmp_path, make_small_plans(), {}, ("default",))
    path = write_table(fake, make_table(fake))
    assert "| default | 0 | - | - | - | - | - | - |" in path.read_text("utf-8")
    assert not path.with_suffix(".png").exists()
    assert "gap closed" in format_table([])


@pytest.mark.parametrize(
    ("values", "text"),
    [([], "-"), ([0.5], "0.500"), ([0.4, 0.6], "0.500 ± 0.100"), ([1.0, math.inf], "inf"), ([math.nan], "-")],
)
def test_text_of_a_spread(values, text):
    assert Spread.of(values).text(3) == text
