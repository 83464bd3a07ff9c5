"""Finding: which runs of a store are meant by a name, a key, or a condition in MLflow's own language."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from basinet.foundation.errors import require, unknown
from basinet.tracking.address import checked_uri
from basinet.tracking.store import TrackingStore
from basinet.tracking.tags import ALONE, CONDITION, NUMBERS, PARENT, RUN_KIND, SWEEPS

_PAGE = 1000
SHORT = 8  # characters of the id of a run, where reports show it


def find_conditions(name: str, tracking_uri: str | None) -> tuple[TrackingStore, list[Any]]:
    """The run that stands for every condition of an experiment, a sweep or a run: the newest that has finished, if any.

    Conditions are in the order in which a sweep was asked for; of an experiment sweep by sweep, the newest last, and
    each condition in the newest that it is part of.

    Raises:
        ConfigError: if there is no such experiment or run.
    """
    store = TrackingStore.open_existing(checked_uri(tracking_uri))
    experiment = store.client.get_experiment_by_name(name)
    if experiment is not None:
        runs = search(store, [experiment.experiment_id], f"tags.`{RUN_KIND}` = 'condition'")
        sweeps = search(store, [experiment.experiment_id], f"tags.`{RUN_KIND}` = 'sweep'")
        began = {sweep.info.run_id: sweep.info.start_time for sweep in sweeps}
    else:
        run = named_run(store, name)
        runs, began = _conditions_of(store, run), {run.info.run_id: 0}
    return store, sorted(newest(runs), key=lambda run: _place(run, began))


def newest(runs: Iterable[Any]) -> list[Any]:
    """The run that stands for each of the conditions that these are runs of."""
    found: dict[str, Any] = {}
    for run in sorted(runs, key=finished_then_newest):
        found[run.data.tags[CONDITION]] = run
    return list(found.values())


def _place(run: Any, began: Mapping[str, int]) -> tuple[float, float, int]:
    """What runs are sorted by: their newest sweep of those that `began`, their number in it, their own start."""
    own = run.info.start_time
    known = [(began[sweep], _number(number)) for sweep, number in numbers(run).items() if sweep in began]
    return (*max(known, default=(own, 0.0)), own)


def _number(written: str) -> float:
    return math.inf if written == ALONE else int(written)


def numbers(run: Any) -> dict[str, str]:
    """The sweeps that a condition is part of, oldest first, and its number in each of them, as written.

    Earlier versions did not note the numbers.
    """
    sweeps, known = (run.data.tags.get(tag, "").split() for tag in (SWEEPS, NUMBERS))
    return dict(zip(sweeps, [*[ALONE] * (len(sweeps) - len(known)), *known], strict=True))


def finished_then_newest(run: Any) -> tuple[bool, int]:
    """The order in which runs stand for their condition: the last one does."""
    return run.info.status == "FINISHED", run.info.start_time


def find_run(store: TrackingStore, run_id: str) -> Any:
    """A run, deleted or not; raises `ConfigError` if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_run(run_id)
    except MlflowException as error:
        names = [experiment.name for experiment in experiments(store).values()]
        raise unknown("experiment or run", run_id, names) from error


def named_run(store: TrackingStore, name: str) -> Any:
    """The run with an id, or with one that begins so; raises `ConfigError` if there is none, or there are several."""
    return _begun_with(store, name) or find_run(store, name)


def _conditions_of(store: TrackingStore, run: Any) -> list[Any]:
    """A condition's run, or those of the conditions of a sweep; of a minimum that of its condition."""
    if run.data.tags.get(RUN_KIND) == "minimum":  # below the condition that is meant
        run = find_run(store, run.data.tags[PARENT])
    if run.data.tags.get(RUN_KIND) == "condition":
        return [run]
    return children(store, run.info.experiment_id, run.info.run_id)


def _begun_with(store: TrackingStore, name: str) -> Any | None:
    """The one run whose id begins with `name`, as it stands in reports; None if that is no such beginning.

    Raises:
        ConfigError: if several begin so.
    """
    if re.fullmatch(f"[0-9a-f]{{{SHORT},31}}", name) is None:
        return None
    found = search(store, list(experiments(store)), f"attributes.run_id LIKE '{name}%'")
    require(len(found) < 2, f"run '{name}': the ids of {len(found)} runs begin so; give more of it")
    return found[0] if found else None


def children(store: TrackingStore, experiment_id: str, sweep_id: str, *, deleted: bool = False) -> list[Any]:
    """The runs of the conditions of a sweep, with `deleted` those too that are to be seen in MLflow's bin only."""
    return search(store, [experiment_id], f"tags.`{SWEEPS}` LIKE '%{sweep_id}%'", deleted=deleted)


def find_condition(store: TrackingStore, experiment_id: str, key: str) -> Any | None:
    """The run that stands for a condition of an experiment, as when loading: of those that finished, the newest."""
    runs = search(store, [experiment_id], f"tags.`{CONDITION}` = '{key}'")
    return max(runs, key=finished_then_newest, default=None)


def experiments(store: TrackingStore) -> dict[str, Any]:
    """The experiments of a store by their ids."""
    found = _all_pages(lambda token: store.client.search_experiments(max_results=_PAGE, page_token=token))
    return {experiment.experiment_id: experiment for experiment in found}


def search(store: TrackingStore, experiments: list[str], condition: str, *, deleted: bool = False) -> list[Any]:
    """All runs of some experiments (ids) for which a condition in MLflow's own language holds."""
    from mlflow.entities import ViewType

    view = ViewType.ALL if deleted else ViewType.ACTIVE_ONLY
    return _all_pages(lambda token: store.client.search_runs(experiments, condition, view, _PAGE, page_token=token))


def _all_pages(page: Callable[[str | None], Any]) -> list[Any]:
    found: list[Any] = []
    token: str | None = None
    while True:
        answer = page(token)
        found.extend(answer)
        token = answer.token
        if not token:
            return found
