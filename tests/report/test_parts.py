"""The numbers of a report against other ways to compute them, and each health check on both sides of its limit."""

from __future__ import annotations

import dataclasses
import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from darnet.networks import build_segmentation
from darnet.planning import Fingerprint
from darnet.report.charts import line_chart, scatter_chart
from darnet.report.domains import BINS, DomainsSection, histogram, spread
from darnet.report.health import check_health
from darnet.report.network import network_levels
from darnet.report.predicted import PredictedCase, PredictionsSection
from darnet.report.records import Picture, Table, cross, dice_text, duration, number, several
from darnet.report.scored import CaseScore, ScoresSection, gather_scores
from darnet.report.trained import PseudoLabels, Run, TrainingSection
from darnet.report.translated import (
    TranslationFacts,
    TranslationSection,
    histogram_distance,
    measure,
)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (5.0, "5"), (2.6456, "2.65"), (1603.4, "1603"), (0.00123456, "0.00123"), (-96.2, "−96.2"),
     (math.nan, "–"), (math.inf, "∞"), (-math.inf, "−∞"), (1e9, "1e+09")],
)  # fmt: skip
def test_number(value, text):
    assert number(value) == text


def test_words():
    assert cross((5.0, 1.25, 1.25)) == "5 × 1.25 × 1.25"
    assert [duration(s) for s in (12, 600, 7200, 86400 * 3)] == ["12 s", "10 min", "2.0 h", "3.0 days"]
    assert several(["a", "b", "c"], 2) == "a, b and 1 more"
    assert [dice_text(v) for v in (0.9, None, math.nan)] == ["0.900", "–", "–"]
    assert spread(list("abcdefg"), 3) == ["a", "d", "g"]
    assert spread(["a"], 3) == ["a"]
    assert spread([], 3) == []


def test_histogram_distance_is_wasserstein():
    rng = np.random.default_rng(2)
    a, b = (rng.dirichlet(np.ones(len(BINS) - 1)) for _ in range(2))
    centres = (BINS[1:] + BINS[:-1]) / 2
    assert histogram_distance(a, b) == pytest.approx(wasserstein_distance(centres, centres, a, b))


def test_histogram_leaves_the_background_out():
    image = np.full((1, 2, 2, 2), -1.0)
    image[0, 0, 0] = 0.51
    shares = histogram([image])
    assert shares.sum() == pytest.approx(1)
    assert shares[np.searchsorted(BINS, 0.51) - 1] == pytest.approx(1)


def test_measure_knows_a_copy_from_a_translation():
    rng = np.random.default_rng(3)
    image = np.clip(rng.normal(0.2, 0.2, (6, 8, 8)), -0.8, 1).astype(np.float32)
    target = -image
    copied, _ = measure([(image, [image, image])], [target])
    assert copied.change == 0
    assert copied.styles_apart == 0
    assert copied.distance_after == copied.distance_before > 0.3
    turned, shares = measure([(image, [-image, np.full_like(image, 0.1)])], [target])
    assert turned.contrast == pytest.approx(0, abs=1e-6)
    assert turned.change > 0.2
    assert set(shares) == {"source", "translated", "target"}
    blurred, _ = measure([(image, [np.full_like(image, image.mean()) + 0.1 * np.arange(8)])], [target])
    assert blurred.sharpness["translated"] < 0.5 * blurred.sharpness["source"]


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


def test_one_point_and_none_are_drawn():
    assert "nan" not in line_chart({"a": [(3, 3)]}, "x", "y", "t")
    assert "nan" not in line_chart({"a": []}, "x", "y", "t")
    assert "nan" not in scatter_chart({"a": []}, {}, "x", "y", "t")


def run_of(**values):
    fields = {"title": "Segmentation, fold 0", "stage": "segmentation", "done": 10, "planned": 10, "skipped": 0,
              "first": 2.0, "last": 1.0, "seconds": 5.0, "charts": (), "dice": {"cube": 0.9, "rod": 0.9}}  # fmt: skip
    return Run(**(fields | values))


def facts_of(**values):
    same = {"source": 0.3, "translated": 0.3, "target": 0.3}
    fields = {"contrast": 0.2, "change": 0.2, "styles_apart": 0.1, "flicker": same, "sharpness": same,
              "distance_before": 0.3, "distance_after": 0.1}  # fmt: skip
    return TranslationFacts(**(fields | values))


def labels_of(missed):
    return PseudoLabels("Round 1, fold 0", Table((), ()), missed)


def predicted_of(**volumes):
    case = PredictedCase("t1", Picture("", "", 1, 1), {}, (), {"cube": 4.0, "rod": 2.0} | volumes, False)
    return PredictionsSection(cases=(case,), total=1)


def scores_of(failures=0, missing=False, **dice):
    case = CaseScore("t1", 0.9, 1.0, {}, missing)
    return ScoresSection(cases=(case,), class_dice={"cube": 0.9, "rod": 0.9} | dice, failures=failures)


def unlike(kind, value):
    return {"source": 0.3, "translated": 0.3, "target": 0.3, kind: value}


CHECKS = [
    ({"facts": facts_of()}, None, None),
    ({"facts": facts_of(contrast=0.01)}, "bad", "has collapsed"),
    ({"facts": facts_of(contrast=math.nan)}, "bad", "has collapsed"),
    ({"facts": facts_of(change=0.01)}, "bad", "Almost nothing was translated"),
    ({"facts": facts_of(styles_apart=0.001)}, "doubtful", "Two styles of a volume differ by"),
    ({"facts": facts_of(distance_after=0.4)}, "doubtful", "those of translated volumes 20 %"),
    ({"facts": facts_of(flicker=unlike("translated", 0.6))}, "doubtful", "translated volumes change by 0.6"),
    ({"facts": facts_of(sharpness=unlike("translated", 0.1))}, "doubtful", "From pixel to pixel"),
    ({"facts": facts_of(), "shares": (0.95, 0.05)}, "doubtful", "2 clusters hold 95 %, 5 %"),
    ({"facts": facts_of(), "shares": (1.0,)}, "doubtful", "1 clusters hold 100 %"),
    ({"facts": facts_of(), "shares": (0.5, 0.5), "scans": (9, 1)}, "doubtful", "cluster 2: all its slices"),
    ({"facts": facts_of(), "shares": (0.5, 0.5), "scans": (9, 8)}, None, None),
    ({"run": run_of()}, None, None),
    ({"run": run_of(done=5)}, "doubtful", "5 of 10 iterations are done"),
    ({"run": run_of(skipped=3)}, "doubtful", "3 iterations were skipped"),
    ({"run": run_of(last=2.5)}, "bad", "The loss did not fall"),
    ({"run": run_of(dice={"cube": 0.9, "rod": 0.7})}, "doubtful", "rod 0.700"),
    ({"run": run_of(dice={"cube": 0.9, "rod": 0.3})}, "bad", "rod 0.300"),
    ({"labels": labels_of(())}, None, None),
    ({"labels": labels_of(("rod",))}, "bad", "rod found in less than half"),
    ({"predictions": predicted_of()}, None, None),
    ({"predictions": predicted_of(rod=0.0)}, "doubtful", "rod in t1"),
    ({"predictions": predicted_of(cube=20.0)}, "doubtful", "cube in t1, 20 ml (source 4 to 4 ml)"),
    ({"predictions": predicted_of(cube=0.5)}, "doubtful", "cube in t1, 0.5 ml"),
    ({"scores": scores_of()}, None, None),
    ({"scores": scores_of(failures=2)}, "doubtful", "2 times a class"),
    ({"scores": scores_of(missing=True)}, "bad", "t1: counted as predicted empty"),
    ({"scores": scores_of(rod=0.7)}, "doubtful", "rod 0.700"),
    ({"scores": scores_of(rod=0.2)}, "bad", "rod 0.200"),
    ({"source": {"spacing": (12.0, 1.0, 1.0)}}, "doubtful", "up to 3 times apart"),
    ({"source": {"extent": (512.0, 200.0, 240.0)}}, "doubtful", "up to 4 times apart"),
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
        make_small_plans(),
        DomainsSection(fingerprint=Fingerprint(tuple(cases))),
        TranslationSection(
            facts=given.get("facts"), cluster_shares=given.get("shares", ()), cluster_scans=given.get("scans", ())
        ),
        TrainingSection(
            runs=(given["run"],) if "run" in given else (),
            pseudo_labels=(given["labels"],) if "labels" in given else (),
        ),
        given.get("predictions", PredictionsSection()),
        given.get("scores", ScoresSection()),
    )
    bad = [(finding.level, finding.found) for finding in found if finding.level != "good"]
    if level is None:
        assert bad == []
        assert found
    else:
        assert [one for one, _ in bad] == [level]
        assert words in bad[0][1]
        assert all(finding.remedy for finding in found if finding.level != "good")


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
