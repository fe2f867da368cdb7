"""Predicted against measured memory of a DAR-UNet training step on the CPU.

    python benchmarks/memory.py

Each row runs in a process of its own, so that peaks do not mix.
"""

from __future__ import annotations

import multiprocessing
import resource

CASES = (
    # patch, first width, strides of the first two levels, classes
    ((16, 64, 64), 16, (1, 2, 2), 5),
    ((16, 96, 96), 16, (1, 2, 2), 5),
    ((32, 96, 96), 16, (1, 2, 2), 5),
    ((16, 96, 96), 8, (1, 2, 2), 5),
    ((32, 64, 64), 16, (2, 2, 2), 5),
    ((16, 64, 64), 8, (1, 2, 2), 16),
    ((16, 48, 48), 8, (1, 2, 2), 60),
)
BATCH_SIZE = 2


def measure(case: tuple[tuple[int, int, int], int, tuple[int, int, int], int]) -> tuple[float, float]:
    """Measured and predicted bytes of one training step."""
    import torch

    from darnet.losses import segmentation_loss
    from darnet.networks import DARUNet
    from darnet.planning import predict_memory
    from darnet.training import AdaBelief

    patch, width, first, classes = case
    channels = tuple(width * 2**level for level in range(5))
    strides = (first, first, (2, 2, 2), (2, 2, 2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    network = DARUNet(1, classes, channels=channels, strides=strides)
    network = network.to(memory_format=torch.channels_last_3d)
    optimizer = AdaBelief(network.parameters(), lr=1e-3)
    images = torch.randn(BATCH_SIZE, 1, *patch).contiguous(memory_format=torch.channels_last_3d)
    labels = torch.randint(0, classes, (BATCH_SIZE, *patch))
    for _ in range(2):
        loss = segmentation_loss(network(images), labels, 10.0, 2.0)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return (peak - before) * 1024.0, predict_memory(patch, BATCH_SIZE, channels, strides, num_classes=classes)


def main() -> None:
    """Print a table."""
    print(
        f"{'patch':>14} {'width':>6} {'first stride':>14} {'measured GB':>12} {'predicted GB':>13} {'ratio':>6} classes"
    )
    for case in CASES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            measured, predicted = pool.apply(measure, (case,))
        patch, width, first, classes = case
        size, stride = "x".join(map(str, patch)), "x".join(map(str, first))
        print(
            f"{size:>14} {width:>6} {stride:>14} {measured / 2**30:12.2f} {predicted / 2**30:13.2f} "
            f"{predicted / measured:6.2f} {classes:>7}"
        )


if __name__ == "__main__":
    main()
