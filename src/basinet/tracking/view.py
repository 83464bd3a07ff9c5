"""What is seen first of an experiment in MLflow: saved views, of conditions, of minima, and of these by group.

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
    grouped_by,
    is_ours,
    saved_view,
    table_state,
)
from basinet.tracking.tags import CURRENT, MINIMUM_GROUP, NOTE, RUN_KIND

if TYPE_CHECKING:
    from basinet.tracking.store import TrackingStore

CONDITIONS, MINIMA, GROUPED = "basinet-conditions", "basinet-minima", "basinet-minima-grouped"
"""By which name an address opens a view."""

_NAMES = {CONDITIONS: "conditions", MINIMA: "minima", GROUPED: "minima, grouped"}

_CONDITION = "params.`condition`"
_LETTER, _CREATED_WIDTH = 7, 145  # pixels
_CONDITION_WIDTH, _MINIMUM_WIDTH, _GROUP_WIDTH = 290, 310, 520  # of names of runs, and of groups of them
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
    for key, state in {CONDITIONS: _conditions(varied), MINIMA: _minima(), GROUPED: _grouped()}.items():
        there = tags.get(VIEW_TAG + key)
        if there is None or (varied and is_ours(there)):
            with suppress(MlflowException):  # an old server takes less; there are no views then
                store.client.set_experiment_tag(experiment_id, VIEW_TAG + key, saved_view(_NAMES[key], state))


def describe(store: TrackingStore, experiment_id: str, name: str, question: str) -> None:
    """Say above an experiment's runs what it asks and where to look; a description that somebody wrote stays."""
    links = f"{links_to_views(experiment_id)} · `basinet-report {name}`"
    if NOTE not in store.client.get_experiment(experiment_id).tags:
        first = f"**{question}** " if question else ""
        store.client.set_experiment_tag(experiment_id, NOTE, f"{first}{links}")


def links_to_views(experiment_id: str, views: Sequence[str] = (CONDITIONS, MINIMA, GROUPED)) -> str:
    """Views of an experiment as links within MLflow's pages, in Markdown."""
    here = version("mlflow")
    return " · ".join(f"[{_NAMES[key]}]({address_of_runs(experiment_id, key, here)[1:]})" for key in views)


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


def _grouped() -> dict[str, Any]:
    """The same minimum of several conditions is one group; these are in the order of their names."""
    names, condition = {RUN_NAME: _GROUP_WIDTH}, {_CONDITION: _CONDITION_WIDTH}
    order = f"tags.`{MINIMUM_GROUP}`"
    return {**_minima(), **_table("minimum", order, names, _MINIMUM_METRICS, condition), **grouped_by(MINIMUM_GROUP)}


def _table(
    kind: str, order: str, names: Mapping[str, int], metrics: Sequence[str], settings: Mapping[str, int]
) -> dict[str, Any]:
    """Which runs are shown in which order, and columns from the left, with their widths: names, metrics, settings."""
    shown = {**{f"metrics.`{name}`": max(90, 40 + _LETTER * len(name)) for name in metrics}, **settings}
    query = f"tags.`{RUN_KIND}` = '{kind}' and tags.`{CURRENT}` = 'yes'"
    return table_state(query, order, {**names, CREATED: _CREATED_WIDTH, **shown}, list(shown))
