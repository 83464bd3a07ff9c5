"""Writing: a run for each distinct minimum, below the run of its condition, so that MLflow's charts compare them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pandas as pd

from basinet.tracking.find import search
from basinet.tracking.process import process_tags
from basinet.tracking.record import OpenRun
from basinet.tracking.tags import CURRENT, MINIMUM_GROUP, NOTE, PARENT, RUN_KIND

_NUMBER = "basinet.minimum"
_COLOUR = "mlflow.runColor"  # in which MLflow draws a run


@dataclass(frozen=True)
class MinimumRun:
    """What the run of a minimum says."""

    number: int  # the id of the minimum in its condition
    name: str
    group: str  # which of its condition it is, in words
    metrics: dict[str, float]
    curve: pd.DataFrame  # step loss
    note: str  # in Markdown
    colour: str  # the same as in figures
    restart: int  # one that ended there; -1 where none did


def write_minima(condition: OpenRun, minima: Iterable[MinimumRun]) -> None:
    """Make a run for each minimum; those that are there already stay as they are.

    They are dated just before the sweep, so that they come after all its conditions where runs are shown newest first,
    and in the order of their numbers.
    """
    asked = list(minima)
    if not asked:
        return
    client, info = condition.store.client, condition.run.info
    earlier = client.search_runs([info.experiment_id], f"tags.`{PARENT}` = '{condition.id}'")
    there = {run.data.tags.get(_NUMBER) for run in earlier}
    sweep_id = condition.run.data.tags.get(PARENT)
    before = client.get_run(sweep_id).info.start_time if sweep_id else info.start_time
    shared = {
        RUN_KIND: "minimum",
        CURRENT: "yes",
        PARENT: condition.id,
        "mlflow.source.name": "basinet",
        **process_tags(),
    }
    for minimum in asked:
        if str(minimum.number) not in there:
            own = {_NUMBER: str(minimum.number), NOTE: minimum.note, _COLOUR: minimum.colour}
            own[MINIMUM_GROUP] = minimum.group
            time, tags = before - 1 - minimum.number, {**shared, **own}
            params = {"condition": info.run_name, "restart": minimum.restart}
            run = OpenRun(condition.store, client.create_run(info.experiment_id, time, tags, minimum.name))
            run.log(params=params, metrics=minimum.metrics, history=minimum.curve)
            client.set_terminated(run.id, "FINISHED", time)


def group_minima(sweep: OpenRun, groups: Mapping[tuple[str, int], str]) -> None:
    """Say in the runs of minima which minimum of a sweep they are, so that those of several conditions are one group.

    Args:
        sweep: its run.
        groups: by the run of the condition and the number of the minimum there, what the group is called.
    """
    store = sweep.store
    for run in search(store, [sweep.run.info.experiment_id], f"tags.`{RUN_KIND}` = 'minimum'"):
        tags = run.data.tags
        group = groups.get((tags[PARENT], int(tags[_NUMBER])))
        if group is not None and group != tags.get(MINIMUM_GROUP):
            store.client.set_tag(run.info.run_id, MINIMUM_GROUP, group)
