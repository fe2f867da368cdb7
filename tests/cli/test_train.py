from __future__ import annotations

import pytest

from darnet import baselines, pipeline
from darnet.cli.train import STAGES, main
from darnet.io import write_json
from darnet.layout import DatasetLayout

NAME = "Dataset007_Small"


@pytest.fixture
def layout(tmp_path, make_small_plans):
    """A data set that is planned, with two folds and no preprocessed case."""
    layout = DatasetLayout(tmp_path, NAME)
    layout.preprocessed.mkdir(parents=True)
    write_json(layout.plans, make_small_plans().to_json())
    write_json(layout.splits, [{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}])
    return layout


@pytest.fixture
def command(tmp_path):
    def run(*flags, dataset="7"):
        return main([str(flag) for flag in (dataset, *flags, "--root", tmp_path, "-device", "cpu")])

    return run


@pytest.fixture
def calls(monkeypatch):
    """What the command would train."""
    made = []
    monkeypatch.setattr(pipeline, "train", lambda *args, **_: made.append(("train", *args)))
    monkeypatch.setattr(baselines, "train_without_adaptation", lambda *args: made.append(("baseline", *args)))
    return made


def test_stages_are_those_of_the_pipeline():
    assert STAGES == pipeline.STAGES


def test_defaults(layout, command, calls, capsys):
    assert command("0") == 0
    ((kind, found, plans, fold, options, stage),) = calls
    assert (kind, found, fold, stage) == ("train", layout, "0", "all")
    assert plans.seed == 0
    assert (options.device.type, options.resume, options.quiet) == ("cpu", False, False)
    said = capsys.readouterr().out
    assert "Dataset007_Small, preset fast, fold 0, on cpu" in said
    assert str(layout.results) in said


def test_flags(layout, command, calls, capsys):
    assert command("all", "--continue", "--stage", "synthesis", "--seed", "9", "--quiet") == 0
    ((_, _, plans, fold, options, stage),) = calls
    assert (plans.seed, fold, options.resume, options.quiet, stage) == (9, "all", True, True, "synthesis")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    "flags",
    [["-d", "7", "1"], ["1", "-d", "7"], ["--continue", "-d", "7", "--stage", "all", "1"], ["7", "--continue", "1"]],
)
def test_the_data_set_may_be_named_as_elsewhere(layout, tmp_path, calls, flags):
    assert main([*flags, "--root", str(tmp_path), "-device", "cpu"]) == 0
    ((_, found, _, fold, *_),) = calls
    assert (found, fold) == (layout, "1")


def test_the_next_command_names_the_root_again(layout, tmp_path, calls, capsys, monkeypatch):
    own = tmp_path.rename(tmp_path.with_name("of two words"))
    assert main(["7", "1", "--root", str(own), "-device", "cpu"]) == 0
    assert f"-d 7 -f 1 --root '{own}' --preview" in capsys.readouterr().out
    monkeypatch.setenv("DARNET_ROOT", str(own))
    assert main(["7", "1", "-device", "cpu"]) == 0
    assert "-d 7 -f 1 --preview" in capsys.readouterr().out


def test_baseline(layout, command, calls):
    assert command("1", "--no_adaptation") == 0
    ((kind, found, _, fold, _),) = calls
    assert (kind, found, fold) == ("baseline", layout, "1")


@pytest.mark.parametrize(
    "flags",
    [[], ["0", "--stage", "everything"], ["0", "--seed", "x"], ["0", "--cont"], ["0", "1"], ["0", "-device", "tpu"]],
)
def test_wrong_flags(layout, command, calls, capsys, flags):
    assert command(*flags) == 2
    assert "darnet_train" in capsys.readouterr().err
    assert not calls


@pytest.mark.parametrize("baseline", ["--no_adaptation", "--no_translation"])
def test_a_baseline_has_no_stages(layout, command, calls, capsys, baseline):
    assert command("0", baseline, "--stage", "translation") == 2
    said = capsys.readouterr().err
    assert "a baseline has no stages" in said
    assert f"{baseline} --stage translation" in said and "leave out --stage" in said
    assert not calls


def test_no_such_data_set(layout, command, calls, capsys):
    assert command("0", dataset="8") == 2
    said = capsys.readouterr().err
    assert "there is no data set 8" in said
    assert NAME in said


def test_missing_plan(layout, command, calls, capsys):
    layout.plans.unlink()
    assert command("0") == 2
    said = capsys.readouterr().err
    assert "there is no plan" in said
    assert str(layout.plans) in said
    assert "darnet_plan_and_preprocess" in said
    assert not calls


@pytest.mark.parametrize("fold", ["2", "5", "-1", "x", "0.5", "ALL"])
@pytest.mark.parametrize("flags", [[], ["--no_adaptation"]])
def test_unknown_fold(layout, command, capsys, hashes_of_tree, tmp_path, fold, flags):
    before = hashes_of_tree(tmp_path)
    assert command(fold, *flags) == 2
    if fold != "-1":  # which argparse takes for a flag
        said = capsys.readouterr().err
        assert f"there is no fold {fold}" in said
        assert "0 to 1, or all" in said
    assert hashes_of_tree(tmp_path) == before


def test_missing_splits(layout, command, capsys):
    layout.splits.unlink()
    assert command("0") == 2
    said = capsys.readouterr().err
    assert "there are no folds" in said
    assert "darnet_plan_and_preprocess" in said


@pytest.mark.parametrize("stage", ["synthesis", "segmentation"])
def test_stages_need_the_translator(layout, command, capsys, monkeypatch, stage):
    for check in ("check_preprocessed", "refuse_unfinished"):
        monkeypatch.setattr(pipeline, check, lambda *_: None)
    assert command("0", "--stage", stage) == 2
    said = capsys.readouterr().err
    assert "translation" in said
    assert "Traceback" not in said
