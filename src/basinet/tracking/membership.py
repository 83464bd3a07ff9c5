"""What a run belongs to: the sweeps that a condition is part of, and the newest of its runs, which stands for it."""

from __future__ import annotations

from typing import Any

from basinet.tracking.find import search
from basinet.tracking.record import ALONE, CONDITION, CURRENT, PARENT, SWEEPS, OpenRun
from basinet.tracking.store import TrackingStore

_SWEEPS_MAX = 200  # of the newest ones: with more, the tag would be cut


def join_sweep(store: TrackingStore, run: Any, sweep_id: str) -> None:
    """Make a condition that has finished part of another sweep, too."""
    sweeps = run.data.tags.get(SWEEPS, ALONE).split()
    if sweep_id not in sweeps:
        OpenRun(store, run).log(tags={PARENT: sweep_id, SWEEPS: " ".join([*sweeps, sweep_id][-_SWEEPS_MAX:])})


def leave_sweep(store: TrackingStore, run: Any, sweep_id: str) -> None:
    """The opposite of `join_sweep`, for a condition that belongs to something else, too."""
    sweeps = [sweep for sweep in run.data.tags[SWEEPS].split() if sweep != sweep_id]
    parents = [sweep for sweep in sweeps if sweep != ALONE]
    if parents:
        OpenRun(store, run).log(tags={PARENT: parents[-1], SWEEPS: " ".join(sweeps)})
        return
    for tag in (PARENT, SWEEPS):
        store.client.delete_tag(run.info.run_id, tag)


def stand_for_condition(store: TrackingStore, run: Any) -> None:
    """Note in the runs of a condition, and in those of their minima, that `run` is the one to look at."""
    experiments, key = [run.info.experiment_id], run.data.tags[CONDITION]
    for one in search(store, experiments, f"tags.`{CONDITION}` = '{key}'"):
        is_current = "yes" if one.info.run_id == run.info.run_id else "no"
        if one.data.tags.get(CURRENT) != is_current:
            minima = search(store, experiments, f"tags.`{PARENT}` = '{one.info.run_id}'")
            for noted in (*minima, one):
                store.client.set_tag(noted.info.run_id, CURRENT, is_current)
