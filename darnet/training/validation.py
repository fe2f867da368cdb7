"""Validation on held-out source volumes. It reads no target label, and chooses nothing: the last weights are kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from darnet.evaluation import dice
from darnet.imaging import sliding_planes
from darnet.io import CaseStore
from darnet.plans import Plans


def validate(
    plans: Plans,
    network: nn.Module,
    images: CaseStore,
    labels: CaseStore,
    variants: Mapping[str, Sequence[str]],
    device: torch.device,
    look: Callable[[str, np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> dict[str, Any]:
    """Dice of each class on each held-out case, one style a case in turn.

    Args:
        plans: The plan.
        network: Trained weights.
        images: Store of the images to segment.
        labels: Store of their labels.
        variants: Held-out case -> names under which `images` holds it.
        device: Where to compute.
        look: Changes how an image looks before it is segmented: case, image (1, D, H, W) and labels (D, H, W) to image.

    Returns:
        {"cases": {case: {"image": name, class: Dice or None}}, "mean": {class: mean over cases that show it}}.
    """
    network.eval()
    cases: dict[str, dict[str, Any]] = {}
    for number, (case, names) in enumerate(sorted(variants.items())):
        name = names[number % len(names)]
        image, reference = images.image(name), labels.labels(case)
        if look is not None:
            image = look(case, image, reference)
        blocks = sliding_planes(
            torch.from_numpy(image).to(device),
            network,
            plans.segmentation.patch_size,
            plans.num_classes,
            step_size=plans.inference.step_size,
            average=plans.inference.average,
        )
        predicted = torch.cat([block.argmax(0) for block in blocks]).cpu().numpy()
        scores = {key: dice(predicted, reference, value) for key, value in plans.foreground.items()}
        cases[case] = {"image": name, **{k: None if np.isnan(v) else round(v, 4) for k, v in scores.items()}}
    mean = {}
    for key in plans.foreground:
        found = [row[key] for row in cases.values() if row[key] is not None]
        mean[key] = round(float(np.mean(found)), 4) if found else None
    return {"cases": cases, "mean": mean}
