from __future__ import annotations

import importlib
import os
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import pytest

from darnet.errors import DataError, ResourceError
from darnet.workers import START_METHOD, run_cases

# Worker processes must find the functions, which they could not in a test module.
TASKS = """
import os, signal
from pathlib import Path
from darnet.errors import DataError

def double(value):
    if value < 0:
        raise DataError("a value is negative", where=f"case of {value}")
    return 2 * value

def divide(value):
    return 1 / value

def process_of(value):
    return os.getpid()

def die(value):  # as the kernel does it when memory runs out
    if value == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    return value

def die_once(value):
    mark = Path(value)
    if not mark.parent.exists():
        raise DataError("there is no such folder", where=mark)
    if not mark.exists():
        mark.write_text("died")
        os.kill(os.getpid(), signal.SIGKILL)
    return "lived"
"""
needs_kill = pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")


@pytest.fixture
def tasks(tmp_path, monkeypatch):
    (tmp_path / "functions_of_workers.py").write_text(TASKS)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("functions_of_workers")
    monkeypatch.delitem(sys.modules, "functions_of_workers")


def run(function, cases, processes):
    return dict(run_cases(function, cases, processes, "test", quiet=True))


def test_errors_are_values(tasks):
    results = run(tasks.double, {"a": 1, "b": -2, "c": 3}, 1)
    assert (results["a"], results["c"]) == (2, 6)
    assert isinstance(results["b"], DataError)
    assert results["b"].where == "case of -2"
    assert results["b"].exit_code == 3


def test_other_errors_are_raised(tasks):
    with pytest.raises(ZeroDivisionError):
        run(tasks.divide, {"a": 1, "b": 0}, 1)


@pytest.mark.parametrize("processes", [1, 4])
def test_no_cases(tasks, processes):
    assert run(tasks.double, {}, processes) == {}


@pytest.mark.parametrize("processes", [1, 8])
def test_a_single_case_needs_no_other_process(tasks, processes):
    assert run(tasks.process_of, {"a": 1}, processes) == {"a": os.getpid()}


def test_progress_bar_can_be_switched_off(tasks, capfd):
    list(run_cases(tasks.double, {"a": 1}, 1, "a description", quiet=True))
    assert capfd.readouterr().err == ""
    list(run_cases(tasks.double, {"a": 1}, 1, "a description", quiet=False))
    assert "a description" in capfd.readouterr().err


@needs_kill
def test_killed_worker_names_its_case(tasks):
    with pytest.raises(ResourceError) as caught:
        run(tasks.die, {"fine": "lives", "large": "dies"}, 2)
    assert "a worker process ended without a word, most likely killed" in caught.value.what
    assert "case large" in str(caught.value.where)
    assert "memory" in caught.value.remedy
    assert caught.value.exit_code == 4


@needs_kill
def test_cases_of_a_killed_worker_are_tried_again(tasks, tmp_path):
    results = run(tasks.die_once, {"a": str(tmp_path / "a"), "b": str(tmp_path / "no" / "b")}, 2)
    assert results["a"] == "lived"
    assert isinstance(results["b"], DataError)  # errors come back from other processes too
    assert results["b"].where == tmp_path / "no" / "b"


@pytest.mark.parametrize("handed_over", [0, 1])
def test_a_worker_killed_while_cases_are_handed_over(monkeypatch, handed_over):
    submit, calls = ProcessPoolExecutor.submit, []

    def break_once(self, *args):
        calls.append(args)
        if len(calls) == handed_over + 1:
            raise BrokenProcessPool
        return submit(self, *args)

    monkeypatch.setattr(ProcessPoolExecutor, "submit", break_once)
    tasks = {"a": "1", "b": "2", "c": "3"}
    assert dict(run_cases(int, tasks, 2, "count", quiet=True)) == {"a": 1, "b": 2, "c": 3}
    monkeypatch.setattr(ProcessPoolExecutor, "submit", lambda *_: (_ for _ in ()).throw(BrokenProcessPool()))
    with pytest.raises(ResourceError, match="a worker process ended without a word, most likely killed"):
        list(run_cases(int, tasks, 2, "count", quiet=True))


@pytest.mark.parametrize(("error", "said"), [("FileNotFoundError(2, 'gone')", False), ("ValueError('wrong')", True)])
def test_a_worker_whose_command_has_ended_is_silent(error, said):
    code = f"import darnet.fork_server; raise {error}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert ("Traceback" in done.stderr) == said


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_interrupts_do_not_reach_the_server():
    code = (
        "from multiprocessing import forkserver\n"
        "from darnet.workers import start_server\n"
        "start_server('wave')\n"
        "print(open(f'/proc/{forkserver._forkserver._forkserver_pid}/status').read())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    blocked = next(line for line in done.stdout.splitlines() if line.startswith("SigBlk:"))
    assert int(blocked.split()[1], 16) >> (signal.SIGINT - 1) & 1, done.stderr


@pytest.mark.skipif(START_METHOD != "forkserver" or sys.version_info < (3, 11), reason="nothing is imported beforehand")
def test_workers_have_what_their_server_imported(tmp_path):
    (tmp_path / "seen.py").write_text("import sys\ndef seen(name):\n    return name in sys.modules\n")
    script = tmp_path / "command.py"
    script.write_text(
        "from darnet.workers import run_cases, start_server\n"
        "if __name__ == '__main__':\n"
        "    start_server('wave')\n"
        "    from seen import seen\n"
        "    print(sorted(run_cases(seen, {'a': 'wave', 'b': 'tomllib'}, 2, 'work', True)))\n"
    )
    path = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run([sys.executable, str(script)], env=path, capture_output=True, text=True, timeout=100)
    assert "('a', True)" in done.stdout, done.stderr
    assert "('b', False)" in done.stdout


def test_modules_of_the_current_folder_are_not_imported(tmp_path):
    here, script = tmp_path / "here", tmp_path / "scripts" / "command.py"
    (here / "darnet").mkdir(parents=True)
    (here / "numpy.py").write_text("raise SystemExit('imported')")
    script.parent.mkdir()
    script.write_text(
        "from darnet.workers import run_cases\n"
        "from darnet.imaging import box_of\n"
        "import numpy as np\n"
        "if __name__ == '__main__':\n"
        "    tasks = {name: np.ones((1, 1, 1)) for name in 'ab'}\n"
        "    print(sorted(run_cases(box_of, tasks, 2, 'work', True)))\n"
    )
    done = subprocess.run([sys.executable, str(script)], cwd=here, capture_output=True, text=True, timeout=100)
    box = ((0, 1),) * 3
    assert done.stdout == f"{[('a', box), ('b', box)]}\n", done.stderr
