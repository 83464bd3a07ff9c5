"""How an experiment, a sweep or a run came about: what was launched, what became of it, and on which machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from basinet.tracking import find
from basinet.tracking.integrity import reading
from basinet.tracking.store import TrackingStore
from basinet.tracking.tags import COLUMNS, LANDSCAPE, PARENT, RUN_KIND, SYMMETRY

_PROVENANCE = {
    "basinet.version": "basinet",
    "mlflow.source.git.commit": "commit of the working directory",
    "basinet.engine": "engine",
    "hardware.device": "device",
    "hardware.processor": "processor",
    "hardware.cores": "cores",
    "hardware.machine": "machine",
}
"""Tags of a run that say how it was made, and what they are called."""

_VERSION = "version."  # tags that begin so are versions of libraries


@dataclass(frozen=True)
class Sweep:
    """A sweep's parent run."""

    run_id: str
    status: str  # finished, failed, killed or running
    command: str
    planned: int  # how many conditions it has
    error: str | None  # the last line of it


@dataclass(frozen=True)
class Condition:
    """A condition's run."""

    run_id: str
    sweep_id: str | None
    name: str
    status: str  # finished, failed, killed or running
    columns: dict[str, Any]  # its settings by their dotted keys
    settings: dict[str, Any] | None  # the whole configuration; None if the run has not finished
    provenance: dict[str, str]
    started: float  # seconds since 1970
    ended: float
    symmetry: str  # what may be done to its problem without changing what is minimised; empty if nothing may
    error: str | None  # the last line of it
    landscape: str | None = None  # what was found between its minima; None if that was not asked for

    @property
    def is_finished(self) -> bool:
        """Whether it has tables."""
        return self.status == "finished"


@dataclass(frozen=True)
class Origin:
    """Everything that is known of a name beside its tables."""

    name: str
    experiment: str
    sweeps: list[Sweep]  # those that the conditions belong to, or, if there are none, all that were launched
    conditions: list[Condition]  # of each the newest run, in the order in which they were asked for

    @property
    def finished(self) -> list[Condition]:
        """The conditions that have tables."""
        return [condition for condition in self.conditions if condition.is_finished]


def origin_of(name: str, store: TrackingStore, runs: list[Any]) -> Origin:
    """How the conditions of an experiment, a sweep or a run came about (`find.find_conditions`); there may be none."""
    experiment = store.client.get_experiment_by_name(name)
    sweeps = dict.fromkeys(run.data.tags[PARENT] for run in runs if PARENT in run.data.tags)
    if experiment is not None and not runs:
        found = find.search(store, [experiment.experiment_id], f"tags.`{RUN_KIND}` = 'sweep'")
        sweeps = dict.fromkeys(run.info.run_id for run in found)
    elif experiment is None:
        run = find.named_run(store, name)
        name = run.info.run_id
        experiment = store.client.get_experiment(run.info.experiment_id)
        if run.data.tags.get(RUN_KIND) == "sweep":
            sweeps = {name: None}  # conditions may belong to later sweeps, too
    parents = [_sweep(store.client.get_run(run_id)) for run_id in sweeps]
    return Origin(name, experiment.name, parents, [_condition(store, run) for run in runs])


def _sweep(run: Any) -> Sweep:
    tags = run.data.tags
    planned = int(run.data.metrics.get("conditions", 0))
    return Sweep(run.info.run_id, run.info.status.lower(), tags.get("basinet.command", ""), planned, _last_line(tags))


def _condition(store: TrackingStore, run: Any) -> Condition:
    tags, status = run.data.tags, run.info.status.lower()
    named = {tag.removeprefix(_VERSION): value for tag, value in sorted(tags.items()) if tag.startswith(_VERSION)}
    return Condition(
        run_id=run.info.run_id,
        sweep_id=tags.get(PARENT),
        name=run.info.run_name,
        status=status,
        columns=json.loads(tags[COLUMNS]),
        settings=_settings(store.artifact(run, "config.yaml")) if status == "finished" else None,
        provenance={title: tags[tag] for tag, title in _PROVENANCE.items() if tag in tags} | named,
        started=run.info.start_time / 1000,
        ended=(run.info.end_time or run.info.start_time) / 1000,
        symmetry=tags.get(SYMMETRY, ""),
        error=_last_line(tags),
        landscape=tags.get(LANDSCAPE),
    )


def _settings(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    with reading(path):
        settings: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return settings


def _last_line(tags: dict[str, str]) -> str | None:
    lines = tags.get("basinet.error", "").strip().splitlines()
    return lines[-1] if lines else None
