from __future__ import annotations

import dataclasses
import hashlib
import json
import struct
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from darnet.plans import (
    DomainPlan,
    InferencePlan,
    IntensityPlan,
    Plans,
    PreprocessingPlan,
    SegmentationPlan,
    SelfTrainingPlan,
    SynthesisPlan,
    TranslationPlan,
    check_plans,
)

SMALL_LABELS = {"background": 0, "cube": 1, "rod": 2}


def _small_plans(
    spacing=(3.0, 1.0, 1.0),
    patch_size=(8, 16, 16),
    batch_size=2,
    rule="window",
    low=0.0,
    high=800.0,
    source_depth=None,
    **inference,
):
    domain = DomainPlan("CT", IntensityPlan(rule, low, high))
    plans = Plans(
        dataset="Dataset007_Small",
        preset="fast",
        labels=dict(SMALL_LABELS),
        source=domain,
        target=dataclasses.replace(domain, modality="MR"),
        preprocessing=PreprocessingPlan(tuple(spacing), "S", spacing[0] >= 1.5 * spacing[1], source_depth),
        translation=TranslationPlan(slice_size=(32, 32), width=4),
        synthesis=SynthesisPlan(),
        segmentation=SegmentationPlan(patch_size, batch_size, channels=(4, 8), strides=((1, 2, 2),)),
        self_training=SelfTrainingPlan(),
        inference=InferencePlan(**inference),
    )
    check_plans(plans)
    return plans


def _small_scan(seed, shape=(16, 14, 8)):
    """A bright body in dark air, with a cube and a rod in it, and their labels."""
    rng = np.random.default_rng(seed)
    image = rng.integers(-1000, -990, shape).astype(np.int16)
    labels = np.zeros(shape, np.uint8)
    labels[4:8, 4:8, 2:5] = 1
    labels[9:12, 5:7, 2:6] = 2
    body = np.zeros(shape, bool)
    body[2:-2, 2:-2, 1:-1] = True
    image[body] = rng.integers(20, 40, body.sum())
    image[labels == 1] += 100
    image[labels == 2] += 200
    return image, labels


def _write_raw_dataset(root, name="Dataset007_Small", source=("s1", "s2"), target=("t1", "t2")):
    """A raw data set in order; returns its folder."""
    raw = Path(root) / "raw" / name
    affine = np.diag([-2.0, -2.0, 5.0, 1.0])
    for folder in ("imagesTr", "labelsTr", "imagesTr_target"):
        (raw / folder).mkdir(parents=True)
    for seed, case in enumerate((*source, *target)):
        image, labels = _small_scan(seed)
        if case in source:
            image[2:4, 2:-2, 1:-1] -= 130  # fat, which every CT shows
        folder = raw / ("imagesTr" if case in source else "imagesTr_target")
        nib.Nifti1Image(image, affine).to_filename(folder / f"{case}_0000.nii.gz")
        if case in source:
            nib.Nifti1Image(labels, affine).to_filename(raw / "labelsTr" / f"{case}.nii.gz")
    description = {
        "channel_names": {"0": "CT"},
        "labels": SMALL_LABELS,
        "file_ending": ".nii.gz",
        "domains": {"source": "CT", "target": "MR"},
    }
    (raw / "dataset.json").write_text(json.dumps(description))
    return raw


def _hashes_of_tree(folder):
    """Every file and folder below a folder with the hash of its bytes."""
    folder = Path(folder)
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "folder"
        for p in sorted(folder.rglob("*"))
    }


def _write_dicom(path, pixels, position, row=(1, 0, 0), column=(0, 1, 0), spacing=(1.0, 1.0), series="1.2.3", **tags):
    """A slice as explicit little endian, element by element from the standard.

    `pixels` are rows and columns of int16; `position`, `row` and `column` are mm and directions in L, P, S; `spacing`
    is mm between rows and between columns. Tags are given as g0028_1053=(b"DS", b"2").
    """

    def element(group, number, kind, value):
        value += (b"\0" if kind in (b"UI", b"OW") else b" ") * (len(value) % 2)
        long = kind in (b"OW", b"OB", b"SQ", b"UN")
        size = struct.pack("<2xI", len(value)) if long else struct.pack("<H", len(value))
        return struct.pack("<HH", group, number) + kind + size + value

    def decimals(numbers):
        return "\\".join(f"{number:.10g}"[:16] for number in numbers).encode()

    def short(number):
        return struct.pack("<H", number)

    kind, syntax = b"1.2.840.10008.5.1.4.1.1.4", b"1.2.840.10008.1.2.1"
    uid = series.encode() + b"." + str(abs(hash((path.name, *position)))).encode()[:12]
    meta = element(2, 1, b"OB", b"\0\1") + element(2, 2, b"UI", kind) + element(2, 3, b"UI", uid)
    meta += element(2, 0x10, b"UI", syntax) + element(2, 0x12, b"UI", b"1.2.3.4")
    elements = {
        (8, 0x16): (b"UI", kind),
        (8, 0x18): (b"UI", uid),
        (8, 0x60): (b"CS", b"MR"),
        (0x20, 0x0D): (b"UI", b"1.2.3.9"),
        (0x20, 0x0E): (b"UI", series.encode()),
        (0x20, 0x32): (b"DS", decimals(position)),
        (0x20, 0x37): (b"DS", decimals((*row, *column))),
        (0x28, 2): (b"US", short(1)),
        (0x28, 4): (b"CS", b"MONOCHROME2"),
        (0x28, 0x10): (b"US", short(pixels.shape[0])),
        (0x28, 0x11): (b"US", short(pixels.shape[1])),
        (0x28, 0x30): (b"DS", decimals(spacing)),
        (0x28, 0x100): (b"US", short(16)),
        (0x28, 0x101): (b"US", short(16)),
        (0x28, 0x102): (b"US", short(15)),
        (0x28, 0x103): (b"US", short(1)),
        (0x7FE0, 0x10): (b"OW", np.ascontiguousarray(pixels, "<i2").tobytes()),
    }
    elements |= {(int(name[1:5], 16), int(name[6:], 16)): value for name, value in tags.items()}
    body = b"".join(element(*tag, *value) for tag, value in sorted(elements.items()) if value is not None)
    head = element(2, 0, b"UL", struct.pack("<I", len(meta)))
    path.write_bytes(b"\0" * 128 + b"DICM" + head + meta + body)


# Fixtures of the whole session, so that hypothesis may use them.
@pytest.fixture(scope="session")
def make_small_plans():
    return _small_plans


@pytest.fixture(scope="session")
def small_scan():
    return _small_scan


@pytest.fixture(scope="session")
def write_raw_dataset():
    return _write_raw_dataset


@pytest.fixture(scope="session")
def write_dicom():
    return _write_dicom


@pytest.fixture(scope="session")
def hashes_of_tree():
    return _hashes_of_tree


@pytest.fixture(scope="session")
def write_results():
    """Write a results folder with an untrained network; returns the folder."""

    def write(folder, plans, folds=(0,)):
        import torch

        from darnet.io import save_checkpoint, write_json
        from darnet.networks import build_segmentation
        from darnet.training import plan_hash

        torch.manual_seed(0)
        network = build_segmentation(plans.segmentation, plans.num_classes)
        tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
        meta = {"dataset": plans.dataset, "labels": plans.labels, "plan": plan_hash(plans, "segmentation")}
        for fold in folds:
            path = folder / "segmentation" / f"fold_{fold}" / "checkpoint.safetensors"
            path.parent.mkdir(parents=True)
            save_checkpoint(path, tensors, meta)
        write_json(folder / "plans.json", plans.to_json())
        return folder

    return write


@pytest.fixture(scope="session")
def case_fingerprint():
    """Make the fingerprint of a case; what is not given is that of an ordinary axial CT scan."""
    from darnet.planning import CaseFingerprint

    def make(domain="source", case_id="case", **fields):
        spacing = fields.get("spacing", (4.0, 1.0, 1.0))
        extent = fields.pop("extent", (128.0, 200.0, 240.0))
        labelled = domain == "source"
        values = {
            "content_hash": f"{domain}{case_id}".ljust(32, "0"),
            "shape": tuple(max(round(e / s), 1) for e, s in zip(extent, spacing, strict=True)),
            "spacing": spacing,
            "body_axes": ("S", "P", "L"),
            "field_of_view": extent,
            "body_extent": extent,
            "percentiles": (-90.0, -50.0, 40.0, 90.0, 200.0),
            "class_ml": {"liver": 1200.0, "spleen": 200.0} if labelled else {},
            "class_largest": {"liver": 1.0, "spleen": 1.0} if labelled else {},
            "labelled_percentiles": (0.0, 30.0, 60.0, 90.0, 150.0) if labelled else (),
            "label_extent": (100.0, 100.0, 100.0) if labelled else (0.0, 0.0, 0.0),
        }
        return CaseFingerprint(case_id=case_id, domain=domain, **(values | fields))

    return make


@pytest.fixture(scope="session")
def fingerprint_of(case_fingerprint):
    """Make a fingerprint of so many equal cases in each domain; fields may be given for each domain."""
    from darnet.planning import Fingerprint

    def make(source=None, target=None, count=4):
        cases = [case_fingerprint("source", f"s{n}", **(source or {})) for n in range(count)]
        cases += [case_fingerprint("target", f"t{n}", **(target or {})) for n in range(count)]
        return Fingerprint(tuple(cases))

    return make
