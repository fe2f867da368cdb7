"""A process that has imported darnet once and forks a child for each command, so that a real process can be killed
without paying the imports again and again.

The server (this file, run as a program) starts no thread, so that forking is safe. It reads one JSON object a line and
answers one a line. `Zygote` is its other end.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PATIENCE = 900.0  # seconds until a command counts as hanging, on a machine that has much else to do
COMMANDS = ("plan_and_preprocess", "train", "predict", "evaluate", "export_model", "import_model")


@dataclass(frozen=True)
class Outcome:
    """How a command ended: exit code (the negative signal where it was killed), what it printed, how long it took."""

    code: int
    out: str
    err: str
    seconds: float


class Running:
    """A command under way."""

    def __init__(self, zygote: Zygote, pid: int, log: Path) -> None:
        self.zygote, self.pid, self.log, self.start = zygote, pid, log, time.monotonic()

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def children(self) -> list[int]:
        """Processes that the command has started, and theirs."""
        return [pid for child in _children(self.pid) for pid in (child, *_children(child))]

    def workers(self) -> list[int]:
        """Those of them that work on cases: they are forked from a server."""
        found = []
        for pid in _children(self.pid):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if b"multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found += _children(pid)
        return found

    def wait(self, timeout: float = PATIENCE) -> Outcome:
        """Its end; it is killed after `timeout` seconds."""
        code = self.zygote.ask({"wait": self.pid, "timeout": timeout})["code"]
        if code is None:
            self.kill()
            self.zygote.ask({"wait": self.pid, "timeout": 30})
            raise TimeoutError(f"the command did not end:\n{self.log.with_suffix('.err').read_text()}")
        out, err = (self.log.with_suffix(s).read_text(errors="replace") for s in (".out", ".err"))
        return Outcome(code, out, err, time.monotonic() - self.start)


def _children(pid: int) -> list[int]:
    """Processes that a process has started itself."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").glob("*/children"))
        return [int(child) for task in tasks for child in task.read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []


class Zygote:
    """Runs darnet's commands in children of one process.

    Args:
        folder: For what the commands print.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.count = folder, 0
        repository = str(Path(__file__).parents[1])
        path = os.pathsep.join(filter(None, (repository, os.environ.get("PYTHONPATH"))))
        one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        environment = {**os.environ, **one, "PYTHONPATH": path}
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def ask(self, question: dict) -> dict:
        """One exchange with the server."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def start(self, command: str, flags: Sequence[object], inject: str = "") -> Running:
        """Start a command, such as "train".

        Args:
            command: Its module in darnet.cli.
            flags: Its flags.
            inject: Python that its process runs first: the fault.
        """
        self.count += 1
        log = self.folder / f"{self.count:05d}"
        for suffix in (".out", ".err"):
            log.with_suffix(suffix).touch()  # it may be killed before it opens them
        question = {"command": command, "flags": [str(f) for f in flags], "inject": inject, "log": str(log)}
        return Running(self, self.ask(question)["pid"], log)

    def run(self, command: str, flags: Sequence[object], inject: str = "", timeout: float = PATIENCE) -> Outcome:
        """Run a command to its end; see `start`."""
        return self.start(command, flags, inject).wait(timeout)

    def close(self) -> None:
        """End the server."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()


@contextlib.contextmanager
def zygote(folder: Path) -> Iterator[Zygote]:
    """A zygote that ends with the body."""
    server = Zygote(folder)
    try:
        yield server
    finally:
        server.close()


def _serve() -> None:
    import importlib

    import sklearn.cluster  # noqa: F401
    import torch

    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)  # what torch and matplotlib import at first use
    pictures = importlib.import_module("darnet.training.pictures")
    figure = pictures.new_figure(2, 2)
    figure.subplots().plot([0, 1])
    figure.savefig(io.BytesIO(), format="png")
    importlib.import_module("darnet.pipeline")
    modules = {name: importlib.import_module(f"darnet.cli.{name}") for name in COMMANDS}
    print("ready", flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            print(json.dumps({"code": _wait(question["wait"], question["timeout"])}), flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            _child(modules[question["command"]].main, question)
        print(json.dumps({"pid": pid}), flush=True)


def _child(main: object, question: dict) -> None:
    """The forked process: its own output, the injected fault, the command."""
    code = 99
    try:
        for number, suffix in ((1, ".out"), (2, ".err")):
            os.dup2(os.open(question["log"] + suffix, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        os.close(0)
        os.open(os.devnull, os.O_RDONLY)
        # A shell without job control starts what runs in the background deaf to Ctrl-C, and children inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        exec(question["inject"], {"__name__": "injected"})
        code = main(question["flags"])  # type: ignore[operator]
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wait(pid: int, timeout: float) -> int | None:
    """Exit code of a child; None where it has not ended in time."""
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    return None


if __name__ == "__main__":
    _serve()
