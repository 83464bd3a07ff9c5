"""From a mapping of settings to a frozen dataclass, with types checked and errors that name the dotted key."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from basinet.foundation.errors import ConfigError, unknown

Settings = TypeVar("Settings")
SETTING = "setting"
"""The key of a field's metadata that says what the user calls it, where its class has another use for that name."""


def fill(cls: type[Settings], values: Mapping[str, Any], group: str, **given: Any) -> Settings:
    """An instance of the dataclass `cls` from `values`, which must name its fields, no more and no fewer.

    `given` are fields that do not come from the settings. Raises `ConfigError` with the key as a user writes it,
    `group.field`, for anything unknown, missing or of another type.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{group}={_show(values)}: is a group of settings, {group}.key=value")
    prefix = f"{group}." if group else ""
    hints = typing.get_type_hints(cls)
    fields = [field for field in dataclasses.fields(cls) if field.init and field.name not in given]  # type: ignore[arg-type]
    wanted = {field.metadata.get(SETTING, field.name): field for field in fields}
    names = list(wanted)
    for key in values:
        if key not in names:
            raise unknown("setting", f"{prefix}{key}", [f"{prefix}{name}" for name in names])
    converted = {}
    for name, field in wanted.items():
        if name in values:
            converted[field.name] = convert(values[name], hints[field.name], f"{prefix}{name}")
        elif field.default is dataclasses.MISSING:
            raise ConfigError(f"{prefix}{name} is missing")
    return cls(**converted, **given)


def convert(value: Any, wanted: Any, key: str) -> Any:
    """`value` as the type `wanted`, or a `ConfigError` that says what `key` should be."""
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if value == "???":  # what stands in conf/ where there is no default
        raise ConfigError(f"{key} is missing: give it as {key}=…")
    if origin is Literal:
        if value not in arguments:
            raise unknown(key, _show(value), [str(argument) for argument in arguments])
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return _convert_union(value, [a for a in arguments if a is not type(None)], key)
    if origin is tuple:
        if (
            arguments[0] is str and isinstance(value, str | int | float) and not isinstance(value, bool)
        ):  # one name may do without brackets
            return (_text(value, key),)
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise ConfigError(f"{key}={_show(value)}: must be a list")
        return tuple(convert(entry, arguments[0], f"{key}[{index}]") for index, entry in enumerate(value))
    return _SCALARS[wanted](value, key)


def _convert_union(value: Any, options: list[Any], key: str) -> Any:
    """`value` as the first of the options that it can be: a named choice, a list if it is one, else a scalar."""
    names = [name for option in options if typing.get_origin(option) is Literal for name in typing.get_args(option)]
    if value in names:
        return value
    is_list = isinstance(value, Sequence) and not isinstance(value, str)
    others = [option for option in options if typing.get_origin(option) is not Literal]
    if not others:
        raise unknown(key, _show(value), [str(name) for name in names])
    fitting = [option for option in others if (typing.get_origin(option) is tuple) == is_list]
    try:
        return convert(value, (fitting or others)[0], key)
    except ConfigError as error:
        raise (ConfigError(f"{error} or {' or '.join(names)}") if names else error) from None


def _integer(value: Any, key: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    number = _number(value)
    if number is None or not math.isfinite(number) or number != int(number):
        raise ConfigError(f"{key}={_show(value)}: must be a whole number")
    return int(number)


def _real(value: Any, key: str) -> float:
    number = _number(value)
    if number is None or math.isnan(number):
        raise ConfigError(f"{key}={_show(value)}: must be a number")
    return number


def _boolean(value: Any, key: str) -> bool:
    if not isinstance(value, bool):
        raise ConfigError(f"{key}={_show(value)}: must be true or false")
    return value


def _text(value: Any, key: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ConfigError(f"{key}={_show(value)}: must be a text")
    return str(value)


_SCALARS = {int: _integer, float: _real, bool: _boolean, str: _text}


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):  # a whole number may be too large for a float
        return None


def _show(value: Any) -> str:
    return "null" if value is None else str(value)
