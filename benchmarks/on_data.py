"""The command line of a benchmark that measures a preprocessed data set: a table, and all rows as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]


def print_table(
    description: str | None, measure: Callable[[str, Path | None], Rows], as_table: Callable[[Rows], str]
) -> None:
    """Measure the data set that the command line names, print a table and write the rows.

    Args:
        description: Its first line says what is measured.
        measure: Rows of a data set, by its number or name and the root of all data.
        as_table: The table, as Markdown.
    """
    from darnet.errors import DarnetError
    from darnet.io import write_json

    parser = argparse.ArgumentParser(description=description.splitlines()[0] if description else None)
    parser.add_argument("-d", dest="data", required=True, help="number or name of a preprocessed data set")
    parser.add_argument("--root", type=Path, help="root folder of all data (darnet_data)")
    parser.add_argument("-o", type=Path, dest="output", help="also write all rows as JSON")
    args = parser.parse_args()
    try:
        rows = measure(args.data, args.root)
        if args.output:
            write_json(args.output, rows)
    except DarnetError as error:
        parser.exit(int(error.exit_code), f"{parser.prog}: error: {error}\n")
    print(as_table(rows))
