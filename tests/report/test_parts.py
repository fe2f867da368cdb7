"""The numbers of a report against other ways to compute them, and each health check on both sides of its limit."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import xml.etree.ElementTree as ElementTree

import pytest
import torch

from darnet.health import Finding
from darnet.networks import build_segmentation
from darnet.planning import Fingerprint
from darnet.report.charts import line_chart, scatter_chart
from darnet.report.chosen import Choice
from darnet.report.domains import DomainsSection
from darnet.report.health import _check_run, _check_scores, check_health
from darnet.report.network import network_levels
from darnet.report.planned import gather_plan
from darnet.report.predicted import PredictedCase, PredictionsSection
from darnet.report.records import Picture, Table
from darnet.report.scored import CaseScore, ScoresSection, gather_scores
from darnet.report.trained import PseudoLabels, Run, TrainingSection, go_on
from darnet.report.translated import TranslationSection


def test_drawn_levels_are_those_of_the_network(make_small_plans):
    plans = make_small_plans()
    segmentation = dataclasses.replace(plans.segmentation, channels=(4, 6, 8), strides=((1, 2, 2), (2, 2, 2)))
    plans = dataclasses.replace(plans, segmentation=segmentation)
    network = build_segmentation(segmentation, plans.num_classes).eval()
    seen = []
    for block in network.encoder:
        block.register_forward_hook(lambda module, inputs, output: seen.append(tuple(output.shape[1:])))
    with torch.no_grad():
        network(torch.zeros(1, 1, *segmentation.patch_size))
    levels = network_levels(plans)
    assert [(level.features, *level.shape) for level in levels] == seen
    assert levels[-1].spacing == (6.0, 4.0, 4.0)


def test_charts_are_whole_and_true():
    text = line_chart({"a & b": [(0, 0), (10, 4)], "<c>": [(5, math.nan), (5, 2)]}, "iteration", "loss", 'say "x"')
    root = ElementTree.fromstring(text)
    assert root.get("aria-label") == 'say "x"'
    words = [e.text for e in root.iter("text")]
    assert {"a & b", "<c>", "iteration", "loss", "0", "10", "4"} <= set(words)
    first, second = (e.get("points").split(" ") for e in root.iter("polyline"))
    (x0, y0), (x1, y1) = (tuple(map(float, p.split(","))) for p in first)
    x2, y2 = map(float, second[-1].split(","))
    assert x2 == pytest.approx((x0 + x1) / 2, abs=0.1)
    assert y2 == pytest.approx((y0 + y1) / 2, abs=0.1)
    assert y1 < y0  # a higher value stands higher
    assert not re.search("nan|inf", text)


def test_groups_of_points_differ_in_shape():
    groups = {f"g{n}": [(n, n)] for n in range(7)}
    root = ElementTree.fromstring(scatter_chart(groups, {"style 1": (6, 6)}, "x", "y", "title"))
    marks = [e for e in root if (e.get("class") or "").startswith("c")]
    shapes = {(e.tag, re.sub(r"[\d.]+", "", e.get("d") or ""), e.get("class").endswith("stroke")) for e in marks}
    assert len(shapes) == 7


def test_names_of_points_do_not_cover_each_other():
    marks = {"style 1": (1.0, 1.0), "style 2": (1.01, 1.0), "style 3": (5.0, 5.0)}
    root = ElementTree.fromstring(scatter_chart({"a": [(0, 0), (6, 6)]}, marks, "x", "y", "title"))
    heights = {e.text: float(e.get("y")) for e in root if (e.text or "").startswith("style")}
    assert len(heights) == 3
    assert abs(heights["style 1"] - heights["style 2"]) >= 14


def test_one_point_and_none_are_drawn():
    assert "nan" not in line_chart({"a": [(3, 3)]}, "x", "y", "t")
    assert "nan" not in line_chart({"a": []}, "x", "y", "t")
    assert "nan" not in scatter_chart({"a": []}, {}, "x", "y", "t")


def run_of(**values):
    fields = {"title": "Segmentation, fold 0", "stage": "segmentation", "done": 10, "planned": 10, "skipped": 0,
              "first": 2.0, "last": 1.0, "seconds": 5.0, "charts": (), "dice": {"cube": 0.9, "rod": 0.9},
              "fold": "0", "network": "before self-training"}  # fmt: skip
    return Run(**(fields | values))


def test_the_command_that_goes_on():
    assert go_on("Dataset007_Small", "0") == "darnet_train 7 0 --continue"
    assert go_on("Dataset101_A", "all", "no_adaptation") == "darnet_train 101 all --no_adaptation --continue"
    assert go_on("scans", "1") == "darnet_train scans 1 --continue"


def labels_of(missed):
    return PseudoLabels("Round 1, fold 0", Table((), ()), missed)


def predicted_of(**volumes):
    case = PredictedCase("t1", Picture("", "", 1, 1), None, {}, (), {"cube": 4.0, "rod": 2.0} | volumes, False)
    return PredictionsSection(cases=(case,), total=1)


def scores_of(failures=0, missing=False, **dice):
    case = CaseScore("t1", 0.9, 1.0, {"cube": 0.95, "rod": 0.85, "ring": None}, missing)
    return ScoresSection(cases=(case,), class_dice={"cube": 0.9, "rod": 0.9} | dice, failures=failures)


CHECKS = [
    ({"translation": (Finding("good", "Content", "It is kept."),)}, None, None),
    ({"translation": (Finding("bad", "Content", "It is lost.", "Look."),)}, "bad", "It is lost."),
    ({"run": run_of()}, None, None),
    ({"run": run_of(done=5)}, "doubtful", "5 of 10 iterations are done"),
    ({"run": run_of(done=5, running=True)}, "good", "5 of 10 iterations are done; it is running now"),
    ({"run": run_of(skipped=3)}, "doubtful", "3 iterations were skipped"),
    ({"run": run_of(last=2.5)}, "bad", "The loss did not fall"),
    ({"run": run_of(last=2.5, done=19, planned=100)}, "doubtful", "19 of 100 iterations are done"),
    ({"run": run_of(dice={"cube": 0.9, "rod": 0.7})}, "doubtful", "rod 0.700"),
    ({"run": run_of(dice={"cube": 0.9, "rod": 0.3})}, "bad", "rod 0.300"),
    ({"labels": labels_of(())}, None, None),
    ({"labels": labels_of(("rod",))}, "bad", "rod found in less than half"),
    ({"predictions": predicted_of()}, None, None),
    ({"predictions": predicted_of(cube=5.0)}, "good", "Beyond them, by less: cube in t1, 5 ml (source 4 to 4 ml)"),
    ({"predictions": predicted_of(rod=0.0)}, "doubtful", "rod in t1"),
    ({"predictions": predicted_of(cube=20.0)}, "doubtful", "cube in t1, 20 ml (source 4 to 4 ml)"),
    ({"predictions": predicted_of(cube=0.5)}, "doubtful", "cube in t1, 0.5 ml"),
    ({"scores": scores_of()}, "good", "The lowest of one scan is 0.850: rod in t1."),
    ({"scores": scores_of(failures=2)}, "doubtful", "2 times a class"),
    ({"scores": scores_of(missing=True)}, "bad", "t1: counted as predicted empty"),
    ({"scores": scores_of(rod=0.7)}, "doubtful", "rod 0.700 (mean, 1 is perfect). The lowest of one scan is 0.850"),
    ({"scores": scores_of(rod=0.2)}, "bad", "rod 0.200"),
    ({"source": {"spacing": (12.0, 1.0, 1.0)}}, "doubtful", "up to 3 times apart"),
    ({"source": {"extent": (512.0, 200.0, 240.0)}}, "doubtful", "up to 4 times apart"),
    (
        {"source": {"extent": (512.0, 200.0, 240.0)}, "source_depth": 150.0},
        "good",
        "CT 150 × 200 × 240 mm cropped about",
    ),
    ({"source": {"body_axes": ("A", "I", "L")}}, "doubtful", "planes of different directions"),
    ({"count": 2}, "doubtful", "2 CT scans (source), 2 MR scans (target)"),
]


@pytest.mark.parametrize(("given", "level", "words"), CHECKS)
def test_health_checks(given, level, words, make_small_plans, case_fingerprint):
    classes = {"class_ml": {"cube": 4.0, "rod": 2.0}, "class_largest": {}}
    count = given.get("count", 5)
    cases = [case_fingerprint("source", f"s{n}", **classes, **given.get("source", {})) for n in range(count)]
    cases += [case_fingerprint("target", f"t{n}") for n in range(count)]
    found = check_health(
        make_small_plans(source_depth=given.get("source_depth")),
        DomainsSection(fingerprint=Fingerprint(tuple(cases))),
        TranslationSection(findings=given.get("translation", ())),
        TrainingSection(
            runs=(given["run"],) if "run" in given else (),
            pseudo_labels=(given["labels"],) if "labels" in given else (),
        ),
        given.get("predictions", PredictionsSection()),
        given.get("scores", ScoresSection()),
    )
    bad = [(finding.level, finding.found) for finding in found if finding.level != "good"]
    if level in (None, "good"):
        assert bad == []
        assert any(words in finding.found for finding in found) if words else found
    else:
        assert [one for one, _ in bad] == [level]
        assert words in bad[0][1]
        assert all(finding.remedy for finding in found if finding.level != "good")


def choice_of(used):
    return Choice("0", used, "round 1", {used: 0.8}, used, Table((), ()))


@pytest.mark.parametrize(
    ("runs", "choices", "expected"),
    [
        (["before self-training"], (), ["before self-training"]),
        (["before self-training", "round 1", "round 2"], (), ["round 2"]),
        (["before self-training", "round 1"], ("before self-training",), ["before self-training"]),
        (["before self-training", "round 1"], ("round 1",), ["round 1"]),
    ],
)
def test_the_network_that_prediction_takes(runs, choices, expected):
    low = {"cube": 0.3}
    section = TrainingSection(
        runs=tuple(run_of(network=name, title=name, dice=low) for name in runs),
        choices=tuple(map(choice_of, choices)),
    )
    assert [run.network for run in section.runs if section.speaks_for(run)] == expected
    found = check_health(None, DomainsSection(), TranslationSection(), section, PredictionsSection(), ScoresSection())
    assert [f.title for f in found if f.title.endswith("validation")] == [f"{name}: validation" for name in expected]


def test_networks_of_other_folds_and_baselines():
    other = run_of(network="round 1", fold="1")
    section = TrainingSection(runs=(run_of(), other, run_of(network="", baseline=True, fold="1")))
    assert [section.speaks_for(run) for run in section.runs] == [True, True, False]


def test_scores_keep_infinite_distances(tmp_path):
    from darnet.evaluation import CaseScores, Scores, summarize
    from darnet.io import write_json

    nan, inf = math.nan, math.inf
    cases = [
        CaseScores("a", {"cube": Scores(0.9, 1.0, 1.0), "rod": Scores(nan, nan, nan)}),
        CaseScores("b", {"cube": Scores(0.0, inf, inf), "rod": Scores(0.8, 2.0, 1.0)}),
        CaseScores("c", {"cube": Scores(nan, nan, nan), "rod": Scores(nan, nan, nan)}),
    ]
    write_json(tmp_path / "summary.json", summarize(cases, ["a note"]).to_json())
    section = gather_scores(tmp_path / "summary.json")
    assert [case.case_id for case in section.cases] == ["b", "a", "c"]
    assert section.cases[0].dice == pytest.approx(0.4)
    assert math.isinf(section.cases[0].asd_mm)
    assert section.cases[1].classes == {"cube": 0.9, "rod": None}
    assert section.failures == 1
    assert section.classes.rows[0] == ("cube", "0.450 ± 0.450", "∞ mm", "1 mm", "1 of 2")
    assert section.notes == ("a note",)


@pytest.mark.parametrize(("value", "words"), [(None, "none"), (0.5, "0.5")])
def test_a_share_that_is_null_is_told_as_none(make_small_plans, value, words):
    why = {"matched_translated": "so"}
    settings = dataclasses.replace(make_small_plans().self_training, matched_translated=value, why=why)
    plans = dataclasses.replace(make_small_plans(), self_training=settings)
    rows = [row for _, table in gather_plan(plans).tables for row in table.rows]
    assert ("share of those out of translated volumes", words, "so") in rows


def test_a_setting_that_was_planned_as_null_is_told_as_none(make_small_plans):
    planned = make_small_plans()
    settings = dataclasses.replace(planned.segmentation, random_tissues=0.5)
    by_hand = dataclasses.replace(planned, segmentation=settings)
    reasons = [row[2] for _, table in gather_plan(by_hand, planned).tables for row in table.rows]
    assert "set by hand; planned: none" in reasons


@pytest.mark.parametrize(
    ("modality", "rule", "words"),
    [
        ("ceCT", "window", "-100 to 300 HU"),
        ("CBCT", "window", "-100 to 300 HU"),
        ("MR", "window", "-100 to 300 arbitrary units"),
        ("CT", "percentile", "1 to 99 % of the voxels of each scan's body"),
    ],
)
def test_windows_are_in_the_unit_of_the_scans(make_small_plans, modality, rule, words):
    low, high = (-100.0, 300.0) if rule == "window" else (1.0, 99.0)
    plans = make_small_plans()
    intensity = dataclasses.replace(plans.source.intensity, rule=rule, low=low, high=high)
    source = dataclasses.replace(plans.source, modality=modality, intensity=intensity)
    tables = dict(gather_plan(dataclasses.replace(plans, source=source)).tables)
    assert tables["Intensities"].rows[0][1].replace("−", "-").startswith(words)


def test_a_setting_changed_by_hand_has_no_reason_of_the_plan(make_small_plans):
    plans = make_small_plans()
    planned = dataclasses.replace(
        plans,
        target=dataclasses.replace(
            plans.target, intensity=dataclasses.replace(plans.target.intensity, low=1.5, high=97.0, why="its body")
        ),
        segmentation=dataclasses.replace(
            plans.segmentation,
            iterations=77,
            random_convolution=0.25,
            why={"iterations": "long enough", "batch_size": "two fit"},
        ),
    )
    by_hand = dataclasses.replace(planned, target=plans.target, segmentation=plans.segmentation)
    by_hand = dataclasses.replace(
        by_hand, segmentation=dataclasses.replace(by_hand.segmentation, why=planned.segmentation.why)
    )

    tables = dict(gather_plan(by_hand, planned).tables)
    reasons = {name: why for name, _, why in tables["Segmentation network"].rows}
    assert reasons["length of training"] == "set by hand; planned: 77 iterations"
    assert reasons["examples an iteration"] == "two fit"
    assert reasons["share of patches with a made-up contrast"] == "set by hand; planned: 0.25"
    assert [why for *_, why in tables["Intensities"].rows][1].startswith("set by hand; planned: 1.5 to 97 ")
    assert gather_plan(planned, planned) == gather_plan(planned)
    assert "by hand" not in str(gather_plan(planned).tables)


def test_masks_and_references_that_are_newer_than_their_scores_are_told(tmp_path):
    from darnet.evaluation import CaseScores, Scores, summarize
    from darnet.io import write_json

    for name in ("out/a.nii.gz", "out/other.nii.gz", "labelsTs/a.nii.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
        os.utime(tmp_path / name, (1e9, 1e9))
    write_json(
        tmp_path / "out" / "summary.json", summarize([CaseScores("a", {"cube": Scores(0.9, 1.0, 1.0)})]).to_json()
    )
    folders = tmp_path / "out", None, tmp_path / "labelsTs"
    assert gather_scores(tmp_path / "out" / "summary.json", *folders).changed == ()
    for name in ("out/a.nii.gz", "out/other.nii.gz", "labelsTs/a.nii.gz"):
        os.utime(tmp_path / name, (3e9, 3e9))
    section = gather_scores(tmp_path / "out" / "summary.json", *folders)
    assert section.changed == ("out/a.nii.gz", "labelsTs/a.nii.gz")
    (finding,) = [f for f in _check_scores(section) if "Changed since" in f.found]
    assert finding.level == "doubtful"


def test_a_training_with_another_plan_is_not_gone_on_with():
    findings = list(_check_run(run_of(done=10, planned=10, other_plan=True), judged=False))
    assert findings[0].level == "doubtful"
    assert findings[0].found == "10 of 10 iterations are done, with another plan than the present one."
    assert "--continue" not in findings[0].remedy
