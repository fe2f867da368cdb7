from __future__ import annotations

import json
from pathlib import Path

import pytest

from darnet.errors import ConfigurationError
from darnet.training.folds import fold_notes, read_fold

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


@pytest.mark.parametrize("fold", [3, "3", -1, "-1", "x", "", "1.0"])
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
