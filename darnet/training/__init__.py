"""Training: one loop, two stages (translation, segmentation), hooks beside it."""

from darnet.training.device import autocast, resolve_device
from darnet.training.folds import read_fold
from darnet.training.loop import Hook, run_training
from darnet.training.optimizer import AdaBelief, cosine_learning_rate
from darnet.training.run import CHECKPOINT, RunOptions, load_translator, train_segmentation, train_translation
from darnet.training.segmentation import SegmentationStep
from darnet.training.translation import TranslationStep

__all__ = [
    "CHECKPOINT",
    "AdaBelief",
    "Hook",
    "RunOptions",
    "SegmentationStep",
    "TranslationStep",
    "autocast",
    "cosine_learning_rate",
    "load_translator",
    "read_fold",
    "resolve_device",
    "run_training",
    "train_segmentation",
    "train_translation",
]
