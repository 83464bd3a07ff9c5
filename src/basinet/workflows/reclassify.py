"""Verdicts about stored restarts, taken again: the evidence is kept, so nothing has to be trained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from basinet.foundation.errors import unknown
from basinet.foundation.outcomes import KIND_NAMES
from basinet.stages.certify import classify
from basinet.study.defaults import tolerances, usual_columns
from basinet.tracking.results import Results

TAKEN_AGAIN = ("zero", "floor", "leaves", "moved", "falls", "remaining", "growth", "kink")
"""The tolerances that verdicts about stored evidence ask for; the others had their say when it was collected."""


def reclassify(name: str, *, tracking_uri: str | None = None, **changes: float | str) -> pd.DataFrame:
    """The restarts of an experiment, sweep or run with the kinds that other tolerances give them.

    Args:
        name: an experiment, or the id of a sweep or run.
        tracking_uri: the store; the one of the working directory if None.
        changes: tolerances of the group `certify`, over those that each condition was trained with.

    Returns:
        `run_id restart kind kind_before loss`, one row per restart.

    Raises:
        ConfigError: if there is no such experiment or run, or no such tolerance, or it is out of range.
    """
    for key in changes:
        if key not in TAKEN_AGAIN:
            raise unknown("tolerance of verdicts", key, TAKEN_AGAIN)
    results = Results.open(name, tracking_uri)
    before = results.load_table("restarts", ["run_id", "restart", "kind", "loss"])
    conditions = {row["run_id"]: row for row in results.runs.to_dict("records")}
    parts = []
    for run_id, group in results.evidence.groupby("run_id", observed=True, sort=False):
        arrays = {key: group[key].to_numpy() for key in group.columns if key != "eigenvalues"}
        own = _own(conditions[run_id])
        spectrum = np.stack(group["eigenvalues"].to_list())
        kinds = classify({**arrays, "eigenvalues": spectrum}, tolerances(**{**own, **changes}))
        now = pd.Categorical.from_codes(kinds.tolist(), categories=pd.Index(KIND_NAMES))
        parts.append(before[before["run_id"] == run_id].assign(kind_before=lambda frame: frame["kind"], kind=now))
    return pd.concat(parts, ignore_index=True)[["run_id", "restart", "kind", "kind_before", "loss"]]


def _own(condition: Mapping[Any, Any]) -> dict[str, Any]:
    """The tolerances that a condition was trained with, given its row of `load_runs`."""
    usual = {key: value for key, value in usual_columns().items() if key.startswith("certify.")}
    return {key.removeprefix("certify."): condition.get(key, value) for key, value in usual.items()}
