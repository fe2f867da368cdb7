"""The built-in demo: phantoms of two modalities, and the whole way on them."""

from __future__ import annotations

from darnet.demo.dataset import write_demo_dataset
from darnet.demo.run import DEMO_PRESET, DemoResult, format_demo, run_demo

__all__ = ["DEMO_PRESET", "DemoResult", "format_demo", "run_demo", "write_demo_dataset"]
