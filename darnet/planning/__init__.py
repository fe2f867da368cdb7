"""Planning: verify a data set, take its fingerprint, decide everything."""

from darnet.planning.cases import hash_of_files, hash_of_voxels, read_case, trained_test_scans
from darnet.planning.edited import keep_edited, planned_seeds
from darnet.planning.fault_table import format_faults
from darnet.planning.fingerprint import (
    CaseFingerprint,
    Fingerprint,
    fingerprint_case,
    survey_cases,
)
from darnet.planning.kinds import contradiction, doubtful_kinds, odd_values
from darnet.planning.memory import predict_memory
from darnet.planning.planes import mixed_planes
from darnet.planning.planner import MEMORY_TARGET_GB, make_plans
from darnet.planning.presets import PRESETS, Preset, find_preset
from darnet.planning.splits import make_splits
from darnet.planning.verify import CaseFiles, VerifiedDataset, as_verified, survey_dataset, verify_dataset
from darnet.planning.volumes import odd_volumes

__all__ = [
    "MEMORY_TARGET_GB",
    "PRESETS",
    "CaseFiles",
    "CaseFingerprint",
    "Fingerprint",
    "Preset",
    "VerifiedDataset",
    "as_verified",
    "contradiction",
    "doubtful_kinds",
    "find_preset",
    "fingerprint_case",
    "format_faults",
    "hash_of_files",
    "hash_of_voxels",
    "keep_edited",
    "make_plans",
    "make_splits",
    "mixed_planes",
    "odd_values",
    "odd_volumes",
    "planned_seeds",
    "predict_memory",
    "read_case",
    "survey_cases",
    "survey_dataset",
    "trained_test_scans",
    "verify_dataset",
]
