"""What a run belongs to: the sweeps that a condition is part of, and the newest of its runs, which stands for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from basinet.tracking.find import numbers, search
from basinet.tracking.record import OpenRun
from basinet.tracking.store import TrackingStore
from basinet.tracking.tags import ALONE, CONDITION, CURRENT, NUMBERS, PARENT, SWEEPS

_SWEEPS_MAX = 200  # of the newest ones: with more, the tag would be cut


def join_sweep(store: TrackingStore, run: Any, sweep: tuple[str, int]) -> None:
    """Make a condition that has finished part of another sweep, too: of that id, and with that number in it."""
    joined = numbers(run) or {ALONE: ALONE}
    if sweep[0] not in joined:
        joined = dict([*joined.items(), (sweep[0], str(sweep[1]))][-_SWEEPS_MAX:])
        OpenRun(store, run).log(tags={PARENT: sweep[0], **_written(joined)})


def leave_sweep(store: TrackingStore, run: Any, sweep_id: str) -> None:
    """The opposite of `join_sweep`, for a condition that belongs to something else, too."""
    left = {sweep: number for sweep, number in numbers(run).items() if sweep != sweep_id}
    parents = [sweep for sweep in left if sweep != ALONE]
    if parents:
        OpenRun(store, run).log(tags={PARENT: parents[-1], **_written(left)})
        return
    for tag in (PARENT, SWEEPS, NUMBERS):
        if tag in run.data.tags:
            store.client.delete_tag(run.info.run_id, tag)


def _written(sweeps: Mapping[str, str]) -> dict[str, str]:
    """The tags that say which sweeps a condition is part of, and its numbers in them."""
    return {SWEEPS: " ".join(sweeps), NUMBERS: " ".join(sweeps.values())}


def stand_for_condition(store: TrackingStore, run: Any) -> None:
    """Note in the runs of a condition, and in those of their minima, that `run` is the one to look at."""
    experiments, key = [run.info.experiment_id], run.data.tags[CONDITION]
    for one in search(store, experiments, f"tags.`{CONDITION}` = '{key}'"):
        is_current = "yes" if one.info.run_id == run.info.run_id else "no"
        if one.data.tags.get(CURRENT) != is_current:
            minima = search(store, experiments, f"tags.`{PARENT}` = '{one.info.run_id}'")
            for noted in (*minima, one):
                store.client.set_tag(noted.info.run_id, CURRENT, is_current)
