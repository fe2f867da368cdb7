"""Random slices and patches out of case stores. Everything is drawn from the generator that is passed in."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from darnet.augmentation import (
    apply_patch_transform,
    apply_slice_transform,
    apply_slice_transform_to_labels,
    sample_patch_transform,
    sample_slice_transform,
)
from darnet.errors import DataError
from darnet.imaging import BACKGROUND, BODY_ABOVE, Box, pad_to, patch_box
from darnet.io import CaseStore
from darnet.plans import SegmentationPlan, TranslationPlan
from darnet.training.device import to_device

MATCHED_GAIN = 0.3  # of the gains of single classes, where their intensities are known, if only roughly


def foreground_fractions(volume: np.ndarray) -> np.ndarray:
    """Fraction (D,) of each slice of (1, D, H, W) that is not background."""
    return (volume[0] > BODY_ABOVE).mean(axis=(1, 2))  # type: ignore[no-any-return]


@dataclass(frozen=True)
class SliceTable:
    """Which slices of a domain are used: case and index along D of each."""

    cases: tuple[str, ...]
    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.cases)


def list_slices(store: CaseStore, minimum_foreground: float) -> SliceTable:
    """All slices of a store with enough foreground.

    Raises:
        DataError: No slice has enough.
    """
    cases: list[str] = []
    indices: list[int] = []
    for case_id in store.case_ids():
        for index in np.flatnonzero(foreground_fractions(store.image(case_id)) >= minimum_foreground):
            cases.append(case_id)
            indices.append(int(index))
    if not cases:
        raise DataError(
            "no slice shows enough foreground",
            where=store.folder,
            expected=f"at least one slice with {minimum_foreground:.0%} above background",
            remedy="look at the scans' intensities; lower synthesis.minimum_foreground in plans.json if they are sound",
        )
    return SliceTable(tuple(cases), tuple(indices))


def fit_slice(image: np.ndarray, size: tuple[int, int], outside: float = BACKGROUND) -> np.ndarray:
    """Centre a slice (H, W) in `size`, cropping it or padding it with `outside`."""
    out = np.full(size, outside, np.float32)
    spans = []
    for have, want in zip(image.shape, size, strict=True):
        n = min(have, want)
        spans.append((slice((have - n) // 2, (have - n) // 2 + n), slice((want - n) // 2, (want - n) // 2 + n)))
    out[spans[0][1], spans[1][1]] = image[spans[0][0], spans[1][0]]
    return out


Corner: TypeAlias = tuple[int, int]


def load_slice(
    store: CaseStore, case_id: str, index: int, size: tuple[int, int], corner: Corner | None = None
) -> np.ndarray:
    """One slice (H, W) of a case, fitted to `size`: about its centre, or from a first row and column on."""
    return fit_slice(store.read_patch(case_id, _plane(store, case_id, index, size, corner))[0, 0], size)


def load_slice_labels(
    store: CaseStore, case_id: str, index: int, size: tuple[int, int], corner: Corner | None = None
) -> np.ndarray:
    """Labels (H, W) of one slice of a case as integers, fitted as `load_slice` does."""
    labels = store.read_patch(case_id, _plane(store, case_id, index, size, corner), labels=True)[0]
    return fit_slice(labels, size, 0.0).astype(np.int64)


def _plane(store: CaseStore, case_id: str, index: int, size: tuple[int, int], corner: Corner | None) -> Box:
    """A whole slice, or what of it lies in a window of `size`."""
    _, height, width = store.record(case_id).shape
    if corner is None:
        return (index, index + 1), (0, height), (0, width)
    (y, x), (h, w) = corner, size
    return (index, index + 1), (y, min(y + h, height)), (x, min(x + w, width))


@dataclass(frozen=True)
class SliceBatch:
    """Augmented slices of one domain.

    Attributes:
        images: (N, 1, H, W) in -1..1.
        cases: Case of each.
        labels: (N, H, W) integers, where they were asked for.
        neighbours: (N, 1, H, W), the plane beside each, moved as it is; where they were asked for.
    """

    images: Tensor
    cases: tuple[str, ...]
    labels: Tensor | None = None
    neighbours: Tensor | None = None

    def to(self, device: torch.device) -> SliceBatch:
        """The same batch on a device."""
        labels, neighbours = (None if t is None else to_device(t, device) for t in (self.labels, self.neighbours))
        return SliceBatch(to_device(self.images, device), self.cases, labels, neighbours)


class SliceLoader:
    """Batches of augmented slices of one domain, or of random windows of them.

    Windows are cut before they are augmented, and mirrored at their edges: where the scans of one domain end within the
    body and those of the other do not, padding would tell them apart.

    Args:
        store: Of the domain's cases.
        table: Which of their slices to take.
        plan: Sizes of slices and windows, batch size and augmentation.
        labels: Give labels too.
        neighbours: Give the next plane too; of a volume's last plane the one before.
    """

    def __init__(
        self,
        store: CaseStore,
        table: SliceTable,
        plan: TranslationPlan,
        labels: bool = False,
        neighbours: bool = False,
    ) -> None:
        self.store, self.table, self.plan = store, table, plan
        self.labels, self.neighbours = labels, neighbours

    def batch(self, rng: np.random.Generator) -> SliceBatch:
        """A random batch."""
        picks = rng.integers(len(self.table), size=self.plan.batch_size)
        cases, indices = ([column[i] for i in picks] for column in (self.table.cases, self.table.indices))
        transform = sample_slice_transform(rng, self.plan, len(picks))
        corners = self._corners(rng, cases)
        mirrored = self.plan.window is not None
        images = apply_slice_transform(self._load(load_slice, cases, indices, corners)[:, None], transform, mirrored)
        labels = neighbours = None
        if self.labels:
            whole = self._load(load_slice_labels, cases, indices, corners)
            labels = apply_slice_transform_to_labels(whole, transform, mirrored)
        if self.neighbours:
            beside = [self._beside(case, index) for case, index in zip(cases, indices, strict=True)]
            whole = self._load(load_slice, cases, beside, corners)[:, None]
            neighbours = apply_slice_transform(whole, transform, mirrored)
        return SliceBatch(images, tuple(cases), labels, neighbours)

    def _corners(self, rng: np.random.Generator, cases: Sequence[str]) -> list[Corner | None]:
        """First row and column of the window of each slice; None for whole slices."""
        if self.plan.window is None:
            return [None] * len(cases)
        room = np.subtract([self.store.record(case).shape[1:] for case in cases], self.plan.window)
        return [(int(y), int(x)) for y, x in rng.integers(np.maximum(room, 0) + 1)]

    def _beside(self, case: str, index: int) -> int:
        depth = self.store.record(case).shape[0]
        return index + 1 if index + 1 < depth else max(index - 1, 0)

    def _load(
        self,
        load: Callable[..., np.ndarray],
        cases: Sequence[str],
        indices: Sequence[int],
        corners: Sequence[Corner | None],
    ) -> Tensor:
        size, places = self.plan.training_size, zip(cases, indices, corners, strict=True)
        return torch.from_numpy(
            np.stack([load(self.store, case, index, size, corner) for case, index, corner in places])
        )


Restyle = Callable[[str, np.ndarray, np.ndarray, np.random.Generator], np.ndarray]
Looking: TypeAlias = tuple[tuple[str, ...], Restyle]  # cases, and what changes how they look


def stack_patches(
    loader: PatchLoader | MixedLoader, batch_size: int, rng: np.random.Generator
) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Images (N, 1, D, H, W), labels (N, D, H, W) and the cases of N patches."""
    images, labels, cases = zip(*(loader.patch(rng) for _ in range(batch_size)), strict=True)
    return torch.stack(images), torch.stack(labels), cases


class PatchLoader:
    """Batches of augmented patches and their labels.

    Args:
        images: Store of the images to learn on.
        labels: Store of the labels; the same store where images are not translated.
        variants: Source case -> names under which `images` holds it, one a style.
        plan: Patch size, batch size and augmentation.
        restyle: Changes how a patch looks before it is augmented: name, image (1, D, H, W), labels (D, H, W) and
            generator to image.
    """

    def __init__(
        self,
        images: CaseStore,
        labels: CaseStore,
        variants: Mapping[str, Sequence[str]],
        plan: SegmentationPlan,
        restyle: Restyle | None = None,
    ) -> None:
        self.images, self.labels, self.plan, self.restyle = images, labels, plan, restyle
        self.variants = {case: tuple(names) for case, names in variants.items()}
        self.cases = tuple(sorted(self.variants))
        if not self.cases:
            raise DataError("there is no case to train on", where=images.folder)
        self._locations = {case: self._read_locations(case) for case in self.cases}

    def _read_locations(self, case: str) -> list[np.ndarray]:
        located = self.labels.record(case).class_locations
        return [np.asarray(points, dtype=np.int64) for points in located.values() if len(points)]

    def _center(self, case: str, shape: tuple[int, int, int], rng: np.random.Generator) -> tuple[int, int, int]:
        """A voxel to centre on: of a random class for `foreground_fraction` of the patches, else anywhere."""
        classes = self._locations[case]
        if classes and rng.random() < self.plan.foreground_fraction:
            points = classes[rng.integers(len(classes))]
            center = points[rng.integers(len(points))]
        else:
            center = np.array([rng.integers(n) for n in shape])
        return int(center[0]), int(center[1]), int(center[2])

    def patch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, str]:
        """One augmented patch: image (1, D, H, W), labels (D, H, W) and its case."""
        case = self.cases[rng.integers(len(self.cases))]
        names = self.variants[case]
        name = names[rng.integers(len(names))]
        shape = self.labels.record(case).shape
        box = patch_box(self._center(case, shape, rng), self.plan.patch_size, shape)
        image, _ = pad_to(self.images.read_patch(name, box), self.plan.patch_size, BACKGROUND)
        labels, _ = pad_to(self.labels.read_patch(case, box, labels=True), self.plan.patch_size, 0)
        if self.restyle is not None:
            image = self.restyle(name, image, labels, rng)
        transform = sample_patch_transform(rng, self.plan)
        moved, picked = apply_patch_transform(
            torch.from_numpy(image), torch.from_numpy(labels.astype(np.int64)), transform
        )
        return moved, picked, name

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, tuple[str, ...]]:
        """Images (N, 1, D, H, W), labels (N, D, H, W) and the cases they come from."""
        return stack_patches(self, self.plan.batch_size, rng)


def labelled_patches(
    images: CaseStore,
    labels: CaseStore,
    variants: Mapping[str, Sequence[str]],
    plan: SegmentationPlan,
    restyle: Restyle | None = None,
    expected: Looking | None = None,
) -> PatchLoader | MixedLoader:
    """Patches of translated source volumes and, where the plan says so, of the source volumes as they are.

    A part of the latter looks as target scans are expected to, where that is known.

    Args:
        images: Store of the translated volumes.
        labels: Store of the source volumes and their labels.
        variants: Source case -> names under which `images` holds it.
        plan: Patches, augmentation and share of each.
        restyle: Changes how patches of the source volumes look; see `PatchLoader`.
        expected: Cases that can be shown as target scans are expected to look, and what shows them so.
    """
    translated = PatchLoader(images, labels, variants, plan)
    if not plan.source_share:
        return translated
    own = {case: (case,) for case in variants}
    untranslated: PatchLoader | MixedLoader = PatchLoader(labels, labels, own, plan, restyle)
    if expected is not None and (share := plan.expected_appearance):
        cases, show = expected
        as_target = as_scanned(plan, MATCHED_GAIN * plan.class_gain)
        looking = PatchLoader(labels, labels, {case: own[case] for case in cases}, as_target, show)
        untranslated = MixedLoader((untranslated, looking), (1.0 - share, share))
    return MixedLoader((translated, untranslated), (1.0 - plan.source_share, plan.source_share))


def as_scanned(plan: SegmentationPlan, class_gain: float) -> SegmentationPlan:
    """Augmentation of patches that look like target scans already: no made-up contrasts.

    The borders of pseudo-labels are not those of organs, so gains of single classes would draw false ones there.
    """
    return dataclasses.replace(plan, appearance=0.0, random_convolution=0.0, class_gain=class_gain)


class MixedLoader:
    """Batches whose patches come from several loaders.

    Args:
        loaders: At least one.
        shares: Chance of each; they sum to 1.
    """

    def __init__(self, loaders: Sequence[PatchLoader | MixedLoader], shares: Sequence[float]) -> None:
        self.loaders, self.shares = tuple(loaders), tuple(shares)
        self.plan: SegmentationPlan = self.loaders[0].plan

    def patch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, str]:
        """See `PatchLoader`."""
        return self.loaders[rng.choice(len(self.loaders), p=self.shares)].patch(rng)

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, tuple[str, ...]]:
        """See `PatchLoader`."""
        return stack_patches(self, self.plan.batch_size, rng)
