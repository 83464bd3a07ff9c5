"""Runs that are said to be running and whose process is gone: nobody else can say any more that they have ended."""

from __future__ import annotations

from basinet.tracking import find
from basinet.tracking.process import Presence, presence
from basinet.tracking.record import OpenRun
from basinet.tracking.store import TrackingStore


def close_abandoned(store: TrackingStore, experiment_id: str) -> None:
    """Mark them as killed, in one experiment: the machine went down, or the process was shot."""
    for run in find.search(store, [experiment_id], "attributes.status = 'RUNNING'"):
        if presence(run.data.tags) is Presence.GONE:
            OpenRun(store, run).close("KILLED")


def is_used_elsewhere(store: TrackingStore) -> bool:
    """Whether somebody may be at work of whom nothing can be said from here: on another machine, in a container."""
    running = find.search(store, list(find.experiments(store)), "attributes.status = 'RUNNING'")
    return any(presence(run.data.tags) in (Presence.ELSEWHERE, Presence.UNKNOWN) for run in running)
