from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from darnet.errors import ConfigurationError
from darnet.training.optimizer import AdaBelief
from darnet.training.state import (
    ExponentialMovingAverage,
    load_module,
    load_optimizer,
    module_tensors,
    optimizer_tensors,
)


def little_network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Conv2d(2, 1, 1))


def train_a_little(network: nn.Module, optimizer: torch.optim.Optimizer, first: int, last: int) -> None:
    for iteration in range(first, last):
        x = torch.from_numpy(np.random.default_rng(iteration).normal(size=(2, 1, 6, 6)).astype(np.float32))
        optimizer.zero_grad()
        network(x).square().mean().backward()
        optimizer.step()


def test_names_of_a_module():
    tensors = module_tensors("net", little_network(0))
    assert set(tensors) == {
        "net.0.weight", "net.0.bias", "net.1.weight", "net.1.bias", "net.1.running_mean", "net.1.running_var",
        "net.1.num_batches_tracked", "net.2.weight", "net.2.bias",
    }  # fmt: skip


def test_module_round_trip_ignores_other_prefixes():
    first, second = little_network(0), little_network(1)
    tensors = {**module_tensors("net", first), **module_tensors("network", little_network(2)), "x": torch.ones(1)}
    load_module("net", second, tensors)
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name])


def test_loaded_weights_are_copies():
    first, second = little_network(0), little_network(1)
    load_module("net", second, module_tensors("net", first))
    with torch.no_grad():
        second[0].weight.zero_()
    assert first[0].weight.abs().max() > 0


@pytest.mark.parametrize("fault", ["missing", "extra", "shape", "empty"])
def test_tensors_that_do_not_fit_are_refused(fault):
    tensors = module_tensors("net", little_network(0))
    if fault == "missing":
        del tensors["net.2.bias"]
    elif fault == "extra":
        tensors["net.9.weight"] = torch.ones(1)
    elif fault == "shape":
        tensors["net.0.weight"] = torch.ones(4, 1, 3, 3)
    else:
        tensors = {}
    network = little_network(1)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ConfigurationError, match="net does not fit the plan") as caught:
        load_module("net", network, tensors)
    assert caught.value.remedy
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize("kind", [AdaBelief, torch.optim.Adam])
def test_resumed_optimizer_goes_on_exactly(kind):
    straight, resumed = little_network(0), little_network(1)
    first, second = kind(straight.parameters(), lr=0.01), kind(resumed.parameters(), lr=0.01)
    train_a_little(straight, first, 0, 7)
    saved = {
        name: t.clone()
        for name, t in {**module_tensors("net", straight), **optimizer_tensors("optimizer", first)}.items()
    }
    train_a_little(straight, first, 7, 10)
    load_module("net", resumed, saved)
    load_optimizer("optimizer", second, saved)
    train_a_little(resumed, second, 7, 10)
    assert all(torch.equal(t, resumed.state_dict()[name]) for name, t in straight.state_dict().items())


def test_optimizer_state_is_flat_tensors():
    network = little_network(0)
    optimizer = AdaBelief(network.parameters())
    assert optimizer_tensors("o", optimizer) == {}
    train_a_little(network, optimizer, 0, 3)
    tensors = optimizer_tensors("o", optimizer)
    assert set(tensors) == {f"o.{i}.{key}" for i in range(6) for key in ("step", "mean", "variance")}
    assert tensors["o.0.step"].item() == 3
    assert all(isinstance(t, torch.Tensor) for t in tensors.values())


def test_loading_keeps_the_groups_of_the_optimizer():
    network = little_network(0)
    old, new = AdaBelief(network.parameters(), lr=0.5), AdaBelief(network.parameters(), lr=0.1, weight_decay=0.2)
    train_a_little(network, old, 0, 1)
    load_optimizer("o", new, optimizer_tensors("o", old))
    assert new.param_groups[0]["lr"] == 0.1
    assert new.param_groups[0]["weight_decay"] == 0.2


def test_average_starts_as_a_copy():
    module, average = little_network(0), little_network(1)
    ema = ExponentialMovingAverage(module, average, 0.999)
    assert torch.equal(average[0].weight, module[0].weight)
    assert not any(p.requires_grad for p in ema.average.parameters())
    assert all(p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("decay", [0.999, 0.3])
def test_average_against_numpy(decay):
    module, average = little_network(0), little_network(1)
    ema = ExponentialMovingAverage(module, average, decay)
    expected = module[0].weight.detach().numpy().astype(float).copy()
    rng = np.random.default_rng(0)
    for iteration in range(30):
        values = rng.normal(size=expected.shape)
        with torch.no_grad():
            module[0].weight.copy_(torch.from_numpy(values))
        ema.update(iteration)
        kept = min(decay, (1 + iteration) / (10 + iteration))
        expected = kept * expected + (1 - kept) * values
        np.testing.assert_allclose(average[0].weight.numpy(), expected, atol=1e-5)


def test_average_settles_on_constant_weights():
    module, average = little_network(0), little_network(0)
    ema = ExponentialMovingAverage(module, average, 0.999)
    with torch.no_grad():
        module[0].weight.fill_(2.0)
    for iteration in range(20):
        ema.update(iteration)
    torch.testing.assert_close(average[0].weight, torch.full_like(average[0].weight, 2.0), rtol=0, atol=1e-3)
