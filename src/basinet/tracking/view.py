"""What is seen first of an experiment in MLflow: saved views, one of its conditions and one of their minima.

How MLflow keeps them is in `mlflow_internals`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from basinet.tracking.mlflow_internals import (
    BY_NAME,
    CREATED,
    RUN_NAME,
    VIEW_TAG,
    address_of_runs,
    bars,
    charts_state,
    curve,
    is_ours,
    saved_view,
    table_state,
)
from basinet.tracking.tags import CURRENT, NOTE, RUN_KIND

if TYPE_CHECKING:
    from basinet.tracking.store import TrackingStore

CONDITIONS, MINIMA = "basinet-conditions", "basinet-minima"
"""By which name an address opens a view."""

_CONDITION = "params.`condition`"
_LETTER, _CREATED_WIDTH = 7, 145  # pixels
_CONDITION_WIDTH, _MINIMUM_WIDTH = 250, 310  # of names of runs
_CONDITION_METRICS = (
    *("restarts", "share/best", "minima/found", "share/minimum", "minima/coverage"),  # the last is of the one before
    *("final/best_loss", "final/median_loss", "share/arrived", "share/diverged"),
)
_MINIMUM_METRICS = ("loss", "share", "count", "lambda_min", "lambda_max")


def save_views(store: TrackingStore, experiment_id: str, varied: Sequence[str]) -> None:
    """Put the views among an experiment's tags; those that somebody has changed since stay as they are.

    Args:
        store: where the experiment is.
        experiment_id: the experiment.
        varied: settings that are columns, too.
    """
    from mlflow.exceptions import MlflowException

    tags = store.client.get_experiment(experiment_id).tags
    views = {CONDITIONS: ("conditions", _conditions(varied)), MINIMA: ("minima", _minima())}
    for key, (name, state) in views.items():
        there = tags.get(VIEW_TAG + key)
        if there is None or (varied and is_ours(there)):
            with suppress(MlflowException):  # an old server takes less; there are no views then
                store.client.set_experiment_tag(experiment_id, VIEW_TAG + key, saved_view(name, state))


def describe(store: TrackingStore, experiment_id: str, name: str, question: str) -> None:
    """Say above an experiment's runs what it asks and where to look; a description that somebody wrote stays."""
    here = version("mlflow")
    conditions, minima = (address_of_runs(experiment_id, view, here)[1:] for view in (CONDITIONS, MINIMA))
    links = f"[conditions]({conditions}) · [minima]({minima}) · `basinet-report {name}`"
    if NOTE not in store.client.get_experiment(experiment_id).tags:
        first = f"**{question}** " if question else ""
        store.client.set_experiment_tag(experiment_id, NOTE, f"{first}{links}")


def _conditions(varied: Sequence[str]) -> dict[str, Any]:
    settings = {f"params.`{key}`": 110 for key in varied}
    charts = {
        "Losses over the steps": [curve(f"loss/{name}") for name in ("median", "min", "q05", "q95")],
        "What came out": [bars(name) for name in ("final/median_loss", "share/best", "minima/found")],
    }
    names = {RUN_NAME: _CONDITION_WIDTH}
    return {**_table("condition", BY_NAME, names, _CONDITION_METRICS, settings), **charts_state(charts)}


def _minima() -> dict[str, Any]:
    charts = {"Minima": [curve("loss"), *(bars(name) for name in ("share", "lambda_max", "lambda_min"))]}
    names, condition = {RUN_NAME: _MINIMUM_WIDTH}, {_CONDITION: _CONDITION_WIDTH}
    return {**_table("minimum", _CONDITION, names, _MINIMUM_METRICS, condition), **charts_state(charts)}


def _table(
    kind: str, order: str, names: Mapping[str, int], metrics: Sequence[str], settings: Mapping[str, int]
) -> dict[str, Any]:
    """Which runs are shown in which order, and columns from the left, with their widths: names, metrics, settings."""
    shown = {**{f"metrics.`{name}`": max(90, 40 + _LETTER * len(name)) for name in metrics}, **settings}
    query = f"tags.`{RUN_KIND}` = '{kind}' and tags.`{CURRENT}` = 'yes'"
    return table_state(query, order, {**names, CREATED: _CREATED_WIDTH, **shown}, list(shown))
