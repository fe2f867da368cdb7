from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest

from darnet.synthesis import synthesis_hash


class Target:
    """A store that knows the hash of each case."""

    def __init__(self, **hashes):
        self.hashes = hashes

    def case_ids(self):
        return tuple(sorted(self.hashes))

    def record(self, case_id):
        return SimpleNamespace(content_hash=self.hashes[case_id])


def other_styles(plans):
    return dataclasses.replace(plans, synthesis=dataclasses.replace(plans.synthesis, number_of_styles=3))


@pytest.mark.parametrize(
    ("plan", "weights", "target"),
    [
        (other_styles, b"weights", Target(a="1", b="2")),
        (lambda p: dataclasses.replace(p, seed=5), b"weights", Target(a="1", b="2")),
        (lambda p: p, b"others", Target(a="1", b="2")),
        (lambda p: p, b"weights", Target(a="1", b="3")),
        (lambda p: p, b"weights", Target(a="1")),
    ],
    ids=["plan", "seed", "weights", "changed target", "removed target"],
)
def test_whatever_the_volumes_come_from_changes_their_hash(tmp_path, make_small_plans, plan, weights, target):
    plans = make_small_plans()
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_bytes(b"weights")
    second.write_bytes(weights)
    before = synthesis_hash(plans, first, Target(b="2", a="1"))
    assert before == synthesis_hash(plans, first, Target(a="1", b="2"))
    assert before != synthesis_hash(plan(plans), second, target)
