"""Inference: from a scan to labels on its own grid."""

from darnet.inference.checkpoints import choose_folds, last_checkpoint, load_network, trained_folds
from darnet.inference.export import Geometry, labels_on_input_grid, probabilities_on_input_grid
from darnet.inference.folder import FolderOptions, check_output, predict_folder
from darnet.inference.inputs import InputCase, find_inputs, select_part
from darnet.inference.predictor import Prediction, Predictor

__all__ = [
    "FolderOptions",
    "Geometry",
    "InputCase",
    "Prediction",
    "Predictor",
    "check_output",
    "choose_folds",
    "find_inputs",
    "labels_on_input_grid",
    "last_checkpoint",
    "load_network",
    "predict_folder",
    "probabilities_on_input_grid",
    "select_part",
    "trained_folds",
]
