"""Faults 37 to 44 and 52: processes killed or stopped, disks that are full, inputs that change, two runs at once."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket

import nibabel as nib
import numpy as np
import pytest

from benchmarks.chaos import (
    IN_PARALLEL,
    NAME,
    PLANNING,
    STAGES,
    TINY,
    compare,
    hashes,
    is_running,
    wait_until,
)
from darnet.cli import export_model, import_model, plan_and_preprocess, predict
from darnet.io import load_checkpoint, read_meta
from darnet.training import CHECKPOINT
from tests.faults.scans import tree

PREPROCESSING, TRANSLATION, SYNTHESIS, SEGMENTATION, SELF_TRAINING, PREDICTION = STAGES
BY_NAME = {stage.name: stage for stage in STAGES}
FOLD = f"results/{NAME}/segmentation/fold_0"


def wait_for(path):
    assert wait_until(path.exists, 300), f"{path} did not appear"


@pytest.mark.parametrize("stage", [PLANNING, *STAGES], ids=lambda s: s.name)
def test_37_sigkill_at_any_moment(campaign, stage):
    result = campaign.kill(stage, 2)
    assert result.losses == []
    assert result.kills == 2


def test_37_sigkill_during_import(server, campaign, before):
    root = before(PREDICTION)
    archive, other = root / "model.zip", root / "elsewhere"
    assert server.run("export_model", ["-d", 7, "-o", archive, "--root", root, "--quiet"]).code == 0
    flags = ["-i", archive, "--root", other, "--quiet"]
    assert server.run("import_model", flags).code == 0
    whole = tree(other)
    shutil.rmtree(other)
    # It waits at the last moment: all files are there, under no final name.
    wait = "import time, darnet.sharing.install as i\ni._refuse_taken = lambda target: (\n"
    wait += "    time.sleep(600) if any(target.parent.glob('.import.*/plans.json')) else None)\n"
    running = server.start("import_model", flags, wait)
    assert wait_until(lambda: any(other.glob("results/.import.*/segmentation/fold_0/*.safetensors")), 300)
    running.kill()
    assert running.wait().code == -9
    (left,) = (other / "results").iterdir()
    beside = left.with_name(left.name.replace(str(running.pid), str(os.getpid())))
    beside.mkdir()  # of a process that is alive
    assert server.run("import_model", flags).code == 0
    assert beside.exists()
    beside.rmdir()
    assert tree(other) == whole
    left.mkdir()
    export = ["-m", other / "results" / NAME, "-o", root / "again.zip", "--root", other, "--quiet"]
    assert server.run("export_model", export).code == 0
    assert tree(other) == whole


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_38_stopped_training_goes_on(server, campaign, before, run, number, code):
    root = before(SEGMENTATION)
    running = server.start(SEGMENTATION.command, SEGMENTATION.of(root), TINY)
    wait_for(root / FOLD / CHECKPOINT)
    running.kill(number)
    outcome = running.wait()
    assert outcome.code == code
    assert "its checkpoint is written" in outcome.err
    assert "--continue" in outcome.err
    assert "Traceback" not in outcome.err
    done = read_meta(root / FOLD / CHECKPOINT)["iteration"]
    assert f"after iteration {done}" in outcome.err
    assert run(SEGMENTATION, root).code == 0
    compare(hashes(root), campaign.reference[SEGMENTATION.name])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_38_stopped_workers_are_reaped(server, campaign, before, run, number, code):
    root = before(PREPROCESSING)
    running = server.start(IN_PARALLEL.command, IN_PARALLEL.of(root), TINY)
    assert wait_until(lambda: len(running.workers()) == 2, 300)
    workers = running.children()
    for worker in running.workers():
        os.kill(worker, signal.SIGSTOP)  # so that the command does not end before it is stopped
        os.kill(worker, signal.SIGINT)  # as Ctrl-C in a terminal, which reaches all
    running.kill(number)
    for worker in running.workers():
        os.kill(worker, signal.SIGCONT)
    outcome = running.wait()
    assert outcome.code == code
    assert "Traceback" not in outcome.err
    assert "to go on: darnet_plan_and_preprocess -d 7" in outcome.err
    assert wait_until(lambda: not any(map(is_running, workers)), 60)
    assert run(PREPROCESSING, root).code == 0
    compare(hashes(root), campaign.reference[PREPROCESSING.name])


def test_38_stopped_prediction_goes_on(server, campaign, before, run):
    root = before(PREDICTION)
    slow = "import time, darnet.inference.inputs as f; r = f.read_scan\n"
    slow += "def read_scan(*a, **k):\n    time.sleep(0.3)\n    return r(*a, **k)\nf.read_scan = read_scan\n"
    running = server.start(PREDICTION.command, PREDICTION.of(root), TINY + slow)
    wait_for(root / "out" / "mr_test_01.nii.gz")
    running.kill(signal.SIGTERM)
    outcome = running.wait()
    assert outcome.code == 143
    assert "--continue" in outcome.err
    assert not list((root / "out").glob("*.tmp"))
    assert run(PREDICTION, root).code == 0
    compare(hashes(root), campaign.reference[PREDICTION.name])


WRITTEN = {
    "preprocessing": (f"preprocessed/{NAME}", (0, 8192, 40960)),
    "translation": (f"results/{NAME}", (0, 8192, 150_000, 400_000)),
    "synthesis": (f"preprocessed/{NAME}", (0, 40960, 90_000)),
    "segmentation": (f"results/{NAME}", (8192, 40960, 90_000)),
    "self-training": (f"results/{NAME}", (8192, 60_000)),
    "prediction": ("out", (0, 4096, 12288)),
}


@pytest.mark.parametrize("name", BY_NAME)
def test_39_disk_full_at_each_write(campaign, before, run, small_disk, enlarge, name):
    stage, (place, sizes) = BY_NAME[name], WRITTEN[name]
    root = before(stage)
    full = 0
    for free in sizes:
        inject = small_disk(root / place, free)
        outcome = run(stage, root, inject=inject)
        enlarge(root / place)
        assert outcome.code in (0, 4), outcome.err
        if outcome.code == 4:
            full += 1
            assert "full" in outcome.err or "limit" in outcome.err
            assert "bytes" in outcome.err, outcome.err
            assert "free some space" in outcome.err
        if stage.training:
            path = root / "results" / NAME / stage.training / CHECKPOINT
            if path.exists():
                load_checkpoint(path, notice=pytest.fail)  # whole, without the former one
        assert not list(root.rglob("*.tmp"))
    assert full
    assert run(stage, root).code == 0
    compare(hashes(root), campaign.reference[name])


def test_39_disk_full_after_the_first_of_three_scans(before, run, small_disk, enlarge):
    root = before(PREDICTION)
    assert run(PREDICTION, root).code == 0
    first = [root / "out" / name for name in ("prediction.json", "mr_test_01.npz", "mr_test_01.nii.gz")]
    size = sum(-(-path.stat().st_size // 4096) * 4096 for path in first)
    for path in (root / "out").iterdir():
        path.unlink()
    # Locks and their records take room beside the results while they are held.
    inject = small_disk(root / "out", size + 4 * 4096)
    if inject:
        pytest.skip("a limit of each file cannot let one scan through and not the next")
    outcome = run(PREDICTION, root)
    enlarge(root / "out")
    assert outcome.code == 4
    assert "the disk is full" in outcome.err and "bytes for this file" in outcome.err
    assert "mr_test_02" in outcome.err and "mr_test_03" not in outcome.err  # which would find no room either
    assert (root / "out" / "mr_test_01.nii.gz").exists()
    assert run(PREDICTION, root).code == 0
    assert len(list((root / "out").glob("*.nii.gz"))) == 3


@pytest.mark.parametrize("name", BY_NAME)
def test_40_read_only_output(before, run, small_disk, name):
    stage, (place, _) = BY_NAME[name], WRITTEN[name]
    root = before(stage)
    inject = small_disk(root / place, 0, read_only=True)
    if not os.path.ismount(root / place):  # where nothing may be mounted, and root's rights would bind nobody
        inject = "import os\naccess = os.access\n"
        inject += f"os.access = lambda p, mode: {str(root / place)!r} not in str(p) and access(p, mode)\n"
    # Were anything read or computed before, these would end the command in another way.
    for scan in (root / "raw" / NAME / ("imagesTs" if name == "prediction" else "imagesTr")).iterdir():
        scan.write_bytes(b"no scan")
    inject += "import darnet.training.loop as loop\nloop.run_training = None\n"
    contents = tree(root)
    outcome = run(stage, root, inject=inject)
    assert outcome.code == 2
    assert "cannot be written to" in outcome.err
    assert str(root / place) in outcome.err
    assert "remedy" in outcome.err
    assert tree(root) == contents


def change_voxel(path):
    image = nib.load(path)
    array = np.asanyarray(image.dataobj).copy()
    array[array.shape[0] // 2, array.shape[1] // 2, array.shape[2] // 2] += 1
    nib.Nifti1Image(array, image.affine).to_filename(path)


def stamps(folder):
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def test_41_changed_input(before, run):
    root = before(SEGMENTATION)
    preprocessed = root / "preprocessed" / NAME
    change_voxel(root / "raw" / NAME / "imagesTr" / "ct_01_0000.nii.gz")
    refused = run(SEGMENTATION, root)
    assert refused.code == 2
    assert "have changed since they were preprocessed" in refused.err
    assert "source ct_01" in refused.err and "ct_02" not in refused.err
    assert "--keep_plan" in refused.err

    stored = stamps(preprocessed)
    assert run(PREPROCESSING, root).code == 0
    remade = {name for name, stamp in stamps(preprocessed).items() if stored.get(name) != stamp}
    assert {n for n in remade if "/" in n} == {
        "source/ct_01.json",
        "source/ct_01_image.b2nd",
        "source/ct_01_labels.b2nd",
    }
    stored = stamps(preprocessed / "synthetic")
    outcome = run(SYNTHESIS, root)
    assert outcome.code == 0
    assert "was trained before these cases changed: source/ct_01;" in outcome.err
    remade = {name for name, stamp in stamps(preprocessed / "synthetic").items() if stored.get(name) != stamp}
    assert all(n.startswith("ct_01_style_") for n in remade if n.endswith(".b2nd"))
    assert any(n.startswith("ct_01_style_") for n in remade)


def test_41_changed_input_of_a_training_under_way(server, before, run):
    root = before(TRANSLATION)
    running = server.start(TRANSLATION.command, TRANSLATION.of(root), TINY)
    wait_for(root / "results" / NAME / "translation" / CHECKPOINT)
    running.kill(signal.SIGTERM)
    assert running.wait().code == 143
    change_voxel(root / "raw" / NAME / "imagesTr_target" / "mr_02_0000.nii.gz")
    assert run(PREPROCESSING, root).code == 0
    refused = run(TRANSLATION, root)
    assert refused.code == 2
    assert "cases have changed since the training of this checkpoint began" in refused.err
    assert "target/mr_02" in refused.err and "mr_01" not in refused.err


def test_41_changed_scan_of_a_prediction(server, before, run):
    root = before(PREDICTION)
    assert run(PREDICTION, root).code == 0
    scan = root / "raw" / NAME / "imagesTs" / "mr_test_02_0000.nii.gz"
    again = nib.load(scan)
    nib.Nifti1Image(np.asanyarray(again.dataobj).astype(np.float32), again.affine).to_filename(scan)
    stored = stamps(root / "out")
    flags = [flag for flag in PREDICTION.of(root) if flag != "--quiet"]
    outcome = server.run(PREDICTION.command, flags, TINY)
    assert "3 of 3 cases are done already" in outcome.out  # the same voxels, stored otherwise
    assert stamps(root / "out") == stored
    change_voxel(scan)
    assert run(PREDICTION, root).code == 0
    remade = {name for name, stamp in stamps(root / "out").items() if stored.get(name) != stamp}
    assert remade == {"mr_test_02.nii.gz", "mr_test_02.npz"}
    # The mask is that of a prediction from nothing.
    found = hashes(root)
    shutil.rmtree(root / "out")
    assert run(PREDICTION, root).code == 0
    compare(hashes(root), found)


def test_41_prediction_goes_on_with_the_same_networks_alone(before, run):
    root = before(PREDICTION)
    assert run(PREDICTION, root).code == 0
    contents = tree(root)
    for other in (["--no_self_training"], ["-step_size", "0.25"]):
        refused = run(PREDICTION, root, *other)
        assert refused.code == 2
        assert "masks are of other networks" in refused.err
        assert "mr_test_01.nii.gz" in refused.err and "leave out --continue" in refused.err
        assert tree(root) == contents


def test_42_two_runs_on_one_folder(server, campaign, before, run):
    root = before(SEGMENTATION)
    running = server.start(SEGMENTATION.command, SEGMENTATION.of(root), TINY)
    wait_for(root / "results" / NAME / ".fold_0.lock.holder")
    refused = run(SEGMENTATION, root)
    assert refused.code == 2
    assert "another process trains fold 0" in refused.err
    assert f"process {running.pid} on {socket.gethostname()}" in refused.err
    running.kill()
    assert running.wait().code == -9
    again = run(SEGMENTATION, root)
    assert again.code == 0
    assert f"process {running.pid} on {socket.gethostname()} was stopped before its end" in again.err
    compare(hashes(root), campaign.reference[SEGMENTATION.name])


def test_42_two_preprocessings(server, campaign, before, run):
    root = before(PREPROCESSING)
    slow = "import time, darnet.preprocessing.dataset as d; c = d.case_hash\n"
    slow += "def case_hash(*a):\n    time.sleep(0.5)\n    return c(*a)\nd.case_hash = case_hash\n"
    running = server.start(PREPROCESSING.command, PREPROCESSING.of(root), TINY + slow)
    wait_for(root / "preprocessed" / NAME / ".preprocessing.lock.holder")
    refused = run(PREPROCESSING, root)
    assert refused.code == 2
    assert f"process {running.pid} on {socket.gethostname()}" in refused.err
    assert running.wait().code == 0
    compare(hashes(root), campaign.reference[PREPROCESSING.name])


SLOW_TRAINING = "import time, darnet.training.loop as loop\nu = loop._update\n"
SLOW_TRAINING += "def update(step, i):\n    time.sleep(0.1)\n    return u(step, i)\nloop._update = update\n"


@pytest.mark.parametrize("stage", [TRANSLATION, SEGMENTATION], ids=lambda s: s.name)
def test_42_preprocessing_during_training(server, campaign, before, run, stage):
    root = before(stage)
    running = server.start(stage.command, stage.of(root), TINY + SLOW_TRAINING)
    wait_for(root / "results" / NAME / stage.training / CHECKPOINT)
    change_voxel(root / "raw" / NAME / "imagesTr" / "ct_01_0000.nii.gz")
    contents = tree(root / "preprocessed")
    for flags in (PREPROCESSING.of(root), ["-d", 7, "--preset", "fast", "--root", root, "-np", 1, "--quiet"]):
        refused = server.run(PREPROCESSING.command, flags, TINY)
        assert refused.code == 2
        assert "another process trains on this data set" in refused.err
        assert f"process {running.pid} on {socket.gethostname()}" in refused.err
        assert tree(root / "preprocessed") == contents
    assert running.wait().code == 0
    compare(hashes(root), campaign.reference[stage.name])
    assert run(PREPROCESSING, root).code == 0


def test_42_parts_of_a_prediction(server, campaign, before, run):
    root = before(PREDICTION)
    parts = [["-num_parts", 2, "-part_id", part] for part in (0, 1)]
    slow = "import time, darnet.inference.inputs as f; r = f.read_scan\n"
    slow += "def read_scan(*a, **k):\n    time.sleep(0.5)\n    return r(*a, **k)\nf.read_scan = read_scan\n"
    running = [server.start("predict", [*PREDICTION.of(root), *part], TINY + slow) for part in parts]
    wait_for(root / "out" / ".part_0_of_2.lock.holder")
    refused = run(PREDICTION, root, *parts[0])
    assert refused.code == 2
    assert "another process predicts this part" in refused.err
    assert f"process {running[0].pid} on" in refused.err
    assert [r.wait().code for r in running] == [0, 0]
    compare(hashes(root), campaign.reference[PREDICTION.name])


STRANGE_NAMES = ("Mädchen 数据 №5", "with spaces (1)", "a'quote\"and$HOME", "-d", "line\nbreak", "ü" * 90)


@pytest.fixture
def model(tmp_path, make_small_plans, write_results):
    return write_results(tmp_path / "Modell ä b", make_small_plans((5.0, 2.0, 2.0), patch_size=(4, 8, 8)))


@pytest.fixture
def say(capsys):
    def call(main, *flags):
        code = main([*map(str, flags), "-device", "cpu", "--quiet"])
        said = capsys.readouterr().err
        assert "Traceback" not in said and "internal error" not in said, said
        return code, said

    return call


def test_39_disk_full_while_a_model_is_shared(tmp_path, model, say, small_disk, enlarge):
    shared, other = tmp_path / "shared", tmp_path / "other"
    inject = small_disk(shared, 8192)
    if inject:
        pytest.skip("the commands run in this process, whose files cannot be limited")
    code, said = say(export_model.main, "-m", model, "-o", shared / "model.zip")
    assert code == 4
    assert "the disk is full" in said and "bytes for this file" in said and "free some space" in said
    assert not (shared / "model.zip").exists() and not list(shared.glob("*.tmp"))
    enlarge(shared)
    assert say(export_model.main, "-m", model, "-o", shared / "model.zip")[0] == 0
    small_disk(other, 8192)
    code, said = say(import_model.main, "-i", shared / "model.zip", "--root", other)
    assert code == 4
    assert "bytes" in said and "free some space" in said
    assert {p.name for p in other.iterdir()} <= {".filling"}


def test_43_unusual_names(tmp_path, model, small_scan, say):
    scans = tmp_path / "Aufnahmen é 1"
    scans.mkdir()
    for seed, name in enumerate(STRANGE_NAMES):
        nib.Nifti1Image(small_scan(seed)[0], np.diag([2, 2, 5, 1])).to_filename(tmp_path / "plain.nii.gz")
        (tmp_path / "plain.nii.gz").rename(scans / f"{name}_0000.nii.gz")
    (scans / "linked_0000.nii.gz").symlink_to(scans / f"{STRANGE_NAMES[0]}_0000.nii.gz")
    code, said = say(
        predict.main, "-i", scans, "-o", tmp_path / "aus", "-m", model, "--save_probabilities", "--preview"
    )
    assert code == 0, said
    expected = {f"{name}.nii.gz" for name in (*STRANGE_NAMES, "linked")}
    assert {p.name for p in (tmp_path / "aus").glob("*.nii.gz")} == expected


@pytest.mark.parametrize("where", ["source", "scan"])
def test_43_links_that_lead_nowhere(tmp_path, model, write_raw_dataset, say, where):
    raw = write_raw_dataset(tmp_path)
    folder = raw / "imagesTr"
    dangling, loop = folder / "s2_0000.nii.gz", folder / "s1_0000.nii.gz"
    for link in (dangling, loop):
        link.unlink()
    dangling.symlink_to(tmp_path / "not there.nii.gz")
    loop.symlink_to(loop)
    contents = set(tmp_path.rglob("*"))
    if where == "source":
        code, said = say(plan_and_preprocess.main, "-d", 7, "--root", tmp_path, "--preset", "fast", "-np", 1)
    else:
        code, said = say(predict.main, "-i", folder, "-o", tmp_path / "out", "-m", model)
    assert code == 3
    for link in (dangling, loop):
        assert str(link) in said
    assert said.count("leads nowhere") == 2
    assert "mend or remove the link" in said
    assert set(tmp_path.rglob("*")) == contents


def test_43_names_that_are_too_long(tmp_path, model, write_raw_dataset, say):
    raw = write_raw_dataset(tmp_path)
    long = raw / "imagesTr_target" / f"{'n' * 230}_0000.nii.gz"
    (raw / "imagesTr_target" / "t1_0000.nii.gz").rename(long)
    code, said = say(plan_and_preprocess.main, "-d", 7, "--root", tmp_path, "--preset", "fast", "-np", 1)
    assert code == 3
    assert "name of a case is too long" in said and "235 bytes" in said and "rename" in said
    output = tmp_path / ("o" * 300) / "out"
    code, said = say(predict.main, "-i", raw / "imagesTr", "-o", output, "-m", model)
    assert code == 2
    assert "a name is too long for the file system" in said and "shorten it" in said


def test_44_failing_logger(server, campaign, before):
    root = before(TRANSLATION)
    folder = root / "results" / NAME / "translation"
    for name in ("log.jsonl", "progress.png"):
        (folder / name).mkdir(parents=True)  # what is a folder cannot be written
    (folder / "previews").write_text("no folder")
    flags = [flag for flag in TRANSLATION.of(root) if flag != "--quiet"]
    closed = "import os, sys\nr, w = os.pipe(); os.close(r); os.dup2(w, 1)\n"  # a terminal that is gone
    outcome = server.run(
        TRANSLATION.command, flags, closed + "import darnet.training.run as run; run.PICTURES_A_RUN = 2\n"
    )
    assert outcome.code == 0, outcome.err
    assert "Traceback" not in outcome.err
    name = f"results/{NAME}/translation/{CHECKPOINT}"
    assert hashes(root)[name] == campaign.reference[TRANSLATION.name][name]


def test_44_failing_logger_is_said_once(server, before):
    root = before(SEGMENTATION)
    (root / FOLD / "log.jsonl").mkdir(parents=True)
    often = "import darnet.training.run as r\nlog = r.JsonLinesLog\n"
    often += "r.JsonLinesLog = lambda path, stage, every: log(path, stage, 1)\n"
    outcome = server.run(SEGMENTATION.command, SEGMENTATION.of(root), TINY + often)
    assert outcome.code == 0, outcome.err
    assert (outcome.out + outcome.err).count("JsonLinesLog failed") == 1


def test_52_same_seed_same_bytes(server, campaign, tmp_path):
    from benchmarks.chaos import Campaign

    again = Campaign(tmp_path, server, campaign.rng, campaign.iterations)
    again.prepare()
    for stage in STAGES:
        compare(again.reference[stage.name], campaign.reference[stage.name])


def test_52_number_of_processes(campaign, before, run):
    root = before(PREPROCESSING)
    assert run(IN_PARALLEL, root).code == 0
    compare(hashes(root), campaign.reference[PREPROCESSING.name])


def test_52_interrupted_is_uninterrupted(campaign, before, run):
    """Stopped after every third iteration; generators, schedule, optimizer and place in the data go on."""
    root = before(SEGMENTATION)
    stop = "import os, signal, darnet.training.loop as loop\nu = loop._update\n"
    stop += "def update(step, i):\n    if i % 3 == 2: os.kill(os.getpid(), signal.SIGTERM)\n    return u(step, i)\n"
    stop += "loop._update = update\n"
    codes = []
    while not codes or codes[-1] != 0:
        codes.append(run(SEGMENTATION, root, inject=stop).code)
        assert len(codes) < 10
    assert codes[:-1] == [143] * (campaign.iterations // 3)
    compare(hashes(root), campaign.reference[SEGMENTATION.name])
    log = map(json.loads, (root / FOLD / "log.jsonl").read_text().splitlines())
    assert max(row["iteration"] for row in log) == campaign.iterations


NO_CONNECTION = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto", "socket.bind"):
        raise RuntimeError(f"{event} {arguments}")
sys.addaudithook(refuse)
"""


@pytest.mark.parametrize("stage", [PLANNING, *STAGES], ids=lambda s: s.name)
def test_no_stage_opens_a_connection(campaign, run, server, tmp_path, stage):
    shutil.copytree(campaign.before[stage.name], tmp_path / "root")
    assert run(stage, tmp_path / "root", inject=NO_CONNECTION).code == 0
    seen = server.run("train", ["-h"], NO_CONNECTION + "import socket; socket.create_connection(('127.0.0.1', 9))\n")
    assert "RuntimeError: socket." in seen.err  # the hook would have seen one
