"""The rounds of a fold compared on unlabelled target scans, and which of them is chosen."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from darnet.errors import ConfigurationError, ResourceError, is_out_of_memory
from darnet.inference import CHOICE, Predictor, candidates, checkpoint_of, doubtful_shapes, load_network
from darnet.io import CaseStore, only_one, read_json, sha256_of, write_json
from darnet.plans import Plans
from darnet.progress import track
from darnet.selection.criteria import Criteria, agreement, certainty, change_contrast, choose
from darnet.selection.shapes import (
    ShapeReference,
    describe_shapes,
    learn_shapes,
    plausibility,
    usual_plausibility,
)
from darnet.spread import spread

FORM = 2  # of what is kept of a comparison; one of another form is made again


def choose_round(
    plans: Plans,
    results: Path,
    fold: int | str,
    source: CaseStore,
    target: CaseStore,
    device: torch.device,
    quiet: bool = False,
    notice: Callable[[str], None] = warnings.warn,
) -> str:
    """Compare a fold's network before self-training with those of all rounds; writes `choice.json`.

    Where there is no round, one network is judged: prediction wants to know whether its shapes are those of the labels.
    Source labels and unlabelled target scans are all that is read. What was compared before, of the same networks and
    scans, is kept.

    Args:
        plans: The plan.
        results: Results of the data set.
        fold: Which fold.
        source: Store of the labelled source cases.
        target: Store of the target training scans.
        device: Where to compute.
        quiet: No progress bar.
        notice: Gets a sentence while another fold writes, and where the network that prediction takes found shapes
            unlike those of the source labels.

    Returns:
        The chosen one: "segmentation", "round_1", "round_2", ...; the last where memory does not suffice to compare.
    """
    paths = candidates(results, str(fold), plans, notice)
    try:
        chosen = _compared(plans, results, fold, paths, source, target, device, quiet, notice)
    except (ResourceError, RuntimeError, MemoryError) as error:
        if not (isinstance(error, ResourceError) or is_out_of_memory(error)):
            raise
        # What is trained can be predicted with, though nothing is known of its shapes.
        notice(f"the networks of fold {fold} are not judged on target scans, for want of memory: look at masks closely")
        return list(paths)[-1]
    if doubt := doubtful_shapes(results, str(fold), checkpoint_of(results, str(fold), plans, notice=notice), plans):
        notice(doubt)
    return chosen


def _compared(
    plans: Plans,
    results: Path,
    fold: int | str,
    paths: Mapping[str, Path],
    source: CaseStore,
    target: CaseStore,
    device: torch.device,
    quiet: bool,
    notice: Callable[[str], None],
) -> str:
    """The chosen one of several networks, as it was compared before or now."""
    hashes = {name: sha256_of(path) for name, path in paths.items()}
    scans = tuple(spread(target.case_ids(), plans.most_compared))
    origin = _made_from(plans, source, target, scans, hashes)
    # Folds may be trained side by side, and share the file.
    lock = partial(only_one, results / ".choice.lock", "writes the choice of rounds", wait=True, notice=notice)
    with lock():
        known = _folds(results).get(str(fold), {})
    if known.get("made_from") == origin and known.get("chosen") in paths:
        return str(known["chosen"])
    shapes = describe_cases(plans, source, source.case_ids())
    usual = _by_name(plans, usual_plausibility(shapes, _classes(plans)))
    criteria = compare(plans, paths, target, scans, learn_shapes(shapes, _classes(plans)), device, quiet)
    chosen = choose(criteria)
    listed = {name: {"checkpoint": hashes[name], **_rounded(found)} for name, found in criteria.items()}
    values = {"chosen": chosen, "candidates": listed, "usual": usual, "scans": list(scans), "made_from": origin}
    with lock():
        write_json(results / CHOICE, {"folds": {**_folds(results), str(fold): values}})
    return chosen


def compare(
    plans: Plans,
    paths: Mapping[str, Path],
    target: CaseStore,
    scans: tuple[str, ...],
    shapes: ShapeReference,
    device: torch.device,
    quiet: bool = False,
) -> dict[str, Criteria]:
    """Criteria of each candidate on target scans.

    Args:
        plans: The plan.
        paths: Checkpoint of each candidate.
        target: Store of the scans.
        scans: Their names.
        shapes: Of the source labels.
        device: Where to compute.
        quiet: No progress bar.
    """
    labels: dict[str, list[NDArray[np.uint8]]] = {}
    own: dict[str, list[tuple[float, float, dict[int, float]]]] = {}
    for name in paths:
        predictor = Predictor(plans, [load_network(paths[name], plans)], device)
        labels[name], own[name] = [], []
        for number, scan in enumerate(track(scans, f"compare {name}", quiet=quiet)):
            image = target.image(scan)
            probabilities = predictor.probabilities(image)
            found = probabilities.argmax(0).astype(np.uint8)
            again = predictor.probabilities(change_contrast(image, brighter=number % 2 == 0)).argmax(0)
            axes = target.record(scan).body_axes
            described = describe_shapes(found, _classes(plans), plans.preprocessing.spacing, axes)
            stable = agreement(found, again, _classes(plans))
            own[name].append((certainty(probabilities), stable, plausibility(described, shapes)))
            labels[name].append(found)
    return {name: _criteria(plans, name, labels, own[name]) for name in paths}


def describe_cases(plans: Plans, store: CaseStore, cases: Sequence[str]) -> list[dict[int, NDArray[np.float64]]]:
    """Shapes of the classes in the labels of each of the cases; see `describe_shapes`."""
    return [
        describe_shapes(store.labels(c), _classes(plans), plans.preprocessing.spacing, store.record(c).body_axes)
        for c in cases
    ]


def _criteria(
    plans: Plans,
    name: str,
    labels: Mapping[str, list[NDArray[np.uint8]]],
    own: list[tuple[float, float, dict[int, float]]],
) -> Criteria:
    others = [
        agreement(a, b, _classes(plans))
        for other in labels
        if other != name
        for a, b in zip(labels[name], labels[other], strict=True)
    ]
    sure, stable, likely = zip(*own, strict=True)
    classes = {value: _mean([scan[value] for scan in likely]) for value in likely[0]}
    return Criteria(_mean(sure), _mean(stable), _mean(others), _mean(classes.values()), _by_name(plans, classes))


def _mean(values: Any) -> float:
    """Mean of the values that are numbers; of none, nan."""
    known = [value for value in values if math.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _classes(plans: Plans) -> list[int]:
    return list(plans.foreground.values())


def _by_name(plans: Plans, classes: Mapping[int, float]) -> dict[str, float]:
    """Values of classes by their names, rounded."""
    return {name: round(classes[value], 6) for name, value in plans.foreground.items() if value in classes}


def _rounded(found: Criteria) -> dict[str, Any]:
    values = {**dataclasses.asdict(found), "score": found.score}
    shapes = values.pop("shapes")
    return {name: round(value, 6) if math.isfinite(value) else None for name, value in values.items()} | {
        "shapes": shapes
    }


def _folds(results: Path) -> dict[str, Any]:
    """What is known of all folds; nothing where there is no file, or none that can be read."""
    with contextlib.suppress(ConfigurationError, KeyError, TypeError):
        return dict(read_json(results / CHOICE)["folds"])
    return {}


def _made_from(
    plans: Plans, source: CaseStore, target: CaseStore, scans: tuple[str, ...], hashes: Mapping[str, str]
) -> str:
    """Hash of all that a choice depends on."""
    inference = {k: v for k, v in dataclasses.asdict(plans.inference).items() if k != "why"}
    cases = [[store.record(c).content_hash for c in names] for store, names in
             ((source, source.case_ids()), (target, scans))]  # fmt: skip
    return hashlib.sha256(json.dumps([FORM, plans.labels, inference, dict(hashes), cases]).encode()).hexdigest()
