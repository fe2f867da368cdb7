"""Whether what a network found in target training scans looks like the labelled anatomy."""

from __future__ import annotations

from pathlib import Path

from darnet.errors import ConfigurationError
from darnet.inference.checkpoints import CHOICE
from darnet.io import read_json, sha256_of

LEAST_SHARE = 0.75  # of the plausibility that a class of a source case has among the others


def doubtful_shapes(folder: Path, fold: str, checkpoint: Path) -> str | None:
    """A sentence where a network's classes are little like those of the source labels, from `choice.json`.

    No target label is read. How much a class must be like the labels follows from how much these are like each other.

    Args:
        folder: Results of a data set.
        fold: Name of the fold.
        checkpoint: Of the network.

    Returns:
        None where the shapes are alike, or nothing is known of this network.
    """
    try:
        entry = read_json(folder / CHOICE)["folds"][fold]
        compared = {found["checkpoint"]: found["shapes"] for found in entry["candidates"].values()}
        shapes = compared.get(sha256_of(checkpoint), {})
        least = {name: LEAST_SHARE * usual for name, usual in entry["usual"].items()}
        odd = [
            f"{name} {shapes[name]:.2f} (at least {least[name]:.2f})"
            for name in shapes
            if shapes[name] < least.get(name, 0.0)
        ]
        scans = len(entry["scans"])
    except (ConfigurationError, KeyError, TypeError, AttributeError):
        return None
    if not odd:
        return None
    return (
        f"doubtful: what fold {fold} found in {scans} target training scans is little like the source labels in "
        f"volume, extent, place or number of pieces. Found, of 1, and expected: {', '.join(odd)}. These classes may be "
        "missing or wrong: look at masks (darnet_predict --preview) before you use any. Do target scans show bright "
        "what source scans show dark? Then name both kinds in dataset.json (domains), or set segmentation.appearance "
        "to 1 in plans.json, and train again"
    )
