"""As `network_inference`, at the widths of the preset `fast`, which is the default without a GPU.

python -m benchmarks.network_inference_fast
"""

from __future__ import annotations

from benchmarks import network_inference
from benchmarks.pairs import Row, run_row


def measure(pairs: int, threads: int) -> Row:
    """Inference of equal patches, so that the ratio is that of the time a voxel."""
    return network_inference.measure(pairs, threads, "fast")


if __name__ == "__main__":
    run_row(measure)
