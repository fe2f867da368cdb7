"""DAR-UNet against nnU-Net's PlainConvUNet as nnU-Net plans it for the same patch: one patch through each.

python -m benchmarks.network_inference
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import torch

from benchmarks.models import plans_of
from benchmarks.nnunet_model import plan_nnunet
from benchmarks.pairs import Row, make_row, run_row, time_pairs
from darnet.networks import build_segmentation

PATCH = (32, 128, 128)
SPACING = (5.0, 2.5, 2.5)
CLASSES = 5


def measure(pairs: int, threads: int) -> Row:
    """Inference of equal patches, so that the ratio is that of the time a voxel."""
    plans = plans_of("paper", CLASSES, SPACING, PATCH)
    torch.manual_seed(0)
    network = build_segmentation(plans.segmentation, CLASSES).eval()
    image = torch.randn(1, 1, *PATCH)

    def darnet() -> None:
        with torch.inference_mode():
            network(image)

    with tempfile.TemporaryDirectory() as folder:
        side = plan_nnunet(Path(folder), PATCH, SPACING, CLASSES, threads)
        with contextlib.closing(side):
            built = side.ask("build", dataset="Dataset001_Random", classes=CLASSES)
            times = time_pairs(darnet, lambda: side.ask("forward"), pairs)
    size = " x ".join(map(str, PATCH))
    own = sum(p.numel() for p in network.parameters())
    return make_row(
        f"DAR-UNet inference a voxel, patch of {size}, preset `paper`",
        f"nnU-Net's {built['class']}",
        times,
        target=0.7,
        note=f"{own / 1e6:.1f} against {built['weights'] / 1e6:.1f} million weights",
    )


if __name__ == "__main__":
    run_row(measure)
