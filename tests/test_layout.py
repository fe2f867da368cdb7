from __future__ import annotations

from pathlib import Path

import pytest

from darnet.errors import (
    ConfigurationError,
    DarnetError,
    DataError,
    ExitCode,
    Interrupted,
    ResourceError,
    SomeCasesFailed,
    Terminated,
    raise_together,
)
from darnet.layout import DatasetLayout, find_dataset, find_root


@pytest.fixture
def root(tmp_path):
    for name in ("Dataset101_Abdomen", "Dataset007_Heart", "Dataset055_One", "Dataset055_Two"):
        (tmp_path / "raw" / name).mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("101", "Dataset101_Abdomen"),
        ("7", "Dataset007_Heart"),
        ("007", "Dataset007_Heart"),
        ("Dataset055_Two", "Dataset055_Two"),
    ],
)
def test_by_id_and_name(root, asked, found):
    layout = find_dataset(asked, root)
    assert layout == DatasetLayout(root, found)
    assert layout.raw == root / "raw" / found


def test_by_path(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere") / "Dataset001_Far"
    folder.mkdir()
    layout = find_dataset(str(folder), root)
    assert layout.dataset_json == folder / "dataset.json"
    assert layout.images("target") == folder / "imagesTr_target"
    assert layout.preprocessed == root / "preprocessed" / "Dataset001_Far"


def test_a_model_by_any_name_that_it_was_imported_under(root, tmp_path_factory, monkeypatch):
    for name in ("Model1", "Dataset7"):
        (root / "results" / name).mkdir(parents=True)
        (root / "results" / name / "plans.json").write_text("{}")
    (root / "results" / "notes").mkdir()
    assert find_dataset("Model1", root) == DatasetLayout(root, "Model1")
    assert find_dataset("Dataset7", root) == DatasetLayout(root, "Dataset7")
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))
    for asked in ("notes", "Model2", "results/Model1"):
        with pytest.raises(ConfigurationError, match="there is no data set") as refused:
            find_dataset(asked, root)
        assert "Dataset007_Heart" in str(refused.value) and "Model1" in str(refused.value)


def test_a_folder_of_scans_comes_before_the_results_of_its_name(root, tmp_path, monkeypatch):
    (root / "results" / "mine").mkdir(parents=True)
    (root / "results" / "mine" / "plans.json").write_text("{}")
    (tmp_path / "here" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert find_dataset("mine", root).raw == tmp_path / "here" / "mine"


@pytest.mark.parametrize(
    ("asked", "message"), [("55", "not unique"), ("12", "no data set 12"), ("Heart", "no data set")]
)
def test_what_is_not_there(root, asked, message):
    with pytest.raises(ConfigurationError, match=message):
        find_dataset(asked, root)


def test_root(monkeypatch):
    monkeypatch.delenv("DARNET_ROOT", raising=False)
    assert find_root() == Path("darnet_data")
    monkeypatch.setenv("DARNET_ROOT", "/data")
    assert find_root() == Path("/data")
    assert find_root("here") == Path("here")


def test_places_of_a_data_set():
    layout = DatasetLayout(Path("r"), "D")
    assert layout.labels == Path("r/raw/D/labelsTr")
    assert layout.images("source") == Path("r/raw/D/imagesTr")
    assert layout.cases("target") == Path("r/preprocessed/D/target")
    assert layout.synthetic == Path("r/preprocessed/D/synthetic")
    assert layout.plans == Path("r/preprocessed/D/plans.json")
    assert layout.segmentation("all") == Path("r/results/D/segmentation/fold_all")
    assert layout.translation == Path("r/results/D/translation")


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ConfigurationError, 2),
        (DataError, 3),
        (ResourceError, 4),
        (SomeCasesFailed, 5),
        (Interrupted, 130),
        (Terminated, 143),
    ],
)
def test_exit_codes(kind, code):
    assert kind("x").exit_code == code == ExitCode(code)
    assert issubclass(kind, DarnetError)


def test_a_message_says_all():
    text = str(DataError("it is broken", where="a.nii", found=3, expected=4, remedy="mend it"))
    assert [line.split()[0] for line in text.splitlines()] == ["it", "where:", "found:", "expected:", "remedy:"]


def test_faults_together():
    raise_together([], "none")
    one = DataError("one")
    with pytest.raises(DataError) as caught:
        raise_together([one], "all")
    assert caught.value is one
    with pytest.raises(DataError, match="2 faults") as caught:
        raise_together([one, ConfigurationError("two")], "all")
    assert "one" in str(caught.value) and "two" in str(caught.value)
