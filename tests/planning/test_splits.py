from __future__ import annotations

import pytest

from darnet.planning import make_splits


@pytest.mark.parametrize(("count", "folds", "expected"), [(20, 5, 5), (7, 5, 5), (5, 5, 5), (3, 5, 3), (2, 5, 2)])
def test_each_case_is_held_out_once(count, folds, expected):
    cases = [f"case_{n:02}" for n in range(count)]
    splits = make_splits(cases, folds, seed=3)
    assert len(splits) == expected
    assert sorted(case for split in splits for case in split["val"]) == cases
    sizes = [len(split["val"]) for split in splits]
    assert max(sizes) - min(sizes) <= 1
    for split in splits:
        assert sorted(split["train"] + split["val"]) == cases
        assert split["train"]
        assert split["val"] == sorted(split["val"])


def test_splits_depend_on_the_seed_and_not_on_the_order():
    cases = [f"case_{n}" for n in range(12)]
    assert make_splits(cases, 5, 1) == make_splits(cases[::-1], 5, 1)
    assert make_splits(cases, 5, 1) != make_splits(cases, 5, 2)


def test_splits_are_shuffled():
    # Cases named in the order of hospitals must not make a fold of one hospital.
    cases = [f"case_{n:02}" for n in range(20)]
    assert any(split["val"] != cases[k::5] for k, split in enumerate(make_splits(cases, 5, 0)))
