"""Inference: from a scan to labels on its own grid."""

from darnet.inference.checkpoints import (
    CHOICE,
    candidates,
    checkpoint_of,
    choose_folds,
    chosen_checkpoint,
    last_checkpoint,
    load_network,
)
from darnet.inference.doubts import LEAST_OF_ALL, LEAST_OF_ONE, doubtful_shapes
from darnet.inference.export import Geometry, labels_on_input_grid, probabilities_on_input_grid
from darnet.inference.folder import check_output, predict_folder
from darnet.inference.inputs import InputCase, find_inputs, select_part
from darnet.inference.options import FolderOptions
from darnet.inference.predictor import Predictor

__all__ = [
    "CHOICE",
    "LEAST_OF_ALL",
    "LEAST_OF_ONE",
    "FolderOptions",
    "Geometry",
    "InputCase",
    "Predictor",
    "candidates",
    "check_output",
    "checkpoint_of",
    "choose_folds",
    "chosen_checkpoint",
    "doubtful_shapes",
    "find_inputs",
    "labels_on_input_grid",
    "last_checkpoint",
    "load_network",
    "predict_folder",
    "probabilities_on_input_grid",
    "select_part",
]
