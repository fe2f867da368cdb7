"""Faults 32 to 36: small and large volumes, memory that does not suffice, workers that are killed."""

from __future__ import annotations

import contextlib
import os
import signal

import nibabel as nib
import numpy as np
import pytest
import torch

from benchmarks.chaos import IN_PARALLEL, NAME, STAGES, TINY, compare, hashes, is_running, wait_until
from darnet.cli import predict
from darnet.inference import Predictor
from darnet.io import load_checkpoint
from darnet.training import CHECKPOINT

PREPROCESSING, TRANSLATION, SYNTHESIS, SEGMENTATION, SELF_TRAINING, PREDICTION = STAGES
AFFINE = np.diag([2.0, 2.0, 5.0, 1.0])
FOLD = f"results/{NAME}/segmentation/fold_0"


@pytest.mark.parametrize("shape", [(5, 4, 3), (16, 3, 2), (3, 40, 2), (1, 30, 30)])
def test_32_volume_smaller_than_the_patch(tmp_path, make_small_plans, write_results, shape):
    model = write_results(tmp_path / "model", make_small_plans((5.0, 2.0, 2.0), patch_size=(16, 32, 32)))
    voxels = np.random.default_rng(0).integers(-50, 50, shape).astype(np.int16)
    affine = AFFINE + np.array([[0, 0, 0, 7], [0, 0, 0, -3], [0, 0, 0, 11], [0, 0, 0, 0]])
    nib.Nifti1Image(voxels, affine).to_filename(tmp_path / "x_0000.nii.gz")
    flags = ["-i", tmp_path / "x_0000.nii.gz", "-o", tmp_path / "out", "-m", model, "-device", "cpu", "--quiet"]
    assert predict.main([str(flag) for flag in flags]) == 0
    result = nib.load(tmp_path / "out" / "x.nii.gz")
    assert result.shape == shape
    np.testing.assert_allclose(result.affine, affine, atol=1e-5)


LARGE = (192, 192, 160)  # 5.9 million voxels
FLOAT32 = 4 * int(np.prod(LARGE))


def write_large(path):
    """A body of many voxels on a grid so fine that few are left after preprocessing."""
    rng = np.random.default_rng(0)
    voxels = rng.integers(-1000, -990, LARGE).astype(np.int16)
    voxels[20:-20, 20:-20, 10:-10] += rng.integers(900, 1200, (152, 152, 140)).astype(np.int16)
    nib.Nifti1Image(voxels, np.diag([1.5, 1.5, 1.0, 1.0])).to_filename(path)


# So many times the voxels in single precision. With the most, everything must go through.
LIMITS = (0.3, 1.5, 3.0, 5.0, 14.0)


def check_limits(stage, root, run, limit_memory, path, clean):
    codes = []
    for times in LIMITS:
        outcome = run(stage, root, inject=limit_memory(int(times * FLOAT32)))
        codes.append(outcome.code)
        assert outcome.code in (0, 4, 5), outcome.err
        if outcome.code:
            assert path.name in outcome.err or f"case target {path.name[:5]}" in outcome.err, outcome.err
            assert "memory" in outcome.err
            assert "remedy" in outcome.err
        clean()
    assert codes[0] != 0
    assert codes[-1] == 0, codes
    return codes


def test_33_large_volume_is_preprocessed_in_bounded_memory(before, run, limit_memory):
    root = before(PREPROCESSING)
    path = root / "raw" / NAME / "imagesTr_target" / "mr_01_0000.nii.gz"
    write_large(path)
    stored = root / "preprocessed" / NAME / "target" / "mr_01.json"

    def clean():
        assert not list(root.rglob("*.tmp"))
        stored.unlink(missing_ok=True)

    check_limits(PREPROCESSING, root, run, limit_memory, path, clean)


def test_33_large_volume_is_predicted_in_bounded_memory(before, run, limit_memory):
    root = before(PREDICTION)
    scans = root / "raw" / NAME / "imagesTs"
    for scan in sorted(scans.iterdir())[1:]:
        scan.unlink()
    (path,) = scans.iterdir()
    write_large(path)

    def clean():
        results = list((root / "out").glob("*.nii.gz")) if (root / "out").exists() else []
        for result in results:
            assert nib.load(result).shape == LARGE
            result.unlink()

    check_limits(PREDICTION, root, run, limit_memory, path, clean)


class RunsOut(torch.nn.Module):
    """A network whose device runs out of memory: always, but for `works` windows at a time after `failures` calls."""

    def __init__(self, failures):
        super().__init__()
        self.failures, self.batches = failures, []

    def forward(self, windows):
        self.batches.append(len(windows))
        if len(self.batches) <= self.failures:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB")
        return torch.cat((-10 * windows, 10 * windows, torch.full_like(windows, -20)), 1)


@pytest.mark.parametrize("failures", [0, 1, 2, 3])
def test_34_gpu_out_of_memory(make_small_plans, small_scan, failures):
    """A device beside the CPU, here the CPU under another name: fewer windows, sums on the CPU, the CPU alone."""
    plans = make_small_plans((5.0, 2.0, 2.0), low=-100.0, high=300.0, patch_size=(4, 8, 8))
    network, said = RunsOut(failures), []
    predictor = Predictor(plans, [network], torch.device("cpu:0"), notice=said.append)
    expected = Predictor(plans, [RunsOut(0)]).predict_array(small_scan(0)[0], AFFINE).labels
    assert np.array_equal(predictor.predict_array(small_scan(0)[0], AFFINE).labels, expected)
    ways = [
        "2 windows at a time on cpu:0, summed on cpu:0",
        "1 windows at a time on cpu:0, summed on cpu:0",
        "1 windows at a time on cpu:0, summed on cpu",
        "1 windows at a time on cpu, summed on cpu",
    ]
    assert said == [f"out of memory with {ways[n]}; trying {ways[n + 1]}" for n in range(failures)]
    assert network.batches[: failures + 1] == [2, 1, 1, 1][: failures + 1]


def test_34_other_errors_of_the_gpu_are_raised(make_small_plans, small_scan):
    def network(windows):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    predictor = Predictor(make_small_plans((5.0, 2.0, 2.0)), [network], torch.device("cpu:0"), notice=pytest.fail)
    with pytest.raises(RuntimeError, match="illegal memory access"):
        predictor.predict_array(small_scan(0)[0], AFFINE)


OUT_OF_MEMORY = """
import torch
from {module} import {owner}
call = {owner}.{name}
count = 0
def fail(*arguments):
    global count
    count += 1
    if count > {after}:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return call(*arguments)
{owner}.{name} = fail
"""


@pytest.mark.parametrize("stage", [TRANSLATION, SEGMENTATION], ids=lambda s: s.name)
def test_34_gpu_out_of_memory_in_training(campaign, before, run, stage):
    root = before(stage)
    place = {"translation": ("translation", "TranslationStep"), "segmentation": ("segmentation", "SegmentationStep")}
    module, owner = place[stage.name]
    inject = OUT_OF_MEMORY.format(module=f"darnet.training.{module}", owner=owner, name="update", after=3)
    outcome = run(stage, root, inject=inject)
    assert outcome.code == 4
    for words in (stage.name, "ran out of memory", "iteration 3", "--memory", "checkpoint is intact"):
        assert words in outcome.err, outcome.err
    _, meta = load_checkpoint(root / "results" / NAME / stage.training / CHECKPOINT, notice=pytest.fail)
    assert meta["iteration"] == 3
    assert run(stage, root).code == 0
    compare(hashes(root), campaign.reference[stage.name])


def test_34_gpu_out_of_memory_in_synthesis(before, run):
    root = before(SYNTHESIS)
    inject = OUT_OF_MEMORY.format(module="darnet.synthesis", owner="run", name="translate_volume", after=1)
    outcome = run(SYNTHESIS, root, inject=inject)
    assert outcome.code == 4
    assert "synthesis ran out of memory" in outcome.err and "case ct_02" in outcome.err


def test_35_worker_killed_once(server, campaign, before):
    root = before(PREPROCESSING)
    running = server.start(IN_PARALLEL.command, IN_PARALLEL.of(root), TINY)
    assert wait_until(lambda: len(running.workers()) == 2, 300)
    os.kill(running.workers()[0], signal.SIGKILL)  # as the kernel does it
    outcome = running.wait()
    assert outcome.code == 0, outcome.err
    compare(hashes(root), campaign.reference[PREPROCESSING.name])


def test_35_worker_killed_again_and_again(server, before):
    root = before(PREPROCESSING)
    running = server.start(IN_PARALLEL.command, IN_PARALLEL.of(root), TINY)

    def all_killed():
        for worker in running.workers():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        return not is_running(running.pid)

    assert wait_until(all_killed, 300), "it hangs"
    outcome = running.wait()
    assert outcome.code == 4
    assert "Traceback" not in outcome.err
    assert "preprocess: a worker process ended without a word, most likely killed for want of memory" in outcome.err
    assert "case source ct_01" in outcome.err
    assert "remedy" in outcome.err


# A mount of its own for this process alone; where that is not allowed, what the system answers on a full one.
SMALL_SHARED_MEMORY = """
import ctypes, errno
system = ctypes.CDLL(None, use_errno=True)
private, namespace = 1 << 18 | 1 << 14, 0x00020000
if (
    system.unshare(namespace) == 0
    and system.mount(b"none", b"/", None, private, None) == 0
    and system.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"size=4096") == 0
):
    open("/dev/shm/full", "wb").write(bytes(4096))
else:
    import _multiprocessing, multiprocessing.synchronize
    class SemLock(_multiprocessing.SemLock):
        def __new__(cls, *arguments):
            raise OSError(errno.ENOSPC, "No space left on device")
    multiprocessing.synchronize._multiprocessing.SemLock = SemLock
"""


def test_36_small_shared_memory(campaign, before, run):
    root = before(PREPROCESSING)
    outcome = run(IN_PARALLEL, root, inject=SMALL_SHARED_MEMORY)
    assert outcome.code == 4, outcome.err
    for words in ("worker processes cannot be started", "/dev/shm", "No space left", "--shm-size", "-np 1"):
        assert words in outcome.err, outcome.err
    assert run(PREPROCESSING, root, inject=SMALL_SHARED_MEMORY).code == 0
    compare(hashes(root), campaign.reference[PREPROCESSING.name])
