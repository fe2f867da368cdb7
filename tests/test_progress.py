from __future__ import annotations

import io
import re

import pytest

from darnet.progress import message, progress, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def run(stream, total=200, start=0, seconds=3.0, **kwargs):
    clock = Clock()
    with progress("segmentation fold 0", total, "iteration", start, stream=stream, clock=clock, **kwargs) as shown:
        for n in range(start, total):
            clock.now += seconds
            shown.note(f"loss {n / 1000:.3f}")
            shown.update()


def test_a_log_file_gets_a_line_a_minute():
    log = io.StringIO()
    run(log)
    lines = log.getvalue().splitlines()
    assert len(lines) == 10  # 600 s: after each full minute but the last, and at the end
    assert lines[0] == "segmentation fold 0: iteration 20 of 200, 1 min gone, about 9 min left, loss 0.019"
    assert lines[4] == "segmentation fold 0: iteration 100 of 200, 5 min gone, about 5 min left, loss 0.099"
    assert lines[-1] == "segmentation fold 0: iteration 200 of 200, in 10 min, loss 0.199"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", log.getvalue())


def test_what_was_done_before_does_not_count_for_the_time_left():
    log = io.StringIO()
    run(log, start=160)
    assert (
        log.getvalue()
        .splitlines()[0]
        .startswith("segmentation fold 0: iteration 180 of 200, 1 min gone, about 1 min left")
    )


def test_short_work_gets_one_line():
    log = io.StringIO()
    run(log, total=4, seconds=1.0)
    assert log.getvalue() == "segmentation fold 0: iteration 4 of 4, in 4 s, loss 0.003\n"


def test_a_terminal_gets_a_bar_with_the_time_left():
    terminal = Terminal()
    run(terminal, total=3)
    text = terminal.getvalue()
    assert "\r" in text
    assert "segmentation fold 0: 100%" in text
    assert "3/3" in text
    assert "iteration" in text


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_quiet_is_quiet(stream):
    run(stream, quiet=True)
    assert stream.getvalue() == ""


def test_it_is_closed_after_an_error():
    log = io.StringIO()
    with pytest.raises(ValueError, match="stop"), progress("work", 10, stream=log) as shown:
        shown.update(3)
        raise ValueError("stop")
    assert log.getvalue() == "work: case 3 of 10, in 0 s\n"


def test_track(capsys):
    assert list(track(tuple("abc"), "read", "scan")) == ["a", "b", "c"]
    assert capsys.readouterr().err == "read: scan 3 of 3, in 0 s\n"
    assert list(track(["a"], "read", quiet=True)) == ["a"]
    assert capsys.readouterr().err == ""


def test_messages():
    log, terminal = io.StringIO(), Terminal()
    message("case 3 failed", log)
    message("case 3 failed", terminal)
    assert log.getvalue() == terminal.getvalue() == "case 3 failed\n"


def test_work_with_lines_of_its_own_has_a_bar_alone():
    log, terminal = io.StringIO(), Terminal()
    for stream in (log, terminal):
        with progress("train", 2, stream=stream, lines=False) as shown:
            shown.update(2)
    assert log.getvalue() == ""
    assert "train" in terminal.getvalue()
