"""Networks and optimizers as flat dictionaries of tensors, as checkpoints hold them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from darnet.errors import ConfigurationError


def module_tensors(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers under `prefix.`."""
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}


def load_module(prefix: str, module: nn.Module, tensors: Mapping[str, Tensor], assign: bool = False) -> None:
    """Put tensors of `prefix.` into a module.

    Args:
        prefix: Of the names.
        module: Is filled.
        tensors: Named tensors.
        assign: Take the tensors themselves instead of their values; a module without memory needs it.

    Raises:
        ConfigurationError: Names or shapes do not fit the module.
    """
    own = {name[len(prefix) + 1 :]: t for name, t in tensors.items() if name.startswith(prefix + ".")}
    wanted = module.state_dict()
    wrong = sorted(set(own) ^ set(wanted)) + [n for n in wanted if n in own and own[n].shape != wanted[n].shape]
    if wrong:
        raise ConfigurationError(
            f"the checkpoint's {prefix} does not fit the plan",
            found=f"{len(wrong)} tensors that differ, first {wrong[0]}",
            remedy="use the plan that the checkpoint was trained with, or train again",
        )
    module.load_state_dict({name: t.to(wanted[name].dtype) for name, t in own.items()}, assign=assign)


def optimizer_tensors(prefix: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State of an optimizer under `prefix.`, one tensor for each parameter's entry."""
    state = optimizer.state_dict()["state"]
    return {
        f"{prefix}.{index}.{key}": value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)
        for index, entries in state.items()
        for key, value in entries.items()
    }


def load_optimizer(prefix: str, optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put tensors of `prefix.` back into an optimizer over the same parameters.

    They get the memory layout of their parameters, as in a new optimizer, so that a run gone on with computes exactly
    as one that was not interrupted.
    """
    state: dict[int, dict[str, Tensor | float]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix + "."):
            index, key = name[len(prefix) + 1 :].split(".", 1)
            scalar = tensor.dtype == torch.float64 and tensor.ndim == 0
            state.setdefault(int(index), {})[key] = tensor.item() if scalar else tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    for parameter, entries in optimizer.state.items():
        for key, value in entries.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                entries[key] = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


class ExponentialMovingAverage:
    """Moving average of a module's weights, copied from the initialised ones (row 10 of the method).

    The decay grows from 0.1 to `decay` over the first iterations so that short runs forget their start.
    """

    def __init__(self, module: nn.Module, average: nn.Module, decay: float) -> None:
        self.decay = decay
        self.module, self.average = module, average
        self.average.load_state_dict(module.state_dict())
        self.average.requires_grad_(False)

    @torch.no_grad()
    def update(self, iteration: int) -> None:
        """Take in the weights after iteration `iteration`, counted from 0."""
        decay = min(self.decay, (1 + iteration) / (10 + iteration))
        torch._foreach_lerp_(list(self.average.parameters()), list(self.module.parameters()), 1 - decay)
