"""Labels of target scans from a network's own predictions: only where it is sure."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from darnet.imaging import AIR, keep_in_place, keep_largest
from darnet.inference import Predictor
from darnet.io import CaseStore
from darnet.plans import Place, Plans
from darnet.preprocessing import locate_classes
from darnet.progress import track

UNKNOWN = 255  # as a label: the class is not known
UNLIKELY = 0.05  # chance from which so few scans with a class are put down to it, not to the teacher
LEAST_SHARE = 0.1  # of the fewest voxels that a class has in any source scan: fewer are not believed


def choose_voxels(
    probabilities: NDArray[np.float32],
    kept: float,
    likely: NDArray[np.bool_] | None = None,
    least: Mapping[int, int] | None = None,
    body: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """Labels of the voxels that a network is surest of (class-balanced self-training, Zou et al. 2018).

    Of background, as many voxels are not known as of all other classes together. A share of background, which is most
    of a scan, would be the whole surroundings of the organs, and nothing would keep them from growing. Where classes
    fill the body, half of the background within it stays known.

    Args:
        probabilities: (K, D, H, W).
        kept: Share of each predicted class's likely voxels that keep their label: those of the highest probability.
        likely: (D, H, W) False for voxels that are not known, however sure the network is; None for none of them.
        least: Voxels that a label must have to be believed; where it has fewer they are not known.
        body: (D, H, W) where the body is; None for everywhere.

    Returns:
        (D, H, W) labels, `UNKNOWN` where the network is less sure.
    """
    labels: NDArray[np.uint8] = probabilities.argmax(0).astype(np.uint8)
    certainty = probabilities.max(0)
    background = labels == 0 if body is None else (labels == 0) & body
    if likely is not None:
        labels[~likely] = UNKNOWN
    unknown = 0
    for label in range(1, len(probabilities)):
        unknown += _forget(labels, certainty, label, round((1.0 - kept) * int((labels == label).sum())))
    _forget(labels, certainty, 0, min(unknown, int(background.sum()) // 2))
    for label, count in (least or {}).items():
        own = labels == label
        if own.sum() < count:
            labels[own] = UNKNOWN
    return labels


def likely_pieces(
    probabilities: NDArray[np.float32],
    largest: Sequence[int],
    places: Mapping[int, Place],
    affine: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """All voxels but those of a class that is one piece which lie in another piece of it.

    Args:
        probabilities: (K, D, H, W).
        largest: Labels that are one piece: that of the largest summed probability.
        places: Of other labels that are one piece: the one that fits best.
        affine: (4, 4) from (d, h, w) to mm in R, A, S.

    Returns:
        (D, H, W).
    """
    predicted = probabilities.argmax(0).astype(np.uint8)
    kept = keep_in_place(keep_largest(predicted, largest, probabilities.max(0)), affine, places)
    return np.asarray(kept == predicted)


def fewest_voxels(plans: Plans, source: CaseStore) -> dict[int, int]:
    """Voxels that each label must have in a target scan to be believed: `LEAST_SHARE` of the fewest in a source scan.

    A teacher finds a handful of false voxels of a class in many scans that do not show it.
    """
    fewest = {}
    for name, value in plans.foreground.items():
        counts = [source.record(case).class_voxels.get(name, 0) for case in source.case_ids()]
        fewest[value] = math.ceil(LEAST_SHARE * min((count for count in counts if count), default=0))
    return fewest


def _forget(labels: NDArray[np.uint8], certainty: NDArray[np.float32], label: int, count: int) -> int:
    """Make the `count` least certain voxels of a label unknown; returns how many there were.

    Those as certain as the first that is kept are kept too.
    """
    own = labels == label
    values = certainty[own]
    if count < len(values):
        own &= certainty < np.partition(values, count)[count]
    labels[own] = UNKNOWN
    return int(own.sum())


def label_targets(
    plans: Plans,
    teacher: Predictor,
    origin: str,
    source: CaseStore,
    target: CaseStore,
    store: CaseStore,
    quiet: bool = False,
) -> dict[str, tuple[str, ...]]:
    """Label target training scans, case by case, as many as the plan allows; what is there already is kept, and labels
    of other scans are removed.

    Args:
        plans: The plan.
        teacher: Predicts on the planned grid.
        origin: Hash of the teacher; labels of another one are made again.
        source: Store of the labelled source scans.
        target: Store of the target training scans.
        store: Store to fill: the same images, with labels.
        quiet: No progress bar.

    Returns:
        Target case -> its one name in `store`.
    """
    plan, least = plans.self_training, fewest_voxels(plans, source)
    cases = plans.some_of(target.case_ids())
    for case_id in track(cases, "pseudo-labels", quiet=quiet):
        record = target.record(case_id)
        settings = f"{plan.kept} {sorted(least.items())} {dataclasses.replace(plans.inference, why={})}"
        made_from = f"{origin} {record.content_hash} {settings}"
        content_hash = hashlib.sha256(made_from.encode()).hexdigest()
        if store.has(case_id, content_hash):
            continue
        image = target.image(case_id)
        body = image[0] > AIR
        probabilities = teacher.probabilities(image)
        likely = likely_pieces(probabilities, plans.kept_largest, plans.places, record.stored_affine)
        labels = choose_voxels(probabilities, plan.kept, likely, least, body)
        voxels, locations = locate_classes(labels, plans.foreground)
        made = dataclasses.replace(
            record, content_hash=content_hash, has_labels=True, class_voxels=voxels, class_locations=locations
        )
        store.write(made, image, labels)
    for case_id in set(store.case_ids()) - set(cases):
        store.remove(case_id)
    return {case_id: (case_id,) for case_id in cases}


def missing_classes(plans: Plans, source: CaseStore, store: CaseStore) -> list[str]:
    """Classes that far fewer scans show in `store` than in the source: a network trained on it would forget them.

    Far fewer is less than half, as shares of all scans, and so few that less than `UNLIKELY` of draws from scans
    like those of the source show no more: a lesion that some patients have may well be in none of a few.
    """
    from scipy.special import bdtr

    def shown(cases: CaseStore, name: str) -> list[bool]:
        return [cases.record(case).class_voxels.get(name, 0) > 0 for case in cases.case_ids()]

    missing = []
    for name in plans.foreground:
        there, expected = shown(store, name), float(np.mean(shown(source, name) or [False]))
        if sum(there) < 0.5 * expected * len(there) and bdtr(sum(there), len(there), expected) < UNLIKELY:
            missing.append(name)
    return missing
