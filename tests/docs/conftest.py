from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
COMMON = (REPOSITORY / "darnet" / "cli" / "common.py").read_text("utf-8") + '"-h"'
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def repository():
    return REPOSITORY


@pytest.fixture(scope="session")
def snippets():
    """Code blocks of a page, as (language, text)."""

    def read(page):
        return [(match[1], match[2]) for match in BLOCK.finditer((REPOSITORY / page).read_text("utf-8"))]

    return read


def _commands(script):
    """Lines of a shell script, continued ones joined."""
    return [line for line in script.replace("\\\n", " ").splitlines() if line.strip()]


@pytest.fixture(scope="session")
def parse():
    """Flags of a line such as `darnet_train 101 0`, refused where the command does not know them."""

    def read(line):
        from importlib import import_module

        name, *flags = shlex.split(line, comments=True)
        command = import_module(f"darnet.cli.{name.removeprefix('darnet_')}")
        return command.build_parser().parse_args(flags), command, flags

    return read


@pytest.fixture(scope="session")
def knows():
    """Whether there is such a command, and it has the flags of a line; what else it needs may be missing."""

    def check(line):
        name, *words = shlex.split(line, comments=True)
        path = REPOSITORY / "darnet" / "cli" / f"{name.removeprefix('darnet_')}.py"
        return path.exists() and all(f'"{w}"' in path.read_text("utf-8") + COMMON for w in words if w.startswith("-"))

    return check


@pytest.fixture(scope="session")
def run_script(parse):
    """Run a shell script in the current folder: commands of darnet in this process, all else by the shell."""

    def run(script, after=None):
        plain = []
        for line in _commands(script):
            if not line.startswith("darnet_"):
                plain.append(line)
                continue
            _run_plain(plain)
            _, command, flags = parse(line)
            alone = ["-np", "1"] if line.startswith("darnet_plan") else []
            assert command.main([*flags, *alone, "--quiet", "-device", "cpu"]) == 0, line
            if after is not None:
                after(line)
        _run_plain(plain)

    return run


def _run_plain(lines):
    if lines:
        done = subprocess.run(["sh", "-euc", "\n".join(lines)], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        lines.clear()
