"""Two ways between minima: over a saddle along the flow, and straight, before and after alignment."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from basinet.foundation.threads import single_threaded_operations
from basinet.stages.derivatives import Derivatives
from basinet.stages.trace import beside_saddles, trace
from basinet.study.study import Study

_POINTS = 101  # of a straight line
WAYS = ("flow", "straight", "aligned")
"""The curves of the table, in its order."""


def paths(study: Study, minima: pd.DataFrame, saddles: pd.DataFrame) -> pd.DataFrame:
    """The loss on the ways from the lowest minimum that a saddle joins to another one, over its lowest such saddle.

    Returns:
        `way x loss saddle minimum_a minimum_b`, one row per point: on `flow`, x is the length of the way along the
        gradient flow from the saddle, negative towards `minimum_a`; on `straight`, the share of the straight line from
        `minimum_a` to `minimum_b` as they stand in the table, and on `aligned` of that to the nearest symmetric image
        of `minimum_b`. No rows if no saddle joins two different minima.
    """
    f = Derivatives(study.exact_objective, study.exact_engine)
    joins = saddles[(saddles["index"] == 1) & (saddles["minimum_a"] >= 0) & (saddles["minimum_b"] >= 0)]
    joins = joins[joins["minimum_a"] != joins["minimum_b"]]
    if joins.empty:
        return pd.DataFrame({"way": [], "x": [], "loss": [], "saddle": [], "minimum_a": [], "minimum_b": []})
    depth = joins["loss"] - joins["barrier_a"]  # the loss of minimum_a
    chosen = joins.assign(depth=depth).sort_values(["depth", "loss"], kind="stable").iloc[0]
    theta = minima.set_index("minimum")["parameters"]
    ends = [torch.from_numpy(np.array(theta[chosen[name]])) for name in ("minimum_a", "minimum_b")]
    nearest = f.objective.symmetry.nearest(*ends)
    with single_threaded_operations():
        flow = _over(f, study, torch.from_numpy(np.array(chosen["parameters"])), chosen["loss"] - chosen["barrier_a"])
        parts = [flow, _straight(f, *ends), _straight(f, nearest.theta, nearest.image)]
    named = [part.assign(way=way) for way, part in zip(WAYS, parts, strict=True)]
    known = {name: int(chosen[name]) for name in ("saddle", "minimum_a", "minimum_b")}
    return pd.concat(named, ignore_index=True)[["way", "x", "loss"]].assign(**known)


def _over(f: Derivatives, study: Study, saddle: Tensor, lower: float) -> pd.DataFrame:
    """Along the flow on both sides of a saddle, that which ends nearest to the loss `lower` to the left."""
    top = saddle.unsqueeze(0)
    sides = []
    for start in beside_saddles(f, top):
        states = list(trace(f, start, study.tolerances, every=1))
        points = torch.cat([top, *(state.theta for state in states)])
        length = torch.linalg.vector_norm(points.diff(dim=0), dim=1).cumsum(0)
        loss = torch.cat([f.loss_and_gradient(top)[0], *(state.loss for state in states)])
        sides.append(pd.DataFrame({"x": [0.0, *length.tolist()], "loss": loss.tolist()}))
    sides.sort(key=lambda side: abs(side["loss"].iloc[-1] - lower))
    left, right = sides
    return pd.concat([left.assign(x=-left["x"])[::-1], right[1:]], ignore_index=True)


def _straight(f: Derivatives, one: Tensor, other: Tensor) -> pd.DataFrame:
    share = torch.linspace(0, 1, _POINTS, dtype=torch.float64)
    loss = f.loss_and_gradient(one + share.unsqueeze(1) * (other - one))[0]
    return pd.DataFrame({"x": share.numpy(), "loss": loss.numpy()})
