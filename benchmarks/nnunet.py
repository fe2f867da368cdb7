"""nnU-Net v2 in an environment of its own (`make bench-nnunet`): its commands, and its own Python as the other side."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from benchmarks.commands import THREADS
from benchmarks.pairs import Skipped

HERE = Path(__file__).parent
ENVIRONMENT = HERE.parent / ".bench-nnunet"
SIDE = HERE / "nnunet_side.py"


def nnunet_command(name: str) -> str:
    """Path of a command of nnU-Net's environment, such as nnUNetv2_predict or python.

    Raises:
        Skipped: The environment is missing.
    """
    path = ENVIRONMENT / "bin" / name
    if not path.exists():
        raise Skipped(f"nnU-Net is not installed in {ENVIRONMENT.name}: run make bench-nnunet")
    return str(path)


def nnunet_environment(folder: Path) -> dict[str, str]:
    """Variables that nnU-Net's commands need; its data lie in `folder`."""
    names = ("raw", "preprocessed", "results")
    return {
        **{f"nnUNet_{name}": str(folder / f"nnunet_{name}") for name in names},
        # Neither side compiles its network: that would take longer than a prediction.
        "nnUNet_compile": "f",
        "PYTHONPATH": "",
    }


class NNUNetSide:
    """A process with nnU-Net's Python that runs `nnunet_side.py`: one line of JSON in, one out.

    Args:
        folder: Of nnU-Net's data.
        threads: That it computes with.
    """

    def __init__(self, folder: Path, threads: int) -> None:
        environment = {**os.environ, **nnunet_environment(folder), **dict.fromkeys(THREADS, str(threads))}
        self.process = subprocess.Popen(
            [nnunet_command("python"), str(SIDE)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def ask(self, what: str, **values: object) -> dict:
        """Call a function of `nnunet_side.py`.

        Raises:
            RuntimeError: The process has ended; why stands among the errors.
        """
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"what": what, **values}) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"nnU-Net's side ended at {what}")
        return json.loads(answer)

    def close(self) -> None:
        """End the process."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(30)
        self.process.stdout.close()
