"""What is seen first of an experiment in MLflow: saved views, one of its conditions and one of their minima.

MLflow keeps a view as a tag of the experiment, lists it under "Views", and opens it by an address that names it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from basinet.tracking.store import TrackingStore

CONDITIONS, MINIMA = "basinet-conditions", "basinet-minima"
"""By which name an address opens a view (`?viewStateShareKey=`)."""

TAG = "mlflow.sharedViewState."
"""What stands before the name in the tag."""

_MARK = "madeBy"  # MLflow leaves it out when somebody saves a view of their own under this name
_RUN_NAME, _CREATED = "attributes.`Run Name`", "runDateAndNestInfo"  # what MLflow calls these columns
_BY_NAME, _CONDITION = "tags.`mlflow.runName`", "params.`condition`"
_LETTER, _CREATED_WIDTH = 7, 145  # pixels
_CONDITION_WIDTH, _MINIMUM_WIDTH = 250, 310  # of names of runs
_CONDITION_METRICS = (
    *("restarts", "share/best", "minima/found", "minima/coverage", "final/best_loss", "final/median_loss"),
    *("share/minimum", "share/arrived", "share/diverged"),
)
_MINIMUM_METRICS = ("loss", "share", "count", "lambda_min", "lambda_max")
_COMPARED = 20  # runs that a chart draws


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
        there = tags.get(TAG + key)
        if there is None or (varied and _is_ours(there)):
            now = int(1000 * time.time())
            view = {"name": name, "createdAt": now, "state": _packed(state), _MARK: "basinet"}
            with suppress(MlflowException):  # an old server takes less; there are no views then
                store.client.set_experiment_tag(experiment_id, TAG + key, _packed(view))


def _packed(values: Mapping[str, Any]) -> str:
    return json.dumps(values, separators=(",", ":"))


def _is_ours(view: str) -> bool:
    try:
        return _MARK in json.loads(view)
    except ValueError:
        return False


def _conditions(varied: Sequence[str]) -> dict[str, Any]:
    settings = {f"params.`{key}`": 110 for key in varied}
    charts = {
        "Losses over the steps": [_curve(f"loss/{name}") for name in ("median", "min", "q05", "q95")],
        "What came out": [_bars(name) for name in ("final/median_loss", "share/best", "minima/found")],
    }
    names = {_RUN_NAME: _CONDITION_WIDTH}
    return {**_table("condition", _BY_NAME, names, _CONDITION_METRICS, settings), **_charts(charts)}


def _minima() -> dict[str, Any]:
    charts = {"Minima": [_curve("loss"), *(_bars(name) for name in ("share", "lambda_max", "lambda_min"))]}
    names, condition = {_RUN_NAME: _MINIMUM_WIDTH}, {_CONDITION: _CONDITION_WIDTH}
    return {**_table("minimum", _CONDITION, names, _MINIMUM_METRICS, condition), **_charts(charts)}


def _table(
    kind: str, order: str, names: Mapping[str, int], metrics: Sequence[str], settings: Mapping[str, int]
) -> dict[str, Any]:
    """Which runs are shown in which order, and columns from the left, with their widths: names, metrics, settings."""
    from basinet.tracking.record import CURRENT, RUN_KIND  # which takes the time of pandas: `basinet-ui` can do without

    shown = {**{f"metrics.`{name}`": max(90, 40 + _LETTER * len(name)) for name in metrics}, **settings}
    widths = {**names, _CREATED: _CREATED_WIDTH, **shown}
    return {
        "searchFilter": f"tags.`{RUN_KIND}` = '{kind}' and tags.`{CURRENT}` = 'yes'",
        "orderByKey": order,  # by time, MLflow would fold them away below their parents
        "orderByAsc": True,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "selectedColumns": list(shown),
        "columnOrder": list(widths),
        "columnWidths": widths,
        "runsHiddenMode": "FIRST_20_RUNS",
    }


def _charts(sections: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Any]:
    flags = {"display": True, "isReordered": False, "deleted": False, "isGenerated": False}
    return {
        "isAccordionReordered": True,  # ours come before those that MLflow adds for all other metrics
        "compareRunSections": [{"uuid": name, "name": name, **flags} for name in sections],
        "compareRunCharts": [{**card, "metricSectionId": name} for name, cards in sections.items() for card in cards],
    }


def _card(kind: str, metric: str) -> dict[str, Any]:
    shown = {"uuid": metric, "type": kind, "metricKey": metric, "displayName": metric}
    return {**shown, "runsCountToCompare": _COMPARED, "deleted": False, "isGenerated": False}


def _bars(metric: str) -> dict[str, Any]:
    return _card("BAR", metric)


def _curve(metric: str) -> dict[str, Any]:
    """A metric over the steps: on log axes, as losses fall and steps are recorded."""
    axes = {"xAxisKey": "step", "xAxisScaleType": "log", "scaleType": "log", "useGlobalXaxisKey": False, "range": {}}
    drawn = {"selectedMetricKeys": [metric], "lineSmoothness": 0, "useGlobalLineSmoothing": True}
    rest = {"selectedXAxisMetricKey": "", "yAxisKey": "metric", "yAxisExpressions": [], "ignoreOutliers": False}
    return {**_card("LINE", metric), **axes, **drawn, **rest}
