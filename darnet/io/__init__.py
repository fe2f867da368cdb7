"""Files: scans, data set descriptions, the case store, checkpoints."""

from darnet.io.case_store import CaseRecord, CaseStore
from darnet.io.checkpoint import load_checkpoint, save_checkpoint
from darnet.io.files import atomic_path, atomic_write, read_json, sha256_of, write_json

__all__ = [
    "CaseRecord",
    "CaseStore",
    "atomic_path",
    "atomic_write",
    "load_checkpoint",
    "read_json",
    "save_checkpoint",
    "sha256_of",
    "write_json",
]
