"""One training step of the DAR-UNet (forward, losses, backward, optimiser) at the paper's widths on 2 x 32 x 128 x 128
voxels: darnet's arrangement against the paper's word for word.

    python -m benchmarks.training_step
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.operations import dar_unet, distance_from_limit
from benchmarks.pairs import DARNET, OTHER, Row, make_row, peak_memories, run_row, time_pairs, use_threads
from benchmarks.plain_dar_unet import PlainDARUNet, plain_loss
from darnet.losses import segmentation_loss
from darnet.networks import DARUNet
from darnet.training import AdaBelief
from darnet.training.optimizer import finite_step

SHAPE = (2, 1, 32, 128, 128)
CLASSES = 5
CHANNELS = (16, 32, 64, 128, 256)
STRIDES = ((1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2))


def build(side: str) -> torch.nn.Module:
    """The network of a side; both have the same weights."""
    torch.manual_seed(0)
    network = DARUNet(1, CLASSES, CHANNELS, STRIDES)
    if side == DARNET:
        return network.to(memory_format=torch.channels_last_3d)
    plain = PlainDARUNet(CLASSES, CHANNELS, STRIDES)
    plain.load_state_dict(network.state_dict())
    return plain


def batch(shape: tuple[int, ...] = SHAPE) -> tuple[Tensor, Tensor]:
    """Images and labels."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(shape, generator=generator)
    return images, torch.randint(0, CLASSES, (shape[0], *shape[2:]), generator=generator)


def prepare(side: str, threads: int, shape: tuple[int, ...] = SHAPE) -> Callable[[], Tensor]:
    """A function that does one step and gives the loss before it."""
    use_threads(threads)
    network = build(side).train()
    images, labels = batch(shape)
    optimizer = AdaBelief(network.parameters(), lr=5e-4, weight_decay=1e-4)
    if side == DARNET:
        images = images.contiguous(memory_format=torch.channels_last_3d)

    def step() -> Tensor:
        loss = (segmentation_loss if side == DARNET else plain_loss)(network(images), labels)
        finite_step(loss, optimizer)
        return loss.detach()

    return step


def measure(pairs: int, threads: int) -> Row:
    """DAR-UNet's training step against the paper's arrangement."""
    memory = peak_memories(prepare, threads)
    times = time_pairs(prepare(DARNET, threads), prepare(OTHER, threads), pairs)
    note = distance_from_limit(dar_unet(SHAPE, training=True).operations, times, threads)
    return make_row("DAR-UNet training step, 2 x 32 x 128 x 128", "plain", times, 0.5, memory, 0.6, note)


if __name__ == "__main__":
    run_row(measure)
