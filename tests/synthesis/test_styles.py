from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from darnet.io import CaseStore
from darnet.plans import TranslationPlan
from darnet.synthesis import encode_styles
from darnet.training.loaders import SliceTable
from tests.cases import write_case

PLAN = TranslationPlan(slice_size=(112, 144), width=4)
SHAPES = {"heart": (70, 84), "chest": (101, 160), "same": (70, 84)}
TABLE = SliceTable(("chest", "heart", "heart", "same", "same", "same"), (0, 0, 1, 0, 1, 2))


class MeanStyle:
    """The mean of a slice is its code; remembers the shapes that it saw."""

    def __init__(self):
        self.shapes = []

    def style(self, batch, domain):
        assert domain == "target"
        self.shapes.append(tuple(batch.shape))
        return batch.mean(dim=(1, 2, 3))[:, None]


@pytest.mark.parametrize(
    ("window", "shapes"),
    [
        (None, [(4, 1, 112, 144), (2, 1, 112, 144)]),
        # Padded to a window, cut to a slice, and no further.
        ((80, 72), [(1, 1, 101, 144), (4, 1, 80, 84), (1, 1, 80, 84)]),
    ],
)
def test_slices_are_padded_as_far_as_in_training(tmp_path, window, shapes):
    store = CaseStore(tmp_path / "store")
    for n, (case, shape) in enumerate(SHAPES.items()):
        values = np.stack([np.full(shape, 0.1 * n + 0.05 * plane) for plane in range(3)])
        write_case(store, case, values[None], np.zeros((3, *shape), np.uint8))
    plan, translator = dataclasses.replace(PLAN, window=window), MeanStyle()
    codes = encode_styles(translator, store, TABLE, plan, 4, torch.device("cpu"))
    assert translator.shapes == shapes
    expected = []
    for case, plane in zip(TABLE.cases, TABLE.indices, strict=True):
        fitted = (112, 144) if window is None else tuple(np.clip(SHAPES[case], window, (112, 144)))
        value = 0.1 * list(SHAPES).index(case) + 0.05 * plane
        shown = np.prod(np.minimum(SHAPES[case], fitted)) / np.prod(fitted)
        expected.append(value * shown - (1 - shown))
    np.testing.assert_allclose(codes[:, 0], expected, atol=2e-3)
