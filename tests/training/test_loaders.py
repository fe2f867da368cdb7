from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from darnet.errors import DataError
from darnet.io import CaseStore
from darnet.plans import SegmentationPlan, TranslationPlan
from darnet.training.loaders import (
    MixedLoader,
    PatchLoader,
    SliceLoader,
    SliceTable,
    fit_slice,
    foreground_fractions,
    labelled_patches,
    list_slices,
    load_slice,
    load_slice_labels,
)
from tests.cases import write_case

SHAPE = (6, 20, 24)
STILL_SLICES = TranslationPlan(
    slice_size=(16, 32), width=4, batch_size=3, rotation_degrees=0.0, scale=0.0, shift=0.0, mirror_axes=()
)
STILL_PATCHES = SegmentationPlan(
    patch_size=(3, 5, 7),
    batch_size=2,
    channels=(8, 16),
    strides=((1, 1, 1),),
    rotation_degrees=0.0,
    scale=0.0,
    shift=0.0,
    elastic=0.0,
    contrast=0.0,
)


def numbered_volume() -> np.ndarray:
    # Values that half precision holds exactly and that tell where a voxel lies.
    return ((np.arange(np.prod(SHAPE)) % 1024) / 1024).reshape(SHAPE)


@pytest.fixture
def store(tmp_path: Path) -> CaseStore:
    store = CaseStore(tmp_path / "store")
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 2, 3] = 1
    labels[4, 15:19, 18:22] = 2
    write_case(store, "a", numbered_volume()[None], labels)
    empty_ends = np.full(SHAPE, -1.0)
    empty_ends[2:4] = 0.5
    empty_ends[1, :2, :] = 0.5
    write_case(store, "b", empty_ends[None], np.zeros(SHAPE, np.uint8))
    return store


def test_foreground_fractions():
    volume = np.full((1, 3, 2, 4), -1.0)
    volume[0, 1, 0, :] = 0.0
    volume[0, 2] = -0.89
    assert foreground_fractions(volume).tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("size", "where", "part"),
    [
        ((4, 6), np.s_[0:4, 0:6], np.s_[0:4, 0:6]),
        ((8, 10), np.s_[2:6, 2:8], np.s_[0:4, 0:6]),
        ((2, 2), np.s_[0:2, 0:2], np.s_[1:3, 2:4]),
        ((5, 3), np.s_[0:4, 0:3], np.s_[0:4, 1:4]),
    ],
)
def test_fit_slice_centres(size, where, part):
    image = np.arange(24, dtype=np.float32).reshape(4, 6)
    expected = np.full(size, -1.0, np.float32)
    expected[where] = image[part]
    np.testing.assert_array_equal(fit_slice(image, size), expected)


def test_slices_with_enough_foreground(store):
    table = list_slices(store, 0.05)
    assert len(table) == 6 + 3
    assert [i for c, i in zip(table.cases, table.indices, strict=True) if c == "b"] == [1, 2, 3]
    assert [i for c, i in zip(*dataclasses.astuple(list_slices(store, 0.5)), strict=True) if c == "b"] == [2, 3]


def test_no_slice_at_all(store):
    with pytest.raises(DataError, match="no slice shows enough foreground"):
        list_slices(store, 1.1)


def test_load_slice(store):
    found = load_slice(store, "a", 3, (16, 32))
    np.testing.assert_array_equal(found, fit_slice(numbered_volume()[3].astype(np.float32), (16, 32)))


def test_batches_of_slices(store):
    table = SliceTable(("a", "b"), (3, 2))
    loader = SliceLoader(store, table, STILL_SLICES)
    seen = set()
    for seed in range(6):
        batch = loader.batch(np.random.default_rng(seed))
        assert batch.images.shape == (3, 1, 16, 32)
        assert batch.images.dtype == torch.float32
        assert batch.labels is None
        for image, case in zip(batch.images, batch.cases, strict=True):
            wanted = load_slice(store, case, dict(zip(table.cases, table.indices, strict=True))[case], (16, 32))
            np.testing.assert_allclose(image[0].numpy(), wanted, atol=1e-5)
        seen.update(batch.cases)
    assert seen == {"a", "b"}


def test_slices_are_drawn_from_the_generator(store):
    plan = dataclasses.replace(STILL_SLICES, shift=0.1, rotation_degrees=20.0)
    loader = SliceLoader(store, list_slices(store, 0.05), plan)
    first, second, other = (loader.batch(np.random.default_rng(s)) for s in (1, 1, 2))
    assert torch.equal(first.images, second.images)
    assert first.cases == second.cases
    assert not torch.equal(first.images, other.images)


def test_labels_of_slices(store):
    loader = SliceLoader(store, SliceTable(("a", "a"), (1, 4)), STILL_SLICES, labels=True)
    batch = loader.batch(np.random.default_rng(0))
    assert batch.labels.shape == (3, 16, 32)
    assert batch.labels.dtype == torch.int64
    for image, labels in zip(batch.images, batch.labels, strict=True):
        # 20 x 24 pixels are cut to rows 2 to 17 and stand in the middle of 32 columns.
        (index,) = (i for i in (1, 4) if np.allclose(image[0], load_slice(store, "a", i, (16, 32)), atol=1e-5))
        expected = np.zeros((16, 32), np.int64)
        expected[:, 4:28] = store.labels("a")[index, 2:18]
        assert expected.any()
        np.testing.assert_array_equal(labels, expected)


def test_neighbours_are_the_planes_beside(store):
    loader = SliceLoader(store, SliceTable(("a", "a"), (2, 5)), STILL_SLICES, neighbours=True)
    batches = [loader.batch(np.random.default_rng(seed)) for seed in range(4)]
    seen = set()
    for image, neighbour in ((i, n) for b in batches for i, n in zip(b.images, b.neighbours, strict=True)):
        (index,) = (i for i in (2, 5) if np.allclose(image[0], load_slice(store, "a", i, (16, 32)), atol=1e-5))
        beside = {2: 3, 5: 4}[index]
        np.testing.assert_allclose(neighbour[0], load_slice(store, "a", beside, (16, 32)), atol=1e-5)
        seen.add(index)
    assert seen == {2, 5}


def test_neighbours_move_as_their_slices(tmp_path):
    # All planes are the same picture, so each neighbour is its slice, whatever the transform.
    same = CaseStore(tmp_path / "same")
    write_case(same, "c", np.broadcast_to(numbered_volume()[0], SHAPE)[None])
    plan = dataclasses.replace(STILL_SLICES, shift=0.1, rotation_degrees=20.0, scale=0.1)
    batch = SliceLoader(same, list_slices(same, 0.05), plan, neighbours=True).batch(np.random.default_rng(0))
    assert torch.equal(batch.images, batch.neighbours)
    assert not torch.allclose(batch.images[0], batch.images[1])


def test_labels_and_neighbours_do_not_change_the_slices(store):
    plan = dataclasses.replace(STILL_SLICES, shift=0.1, rotation_degrees=20.0)
    table = list_slices(store, 0.05)
    loaders = (SliceLoader(store, table, plan, more, more) for more in (False, True))
    alone, beside = (loader.batch(np.random.default_rng(1)) for loader in loaders)
    assert torch.equal(alone.images, beside.images)
    assert alone.cases == beside.cases


def test_windows_are_parts_of_slices_with_their_labels_and_neighbours(store):
    plan = dataclasses.replace(STILL_SLICES, window=(8, 12))
    loader = SliceLoader(store, SliceTable(("a",), (4,)), plan, labels=True, neighbours=True)
    whole, beside = (load_slice(store, "a", index, SHAPE[1:]) for index in (4, 5))
    labels = load_slice_labels(store, "a", 4, SHAPE[1:])
    corners = set()
    for seed in range(60):
        batch = loader.batch(np.random.default_rng(seed))
        assert batch.images.shape == batch.neighbours.shape == (3, 1, 8, 12)
        assert batch.labels.shape == (3, 8, 12)
        for image, found, neighbour in zip(batch.images, batch.labels, batch.neighbours, strict=True):
            places = [
                (y, x)
                for y, x in np.ndindex(13, 13)
                if np.allclose(image[0], whole[y : y + 8, x : x + 12], atol=1e-5)
                and np.allclose(neighbour[0], beside[y : y + 8, x : x + 12], atol=1e-5)
                and np.array_equal(found, labels[y : y + 8, x : x + 12])
            ]
            assert places
            corners.update(places)
    assert {y for y, _ in corners} == {x for _, x in corners} == set(range(13))


@pytest.mark.parametrize(
    ("size", "window", "first", "last"),
    [
        # Stored slices are 20 x 24, whatever the plan's size.
        ((28, 32), (8, 12), (0, 0), (12, 12)),
        ((16, 16), (16, 16), (0, 0), (4, 8)),
        # A window that is larger than what a slice shows has it in the middle.
        ((28, 24), (24, 12), (0, 0), (0, 12)),
        ((40, 40), (32, 28), (0, 0), (0, 0)),
    ],
)
def test_windows_are_drawn_where_slices_are_not_padded(tmp_path, size, window, first, last):
    store = CaseStore(tmp_path / "store")
    write_case(store, "a", (np.arange(480) / 480).reshape(1, 1, 20, 24), np.zeros((1, 20, 24), np.uint8))
    plan = dataclasses.replace(STILL_SLICES, slice_size=size, window=window, batch_size=50)
    loader = SliceLoader(store, SliceTable(("a",), (0,)), plan)
    whole = torch.from_numpy(load_slice(store, "a", 0, (max(20, window[0]), max(24, window[1]))))
    parts = whole.unfold(0, window[0], 1).unfold(1, window[1], 1)
    corners = []
    for seed in range(20):
        for image in loader.batch(np.random.default_rng(seed)).images[:, 0]:
            corners += torch.nonzero((parts - image).abs().amax(dim=(2, 3)) < 1e-5).tolist()
    assert tuple(np.min(corners, axis=0)) == first
    assert tuple(np.max(corners, axis=0)) == last


def test_whole_slices_and_windows_show_the_same_slices(store):
    """A window is drawn last, so that a plan without one draws the same as ever."""
    table = list_slices(store, 0.05)
    plan = dataclasses.replace(STILL_SLICES, shift=0.1, rotation_degrees=20.0)
    loaders = [SliceLoader(store, table, dataclasses.replace(plan, window=w)) for w in (None, (8, 8))]
    whole, part = (loader.batch(np.random.default_rng(3)) for loader in loaders)
    assert whole.cases == part.cases


def test_windows_are_not_padded_however_they_are_moved(tmp_path):
    """Else a discriminator would tell scans that end within the body from others."""
    store = CaseStore(tmp_path / "store")
    write_case(store, "a", np.full((1, 1, 20, 24), 0.5), np.ones((1, 20, 24), np.uint8))
    plan = dataclasses.replace(
        STILL_SLICES, shift=0.3, rotation_degrees=45.0, scale=0.4, window=(16, 16), batch_size=40
    )
    for window in ((16, 16), (20, 24)):
        loader = SliceLoader(store, SliceTable(("a",), (0,)), dataclasses.replace(plan, window=window), True, True)
        batch = loader.batch(np.random.default_rng(0))
        assert batch.images.shape == batch.neighbours.shape == (40, 1, *window)
        for images in (batch.images, batch.neighbours):
            torch.testing.assert_close(images, torch.full_like(images, 0.5), atol=1e-3, rtol=0)
        assert (batch.labels == 1).all()
    whole = SliceLoader(store, SliceTable(("a",), (0,)), dataclasses.replace(plan, window=None))
    assert (whole.batch(np.random.default_rng(0)).images < 0).any()


def patch_loader(store: CaseStore, **changes: object) -> PatchLoader:
    return PatchLoader(store, store, {"a": ["a"]}, dataclasses.replace(STILL_PATCHES, **changes))


def test_patch_is_a_part_of_the_volume_with_its_labels(store):
    loader = patch_loader(store)
    volume, labels = store.image("a")[0], store.labels("a")
    for seed in range(8):
        image, found, name = loader.patch(np.random.default_rng(seed))
        assert name == "a"
        assert image.shape == (1, 3, 5, 7)
        places = [
            index
            for index in np.ndindex(*(s - p + 1 for s, p in zip(SHAPE, (3, 5, 7), strict=True)))
            if abs(volume[index] - image[0, 0, 0, 0].item()) < 1e-4
        ]
        boxes = [tuple(slice(i, i + p) for i, p in zip(index, (3, 5, 7), strict=True)) for index in places]
        hits = [b for b in boxes if np.abs(volume[b] - image[0].numpy()).max() < 1e-4]
        assert any(np.array_equal(labels[b], found.numpy()) for b in hits)


def test_every_patch_shows_foreground_where_all_are_centred_on_it(store):
    loader = patch_loader(store, foreground_fraction=1.0)
    drawn = [loader.patch(np.random.default_rng(s))[1] for s in range(60)]
    assert all((labels > 0).any() for labels in drawn)
    # The small class is chosen as often as the large one.
    share = np.mean([bool((labels == 1).any()) for labels in drawn])
    assert 0.3 < share < 0.7


def test_share_of_patches_centred_on_foreground(store):
    def share(fraction: float) -> float:
        loader = patch_loader(store, foreground_fraction=fraction, patch_size=(1, 1, 1))
        return float(np.mean([bool((loader.patch(np.random.default_rng(s))[1] > 0).any()) for s in range(150)]))

    # A patch of one voxel shows foreground by chance in 17 of 2880 voxels.
    assert share(0.0) < 0.05
    assert 0.2 < share(1 / 3) < 0.48
    assert share(1.0) == 1.0


def test_case_without_foreground_is_sampled_anywhere(store):
    loader = PatchLoader(store, store, {"b": ["b"]}, dataclasses.replace(STILL_PATCHES, foreground_fraction=1.0))
    _, labels, name = loader.patch(np.random.default_rng(0))
    assert name == "b"
    assert not labels.any()


def test_small_volumes_are_padded_with_background(store):
    loader = patch_loader(store, patch_size=(8, 20, 30))
    image, labels, _ = loader.patch(np.random.default_rng(0))
    assert image.shape == (1, 8, 20, 30)
    np.testing.assert_allclose(image[0, 1:7, :, 3:27].numpy(), store.image("a")[0], atol=1e-4)
    assert np.array_equal(labels[1:7, :, 3:27].numpy(), store.labels("a"))
    for outside in (image[0, 0], image[0, 7], image[0, :, :, :3], image[0, :, :, 27:]):
        assert (outside == -1).all()
    assert (labels > 0).sum() == 17


def test_variants_share_the_labels_of_their_source(store, tmp_path):
    styled = CaseStore(tmp_path / "styled")
    for index, value in enumerate((0.25, 0.75)):
        write_case(styled, f"a_{index}", np.full((1, *SHAPE), value))
    loader = PatchLoader(
        styled, store, {"a": ["a_0", "a_1"]}, dataclasses.replace(STILL_PATCHES, foreground_fraction=1)
    )
    seen = {}
    for seed in range(12):
        image, labels, name = loader.patch(np.random.default_rng(seed))
        seen[name] = round(image.mean().item(), 3)
        assert (labels > 0).any()
    assert seen == {"a_0": 0.25, "a_1": 0.75}


def test_batches_of_patches(store):
    loader = patch_loader(store)
    images, labels, cases = loader.batch(np.random.default_rng(0))
    assert images.shape == (2, 1, 3, 5, 7)
    assert labels.shape == (2, 3, 5, 7)
    assert labels.dtype == torch.int64
    assert cases == ("a", "a")
    again = loader.batch(np.random.default_rng(0))
    assert torch.equal(images, again[0])
    assert torch.equal(labels, again[1])


def test_loader_without_cases(store):
    with pytest.raises(DataError, match="no case to train on"):
        PatchLoader(store, store, {}, STILL_PATCHES)


def test_patches_of_a_mixture_come_in_their_shares(tmp_path):
    loaders = []
    for name in ("real", "made"):
        store = CaseStore(tmp_path / name)
        write_case(store, name, np.zeros((1, *SHAPE), np.float32), np.ones(SHAPE, np.uint8))
        loaders.append(PatchLoader(store, store, {name: (name,)}, STILL_PATCHES))
    mixture, rng = MixedLoader(loaders, (0.75, 0.25)), np.random.default_rng(0)
    cases = [case for _ in range(100) for case in mixture.batch(rng)[2]]
    assert len(cases) == 200
    assert 130 < cases.count("real") < 170
    images, labels, _ = mixture.batch(rng)
    assert images.shape == (2, 1, 3, 5, 7) and labels.shape == (2, 3, 5, 7)


def test_a_share_of_patches_comes_from_source_volumes_as_they_are(store, tmp_path):
    translated = CaseStore(tmp_path / "translated")
    write_case(translated, "a_style_1", np.full((1, *SHAPE), -0.25))
    plan = dataclasses.replace(STILL_PATCHES, source_share=0.25)
    loader = labelled_patches(translated, store, {"a": ("a_style_1",)}, plan)
    rng = np.random.default_rng(0)
    drawn = [loader.patch(rng) for _ in range(400)]
    names = [name for _, _, name in drawn]
    assert set(names) == {"a", "a_style_1"} and 70 <= names.count("a") <= 130
    assert all(bool((image == -0.25).all()) == (name == "a_style_1") for image, _, name in drawn)


def test_without_such_a_share_all_patches_are_translated(store, tmp_path):
    translated = CaseStore(tmp_path / "translated")
    write_case(translated, "a_style_1", np.full((1, *SHAPE), -0.25))
    loader = labelled_patches(translated, store, {"a": ("a_style_1",)}, STILL_PATCHES)
    rng = np.random.default_rng(0)
    assert {loader.patch(rng)[2] for _ in range(50)} == {"a_style_1"}
