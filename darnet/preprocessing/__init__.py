"""Preprocessing: one case as arrays, a data set as files."""

from darnet.preprocessing.case import find_crop, preprocess_arrays
from darnet.preprocessing.dataset import case_hash, locate_classes, make_record, preprocess_dataset, thin_classes

__all__ = [
    "case_hash",
    "find_crop",
    "locate_classes",
    "make_record",
    "preprocess_arrays",
    "preprocess_dataset",
    "thin_classes",
]
