from __future__ import annotations

import dataclasses
import math

import pytest

from darnet.baselines import in_one_run, with_rounds, without_adaptation
from darnet.errors import ConfigurationError
from darnet.experiment import rows, shared
from darnet.experiment.rows import ROWS, TRANSLATED, Row, find_rows, merge, missing_fields, plans_of
from darnet.experiment.shared import keys_of
from darnet.planning import find_preset

UPGRADED = {
    "appearance": 0.3,
    "random_convolution": 0.6,
    "class_gain": 0.25,
    "source_share": 0.7,
    "expected_appearance": 0.6,
    "iterations": 1000,
}
MATCHED = {"matched_share": 0.6, "matched_translated": 0.2}
ROUNDS = {"self_training.rounds", "segmentation.iterations"}


@pytest.fixture
def plans(make_small_plans):
    """A plan with all upgrades on: 1000 iterations, then two rounds of 400."""
    small = make_small_plans()
    rounds = dataclasses.replace(small.self_training, rounds=2, iterations=400, expected_background=0.3, **MATCHED)
    segmentation = dataclasses.replace(small.segmentation, **UPGRADED)
    return dataclasses.replace(small, segmentation=segmentation, self_training=rounds)


def row_of(name):
    (row,) = find_rows([name])
    return row


def available(plans):
    return [row for row in ROWS if not missing_fields(row, plans)]


def differing(one, other):
    """Fields in which two plans differ, as part.field."""
    a, b = one.to_json(), other.to_json()
    parts = {k: v for k, v in a.items() if isinstance(v, dict)}
    return {f"{p}.{f}" for p, fields in parts.items() for f in fields if a[p][f] != b[p][f]}


def test_names_are_unique_and_unknown_ones_refused():
    assert len({row.name for row in ROWS}) == len(ROWS)
    assert [row.name for row in find_rows(["default", "no_adaptation", "default"])] == ["no_adaptation", "default"]
    assert find_rows([]) == ROWS
    with pytest.raises(ConfigurationError, match="ghost"):
        find_rows(["default", "ghost"])


def test_default_is_the_plan_as_it_stands(plans):
    assert plans_of(row_of("default"), plans) == plans


def test_no_adaptation_is_the_baseline(plans):
    own, expected = plans_of(row_of("no_adaptation"), plans), without_adaptation(plans)
    assert own.segmentation == expected.segmentation
    assert own.segmentation.iterations == 1800


def test_the_papers_method_has_no_upgrade(plans):
    paper = plans_of(row_of("multi_style"), plans)
    assert paper.segmentation == in_one_run(without_adaptation(plans)).segmentation
    own = paper.self_training
    assert (own.rounds, own.matched_share, own.matched_translated) == (0, 0.0, None)
    assert paper.synthesis == plans.synthesis
    assert paper.translation == plans.translation


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("mean_style", {"synthesis.choice"}),
        ("anisotropic", {f"segmentation.{n}" for n in ("quartet_attention", "voxel_attention", "deep_supervision")}),
        ("anisotropic_qam", {"segmentation.voxel_attention", "segmentation.deep_supervision"}),
        ("anisotropic_vam", {"segmentation.quartet_attention", "segmentation.deep_supervision"}),
        ("anisotropic_qam_vam", {"segmentation.deep_supervision"}),
        ("deep_supervision", set()),
        ("class_gain", {"segmentation.class_gain"}),
        ("random_appearance", {"segmentation.appearance", "segmentation.random_convolution"}),
        ("source_share", {"segmentation.source_share"}),
        ("expected_appearance", {"segmentation.source_share", "segmentation.expected_appearance"}),
        ("random_tissues", {"segmentation.source_share", "segmentation.random_tissues"}),
        ("self_training", ROUNDS),
        ("matched_appearance", ROUNDS | {"self_training.matched_share"}),
        ("expected_background", ROUNDS | {f"self_training.{n}" for n in ("matched_share", "expected_background")}),
        ("matched_translated", ROUNDS | {f"self_training.{name}" for name in MATCHED}),
    ],
)
def test_a_row_changes_its_own_fields_alone(plans, name, changed):
    assert differing(plans_of(row_of(name), plans), plans_of(row_of("multi_style"), plans)) == changed


def test_all_upgrades_are_the_plan_where_it_has_them_all(plans):
    assert plans_of(row_of("all_upgrades"), plans) == plans


def test_all_upgrades_are_the_plan_that_takes_no_matched_patches_out_of_translated_volumes(plans):
    settings = dataclasses.replace(plans.self_training, matched_translated=None)
    plans = dataclasses.replace(plans, self_training=settings)
    assert settings.matched_share
    assert plans_of(row_of("all_upgrades"), plans) == plans
    assert plans_of(row_of("matched_translated"), plans).self_training.matched_translated


def test_upgrades_that_a_plan_lacks_are_those_of_the_preset_fast(make_small_plans):
    fast, plain = find_preset("fast"), make_small_plans()
    own = plans_of(row_of("all_upgrades"), plain)
    found = {name: getattr(own.segmentation, name) for name in UPGRADED if name != "iterations"}
    assert found == {name: getattr(fast, name) for name in found}
    assert own.self_training.rounds == fast.rounds
    for name in MATCHED:
        assert getattr(own.self_training, name) == getattr(fast, name)


@pytest.mark.parametrize("rounds", [0, 1, 2, 5])
@pytest.mark.parametrize(("before", "length", "now"), [(1000, 400, 2), (1000, 500, 0), (700, 300, 1)])
def test_rounds_leave_the_budget(make_small_plans, rounds, before, length, now):
    small = make_small_plans()
    plans = dataclasses.replace(
        small,
        segmentation=dataclasses.replace(small.segmentation, iterations=before),
        self_training=dataclasses.replace(small.self_training, rounds=now, iterations=length),
    )
    own = with_rounds(plans, rounds)
    total = own.segmentation.iterations + rounds * own.self_training.iterations
    assert total == before + now * length
    if rounds:  # a round keeps its share of the segmentation's
        assert own.self_training.iterations / own.segmentation.iterations == pytest.approx(length / before, rel=0.02)


def test_every_row_sees_as_many_voxels(plans):
    def voxels(p):
        iterations = p.segmentation.iterations + p.self_training.rounds * p.self_training.iterations
        return iterations * math.prod(p.segmentation.patch_size) * p.segmentation.batch_size

    for row in available(plans):
        assert voxels(plans_of(row, plans)) == pytest.approx(voxels(plans), rel=0.01), row.name


def test_isotropic_rows(plans):
    strides = plans_of(row_of("isotropic_strides"), plans)
    assert set(strides.segmentation.strides) == {(2, 2, 2)}
    assert strides.preprocessing == plans.preprocessing
    grid = plans_of(row_of("isotropic_grid"), plans)
    assert grid.preprocessing.spacing == (1.0, 1.0, 1.0)
    assert grid.segmentation.patch_size == (24, 16, 16)  # 8 planes of 3 mm
    assert not grid.preprocessing.anisotropic


def test_a_row_whose_field_the_plan_lacks_is_not_available(plans):
    row = Row("row", "text", {"segmentation": {"telepathy": True}, "nowhere": {"field": 1}})
    assert missing_fields(row, plans) == ["segmentation.telepathy", "nowhere.field"]
    with pytest.raises(ConfigurationError, match=r"segmentation\.telepathy"):
        plans_of(row, plans)


def test_values_that_no_plan_may_have_are_refused(plans):
    with pytest.raises(ConfigurationError, match="row bad"):
        plans_of(Row("bad", "text", {"synthesis": {"choice": "all"}}), plans)


def test_merged_changes_leave_the_parts_alone():
    one, other = {"a": {"x": 1}}, {"a": {"x": 2, "y": 3}, "b": {"z": 4}}
    assert merge(one, other) == {"a": {"x": 2, "y": 3}, "b": {"z": 4}}
    assert one == {"a": {"x": 1}}


def test_rows_share_what_they_do_not_change(plans):
    keys = {row.name: keys_of(row, plans_of(row, plans), "data") for row in available(plans)}
    translated = [row for row in available(plans) if row.images == TRANSLATED]
    same_grid = [row.name for row in translated if not {"translation", "preprocessing"} & set(row.changes)]
    assert len({keys[name].translation for name in same_grid}) == 1
    assert keys["isotropic_grid"].translation != keys["multi_style"].translation
    assert {name for name in same_grid if keys[name].synthesis != keys["multi_style"].synthesis} == {"mean_style"}
    assert keys["deep_supervision"] == keys["multi_style"]
    assert keys["default"] == keys["all_upgrades"]
    different = {k.training for k in keys.values()}
    assert len(different) == len(keys) - 2


def test_seeds_data_and_thresholds_are_part_of_the_keys(plans):
    row = row_of("multi_style")
    own = plans_of(row, plans)
    keys = keys_of(row, own, "data")
    assert keys_of(row, own, "other").translation != keys.translation
    assert keys_of(row, dataclasses.replace(own, seed=1), "data").translation != keys.translation
    explained = dataclasses.replace(own, synthesis=dataclasses.replace(own.synthesis, why={"choice": "so"}))
    assert keys_of(row, explained, "data") == keys
    other = dataclasses.replace(own, inference=dataclasses.replace(own.inference, step_size=0.25))
    changed = keys_of(row, other, "data")
    assert (changed.training, changed.scores == keys.scores) == (keys.training, False)


def test_which_round_is_predicted_with_touches_scores_alone(plans):
    chosen = dataclasses.replace(plans, self_training=dataclasses.replace(plans.self_training, choose=True))
    keys, other = (keys_of(row_of("default"), own, "data") for own in (plans, chosen))
    assert (keys.training, keys.synthesis) == (other.training, other.synthesis)
    assert keys.scores != other.scores


def test_keys_are_those_from_before_a_field_that_is_null(plans, monkeypatch):
    """So that runs of an experiment hold when darnet learns of a new field."""
    row = row_of("self_training")
    own = plans_of(row, plans)
    assert own.self_training.matched_translated is None
    found = keys_of(row, own, "data")
    nothing = ("why", "matched_translated", "expected_background")
    without = {k: v for k, v in dataclasses.asdict(own.self_training).items() if k not in nothing}
    of_part = shared.settings_of
    monkeypatch.setattr(shared, "settings_of", lambda part: without if part is own.self_training else of_part(part))
    assert keys_of(row, own, "data").training == found.training


def test_scans_that_are_looked_at_are_part_of_the_keys_of_rows_with_rounds_and_looks(plans):
    limited = dataclasses.replace(plans, most_scans=6)
    rows_of = (
        ("multi_style", True),
        ("self_training", False),
        ("expected_appearance", False),
        ("random_tissues", False),
    )
    for name, same in rows_of:
        row = row_of(name)
        keys = [keys_of(row, plans_of(row, given), "data") for given in (plans, limited)]
        assert (keys[0].training == keys[1].training) is same
        assert keys[0].synthesis == keys[1].synthesis


def test_a_field_that_a_new_row_changes_is_at_its_default_in_all_others(plans, monkeypatch):
    changed = dataclasses.replace(plans, segmentation=dataclasses.replace(plans.segmentation, elastic=0.9))
    assert plans_of(row_of("multi_style"), changed).segmentation.elastic == 0.9
    monkeypatch.setattr(rows, "ROWS", (*ROWS, Row("new", "text", {"segmentation": {"elastic": 0.5}})))
    assert plans_of(row_of("multi_style"), changed).segmentation.elastic == 0.05


def test_curves_of_a_row_follow_the_kinds_of_scans(make_small_plans):
    plain, fast = make_small_plans(), find_preset("fast")
    found = {}
    for source in ("CT", "T1"):
        plans = dataclasses.replace(plain, source=dataclasses.replace(plain.source, modality=source))
        found[source] = plans_of(row_of("random_appearance"), plans).segmentation.appearance
    assert found == {"CT": fast.appearance, "T1": fast.appearance_of_sequences}


def test_rows_on_top_of_the_papers_method_keep_translated_patches_where_a_plan_has_none(plans):
    segmentation = dataclasses.replace(plans.segmentation, source_share=1.0)
    rounds = dataclasses.replace(plans.self_training, matched_translated=None)
    none = dataclasses.replace(plans, segmentation=segmentation, self_training=rounds)
    for name in ("source_share", "expected_appearance", "random_tissues"):
        assert plans_of(row_of(name), none).segmentation.source_share == find_preset("fast").source_share
    assert plans_of(row_of("all_upgrades"), none) == none
