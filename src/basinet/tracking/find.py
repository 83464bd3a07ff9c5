"""Finding: which runs of a store are meant by a name, a key, or a condition in MLflow's own language."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from basinet.foundation.errors import unknown
from basinet.tracking.record import CONDITION, PARENT, RUN_KIND, SWEEPS
from basinet.tracking.store import TrackingStore, checked_uri

_PAGE = 1000


def find_conditions(name: str, tracking_uri: str | None) -> tuple[TrackingStore, list[Any]]:
    """The newest run of every condition of an experiment, a sweep or a run, oldest first; finished ones come first.

    Raises:
        ConfigError: if there is no such experiment or run.
    """
    store = TrackingStore.open_existing(checked_uri(tracking_uri))
    experiment = store.client.get_experiment_by_name(name)
    if experiment is not None:
        runs = search(store, [experiment.experiment_id], f"tags.`{RUN_KIND}` = 'condition'")
    else:
        runs = _runs_of(store, name)
    newest: dict[str, Any] = {}
    for run in sorted(runs, key=finished_then_newest):
        newest[run.data.tags[CONDITION]] = run
    return store, sorted(newest.values(), key=lambda run: run.info.start_time)


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


def _runs_of(store: TrackingStore, run_id: str) -> list[Any]:
    run = find_run(store, run_id)
    if run.data.tags.get(RUN_KIND) == "minimum":  # below the condition that is meant
        run = find_run(store, run.data.tags[PARENT])
    if run.data.tags.get(RUN_KIND) == "condition":
        return [run]
    return children(store, run.info.experiment_id, run.info.run_id)


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
