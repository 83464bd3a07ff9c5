"""The settings of `conf/`, the only place where the numbers of a study stand, read without Hydra."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from basinet.foundation.errors import ConfigError, unknown
from basinet.foundation.synonyms import activation_name
from basinet.stages.tolerances import Tolerances
from basinet.study.convert import fill

GROUPS = ("problem", "network", "init", "descent", "escape", "objective", "polish", "certify", "landscape")


def conf_directory() -> Path:
    """Where `conf/` is: inside the installed package, or beside `src/` in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for candidate in (package / "conf", package.parents[1] / "conf"):
        if (candidate / "config.yaml").is_file():
            return candidate
    raise ConfigError(f"the conf directory of basinet is missing (looked in and beside {package})")


def members(group: str) -> list[str]:
    """The members of a config group, sorted."""
    return sorted(path.stem for path in (conf_directory() / group).glob("*.yaml"))


def describe(path: Path) -> str:
    """The first comment of a YAML file, beside Hydra's own `@package`: what it is, in one line."""
    return next(iter(comments(path)), "")


def comments(path: Path) -> list[str]:
    """The lines of comment that a YAML file begins with, without Hydra's own `@package`."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            break
        found.append(line.lstrip("# ").rstrip())
    return [line for line in found if line and not line.startswith("@")]


_ACTIVATIONS = ("network.activation", "network.output", "problem.activation")
"""The settings that name an activation."""

_LINE = re.compile(r"(?P<indent> *)(?P<key>\w+):(?P<rest>.*)")


def explanations(path: Path) -> dict[str, str]:
    """What the comments behind the settings of a YAML file say of them, by their keys, dotted where they are nested."""
    found, above = {}, {0: ""}
    for line in path.read_text(encoding="utf-8").splitlines():
        setting = _LINE.fullmatch(line)
        if setting is not None:
            depth = len(setting["indent"])
            key = above.get(depth, "") + setting["key"]
            above[depth + 2] = f"{key}."
            if " # " in line:
                found[key] = setting["rest"].partition(" # ")[2].strip()
    return found


BUDGET = "escape.budget"
"""How long runs go on: like the number of restarts it changes none of those that there are."""

LAUNCH_GROUPS = ("executor",)
"""Groups that are no settings of a study, either."""

LAUNCH = ("tracking", "rerun", "dry_run", *LAUNCH_GROUPS)
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
        whole = {**own, **{key: _like(own.get(key), value) for key, value in given.items()}}
        result[group] = {key: _named(f"{group}.{key}", value) for key, value in whole.items()}
    return result


def _named(key: str, value: Any) -> Any:
    """A setting, and an activation by its one name."""
    return activation_name(value) if key in _ACTIVATIONS and isinstance(value, str) else value


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


def differing(conditions: Sequence[Mapping[str, Any]]) -> list[str]:
    """The settings in which conditions differ, given each one's settings by their dotted keys.

    Of a group whose choice varies, the choice says it all: its settings differ because their names do.

    >>> differing([{"init": "normal", "init.std": 1.0, "seed": 0}, {"init": "orthogonal", "init.gain": 1.0, "seed": 0}])
    ['init']
    """
    keys = dict.fromkeys(key for settings in conditions for key in settings)
    varied = [key for key in keys if len({settings.get(key) for settings in conditions}) > 1]
    groups = [key for key in varied if key in GROUPS]
    return [key for key in varied if key in groups or not _explained(key, groups, conditions)]


def _explained(key: str, groups: Sequence[str], conditions: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the choice of a group fixes the value of this setting throughout."""
    for group in groups:
        if key.startswith(f"{group}.") or group == "problem":
            values: dict[Any, set[Any]] = {}
            for settings in conditions:
                values.setdefault(settings.get(group), set()).add(settings.get(key))
            if all(len(found) == 1 for found in values.values()):
                return True
    return False


def overrides(settings: Mapping[str, Any]) -> list[str]:
    """What has to be written on the command line to have these settings: where they differ from `conf/`.

    `settings` are complete, every group a mapping. What a problem decides by itself is written, too, once it has been.

    >>> overrides(complete({"init": {"name": "uniform", "bound": 2}, "restarts": 50}))
    ['init=uniform', 'init.bound=2.0', 'restarts=50']
    """
    chosen = _default_members()
    written = []
    for group in GROUPS:
        name = settings[group]["name"]
        if name != chosen[group]:
            written.append(f"{group}={name}")
        own = _read(f"{group}/{name}.yaml")
        fields = ((key, value) for key, value in settings[group].items() if value != own.get(key))
        written += [f"{group}.{key}={as_typed(value)}" for key, value in fields]
    top = _read("config.yaml")
    others = ((key, value) for key, value in settings.items() if key not in GROUPS and value != top.get(key))
    return [*written, *(f"{key}={as_typed(value)}" for key, value in others)]


def as_typed(value: Any) -> str:
    """A value as Hydra's grammar has it; a text that could be read as something else is quoted."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(as_typed, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if not isinstance(value, str):
        return repr(value)
    plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_/.-]*", value) is not None
    if plain and value.lower() not in ("null", "true", "false", "nan", "inf"):
        return value
    return "'" + re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + ("\\'" if found[2] else ""), value) + "'"


def usual_columns() -> dict[str, Any]:
    """The columns that stand in tables only where some condition has another value than this.

    >>> usual_columns()["certify.zero"]
    1e-08
    """
    groups = ("network", "escape", "objective", "certify", "landscape")
    members = {group: _default_members()[group] for group in groups}
    own = unnamed(_read(f"escape/{members['escape']}.yaml"))
    members |= {f"escape.{key}": value for key, value in own.items()}
    lines = {f"certify.{key}": value for key, value in unnamed(_read("certify/standard.yaml")).items()}
    return {**members, **lines}


def tolerances(**changes: Any) -> Tolerances:
    """Those of `conf/certify/`, with some changed; raises `ConfigError` for one that there is not, or out of range."""
    return fill(Tolerances, {**unnamed(_read("certify/standard.yaml")), **changes}, "certify")


def unnamed(group: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a group beside the choice of its member."""
    return {key: value for key, value in group.items() if key != "name"}


def columns_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The resolved settings of a study with their dotted keys, as they stand in tables."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in GROUPS or not isinstance(value, Mapping):
            flat[key] = value
            continue
        for name, entry in value.items():
            flat[key if name == "name" else f"{key}.{name}"] = entry
    usual = usual_columns()
    for constant in ("restarts", "restarts_max", "threads", "engine", BUDGET):
        flat.pop(constant, None)
    flat = {key: value for key, value in flat.items() if key not in usual or value != usual[key]}
    return {k: "-".join(map(str, v)) if isinstance(v, list | tuple) else v for k, v in flat.items()}
