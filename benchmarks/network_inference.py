"""DAR-UNet at the widths of the preset `paper` against nnU-Net's PlainConvUNet as nnU-Net plans it for the same patch.

python -m benchmarks.network_inference
"""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

import torch

from benchmarks.models import plans_of
from benchmarks.nnunet_model import plan_nnunet
from benchmarks.operations import cost
from benchmarks.pairs import Row, make_row, run_row, time_pairs
from darnet.allocator import freed_memory_kept
from darnet.networks import build_segmentation

PATCH = (32, 128, 128)
SPACING = (5.0, 2.5, 2.5)
CLASSES = 5
PATCHES = 2  # darnet predicts two at a time, nnU-Net one after the other


def measure(pairs: int, threads: int, preset: str = "paper") -> Row:
    """Inference of equal patches, so that the ratio is that of the time a voxel."""
    plans = plans_of(preset, CLASSES, SPACING, PATCH)
    torch.manual_seed(0)
    network = build_segmentation(plans.segmentation, CLASSES).eval()
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
    images = torch.randn(PATCHES, 1, *PATCH)

    def darnet() -> None:
        with torch.inference_mode():
            network(images)

    with tempfile.TemporaryDirectory() as folder:
        side = plan_nnunet(Path(folder), PATCH, SPACING, CLASSES, threads)
        with contextlib.closing(side):
            built = side.ask("build", dataset="Dataset001_Random", classes=CLASSES)

            def nnunet() -> None:
                for _ in range(PATCHES):
                    side.ask("forward")

            with freed_memory_kept():  # as in prediction
                times = time_pairs(darnet, nnunet, pairs)
    weights = sum(p.numel() for p in network.parameters())
    # With gradients, since the count does not know oneDNN's own call for single samples.
    operations = cost(lambda: network(images), images.numel()).operations / PATCHES
    sizes = (operations / 1e9, built["operations"] / 1e9, weights / 1e6, built["weights"] / 1e6)
    return make_row(
        f"DAR-UNet inference, {PATCHES} patches of {' x '.join(map(str, PATCH))}, preset `{preset}`",
        f"nnU-Net's {built['class']}",
        times,
        target=0.7,
        note="{:.0f} against {:.0f} GFLOP a patch, {:.1f} against {:.1f} million weights".format(*sizes),
    )


if __name__ == "__main__":
    run_row(measure)
