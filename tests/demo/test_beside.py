from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from darnet.demo.beside import beside
from darnet.errors import DarnetError, DataError, ResourceError


def write(path: Path, text: str) -> None:
    path.write_text(f"{text} {os.getpid()}")


def wait_for_ever(path: Path) -> None:
    path.write_text("started")
    while True:
        time.sleep(0.05)


def fail(kind: str) -> None:
    if kind == "data":
        raise DataError("this scan is broken", where="case 7")
    if kind == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    raise ZeroDivisionError("by 0")


def wait_until(condition, seconds=60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)


def test_both_are_done_when_the_body_is_left(tmp_path):
    with beside(write, tmp_path / "note", text="done"):
        own = os.getpid()
    text, process = (tmp_path / "note").read_text().split()
    assert text == "done" and int(process) != own


@pytest.mark.parametrize(
    ("kind", "error", "match"),
    [
        ("data", DataError, "this scan is broken\n.*case 7"),
        ("killed", ResourceError, "ended without a word"),
        ("other", DarnetError, "ZeroDivisionError: by 0"),
    ],
)
def test_what_goes_wrong_beside_is_raised_here(kind, error, match):
    with pytest.raises(error, match=match), beside(fail, kind):
        pass


def test_a_body_that_fails_stops_the_other_process(tmp_path, monkeypatch):
    monkeypatch.setattr("darnet.demo.beside.GRACE_SECONDS", 0.1)
    start = time.monotonic()
    with pytest.raises(ValueError, match="own"), beside(wait_for_ever, tmp_path / "started"):
        wait_until((tmp_path / "started").exists)
        raise ValueError("own")
    assert time.monotonic() - start < 60


SCRIPT = """
import os, sys, time
from pathlib import Path
from darnet.demo.beside import beside

def note_itself(path):
    path.write_text(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    with beside(note_itself, Path(sys.argv[1])):
        time.sleep(600)
"""


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    # A process that has ended but that nobody has waited for does not count.
    return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc whether a process is alive")
def test_the_other_process_does_not_outlive_this_one(tmp_path):
    script, note = tmp_path / "script.py", tmp_path / "note"
    script.write_text(SCRIPT)
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    with subprocess.Popen([sys.executable, str(script), str(note)], env=environment) as parent:
        wait_until(lambda: note.exists() and note.read_text())
        parent.kill()
    wait_until(lambda: not alive(int(note.read_text())))
