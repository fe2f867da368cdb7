"""A model is exported, imported below another root, and predicts the same; nothing of the scans goes with it."""

from __future__ import annotations

import datetime
import getpass
import json
import socket
import zipfile

import pytest
import torch

from darnet.cli import export_model, import_model, predict
from darnet.io import load_checkpoint, read_json, read_meta, save_checkpoint, sha256_of, write_json
from darnet.plans import Plans
from darnet.sharing.archive import write_archive
from darnet.training import stage_hash
from tests.faults.scans import NAME, Bench, tree

CASES = ["Meier_Anna_19610412", "patient-0815"]
REASON = "the median of Meier_Anna_19610412 in /data/hospital"


@pytest.fixture
def bench(tmp_path, capsys, write_raw_dataset, make_small_plans, write_results):
    return Bench(tmp_path, capsys, write_raw_dataset, make_small_plans, write_results)


@pytest.fixture
def trained(bench):
    """Results as training leaves them: cases, optimizer and reasons in the files, a round of self-training, a log."""
    folder = bench.model
    values = Plans.read(folder / "plans.json").to_json()
    values["dataset"] = NAME
    values["self_training"] |= {"rounds": 1, "iterations": 3}
    for part in ("preprocessing", "segmentation", "translation", "synthesis", "self_training", "inference"):
        values[part]["why"] = {"all": REASON}
    values["source"]["intensity"]["why"] = REASON
    write_json(folder / "plans.json", values)
    plans = Plans.read(folder / "plans.json")
    tensors, _ = load_checkpoint(folder / "segmentation/fold_0/checkpoint.safetensors")
    for stage, place, shift in (
        ("segmentation", "segmentation/fold_0", 0.0),
        ("self_training", "self_training/round_1/fold_0", 0.1),
    ):
        (folder / place).mkdir(parents=True, exist_ok=True)
        moved = {name: tensor + shift if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}
        meta = {"dataset": NAME, "stage": stage, "plan": stage_hash(plans, stage), "labels": plans.labels}
        meta |= {"fold": "0", "cases": CASES, "iteration": 10**6}
        if stage == "self_training":
            meta["teacher"] = sha256_of(folder / "segmentation/fold_0/checkpoint.safetensors")
        moved["optimizer.0.step"] = torch.tensor(3.0)
        save_checkpoint(folder / place / "checkpoint.safetensors", moved, meta)
        (folder / place / "checkpoint.safetensors.previous").unlink(missing_ok=True)
        write_json(folder / place / "validation.json", {"cases": CASES})
        (folder / place / "log.jsonl").write_text(json.dumps({"case": CASES[0]}))
    write_choice(folder, cube=0.9)
    return folder


def write_choice(folder, cube):
    """choice.json as training leaves it, with the plausibility of a class."""
    checkpoints = {"segmentation": "segmentation/fold_0", "round_1": "self_training/round_1/fold_0"}
    found = {
        name: {"checkpoint": sha256_of(folder / place / "checkpoint.safetensors"), "certainty": 0.9, "stability": 0.9,
               "agreement": None, "plausibility": cube, "score": 0.9, "shapes": {"cube": cube}}
        for name, place in checkpoints.items()
    }  # fmt: skip
    entry = {"chosen": "round_1", "candidates": found, "usual": {"cube": 0.95}, "scans": CASES, "made_from": "ab" * 32}
    write_json(folder / "choice.json", {"folds": {"0": entry, "1": entry}})


def command(bench, main, *flags):
    return bench.run(main, [*flags, *bench.common()])


@pytest.fixture
def archive(bench, trained):
    path = bench.root / "model.zip"
    code, out, err = command(bench, export_model.main, "-m", trained, "-o", path)
    assert (code, err) == (0, "")
    assert "fold 0 of" in out
    assert "SHA-256" in out
    return path


def test_the_same_mask_below_another_root(bench, trained, archive):
    other = bench.root / "elsewhere"
    code, out, err = bench.run(import_model.main, ["-i", archive, "--root", other])
    assert (code, err) == (0, "")
    assert NAME in out
    assert sorted(tree(other)) == [
        "results",
        f"results/{NAME}",
        f"results/{NAME}/choice.json",
        f"results/{NAME}/plans.json",
        f"results/{NAME}/segmentation",
        f"results/{NAME}/segmentation/fold_0",
        f"results/{NAME}/segmentation/fold_0/checkpoint.safetensors",
        f"results/{NAME}/self_training",
        f"results/{NAME}/self_training/round_1",
        f"results/{NAME}/self_training/round_1/fold_0",
        f"results/{NAME}/self_training/round_1/fold_0/checkpoint.safetensors",
    ]
    for flags in ([], ["--no_self_training"], ["-f", "0"]):
        output = f"out{len(flags)}"
        assert bench.predict(*flags, output=f"{output}_a")[0] == 0
        there = ["-i", bench.scan, "-o", bench.root / f"{output}_b", "-d", "7", "--root", other, "-device", "cpu"]
        assert bench.run(predict.main, [*there, *flags])[0] == 0
        masks = [(bench.root / f"{output}_{side}" / "x.nii.gz").read_bytes() for side in "ab"]
        assert masks[0] == masks[1]
    masks = [(bench.root / f"{output}_a" / "x.nii.gz").read_bytes() for output in ("out0", "out1")]
    assert masks[0] != masks[1]  # both networks are there


def test_nothing_of_the_scans_is_in_the_file(bench, trained, archive):
    assert REASON in (trained / "plans.json").read_text()  # else the search below would find nothing anyway
    with zipfile.ZipFile(archive) as content:
        assert content.comment == b""
        assert all(i.date_time == (1980, 1, 1, 0, 0, 0) and not (i.extra or i.comment) for i in content.infolist())
        everything = archive.read_bytes() + b"".join(content.read(name) for name in content.namelist())
    today = datetime.date.today()
    forbidden = [*CASES, "Meier", "hospital", str(bench.root), "/tmp", "/home", "validation", "optimizer", "ab" * 32]
    forbidden += [today.isoformat(), today.strftime("%Y%m%d"), "s1_0000", "nii.gz", bench.scan.parent.name + "/x"]
    forbidden += [name for name in (socket.gethostname(), getpass.getuser()) if len(name) > 5]
    for word in forbidden:
        assert word.encode() not in everything, word


@pytest.mark.parametrize("cube", [0.9, 0.3])
@pytest.mark.parametrize("flags", [[], ["--no_self_training"]])
def test_doubtful_shapes_are_told_elsewhere_too(bench, trained, cube, flags):
    write_choice(trained, cube)
    assert command(bench, export_model.main, "-m", trained, "-o", bench.root / "model.zip")[0] == 0
    other = bench.root / "elsewhere"
    assert bench.run(import_model.main, ["-i", bench.root / "model.zip", "--root", other])[0] == 0
    there = ["-i", bench.scan, "-o", bench.root / "out", "-d", "7", "--root", other, "-device", "cpu", *flags]
    code, _, err = bench.run(predict.main, there)
    assert code == 0
    assert ("doubtful: what fold 0 found in 2 target training scans" in err) == (cube == 0.3)
    assert list(read_json(other / "results" / NAME / "choice.json")["folds"]) == ["0"]  # of shared folds alone


def test_what_was_said_of_other_networks_is_not_shared(bench, trained):
    path = trained / "self_training/round_1/fold_0/checkpoint.safetensors"
    tensors, meta = load_checkpoint(path)
    save_checkpoint(path, {n: t + 1 if t.is_floating_point() else t for n, t in tensors.items()}, meta)
    assert command(bench, export_model.main, "-m", trained, "-o", bench.root / "model.zip")[0] == 0
    with zipfile.ZipFile(bench.root / "model.zip") as file:
        assert "choice.json" not in file.namelist()


@pytest.mark.parametrize("damage", ["huge", "class", "network", "scan", "words", "list"])
def test_a_choice_of_another_form_is_refused(bench, archive, damage):
    with zipfile.ZipFile(archive) as file:
        files = {name: file.read(name) for name in file.namelist() if name != "model.json"}
        about = {key: json.loads(file.read("model.json"))[key] for key in ("darnet", "dataset")}
    values = json.loads(files["choice.json"])
    entry = values["folds"]["0"]
    if damage == "huge":
        entry["usual"]["cube"] = 10**400
    elif damage == "class":
        entry["usual"]["\x1b[31mcube"] = 0.5
    elif damage == "network":
        entry["candidates"]["../x"] = entry["candidates"]["round_1"]
    elif damage == "scan":
        entry["scans"] = ["Meier"]
    elif damage == "words":
        entry["candidates"]["round_1"]["certainty"] = "good"
    else:
        values = []
    files["choice.json"] = json.dumps(values).encode()
    write_archive(bench.root / "other.zip", files.items(), about)
    code, _, err = bench.run(import_model.main, ["-i", bench.root / "other.zip", "--root", bench.root / "other"])
    assert code == 2
    assert "what the model says of its networks has another form" in err
    assert not (bench.root / "other").exists()


@pytest.mark.parametrize("content", ["[]", "{", '{"folds": {"0": 3}}', '{"folds": {"0": {"candidates": {"a": 1}}}}'])
def test_a_choice_that_cannot_be_read_is_not_shared(bench, trained, content):
    (trained / "choice.json").write_text(content)
    assert command(bench, export_model.main, "-m", trained, "-o", bench.root / "model.zip")[0] == 0
    with zipfile.ZipFile(bench.root / "model.zip") as file:
        assert "choice.json" not in file.namelist()


def test_the_metadata_of_the_weights(bench, archive):
    assert bench.run(import_model.main, ["-i", archive, "--root", bench.root / "other", "--quiet"])[0] == 0
    for path in (bench.root / "other").rglob("checkpoint.safetensors"):
        assert set(read_meta(path)) == {"dataset", "stage", "plan", "labels", "fold", "iteration"}
        assert all(name.startswith("network.") for name in load_checkpoint(path)[0])


def test_the_same_model_gives_the_same_bytes(bench, trained, archive):
    assert command(bench, export_model.main, "-m", trained, "-o", bench.root / "again.zip")[0] == 0
    assert (bench.root / "again.zip").read_bytes() == archive.read_bytes()


def test_another_name(bench, archive):
    for name in (NAME, "Dataset008_Other"):
        code, out, _ = command(bench, import_model.main, "-i", archive, "--name", name)
        assert code == 0
        assert (bench.root / "results" / name / "plans.json").is_file()


def test_nothing_is_replaced(bench, trained, archive):
    with bench.unchanged():
        code, _, err = command(bench, export_model.main, "-m", trained, "-o", archive)
    assert code == 2
    assert "there is such a file" in err
    assert command(bench, import_model.main, "-i", archive)[0] == 0
    with bench.unchanged():
        code, _, err = command(bench, import_model.main, "-i", archive)
    assert code == 2
    assert "there are results of this data set" in err
    assert "--name" in err


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["-o", "model.tar"], "the output is no zip"),
        (["-o", "taken.txt/sub/model.zip"], "taken.txt is not a folder open to writing"),
        (["-o", "new.zip", "-f", "3"], "fold 3 is not trained"),
        (["-o", "new.zip", "--fold", "3"], "unrecognized"),
        ([], "required"),
    ],
)
def test_wrong_export(bench, trained, flags, words):
    flags = [bench.root / flag if "." in flag else flag for flag in flags]
    (bench.root / "taken.txt").write_text("no folder")
    with bench.unchanged():
        code, _, err = command(bench, export_model.main, "-m", trained, *flags)
    assert code == 2
    assert words in err


def test_a_folder_that_is_missing_is_made(bench, trained):
    shared = bench.root / "missing" / "sub" / "model.zip"
    assert command(bench, export_model.main, "-m", trained, "-o", shared)[0] == 0
    assert shared.is_file()


def test_a_damaged_network_is_not_exported(bench, trained):
    path = trained / "segmentation/fold_0/checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[-3] ^= 8
    path.write_bytes(content)
    with bench.unchanged():
        code, _, err = command(bench, export_model.main, "-m", trained, "-o", bench.root / "model.zip")
    assert code == 2
    assert "damaged" in err


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "", "a\nb", "x" * 300, "a:b"])
def test_names_that_leave_the_folder(bench, archive, name):
    with bench.unchanged():
        code, _, err = command(bench, import_model.main, "-i", archive, "--name", name)
    assert code == 2
    assert "cannot be a folder's" in err


def test_no_such_model(bench):
    code, _, err = command(bench, import_model.main, "-i", bench.root / "no.zip")
    assert code == 2
    assert "there is no such file" in err
