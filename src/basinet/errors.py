"""The one error a user can cause, and how its message is worded."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """Something the user asked for cannot be done; the message is one line that says what would be right."""


def unknown(kind: str, name: object, choices: Iterable[str]) -> ConfigError:
    """The error for a name that is not among `choices`: the nearest one if any is near, all of them otherwise."""
    names = sorted(choices)
    group = str(name)[: str(name).rfind(".") + 1]
    if not all(choice.startswith(group) for choice in names):
        group = ""
    # To share the group says nothing of how near two names are.
    rest = [choice.removeprefix(group) for choice in names]
    near = difflib.get_close_matches(str(name).removeprefix(group), rest, n=1, cutoff=0.5)
    hint = f"did you mean '{group}{near[0]}'?" if near else f"choose one of {', '.join(names)}"
    return ConfigError(f"unknown {kind} '{name}': {hint}")


def require(condition: bool, message: str) -> None:
    """Raise `ConfigError(message)` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)
