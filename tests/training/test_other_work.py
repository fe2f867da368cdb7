"""Cores that other programs use, from times written by hand and from this machine."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest

from darnet.training.other_work import STAT, Moment, cores_here, cores_of_others, this_moment


@pytest.mark.parametrize(
    ("machine", "own", "seconds", "expected"),
    [
        (0.0, 0.0, 2.0, 0.0),
        (4.0, 4.0, 2.0, 0.0),  # all work is this process's own
        (4.0, 2.0, 2.0, 1.0),
        (2.0, 2.1, 2.0, 0.0),  # the clocks are not of one precision
        (1.0, 0.0, 0.0, 0.0),
    ],
)
def test_cores_of_others(machine, own, seconds, expected):
    before = Moment(10.0, 100.0, 5.0)
    after = Moment(10.0 + seconds, 100.0 + machine, 5.0 + own)
    assert cores_of_others(before, after) == pytest.approx(expected)


def test_not_known():
    assert cores_of_others(None, Moment(1.0, 1.0, 1.0)) == 0
    assert cores_of_others(Moment(1.0, 1.0, 1.0), None) == 0


def test_work_of_the_cores_that_are_open_here(tmp_path, monkeypatch):
    """What is idle, waits for disks, or was taken by another machine is no work; nor do other cores count."""
    monkeypatch.setattr("os.sysconf", lambda name: 100, raising=False)
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {1, 10}, raising=False)
    stat = tmp_path / "stat"
    stat.write_text(
        "cpu  1 1 1 1 1 1 1 1 1 1\ncpu0 900 1 1 1 1 1 1 1 1 1\ncpu1 100 20 30 9000 4000 5 6 7 50 60\n"
        "cpu10 1 1 1 0 0 1 1 0 0 0\nintr 5\n"
    )
    assert this_moment(stat).machine == pytest.approx(1.61 + 0.05)
    assert cores_here() == 2


@pytest.mark.parametrize("text", [None, "", "cpu0 a b c", "cpu0 1 2", "cpu 1 1 1 1 1 1 1 1"])
def test_a_system_that_does_not_tell(tmp_path, monkeypatch, text):
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {0}, raising=False)
    stat = tmp_path / "stat"
    if text is not None:
        stat.write_text(text)
    assert this_moment(stat) is None


@pytest.mark.skipif(not STAT.exists(), reason="only Linux has /proc/stat")
def test_another_program_is_seen():
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            before = this_moment()
            time.sleep(1)
            found = cores_of_others(before, this_moment())
        finally:
            other.kill()
    assert found > 0.3
