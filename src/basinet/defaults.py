"""The settings of `conf/`, the only place where the numbers of a study stand, read without Hydra."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from basinet.errors import ConfigError, unknown

GROUPS = ("problem", "network", "init", "descent", "objective", "polish")


def conf_directory() -> Path:
    """Where `conf/` is: inside the installed package, or beside `src/` in a checkout."""
    here = Path(__file__).resolve().parent
    for candidate in (here / "conf", here.parents[1] / "conf"):
        if (candidate / "config.yaml").is_file():
            return candidate
    raise ConfigError(f"the conf directory of basinet is missing (looked beside {here})")


def members(group: str) -> list[str]:
    """The members of a config group, sorted."""
    return sorted(path.stem for path in (conf_directory() / group).glob("*.yaml"))


LAUNCH = ("tracking", "rerun", "dry_run")
"""What is no setting of a study: how a launch goes about its studies, and where it writes."""


@cache
def _read(relative: str) -> dict[str, Any]:
    content = yaml.safe_load((conf_directory() / relative).read_text(encoding="utf-8"))
    return dict(content or {})


def _default_members() -> dict[str, str]:
    """The member of each group that config.yaml chooses."""
    chosen = {}
    for entry in _read("config.yaml")["defaults"]:
        if isinstance(entry, Mapping):
            chosen.update({key: name for key, name in entry.items() if key in GROUPS})
    return chosen


def complete(settings: Mapping[str, Any]) -> dict[str, Any]:
    """`settings` over the defaults of `conf/`.

    A group may be a mapping, in which `name` chooses the member, or just the name: `{"init": "orthogonal"}`.
    """
    top = {key: value for key, value in _read("config.yaml").items() if key not in ("defaults", "hydra", *LAUNCH)}
    for key in settings:
        if key not in (*GROUPS, *top):
            raise unknown("setting", key, (*GROUPS, *top))
    result: dict[str, Any] = {key: _like(default, settings.get(key, default)) for key, default in top.items()}
    for group, default in _default_members().items():
        given = settings.get(group, {})
        given = {"name": given} if isinstance(given, str) else given
        if not isinstance(given, Mapping):
            raise ConfigError(f"{group}={given}: must be a name or a mapping")
        name = given.get("name", default)
        if name not in members(group):
            raise unknown(group, name, members(group))
        own = _read(f"{group}/{name}.yaml")
        result[group] = {**own, **{key: _like(own.get(key), value) for key, value in given.items()}}
    return result


def _like(default: Any, value: Any) -> Any:
    """A number of the type that its default has: 1, 1.0 and "1" are one setting, so they stand in tables as one."""
    if isinstance(default, list) and isinstance(value, list | tuple):
        return [_like(default[0] if default else None, entry) for entry in value]
    numbers = isinstance(default, int | float) and isinstance(value, int | float | str)
    if not numbers or isinstance(default, bool) or isinstance(value, bool):
        return value
    try:
        number = float(value)
    except (ValueError, OverflowError):  # not a number: whoever reads the setting will say so
        return value
    if isinstance(default, float):
        return number
    return int(number) if number.is_integer() and abs(number) < 2**53 else value
