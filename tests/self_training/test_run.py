from __future__ import annotations

import pytest

from darnet.plans import SelfTrainingPlan
from darnet.self_training.run import patch_shares


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
