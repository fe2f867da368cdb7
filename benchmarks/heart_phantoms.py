"""Heart phantoms: contrast-enhanced CT whose field ends close to the heart, to bright-blood MR of the whole chest.

All blood of the left side looks alike in both kinds, and so do the descending aorta and, in MR, the vessels of the
right side, which have no label: chambers are told apart by place and shape. Myocardium is a shell between blood and
lung.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.drawn import Phantom
from darnet.demo.anatomy import Canvas, FloatArray, smooth_field
from darnet.demo.dataset import Protocol

LABELS = {"background": 0, "myocardium": 1, "left_atrium": 2, "left_ventricle": 3, "ascending_aorta": 4}
HEART = {
    "CT": Protocol("CT", (46, 96, 96), (3.0, 2.0, 2.0), "LPS"),
    "MR": Protocol("MR", (40, 112, 128), (4.0, 2.8, 2.8), "LAS"),
}


class Tissue(IntEnum):
    """What a voxel is made of."""

    AIR = 0
    FAT = 1
    MUSCLE = 2
    BONE = 3
    LUNG = 4
    LIVER = 5
    CORD = 6
    RIGHT_BLOOD = 7
    AORTA = 8
    MYOCARDIUM = 9
    LEFT_ATRIUM = 10
    LEFT_VENTRICLE = 11
    ASCENDING_AORTA = 12


LEFT_BLOOD = (Tissue.AORTA, Tissue.LEFT_ATRIUM, Tissue.LEFT_VENTRICLE, Tissue.ASCENDING_AORTA)

# Mean intensity of each tissue in the order of `Tissue`: HU, and a share of the brightest.
INTENSITIES = {
    "CT": (-1000, -95, 55, 300, -830, 95, 30, 170, 350, 105, 350, 350, 350),
    "MR": (0.0, 0.7, 0.28, 0.3, 0.05, 0.38, 0.9, 0.82, 0.88, 0.36, 0.88, 0.88, 0.88),
}


def draw_heart(rng: np.random.Generator, protocol: Protocol) -> NDArray[np.uint8]:
    """Draw one chest about its heart.

    Args:
        rng: Source of the random values.
        protocol: Grid of the scan; the heart stays in its middle.

    Returns:
        Tissue map (D, H, W) of `Tissue` values.
    """
    chest = Canvas(rng, protocol.shape, protocol.spacing, bend=(4, 60), bump_size=25)
    size = rng.uniform(0.88, 1.1)
    _draw_chest(chest, rng.uniform(0.92, 1.08))
    _draw_right_side(chest, size)
    _draw_left_side(chest, size)
    return chest.tissue


def _draw_chest(chest: Canvas, size: float) -> None:
    """Walls with ribs, lungs, spine, the dome of the liver, and the descending aorta."""
    rng = chest.rng
    z, y, x = chest.points
    outer = chest.level((0, 22, -18), (1e4, 118 * size, 168 * size), exponent=2.5)
    chest.paint(outer < 1, Tissue.FAT)
    chest.paint(outer < 0.93, Tissue.MUSCLE)
    slant = z / 11 + 2 * np.abs(np.arctan2(x + 18, y - 22)) + rng.uniform(0, 6)
    chest.paint((np.abs(outer - 0.86) < 0.025) & (np.sin(slant) > 0.4), Tissue.BONE)
    lungs = (outer < 0.82) & (np.abs(x + 18) > 12)
    chest.paint(lungs, Tissue.LUNG)
    chest.paint((outer < 0.82) & ~lungs, Tissue.FAT)
    dome = -rng.uniform(38, 52) - 40 * (((x + 60) / 110) ** 2 + ((y - 15) / 100) ** 2)
    chest.paint((outer < 0.82) & (z < dome), Tissue.LIVER)
    back = 80 * size
    chest.paint(chest.level((0, back, -18), (1e4, 15, 18), exponent=2.5) < 1, Tissue.BONE)
    chest.paint(chest.level((0, back + 20, -18), (1e4, 6, 7)) < 1, Tissue.CORD)
    aorta = rng.uniform(10, 13)
    chest.paint(chest.level((0, back - 22, 2), (1e4, aorta, aorta)) < 1, Tissue.AORTA)


def _draw_right_side(chest: Canvas, size: float) -> None:
    """Fat of the pericardium, right ventricle and atrium, pulmonary artery and upper vena cava."""
    rng = chest.rng
    heart = chest.level((-8, 0, 0), np.array((52, 50, 62)) * size, bumps=0.05)
    chest.paint(heart < 1, Tissue.FAT)
    ventricle = chest.level(chest.jitter((-18, -24, -12), 3), np.array((34, 22, 36)) * size, turn=0.4, bumps=0.06)
    chest.paint(ventricle < 1.1, Tissue.MUSCLE)
    chest.paint(ventricle < 1, Tissue.RIGHT_BLOOD)
    atrium = chest.level(chest.jitter((-2, 2, -42), 3), np.array((28, 22, 20)) * size, bumps=0.06)
    pulmonary = chest.level(chest.jitter((38, -14, 12), 3), (40, rng.uniform(10, 14), rng.uniform(10, 14)))
    cava = chest.level(chest.jitter((50, 2, -34), 3), (45, 9, 9))
    for vessel in (atrium, pulmonary, cava):
        chest.paint(vessel < 1, Tissue.RIGHT_BLOOD)


def _draw_left_side(chest: Canvas, size: float) -> None:
    """Left atrium, myocardium around the left ventricle, and ascending aorta."""
    rng = chest.rng
    atrium = chest.level(chest.jitter((14, 30, -2), 3), size * rng.uniform((20, 17, 26), (27, 23, 36)), bumps=0.07)
    place = np.array(chest.jitter((-16, 0, 26), 3))
    radii = size * rng.uniform((36, 30, 36), (42, 36, 44))
    turn = rng.normal(0.6, 0.15)
    outer = chest.level(place, radii, turn=turn, bumps=0.03)
    inner = chest.level(place, radii - rng.uniform(9, 13), turn=turn, bumps=0.06)
    chest.paint(outer < 1, Tissue.MYOCARDIUM)
    chest.paint(atrium < 1, Tissue.LEFT_ATRIUM)
    chest.paint(inner < 1, Tissue.LEFT_VENTRICLE)
    z = chest.points[0]
    width = rng.uniform(13, 17)
    aorta = chest.level(chest.jitter((40, -4, -12), 3), (1e4, width, width))
    chest.paint((aorta < 1) & (z > rng.uniform(10, 18)), Tissue.ASCENDING_AORTA)


def render_heart(tissue: NDArray[np.uint8], rng: np.random.Generator, protocol: Protocol) -> FloatArray:
    """Scan (D, H, W) of a tissue map: contrast of the scan, texture, noise; HU, or arbitrary unit with a bias field."""
    shape, spacing = protocol.shape, protocol.spacing
    means = np.asarray(INTENSITIES[protocol.modality], np.float64)
    solid = ~np.isin(tissue, (Tissue.AIR, Tissue.LUNG))
    texture = smooth_field(rng, shape, spacing, 10) * solid
    if protocol.modality == "CT":
        means = means + rng.normal(0, 8, means.shape) * (means > -500)
        means[list(LEFT_BLOOD)] = rng.uniform(280, 430)
        means[Tissue.RIGHT_BLOOD] = rng.uniform(120, 300)
        image = ndimage.gaussian_filter(means[tissue] + 8 * texture, (0.3, 0.5, 0.5))
        return np.asarray(image + rng.uniform(10, 25) * rng.standard_normal(shape), np.float32)
    means = means ** rng.uniform(0.8, 1.3) * np.exp(rng.normal(0, 0.06, means.shape))
    means[list(LEFT_BLOOD)] = means[Tissue.AORTA]
    image = ndimage.gaussian_filter(np.maximum(means[tissue] + 0.04 * texture, 0), (0.4, 0.5, 0.5))
    bias = np.exp(rng.uniform(0.12, 0.28) * smooth_field(rng, shape, spacing, 150))
    real, imaginary = rng.uniform(0.02, 0.05) * rng.standard_normal((2, *shape))
    return np.asarray(rng.uniform(300, 1200) * np.hypot(image * bias + real, imaginary), np.float32)


def heart_labels(tissue: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels (`LABELS`) of a tissue map."""
    label_of = np.zeros(len(Tissue), np.uint8)
    for name, value in LABELS.items():
        if value:
            label_of[Tissue[name.upper()]] = value
    return label_of[tissue]


HEARTS = Phantom("Hearts", LABELS, (HEART["CT"], HEART["MR"]), draw_heart, render_heart, heart_labels)
