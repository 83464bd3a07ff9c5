"""What a store has: every experiment with its launches, by what stands in their runs; no table is read."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from basinet.tracking import find
from basinet.tracking.process import Presence, presence
from basinet.tracking.store import TrackingStore
from basinet.tracking.tags import ALONE, BEST_LOSS, RUN_KIND


@dataclass(frozen=True)
class Launch:
    """A sweep, or a condition that was launched by itself."""

    id: str  # by which it can be loaded
    began: int  # milliseconds since 1970
    state: str  # finished | failed | stopped | running | cut off
    conditions: int  # that were asked for
    finished: int  # of them
    restarts: int  # of those that have finished
    best_loss: float  # likewise; NaN if none has


@dataclass(frozen=True)
class Experiment:
    """An experiment and what was launched in it, newest first."""

    name: str
    launches: tuple[Launch, ...]


def contents(store: TrackingStore) -> list[Experiment]:
    """The experiments of a store in which something was launched, newest first."""
    names = {number: experiment.name for number, experiment in find.experiments(store).items()}
    runs = find.search(store, list(names), f"tags.`{RUN_KIND}` LIKE '%'")
    found = [
        Experiment(name, tuple(_launches([run for run in runs if run.info.experiment_id == number])))
        for number, name in names.items()
    ]
    launched = [experiment for experiment in found if experiment.launches]
    return sorted(launched, key=lambda experiment: -experiment.launches[0].began)


def _launches(runs: Iterable[Any]) -> list[Launch]:
    """The launches that these runs of one experiment are of, newest first."""
    by_kind: dict[str, list[Any]] = {"sweep": [], "condition": []}
    for run in runs:
        by_kind.setdefault(run.data.tags[RUN_KIND], []).append(run)
    of_sweep: dict[str, list[Any]] = {}
    for condition in by_kind["condition"]:
        for sweep in find.numbers(condition) or (ALONE,):
            of_sweep.setdefault(sweep, []).append(condition)
    sweeps = [_launch(sweep, of_sweep.get(sweep.info.run_id, [])) for sweep in by_kind["sweep"]]
    alone = [run for run in find.newest(of_sweep.get(ALONE, [])) if set(find.numbers(run)) <= {ALONE}]
    return sorted([*sweeps, *(_launch(run, [run]) for run in alone)], key=lambda launch: -launch.began)


def _launch(run: Any, conditions: Iterable[Any]) -> Launch:
    finished = [one for one in find.newest(conditions) if one.info.status == "FINISHED"]
    metrics = [one.data.metrics for one in finished]
    return Launch(
        id=run.info.run_id,
        began=run.info.start_time,
        state=_state(run),
        conditions=int(run.data.metrics.get("conditions", 1)),
        finished=len(finished),
        restarts=int(sum(one.get("restarts", 0) for one in metrics)),
        best_loss=min((one[BEST_LOSS] for one in metrics if BEST_LOSS in one), default=math.nan),
    )


def _state(run: Any) -> str:
    if run.info.status == "RUNNING" and presence(run.data.tags) is Presence.GONE:
        return "cut off"
    return "stopped" if run.info.status == "KILLED" else str(run.info.status).lower()
