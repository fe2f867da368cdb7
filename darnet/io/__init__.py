"""Files: scans, data set descriptions, the case store, checkpoints."""

from darnet.io.case_record import CaseRecord
from darnet.io.case_store import CaseStore
from darnet.io.checkpoint import load_checkpoint, pack_checkpoint, read_meta, save_checkpoint
from darnet.io.dataset_json import DatasetInfo, list_cases, list_labels, read_dataset_json
from darnet.io.dicom import is_dicom_folder, read_dicom, read_dicom_scan
from darnet.io.dicom_seg import read_seg_sources, require_highdicom, write_dicom_seg
from darnet.io.files import (
    atomic_path,
    atomic_write,
    keep_beside,
    name_too_long,
    remove_left_overs,
    require_writable,
    sha256_of,
    write_json,
)
from darnet.io.grid import corners_apart, most_apart
from darnet.io.lock import is_held, only_one, refuse_held
from darnet.io.paired import paired_notes
from darnet.io.scans import Scan, read_header, read_scan, write_labels, write_new_image, write_new_labels
from darnet.strict_json import read_json

__all__ = [
    "CaseRecord",
    "CaseStore",
    "DatasetInfo",
    "Scan",
    "atomic_path",
    "atomic_write",
    "corners_apart",
    "is_dicom_folder",
    "is_held",
    "keep_beside",
    "list_cases",
    "list_labels",
    "load_checkpoint",
    "most_apart",
    "name_too_long",
    "only_one",
    "pack_checkpoint",
    "paired_notes",
    "read_dataset_json",
    "read_dicom",
    "read_dicom_scan",
    "read_header",
    "read_json",
    "read_meta",
    "read_scan",
    "read_seg_sources",
    "refuse_held",
    "remove_left_overs",
    "require_highdicom",
    "require_writable",
    "save_checkpoint",
    "sha256_of",
    "write_dicom_seg",
    "write_json",
    "write_labels",
    "write_new_image",
    "write_new_labels",
]
