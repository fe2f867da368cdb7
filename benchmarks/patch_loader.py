"""Patches of 32 x 128 x 128 voxels a second, read from a case store and augmented, in one process: darnet's loader
against the transforms of batchgenerators at the same settings.

    python -m benchmarks.patch_loader

Both sides read the same patches. Settings are those of the plan: rotation in plane, scale, shift, elastic displacement
of half of the patches, flips, contrast, brightness and noise; images are interpolated linearly, labels by the nearest.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
from batchgenerators.transforms.abstract_transforms import Compose
from batchgenerators.transforms.color_transforms import BrightnessTransform, ContrastAugmentationTransform
from batchgenerators.transforms.noise_transforms import GaussianNoiseTransform
from batchgenerators.transforms.spatial_transforms import MirrorTransform, SpatialTransform

from benchmarks.pairs import Row, make_row, run_row, time_pairs, use_threads
from darnet.demo.anatomy import draw_anatomy, organ_labels
from darnet.demo.phantom import draw_style, render
from darnet.imaging import pad_to, patch_box
from darnet.io import CaseRecord, CaseStore
from darnet.plans import SegmentationPlan
from darnet.training.loaders import PatchLoader

PLAN = SegmentationPlan(
    patch_size=(32, 128, 128),
    batch_size=2,
    channels=(16, 32, 64, 128, 256),
    strides=((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)),
    mirror_axes=(0, 1, 2),
)
VOLUME, SPACING = (40, 160, 160), (6.0, 2.0, 2.0)
CASE = "case"
PATCHES = 8  # in each timed run
# Batchgenerators smooths a random field; these are the strength and width that make displacements like darnet's.
ELASTIC = {"alpha": (0.0, 900.0), "sigma": (9.0, 13.0)}


def write_store(folder: Path) -> CaseStore:
    """A case store with one drawn abdomen and its labels."""
    rng = np.random.default_rng(0)
    tissue = draw_anatomy(rng, VOLUME, SPACING)
    scan = render(tissue, "CT", draw_style(rng, "CT"), rng, SPACING)
    labels = organ_labels(tissue)
    d, h, w = VOLUME
    record = CaseRecord(
        case_id=CASE,
        content_hash="0",
        original_shape=(w, h, d),
        affine=((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
        axes=(2, 1, 0),
        flips=(False, False, False),
        spacing=SPACING,
        crop_box=((0, d), (0, h), (0, w)),
        cropped_shape=VOLUME,
        shape=VOLUME,
        body_axes=("S", "P", "L"),
        has_labels=True,
        class_locations={str(k): np.argwhere(labels == k)[::50].tolist() for k in range(1, int(labels.max()) + 1)},
    )
    store = CaseStore(folder)
    store.write(record, np.clip(scan / 200 - 0.2, -1, 1)[None], labels)
    return store


class Batchgenerators:
    """Patches of the same store through the transforms of batchgenerators."""

    def __init__(self, store: CaseStore, plan: SegmentationPlan) -> None:
        self.store, self.plan, self.places = store, plan, PatchLoader(store, store, {CASE: (CASE,)}, plan)
        limit = math.radians(plan.rotation_degrees)
        self.transforms = Compose(
            [
                SpatialTransform(
                    plan.patch_size,
                    **ELASTIC,
                    p_el_per_sample=0.5,
                    angle_x=(-limit, limit),
                    angle_y=(0, 0),
                    angle_z=(0, 0),
                    scale=(1 - plan.scale, 1 + plan.scale),
                    independent_scale_for_each_axis=True,
                    border_mode_data="constant",
                    border_cval_data=-1,
                    order_data=1,
                    random_crop=False,  # a shift is one number more
                ),
                MirrorTransform(plan.mirror_axes),
                ContrastAugmentationTransform((1 - plan.contrast, 1 + plan.contrast)),
                BrightnessTransform(0, plan.contrast / 2 / math.sqrt(3)),
                GaussianNoiseTransform((0, 0.2 * plan.contrast)),
            ]
        )

    def patch(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """One augmented patch: image (1, D, H, W) and labels (D, H, W)."""
        size, shape = self.plan.patch_size, self.store.record(CASE).shape
        box = patch_box(self.places._center(CASE, shape, rng), size, shape)
        image, _ = pad_to(self.store.read_patch(CASE, box), size, -1.0)
        labels, _ = pad_to(self.store.read_patch(CASE, box, labels=True), size, 0)
        out = self.transforms(data=image[None], seg=labels[None, None])
        return out["data"][0].clip(-1, 1), out["seg"][0, 0]


def measure(pairs: int, threads: int) -> Row:
    """The segmentation loader against batchgenerators' transforms."""
    use_threads(1)  # one process of one thread each; a training may start several of either
    with tempfile.TemporaryDirectory() as folder:
        store = write_store(Path(folder))
        sides = (PatchLoader(store, store, {CASE: (CASE,)}, PLAN), Batchgenerators(store, PLAN))

        def load(loader: PatchLoader | Batchgenerators) -> None:
            rng = np.random.default_rng(0)
            for _ in range(PATCHES):
                loader.patch(rng)

        times = time_pairs(lambda: load(sides[0]), lambda: load(sides[1]), pairs)
    rates = [PATCHES / np.median(seconds) for seconds in (times.darnet, times.other)]
    note = f"{rates[0]:.1f} against {rates[1]:.1f} patches a second, with one thread each"
    row = f"{PATCHES} augmented patches of 32 x 128 x 128 from the segmentation loader"
    return make_row(row, "batchgenerators", times, 1 / 3, note=note)


if __name__ == "__main__":
    run_row(measure)
