"""JSON that is refused, by line, where it is none or an object has a key twice."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from darnet.errors import ConfigurationError

# A string, with the colon that makes it a key; where an object begins or ends.
_PARTS = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|([{}])')


class KeyTwice(ValueError):
    """An object has a key twice: only one of both values could be used."""

    def __init__(self, key: str, line: int) -> None:
        super().__init__(f'line {line}: the key "{key}" is there twice')
        self.key, self.line = key, line


def read_json(path: str | Path) -> Any:
    """Read JSON.

    Raises:
        ConfigurationError: There is no such file, it is not JSON, or an object in it has a key twice; the message names
            the line.
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
    except KeyTwice as error:
        raise ConfigurationError(
            f'the key "{error.key}" is there twice',
            where=f"{path}, line {error.line}",
            expected="each key of an object once",
            remedy="remove this line or the one above with that key, or mend the name of one of them",
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
        KeyTwice: An object in it has a key twice.
        ValueError: It is not JSON.
        RecursionError: It is nested too deeply.
    """
    text = text if isinstance(text, str) else text.decode(json.detect_encoding(text))

    def without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        values = dict(pairs)
        if len(values) < len(pairs):
            raise next(_repeats(text))
        return values

    return json.loads(text, object_pairs_hook=without_repeats)


def _repeats(text: str) -> Iterator[KeyTwice]:
    """The keys that are there twice in an object, with the line of the second. json tells no places of keys."""
    objects: list[set[str]] = []
    for part in _PARTS.finditer(text):
        if part[3] == "{":
            objects.append(set())
        elif part[3]:
            objects.pop()
        elif part[2]:
            key = json.loads(part[1])
            if key in objects[-1]:
                yield KeyTwice(key, text.count("\n", 0, part.start()) + 1)
            objects[-1].add(key)
