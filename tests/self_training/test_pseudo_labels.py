from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darnet.errors import ConfigurationError
from darnet.inference import Predictor
from darnet.io import CaseRecord, CaseStore
from darnet.plans import Place, SelfTrainingPlan
from darnet.self_training import UNKNOWN, choose_voxels, label_targets, missing_classes
from darnet.self_training.pseudo_labels import fewest_voxels, likely_pieces


def random_probabilities(seed, classes=3, shape=(4, 6, 5)):
    raw = np.random.default_rng(seed).gamma(1.0, 1.0, (classes, *shape)).astype(np.float32)
    return raw / raw.sum(0)


@given(st.integers(0, 200), st.floats(0.05, 1.0))
def test_the_surest_share_of_each_class_is_kept(seed, kept):
    probabilities = random_probabilities(seed)
    labels = choose_voxels(probabilities, kept)
    predicted, certainty = probabilities.argmax(0), probabilities.max(0)
    for label in range(3):
        own, chosen = predicted == label, labels == label
        assert not (chosen & ~own).any()
        if label:
            assert abs(chosen.sum() - kept * own.sum()) <= 0.5 + 1e-6
        if chosen.any() and (own & ~chosen).any():
            assert certainty[chosen].min() >= certainty[own & ~chosen].max()


@given(st.integers(0, 200), st.floats(0.05, 1.0))
def test_background_is_unknown_in_as_many_voxels_as_the_organs(seed, kept):
    probabilities = random_probabilities(seed)
    labels = choose_voxels(probabilities, kept)
    unknown, background = labels == UNKNOWN, probabilities.argmax(0) == 0
    # Random probabilities hold no ties.
    assert (unknown & background).sum() == min((unknown & ~background).sum(), background.sum() // 2)


def test_half_of_the_background_within_the_body_stays_known_where_classes_fill_it():
    rng = np.random.default_rng(0)
    body = np.zeros((4, 20, 20), bool)
    body[:, 4:16, 4:16] = True
    organ = body.copy()
    organ[:, 4:6, 4:16] = False  # 96 voxels of background within the body, less sure than the air around
    sure = np.where(body, 0.6, 0.9) + 0.05 * rng.random(body.shape)
    probabilities = np.stack([np.where(organ, 1 - sure, sure), np.where(organ, sure, 1 - sure)]).astype(np.float32)
    assert not (choose_voxels(probabilities, 0.5)[body & ~organ] == 0).any()
    labels = choose_voxels(probabilities, 0.5, body=body)
    assert (labels[body & ~organ] == 0).sum() == 48
    assert (labels[~body] == 0).all()


def test_of_two_pieces_the_surer_one_is_kept():
    probabilities = np.zeros((2, 1, 1, 20), np.float32)
    probabilities[1, ..., 1:8] = 0.95
    probabilities[1, ..., 10:20] = 0.55
    probabilities[0] = 1 - probabilities[1]
    labels = choose_voxels(probabilities, 1.0, likely_pieces(probabilities, (1,), {}, np.eye(4)))[0, 0]
    assert (labels[1:8] == 1).all()
    assert (labels[10:20] == UNKNOWN).all()


def test_a_handful_of_voxels_is_not_believed():
    probabilities = np.zeros((3, 1, 1, 20), np.float32)
    probabilities[1, ..., 1:8] = 0.95
    probabilities[2, ..., 10:12] = 0.95
    probabilities[0] = 1 - probabilities[1:].sum(0)
    labels = choose_voxels(probabilities, 1.0, least={1: 7, 2: 3})[0, 0]
    assert (labels[1:8] == 1).all()
    assert (labels[10:12] == UNKNOWN).all()
    assert (choose_voxels(probabilities, 1.0, least={1: 7, 2: 2})[0, 0, 10:12] == 2).all()


class TwoPieces:
    """Finds the same in every scan."""

    def probabilities(self, image):
        return two_pieces()


def test_targets_are_labelled_by_places_in_mm_of_the_stored_grid(tmp_path, make_small_plans):
    """W of the stored grid is the file's first axis turned round: it runs to the left in one file, to the right in the
    other."""
    plans = make_small_plans()
    inference = dataclasses.replace(
        plans.inference, largest_component=(1, 2), places={"cube": PLACES[1], "rod": PLACES[2]}
    )
    plans = dataclasses.replace(plans, inference=inference)
    source = fill(CaseStore(tmp_path / "source"), ("c",), {"cube": 4, "rod": 4})
    target, store = CaseStore(tmp_path / "target"), CaseStore(tmp_path / "pseudo")
    for name, step in (("left", 10.0), ("right", -10.0)):
        fill(target, (name,), axes=(2, 1, 0), flips=(False, False, True), step=step, shape=(1, 1, 40))
    label_targets(plans, TwoPieces(), "teacher", source, target, store, quiet=True)
    assert (store.labels("left")[0, 0, 1:12] == UNKNOWN).all()
    assert (store.labels("left")[0, 0, 31:35] == 1).all()
    assert (store.labels("right")[0, 0, 4:12] == 1).all()
    assert (store.labels("right")[0, 0, 30:35] == UNKNOWN).all()


def test_how_many_voxels_are_believed_follows_from_the_source(tmp_path, make_small_plans):
    source, plans = CaseStore(tmp_path / "source"), make_small_plans()
    assert fewest_voxels(plans, source) == {1: 0, 2: 0}
    for case, cube in (("a", 101), ("b", 400), ("c", 0)):
        fill(source, (case,), {"cube": cube, "rod": 0})
    assert fewest_voxels(plans, source) == {1: 11, 2: 0}


def test_without_organs_all_of_the_background_is_known():
    probabilities = np.stack([np.full((2, 3, 4), 0.6), np.full((2, 3, 4), 0.4)]).astype(np.float32)
    assert not choose_voxels(probabilities, 0.5).any()


def test_all_are_kept_where_all_are_asked_for():
    probabilities = random_probabilities(0)
    np.testing.assert_array_equal(choose_voxels(probabilities, 1.0), probabilities.argmax(0))


def test_smaller_pieces_of_what_is_one_piece_are_not_known():
    probabilities = np.zeros((3, 1, 1, 9), np.float32)
    probabilities[[0, 1, 1, 1, 0, 1, 0, 2, 0], 0, 0, np.arange(9)] = 1.0
    single = choose_voxels(probabilities, 1.0, likely_pieces(probabilities, (1,), {}, np.eye(4)))[0, 0]
    assert single.tolist() == [0, 1, 1, 1, 0, UNKNOWN, 0, 2, 0]
    assert choose_voxels(probabilities, 1.0)[0, 0, 5] == 1


# W runs to the left, voxels are 10 mm wide: class 1 is expected 100 mm further left than class 2.
LEFTWARDS = np.diag([-10.0, 1.0, 1.0, 1.0])[:, [2, 1, 0, 3]]
PLACES = {1: Place((-50.0, 0.0, 0.0), 10.0, 0.06), 2: Place((50.0, 0.0, 0.0), 10.0, 0.06)}


def two_pieces() -> np.ndarray:
    """The largest and surest piece of class 1 lies on the wrong side of class 2."""
    probabilities = np.zeros((3, 1, 1, 40), np.float32)
    probabilities[1, ..., 1:12] = np.linspace(0.9, 0.99, 11)
    probabilities[2, ..., 20:25] = np.linspace(0.75, 0.85, 5)
    probabilities[1, ..., 30:35] = np.linspace(0.6, 0.7, 5)
    probabilities[0] = 1 - probabilities[1:].sum(0)
    return probabilities


@pytest.mark.parametrize("kept", [1.0, 0.8])
def test_of_what_is_one_piece_the_one_in_its_place_is_known(kept):
    probabilities = two_pieces()
    likely = likely_pieces(probabilities, (), PLACES, LEFTWARDS)
    labels = choose_voxels(probabilities, kept, likely)[0, 0]
    assert (labels[1:12] == UNKNOWN).all()
    # The share that is kept is that of the piece alone, however sure the other is.
    assert (labels == 1).sum() == (labels == 2).sum() == round(kept * 5)
    assert (labels[30:35][-4:] == 1).all()
    surest = choose_voxels(probabilities, 1.0, likely_pieces(probabilities, (1,), {}, LEFTWARDS))[0, 0]
    assert (surest[1:12] == 1).all()
    assert (surest[30:35] == UNKNOWN).all()


class Halves:
    """Says cube in the upper half along W and background below, and counts its calls."""

    def __init__(self, sure=0.9):
        self.calls, self.sure = 0, sure

    def probabilities(self, image, progress=None):
        self.calls += 1
        result = np.full((3, *image.shape[1:]), (1 - self.sure) / 2, np.float32)
        half = image.shape[-1] // 2
        result[0, ..., :half] = self.sure
        result[1, ..., half:] = self.sure
        return result


def fill(store, names, voxels=None, axes=(0, 1, 2), flips=(False, False, False), step=1.0, shape=(2, 4, 6)):
    """Write empty cases; voxels of the files are `step` mm apart along their first axis, towards the right."""
    for name in names:
        record = CaseRecord(
            case_id=name,
            content_hash=f"hash of {name}",
            original_shape=shape,
            affine=((step, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
            axes=axes,
            flips=flips,
            spacing=(1.0, 1.0, 1.0),
            crop_box=tuple((0, n) for n in shape),
            cropped_shape=shape,
            shape=shape,
            body_axes=("S", "P", "L"),
            has_labels=voxels is not None,
            class_voxels=voxels or {},
        )
        store.write(record, np.zeros((1, *shape)), None if voxels is None else np.zeros(shape, np.uint8))
    return store


def test_targets_are_labelled_once_for_each_teacher(tmp_path, make_small_plans):
    plans = make_small_plans()
    target, store = fill(CaseStore(tmp_path / "target"), ("a", "b")), CaseStore(tmp_path / "pseudo")
    source = fill(CaseStore(tmp_path / "source"), ("c",), {"cube": 20, "rod": 20})
    teacher = Halves()
    assert label_targets(plans, teacher, "first", source, target, store, quiet=True) == {"a": ("a",), "b": ("b",)}
    assert teacher.calls == 2
    assert (store.labels("a")[..., 3:] == 1).all() and (store.labels("a")[..., :3] == 0).all()
    assert store.record("a").class_voxels == {"cube": 24, "rod": 0}
    label_targets(plans, teacher, "first", source, target, store, quiet=True)
    assert teacher.calls == 2
    store.remove("b")
    label_targets(plans, teacher, "first", source, target, store, quiet=True)
    assert teacher.calls == 3
    label_targets(plans, teacher, "second", source, target, store, quiet=True)
    assert teacher.calls == 5
    closer = dataclasses.replace(plans, inference=dataclasses.replace(plans.inference, step_size=0.25))
    label_targets(closer, teacher, "second", source, target, store, quiet=True)
    assert teacher.calls == 7
    larger = fill(CaseStore(tmp_path / "larger"), ("c",), {"cube": 300, "rod": 300})
    label_targets(closer, teacher, "second", larger, target, store, quiet=True)
    assert store.record("a").class_voxels["cube"] == 0, "24 voxels are less than a tenth of 300"


def test_as_many_targets_are_labelled_as_the_plan_allows(tmp_path, make_small_plans):
    plans = dataclasses.replace(make_small_plans(), most_scans=2)
    target, store = fill(CaseStore(tmp_path / "target"), "abcde"), CaseStore(tmp_path / "pseudo")
    source = CaseStore(tmp_path / "source")
    label_targets(make_small_plans(), Halves(), "first", source, target, store, quiet=True)
    assert label_targets(plans, Halves(), "first", source, target, store, quiet=True) == {"a": ("a",), "e": ("e",)}
    assert store.case_ids() == ("a", "e")


@pytest.mark.parametrize(
    ("source", "target", "missing"),
    [
        ({"cube": 5, "rod": 5}, {"cube": 5, "rod": 5}, []),
        ({"cube": 5, "rod": 5}, {"cube": 5, "rod": 0}, ["rod"]),
        ({"cube": 5, "rod": 0}, {"cube": 5, "rod": 0}, []),
    ],
)
def test_classes_that_the_teacher_misses(tmp_path, make_small_plans, source, target, missing):
    first = fill(CaseStore(tmp_path / "source"), ("a", "b"), source)
    second = fill(CaseStore(tmp_path / "pseudo"), ("c",), target)
    assert missing_classes(make_small_plans(), first, second) == missing


@pytest.mark.parametrize(
    ("source", "target", "missing"),
    [
        ((5, 20), (0, 6), False),  # 0.75 ** 6 = 0.18 of such draws show none
        ((10, 20), (0, 4), False),  # 0.5 ** 4 = 0.06
        ((10, 20), (0, 5), True),  # 0.03
        ((10, 20), (1, 6), False),  # 7 / 64
        ((20, 20), (3, 6), False),  # half
        ((20, 20), (2, 6), True),
    ],
)
def test_a_class_that_not_all_scans_show_may_be_in_none_of_a_few(tmp_path, make_small_plans, source, target, missing):
    stores = []
    for name, (shown, count) in (("source", source), ("pseudo", target)):
        store = CaseStore(tmp_path / name)
        fill(store, [f"with{n}" for n in range(shown)], {"cube": 5, "rod": 5})
        stores.append(fill(store, [f"without{n}" for n in range(count - shown)], {"cube": 5, "rod": 0}))
    assert missing_classes(make_small_plans(), *stores) == (["rod"] if missing else [])


def test_the_last_round_is_predicted_with(tmp_path, make_small_plans, write_results):
    from darnet.inference import last_checkpoint
    from darnet.io import load_checkpoint, save_checkpoint
    from darnet.training import plan_hash

    plans = dataclasses.replace(make_small_plans(), self_training=SelfTrainingPlan(rounds=10, iterations=3))
    folder = write_results(tmp_path / "results", plans, folds=(0, 1))
    first = folder / "segmentation" / "fold_0" / "checkpoint.safetensors"
    assert last_checkpoint(folder, "0", plans) == first
    tensors, meta = load_checkpoint(first)
    meta |= {"stage": "self_training", "plan": plan_hash(plans, "segmentation", "self_training"), "iteration": 3}
    for number in (2, 10):
        path = folder / "self_training" / f"round_{number}" / "fold_0" / "checkpoint.safetensors"
        path.parent.mkdir(parents=True)
        save_checkpoint(path, tensors, meta)
    assert last_checkpoint(folder, "0", plans) == path
    set_aside = folder / "self_training" / "round_99_old" / "fold_0" / path.name
    set_aside.parent.mkdir(parents=True)
    save_checkpoint(set_aside, tensors, meta)
    running = folder / "self_training" / "round_11" / "fold_0" / path.name
    running.parent.mkdir(parents=True)
    save_checkpoint(running, tensors, meta | {"iteration": 2})
    assert last_checkpoint(folder, "0", plans) == path
    assert last_checkpoint(folder, "1", plans) == folder / "segmentation" / "fold_1" / "checkpoint.safetensors"
    assert len(Predictor.from_results(folder, (0, 1)).networks) == 2
    save_checkpoint(path, tensors, meta | {"plan": "another"})
    with pytest.raises(ConfigurationError, match="another plan"):
        Predictor.from_results(folder, (0,))
    assert len(Predictor.from_results(folder, (0,), self_trained=False).networks) == 1
