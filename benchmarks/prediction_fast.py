"""As `prediction`, with the network of the preset `fast`, which is the default without a GPU.

    python -m benchmarks.prediction_fast

These networks are smaller: nnU-Net has no plan that is made for a CPU.
"""

from __future__ import annotations

from benchmarks import prediction
from benchmarks.pairs import Row, run_row


def measure(pairs: int, threads: int) -> Row:
    """Time and memory of the whole command, imports included."""
    return prediction.measure(pairs, threads, "fast")


if __name__ == "__main__":
    run_row(measure)
