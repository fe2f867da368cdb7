"""Layers of 2D networks in NumPy, to compare with."""

from __future__ import annotations

import numpy as np
import torch


def translation_input(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape).astype(np.float32))


def numpy_parts(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: p.detach().numpy().astype(float) for name, p in module.named_parameters()}


def plane_convolution(
    x: np.ndarray, w: dict[str, np.ndarray], name: str, stride: int = 1, padding: int = 0, mode: str = "constant"
) -> np.ndarray:
    weight, bias = w[f"{name}.weight"], w[f"{name}.bias"]
    x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)], mode=mode)
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nihwab,oiab->nohw", windows, weight, optimize=True) + bias[:, None, None]


def instance_normalised(x: np.ndarray) -> np.ndarray:
    return (x - x.mean((2, 3), keepdims=True)) / np.sqrt(x.var((2, 3), keepdims=True) + 1e-5)


def rectified(x: np.ndarray, slope: float = 0.0) -> np.ndarray:
    return np.where(x > 0, x, slope * x)
