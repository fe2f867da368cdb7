from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from darnet.errors import DataError
from darnet.io import load_checkpoint
from darnet.training.hooks import Checkpoint, JsonLinesLog, Periodic, ProgressBar, ProgressPicture, read_log
from darnet.training.loop import run_training

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass
class PlainLosses:
    total: float
    part: float = 1.0
    cases: tuple[str, ...] = ("a",)

    def values(self) -> dict[str, float]:
        return {"total": self.total, "part": self.part}


class CountingStep:
    stage = "test"

    def __init__(self) -> None:
        self.done = 0

    def update(self, iteration: int) -> PlainLosses:
        self.done = iteration + 1
        return PlainLosses(float(iteration))

    def tensors(self) -> dict[str, torch.Tensor]:
        return {"done": torch.tensor([float(self.done)])}

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        self.done = int(tensors["done"])


def json_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_log_writes_means_of_every_few_iterations(tmp_path):
    log = JsonLinesLog(tmp_path / "log.jsonl", "translation", every=4)
    for iteration in range(10):
        log.after_update(iteration, PlainLosses(float(iteration), 2.0 * iteration))
    log.at_end(10)
    rows = json_lines(tmp_path / "log.jsonl")
    assert [r["iteration"] for r in rows] == [4, 8, 10]
    assert [r["total"] for r in rows] == [1.5, 5.5, 8.5]
    assert [r["part"] for r in rows] == [3.0, 11.0, 17.0]
    assert all(r["stage"] == "translation" and r["skipped"] == 0 and r["seconds_per_iteration"] >= 0 for r in rows)


def test_log_has_no_line_for_nothing(tmp_path):
    log = JsonLinesLog(tmp_path / "log.jsonl", "test", every=2)
    log.at_end(0)
    assert not (tmp_path / "log.jsonl").exists()
    for iteration in range(2):
        log.after_update(iteration, PlainLosses(1.0))
    log.at_end(2)
    assert len(json_lines(tmp_path / "log.jsonl")) == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_log_counts_bad_iterations_and_leaves_them_out_of_the_mean(tmp_path, bad):
    log = JsonLinesLog(tmp_path / "log.jsonl", "test", every=4)
    for iteration, value in enumerate((2.0, bad, 4.0, 6.0)):
        log.after_update(iteration, PlainLosses(value))
    (row,) = json_lines(tmp_path / "log.jsonl")
    assert row["skipped"] == 1
    assert row["total"] == 4.0


def test_log_goes_on_in_the_file_of_a_former_run(tmp_path):
    for start in (0, 2):
        log = JsonLinesLog(tmp_path / "log.jsonl", "test", every=2)
        for iteration in range(start, start + 2):
            log.after_update(iteration, PlainLosses(float(iteration)))
    assert [r["iteration"] for r in json_lines(tmp_path / "log.jsonl")] == [2, 4]


def test_log_that_cannot_be_written_says_so_once_and_training_goes_on(tmp_path, capsys):
    log = JsonLinesLog(tmp_path / "missing" / "log.jsonl", "test", every=1)
    step = CountingStep()
    run_training(step, 3, [log])
    assert step.done == 3
    assert capsys.readouterr().err.count("JsonLinesLog failed (FileNotFoundError") == 1


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    step = CountingStep()
    hook = Checkpoint(tmp_path / "checkpoint.safetensors", step, {"stage": "test"}, every=1)
    hook.after_update(0, step.update(0))
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    step.done = math.nan
    with pytest.raises(DataError, match="not finite any more"):
        hook.after_update(1, PlainLosses(1.0))
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_read_log_skips_what_a_crash_cut_off_and_keeps_the_last_of_a_repeat(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = [
        '{"iteration": 10, "total": 1}',
        '{"iteration": 20, "total": 2}',
        '{"iteration": 30, "to',
        "7",
        '{"total": 3}',
        '{"iteration": 20, "total": 5}',
        '{"iteration": 15, "total": 4}',
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
    assert [(r["iteration"], r["total"]) for r in read_log(path)] == [(10, 1), (15, 4), (20, 5)]


def test_read_log_without_a_file(tmp_path):
    assert read_log(tmp_path / "log.jsonl") == []


def test_progress_picture(tmp_path):
    log = JsonLinesLog(tmp_path / "log.jsonl", "test", every=1)
    picture = ProgressPicture(tmp_path / "log.jsonl", tmp_path / "progress.png", every=2)
    picture.at_end(0)
    assert not (tmp_path / "progress.png").exists()
    for iteration in range(2):
        log.after_update(iteration, PlainLosses(1.0 / (iteration + 1)))
        picture.after_update(iteration, PlainLosses(1.0))
        assert (tmp_path / "progress.png").exists() == (iteration == 1)
    assert (tmp_path / "progress.png").read_bytes().startswith(PNG)
    (tmp_path / "progress.png").unlink()
    picture.at_end(2)
    assert (tmp_path / "progress.png").exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log.jsonl", "progress.png"]


def test_progress_picture_shows_all_losses_though_the_last_row_has_none(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("darnet.training.pictures.save_figure", lambda figure, path: drawn.append(figure))
    rows = [
        {"iteration": 1, "seconds_per_iteration": 0.1, "skipped": 0, "total": 1.0},
        {"iteration": 2, "seconds_per_iteration": 0.3, "skipped": 1},
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    ProgressPicture(tmp_path / "log.jsonl", tmp_path / "progress.png", 1).at_end(2)
    axes = drawn[0].axes
    assert [axis.get_ylabel() for axis in axes] == ["total", "seconds per iteration"]
    assert axes[0].lines[0].get_xydata().tolist() == [[1, 1.0]]
    assert axes[1].lines[0].get_xydata().tolist() == [[1, 0.1], [2, 0.3]]


def test_checkpoint_is_saved_every_few_iterations_and_at_the_end_once(tmp_path, monkeypatch):
    step, saved = CountingStep(), []
    hook = Checkpoint(tmp_path / "checkpoint.safetensors", step, {"stage": "test"}, every=3)
    monkeypatch.setattr("darnet.training.hooks.save_checkpoint", lambda path, tensors, meta: saved.append(meta))
    for iteration in range(6):
        hook.after_update(iteration, step.update(iteration))
    hook.at_end(6)
    assert [m["iteration"] for m in saved] == [3, 6]
    hook.after_update(6, step.update(6))
    hook.at_end(7)
    assert saved[-1] == {"stage": "test", "iteration": 7}
    assert len(saved) == 3


def test_checkpoint_round_trip(tmp_path):
    step = CountingStep()
    hook = Checkpoint(tmp_path / "checkpoint.safetensors", step, {"stage": "test"}, every=2)
    for iteration in range(2):
        hook.after_update(iteration, step.update(iteration))
    tensors, meta = load_checkpoint(tmp_path / "checkpoint.safetensors")
    assert meta["iteration"] == 2
    assert meta["stage"] == "test"
    again = CountingStep()
    again.load(tensors)
    assert again.done == 2


@pytest.mark.parametrize(("iterations", "calls"), [(6, [3, 6]), (7, [3, 6, 7]), (2, [2])])
def test_periodic(iterations, calls):
    seen: list[int] = []
    hook = Periodic(seen.append, every=3)
    for iteration in range(iterations):
        hook.after_update(iteration, PlainLosses(1.0))
    hook.at_end(iterations)
    assert seen == calls


def test_progress_bar_counts_from_where_it_starts(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    bar = ProgressBar("test", iterations=5, start=2)
    for iteration in (2, 3, 4):
        bar.after_update(iteration, PlainLosses(0.25))
    bar.at_end(5)
    said = capsys.readouterr().err
    assert "5/5" in said and "total 0.250" in said


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_bar_outside_a_terminal_says_nothing(capsys, quiet):
    bar = ProgressBar("test", iterations=2, quiet=quiet)
    bar.after_update(0, PlainLosses(0.25))
    bar.at_end(1)
    captured = capsys.readouterr()
    assert captured.err == captured.out == ""
