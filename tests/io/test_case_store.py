from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from darnet.errors import DataError
from darnet.io import CaseRecord, CaseStore

SHAPE = (11, 6, 7)
RECORD = CaseRecord(
    case_id="case one",
    content_hash="abc",
    original_shape=(7, 6, 11),
    affine=((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 2.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
    axes=(2, 1, 0),
    flips=(False, True, True),
    spacing=(2.0, 1.0, 1.0),
    crop_box=((0, 11), (0, 6), (0, 7)),
    cropped_shape=SHAPE,
    shape=SHAPE,
    body_axes=("S", "P", "L"),
    has_labels=True,
    class_voxels={"liver": 3},
    class_locations={"liver": [[1, 2, 3]]},
)


def arrays() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (1, *SHAPE)).astype(np.float32), rng.integers(0, 3, SHAPE).astype(np.uint8)


@pytest.fixture
def store(tmp_path):
    store = CaseStore(tmp_path / "cases")
    store.write(RECORD, *arrays())
    return store


def test_round_trip(store):
    image, labels = arrays()
    assert store.case_ids() == ("case one",)
    assert store.record("case one") == RECORD
    np.testing.assert_allclose(store.image("case one"), image, atol=1e-3)
    np.testing.assert_array_equal(store.labels("case one"), labels)
    box = ((2, 10), (1, 4), (3, 7))
    np.testing.assert_array_equal(store.read_patch("case one", box), store.image("case one")[:, 2:10, 1:4, 3:7])
    np.testing.assert_array_equal(store.read_patch("case one", box, labels=True), labels[2:10, 1:4, 3:7])


def test_the_same_case_gives_the_same_bytes(store, tmp_path):
    other = CaseStore(tmp_path / "other")
    other.write(RECORD, *arrays())
    for path in store.folder.iterdir():
        assert path.read_bytes() == (other.folder / path.name).read_bytes()


def test_what_counts_as_there(store):
    assert store.has("case one", "abc")
    assert not store.has("case one", "another")
    assert not store.has("case two", "abc")
    (store.folder / "case one_labels.b2nd").unlink()
    assert not store.has("case one", "abc")


def test_a_case_without_record_does_not_count(store):
    (store.folder / "case one.json").unlink()
    assert store.case_ids() == ()
    with pytest.raises(DataError, match="not in the case store"):
        store.record("case one")


def test_replaced_and_removed(store):
    image, _ = arrays()
    store.write(dataclasses.replace(RECORD, has_labels=False, content_hash="new"), image + 0, None)
    assert store.has("case one", "new")
    with pytest.raises(DataError, match="no labels"):
        store.labels("case one")
    store.remove("case one")
    assert list(store.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: {**v, "extra": 1}, "other keys"),
        (lambda v: {k: w for k, w in v.items() if k != "axes"}, "other keys"),
    ],
)
def test_records_of_another_form(change, message):
    with pytest.raises(DataError, match=message):
        CaseRecord.from_json(change(json.loads(json.dumps(RECORD.to_json()))))


def test_a_changed_value_of_a_record_is_found_and_the_case_made_again(store):
    path = store.folder / "case one.json"
    whole = json.loads(path.read_text())
    whole["affine"][0][3] += 1.0
    path.write_text(json.dumps(whole))
    damaged = CaseStore(store.folder)
    with pytest.raises(DataError, match="damaged"):
        damaged.record("case one")
    assert not damaged.has("case one", "abc")
    path.write_text(json.dumps([1]))
    with pytest.raises(DataError, match="damaged"):
        CaseStore(store.folder).record("case one")


def test_damaged_arrays(store):
    path = store.folder / "case one_image.b2nd"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(DataError, match="cannot be read"):
        store.image("case one")


@pytest.mark.parametrize("kind", ["image", "labels"])
def test_a_flipped_bit_is_found_and_the_case_made_again(store, kind):
    path = store.folder / f"case one_{kind}.b2nd"
    whole = path.read_bytes()
    read = {"image": lambda s: s.image("case one"), "labels": lambda s: s.labels("case one")}[kind]
    read(store)
    for bit in np.random.default_rng(0).integers(8 * len(whole), size=40):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        other = CaseStore(store.folder)
        with pytest.raises(DataError, match="cannot be read") as caught:
            read(other)
        assert str(path) in str(caught.value) and "made again" in str(caught.value)
        assert not other.has("case one", "abc")
    store.write(RECORD, *arrays())
    assert path.read_bytes() == whole
    assert other.has("case one", "abc")


def test_patches_outside(store):
    with pytest.raises(DataError, match="outside"):
        store.read_patch("case one", ((0, 12), (0, 6), (0, 7)))


@pytest.mark.parametrize(
    ("image", "labels", "message"),
    [
        (np.zeros((1, 2, 3, 4)), np.zeros(SHAPE, int), "do not fit"),
        (np.zeros((1, *SHAPE)), None, "whether there are labels"),
        (np.full((1, *SHAPE), np.nan), np.zeros(SHAPE, int), "image values"),
        (np.full((1, *SHAPE), 1e6), np.zeros(SHAPE, int), "image values"),
        (np.zeros((1, *SHAPE)), np.full(SHAPE, 300), "labels cannot"),
    ],
)
def test_what_cannot_be_stored(tmp_path, image, labels, message):
    store = CaseStore(tmp_path)
    with pytest.raises(DataError, match=message):
        store.write(RECORD, image, labels)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("word", [b"b2o", b"LazyArray", b"proxy-source"])
def test_voxels_may_spell_any_word(store, word):
    image, _ = arrays()
    labels = np.random.default_rng(0).integers(0, 256, SHAPE).astype(np.uint8)  # not compressible: stored as they are
    labels[0].flat[: len(word)] = np.frombuffer(word, np.uint8)
    store.write(RECORD, image, labels)
    assert word in (store.folder / "case one_labels.b2nd").read_bytes()
    np.testing.assert_array_equal(store.labels("case one"), labels)
