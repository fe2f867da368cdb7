from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest
from filelock import FileLock

from darnet.errors import ConfigurationError
from darnet.io.lock import is_held, only_one

HOLDER = """
import sys, time
from filelock import FileLock
lock = FileLock(sys.argv[1])
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


def test_another_holder_is_refused(tmp_path):
    path = tmp_path / "made" / ".lock"
    with (
        only_one(path, "trains fold 0"),
        pytest.raises(ConfigurationError, match="another process trains fold 0"),
        only_one(path, "trains fold 0"),
    ):
        raise AssertionError("both hold the lock")
    with only_one(path, "trains fold 0"):
        pass


def test_waiting_for_another_holder(tmp_path):
    path, said, order = tmp_path / ".lock", [], []
    other = FileLock(path)
    other.acquire()
    noticed = threading.Event()

    def notice(sentence: str) -> None:
        said.append(sentence)
        noticed.set()

    def second() -> None:
        with only_one(path, "trains the translator", wait=True, notice=notice):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    assert noticed.wait(30)
    order.append("first")
    other.release()
    thread.join(30)
    assert order == ["first", "second"]
    assert said == ["another process trains the translator; waiting for it to end"]


def test_a_killed_holder_lets_go(tmp_path):
    path = tmp_path / ".lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE) as holder:
        try:
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(ConfigurationError), only_one(path, "works"):
                pass
        finally:
            holder.send_signal(signal.SIGKILL)
    with only_one(path, "works"):
        pass


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise NotImplementedError

    monkeypatch.setattr(FileLock, "acquire", refuse)
    said = []
    with only_one(tmp_path / ".lock", "trains fold 0", notice=said.append):
        pass
    assert len(said) == 1 and "knows no locks" in said[0]


def test_whether_a_lock_is_held(tmp_path):
    path = tmp_path / ".lock"
    assert not is_held(path)
    assert not path.exists()
    with only_one(path, "trains fold 0"):
        assert is_held(path)
    assert not is_held(path)
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        assert is_held(path)
        other.kill()
    assert not is_held(path)
    with only_one(path, "trains fold 0"):  # looking has not kept it
        pass
