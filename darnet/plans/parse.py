"""JSON values into the frozen dataclasses of a plan, with the key named where that fails."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any

from darnet.errors import ConfigurationError

LARGEST = 1e18  # larger ones do not fit the integers of arrays, and mean nothing


def wrong_value(key: str, where: str, found: object, expected: str) -> ConfigurationError:
    """The error for a value that a plan must not have."""
    return ConfigurationError(
        f"the plan has a wrong value for {key}",
        where=where,
        found=repr(found),
        expected=expected,
        remedy="mend the value or plan again with darnet_plan_and_preprocess",
    )


def build(kind: Any, values: Any, where: str, key: str) -> Any:
    """Turn a JSON value into the type that a field declares, naming the key where that fails.

    A key that is null where nothing else is said may be missing.
    """
    if dataclasses.is_dataclass(kind):
        if not isinstance(values, dict):
            raise wrong_value(key or "the whole", where, values, "an object")
        fields = {f.name: f for f in dataclasses.fields(kind)}
        unknown = sorted(set(values) - set(fields))
        missing = sorted(name for name in set(fields) - set(values) if fields[name].default is not None)
        if unknown or missing:
            raise ConfigurationError(
                f"the plan has unknown or missing keys in {key or 'its top level'}",
                where=where,
                found=f"unknown: {', '.join(unknown) or 'none'}; missing: {', '.join(missing) or 'none'}",
                remedy="mend the keys or plan again with darnet_plan_and_preprocess",
            )
        hints = typing.get_type_hints(kind)
        prefix = f"{key}." if key else ""
        make: Any = kind
        return make(**{name: build(hints[name], values[name], where, prefix + name) for name in values})
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if values is None:
            return None
        return build(next(a for a in arguments if a is not type(None)), values, where, key)
    if origin is tuple:
        if not isinstance(values, list | tuple):
            raise wrong_value(key, where, values, "a list")
        if arguments[-1] is Ellipsis:
            return tuple(build(arguments[0], v, where, f"{key}[{i}]") for i, v in enumerate(values))
        if len(values) != len(arguments):
            raise wrong_value(key, where, values, f"{len(arguments)} values")
        return tuple(build(a, v, where, f"{key}[{i}]") for i, (a, v) in enumerate(zip(arguments, values, strict=True)))
    if origin is dict:
        if not isinstance(values, dict):
            raise wrong_value(key, where, values, "an object")
        return {str(k): build(arguments[1], v, where, f"{key}.{k}") for k, v in values.items()}
    if kind in (int, float):
        return _number(kind, values, where, key)
    if not isinstance(values, kind):
        raise wrong_value(key, where, values, kind.__name__)
    return values


def _number(kind: type, value: Any, where: str, key: str) -> Any:
    # JSON has one kind of number: 3 may stand for 3.0.
    if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else int):
        raise wrong_value(key, where, value, kind.__name__)
    if not abs(value) < LARGEST:  # neither nan nor infinity is
        raise wrong_value(key, where, value, "a finite number of less than 19 digits")
    return kind(value)
