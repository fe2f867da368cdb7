from __future__ import annotations

import numpy as np
import pytest

from darnet.demo.anatomy import Tissue, draw_anatomy
from darnet.demo.phantom import MODALITIES, Style, draw_style, render

SHAPE, SPACING = (17, 48, 48), (12.0, 6.0, 6.0)


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    return draw_anatomy(np.random.default_rng(3), SHAPE, SPACING)


def scan_of(tissue: np.ndarray, modality: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return render(tissue, modality, draw_style(rng, modality), rng, SPACING)


def means(tissue: np.ndarray, scan: np.ndarray) -> dict[str, float]:
    return {t.name: float(np.median(scan[tissue == t])) for t in Tissue if (tissue == t).any()}


def test_order_of_intensities_is_opposite(tissue: np.ndarray):
    for seed in range(6):
        ct = means(tissue, scan_of(tissue, "CT", seed))
        mr = means(tissue, scan_of(tissue, "MR", seed))
        assert ct["SPLEEN"] < ct["LEFT_KIDNEY"] < ct["BONE"]
        assert mr["SPLEEN"] > mr["LIVER"] > mr["BONE"]
        assert ct["VESSEL"] > ct["LIVER"] > ct["CORD"]
        assert mr["VESSEL"] < mr["LIVER"] < mr["CORD"]


def test_ct_is_in_hounsfield_units(tissue: np.ndarray):
    values = means(tissue, scan_of(tissue, "CT", 0))
    assert values["AIR"] == pytest.approx(-1000, abs=10)
    assert values["FAT"] == pytest.approx(-100, abs=40)
    assert values["LIVER"] == pytest.approx(125, abs=40)


def test_mr_is_positive_with_a_dark_surround(tissue: np.ndarray):
    scan = scan_of(tissue, "MR", 0)
    assert scan.min() >= 0
    assert np.median(scan[tissue == Tissue.AIR]) < 0.2 * np.median(scan[tissue == Tissue.SPLEEN])


def test_bowel_fillings_look_like_organs():
    """Contrast alone must not give the organs away: some filling lies within 0.15 of the range of each organ."""
    for modality, spread in (("CT", 400.0), ("MR", 1.0)):
        style = draw_style(np.random.default_rng(0), modality)
        fillings = [style.intensities[t] for t in (Tissue.BOWEL_PASTE, Tissue.BOWEL_WALL, Tissue.STOMACH)]
        for organ in (Tissue.LIVER, Tissue.LEFT_KIDNEY, Tissue.SPLEEN):
            assert min(abs(f - style.intensities[organ]) for f in fillings) < 0.15 * spread


def test_kidneys_look_alike():
    for modality in MODALITIES:
        values = draw_style(np.random.default_rng(1), modality).intensities
        assert values[Tissue.LEFT_KIDNEY] == values[Tissue.RIGHT_KIDNEY]


def test_target_has_several_styles():
    styles = [draw_style(np.random.default_rng(n), "MR") for n in range(40)]
    ratios = [s.intensities[Tissue.FAT] / s.intensities[Tissue.LIVER] for s in styles]
    assert max(ratios) > 2 * min(ratios)


def test_bias_field_is_of_mr_alone(tissue: np.ndarray):
    assert draw_style(np.random.default_rng(0), "CT").bias == 0
    flat = np.full((8, 60, 60), Tissue.LIVER, np.uint8)
    style = Style(tuple([1.0] * len(Tissue)), texture=0, noise=0, bias=0.3, blur=1, gain=10)
    scan = render(flat, "MR", style, np.random.default_rng(0), (12.0, 6.0, 6.0))
    assert scan.std() > 0.5
    np.testing.assert_allclose(render(flat, "CT", style, np.random.default_rng(0), (12.0, 6.0, 6.0)), 10, rtol=1e-5)


def test_same_seed_same_scan_and_input_untouched(tissue: np.ndarray):
    before = tissue.copy()
    for modality in MODALITIES:
        first, again = scan_of(tissue, modality, 4), scan_of(tissue, modality, 4)
        np.testing.assert_array_equal(first, again)
        assert first.dtype == np.float32
        assert first.shape == tissue.shape
    np.testing.assert_array_equal(tissue, before)


def test_unknown_modality_is_refused(tissue: np.ndarray):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="US"):
        draw_style(rng, "US")
    with pytest.raises(ValueError, match="US"):
        render(tissue, "US", draw_style(rng, "CT"), rng, SPACING)
