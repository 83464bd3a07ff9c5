"""`basinet --help`: every setting with its value and what it means, from the comments of `conf/`."""

from __future__ import annotations

import shutil
import string
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from basinet.study.defaults import GROUPS, LAUNCH_GROUPS, as_typed, conf_directory, describe, explanations, members

_LEFT = 30  # characters of a setting and its value, where they are no longer


def explain(config: DictConfig, folder: str | None) -> str:
    """The page for a composed configuration; `folder` has the user's own groups and studies."""
    container = OmegaConf.to_container(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
    assert isinstance(container, dict)
    settings = {str(key): value for key, value in container.items()}
    top = {key: value for key, value in settings.items() if key not in (*GROUPS, *LAUNCH_GROUPS)}
    lines = list(_lines(top, "", explanations(conf_directory() / "config.yaml")))
    lines += ["", *_wrapped("experiment=…", f"a study: {', '.join(members('experiment'))}")]
    for group in (*GROUPS, *LAUNCH_GROUPS):
        lines += _group(group, settings[group], config.hydra.runtime.choices[group], folder)
    return string.Template(config.hydra.help.template).safe_substitute(CONFIG="\n".join(lines)).rstrip()


def _group(group: str, settings: Mapping[str, Any], choice: str, folder: str | None) -> Iterator[str]:
    """A group of settings below its heading."""
    own = Path(folder or ".") / group / f"{choice}.yaml"
    path = own if folder is not None and own.is_file() else conf_directory() / group / f"{choice}.yaml"
    others = [name for name in members(group) if name != choice]
    yield ""
    yield from _wrapped(f"{group}={choice}", describe(path) + (f" (or {', '.join(others)})" if others else ""))
    yield from _lines({key: value for key, value in settings.items() if key != "name"}, f"{group}.", explanations(path))


def _lines(settings: Mapping[str, Any], prefix: str, meant: Mapping[str, str]) -> Iterator[str]:
    """A line or more for each setting; `meant` are what their keys, without the prefix, stand for."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            inner = {name.removeprefix(f"{key}."): said for name, said in meant.items() if name.startswith(f"{key}.")}
            yield from _lines(value, f"{prefix}{key}.", inner)
        else:
            shown = "…" if value == "???" else as_typed(value)
            yield from _wrapped(f"  {prefix}{key}={shown}", meant.get(key, ""))


def _wrapped(left: str, right: str) -> list[str]:
    """Two columns, of which the right one has as many lines as it needs."""
    said = textwrap.wrap(right, max(shutil.get_terminal_size().columns - _LEFT - 2, 20)) or [""]
    if len(left) > _LEFT:
        said = ["", *said]
    return [f"{one:<{_LEFT}}  {other}".rstrip() for one, other in zip([left, *[""] * len(said)], said, strict=False)]
