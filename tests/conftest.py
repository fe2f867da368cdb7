from __future__ import annotations

import dataclasses
import hashlib
import json
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
def hashes_of_tree():
    return _hashes_of_tree


@pytest.fixture(scope="session")
def write_results():
    """Write a results folder with an untrained network; returns the folder."""

    def write(folder, plans, folds=(0,)):
        import torch

        from darnet.io import save_checkpoint, write_json
        from darnet.networks import build_segmentation
        from darnet.training.run import plan_hash

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
            "label_depth": 100.0 if labelled else 0.0,
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
