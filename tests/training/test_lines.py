from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass
from functools import partial

import pytest
import torch

from darnet.errors import ConfigurationError
from darnet.training import RunOptions
from darnet.training.lines import Means, TensorBoardLog, TrainingLines, peak_memory_gb, tell_start
from darnet.training.loop import run_training
from darnet.training.run import fit

CPU = torch.device("cpu")


@dataclass
class PlainLosses:
    total: float
    adversarial_image: float = 0.5
    cases: tuple[str, ...] = ("a",)

    def values(self):
        return {"total": self.total, "adversarial_image": self.adversarial_image}


class PlainStep:
    stage = "segmentation fold 0"

    def update(self, iteration):
        return PlainLosses(float(iteration))

    def tensors(self):
        return {"weight": torch.zeros(1)}

    def load(self, tensors):
        pass


def read_events(folder):
    """Steps and values of each loss, as TensorBoard itself reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder))
    events.Reload()
    return {tag: [(e.step, round(e.value, 4)) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_a_line_tells_means_time_and_memory():
    said, now = [], [0.0]
    lines = TrainingLines("translation", 100, CPU, 10, say=said.append, clock=lambda: now[0])
    for iteration in range(25):
        now[0] += 2.0
        lines.after_update(iteration, PlainLosses(math.nan if iteration == 3 else float(iteration)))
    lines.at_end(25)
    lines.at_end(25)
    assert len(said) == 3
    memory = r"\d+\.\d GB at most"
    assert re.fullmatch(
        "translation: iteration 10 of 100, total 4.67, adversarial image 0.5, 1 iteration skipped, "
        f"2 s an iteration, about 3 min left in this stage, {memory}",
        said[0],
    )
    assert said[1].startswith("translation: iteration 20 of 100, total 14.5,")
    assert said[2].startswith("translation: iteration 25 of 100, total 22,")


def test_slow_iterations_have_a_line_a_minute():
    said, now = [], [0.0]
    lines = TrainingLines("translation", 100, CPU, 10, say=said.append, clock=lambda: now[0])
    for iteration in range(10):
        now[0] += 25.0
        lines.after_update(iteration, PlainLosses(1.0))
    assert [line.split(",")[0].split()[2] for line in said] == ["3", "6", "9", "10"]


def test_after_a_resume_the_time_counts_from_there():
    said, now = [], [0.0]
    lines = TrainingLines("translation", 100, CPU, 10, 85, say=said.append, clock=lambda: now[0])
    for iteration in range(85, 90):
        now[0] += 2.0
        lines.after_update(iteration, PlainLosses(1.0))
    assert "2 s an iteration, about 20 s left in this stage" in said[0]


def test_means_start_anew():
    means = Means()
    means.add({"a": 1.0})
    means.add({"a": 3.0})
    means.add({"a": math.inf})
    assert means.take() == ({"a": 2.0}, 1)
    assert means.take() == ({}, 0)


def test_memory_of_this_process():
    before = peak_memory_gb(CPU)
    assert 0.05 < before < 100
    block = bytearray(1 << 28)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_memory_gb(CPU) >= before


def test_events_are_read_back(tmp_path):
    log = TensorBoardLog(tmp_path / "Größe 1", every=4)
    for iteration in range(10):
        log.after_update(iteration, PlainLosses(float(iteration)))
    log.at_end(10)
    assert read_events(tmp_path / "Größe 1") == {
        "total": [(4, 1.5), (8, 5.5), (10, 8.5)],
        "adversarial_image": [(4, 0.5), (8, 0.5), (10, 0.5)],
        "skipped": [(4, 0.0), (8, 0.0), (10, 0.0)],
    }


def test_without_tensorboard(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith(("tensorboard", "torch.utils.tensorboard"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)  # as if it were not installed
    with pytest.raises(ConfigurationError, match="pip install 'darnet"):
        TensorBoardLog(tmp_path, every=4)


def test_a_logger_that_fails_says_so_once_and_training_goes_on(tmp_path, capsys):
    log = TensorBoardLog(tmp_path / "events", every=1)

    def fail(*_):
        raise OSError("no space left")

    log.writer.add_scalar = fail
    run_training(PlainStep(), 3, [log])
    assert capsys.readouterr().err == "TensorBoardLog failed (OSError: no space left); training goes on without it\n"


@pytest.mark.parametrize("quiet", [False, True])
def test_a_run_in_a_log_file(tmp_path, capfd, quiet):
    meta = {"dataset": "x", "stage": "y", "plan": "z"}
    fit(PlainStep(), 100, tmp_path, meta, RunOptions(CPU, quiet=quiet, tensorboard=True))
    out, err = capfd.readouterr()
    assert out == ""
    assert len(err.splitlines()) == (0 if quiet else 50)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", err)
    assert [step for step, _ in read_events(tmp_path / "tensorboard")["total"]] == list(range(10, 101, 10))


@pytest.mark.parametrize(
    ("done", "said"),
    [
        (0, []),
        (177, ["segmentation fold 0 goes on after iteration 177 of 1250"]),
        (1250, ["segmentation fold 0 is done"]),
    ],
)
def test_a_stage_that_was_begun_before_says_where_it_goes_on(done, said):
    lines: list[str] = []
    tell_start("segmentation fold 0", done, 1250, lines.append)
    assert lines == said


@pytest.mark.parametrize("quiet", [False, True])
def test_a_finished_run_says_so(tmp_path, capfd, quiet):
    meta = {"dataset": "x", "stage": "y", "plan": "z"}
    fit(PlainStep(), 5, tmp_path, meta, RunOptions(CPU, quiet=True))
    capfd.readouterr()
    fit(PlainStep(), 5, tmp_path, meta, RunOptions(CPU, resume=True, quiet=quiet))
    assert capfd.readouterr().err == ("" if quiet else f"{PlainStep().stage} is done\n")


def test_a_resumed_run_hides_the_events_it_does_again(tmp_path):
    first = TensorBoardLog(tmp_path, every=2)
    for iteration in range(6):
        first.after_update(iteration, PlainLosses(float(iteration)))
    first.at_end(6)
    second = TensorBoardLog(tmp_path, every=2, start=4)
    for iteration in range(4, 8):
        second.after_update(iteration, PlainLosses(100.0))
    second.at_end(8)
    assert read_events(tmp_path)["total"] == [(2, 0.5), (4, 2.5), (6, 100.0), (8, 100.0)]


@pytest.mark.parametrize(
    ("now", "refused"),
    [
        ({"source/a": "1"}, ""),
        ({"source/a": "1", "synthetic/a_0": "2"}, ""),  # the checkpoint is older than hashes of this store
        ({"source/a": "9", "synthetic/a_0": "2"}, "source/a"),
        ({"source/a": "1", "source/b": "2"}, "source/b"),
        ({"synthetic/a_0": "2"}, "source/a"),
    ],
)
def test_a_run_goes_on_with_the_cases_that_it_began_with(tmp_path, now, refused):
    meta = {"dataset": "x", "stage": "y", "plan": "z"}
    fit(PlainStep(), 5, tmp_path, meta | {"data": {"source/a": "1"}}, RunOptions(CPU, quiet=True))
    more = partial(fit, PlainStep(), 7, tmp_path, meta | {"data": now}, RunOptions(CPU, resume=True, quiet=True))
    if refused:
        with pytest.raises(ConfigurationError, match=f"changed, new or gone: {refused}\n"):
            more()
    else:
        more()


def test_what_is_called_at_the_start_is_not_where_nothing_is_left(tmp_path):
    meta, begun = {"dataset": "d", "stage": "x", "plan": "p"}, []
    for iterations, resume in ((5, False), (5, True), (7, True)):
        options = RunOptions(CPU, resume=resume, quiet=True)
        fit(PlainStep(), iterations, tmp_path, meta, options, begin=lambda done=iterations: begun.append(done))
    assert begun == [5, 7]
