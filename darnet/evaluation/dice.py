"""Dice: how much of two masks overlaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from darnet.errors import DataError


def dice(
    prediction: NDArray[np.generic],
    reference: NDArray[np.generic],
    label: int,
    spacing: Sequence[float] | None = None,
) -> float:
    """Dice of one class, 2 |P and R| / (|P| + |R|).

    Args:
        prediction: Predicted labels, any shape.
        reference: Reference labels, the same shape.
        label: Value of the class.
        spacing: Not used, for Dice does not depend on it; both measures are called alike.

    Returns:
        A number from 0 to 1: 0 where only one of the two has the class, nan (not applicable) where neither has it.

    Raises:
        DataError: The shapes differ.
    """
    require_same_shape(prediction, reference)
    predicted, true = np.asarray(prediction) == label, np.asarray(reference) == label
    total = int(np.count_nonzero(predicted)) + int(np.count_nonzero(true))
    return 2 * int(np.count_nonzero(predicted & true)) / total if total else float("nan")


def require_same_shape(prediction: NDArray[np.generic], reference: NDArray[np.generic]) -> None:
    """Raise a `DataError` where two label arrays differ in shape; NumPy might broadcast them."""
    if np.shape(prediction) != np.shape(reference):
        raise DataError(
            "prediction and reference differ in shape", found=np.shape(prediction), expected=np.shape(reference)
        )
