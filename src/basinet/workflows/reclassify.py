"""Verdicts about stored restarts, taken again: the evidence is kept, so nothing has to be trained."""

from __future__ import annotations

import numpy as np
import pandas as pd

from basinet.pipeline.tables import KIND
from basinet.stages.certify import Tolerances, classify
from basinet.tracking.load import load_evidence, load_restarts


def reclassify(name: str, tolerances: Tolerances, *, tracking_uri: str | None = None) -> pd.DataFrame:
    """The restarts of an experiment, sweep or run with the kinds that `tolerances` give them.

    Returns:
        `run_id restart kind kind_before loss`, one row per restart.
    """
    evidence = load_evidence(name, tracking_uri=tracking_uri)
    before = load_restarts(name, tracking_uri=tracking_uri, columns=["run_id", "restart", "kind", "loss"])
    parts = []
    for run_id, group in evidence.groupby("run_id", observed=True, sort=False):
        arrays = {key: group[key].to_numpy() for key in group.columns if key != "eigenvalues"}
        kinds = classify({**arrays, "eigenvalues": np.stack(group["eigenvalues"].to_list())}, tolerances)
        now = pd.Categorical.from_codes(kinds.tolist(), categories=pd.Index(KIND))
        parts.append(before[before["run_id"] == run_id].assign(kind_before=lambda frame: frame["kind"], kind=now))
    return pd.concat(parts, ignore_index=True)[["run_id", "restart", "kind", "kind_before", "loss"]]
