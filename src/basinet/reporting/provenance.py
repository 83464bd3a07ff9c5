"""How what is reported was made: the study's question, its configuration, and the commands that do it again."""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from basinet.analysis import amounts, plot_data
from basinet.reporting.data import Material
from basinet.reporting.document import Cell, Command, Element, Section, Table, Text
from basinet.study.defaults import comments, conf_directory, differing, overrides
from basinet.tracking.find import SHORT
from basinet.tracking.origin import Condition, Origin

_COMMANDS = 5  # of those that repeat it
_VALUES = 12  # of a setting


def study_comments(origin: Origin) -> list[str]:
    """The comments that the YAML of the study begins with, the first of which is its question; none without a study."""
    candidates = [path for sweep in origin.sweeps for path in _studies(shlex.split(sweep.command))]
    if not origin.sweeps:
        candidates = list(_studies([f"experiment={origin.experiment}"]))
    return next((found for path in candidates if path.is_file() and (found := comments(path))), [])


def _studies(command: list[str]) -> Iterable[Path]:
    """Where the study that a command line chooses may be."""
    named = [word.partition("=")[2] for word in command if word.startswith("experiment=")]
    folders = [after for word, after in itertools.pairwise(command) if word in ("--config-dir", "-cd")]
    folders += [word.partition("=")[2] for word in command if word.startswith("--config-dir=")]
    for folder in [conf_directory(), *map(Path, folders)]:
        yield from (folder / "experiment" / f"{name}.yaml" for name in named)


def configuration(material: Material) -> Section:
    """What was varied, what was the same everywhere, and what of that is not as it is by default."""
    conditions = material.origin.conditions
    if not conditions:
        return Section("configuration", "The configuration", [])
    columns = [condition.columns for condition in conditions]
    varied = differing(columns)
    blocks: list[Element] = []
    if varied:
        rows = [[Cell(key), Cell(_values(settings.get(key) for settings in columns))] for key in varied]
        blocks.append(Table("What was varied", ["setting", "values"], rows))
    changed = _changed(material.origin.finished)
    if changed:
        rows = [[Cell(key), Cell(value)] for key, _, value in (line.partition("=") for line in changed)]
        where = "The same everywhere, and not" if varied else "What is not"
        blocks.append(Table(f"{where} as it is by default", ["setting", "value"], rows))
    same = [key for key in columns[0] if all(settings.get(key, settings) == columns[0][key] for settings in columns)]
    rows = [[Cell(key), Cell(_text(columns[0][key]))] for key in same]
    blocks.append(Table("Everything that was the same", ["setting", "value"], rows, folded="All settings"))
    return Section("configuration", "The configuration", blocks)


def _changed(conditions: list[Condition]) -> list[str]:
    """The settings, as on the command line, that all conditions share and that are not the default."""
    lines = [_overrides(condition) for condition in conditions]
    return [line for line in lines[0] if all(line in other for other in lines)] if lines else []


def _values(values: Iterable[Any]) -> str:
    found = sorted(dict.fromkeys(values), key=plot_data.sort_key)
    more = f", … ({len(found)} in all)" if len(found) > _VALUES else ""
    return ", ".join(map(_text, found[:_VALUES])) + more


def _text(value: Any) -> str:
    return "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def how_it_was_run(material: Material, tracking_uri: str | None) -> Section:
    """Versions, hardware and seeds; the commands that run it again, train one restart again, and load its tables."""
    origin = material.origin
    rows = [[Cell(key), Cell(value)] for key, value in _facts(origin).items()]
    blocks: list[Element] = [*_repeating(origin)]
    best = _best_restart(material.restarts)
    if best is not None:
        lowest = "lowest" if material.is_whole else "lowest of the first ones"
        told = f"Trains restart {best['restart']} again, which ended {lowest}, and writes its whole descent."
        blocks.append(Command(replay_command(short(best["run_id"]), str(best["restart"]), tracking_uri), told))
        elsewhere = "" if tracking_uri is None else f", tracking_uri={tracking_uri!r}"
        load = f"import basinet; restarts = basinet.load_restarts({origin.name!r}{elsewhere})"
        blocks.append(Command(load, "In Python: one row per restart, with the settings as columns."))
    report = shlex.join(["basinet-report", origin.name, *_store(tracking_uri)])
    blocks.append(Command(report, "Makes this report again."))
    blocks += [Table("", ["", ""], rows)] if rows else []
    return Section("making", "How it was run", blocks)


def _facts(origin: Origin) -> dict[str, str]:
    facts: dict[str, dict[str, None]] = {}
    for condition in origin.conditions:
        for title, value in condition.provenance.items():
            facts.setdefault(title, {})[value] = None
    told = {title: ", ".join(values) for title, values in facts.items()}
    if origin.conditions:
        told["seed"] = _values(condition.columns.get("seed") for condition in origin.conditions)
    if origin.finished:
        told["wall time"] = amounts.duration(_covered(origin.finished))
        if len(origin.finished) > 1:
            told["computing, summed over conditions"] = amounts.duration(
                sum(condition.ended - condition.started for condition in origin.finished)
            )
    for sweep in origin.sweeps[:_COMMANDS]:
        told[f"sweep {short(sweep.run_id)}"] = sweep.status + (f": {sweep.error}" if sweep.error else "")
    return told


def _covered(conditions: Sequence[Condition]) -> float:
    """Seconds in which at least one condition was being computed: conditions may run side by side, or days apart."""
    total, until = 0.0, -math.inf
    for condition in sorted(conditions, key=lambda one: one.started):
        total += max(condition.ended - max(condition.started, until), 0.0)
        until = max(until, condition.ended)
    return total


def _repeating(origin: Origin) -> Iterable[Element]:
    launched = list(dict.fromkeys(sweep.command for sweep in origin.sweeps if sweep.command))
    if origin.name in [condition.run_id for condition in origin.conditions]:
        launched = []
    alone = [one for one in origin.finished if one.sweep_id is None or not launched]
    lines = [*launched, *(command_of(condition, origin.experiment) for condition in alone)]
    for line in lines[:_COMMANDS]:
        yield Command(line, "Runs it again; what has finished is not computed twice in the same store.")
    if len(lines) > _COMMANDS:
        yield Text(f"and {len(lines) - _COMMANDS} more commands like these.", "note")


def command_of(condition: Condition, experiment: str) -> str:
    """The command line that runs one condition."""
    into = [] if experiment == "basinet" else [f"tracking.experiment={experiment}"]
    return shlex.join(["basinet", *_overrides(condition), *into])


def _overrides(condition: Condition) -> list[str]:
    """Its settings as on the command line; the number of threads was this machine's, and changes no number."""
    settings = {key: value for key, value in (condition.settings or {}).items() if key != "threads"}
    return overrides(settings) if settings else []


def short(run_id: object) -> str:
    """The beginning of a run's id that every command takes for it."""
    return str(run_id)[:SHORT]


def replay_command(run_id: str, restart: str, tracking_uri: str | None) -> str:
    """What trains a restart again."""
    return " ".join(["basinet-replay", run_id, restart, *map(shlex.quote, _store(tracking_uri))])


def _store(tracking_uri: str | None) -> list[str]:
    return [] if tracking_uri is None else ["--tracking-uri", tracking_uri]


def _best_restart(restarts: pd.DataFrame) -> pd.Series | None:
    """The lowest minimum's first restart; where there is no minimum, the lowest loss's."""
    if restarts.empty:
        return None
    kept = restarts[(restarts["status"] != "diverged").to_numpy() & restarts["loss"].notna().to_numpy()]
    minima = kept[(kept["kind"] == "minimum").to_numpy()]
    chosen = minima if len(minima) else kept if len(kept) else restarts
    row: pd.Series = chosen.sort_values(["loss", "restart"]).iloc[0]
    return row
