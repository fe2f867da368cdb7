"""Random abdominal anatomies: tissue maps made of deformed superellipsoids.

All lengths are in mm. Positions are (z, y, x) from the centre of the volume, z towards the head, y towards the back, x
towards the patient's left: the axis order (D, H, W) of darnet's canonical arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
TissueMap = NDArray[np.uint8]

LABELS = {"background": 0, "liver": 1, "right_kidney": 2, "left_kidney": 3, "spleen": 4}


class Tissue(IntEnum):
    """What a voxel is made of."""

    AIR = 0
    LIVER = 1
    RIGHT_KIDNEY = 2
    LEFT_KIDNEY = 3
    SPLEEN = 4
    LIVER_VESSEL = 5
    RIGHT_PELVIS = 6
    LEFT_PELVIS = 7
    FAT = 8
    SKIN = 9
    MUSCLE = 10
    BONE = 11
    CORD = 12
    VESSEL = 13
    STOMACH = 14
    BOWEL_PASTE = 15
    BOWEL_WALL = 16
    BOWEL_FLUID = 17
    GALLBLADDER = 18
    LUNG = 19


_LABEL_OF = np.zeros(len(Tissue), np.uint8)
_LABEL_OF[[Tissue.LIVER, Tissue.LIVER_VESSEL]] = LABELS["liver"]
_LABEL_OF[[Tissue.RIGHT_KIDNEY, Tissue.RIGHT_PELVIS]] = LABELS["right_kidney"]
_LABEL_OF[[Tissue.LEFT_KIDNEY, Tissue.LEFT_PELVIS]] = LABELS["left_kidney"]
_LABEL_OF[Tissue.SPLEEN] = LABELS["spleen"]


def organ_labels(tissue: TissueMap) -> NDArray[np.uint8]:
    """Labels of the organs (`LABELS`) in a tissue map; an organ's vessels and pelvis belong to it."""
    return _LABEL_OF[tissue]


def smooth_field(
    rng: np.random.Generator, shape: Sequence[int], spacing: Sequence[float], wavelength: float
) -> FloatArray:
    """A smooth random field of mean 0 and standard deviation about 1.

    Args:
        rng: Source of the random values.
        shape: Shape (D, H, W) of the field in voxels.
        spacing: Voxel size in mm, (D, H, W).
        wavelength: Distance of the knots of its cubic B-splines in mm: the size of its bumps.
    """
    bases = [_spline_basis(np.arange(n) * step / wavelength) for n, step in zip(shape, spacing, strict=True)]
    field = rng.standard_normal([b.shape[1] for b in bases]).astype(np.float32)
    for axis, basis in enumerate(bases):
        field = np.moveaxis(np.tensordot(basis, field, axes=(1, axis)), 0, axis)
    # 151/315 is the mean of the summed squared weights of a cubic B-spline, once for each axis.
    return np.asarray(field / (151.0 / 315.0) ** 1.5, dtype=np.float32)


def _spline_basis(position: NDArray[np.floating]) -> FloatArray:
    """Weights (positions, knots) of uniform cubic B-splines."""
    first = np.floor(position).astype(int)
    u = position - first
    weights = np.stack([(1 - u) ** 3, 3 * u**3 - 6 * u**2 + 4, -3 * u**3 + 3 * u**2 + 3 * u + 1, u**3], axis=1) / 6
    basis = np.zeros((len(position), int(first.max()) + 4), np.float32)
    np.put_along_axis(basis, first[:, None] + np.arange(4), weights.astype(np.float32), axis=1)
    return basis


class Canvas:
    """The bent coordinates of one anatomy, and the shapes that are drawn in them.

    Args:
        rng: Source of the random values.
        shape: Shape (D, H, W) in voxels.
        spacing: Voxel size in mm, (D, H, W).
        bend: By how many mm coordinates are bent, and over how many.
        bump_size: Of bumps on shapes, in mm.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        shape: Sequence[int],
        spacing: Sequence[float],
        *,
        bend: tuple[float, float] = (5, 70),
        bump_size: float = 28,
    ) -> None:
        self.rng, self.shape, self.spacing, self.bump_size = rng, tuple(shape), tuple(spacing), bump_size
        axes = [(np.arange(n) - (n - 1) / 2) * step for n, step in zip(shape, spacing, strict=True)]
        straight = np.meshgrid(*axes, indexing="ij")
        # 5 mm of bending over 70 mm keeps organs in order but no two alike.
        self.points = [np.float32(s) + bend[0] * self.field(bend[1]) for s in straight]
        self.tissue: TissueMap = np.full(self.shape, Tissue.AIR, np.uint8)

    def field(self, wavelength: float) -> FloatArray:
        """A smooth random field, see `smooth_field`."""
        return smooth_field(self.rng, self.shape, self.spacing, wavelength)

    def level(
        self,
        centre: Sequence[float],
        radii: Sequence[float] | NDArray[np.float64],
        *,
        exponent: float = 2.0,
        turn: float = 0.0,
        bumps: float = 0.0,
    ) -> FloatArray:
        """Level of a superellipsoid: below 1 inside. `turn` is in radians in plane, from x to y."""
        z, y, x = (p - np.float32(c) for p, c in zip(self.points, centre, strict=True))
        y, x = y * np.cos(turn) - x * np.sin(turn), y * np.sin(turn) + x * np.cos(turn)
        total = sum(np.abs(v / r) ** exponent for v, r in zip((z, y, x), radii, strict=True))
        level = np.asarray(total ** (1 / exponent), dtype=np.float32)
        if bumps:
            level = level + np.float32(bumps) * self.field(self.bump_size)
        return level

    def paint(self, where: BoolArray, tissue: IntEnum) -> None:
        """Fill where a mask is true."""
        self.tissue[where] = tissue

    def jitter(self, centre: Sequence[float], spread: float) -> list[float]:
        """A place near another, in mm."""
        return [c + self.rng.normal(0, spread) for c in centre]


def draw_anatomy(rng: np.random.Generator, shape: Sequence[int], spacing: Sequence[float]) -> TissueMap:
    """Draw one abdomen; every call gives another size, place and shape of everything.

    Args:
        rng: Source of the random values.
        shape: Shape (D, H, W) in voxels, towards head, back and the patient's left.
        spacing: Voxel size in mm, (D, H, W). The abdomen is about 190 mm deep and 250 mm wide and stays in the middle.

    Returns:
        Tissue map (D, H, W) of `Tissue` values; `organ_labels` gives the labels.
    """
    canvas = Canvas(rng, shape, spacing)
    size = rng.uniform(0.9, 1.08)
    cavity = _draw_body(canvas, size)
    _draw_spine(canvas, size)
    _draw_bowel(canvas, size, cavity)
    _draw_organs(canvas, size, cavity)
    _draw_lungs(canvas, size, cavity)
    return canvas.tissue


def _draw_body(canvas: Canvas, size: float) -> BoolArray:
    """Skin, fat, wall of muscle with ribs. Returns the cavity."""
    rng = canvas.rng
    width, depth = 126 * size * rng.uniform(0.95, 1.05), 96 * size * rng.uniform(0.93, 1.07)
    body = canvas.level((0, 0, 0), (1e4, depth, width), exponent=2.4)
    radius = 0.5 * (width + depth)
    fat, wall = rng.uniform(7, 16) / radius, rng.uniform(7, 10) / radius
    cavity = body < 1 - fat - wall
    canvas.paint(body < 1, Tissue.SKIN)
    canvas.paint(body < 1 - 2.5 / radius, Tissue.FAT)
    canvas.paint(body < 1 - fat, Tissue.MUSCLE)
    canvas.paint(cavity, Tissue.FAT)
    z, y, x = canvas.points
    slant = z / 26 + 1.6 * np.abs(np.arctan2(x, y)) + rng.uniform(0, 6)
    middle = np.abs(body - (1 - fat - 0.5 * wall)) < 0.42 * wall
    canvas.paint(middle & (np.sin(slant) > 0.45) & (z > -25) & (np.abs(x) > 35), Tissue.BONE)
    return cavity


def _draw_spine(canvas: Canvas, size: float) -> None:
    """Muscles of the back, vertebrae, cord and the two great vessels."""
    rng = canvas.rng
    y = 48 * size + rng.normal(0, 3)
    for side in (-1, 1):
        back = canvas.level((0, y + 26, side * 27), (1e4, 15, 24), exponent=2.5)
        psoas = canvas.level((-95, y - 2, side * 34), (70, 15, 17))
        canvas.paint((back < 1) | (psoas < 1), Tissue.MUSCLE)
    canvas.paint(canvas.level((0, y, 0), (1e4, 15, 19), exponent=2.5) < 1, Tissue.BONE)
    canvas.paint(canvas.level((0, y + 24, 0), (1e4, 14, 5)) < 1, Tissue.BONE)
    canvas.paint(canvas.level((0, y + 20, 0), (1e4, 5, 14)) < 1, Tissue.BONE)
    canvas.paint(canvas.level((0, y + 19, 0), (1e4, 5.5, 6.5)) < 1, Tissue.CORD)
    aorta, cava = rng.uniform(7, 10), rng.uniform(8, 12)
    canvas.paint(canvas.level((0, y - 25, 8), (1e4, aorta, aorta)) < 1, Tissue.VESSEL)
    canvas.paint(canvas.level((0, y - 26, -17), (1e4, 0.8 * cava, cava)) < 1, Tissue.VESSEL)


def _draw_bowel(canvas: Canvas, size: float, cavity: BoolArray) -> None:
    """Stomach and bowel loops. Their fillings look like organs, so that contrast alone tells little."""
    rng = canvas.rng
    fillings = (Tissue.BOWEL_PASTE, Tissue.BOWEL_WALL, Tissue.BOWEL_FLUID)
    for _ in range(int(rng.integers(22, 36))):
        place = (rng.uniform(-110, 15), rng.uniform(-62, 12) * size, rng.uniform(-80, 80) * size)
        a, b, c = rng.uniform(9, 21, 3)
        level = canvas.level(place, (1.3 * a, b, 1.2 * c), turn=rng.uniform(0, np.pi))
        free = cavity & (canvas.tissue == Tissue.FAT)
        canvas.paint(free & (level < 1), Tissue.BOWEL_WALL)
        canvas.paint(free & (level < 0.78), fillings[rng.integers(len(fillings))])
    centre = canvas.jitter((38, -28 * size, 42 * size), 7)
    level = canvas.level(centre, (34, 26, 34), turn=rng.normal(0.5, 0.3), bumps=0.08)
    canvas.paint(cavity & (level < 1), Tissue.BOWEL_WALL)
    canvas.paint(cavity & (level < 0.88), Tissue.STOMACH)


def _draw_organs(canvas: Canvas, size: float, cavity: BoolArray) -> None:
    """Liver with gallbladder and vessels, spleen, and kidneys in their fat."""
    rng = canvas.rng
    free = cavity & ~np.isin(canvas.tissue, (Tissue.BONE, Tissue.CORD, Tissue.VESSEL, Tissue.MUSCLE))
    right = canvas.level(
        canvas.jitter((30, -2, -58 * size), 5), size * rng.uniform((58, 55, 45), (74, 66, 56)), exponent=2.3, bumps=0.05
    )
    left = canvas.level(
        canvas.jitter((42, -42 * size, -8), 6), size * rng.uniform((26, 18, 40), (40, 28, 62)), turn=-0.2, bumps=0.07
    )
    liver = free & (np.minimum(right, left) < 1)
    canvas.paint(liver, Tissue.LIVER)
    branches = [smooth_field(rng, canvas.shape, canvas.spacing, 30) for _ in range(2)]
    deep = np.minimum(right, left) < 0.9
    canvas.paint(liver & deep & (np.hypot(*branches) < 0.3), Tissue.LIVER_VESSEL)
    gall = canvas.level(canvas.jitter((-12, -38 * size, -38 * size), 5), (20, rng.uniform(8, 14), rng.uniform(8, 13)))
    canvas.paint(free & (gall < 1), Tissue.GALLBLADDER)
    spleen = canvas.level(
        canvas.jitter((38, 26 * size, 76 * size), 6),
        size * rng.uniform((36, 32, 18), (54, 46, 28)),
        turn=rng.normal(0.45, 0.2),
        bumps=0.07,
    )
    canvas.paint(free & (spleen < 1.1) & (spleen >= 1) & (canvas.tissue != Tissue.LIVER), Tissue.FAT)
    canvas.paint(free & (spleen < 1), Tissue.SPLEEN)
    for side, organ, pelvis, height in (
        (-1, Tissue.RIGHT_KIDNEY, Tissue.RIGHT_PELVIS, -42),
        (1, Tissue.LEFT_KIDNEY, Tissue.LEFT_PELVIS, -28),
    ):
        centre = canvas.jitter((height, 40 * size, side * 54 * size), 5)
        radii = size * rng.uniform((40, 20, 20), (54, 28, 27))
        turn = side * rng.normal(-0.5, 0.25)
        kidney = canvas.level(centre, radii, turn=turn, bumps=0.04)
        hollow = canvas.level((centre[0], centre[1] - 3, centre[2] - side * 7), 0.42 * radii, turn=turn, bumps=0.1)
        canvas.paint(free & (kidney < 1.22), Tissue.FAT)
        canvas.paint(free & (kidney < 1), organ)
        canvas.paint(free & (kidney < 0.95) & (hollow < 1), pelvis)


def _draw_lungs(canvas: Canvas, size: float, cavity: BoolArray) -> None:
    """Heart, and lungs above a domed diaphragm, which cut off what reaches into them."""
    z, y, x = canvas.points
    heart = canvas.level(canvas.jitter((112, -25 * size, 18), 5), (38, 36, 46))
    canvas.paint(cavity & (heart < 1) & (canvas.tissue == Tissue.FAT), Tissue.VESSEL)
    dome = canvas.rng.uniform(96, 116) - 55 * ((np.abs(x) / (105 * size)) ** 2 + ((y - 5) / (85 * size)) ** 2)
    spine = np.isin(canvas.tissue, (Tissue.BONE, Tissue.CORD, Tissue.VESSEL, Tissue.MUSCLE))
    canvas.paint(cavity & (z > dome) & (heart >= 1) & ~spine, Tissue.LUNG)
