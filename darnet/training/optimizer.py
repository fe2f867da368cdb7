"""AdaBelief (Zhuang et al. 2020), rectified and with decoupled weight decay; learning rates over the iterations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

ADAPTIVE_FROM = 5.0  # length of the approximated average from which its variance is taken as known (RAdam)


class AdaBelief(torch.optim.Optimizer):
    """AdaBelief.

    m_t = b1 m + (1 - b1) g;  s_t = b2 s + (1 - b2) (g - m_t)^2 + eps. The step is the rectified m / (sqrt(s) + eps)
    of RAdam; while the variance cannot be estimated yet, a plain momentum step. Weights first shrink by
    lr * weight_decay (decoupled).

    Args:
        params: Parameters or groups.
        lr: Learning rate.
        betas: Decay of both averages.
        eps: Added to s at each step and to its root.
        weight_decay: Decoupled weight decay.
    """

    def __init__(
        self,
        params: Iterable[nn.Parameter],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-16,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Update all parameters that have a gradient."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            by_step: dict[int, list[nn.Parameter]] = {}
            for p in parameters:
                state = self.state[p]
                if not state:
                    state["step"] = 0.0
                    state["mean"] = torch.zeros_like(p)
                    state["variance"] = torch.zeros_like(p)
                state["step"] += 1.0
                by_step.setdefault(int(state["step"]), []).append(p)
            for step, members in by_step.items():
                self._update(members, step, group)

    def _update(self, members: list[nn.Parameter], step: int, group: dict[str, Any]) -> None:
        beta_1, beta_2 = group["betas"]
        parameters: list[Tensor] = list(members)
        gradients: list[Tensor] = [p.grad for p in parameters if p.grad is not None]
        means = [self.state[p]["mean"] for p in parameters]
        variances = [self.state[p]["variance"] for p in parameters]
        if group["weight_decay"]:
            torch._foreach_mul_(parameters, 1.0 - group["lr"] * group["weight_decay"])
        torch._foreach_lerp_(means, gradients, 1.0 - beta_1)
        residuals = torch._foreach_sub(gradients, means)
        torch._foreach_mul_(variances, beta_2)
        torch._foreach_addcmul_(variances, residuals, residuals, 1.0 - beta_2)
        torch._foreach_add_(variances, group["eps"])
        rate = group["lr"] / (1.0 - beta_1**step)
        factor = rectification(step, beta_2)
        if factor is None:
            torch._foreach_add_(parameters, means, alpha=-rate)
            return
        roots = torch._foreach_sqrt(variances)
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_addcdiv_(parameters, means, roots, -rate * factor)


def finite_step(loss: Tensor, optimizer: torch.optim.Optimizer) -> bool:
    """Update an optimizer's parameters by the gradient of a loss, unless either is not finite; tells whether it did."""
    if not bool(torch.isfinite(loss)):
        return False
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norms = torch.stack(torch._foreach_norm(gradients)) if gradients else loss
    if not bool(torch.isfinite(norms).all()):
        optimizer.zero_grad(set_to_none=True)
        return False
    optimizer.step()
    return True


def rectification(step: int, beta_2: float) -> float | None:
    """RAdam's factor for step 1, 2, ..., with the bias correction of the second average; None while too early."""
    longest = 2.0 / (1.0 - beta_2) - 1.0
    decay = beta_2**step
    length = longest - 2.0 * step * decay / (1.0 - decay)
    if length < ADAPTIVE_FROM:
        return None
    ratio = (length - 4) / (longest - 4) * (length - 2) / length * longest / (longest - 2)
    return math.sqrt((1.0 - decay) * ratio)


def cosine_learning_rate(iteration: int, iterations: int, initial: float, final: float) -> float:
    """Cosine from `initial` at iteration 0 to `final` at `iterations`."""
    return final + 0.5 * (initial - final) * (1.0 + math.cos(math.pi * min(iteration / iterations, 1.0)))


def linear_learning_rate(iteration: int, iterations: int, initial: float) -> float:
    """`initial` for the first half of the iterations, then a straight line that would be 0 after the last one."""
    second = iterations - iterations // 2
    return initial * min((iterations - iteration) / second, 1.0)
