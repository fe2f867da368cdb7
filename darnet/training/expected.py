"""How long training will take on this machine: a few iterations of each stage, timed and scaled to the plan."""

from __future__ import annotations

import dataclasses
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from darnet.imaging.sliding_window import window_starts
from darnet.io import CaseStore
from darnet.plans import Plans, SegmentationPlan
from darnet.training.loaders import PatchLoader, SliceTable, foreground_fractions
from darnet.training.loop import TrainingStep
from darnet.training.other_work import cores_of_others, this_moment
from darnet.training.segmentation import SegmentationStep
from darnet.training.translators import translation_step

STAGE = "timing"
# A CPU times no more in one iteration. From there on its time grows with the voxels; smaller ones have fixed costs too.
MOST_VOXELS = 250_000
MOST_PIXELS = 70_000
LEAST_TIMED, MOST_TIMED = 2, 3  # iterations of a stage that are timed: beside other work a single one may stall
SECONDS = 3.0  # from which on no more than the least are timed
FORWARD = 1 / 3  # share of an iteration of the DAR-UNet that a prediction takes; the rest is the way back
# An iteration of the translator encodes and decodes each slice so many times, the way back and the discriminators
# included.
PASSES = 35


@dataclass(frozen=True)
class ExpectedTime:
    """Seconds of training on the device that was timed.

    Attributes:
        translation: Of the translator, once a data set.
        segmentation: Of one fold.
        self_training: Of all rounds of one fold.
        between: Of what comes between: translated volumes, validations, pseudo-labels, the comparison of rounds.
        others: Cores that other programs kept busy meanwhile, which makes all of it slower.
    """

    translation: float
    segmentation: float
    self_training: float
    between: float = 0.0
    others: float = 0.0

    @property
    def fold(self) -> float:
        """Translator and one fold together."""
        return self.translation + self.segmentation + self.self_training + self.between


def measure_time(plans: Plans, source: CaseStore, target: CaseStore, device: torch.device) -> ExpectedTime:
    """Time a few iterations of either network on preprocessed scans; what comes between is reckoned from them.

    Args:
        plans: The plan.
        source: Store of labelled source scans.
        target: Store of target scans.
        device: Where training will be.

    Raises:
        DarnetError: A stored case cannot be read.
        torch.OutOfMemoryError: An iteration does not fit the device.
    """
    before = this_moment()
    slices = plans.translation
    if device.type != "cuda" and math.prod(slices.training_size) * slices.batch_size > MOST_PIXELS:
        slices = dataclasses.replace(slices, batch_size=1)
    batch = 0.0  # of the translator, where the plan has one trained
    if plans.translates:
        first = [(store, _first_slices(store)) for store in (source, target)]
        batch = _seconds(translation_step(slices, plans.num_classes, first[0], first[1], device, plans.seed))
    whole = plans.segmentation
    small = whole if device.type == "cuda" else smaller_patch(whole)
    case = source.case_ids()[0]
    patches = PatchLoader(source, source, {case: (case,)}, small)
    share = math.prod(small.patch_size) * small.batch_size / (math.prod(whole.patch_size) * whole.batch_size)
    step = _seconds(SegmentationStep(small, plans.num_classes, patches, device, plans.seed, STAGE)) / share
    rounds = plans.self_training.rounds * plans.self_training.iterations
    return ExpectedTime(
        translation=batch * plans.translation.batch_size / slices.batch_size * plans.translation.iterations,
        segmentation=step * whole.iterations,
        self_training=step * rounds,
        between=_translating(plans, source, batch / slices.batch_size)
        + _segmenting(plans, source, target, FORWARD * step / whole.batch_size),
        others=cores_of_others(before, this_moment()),
    )


def _translating(plans: Plans, source: CaseStore, slice_seconds: float) -> float:
    """Seconds of translating all source volumes, from those of a slice in an iteration of the translator."""
    styles = plans.styles_of_cases(source.case_ids())
    voxels = sum((1 + len(own)) / PASSES * math.prod(source.record(case).shape) for case, own in styles.items())
    return slice_seconds * voxels / math.prod(plans.translation.training_size)


def _segmenting(plans: Plans, source: CaseStore, target: CaseStore, window_seconds: float) -> float:
    """Seconds of all predictions of one fold's training, from those of a window."""

    def windows(store: CaseStore, cases: Sequence[str]) -> int:
        sizes = [zip(store.record(case).shape, plans.segmentation.patch_size, strict=True) for case in cases]
        step = plans.inference.step_size
        return sum(math.prod(len(window_starts(max(n, p), p, step)) for n, p in size) for size in sizes)

    rounds, scans = plans.self_training.rounds, plans.some_of(target.case_ids())
    held_out = source.case_ids()[:: plans.segmentation.folds]
    total = (1 + rounds) * windows(source, plans.some_of(held_out)) + rounds * windows(target, scans)
    total += 2 * (1 + rounds) * windows(target, target.case_ids()[: plans.most_compared])
    return window_seconds * total


def smaller_patch(plan: SegmentationPlan) -> SegmentationPlan:
    """The plan itself, or where a batch has more than `MOST_VOXELS` one patch an iteration, halved in plane until it
    has no more, as far as the strides allow."""
    depth, *plane = plan.patch_size
    if depth * math.prod(plane) * plan.batch_size <= MOST_VOXELS:
        return plan
    divisors = [math.prod(stride[axis] for stride in plan.strides) for axis in (1, 2)]
    while depth * math.prod(plane) > MOST_VOXELS:
        halves = [n // 2 // d * d for n, d in zip(plane, divisors, strict=True)]
        if not all(halves):
            break
        plane = halves
    return dataclasses.replace(plan, patch_size=(depth, plane[0], plane[1]), batch_size=1)


def memory_here(device: torch.device) -> float | None:
    """Memory of the device in GB of 2^30 bytes; None where the system does not tell."""
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory) / 2**30
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    except (AttributeError, ValueError, OSError):
        return None


def _first_slices(store: CaseStore) -> SliceTable:
    """The fuller half of the first case's slices."""
    case = store.case_ids()[0]
    fractions = foreground_fractions(store.image(case))
    indices = np.argsort(fractions)[len(fractions) // 2 :]
    return SliceTable((case,) * len(indices), tuple(int(i) for i in indices))


def _seconds(step: TrainingStep) -> float:
    """Time of the quickest of a few iterations after the first: what else runs on the machine only makes them slower.

    Losses are read, so a GPU has finished too.
    """
    step.update(0)
    times: list[float] = []
    while len(times) < LEAST_TIMED or (len(times) < MOST_TIMED and sum(times) < SECONDS):
        start = time.perf_counter()
        step.update(1 + len(times))
        times.append(time.perf_counter() - start)
    return min(times)
