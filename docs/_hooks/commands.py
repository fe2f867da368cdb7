"""The page of all commands, out of their parsers, each time the documentation is built."""

from __future__ import annotations

import argparse
import importlib
import os
import pkgutil
from typing import Any

import darnet.cli

PAGE = "reference/commands.md"
INTRODUCTION = """# Commands

Flags cannot be shortened, and an unknown flag is an error. `darnet_COMMAND -h` shows the same in a terminal.
Exit codes: 0 done; 1 a fault of darnet itself; 2 wrong use or configuration; 3 invalid data; 4 disk or memory; 5 some
cases failed, the others have results, of this run or an earlier one (where all failed, 3 or 4); 130 and 143
interrupted.
"""


def on_files(files: Any, config: Any) -> Any:
    """Add the page to those that mkdocs builds."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, PAGE, content=page()))
    return files


def page() -> str:
    """All commands as Markdown."""
    os.environ["COLUMNS"] = "100"  # argparse folds the usage to the terminal
    modules = sorted(m.name for m in pkgutil.iter_modules(darnet.cli.__path__) if m.name != "common")
    parsers = [importlib.import_module(f"darnet.cli.{name}").build_parser() for name in modules]
    return "\n".join([INTRODUCTION, *(describe(parser) for parser in parsers)])


def describe(parser: argparse.ArgumentParser, level: int = 2) -> str:
    """One command as Markdown, those below it included."""
    lines = [f"{'#' * level} {parser.prog}", "", parser.description or "", "", "```text"]
    lines += [parser.format_usage().removeprefix("usage: ").rstrip(), "```", "", "| Flag | Meaning |", "|---|---|"]
    below: list[argparse.ArgumentParser] = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below += list(action.choices.values())
        else:
            lines.append(f"| {flag(action)} | {meaning(action)} |")
    return "\n".join([*lines, "", *(describe(child, level + 1) for child in below)])


def flag(action: argparse.Action) -> str:
    """The names of a flag and what follows it."""
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.dest}`"
    follows = action.metavar or ("" if action.nargs == 0 or action.choices or not action.option_strings else "VALUE")
    return f"{names} {follows}".strip()


def meaning(action: argparse.Action) -> str:
    """What a flag does, its choices and its default."""
    text = (action.help or "").replace("|", "\\|")
    if action.choices:
        text += f"; one of {', '.join(f'`{choice}`' for choice in action.choices)}"
    if action.default not in (None, False, argparse.SUPPRESS):
        text += f"; default `{action.default}`"
    return text + ("; required" if action.required and action.option_strings else "")
