"""Training: one loop, two stages (translation, segmentation), hooks beside it."""

from darnet.training.alone import no_run_beside
from darnet.training.device import resolve_device
from darnet.training.expected import ExpectedTime, measure_time, memory_here
from darnet.training.folds import fold_notes, other_number_of_folds, read_fold, write_folds
from darnet.training.optimizer import AdaBelief
from darnet.training.other_work import cores_here
from darnet.training.preprocessed import REPLACED, check_preprocessed, refuse_unfinished
from darnet.training.run import (
    CHECKPOINT,
    EXPECTED,
    RunOptions,
    data_of,
    fit,
    load_translator,
    require_teacher,
    train_segmentation,
    train_translation,
)
from darnet.training.segmentation import SegmentationStep
from darnet.training.stages import plan_hash, stage_hash, stage_iterations
from darnet.training.state import load_module
from darnet.training.validation import validate
from darnet.training.weights import (
    publish_plans,
    refuse_trained,
    refuse_while_read,
    require_checkpoints,
    tell_changed_cases,
)

__all__ = [
    "CHECKPOINT",
    "EXPECTED",
    "REPLACED",
    "AdaBelief",
    "ExpectedTime",
    "RunOptions",
    "SegmentationStep",
    "check_preprocessed",
    "cores_here",
    "data_of",
    "fit",
    "fold_notes",
    "load_module",
    "load_translator",
    "measure_time",
    "memory_here",
    "no_run_beside",
    "other_number_of_folds",
    "plan_hash",
    "publish_plans",
    "read_fold",
    "refuse_trained",
    "refuse_unfinished",
    "refuse_while_read",
    "require_checkpoints",
    "require_teacher",
    "resolve_device",
    "stage_hash",
    "stage_iterations",
    "tell_changed_cases",
    "train_segmentation",
    "train_translation",
    "validate",
    "write_folds",
]
