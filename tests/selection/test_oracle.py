"""How far a choice is from the oracle's, on numbers of which it is known."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import choice
from darnet.evaluation import CaseScores, Scores, summarize
from darnet.io import write_json


def test_distance_from_the_oracle():
    dice = {"segmentation": 0.7, "round_1": 0.8, "round_2": 0.75}
    found = choice.distance_from_oracle(dice, "segmentation")
    assert found["oracle"] == "round_1"
    assert found["last"] == "round_2"
    assert found["behind_oracle"] == pytest.approx(0.1)
    assert found["ahead_of_last"] == pytest.approx(-0.05)
    assert choice.distance_from_oracle(dice, "round_1")["behind_oracle"] == 0.0


def test_every_candidate_is_evaluated(tmp_path, monkeypatch, make_small_plans):
    """Predictions and scores are stood in for: what is tested is which network gets which Dice."""
    plans = make_small_plans()
    write_json(tmp_path / "plans.json", plans.to_json())
    criteria = dict.fromkeys(("certainty", "stability", "agreement", "plausibility", "score"), 0.5)
    candidates = dict.fromkeys(("segmentation", "round_1"), criteria)
    write_json(tmp_path / "choice.json", {"folds": {"0": {"chosen": "segmentation", "candidates": candidates}}})
    scores = {"segmentation": 0.6, "round_1": 0.9}

    def predict(images, masks, predictor, *_, **__):
        (Path(masks) / "network.json").write_text(json.dumps(predictor))

    def evaluate(masks, labels, classes):
        assert classes == plans.foreground
        value = scores[json.loads((Path(masks) / "network.json").read_text())]
        return summarize([CaseScores("t1", {"cube": Scores(value, 1.0, 1.0)})])

    monkeypatch.setattr("darnet.inference.candidates", lambda *_: {name: name for name in scores})
    monkeypatch.setattr("darnet.inference.load_network", lambda path, _: path)
    monkeypatch.setattr("darnet.inference.Predictor", lambda _, networks, device: networks[0])
    monkeypatch.setattr("darnet.inference.predict_folder", predict)
    monkeypatch.setattr("darnet.evaluation.evaluate_folders", evaluate)
    report = choice.evaluate_choice(tmp_path, tmp_path, tmp_path)
    assert report["0"]["behind_oracle"] == pytest.approx(0.3)
    table = choice.as_table(report)
    assert "segmentation (chosen) | 0.500" in table
    assert "round_1 (oracle)" in table
    assert "0.300 Dice behind the oracle, -0.300 against the last round" in table
