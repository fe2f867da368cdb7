from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pytest

from darnet.cli.convert import main

AFFINE = np.diag([-2.0, -2.0, 5.0, 1.0])


@pytest.fixture
def save():
    """Write a scan or labels; returns its voxels."""

    def write(path, seed=0, values=None, shape=(8, 7, 6)):
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        if values is None:
            array = rng.integers(-1000, 1000, shape).astype(np.int16)
        else:
            array = rng.choice(np.array([0, *values], np.uint16), shape)
        nib.Nifti1Image(array, AFFINE).to_filename(path)
        return array

    return write


@pytest.fixture
def root(tmp_path):
    return tmp_path / "Daten ä"


@pytest.fixture
def convert(root):
    def run(*flags, dataset="Dataset101_New"):
        return main([str(flag) for flag in (*flags, "-d", dataset, "--root", root)])

    return run


@pytest.fixture
def load():
    def read(path):
        return np.asanyarray(nib.load(path).dataobj)

    return read


@pytest.fixture
def description(root):
    def read(name="Dataset101_New"):
        return json.loads((root / "raw" / name / "dataset.json").read_text("utf-8"))

    return read
