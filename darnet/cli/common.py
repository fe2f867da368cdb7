"""What all commands share: flags, exit codes and the way an error is shown. Nothing heavy is imported here."""

from __future__ import annotations

import argparse
import contextlib
import errno
import math
import os
import shlex
import signal
import subprocess
import sys
import threading
import traceback
import warnings
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from darnet import __version__
from darnet.errors import (
    DISK_FULL,
    ConfigurationError,
    DarnetError,
    ExitCode,
    Interrupted,
    Terminated,
    is_out_of_memory,
)

DEVICES = ("auto", "cpu", "cuda", "mps")

INTERNAL_ERROR = 1

_EXIT_CODES = (
    "exit codes: 0 all done, 1 internal error, 2 usage or configuration, 3 data, 4 disk or memory, "
    "5 some cases failed, 130 interrupted, 143 terminated"
)


class _HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Shows a default only where it says something."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default is None or action.default is False:
            return action.help
        return super()._get_help_string(action)


class _Parser(ArgumentParser):
    """Refuses shortened flags of one dash too, which argparse lets pass: -d would be read as -device."""

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        # What is left are values that follow their flag without a space, such as -d101.
        found: list[Any] = super()._get_option_tuples(option_string)
        return [match for match in found if option_string.startswith(match[1])]


def parser(prog: str, description: str) -> ArgumentParser:
    """A strict parser: flags cannot be shortened, an unknown one ends the command with exit code 2."""
    return _Parser(
        prog=prog,
        description=description,
        epilog=_EXIT_CODES,
        allow_abbrev=False,
        formatter_class=_HelpFormatter,
    )


def add_common(parser: ArgumentParser) -> None:
    """Add the flags that every command takes: --root, -device, --quiet, --debug, --version."""
    group = parser.add_argument_group("common")
    group.add_argument(
        "--root", metavar="FOLDER", help="folder of raw, preprocessed and results; else DARNET_ROOT, else ./darnet_data"
    )
    group.add_argument("-device", "--device", dest="device", choices=DEVICES, default="auto", help="where to compute")
    group.add_argument("--quiet", action="store_true", help="no progress bars and no messages but errors")
    group.add_argument("--debug", action="store_true", help="show the traceback of an error")
    group.add_argument("--version", action="version", version=f"darnet {__version__}")


def add_replace_non_finite(parser: ArgumentParser) -> None:
    """Add the flag that replaces NaN and infinite voxels, which are refused without it."""
    parser.add_argument(
        "--replace_non_finite",
        action="store_true",
        help="give NaN and infinite voxels their scan's lowest value instead of refusing the scan",
    )


def whole_number(minimum: int, maximum: int | None = None) -> Callable[[str], int]:
    """An argparse type: an integer not below `minimum`, nor above `maximum` where there is one."""

    def convert(text: str) -> int:
        """Read the number or refuse it."""
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum or (maximum is not None and value > maximum):
            most = "" if maximum is None else f", at most {maximum}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least {minimum}{most}")
        return value

    return convert


seed = whole_number(0, 2**32 - 1)  # as plans allow


def fraction(text: str) -> float:
    """An argparse type: a number above 0 and at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0 and at most 1")
    return value


def positive(text: str) -> float:
    """An argparse type: a finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def require_folder(path: str | Path, flag: str) -> Path:
    """The path of a folder that a flag names.

    Raises:
        ConfigurationError: There is none.
    """
    folder = Path(path)
    if not folder.is_dir():
        what = "this is a file, no folder" if folder.exists() else "there is no such folder"
        raise ConfigurationError(what, where=folder.absolute(), remedy=f"name another folder with {flag}")
    return folder


def say(args: Namespace, message: str) -> None:
    """Print a message unless `--quiet` was given."""
    if not args.quiet:
        # A terminal that is gone must not stop what takes hours.
        with contextlib.suppress(OSError):
            print(message, flush=True)


def warn(message: str) -> None:
    """Print a sentence that must be seen, with `--quiet` too, to the errors."""
    with contextlib.suppress(OSError):
        print(f"warning: {message}", file=sys.stderr, flush=True)


def entry(
    build: Callable[[], ArgumentParser], run: Callable[[Namespace], None], argv: Sequence[str] | None = None
) -> int:
    """Parse the flags, run the command and turn whatever it raises into a message and an exit code.

    Args:
        build: Makes the parser of the command.
        run: Does the work; it raises a `DarnetError` where that fails.
        argv: Flags without the program's name; None takes them from `sys.argv`.

    Returns:
        The exit code of `darnet.errors.ExitCode`, or 1 for an error that darnet did not foresee.
    """
    command = build()
    try:
        args = command.parse_args(argv)
    except SystemExit as stop:  # argparse ends the process after -h and after a wrong flag
        return stop.code if isinstance(stop.code, int) else int(ExitCode.CONFIGURATION)
    try:
        with _terminable(), warnings.catch_warnings():
            # For a user the sentence counts, not the line of code that it comes from.
            warnings.showwarning = lambda message, *_, **__: warn(str(message))
            run(args)
    except (Exception, KeyboardInterrupt) as error:
        if getattr(args, "debug", False):
            traceback.print_exc()
        code, message = explain(error, _to_go_on(error, command, args, argv))
        with contextlib.suppress(OSError):
            print(f"{command.prog}: {message}", file=sys.stderr, flush=True)
        return code
    finally:
        _flush_output()
    return int(ExitCode.DONE)


def _flush_output() -> None:
    """Write what is buffered. Where nobody reads it any more it is dropped: the exit code is that of the work."""
    try:
        sys.stdout.flush()
    except OSError:
        with contextlib.suppress(OSError), Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())


class _SigTerm(KeyboardInterrupt):
    """SIGTERM as an exception that passes, as Ctrl-C does, where errors are caught."""


@contextlib.contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM raises, so that files are put away and workers end, as they do after Ctrl-C."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _SigTerm

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def root_flag(args: Namespace) -> str:
    """The flag that names the root again in a command to type next; empty where none was given."""
    return f" --root {shlex.quote(args.root)}" if args.root else ""


def _to_go_on(error: BaseException, command: ArgumentParser, args: Namespace, argv: Sequence[str] | None) -> str:
    """What to type after an interruption."""
    words = [command.prog, *(sys.argv[1:] if argv is None else argv)]
    typed = subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
    if getattr(args, "resume", True):
        return typed
    unsure = "" if isinstance(error, Interrupted) else "; without --continue where that finds nothing to go on from"
    return f"{typed} --continue{unsure}"


def explain(error: BaseException, to_go_on: str) -> tuple[int, str]:
    """Exit code and message for an exception; `to_go_on` is the command to give after an interruption."""
    if isinstance(error, KeyboardInterrupt):
        error = (
            Terminated("terminated (SIGTERM)") if isinstance(error, _SigTerm) else Interrupted("interrupted (Ctrl-C)")
        )
    if isinstance(error, Interrupted):
        error = type(error)(error.what, remedy=f"to go on: {to_go_on}")
    if isinstance(error, DarnetError):
        return int(error.exit_code), str(error)
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        place = f" while writing {error.filename}" if error.filename else ""
        what, remedy = DISK_FULL[error.errno]
        return int(ExitCode.RESOURCES), f"{what}{place}; {remedy}"
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return int(ExitCode.CONFIGURATION), f"no permission: {error}"
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return int(ExitCode.CONFIGURATION), f"a name is too long for the file system: {error.filename}; shorten it"
    if is_out_of_memory(error):
        return int(ExitCode.RESOURCES), "out of memory; use a smaller batch, fewer processes or -device cpu"
    first_line = (str(error).splitlines() or [""])[0]
    return INTERNAL_ERROR, f"internal error: {type(error).__name__}: {first_line} (--debug shows where)"
