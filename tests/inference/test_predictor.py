from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

from darnet.errors import ConfigurationError, DataError, ResourceError, is_out_of_memory
from darnet.imaging import Orientation
from darnet.inference import Geometry, Predictor, choose_folds, labels_on_input_grid, probabilities_on_input_grid
from darnet.inference.strategy import strategies
from darnet.plans import Place, Plans


class Constant:
    """A network that always says the same."""

    def __init__(self, *logits: float) -> None:
        self.logits = torch.tensor(logits, dtype=torch.float32)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits[None, :, None, None, None].expand(len(x), -1, *x.shape[2:])


def volume(shape=(8, 20, 22)) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (1, *shape)).astype(np.float32)


def test_networks_are_averaged(make_small_plans):
    networks = [Constant(0, 2, -1), Constant(1, -1, 0)]
    found = Predictor(make_small_plans(), networks).probabilities(volume())
    expected = np.mean([n.logits.softmax(0).numpy() for n in networks], axis=0)
    np.testing.assert_allclose(found[:, 3, 4, 5], expected, atol=1e-6)
    assert found.shape == (3, 8, 20, 22)


def test_memory_that_runs_out_is_met_by_smaller_batches(make_small_plans):
    class Greedy(Constant):
        def __call__(self, x):
            if len(x) > 1:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().__call__(x)

    said: list[str] = []
    predictor = Predictor(make_small_plans(), [Greedy(0, 1, 0)], notice=said.append)
    assert (predictor.probabilities(volume()).argmax(0) == 1).all()
    assert len(said) == 1 and "out of memory" in said[0]


def test_memory_that_never_suffices(make_small_plans):
    def hungry(x):
        raise MemoryError

    with pytest.raises(ResourceError, match="ran out of memory"):
        Predictor(make_small_plans(), [hungry], notice=lambda _: None).probabilities(volume())


def test_other_errors_are_raised_as_they_are(make_small_plans):
    def broken(x):
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        Predictor(make_small_plans(), [broken]).probabilities(volume())


def test_what_counts_as_out_of_memory():
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 4 bytes"))
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for a convolution"))
    assert not is_out_of_memory(RuntimeError("size mismatch"))
    assert not is_out_of_memory(ValueError("out of memory"))


def test_ways_to_compute():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [(w.compute.type, w.collect.type, w.batch_size) for w in strategies(gpu, 4)] == [
        ("cuda", "cuda", 4),
        ("cuda", "cuda", 1),
        ("cuda", "cpu", 1),
        ("cpu", "cpu", 1),
    ]
    assert len(strategies(cpu, 1)) == 1


def test_arrays_need_a_spacing_and_files_have_one(make_small_plans, tmp_path):
    predictor = Predictor(make_small_plans(), [Constant(0, 1, 0)])
    with pytest.raises(ConfigurationError, match="spacing"):
        predictor.predict(np.zeros((4, 4, 4)))
    with pytest.raises(ConfigurationError, match="spacing belongs"):
        predictor.predict(tmp_path / "a.nii.gz", spacing=(1, 1, 1))
    with pytest.raises(ConfigurationError, match="cannot be used"):
        predictor.predict(np.zeros((4, 4)), spacing=(1, 1, 1))
    with pytest.raises(DataError, match="constant"):
        predictor.predict(np.zeros((4, 4, 4), np.float32), spacing=(3.0, 1.0, 1.0))
    with pytest.raises(ConfigurationError, match="at least one network"):
        Predictor(make_small_plans(), [])


def test_arrays_come_back_in_their_own_shape(make_small_plans):
    scan = np.zeros((6, 30, 28), np.float32)
    scan[1:5, 5:25, 4:24] = 500
    labels = Predictor(make_small_plans(), [Constant(0, 1, 0)]).predict(scan, spacing=(4.0, 1.5, 1.2))
    assert labels.shape == scan.shape
    assert labels[3, 15, 14] == 1


def test_labels_are_the_same_plane_by_plane_and_from_probabilities(make_small_plans):
    class Edges:
        def __init__(self, threshold: float) -> None:
            self.threshold = threshold

        def __call__(self, x):
            return torch.cat((self.threshold - x, x, x.flip(2) * 0.7), 1)

    scan = np.random.default_rng(0).uniform(0, 800, (40, 30, 28)).astype(np.float32)
    predictor = Predictor(make_small_plans(average="logits"), [Edges(0.1), Edges(-0.2)])
    affine, seen = np.diag([1.3, 1.1, 2.0, 1.0]), []
    labels = predictor.predict_array(scan, affine, progress=lambda done, of: seen.append((done, of))).labels
    whole = predictor.predict_array(scan, affine, keep_probabilities=True)
    np.testing.assert_array_equal(labels, whole.labels)
    assert set(np.unique(labels)) == {0, 1, 2}
    assert [done for done, _ in seen] == sorted({done for done, _ in seen}) and seen[-1][0] == seen[-1][1]


def test_memory_that_runs_out_halfway_starts_again(make_small_plans):
    calls = 0

    class Tired(Constant):
        def __call__(self, x):
            nonlocal calls
            calls += 1
            if calls == 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().__call__(x)

    said: list[str] = []
    predictor = Predictor(make_small_plans(), [Tired(0, 0, 1)], notice=said.append)
    scan = np.random.default_rng(0).uniform(0, 800, (20, 40, 40)).astype(np.float32)
    labels = predictor.predict(scan, spacing=(3.0, 1.0, 1.0))
    assert labels.shape == scan.shape and (labels == 2).all() and len(said) == 1


def test_folds(tmp_path, make_small_plans, write_results):
    plans = make_small_plans()
    folder = write_results(tmp_path / "results", plans, folds=(0, 2))
    assert choose_folds(folder, None) == ["0", "2"]
    assert choose_folds(folder, "all") == ["0", "2"]
    assert choose_folds(folder, [2, 2]) == ["2"]
    with pytest.raises(ConfigurationError, match="fold 1 is not trained"):
        choose_folds(folder, [1])
    with pytest.raises(ConfigurationError, match="no trained network"):
        choose_folds(tmp_path / "none", None)
    assert len(Predictor.from_results(folder, (0, 2)).networks) == 2


def test_folds_in_training_are_left_out_unless_named(tmp_path, make_small_plans, write_results):
    from darnet.io import load_checkpoint, save_checkpoint

    plans = make_small_plans()
    folder = write_results(tmp_path / "results", plans, folds=(0, 2))
    path = folder / "segmentation" / "fold_2" / "checkpoint.safetensors"
    tensors, meta = load_checkpoint(path)
    save_checkpoint(path, tensors, meta | {"iteration": 1})
    (folder / "segmentation" / "fold_0_old").mkdir()
    save_checkpoint(folder / "segmentation" / "fold_0_old" / path.name, tensors, meta)
    said: list[str] = []
    assert len(Predictor.from_results(folder, None, notice=said.append).networks) == 1
    assert "fold 2 is not trained to its end" in said[0]
    assert len(Predictor.from_results(folder, (0, 2), notice=said.append).networks) == 2
    assert "1 of" in said[-1]


def test_results_of_another_plan_are_refused(tmp_path, make_small_plans, write_results):
    from darnet.io import write_json

    plans = make_small_plans()
    folder = write_results(tmp_path / "results", plans)
    write_json(folder / "plans.json", dataclasses.replace(plans, dataset="Dataset008_Other").to_json())
    with pytest.raises(ConfigurationError, match="another dataset"):
        Predictor.from_results(folder)


def test_labels_return_through_crop_and_turn():
    orientation = Orientation((2, 0, 1), (True, False, True))
    geometry = Geometry((5, 6, 4), orientation, ((1, 3), (1, 4), (2, 6)))
    assert geometry.canonical_shape == (4, 5, 6)
    assert geometry.cropped_shape == (2, 3, 4)
    inner = np.random.default_rng(0).integers(0, 3, (2, 3, 4))
    probabilities = np.stack([(inner == k).astype(np.float32) for k in range(3)])
    found = labels_on_input_grid(probabilities, geometry)
    canonical = np.zeros((4, 5, 6), int)
    canonical[1:3, 1:4, 2:6] = inner
    expected = np.transpose(canonical[::-1, :, ::-1], (1, 2, 0))
    np.testing.assert_array_equal(found, expected)
    kept = probabilities_on_input_grid(probabilities, geometry)
    assert kept.shape == (3, 5, 6, 4)
    np.testing.assert_array_equal(kept.argmax(0), expected)
    np.testing.assert_allclose(kept.sum(0), 1)


def test_the_piece_in_its_place_is_kept_of_arrays_and_planes(make_small_plans, monkeypatch):
    """Labels are cleaned on the grid of the file, in its own mm."""
    plans = make_small_plans()
    names = list(plans.foreground)
    places = {name: Place((10.0 * n, 0.0, 0.0), 3.0, 5.0) for n, name in enumerate(names)}
    for largest, expected in ((tuple(plans.foreground.values()), set(plans.foreground.values())), ((), set())):
        own = dataclasses.replace(
            plans, inference=dataclasses.replace(plans.inference, places=places, largest_component=largest)
        )
        assert set(own.places) == expected
        assert Plans.from_json(json.loads(json.dumps(own.to_json()))) == own
        asked = []
        monkeypatch.setattr(
            "darnet.inference.predictor.keep_in_place",
            lambda labels, affine, places, asked=asked: asked.append((labels.shape, affine, places)) or labels,
        )
        affine = np.diag([2.0, 3.0, 4.0, 1.0])
        predictor = Predictor(own, [Constant(1.0, *[0.0] * len(names))], "cpu")
        for keep in (False, True):
            predictor.predict_array(volume((20, 22, 8))[0], affine, keep)
        for shape, given, found in asked:
            assert shape == (20, 22, 8)
            assert given is affine
            assert found == own.places
        assert len(asked) == 2


@pytest.mark.parametrize("values", [np.full((4, 8, 8), np.nan), np.zeros((4, 8, 8), complex), np.full((4, 8, 8), "x")])
def test_arrays_of_other_than_finite_real_numbers_are_refused(make_small_plans, values):
    predictor = Predictor(make_small_plans(), [Constant(0, 1, 0)])
    with pytest.raises(DataError, match="no finite real numbers"):
        predictor.predict(values, spacing=(3.0, 1.0, 1.0))
