"""Damaged files through the reader: a part of the campaign of `make fuzz`, and proofs that the campaign sees faults."""

from __future__ import annotations

import gzip
import time
import warnings

import nibabel as nib
import numpy as np
import pytest

from benchmarks import fuzz_reader
from benchmarks.damage import put, sound_file
from benchmarks.fuzz_reader import run
from benchmarks.nifti_oracle import decode, unfold
from darnet.errors import DataError
from darnet.io import Scan, read_scan


@pytest.mark.parametrize("seed", range(100, 104))
def test_500_damaged_files(seed):
    report = run(500, seed)
    assert report.faults == []
    counts = {o: sum(n for (_, outcome), n in report.outcomes.items() if outcome == o) for o in ("refused", "same")}
    assert counts["refused"] > 200
    assert counts["same"] > 50
    assert len({kind for kind, _ in report.outcomes}) == 11


def by_nibabel(path, labels):
    """What a reader gives that leaves everything to nibabel."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = nib.load(path)
            array = np.squeeze(image.get_fdata())
    except Exception as error:
        raise DataError("not read", where=path, found=error, remedy="none") from None
    return Scan(np.rint(array) if labels else array.astype(np.float32), image.affine, path, image.header)


def test_the_campaign_sees_silent_errors(monkeypatch):
    monkeypatch.setattr(fuzz_reader, "SECONDS", 60)  # a machine that stalls is no fault of the reader
    # nibabel does not compare the checksum where it has all voxels, and takes what it finds for a volume.
    found = run(400, 0, by_nibabel).faults
    assert any("(gzip" in fault and "silent error" in fault for fault in found)
    assert any("(header" in fault and "silent error" in fault for fault in found)


def test_the_campaign_sees_slow_and_greedy_readers(monkeypatch):
    monkeypatch.setattr(fuzz_reader, "SECONDS", 0.05)
    monkeypatch.setattr(fuzz_reader, "BYTES", 1 << 20)

    def slow(path, labels):
        time.sleep(1.0)
        return read_scan(path, labels)

    def greedy(path, labels):
        np.empty(2 << 20, np.uint8)
        return read_scan(path, labels)

    def broken(path, labels):
        raise ValueError("broken")

    assert any("TimeoutError" in fault for fault in run(3, 0, slow).faults)
    assert any("bytes of memory" in fault for fault in run(20, 0, greedy).faults)
    assert len(run(5, 0, broken).faults) == 5


def test_sound_files_are_sound(tmp_path):
    for number in range(60):
        content = sound_file(np.random.default_rng(number))
        truth = decode(content)
        path = tmp_path / "scan.nii.gz"
        path.write_bytes(gzip.compress(content))
        assert unfold(path.read_bytes()) == content
        scan, image = read_scan(path), nib.load(path)
        np.testing.assert_array_equal(scan.array, truth.array.astype(np.float32))
        np.testing.assert_allclose(image.get_fdata().astype(np.float32), truth.array.astype(np.float32))
        if truth.oriented:
            np.testing.assert_allclose(image.affine, truth.affine, atol=5e-3)


def test_what_the_oracle_refuses():
    content = bytearray(sound_file(np.random.default_rng(3)))
    size, order = (348, "<") if content[:4] == (348).to_bytes(4, "little") else (348, ">")
    assert decode(bytes(content)) is not None
    assert decode(bytes(content[:-1])) is None
    assert decode(bytes(content) + b"\1") is None
    for name, index, value in (("dim", 1, 0), ("dim", 0, 9), ("datatype", 0, 999), ("vox_offset", 0, 10)):
        spoiled = bytearray(content)
        put(spoiled, size, order, name, index, value)
        assert decode(bytes(spoiled)) is None, name
    packed = bytearray(gzip.compress(bytes(content)))
    packed[-6] ^= 1
    assert unfold(bytes(packed)) is None
    assert unfold(gzip.compress(bytes(content))[:-1]) is None
