"""Planning: verify a data set, take its fingerprint, decide everything."""

from darnet.planning.fingerprint import (
    CaseFingerprint,
    Fingerprint,
    fingerprint_case,
    fingerprint_dataset,
    hash_of_files,
    read_case,
)
from darnet.planning.memory import predict_memory
from darnet.planning.planner import MEMORY_TARGET_GB, make_plans
from darnet.planning.presets import PRESETS, Preset, find_preset
from darnet.planning.splits import make_splits
from darnet.planning.verify import CaseFiles, VerifiedDataset, verify_dataset

__all__ = [
    "MEMORY_TARGET_GB",
    "PRESETS",
    "CaseFiles",
    "CaseFingerprint",
    "Fingerprint",
    "Preset",
    "VerifiedDataset",
    "find_preset",
    "fingerprint_case",
    "fingerprint_dataset",
    "hash_of_files",
    "make_plans",
    "make_splits",
    "predict_memory",
    "read_case",
    "verify_dataset",
]
