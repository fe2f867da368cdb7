"""Head phantoms whose tumour trades places in brightness with the fluid beside it: T1 with contrast agent to T2.

In T1 the tumour is the brightest and fluid is dark; in T2 fluid is the brightest, the tumour about as bright as brain,
and vessels are black. Tumour and cochlea are found by their place and shape, or not at all.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.drawn import Phantom
from darnet.demo.anatomy import Canvas, FloatArray, smooth_field
from darnet.demo.dataset import Protocol

LABELS = {"background": 0, "tumour": 1, "cochlea": 2}
HEAD = {name: Protocol(name, (36, 112, 112), (2.0, 1.6, 1.6), "LPS") for name in ("T1", "T2")}


class Tissue(IntEnum):
    """What a voxel is made of."""

    AIR = 0
    FAT = 1
    BONE = 2
    WHITE = 3
    GREY = 4
    FLUID = 5
    TUMOUR = 6
    VESSEL = 7
    COCHLEA = 8
    MUCOSA = 9
    MUSCLE = 10
    CYST = 11


# Mean intensity of each tissue in the order of `Tissue`, a share of the brightest.
INTENSITIES = {
    "T1": (0.02, 0.9, 0.1, 0.55, 0.45, 0.2, 0.95, 0.95, 0.3, 0.85, 0.4, 0.3),
    "T2": (0.02, 0.5, 0.08, 0.3, 0.4, 1.0, 0.47, 0.08, 0.95, 0.7, 0.22, 0.85),
}


def draw_head(rng: np.random.Generator, protocol: Protocol) -> NDArray[np.uint8]:
    """Draw one head about the inner ears, with a tumour in the cistern of one side.

    Args:
        rng: Source of the random values.
        protocol: Grid of the scan.

    Returns:
        Tissue map (D, H, W) of `Tissue` values.
    """
    head = Canvas(rng, protocol.shape, protocol.spacing, bend=(3, 50), bump_size=12)
    size = rng.uniform(0.93, 1.05)
    depth, width = 82 * size * rng.uniform(0.95, 1.05), 68 * size * rng.uniform(0.95, 1.05)
    outer = head.level((0, 0, 0), (200, depth, width))
    head.paint(outer < 1, Tissue.FAT)
    head.paint(outer < 0.95, Tissue.BONE)
    inner = outer < 0.88
    head.paint(inner, Tissue.FLUID)
    brain = outer + 0.02 * head.field(8) < 0.85
    head.paint(brain, Tissue.WHITE)
    head.paint(brain & (head.field(9) > 0.3), Tissue.GREY)
    _draw_face(head, outer)
    _draw_ventricle(head)
    ill = int(rng.choice((-1, 1)))
    for side in (-1, 1):
        _draw_ear(head, side)
    _draw_tumour(head, ill)
    return head.tissue


def _draw_face(head: Canvas, outer: FloatArray) -> None:
    """Muscle, bone and cavities with mucosa in front of the skull base."""
    rng, y = head.rng, head.points[1]
    face = (outer < 0.95) & (y < -28 + 4 * head.field(30))
    head.paint(face, Tissue.MUSCLE)
    head.paint(face & (head.field(10) > 0.8), Tissue.FAT)
    head.paint(face & (y > -32), Tissue.BONE)
    for centre in (0.0, rng.uniform(14, 22), -rng.uniform(14, 22)):
        place = (rng.normal(0, 6), rng.uniform(-58, -44), centre)
        radii = (rng.uniform(12, 22), rng.uniform(8, 14), rng.uniform(6, 11))
        level = head.level(place, radii)
        head.paint(face & (level < 1), Tissue.MUCOSA)
        head.paint(face & (level < rng.uniform(0.7, 0.9)), Tissue.AIR)


def _draw_ventricle(head: Canvas) -> None:
    rng = head.rng
    level = head.level(
        (rng.normal(4, 2), rng.uniform(26, 34), 0), (10, rng.uniform(5, 8), rng.uniform(7, 12)), bumps=0.1
    )
    head.paint(level < 1, Tissue.FLUID)
    aqueduct = head.level((0, rng.uniform(8, 12), 0), (100, 2.5, 2.5))
    head.paint(aqueduct < 1, Tissue.FLUID)


def _draw_ear(head: Canvas, side: int) -> None:
    """Petrous bone with air cells, cistern, canal, cochlea and sigmoid sinus of one side."""
    rng = head.rng
    z0 = rng.normal(0, 2)
    petrous = head.level((z0, -4, side * 46), (15, 15, 24), bumps=0.08)
    head.paint((petrous < 1) & (head.tissue != Tissue.AIR), Tissue.BONE)
    cells = head.level((z0, 6, side * 55), (11, 9, 9))
    head.paint((cells < 1) & (head.field(6) > 0.1), Tissue.AIR)
    cistern = head.level((z0, 8, side * 22), (9, 7, 12), bumps=0.1)
    head.paint((cistern < 1) & (head.tissue != Tissue.BONE), Tissue.FLUID)
    canal = head.level((z0, 1, side * 31), (2.6, 2.4, 8))
    head.paint(canal < 1, Tissue.FLUID)
    cochlea = head.level((z0 + rng.normal(0, 0.7), -7 + rng.normal(0, 0.7), side * 38), (3.6, 3.2, 3.6))
    head.paint(cochlea < 1, Tissue.COCHLEA)
    sinus = head.level((0, 30, side * 50), (100, 4.5, 4))
    head.paint(sinus < 1, Tissue.VESSEL)
    artery = head.level((0, -14, side * 20), (100, 3, 3))
    head.paint(artery < 1, Tissue.VESSEL)


def _draw_tumour(head: Canvas, side: int) -> None:
    """One tumour at the mouth of the canal, 4 to 13 mm in radius; large ones hold cysts."""
    rng = head.rng
    radius = rng.uniform(4, 13)
    centre = (rng.normal(0, 2), 6 + 0.3 * radius, side * (29 - 0.7 * radius))
    shape = (0.9 * radius, radius, 1.05 * radius)
    tumour = head.level(centre, shape, bumps=0.08)
    free = head.tissue != Tissue.BONE
    head.paint((tumour < 1) & free, Tissue.TUMOUR)
    canal = head.level((centre[0], 1, side * 31), (2.6, 2.4, rng.uniform(3, 8)))
    head.paint(canal < 1, Tissue.TUMOUR)
    if radius > 9:
        head.paint((tumour < 0.8) & (head.field(7) > 1.1) & (head.tissue == Tissue.TUMOUR), Tissue.CYST)


def render_head(tissue: NDArray[np.uint8], rng: np.random.Generator, protocol: Protocol) -> FloatArray:
    """Scan (D, H, W) of a tissue map: contrast of the scan, texture, bias field, Rician noise; arbitrary unit."""
    means = np.asarray(INTENSITIES[protocol.modality]) ** rng.uniform(0.85, 1.2)
    means = means * np.exp(rng.normal(0, 0.05, means.shape))
    image = means[tissue] + 0.03 * smooth_field(rng, protocol.shape, protocol.spacing, 8) * (tissue != Tissue.AIR)
    image = ndimage.gaussian_filter(np.maximum(image, 0), (0.3, 0.5, 0.5))
    bias = np.exp(rng.uniform(0.08, 0.2) * smooth_field(rng, protocol.shape, protocol.spacing, 120))
    real, imaginary = rng.uniform(0.015, 0.035) * rng.standard_normal((2, *protocol.shape))
    return np.asarray(rng.uniform(400, 1500) * np.hypot(image * bias + real, imaginary), np.float32)


def head_labels(tissue: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Labels (`LABELS`) of a tissue map; a tumour's cysts belong to it."""
    label_of = np.zeros(len(Tissue), np.uint8)
    label_of[[Tissue.TUMOUR, Tissue.CYST]] = LABELS["tumour"]
    label_of[Tissue.COCHLEA] = LABELS["cochlea"]
    return label_of[tissue]


HEADS = Phantom("Heads", LABELS, (HEAD["T1"], HEAD["T2"]), draw_head, render_head, head_labels)
