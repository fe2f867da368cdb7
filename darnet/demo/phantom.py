"""Scans of an anatomy: how CT, fat-suppressed T2 and T1 would show it, each scan in a style of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from darnet.demo.anatomy import FloatArray, Tissue, TissueMap, smooth_field

# Mean intensity of each tissue: HU for CT, a share of the brightest tissue for MR. Apart from fat, muscle and air, what
# is bright in one is dark in the other; bowel fillings look like organs in both.
_CT = {
    Tissue.AIR: -1000, Tissue.LUNG: -820, Tissue.FAT: -100, Tissue.SKIN: 10, Tissue.GALLBLADDER: 10, Tissue.CORD: 30,
    Tissue.BOWEL_FLUID: 25, Tissue.MUSCLE: 60, Tissue.BOWEL_WALL: 85, Tissue.SPLEEN: 110, Tissue.LIVER: 125,
    Tissue.LIVER_VESSEL: 160, Tissue.STOMACH: 45, Tissue.RIGHT_PELVIS: 90, Tissue.LEFT_PELVIS: 90,
    Tissue.RIGHT_KIDNEY: 185, Tissue.LEFT_KIDNEY: 185, Tissue.VESSEL: 175, Tissue.BOWEL_PASTE: 200, Tissue.BONE: 380,
}  # fmt: skip
_MR = {
    Tissue.AIR: 0.0, Tissue.LUNG: 0.03, Tissue.BONE: 0.08, Tissue.VESSEL: 0.06, Tissue.BOWEL_PASTE: 0.22,
    Tissue.MUSCLE: 0.17, Tissue.FAT: 0.13, Tissue.SKIN: 0.35, Tissue.LIVER: 0.34, Tissue.LIVER_VESSEL: 0.6,
    Tissue.RIGHT_KIDNEY: 0.66, Tissue.LEFT_KIDNEY: 0.66, Tissue.SPLEEN: 0.78, Tissue.STOMACH: 0.72,
    Tissue.BOWEL_WALL: 0.4, Tissue.RIGHT_PELVIS: 0.88, Tissue.LEFT_PELVIS: 0.88, Tissue.BOWEL_FLUID: 0.92,
    Tissue.GALLBLADDER: 1.0, Tissue.CORD: 1.0,
}  # fmt: skip
# T1-weighted MR: bright fat, dark fluid, the liver brighter than spleen and kidneys; nearly all of it is the other way
# round in T2.
_T1 = {
    Tissue.AIR: 0.0, Tissue.LUNG: 0.03, Tissue.VESSEL: 0.12, Tissue.BOWEL_FLUID: 0.2, Tissue.RIGHT_PELVIS: 0.22,
    Tissue.LEFT_PELVIS: 0.22, Tissue.CORD: 0.25, Tissue.GALLBLADDER: 0.25, Tissue.STOMACH: 0.3,
    Tissue.LIVER_VESSEL: 0.35, Tissue.SPLEEN: 0.36, Tissue.RIGHT_KIDNEY: 0.42, Tissue.LEFT_KIDNEY: 0.42,
    Tissue.MUSCLE: 0.42, Tissue.BONE: 0.5, Tissue.BOWEL_WALL: 0.5, Tissue.LIVER: 0.6, Tissue.SKIN: 0.6,
    Tissue.BOWEL_PASTE: 0.7, Tissue.FAT: 0.95,
}  # fmt: skip
MODALITIES = ("CT", "MR", "T1")


@dataclass(frozen=True)
class Style:
    """How one scanner and protocol show an anatomy.

    `intensities` holds the mean of each tissue in the order of `Tissue`; `texture` and `noise` are in the same unit,
    `bias` is the spread of the logarithm of the bias field, `blur` is in mm, the result is multiplied by `gain`.
    """

    intensities: tuple[float, ...]
    texture: float
    noise: float
    bias: float
    blur: float
    gain: float


def draw_style(rng: np.random.Generator, modality: str) -> Style:
    """Draw the style of one scan.

    Args:
        rng: Source of the random values.
        modality: "CT", "MR" or "T1". MR is T2-weighted with fat suppressed and has three contrasts: moderate, strong T2
            weighting, and poor suppression.

    Raises:
        ValueError: Another modality.
    """
    if modality == "CT":
        means = _ordered(_CT)
        means = means + rng.normal(0, 6, means.shape) * (means > -500)
        phase = rng.uniform(-20, 30)
        means[[Tissue.RIGHT_KIDNEY, Tissue.LEFT_KIDNEY, Tissue.VESSEL]] += phase
        return _style(
            _alike(means), texture=9, noise=rng.uniform(8, 14), bias=0.0, blur=rng.uniform(1.5, 2.5), gain=1.0
        )
    _require(modality)
    if modality == "T1":
        means = _ordered(_T1)
        means = means ** rng.uniform(0.85, 1.2) * np.exp(rng.normal(0, 0.07, means.shape))
        noise, bias, blur = rng.uniform(0.02, 0.04), rng.uniform(0.12, 0.25), rng.uniform(2.0, 3.0)
        return _style(_alike(means), texture=0.04, noise=noise, bias=bias, blur=blur, gain=rng.uniform(400, 1200))
    means = _ordered(_MR)
    contrast = rng.integers(3)
    if contrast == 1:
        means = means**1.35
    elif contrast == 2:
        means = means**0.85
        means[Tissue.FAT] += 0.09
    means = means * np.exp(rng.normal(0, 0.07, means.shape))
    bias, blur, gain = rng.uniform(0.15, 0.28), rng.uniform(2.0, 3.2), rng.uniform(400, 1200)
    return _style(_alike(means), texture=0.05, noise=rng.uniform(0.02, 0.04), bias=bias, blur=blur, gain=gain)


def _require(modality: str) -> None:
    if modality not in MODALITIES:
        raise ValueError(f"modality must be one of {', '.join(MODALITIES)}, not {modality!r}")


def _ordered(means: Mapping[Tissue, float]) -> NDArray[np.float64]:
    return np.array([means[tissue] for tissue in Tissue], np.float64)


def _alike(means: NDArray[np.float64]) -> NDArray[np.float64]:
    """Both kidneys look the same: only their place tells them apart."""
    means = means.copy()
    means[Tissue.LEFT_KIDNEY], means[Tissue.LEFT_PELVIS] = means[Tissue.RIGHT_KIDNEY], means[Tissue.RIGHT_PELVIS]
    return means


def _style(means: NDArray[np.float64], *, texture: float, noise: float, bias: float, blur: float, gain: float) -> Style:
    return Style(tuple(float(m) for m in means), texture, float(noise), float(bias), float(blur), float(gain))


def render(
    tissue: TissueMap, modality: str, style: Style, rng: np.random.Generator, spacing: Sequence[float]
) -> FloatArray:
    """Make a scan of an anatomy.

    Args:
        tissue: Tissue map (D, H, W).
        modality: "CT" (HU, Gaussian noise), or "MR" or "T1" (arbitrary unit, bias field, Rician noise, zero or more).
        style: What `draw_style` gave for this modality.
        rng: Source of texture, noise and bias field.
        spacing: Voxel size in mm, (D, H, W).

    Returns:
        Scan (D, H, W), float32.

    Raises:
        ValueError: Another modality.
    """
    _require(modality)
    shape = tissue.shape
    image: FloatArray = np.asarray(style.intensities, np.float32)[tissue]
    solid = ~np.isin(tissue, (Tissue.AIR, Tissue.LUNG))
    grain = 0.6 * smooth_field(rng, shape, spacing, 12) + 0.8 * smooth_field(rng, shape, spacing, 30)
    image = np.asarray(image + style.texture * grain * solid, np.float32)
    # Planes are sharp in themselves: the blur along D is that of the slice profile, which the thick voxel already is.
    blur = [0.0, style.blur / spacing[1] / 2, style.blur / spacing[2] / 2]
    image = np.asarray(ndimage.gaussian_filter(image, blur), np.float32)
    if modality == "CT":
        noisy = np.asarray(image + style.noise * rng.standard_normal(shape), np.float32)
        return np.asarray(noisy * np.float32(style.gain))
    bright = np.maximum(image, 0) * np.exp(style.bias * smooth_field(rng, shape, spacing, 150))
    real, imaginary = style.noise * rng.standard_normal((2, *shape))
    return np.asarray(style.gain * np.hypot(bright + real, imaginary), np.float32)
