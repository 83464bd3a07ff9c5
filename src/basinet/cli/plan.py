"""What a command line asks for, with every condition checked before anything starts."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from basinet.cli.compose import Composed
from basinet.cli.waiting import Say, say_nothing
from basinet.foundation import machine
from basinet.foundation.errors import require
from basinet.study.defaults import LAUNCH, differing

if TYPE_CHECKING:
    from basinet.executors import Executor
    from basinet.study.study import Study
    from basinet.workflows.launch import TrackingSettings

_LONGEST = 3500  # characters of a setting: with these a condition's settings fit a tag of the tracking store


@dataclass(frozen=True)
class Plan:
    """What a command line asks for."""

    composed: Composed
    studies: list[Study]  # one per condition
    tracking: TrackingSettings
    experiment: str  # name of the MLflow experiment
    executor: Executor

    @property
    def is_sweep(self) -> bool:
        """Whether a parent run holds the conditions together."""
        return self.composed.is_sweep

    @property
    def workers(self) -> int | None:
        """How many conditions run at a time; None: the launcher decides, and where."""
        return self.composed.workers

    @property
    def threads(self) -> int | None:
        """How many threads each condition has; None: as many as there are cores where it runs."""
        return None if self.workers is None else max(1, machine.cores() // self.workers)

    @property
    def remarks(self) -> list[str]:
        """What was decided without being asked for, each once."""
        return self.composed.remarks(self.studies)

    @property
    def varied(self) -> list[str]:
        """The settings in which the conditions differ, as columns of the tables."""
        return differing([study.columns for study in self.studies])


def plan(composed: Composed, say: Say = say_nothing) -> Plan:
    """The plan of a command line of which the conditions have been composed.

    Args:
        composed: the conditions.
        say: is told what takes a moment.

    Raises:
        ConfigError: for the first thing that is wrong with any of the conditions.
    """
    say("loading PyTorch")  # here the numerical libraries are needed for the first time
    from basinet.study.study import Study

    conditions = composed.conditions
    say(f"checking {len(conditions):,} condition{'s' * (len(conditions) != 1)}")
    tracking, executor = tracking_of(composed), executor_of(composed)
    settings = [without_launch(all_of_them) for all_of_them in conditions]
    for one in settings:
        _check_storable(one, "")
    studies = [Study.from_config(one) for one in settings]
    for study in studies:
        _check_memory(study)
    _check_processes(composed.workers or 1)
    check_different([study.key for study in studies], composed.swept)
    return Plan(composed, studies, tracking, experiment_of(composed, tracking), executor)


def tracking_of(composed: Composed) -> TrackingSettings:
    """Where and how much is kept: the same for all conditions."""
    from basinet.workflows.launch import TrackingSettings

    return TrackingSettings.from_config(composed.conditions[0])


def executor_of(composed: Composed) -> Executor:
    """Where blocks are computed: the same for all conditions.

    Raises:
        ConfigError: for settings that do not fit.
    """
    from basinet.executors import EXECUTORS
    from basinet.study.resolve import filled

    settings = composed.conditions[0]
    named = isinstance(settings["executor"], Mapping) and "name" in settings["executor"]
    require(named, f"executor={settings['executor']}: is a group of settings, executor.key=value")
    executor: Executor = filled(EXECUTORS, settings, "executor")
    return executor


def experiment_of(composed: Composed, tracking: TrackingSettings) -> str:
    """The name of the MLflow experiment."""
    name = tracking.experiment if tracking.experiment is not None else composed.study or "basinet"
    proper = name == name.strip() and name.isprintable() and 0 < len(name) <= 250
    require(proper, f"tracking.experiment='{name}': must be 1 to 250 printable characters, no blanks around them")
    return name


def _check_storable(settings: Mapping[str, Any], prefix: str) -> None:
    """Raise `ConfigError` for numbers and lists that a tracking store would not give back."""
    for key, value in settings.items():
        if isinstance(value, Mapping):
            _check_storable(value, f"{prefix}{key}.")
            continue
        entries = value if isinstance(value, list | tuple) else [value]
        finite = all(math.isfinite(entry) for entry in entries if isinstance(entry, float))
        require(finite, f"{prefix}{key}={value}: must be a finite number")
        length = len(json.dumps(value, default=str))
        require(length <= _LONGEST, f"{prefix}{key}: {length:,} characters, a setting has at most {_LONGEST:,}")


def _check_memory(study: Study) -> None:
    """Raise `ConfigError` if a process that computes the condition does not fit, as a dry run would count it."""
    from basinet.pipeline import costs

    there, size = machine.memory(), study.network.size
    needed, least = costs.memory(study), costs.least_memory(study)
    blind = replace(study, polishing=replace(study.polishing, steps=0, dense_max=0, lanczos_steps=0))
    if least >= there > costs.memory(blind):  # it is not the restarts that are too many
        key, needed = ("dense_max" if size <= study.polishing.dense_max else "lanczos_steps"), least
        told = f"polish.{key}={getattr(study.polishing, key):,}: to examine {size:,} parameters takes"
    else:
        key = "restarts_max" if study.is_auto else "restarts"
        told = f"{key}={study.restarts:,} of {size:,} parameters each take"
    require(needed < there, f"{told} {needed / 2**30:,.0f} GiB, this machine has {there / 2**30:,.0f}")


def _check_processes(workers: int) -> None:
    """Raise `ConfigError` if the processes that are asked for do not fit this machine, whatever they compute."""
    from basinet.pipeline import costs

    needed, there = workers * costs.PROGRAM, machine.memory()
    told = f"hydra.launcher.n_jobs: {workers:,} processes take {needed / 2**30:,.0f} GiB"
    require(workers == 1 or needed < there, f"{told}, this machine has {there / 2**30:,.0f}")


def check_different(keys: Sequence[str], swept: Sequence[str]) -> None:
    """Raise `ConfigError` if two conditions of a sweep are the same: only one of them could be loaded."""
    seen: dict[str, int] = {}
    for number, key in enumerate(keys, 1):
        same = seen.setdefault(key, number)
        require(same == number, f"{' '.join(swept)}: conditions {same} and {number} of this sweep are the same")


def without_launch(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that make a study."""
    return {key: value for key, value in settings.items() if key not in LAUNCH}
