from __future__ import annotations

import os
import signal
import time

import pytest

from darnet.errors import DataError, ResourceError
from darnet.io.workers import run_cases


def double(value):
    if value < 0:
        raise DataError("a value is negative", where=f"case of {value}")
    return 2 * value


def divide(value):
    return 1 / value


def process_of(value):
    time.sleep(0.2)
    return os.getpid()


def die(value):
    # As the kernel does when memory runs out.
    if value == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def die_once(path):
    if not path.exists():
        path.write_text("died")
        os.kill(os.getpid(), signal.SIGKILL)
    return "lived"


def run(function, tasks, processes):
    return dict(run_cases(function, tasks, processes, "test", quiet=True))


@pytest.mark.parametrize("processes", [1, 2])
def test_errors_are_values(processes):
    results = run(double, {"a": 1, "b": -2, "c": 3}, processes)
    assert (results["a"], results["c"]) == (2, 6)
    assert isinstance(results["b"], DataError)
    assert results["b"].where == "case of -2"
    assert results["b"].exit_code == 3


@pytest.mark.parametrize("processes", [1, 2])
def test_other_errors_are_raised(processes):
    with pytest.raises(ZeroDivisionError):
        run(divide, {"a": 1, "b": 0}, processes)


@pytest.mark.parametrize("processes", [1, 4])
def test_no_cases(processes):
    assert run(double, {}, processes) == {}


def test_one_process_is_this_one():
    assert run(process_of, {"a": 1}, 1) == {"a": os.getpid()}
    # Nor is a process started for a single case.
    assert run(process_of, {"a": 1}, 8) == {"a": os.getpid()}


def test_progress_bar_can_be_switched_off(capfd):
    list(run_cases(double, {"a": 1}, 1, "a description", quiet=True))
    assert capfd.readouterr().err == ""
    list(run_cases(double, {"a": 1}, 1, "a description", quiet=False))
    assert "a description" in capfd.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_worker_names_its_case():
    with pytest.raises(ResourceError) as caught:
        run(die, {"fine": "lives", "large": "dies"}, 2)
    assert "a worker process was killed" in caught.value.what
    assert "case large" in str(caught.value.where)
    assert "memory" in caught.value.remedy
    assert caught.value.exit_code == 4


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_cases_of_a_killed_worker_are_tried_again(tmp_path):
    results = run(die_once, {"a": tmp_path / "a", "b": tmp_path / "a"}, 2)
    assert results == {"a": "lived", "b": "lived"}
