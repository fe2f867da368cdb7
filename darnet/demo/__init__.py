"""The built-in demo: phantoms of two modalities, and the whole way on them."""

from __future__ import annotations

from darnet.demo.anatomy import LABELS, Tissue, draw_anatomy, organ_labels, smooth_field
from darnet.demo.dataset import SUPERVISED, Protocol, write_demo_dataset
from darnet.demo.phantom import Style, draw_style, render
from darnet.demo.run import DEMO_PRESET, DemoResult, format_demo, run_demo

__all__ = [
    "DEMO_PRESET",
    "LABELS",
    "SUPERVISED",
    "DemoResult",
    "Protocol",
    "Style",
    "Tissue",
    "draw_anatomy",
    "draw_style",
    "format_demo",
    "organ_labels",
    "render",
    "run_demo",
    "smooth_field",
    "write_demo_dataset",
]
