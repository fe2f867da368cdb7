"""Choosing among networks of which it is known what they predict."""

from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch

from darnet.inference import CHOICE, Predictor, candidates, chosen_checkpoint, doubtful_shapes, last_checkpoint
from darnet.io import CaseRecord, CaseStore, load_checkpoint, save_checkpoint, sha256_of, write_json
from darnet.selection import choose_round
from darnet.training import RunOptions, stage_hash
from darnet.training import run as training

SHAPE = (8, 32, 32)
CPU = torch.device("cpu")


def scan(seed):
    """Cube and rod, brighter than the body, at places that differ a little."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(SHAPE, np.uint8)
    d, h, w = rng.integers(0, 3, 3)
    labels[1 + d : 5 + d, 4 + h : 14 + h, 3 + w : 13 + w] = 1
    labels[1:7, 18:26, 18 + w : 26 + w] = 2
    image = np.choose(labels, [-0.6, 0.2, 0.8]).astype(np.float32)[None]
    return image + rng.normal(0, 0.02, image.shape).astype(np.float32), labels


def write(store, name, image, labels):
    box = tuple((0, n) for n in SHAPE)
    rows = tuple(tuple(row) for row in np.eye(4).tolist())
    record = CaseRecord(
        name, name, SHAPE[::-1], rows, (2, 1, 0), (False, False, False), (3.0, 1.0, 1.0), box, SHAPE, SHAPE,
        ("S", "P", "L"), labels is not None,
    )  # fmt: skip
    store.write(record, image, labels)


class Thresholds(torch.nn.Module):
    """Knows classes by their intensity. `good` does; the others are sure, and wrong or unsure."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, image):
        middles = torch.tensor([-0.6, 0.2, 0.8]).view(1, 3, 1, 1, 1)
        sharp = {"good": 60.0, "unsure": 2.0, "specks": 60.0, "blind": 60.0}[self.kind]
        logits = -sharp * (image - middles) ** 2
        if self.kind == "specks":
            logits[:, 2, ::3, ::4, ::4] += 100.0
        if self.kind == "blind":
            logits[:, 1:] -= 1000.0
        return logits


@pytest.fixture
def plans(make_small_plans):
    plans = make_small_plans()
    return dataclasses.replace(plans, self_training=dataclasses.replace(plans.self_training, rounds=2, iterations=5))


@pytest.fixture
def stores(tmp_path):
    source, target = CaseStore(tmp_path / "source"), CaseStore(tmp_path / "target")
    for seed in range(4):
        write(source, f"s{seed}", *scan(seed))
        write(target, f"t{seed}", scan(10 + seed)[0], None)
    return source, target


@pytest.fixture
def results(tmp_path, plans, write_results):
    """A network before self-training and of two rounds, with other weights each."""
    folder = write_results(tmp_path / "results", plans)
    tensors, _ = load_checkpoint(folder / "segmentation/fold_0/checkpoint.safetensors")
    for number in (1, 2):
        path = folder / f"self_training/round_{number}/fold_0/checkpoint.safetensors"
        path.parent.mkdir(parents=True)
        moved = {name: tensor + number if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
        meta = {"dataset": plans.dataset, "labels": plans.labels, "stage": "self_training", "iteration": 5}
        save_checkpoint(path, moved, meta | {"plan": stage_hash(plans, "self_training")})
    return folder


@pytest.fixture
def predict_as(monkeypatch):
    """Have each candidate's checkpoint stand for a network of a known kind."""

    def use(**kinds):
        def load(path, *_):
            round_name = path.parents[1].name
            return Thresholds(kinds[round_name])

        monkeypatch.setattr("darnet.selection.run.load_network", load)

    return use


@pytest.mark.parametrize(
    ("kinds", "chosen"),
    [
        (("specks", "unsure", "good"), "round_2"),
        (("unsure", "good", "specks"), "round_1"),
        (("good", "unsure", "blind"), "segmentation"),
        (("good", "good", "good"), "round_2"),
    ],
)
def test_the_good_network_is_chosen(kinds, chosen, plans, results, stores, predict_as):
    predict_as(**dict(zip(("segmentation", "round_1", "round_2"), kinds, strict=True)))
    assert choose_round(plans, results, 0, *stores, CPU, quiet=True, notice=lambda _: None) == chosen
    values = json.loads((results / CHOICE).read_text())["folds"]["0"]
    assert values["chosen"] == chosen
    assert list(values["candidates"]) == ["segmentation", "round_1", "round_2"]
    for name, kind in zip(values["candidates"], kinds, strict=True):
        found = values["candidates"][name]
        assert (found["certainty"] is None) == (kind == "blind")
        assert (found["certainty"] or 0.0) < 0.5 or kind in ("good", "specks")
        assert (found["plausibility"] > 0.9) == (kind in ("good", "unsure"))
    assert chosen_checkpoint(results, "0", plans) == candidates(results, "0", plans)[chosen]


def test_target_labels_are_not_needed_and_source_labels_are(plans, results, stores, predict_as):
    predict_as(segmentation="good", round_1="good", round_2="specks")
    source, target = stores
    assert not any(target.record(case).has_labels for case in target.case_ids())
    assert choose_round(plans, results, 0, source, target, CPU, quiet=True) == "round_1"


@pytest.mark.parametrize(("most", "scans"), [(None, 4), (18, 4), (9, 3), (6, 2), (1, 2)])
def test_rounds_are_compared_on_as_many_scans_as_the_plan_allows(most, scans, plans, results, stores, predict_as):
    predict_as(segmentation="specks", round_1="good", round_2="specks")
    choose_round(dataclasses.replace(plans, most_scans=most), results, 0, *stores, CPU, quiet=True)
    compared = json.loads((results / CHOICE).read_text())["folds"]["0"]["scans"]
    assert len(compared) == scans
    assert {"t0", "t3"} <= set(compared)


def test_a_validation_takes_as_many_held_out_scans_as_the_plan_allows(plans, stores, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(training, "fit", lambda *args, begin: None)
    monkeypatch.setattr(training, "validate", lambda *args: seen.append(sorted(args[4])) or {})
    source, variants = stores[0], {f"s{n}": (f"s{n}",) for n in range(4)}
    for most in (None, 2):
        limited, folder = dataclasses.replace(plans, most_scans=most), tmp_path / str(most)
        folder.mkdir()
        fold = (("s0",), ("s3", "s2", "s1"))
        training.train_segmentation(limited, source, source, variants, fold, "0", folder, RunOptions(CPU, quiet=True))
    assert seen == [["s1", "s2", "s3"], ["s1", "s3"]]


def test_the_same_choice_is_not_made_twice(plans, results, stores, predict_as, monkeypatch):
    predict_as(segmentation="unsure", round_1="good", round_2="specks")
    choose_round(plans, results, 0, *stores, CPU, quiet=True)
    before = (results / CHOICE).read_bytes()

    def fail(*_):
        raise AssertionError("compared again")

    monkeypatch.setattr("darnet.selection.run.compare", fail)
    assert choose_round(plans, results, "0", *stores, CPU, quiet=True) == "round_1"
    assert (results / CHOICE).read_bytes() == before
    write(stores[1], "t9", scan(30)[0], None)
    with pytest.raises(AssertionError, match="compared again"):
        choose_round(plans, results, 0, *stores, CPU, quiet=True)


def test_folds_share_the_file(plans, results, stores, predict_as):
    write_json(results / CHOICE, {"folds": {"1": {"chosen": "round_1"}}})
    predict_as(segmentation="good", round_1="specks", round_2="specks")
    choose_round(plans, results, 0, *stores, CPU, quiet=True)
    folds = json.loads((results / CHOICE).read_text())["folds"]
    assert folds["1"] == {"chosen": "round_1"}
    assert folds["0"]["chosen"] == "segmentation"


def test_prediction_takes_the_chosen_round_where_asked(plans, results, stores, predict_as):
    predict_as(segmentation="specks", round_1="good", round_2="specks")
    choose_round(plans, results, 0, *stores, CPU, quiet=True)
    said: list[str] = []

    def weights(**how):
        predictor = Predictor.from_results(results, notice=said.append, **how)
        return next(iter(predictor.networks[0].state_dict().values())).flatten()[0].item()

    first = weights(self_trained=False)
    assert weights() == pytest.approx(first + 2)
    assert weights(chosen=True) == pytest.approx(first + 1)
    planned = dataclasses.replace(plans, self_training=dataclasses.replace(plans.self_training, choose=True))
    write_json(results / "plans.json", planned.to_json())
    assert weights() == pytest.approx(first + 1)
    assert weights(chosen=False) == pytest.approx(first + 2)
    assert weights(self_trained=False) == first
    assert said == []


@pytest.mark.parametrize("damage", ["none", "other networks", "unknown name", "no object"])
def test_without_a_choice_between_these_networks_the_last_is_taken(damage, plans, results, stores, predict_as):
    predict_as(segmentation="good", round_1="specks", round_2="specks")
    choose_round(plans, results, 0, *stores, CPU, quiet=True)
    path = results / CHOICE
    values = json.loads(path.read_text())
    if damage == "none":
        path.unlink()
    elif damage == "other networks":
        tensors, meta = load_checkpoint(results / "self_training/round_1/fold_0/checkpoint.safetensors")
        first = next(name for name, tensor in tensors.items() if tensor.is_floating_point())
        tensors[first] = tensors[first] + 1
        save_checkpoint(results / "self_training/round_1/fold_0/checkpoint.safetensors", tensors, meta)
    elif damage == "unknown name":
        values["folds"]["0"]["chosen"] = "../round_1"
        write_json(path, values)
    else:
        write_json(path, {"folds": []})
    said: list[str] = []
    assert chosen_checkpoint(results, "0", plans, said.append) == last_checkpoint(results, "0", plans)
    assert len(said) == 1
    assert "the last round is taken" in said[0]


@pytest.mark.parametrize(("kind", "doubtful"), [("good", False), ("blind", True)])
def test_one_network_is_judged_though_there_is_no_choice(
    kind, doubtful, tmp_path, plans, stores, write_results, monkeypatch
):
    folder, said = write_results(tmp_path / "plain", plans), []
    monkeypatch.setattr("darnet.selection.run.load_network", lambda *_: Thresholds(kind))
    assert choose_round(plans, folder, 0, *stores, CPU, quiet=True, notice=said.append) == "segmentation"
    values = json.loads((folder / CHOICE).read_text())["folds"]["0"]
    assert list(values["candidates"]) == ["segmentation"]
    assert values["candidates"]["segmentation"]["agreement"] is None
    assert [sentence.startswith("doubtful: ") for sentence in said] == [True] * doubtful
    assert chosen_checkpoint(folder, "0", plans) == last_checkpoint(folder, "0", plans)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("CUDA out of memory"), RuntimeError("other")])
def test_want_of_memory_to_compare_does_not_end_a_training(error, plans, results, stores, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr("darnet.selection.run.compare", fail)
    said: list[str] = []
    if "other" in str(error):
        with pytest.raises(RuntimeError, match="other"):
            choose_round(plans, results, 0, *stores, CPU, quiet=True, notice=said.append)
        return
    assert choose_round(plans, results, 0, *stores, CPU, quiet=True, notice=said.append) == "round_2"
    assert len(said) == 1 and "for want of memory" in said[0]
    assert not (results / CHOICE).exists()


def test_weights_do_not_depend_on_whether_one_is_chosen(plans):
    other = dataclasses.replace(plans, self_training=dataclasses.replace(plans.self_training, choose=True))
    assert stage_hash(other, "self_training") == stage_hash(plans, "self_training")


def told(plans, results, stores) -> tuple[list[str], list[str]]:
    """What choosing a round says, and what loading the predictor says afterwards."""
    training: list[str] = []
    prediction: list[str] = []
    choose_round(plans, results, 0, *stores, CPU, quiet=True, notice=training.append)
    Predictor.from_results(results, folds=(0,), notice=prediction.append)
    return training, prediction


@pytest.mark.parametrize(("last", "doubtful"), [("good", False), ("unsure", False), ("blind", True)])
def test_shapes_unlike_those_of_the_source_are_told_in_training_and_prediction(
    last, doubtful, plans, results, stores, predict_as
):
    predict_as(segmentation="good", round_1="good", round_2=last)
    for _ in range(2):  # what was compared before is told again
        for said in told(plans, results, stores):
            assert len(said) == doubtful
            assert all(sentence.startswith("doubtful: what fold 0 found in 4 target") for sentence in said)
            assert all("cube 0.00 (at least 0." in sentence and "rod 0.00" in sentence for sentence in said)
    before: list[str] = []
    Predictor.from_results(results, folds=(0,), self_trained=False, notice=before.append)
    assert before == []


def test_a_class_that_a_network_before_took_for_something_else_is_told(plans, results, stores, predict_as):
    predict_as(segmentation="good", round_1="good", round_2="good")
    choose_round(plans, results, 0, *stores, CPU, quiet=True, notice=lambda _: None)
    rounds = {n: results / f"self_training/round_{n}/fold_0/checkpoint.safetensors" for n in (1, 2)}
    values = json.loads((results / CHOICE).read_text())
    candidates = values["folds"]["0"]["candidates"]
    values["folds"]["0"]["usual"] = {"cube": 0.8, "rod": 0.8}
    candidates["segmentation"]["shapes"] = {"cube": 0.8, "rod": 0.9}
    candidates["round_1"]["shapes"] = {"cube": 0.8, "rod": 0.55}
    candidates["round_2"]["shapes"] = {"cube": 0.8, "rod": 0.7}
    write_json(results / CHOICE, values)
    told = doubtful_shapes(results, "0", rounds[2], plans)
    assert told and "expected: rod 0.55 (at least 0.60) in an earlier network, from which rounds learned. Whole" in told
    assert "rod 0.55 (at least 0.60), all" in str(doubtful_shapes(results, "0", rounds[1], plans))
    assert doubtful_shapes(results, "0", results / "segmentation/fold_0/checkpoint.safetensors", plans) is None


def test_nothing_is_told_of_other_weights_or_without_a_comparison(plans, results, stores, predict_as):
    predict_as(segmentation="good", round_1="good", round_2="blind")
    choose_round(plans, results, 0, *stores, CPU, quiet=True, notice=lambda _: None)
    path = results / "self_training/round_2/fold_0/checkpoint.safetensors"
    assert doubtful_shapes(results, "0", path, plans)
    assert doubtful_shapes(results, "1", path, plans) is None
    shutil.copy(results / "self_training/round_1/fold_0/checkpoint.safetensors", path)
    assert doubtful_shapes(results, "0", path, plans) is None
    values = json.loads((results / CHOICE).read_text())
    for entry in values["folds"]["0"]["candidates"].values():
        entry["checkpoint"], entry["shapes"] = sha256_of(path), {"cube": 0.9, "rod": 0.5, "ball": 0.0}
    values["folds"]["0"]["usual"] = {"cube": 0.8, "rod": 0.8}
    write_json(results / CHOICE, values)
    found = "rod 0.50 (at least 0.60), all classes on average 0.70 (at least 0.74). Whole classes"
    assert f"expected: {found}" in doubtful_shapes(results, "0", path, plans)
    assert "segmentation.appearance to 1" in doubtful_shapes(results, "0", path, plans)
    curved = dataclasses.replace(plans, segmentation=dataclasses.replace(plans.segmentation, appearance=1.0))
    assert "train the translator longer" in doubtful_shapes(results, "0", path, curved)
    (results / CHOICE).write_text("[]")
    assert doubtful_shapes(results, "0", path, plans) is None
    (results / CHOICE).unlink()
    assert doubtful_shapes(results, "0", path, plans) is None
