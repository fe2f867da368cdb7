"""The built-in demo: phantoms of two modalities."""

from __future__ import annotations

from darnet.demo.anatomy import LABELS, Tissue, draw_anatomy, organ_labels, smooth_field
from darnet.demo.dataset import SUPERVISED, Protocol, write_demo_dataset
from darnet.demo.phantom import Style, draw_style, render

__all__ = [
    "LABELS",
    "SUPERVISED",
    "Protocol",
    "Style",
    "Tissue",
    "draw_anatomy",
    "draw_style",
    "organ_labels",
    "render",
    "smooth_field",
    "write_demo_dataset",
]
