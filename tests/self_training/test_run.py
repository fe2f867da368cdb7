from __future__ import annotations

import numpy as np
import pytest
import torch

from darnet.io import CaseStore, save_checkpoint
from darnet.plans import SelfTrainingPlan
from darnet.self_training import run, train_student
from darnet.self_training.run import patch_shares
from darnet.training import RunOptions
from tests.cases import write_case


@pytest.mark.parametrize(
    ("round_number", "matched", "expected"),
    [
        (1, True, (0.1, 0.0, 0.9)),
        (2, True, (0.07, 0.3, 0.63)),
        (3, True, (0.07, 0.3, 0.63)),
        (1, False, (1.0, 0.0, 0.0)),
        (2, False, (0.7, 0.3, 0.0)),
    ],
)
def test_target_scans_come_in_from_the_second_round_on(round_number, matched, expected):
    settings = SelfTrainingPlan(rounds=3, target_share=0.3, matched_share=0.9)
    assert patch_shares(settings, round_number, matched) == pytest.approx(expected)


def test_fewer_target_scans_where_a_class_is_doubted():
    settings = SelfTrainingPlan(rounds=3, target_share=0.3, matched_share=0.9)
    assert patch_shares(settings, 2, True, 0.5) == pytest.approx((0.085, 0.15, 0.765))
    assert patch_shares(settings, 2, True, 0.0) == pytest.approx((0.1, 0.0, 0.9))
    assert patch_shares(settings, 1, True, 0.5) == pytest.approx((0.1, 0.0, 0.9))


@pytest.fixture
def student(make_small_plans, tmp_path, monkeypatch):
    """Trains a round on empty scans and gives what its checkpoint says."""
    seen = {}
    stores = {name: CaseStore(tmp_path / name) for name in ("source", "pseudo", "first", "second")}
    for name, store in stores.items():
        for case in ("s1", "s2", "s3") if name == "source" else ("t1",):
            write_case(store, case, np.zeros((1, 8, 16, 16)), np.zeros((8, 16, 16), np.uint8))
    teacher = tmp_path / "teacher.safetensors"
    save_checkpoint(teacher, {"network.weight": torch.zeros(1)}, {"iteration": 1})
    monkeypatch.setattr(run, "load_module", lambda *_: None)
    monkeypatch.setattr(run, "fit", lambda step, iterations, folder, meta, options: seen.update(meta))

    def train(round_number, *former):
        source, variants = stores["source"], {case: (case,) for case in ("s1", "s2", "s3")}
        train_student(
            make_small_plans(), teacher, source, source, variants, stores["pseudo"], {"t1": ("t1",)},
            (("s1", "s2"), ()), "0", round_number, tmp_path,
            RunOptions(torch.device("cpu"), quiet=True, notice=lambda _: None), [stores[name] for name in former],
        )  # fmt: skip
        return seen

    return train


def test_a_round_rests_on_held_out_cases_too(student):
    """They tell what is believed of pseudo-labels, so a round that is half trained must not go on with others."""
    seen = student(1)
    assert set(seen["data"]) == {"source/s1", "source/s2", "source/s3", "pseudo/t1"}
    assert (seen["cases"], seen["seed"]) == (["s1", "s2"], 0)


def test_a_round_asks_what_those_before_it_doubted(student, monkeypatch):
    asked = []

    def class_trust(plans, source, *stores):
        asked.extend(store.folder.name for store in stores)
        return np.ones(plans.num_classes)

    monkeypatch.setattr(run, "class_trust", class_trust)
    student(3, "first", "second")
    assert asked == ["pseudo", "first", "second"]
