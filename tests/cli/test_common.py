"""Flags, messages and exit codes that all commands share."""

from __future__ import annotations

import contextlib
import errno
import os
import signal

import pytest

from darnet import __version__
from darnet.cli.common import add_common, entry, explain, fraction, parser, say, seed, whole_number
from darnet.errors import (
    ConfigurationError,
    DataError,
    ExitCode,
    Interrupted,
    ResourceError,
    SomeCasesFailed,
    Terminated,
)
from darnet.training.interrupt import InterruptGuard


def build():
    command = parser("darnet_try", "Try.")
    command.add_argument("--number", type=int, default=3, help="a number")
    add_common(command)
    return command


def raising(error):
    def run(args):
        raise error

    return run


class OutOfMemoryError(RuntimeError):
    """Named as torch's."""


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ConfigurationError("a wrong plan", remedy="plan again"), 2, "plan again"),
        (DataError("a broken scan", where="x.nii.gz"), 3, "x.nii.gz"),
        (ResourceError("no memory"), 4, "no memory"),
        (SomeCasesFailed("1 of 2 failed"), 5, "1 of 2"),
        (Interrupted("stopped"), 130, "stopped"),
        (Terminated("stopped"), 143, "stopped"),
        (Interrupted("stopped"), 130, "to go on: darnet_try\n"),
        (KeyboardInterrupt(), 130, "interrupted (Ctrl-C)\n  remedy:   to go on: darnet_try\n"),
        (OSError(errno.ENOSPC, "no space", "out.nii.gz"), 4, "out.nii.gz"),
        (OSError(errno.ENOSPC, "no space"), 4, "disk is full"),
        (
            OSError(errno.EFBIG, "too large", "out.nii.gz"),
            4,
            "process allows while writing out.nii.gz; raise the limit",
        ),
        (PermissionError(errno.EACCES, "denied", "there"), 2, "there"),
        (MemoryError(), 4, "out of memory"),
        (OutOfMemoryError("CUDA"), 4, "-device cpu"),
        (ValueError("odd\nsecond line"), 1, "internal error: ValueError: odd (--debug"),
        (ValueError(), 1, "internal error: ValueError"),
    ],
)
def test_exit_code_and_message(error, code, message, capsys):
    assert entry(build, raising(error), []) == code
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.err.startswith("darnet_try: ")
    assert "Traceback" not in shown.err
    assert not shown.out


def test_to_go_on_takes_the_same_flags(capsys):
    def continuing():
        command = build()
        command.add_argument("folder")
        command.add_argument("--continue", dest="resume", action="store_true")
        return command

    for flags in (["a folder", "--number", "5"], ["a folder", "--number", "5", "--continue"]):
        assert entry(continuing, raising(Terminated("stopped by SIGTERM")), flags) == 143
        assert "to go on: darnet_try 'a folder' --number 5 --continue\n" in capsys.readouterr().err
    assert entry(continuing, raising(KeyboardInterrupt()), ["a"]) == 130  # a checkpoint may be there or not
    assert "to go on: darnet_try a --continue; without --continue where" in capsys.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="needs SIGTERM")
@pytest.mark.parametrize("signals", [1, 2])  # training obeys the first at its next iteration, the second at once
def test_terminated(signals, capsys):
    def run(args):
        with InterruptGuard() if signals == 2 else contextlib.nullcontext():
            for _ in range(signals):
                signal.raise_signal(signal.SIGTERM)

    assert entry(build, run, []) == 143
    assert "darnet_try: terminated (SIGTERM)\n  remedy:   to go on: darnet_try\n" in capsys.readouterr().err


def test_debug_shows_where(capsys):
    assert entry(build, raising(ValueError("odd")), ["--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_done(capsys):
    seen = []
    assert entry(build, seen.append, ["--number", "5", "-device", "cpu"]) == ExitCode.DONE
    assert (seen[0].number, seen[0].device, seen[0].root, seen[0].quiet) == (5, "cpu", None, False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("flag", ["-device", "--device"])
def test_both_spellings_of_device(flag):
    assert build().parse_args([flag, "cuda"]).device == "cuda"


@pytest.mark.parametrize("argv", [["--numbr", "5"], ["--num", "5"], ["--number", "x"], ["-device", "tpu"], ["extra"]])
def test_wrong_flags(argv, capsys):
    assert entry(build, raising(AssertionError), argv) == 2
    assert "usage:" in capsys.readouterr().err


def test_help_and_version(capsys):
    assert entry(build, raising(AssertionError), ["-h"]) == 0
    assert "exit codes" in capsys.readouterr().out
    assert entry(build, raising(AssertionError), ["--version"]) == 0
    assert __version__ in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("12", 12), ("0", None), ("-1", None), ("x", None), ("1.5", None)]
)
def test_whole_number(text, value, capsys):
    command = parser("p", "d")
    command.add_argument("-n", type=whole_number(1))
    if value is None:
        with pytest.raises(SystemExit):
            command.parse_args([f"-n={text}"])
        assert "at least 1" in capsys.readouterr().err
    else:
        assert command.parse_args(["-n", text]).n == value


@pytest.mark.parametrize(("text", "value"), [("1", 1.0), ("0.25", 0.25), ("0", None), ("1.5", None), ("nan", None)])
def test_fraction(text, value, capsys):
    command = parser("p", "d")
    command.add_argument("-x", type=fraction)
    if value is None:
        with pytest.raises(SystemExit):
            command.parse_args(["-x", text])
        assert "at most 1" in capsys.readouterr().err
    else:
        assert command.parse_args(["-x", text]).x == value


def test_quiet_says_nothing(capsys):
    say(build().parse_args(["--quiet"]), "a message")
    assert capsys.readouterr().out == ""
    say(build().parse_args([]), "a message")
    assert capsys.readouterr().out == "a message\n"


def test_unknown_errors_get_code_one():
    assert explain(RuntimeError("x"), "darnet_try")[0] == 1


@pytest.mark.parametrize(("text", "good"), [("0", True), (str(2**32 - 1), True), (str(2**32), False), ("-1", False)])
def test_seeds_are_those_that_a_plan_may_have(text, good, capsys):
    command = parser("c", "d")
    command.add_argument("--seed", type=seed)
    if good:
        assert command.parse_args(["--seed", text]).seed == int(text)
        return
    with pytest.raises(SystemExit):
        command.parse_args(["--seed", text])
    assert "at least 0, at most 4294967295" in capsys.readouterr().err
