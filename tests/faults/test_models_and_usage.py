"""Faults 47, 50 and 53: damaged checkpoints, files meant to do harm, and wrong flags."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import shutil
import stat
import zipfile
from pathlib import Path

import blosc2
import numpy as np
import pytest
import torch

import darnet
from darnet.cli import export_model, import_model, plan_and_preprocess, predict, train
from darnet.errors import ConfigurationError, DataError
from darnet.inference import Predictor
from darnet.io import CaseStore, load_checkpoint, pack_checkpoint, save_checkpoint
from darnet.sharing import archive as archive_module
from darnet.sharing import install as install_module
from darnet.training import read_fold
from tests.faults.scans import Bench, tree


@pytest.fixture
def bench(tmp_path, capsys, write_raw_dataset, make_small_plans, write_results):
    return Bench(tmp_path, capsys, write_raw_dataset, make_small_plans, write_results)


def checkpoint_of(folder):
    return folder / "segmentation" / "fold_0" / "checkpoint.safetensors"


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(place):
    def spoil(path):
        content = bytearray(path.read_bytes())
        content[int(place * len(content)) if isinstance(place, float) else place] ^= 1
        path.write_bytes(content)

    return spoil


def cut_to_nothing(path):
    path.write_bytes(b"")


DAMAGES = {"truncated": cut, "length": flip(6), "header": flip(40), "weights": flip(0.9), "empty": cut_to_nothing}


@pytest.mark.parametrize("how", DAMAGES)
def test_47_damaged_checkpoint(bench, how):
    path = checkpoint_of(bench.model)
    DAMAGES[how](path)
    if how in ("weights", "truncated"):
        bench.refused(bench.predict, "the checkpoint is damaged", path, "put back a good copy", code=2)
    else:  # found by whichever reads it first
        bench.refused(bench.predict, path, code=2)


@pytest.mark.parametrize("how", DAMAGES)
def test_47_the_previous_good_one_is_used_and_said(bench, how):
    assert bench.predict("--quiet")[0] == 0
    mask = (bench.root / "out" / "x.nii.gz").read_bytes()
    path = checkpoint_of(bench.model)
    good = path.read_bytes()
    tensors, meta = load_checkpoint(path)
    save_checkpoint(path, {name: t + 1 if t.is_floating_point() else t for name, t in tensors.items()}, meta)
    assert bench.predict("--quiet")[0] == 0
    assert (bench.root / "out" / "x.nii.gz").read_bytes() != mask
    DAMAGES[how](path)
    damaged = path.read_bytes()
    code, out, err = bench.predict("--quiet")
    assert (code, out) == (0, "")
    assert err.startswith("warning: ")
    assert f"{path} cannot be used" in err
    assert "the previous one, checkpoint.safetensors.previous, is used instead" in err
    assert (bench.root / "out" / "x.nii.gz").read_bytes() == mask
    assert path.read_bytes() == damaged
    assert path.with_name("checkpoint.safetensors.previous").read_bytes() == good


@pytest.mark.filterwarnings("default")
def test_47_training_goes_on_from_the_previous_good_one(bench):
    bench.shrink()
    assert bench.train("--quiet", "--stage", "translation")[0] == 0
    path = bench.root / "results" / "Dataset007_Small" / "translation" / "checkpoint.safetensors"
    flip(0.9)(path)
    code, _, err = bench.train("--quiet", "--continue", "--stage", "translation")
    assert code == 2
    assert "the checkpoint is damaged" in err
    assert str(path) in err
    good = bytearray(path.read_bytes())
    good[int(0.9 * len(good))] ^= 1
    path.with_name("checkpoint.safetensors.previous").write_bytes(good)
    code, _, err = bench.train("--quiet", "--continue", "--stage", "translation")
    assert code == 0
    assert "the previous one, checkpoint.safetensors.previous, is used instead" in err


class Harm:
    """Unpickled, it makes a file."""

    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        return Path.write_text, (Path(self.marker), "executed")


@pytest.fixture
def marker(tmp_path_factory):
    """A file that nothing may make; the pickle that would make it is tried first."""
    path = tmp_path_factory.mktemp("marker") / "executed"
    pickle.loads(pickle.dumps(Harm(path)))  # noqa: S301
    assert path.exists()
    path.unlink()
    yield path
    assert not path.exists()


# What could run code that a file brings, or name a class by a string.
LOADERS = re.compile(
    r"(import|from)\s+(c?[pP]ickle|cloudpickle|dill|joblib|marshal|shelve|importlib|runpy)\b|allow_pickle|"
    r"(?<!safetensors\.)torch\.(jit\.)?load\b|yaml\.load|(?<![\w.])(eval|exec|__import__|compile)\(|unpack_array|unpack\(|deserialize|globals\("
)


def test_50_nothing_loads_pickles_or_code():
    package = Path(darnet.__file__).parent
    lines = [(path, line) for path in package.rglob("*.py") for line in path.read_text("utf-8").splitlines()]
    assert len(lines) > 5000
    assert [f"{path.relative_to(package)}: {line}" for path, line in lines if LOADERS.search(line)] == []
    for line in ("import pickle", "from pickle import loads", "np.load(f, allow_pickle=True)", "torch.load(path)",
                 "x = eval(text)", "    exec(code)", "import importlib", "blosc2.unpack(content)"):  # fmt: skip
        assert LOADERS.search(line), line
    assert not LOADERS.search("network.eval()")


def test_50_nothing_opens_a_connection():
    senders = re.compile(r"^\s*(import|from)\s+(urllib|requests|http|ftplib|smtplib|xmlrpc|socketserver|webbrowser)\b")
    package = Path(darnet.__file__).parent
    lines = [line for path in package.rglob("*.py") for line in path.read_text("utf-8").splitlines()]
    assert [line for line in lines if senders.match(line)] == []
    assert [line for line in lines if "socket." in line and "gethostname" not in line] == []


def saved_by_torch(marker):
    stream = io.BytesIO()
    torch.save({"state_dict": Harm(marker)}, stream)
    return stream.getvalue()


@pytest.mark.parametrize("kind", ["pickle", "torch"])
def test_50_malicious_pickle_as_any_file(bench, marker, kind):
    harm = pickle.dumps(Harm(marker)) if kind == "pickle" else saved_by_torch(marker)
    for path, run, code in (
        (checkpoint_of(bench.model), bench.predict, 2),
        (bench.model / "plans.json", bench.predict, 2),
        (bench.scan, bench.predict, 3),
        (bench.source, bench.plan, 3),
        (bench.raw / "dataset.json", bench.plan, 3),
    ):
        whole = path.read_bytes()
        path.write_bytes(harm)
        bench.refused(run, path.name, code=code)
        path.write_bytes(whole)
    model = bench.root / "model.zip"
    model.write_bytes(harm)
    bench.refused(lambda *flags: bench.run(import_model.main, ["-i", model, *bench.common(), *flags]), model, code=2)


def test_50_malicious_files_of_the_stores(bench, marker):
    bench.shrink()
    folder = bench.preprocessed()
    for path, run in (
        (folder / "splits.json", lambda: read_fold(folder / "splits.json", 0)),
        (folder / "source" / "s1.json", lambda: CaseStore(folder / "source").record("s1")),
        (folder / "source" / "s1_image.b2nd", lambda: CaseStore(folder / "source").image("s1")),
    ):
        whole = path.read_bytes()
        path.write_bytes(pickle.dumps(Harm(marker)))
        with pytest.raises((ConfigurationError, DataError)) as caught:
            run()
        assert str(path) in str(caught.value)
        path.write_bytes(whole)
    # An array that blosc2 would compute with code that the file brings.
    values = blosc2.asarray(np.arange(10.0), urlpath=str(folder / "values.b2nd"), mode="w")
    blosc2.lazyudf(_harmful_udf, (values,), dtype=np.float64).save(urlpath=str(folder / "source" / "s1_image.b2nd"))
    with pytest.raises(DataError, match="instructions instead of values"):
        CaseStore(folder / "source").image("s1")


@pytest.mark.parametrize("content", ["{}", "[1]", '[{"train": 1, "val": []}]', '[{"train": [1], "val": []}]', "3"])
def test_50_folds_of_another_form(tmp_path, content):
    path = tmp_path / "splits.json"
    path.write_text(content)
    for fold in (0, "all"):
        with pytest.raises(ConfigurationError, match="folds") as caught:
            read_fold(path, fold)
        assert caught.value.remedy


def _harmful_udf(inputs, output, offset):
    raise AssertionError("executed")


@pytest.mark.parametrize("case_id", ["../s1", "a/b", "/etc/passwd", "a\\b", "", "a\0b"])
def test_50_names_of_cases_stay_in_their_folder(bench, case_id):
    bench.shrink()
    store = CaseStore(bench.preprocessed() / "target")
    with pytest.raises(DataError, match="cannot be a file name"):
        store.record(case_id)
    with pytest.raises(DataError, match="cannot be a file name"):
        store.remove(case_id)
    folds = [{"train": [case_id, "s1", "s2"], "val": []}]
    (bench.preprocessed() / "splits.json").write_text(json.dumps(folds))
    code, _, err = bench.train("--quiet")
    assert code in (2, 3)
    assert "missing" in err or "cannot be a file name" in err


@pytest.mark.parametrize(
    "change",
    [
        {"stage": "__class__"},
        {"stage": "seed"},
        {"stage": ["segmentation"]},
        {"iteration": "many"},
        {"plan": None},
        {"labels": {"background": 0}},
    ],
    ids=str,
)
def test_50_names_in_a_checkpoint_are_looked_up_and_nothing_else(bench, change):
    path = checkpoint_of(bench.model)
    tensors, meta = load_checkpoint(path)
    path.write_bytes(pack_checkpoint(tensors, meta | change))
    bench.refused(bench.predict, code=2)


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("translation", "style_norm", "os.system"),
        ("synthesis", "choice", "__import__"),
        ("inference", "average", "darnet.cli.main"),
        ("preprocessing", "through_plane", "X"),
        ("segmentation", "channels", [1 << 40, 1 << 40]),
        ("segmentation", "channels", [4] * 5000),
        ("segmentation", "loss", "evil.Loss"),
    ],
)
def test_50_names_and_sizes_in_a_plan(bench, part, key, value):
    path = bench.model / "plans.json"
    values = json.loads(path.read_text())
    values[part][key] = value
    path.write_text(json.dumps(values))
    bench.refused(bench.predict, code=2)


@pytest.fixture
def model(bench):
    """A file that darnet_export_model wrote."""
    path = bench.root / "model.zip"
    assert bench.run(export_model.main, ["-m", bench.model, "-o", path, "--quiet"])[0] == 0
    return path


def unpacked(path):
    with zipfile.ZipFile(path) as content:
        return {name: content.read(name) for name in content.namelist()}


def pack(path, files, change=lambda info: None, sums=True):
    """A zip of these files; its manifest is sound unless it is left as it is."""
    if sums and "model.json" in files:
        values = json.loads(files["model.json"])
        values["files"] = {
            name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
            for name, content in files.items()
            if name != "model.json"
        }
        files = files | {"model.json": json.dumps(values).encode()}
    with zipfile.ZipFile(path, "w") as content:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            change(info)
            content.writestr(info, data)


@pytest.fixture
def refused_model(bench, model):
    def run(*words):
        def command(*flags):
            return bench.run(import_model.main, ["-i", model, *bench.common(), *flags])

        return bench.refused(command, model, *words, code=2)

    return run


def test_50_the_model_is_imported_as_it_stands(bench, model):
    # Without this the refusals below would prove nothing.
    pack(model, unpacked(model))
    assert bench.run(import_model.main, ["-i", model, *bench.common()])[0] == 0


@pytest.mark.parametrize(
    "name",
    [
        "../../../evil.txt",
        "/etc/evil",
        "segmentation/../../evil/checkpoint.safetensors",
        "segmentation/fold_0/../../../../x/checkpoint.safetensors",
        "..\\evil.txt",
        "C:\\evil.txt",
        "segmentation/fold_0/evil.py",
        "plans.json/",
        "segmentation/fold_0/checkpoint.safetensors\n",
    ],
)
def test_50_zip_slip(bench, model, refused_model, name):
    pack(model, unpacked(model) | {name: b"evil"})
    refused_model("an entry that no model has", "model.json, plans.json")
    assert not list(bench.root.parent.rglob("evil*"))


def test_50_zip_bomb(model, refused_model):
    def compress(info):
        info.compress_type = zipfile.ZIP_DEFLATED

    files = unpacked(model)
    pack(model, files | {"plans.json": bytes(100 << 20)}, compress)
    assert model.stat().st_size < 1 << 20
    refused_model("a compressed file")
    # Entries that say to be stored, and to be longer than the whole file.
    pack(model, files)
    content = bytearray(model.read_bytes())
    start = content.rindex(b"PK\1\2", 0, content.rindex(b"plans.json"))
    for place in (20, 24):
        content[start + place : start + place + 4] = (3 << 20).to_bytes(4, "little")
    model.write_bytes(content)
    refused_model("overlap")


def test_50_too_many_and_too_large(model, refused_model, monkeypatch):
    files = unpacked(model)
    weights = files["segmentation/fold_0/checkpoint.safetensors"]
    pack(model, files | {f"segmentation/fold_{n}/checkpoint.safetensors": b"x" for n in range(1, 300)})
    refused_model("too many files", "302", "at most 256")
    pack(model, files)
    monkeypatch.setattr(archive_module, "LARGEST_WEIGHTS", len(weights) - 1)
    refused_model("too large", f"{len(weights)} bytes")


def test_50_links_twins_and_passwords(model, refused_model):
    files = unpacked(model)

    def link(info):
        info.external_attr = (stat.S_IFLNK | 0o777) << 16

    pack(model, files, link)
    refused_model("a link or an encrypted file")
    with zipfile.ZipFile(model, "w") as content, pytest.warns(UserWarning, match="Duplicate"):
        for name, data in [*files.items(), ("plans.json", b"{}")]:
            content.writestr(name, data)
    refused_model("a file twice", "plans.json")


@pytest.mark.parametrize("place", [0.3, 0.6])
def test_50_a_model_with_a_flipped_bit(bench, model, refused_model, place):
    flip(place)(model)
    refused_model("damaged")


def test_50_hundreds_of_damaged_models(tmp_path, monkeypatch):
    """Whatever is wrong with a zip, it is refused as such. The networks, which the sums hold for, are left out."""
    monkeypatch.setattr(install_module, "_check_model", lambda *_: None)
    path = tmp_path / "model.zip"
    files = [("plans.json", b"{}" * 20), ("segmentation/fold_0/checkpoint.safetensors", b"w" * 300)]
    archive_module.write_archive(path, files, {"dataset": "Dataset001_A"})
    whole, rng, counts = path.read_bytes(), np.random.default_rng(0), {"refused": 0, "same": 0}
    for number in range(400):
        content = bytearray(whole)
        for _ in range(rng.integers(1, 4)):
            place = int(rng.integers(len(content) if rng.random() < 0.5 else 400)) - (400 if rng.random() < 0.5 else 0)
            if rng.random() < 0.8:
                content[place] = int(rng.choice([0, 1, 128, 255, int(rng.integers(256))]))
            else:
                content[place:place] = rng.bytes(int(rng.integers(1, 30)))
        path.write_bytes(content)
        try:
            target = install_module.import_model(path, tmp_path / str(number))
        except ConfigurationError:
            counts["refused"] += 1
            assert not (tmp_path / str(number)).exists()
        else:
            counts["same"] += 1
            assert {name: (target / name).read_bytes() for name, _ in files} == dict(files)
    assert counts["refused"] > 200 and counts["same"] > 10


def test_50_a_model_whose_sums_are_wrong(model, refused_model):
    files = unpacked(model)
    files["plans.json"] = files["plans.json"].replace(b'"seed": 0', b'"seed": 1')
    pack(model, files, sums=False)
    refused_model("a file of the model is damaged", "plans.json", "SHA-256")


def test_50_a_truncated_model(model, refused_model):
    cut(model)
    refused_model("no zip, or damaged")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": "other"}, "a format that is not read"),
        ({"version": 99}, "version 99"),
        ({"dataset": "../../evil"}, "cannot be a folder's"),
        ({"dataset": None}, "cannot be a folder's"),
    ],
)
def test_50_the_manifest_of_a_model(bench, model, change, words):
    files = unpacked(model)
    files["model.json"] = json.dumps(json.loads(files["model.json"]) | change).encode()
    pack(model, files)
    with bench.unchanged():
        code, _, err = bench.run(import_model.main, ["-i", model, *bench.common()])
    assert code == 2
    assert words in err


def test_50_harm_within_a_model(bench, model, marker, refused_model):
    files = unpacked(model)
    name = "segmentation/fold_0/checkpoint.safetensors"
    for content in (pickle.dumps(Harm(marker)), saved_by_torch(marker)):
        pack(model, files | {name: content})
        refused_model(name, "damaged")
    values = json.loads(files["plans.json"])
    values["segmentation"]["channels"] = [1 << 20, 1 << 20]
    pack(model, files | {"plans.json": json.dumps(values).encode()})
    refused_model("another plan")
    pack(model, files | {"plans.json": b"[" * 100000})
    refused_model("the file is not JSON that can be used", "plans.json")
    pack(model, {key: value for key, value in files.items() if key != name})
    refused_model("no network")


@pytest.mark.parametrize("occupant", ["results", "empty folder", "file", "dangling link"])
def test_50_a_model_never_replaces_anything(bench, model, occupant):
    place = bench.root / "results" / "Dataset007_Small"
    place.parent.mkdir()
    if occupant == "results":
        shutil.copytree(bench.model, place)
    elif occupant == "empty folder":
        place.mkdir()
    elif occupant == "file":
        place.write_text("mine")
    else:
        place.symlink_to("nowhere")
    with bench.unchanged():
        code, _, err = bench.run(import_model.main, ["-i", model, *bench.common()])
    assert code == 2
    assert "there are results of this data set" in err


def test_50_an_interrupted_import_leaves_nothing(bench, model, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("darnet.sharing.install.load_network", stop)
    before = tree(bench.root)
    assert bench.run(import_model.main, ["-i", model, *bench.common()])[0] == 130
    assert tree(bench.root) == before


@pytest.mark.parametrize(
    ("main", "flags", "words"),
    [
        (plan_and_preprocess.main, ["-d", "7", "--plan-only"], "unrecognized arguments: --plan-only"),
        (plan_and_preprocess.main, ["-d", "7", "--verif"], "unrecognized arguments: --verif"),
        (plan_and_preprocess.main, ["-d", "7", "--preset", "fats"], "invalid choice: 'fats'"),
        (plan_and_preprocess.main, ["-d", "7", "-np", "0"], "at least 1"),
        (plan_and_preprocess.main, ["-d", "70"], "there is no data set 70"),
        (predict.main, ["-i", "x", "-o", "y", "-d", "7", "--save_probs"], "unrecognized arguments"),
        (train.main, ["7"], "required: fold"),
        (train.main, ["7", "0", "--no_adaption"], "unrecognized arguments"),
        (export_model.main, ["-d", "7"], "required: -o"),
        (import_model.main, ["-i", "x", "--names", "y"], "unrecognized arguments: --names y"),
    ],
)
def test_53_mistyped_flag(bench, main, flags, words):
    with bench.unchanged():
        code, out, err = bench.run(main, [*flags, *bench.common()])
    assert (code, out) == (2, "")
    assert words in err


def test_53_part_id_that_does_not_exist(bench):
    for part in (2, 3):
        err = bench.refused(
            lambda *flags, part=part: bench.predict("-num_parts", 2, "-part_id", part, *flags),
            "there is no such part",
            f"-part_id {part} with -num_parts 2",
            "from 0 to 1",
            code=2,
        )
        assert "expected" in err


def test_53_missing_fold(bench):
    bench.refused(
        lambda *flags: bench.predict("-f", "3", *flags), "fold 3 is not trained", "trained folds: 0", "-f", code=2
    )
    with pytest.raises(ConfigurationError, match="fold 3 is not trained"):
        Predictor.from_results(bench.model, folds=(3,))
    bench.shrink()
    for fold in ("9", "first", "-1"):
        with bench.unchanged():
            code, _, err = bench.train("--quiet", fold=fold)
        assert code == 2
        assert f"there is no fold {fold}" in err or "required: fold" in err
