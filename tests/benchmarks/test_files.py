"""The parts of the benchmarks that time commands and compare results; the rows themselves run with `make bench`."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from benchmarks import evaluation, growth, preprocessing
from benchmarks.commands import Command
from benchmarks.models import plans_of, write_model, write_scan
from benchmarks.pairs import Skipped
from benchmarks.plain_evaluation import plain_scores
from darnet.evaluation import evaluate_pair
from darnet.inference import Predictor
from darnet.io import read_scan


def test_the_formulas_and_darnet_agree():
    rng = np.random.default_rng(0)
    shape = (48, 40, 24)
    prediction, reference = evaluation.mask(rng, shape), evaluation.mask(rng, shape)
    expected = plain_scores(prediction, reference, [1, 2, 3, 4], (1.5, 1.5, 3.0))
    found = evaluate_pair(prediction, reference, evaluation.LABELS, (1.5, 1.5, 3.0))
    np.testing.assert_allclose([(s.dice, s.asd_mm) for s in found.values()], expected, atol=1e-6, rtol=0)
    assert 0.3 < min(d for d, _ in expected) < 1


def test_a_command_is_timed_and_its_children_are_weighed():
    code = (
        "import subprocess, sys, time\n"
        "kept = bytearray(60 << 20); kept[::4096] = b'x' * len(kept[::4096])\n"
        "subprocess.run([sys.executable, '-c', 'import time; k = bytearray(60 << 20); "
        'k[::4096] = b"x" * len(k[::4096]); time.sleep(0.6)\'])'
    )
    command = Command([sys.executable, "-c", code])
    seconds = command.run()
    assert seconds >= 0.6 and command.seconds == [seconds]
    assert 120 * 2**20 < command.peaks[0] < 220 * 2**20


def test_a_command_that_fails_says_why():
    command = Command([sys.executable, "-c", "raise SystemExit('no scans here')"])
    with pytest.raises(RuntimeError, match="no scans here"):
        command.run()
    assert command.peaks == []


def test_a_model_without_training_predicts(tmp_path):
    write_model(tmp_path, plans_of("fast", 3, (4.0, 3.0, 3.0), (8, 32, 32)))
    write_scan(tmp_path / "a_0000.nii.gz", (40, 36, 12), (3.0, 3.0, 4.0))
    predictor = Predictor.from_results(tmp_path)
    assert predictor.predict(tmp_path / "a_0000.nii.gz").shape == (40, 36, 12)
    assert read_scan(tmp_path / "a_0000.nii.gz").array.min() >= 100  # air nowhere: no crop


def test_scans_that_are_not_here_leave_the_row_out(tmp_path, monkeypatch):
    monkeypatch.setattr(preprocessing, "DATA", tmp_path)
    with pytest.raises(Skipped, match="DARNET_BENCH_DATA"):
        preprocessing.measure(5, 1)


def test_growth_is_drawn_and_listed(tmp_path, monkeypatch):
    monkeypatch.setattr(growth, "PREDICTION", tmp_path / "a.png")
    monkeypatch.setattr(growth, "PREPROCESSING", tmp_path / "b.png")
    points = [{"voxels": 1e6, "seconds": 2.0, "bytes": 2.0**30}, {"voxels": 8e6, "seconds": 9.0, "bytes": 1.5 * 2**30}]
    cases = [{"cases": 4.0, "seconds": 3.0, "bytes": 2.0**30}]
    results = {"machine": "here", "prediction": {"5": points}, "preprocessing": cases}
    growth.draw(results)
    assert (tmp_path / "a.png").stat().st_size > 5000 and (tmp_path / "b.png").stat().st_size > 5000
    text = growth.table(results)
    assert "| 8.00 million | 5 | 9.0 | 1.50 GB | 67.1 |" in text and "| 4 | 3.0 | 1.00 GB |" in text
