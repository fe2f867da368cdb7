"""Data sets out of downloads as they are: nnU-Net, BTCV, CHAOS, crossMoDA, MM-WHS."""

from darnet.convert.btcv import find_btcv
from darnet.convert.chaos import find_chaos
from darnet.convert.crossmoda import find_crossmoda
from darnet.convert.found import Found, FoundCase, divide, with_test_cases
from darnet.convert.mmwhs import find_mmwhs
from darnet.convert.nnunet import find_nnunet, find_targets
from darnet.convert.place import Placed, new_layout, place

__all__ = [
    "Found",
    "FoundCase",
    "Placed",
    "divide",
    "find_btcv",
    "find_chaos",
    "find_crossmoda",
    "find_mmwhs",
    "find_nnunet",
    "find_targets",
    "new_layout",
    "place",
    "with_test_cases",
]
