from __future__ import annotations

import json
from pathlib import Path

import pytest

from darnet.errors import ConfigurationError
from darnet.planning import make_splits
from darnet.training.folds import fold_notes, read_fold, write_folds

FOLDS = [
    {"train": ["b", "c"], "val": ["a"]},
    {"train": ["a", "c"], "val": ["b"]},
    {"train": ["a", "b"], "val": ["c"]},
]


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    path = tmp_path / "splits.json"
    path.write_text(json.dumps(FOLDS), encoding="utf-8")
    return path


@pytest.mark.parametrize("fold", [0, 1, 2, "0", "2"])
def test_one_fold(splits, fold):
    train, held_out = read_fold(splits, fold)
    assert list(train) == FOLDS[int(fold)]["train"]
    assert list(held_out) == FOLDS[int(fold)]["val"]


def test_all_trains_on_every_case_once(splits):
    assert read_fold(splits, "all") == (("a", "b", "c"), ())


@pytest.mark.parametrize("fold", [3, "3", -1, "-1", "x", "", "1.0", "²"])
def test_unknown_fold(splits, fold):
    with pytest.raises(ConfigurationError, match="there is no fold") as caught:
        read_fold(splits, fold)
    assert caught.value.expected == "0 to 2, or all"


def test_missing_splits(tmp_path):
    with pytest.raises(ConfigurationError, match="there are no folds") as caught:
        read_fold(tmp_path / "splits.json", 0)
    assert "darnet_plan_and_preprocess" in caught.value.remedy


def test_classes_that_no_case_of_a_fold_shows(splits):
    shown = {"a": {"liver": 2.0, "spleen": 1.0}, "b": {"liver": 1.0, "spleen": 0.0}, "c": {"liver": 3.0}}
    assert fold_notes(splits, shown, 0) == ["fold 0 trains on no case with spleen"]
    assert fold_notes(splits, shown, "1") == ["fold 1 validates on no case with spleen"]
    assert fold_notes(splits, shown, "all") == []
    assert len(fold_notes(splits, shown)) == 3


def dealt(splits, cases, seed=0):
    splits.write_text(json.dumps(make_splits(cases, 3, seed)), encoding="utf-8")
    return splits.read_bytes()


@pytest.mark.parametrize(("cases", "changes"), [("abcd", "new: d"), ("ab", "gone: c"), ("abx", "new: x; gone: c")])
@pytest.mark.parametrize(("former", "was"), [((), 0), ((7,), 0), (None, 5)])
def test_folds_that_were_dealt_are_dealt_anew_where_cases_have_changed(splits, cases, changes, former, was):
    before, said = dealt(splits, list("abc"), was), []
    write_folds(splits, list("abc"), 3, 0, said.append, former)
    assert said == [] and splits.read_bytes() == before
    write_folds(splits, list(cases), 3, 0, said.append, former)
    (sentence,) = said
    previous = splits.with_name("splits.json.previous")
    assert changes in sentence and str(previous) in sentence
    assert previous.read_bytes() == before
    assert json.loads(splits.read_text()) == make_splits(list(cases), 3, 0)


def test_folds_of_another_seed_are_dealt_anew_and_go_back_with_it(splits):
    cases, said = list("abcdef"), []
    before = dealt(splits, cases, 7)
    write_folds(splits, cases, 3, 0, said.append, (7,))
    (sentence,) = said
    previous = splits.with_name("splits.json.previous")
    assert sentence.startswith("the folds are of seed 7, and it is 0 now: folds are dealt anew")
    assert str(previous) in sentence and previous.read_bytes() == before
    assert json.loads(splits.read_text()) == make_splits(cases, 3, 0) != json.loads(before)
    write_folds(splits, cases, 3, 7, said.append, (0,))
    assert json.loads(splits.read_text()) == json.loads(before)


def test_folds_made_by_hand_are_kept_with_another_seed_which_is_said(splits):
    said: list[str] = []
    splits.write_text(json.dumps(FOLDS[:1]), encoding="utf-8")
    by_hand = splits.read_bytes()
    for former in ((), (3,)):
        write_folds(splits, list("abc"), 3, 3, said.append, former)
    assert said == []
    write_folds(splits, list("abc"), 3, 3, said.append, (0,))
    assert said == [f"{splits} was made by hand and is kept: seed 3 changes no fold; move it away to deal anew"]
    assert splits.read_bytes() == by_hand


def test_folds_made_by_hand_are_kept_without_the_cases_that_they_leave_out(splits):
    said: list[str] = []
    splits.write_text(json.dumps(FOLDS[:1]), encoding="utf-8")
    by_hand = splits.read_bytes()
    write_folds(splits, list("abcd"), 3, 0, said.append)
    assert said[0].startswith(f"d: in no fold of {splits}")
    assert splits.read_bytes() == by_hand
    write_folds(splits, list("ab"), 3, 0, said.append)
    assert "gone: c" in said[1], "a case of a fold is gone"
    assert splits.with_name("splits.json.previous").read_bytes() == by_hand
    dealt_anew = splits.read_bytes()
    write_folds(splits, list("abc"), 3, 0, said.append)
    assert splits.with_name("splits.json.previous").read_bytes() == by_hand
    assert said[2].endswith("the former ones are " + str(copy := splits.with_name("splits.json.previous_2")))
    assert copy.read_bytes() == dealt_anew


@pytest.mark.parametrize("fold", [{"train": ["a", "b"], "val": ["b"]}, {"train": ["a", "a", "b"], "val": []}])
def test_a_case_twice_in_a_fold_is_refused(splits, fold):
    splits.write_text(json.dumps([*FOLDS, fold]), encoding="utf-8")
    with pytest.raises(ConfigurationError, match="fold 3 has cases twice"):
        read_fold(splits, 0)
