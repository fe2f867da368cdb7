from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from darnet.losses import l1

BOUNDED = st.floats(-10, 10, width=32)


def test_l1_value():
    assert l1(torch.tensor([[1.0, -2.0]]), torch.tensor([[0.0, 1.0]])).item() == 2.0


@given(hnp.arrays(np.float32, (2, 2, 3), elements=BOUNDED), hnp.arrays(np.float32, (2, 2, 3), elements=BOUNDED))
def test_l1_is_a_symmetric_mean_absolute_difference(a, b):
    found = l1(torch.from_numpy(a), torch.from_numpy(b)).item()
    np.testing.assert_allclose(found, np.abs(a.astype(float) - b).mean(), rtol=1e-5, atol=1e-6)
    assert found == l1(torch.from_numpy(b), torch.from_numpy(a)).item()
    assert l1(torch.from_numpy(a), torch.from_numpy(a)).item() == 0


def test_l1_gradient():
    a = torch.tensor([2.0, -3.0, 5.0, 1.0], requires_grad=True)
    l1(a, torch.tensor([1.0, 1.0, 1.0, 2.0])).backward()
    assert a.grad.tolist() == [0.25, -0.25, 0.25, -0.25]
