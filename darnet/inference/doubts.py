"""Whether what a network found in target training scans looks like the labelled anatomy."""

from __future__ import annotations

from pathlib import Path

from darnet.errors import ConfigurationError
from darnet.inference.checkpoints import CHOICE
from darnet.io import read_json, sha256_of

LEAST_PLAUSIBILITY = 0.8


def doubtful_shapes(folder: Path, fold: str, checkpoint: Path) -> str | None:
    """A sentence where a network's shapes are little like those of the source labels, from `choice.json`.

    No target label is read. On phantoms all networks that missed classes lay below `LEAST_PLAUSIBILITY`, and all that
    found them above.

    Args:
        folder: Results of a data set.
        fold: Name of the fold.
        checkpoint: Of the network.

    Returns:
        None where the shapes are alike, or nothing is known of this network.
    """
    try:
        entry = read_json(folder / CHOICE)["folds"][fold]
        compared = {found["checkpoint"]: found["plausibility"] for found in entry["candidates"].values()}
        scans = len(entry["scans"])
    except (ConfigurationError, KeyError, TypeError, AttributeError):
        return None
    found = compared.get(sha256_of(checkpoint))
    if found is None or found >= LEAST_PLAUSIBILITY:
        return None
    return (
        f"doubtful: what fold {fold} found in {scans} target training scans is little like the source labels in "
        f"volume, extent, place or number of pieces ({found:.2f} of 1, expected: at least {LEAST_PLAUSIBILITY}). "
        "Whole classes may be missing or wrong: look at masks (darnet_predict --preview) before you use any. Do target "
        "scans show bright what source scans show dark? Then name both kinds in dataset.json (domains), or set "
        "segmentation.appearance to 1 in plans.json, and train again"
    )
