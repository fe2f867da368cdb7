"""The phantoms with turned contrast: what is bright in the source is dark in the target."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.drawn import write_phantoms
from benchmarks.head_phantoms import HEAD, HEADS, LABELS, Tissue, draw_head, head_labels, render_head
from benchmarks.heart_phantoms import HEART, HEARTS, draw_heart, heart_labels, render_heart
from benchmarks.heart_phantoms import Tissue as Chest
from benchmarks.phantoms import write_abdomen_dataset
from darnet.demo.anatomy import Tissue as Organ
from darnet.demo.phantom import draw_style
from darnet.io import read_dataset_json


@pytest.mark.parametrize("seed", range(3))
def test_tumour_and_fluid_trade_places(seed):
    rng = np.random.default_rng(seed)
    tissue = draw_head(rng, HEAD["T1"])
    means = {}
    for name in ("T1", "T2"):
        scan = render_head(tissue, rng, HEAD[name])
        means[name] = {t: np.median(scan[tissue == t]) for t in (Tissue.TUMOUR, Tissue.FLUID, Tissue.GREY)}
    assert means["T1"][Tissue.TUMOUR] > 1.5 * means["T1"][Tissue.GREY] > 2 * means["T1"][Tissue.FLUID]
    assert means["T2"][Tissue.FLUID] > 1.5 * means["T2"][Tissue.TUMOUR]
    assert means["T2"][Tissue.TUMOUR] == pytest.approx(means["T2"][Tissue.GREY], rel=0.5)
    labels = head_labels(tissue)
    assert set(np.unique(labels)) == set(LABELS.values())


def test_liver_is_brighter_than_spleen_in_one_and_darker_in_the_other():
    t1, t2 = (draw_style(np.random.default_rng(0), name).intensities for name in ("T1", "MR"))
    assert t1[Organ.FAT] > t1[Organ.LIVER] > t1[Organ.SPLEEN]
    assert t2[Organ.SPLEEN] > t2[Organ.LIVER] > t2[Organ.FAT]


def test_heads_are_a_data_set(tmp_path):
    write_phantoms(tmp_path, HEADS, seed=1, source=1, target=1, test=1)
    info = read_dataset_json(tmp_path / "dataset.json")
    assert (info.source_modality, info.target_modality) == ("T1", "T2")
    assert (tmp_path / "imagesTr" / "t1_01_0000.nii.gz").exists()
    for folder, case in (("labelsTr", "t1_01"), ("labelsTr_target", "t2_01"), ("labelsTs", "t2_test_01")):
        assert (tmp_path / folder / f"{case}.nii.gz").exists()


def test_abdomens_keep_target_labels_apart(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.phantoms.TEST_CASES", 1)
    small = {"source_cases": 1, "target_cases": 1}
    from darnet.demo.dataset import write_demo_dataset

    monkeypatch.setattr(
        "benchmarks.phantoms.write_demo_dataset", lambda *a, **k: write_demo_dataset(*a, **{**k, **small})
    )
    write_abdomen_dataset(tmp_path, seed=1)
    assert read_dataset_json(tmp_path / "dataset.json").source_modality == "T1"
    assert [p.name for p in (tmp_path / "labelsTr_target").iterdir()] == ["mr_01.nii.gz"]
    assert not (tmp_path / "supervised").exists()


@pytest.mark.parametrize("seed", range(3))
def test_chambers_of_the_left_side_look_alike_in_both_kinds(seed):
    for name, protocol in HEART.items():
        rng = np.random.default_rng(seed)
        tissue = draw_heart(rng, protocol)
        scan = render_heart(tissue, rng, protocol)
        means = {t: np.median(scan[tissue == t]) for t in Chest if (tissue == t).any()}
        blood = means[Chest.LEFT_VENTRICLE]
        others = [means[t] for t in (Chest.LEFT_ATRIUM, Chest.ASCENDING_AORTA, Chest.AORTA)]
        assert others == pytest.approx([blood] * 3, rel=0.5), name
        assert blood > 1.4 * means[Chest.MYOCARDIUM] > 0, name
        assert set(np.unique(heart_labels(tissue))) == set(HEARTS.labels.values())


def test_ct_of_the_heart_shows_no_skin_at_the_front_of_its_field():
    shown = {name: (draw_heart(np.random.default_rng(0), grid) == Chest.AIR).mean() for name, grid in HEART.items()}
    assert shown["CT"] < 0.05 < 0.15 < shown["MR"]
