"""The one error a user can cause, and how its message is worded; and what is an interrupt."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ConfigError(ValueError):
    """Something the user asked for cannot be done; the message is one line that says what would be right."""


def unknown(kind: str, name: object, choices: Iterable[str]) -> ConfigError:
    """The error for a name that is not among `choices`: the nearest one if any is near, all of them otherwise.

    Dotted names are compared with those of their own group, if there are any: to share the group says nothing of how
    near two names are. Upper and lower case are the same here, and `depth` is near to `network.depth`.

    >>> print(unknown("init", "xaver", ["normal", "xavier_normal"]))
    unknown init 'xaver': did you mean 'xavier_normal'?
    """
    names = sorted(set(choices))
    group, _, last = str(name).rpartition(".")
    relatives = [choice for choice in names if choice.rpartition(".")[0] == group]
    known = {choice.rpartition(".")[2].casefold(): choice for choice in relatives}
    if not relatives:
        last, known = str(name), {choice.casefold(): choice for choice in names}
    near = difflib.get_close_matches(last.casefold(), known, n=1, cutoff=0.55)
    elsewhere = [choice for choice in names if choice.rpartition(".")[2] == last]
    found = known[near[0]] if near else next(iter(elsewhere), None)
    hint = f"did you mean '{found}'?" if found else f"choose one of {', '.join(relatives or names)}"
    return ConfigError(f"unknown {kind} '{name}': {hint}")


def is_interrupt(error: BaseException | None) -> bool:
    """Whether an error is Ctrl-C, or has taken its place: what clears up after an interrupt may itself fail."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def require(condition: bool, message: str) -> None:
    """Raise `ConfigError(message)` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)
