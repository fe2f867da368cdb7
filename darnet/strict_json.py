"""JSON that is refused by line, or where an object has a key twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from darnet.errors import ConfigurationError


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        ConfigurationError: There is no such file, it is not JSON (the message names the line), or an object in it has
            a key twice.
    """
    try:
        return parse_json(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError("there is no such file", where=path) from None
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            "the file is not valid JSON",
            where=f"{path}, line {error.lineno}, column {error.colno}",
            found=error.msg,
            remedy="mend this line, often a missing or superfluous comma, quote or bracket",
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            "the file is not UTF-8 text", where=path, found=error, remedy="save it as UTF-8"
        ) from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            "the file is not JSON that can be used", where=path, found=error, remedy="mend the file"
        ) from None
    except OSError as error:
        raise ConfigurationError(
            "the file cannot be read", where=path, found=error, remedy="mend the path, the link or the rights"
        ) from None


def parse_json(text: str | bytes) -> Any:
    """JSON text as values.

    Raises:
        ValueError: It is not JSON, or an object in it has a key twice: only one of both values could be used.
        RecursionError: It is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_without_repeats)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f'the key "{next(n for n in names if names.count(n) > 1)}" is there twice')
    return values
