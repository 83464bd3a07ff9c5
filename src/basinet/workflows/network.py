"""A minimum of a finished run as what it is: a network that can be asked."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from basinet.foundation.errors import ConfigError, require
from basinet.mlp.trained import Trained
from basinet.pipeline.gather import Findings
from basinet.protocols import Objective
from basinet.tracking.results import Results


def network(run: str | Findings, minimum: int = 0, *, tracking_uri: str | None = None) -> Trained:
    """The network that a minimum is: a function of arrays `[feature, sample]`, with matrices and a module of torch.

    Args:
        run: the id of a condition's run, a sweep or experiment of one condition, or what `basinet.run` returned.
        minimum: its id in the table of minima; 0 is the lowest.
        tracking_uri: the store; the one of the working directory if None.

    Returns:
        The network at the point that stands for the minimum in that table; its copies under symmetries answer alike.

    Raises:
        ConfigError: if there is no such run or minimum, several conditions could be meant, or nothing is a network
            (`objective=test_function`).
    """
    if isinstance(run, Findings):
        return _network(run.study.exact_objective, run.minima, minimum, "this study")
    results = Results.open(run, tracking_uri)
    objective = results.study().exact_objective
    return _network(objective, results.load_table("minima", ["minimum", "parameters"]), minimum, f"'{run}'")


def _network(objective: Objective, minima: pd.DataFrame, minimum: int, name: str) -> Trained:
    chosen = minima[(minima["minimum"] == minimum).to_numpy()]
    there_are = f"its minima are 0 to {len(minima) - 1}" if len(minima) else "no restart of it ended at one"
    require(len(chosen) == 1, f"{name} has no minimum {minimum}: {there_are}")
    theta = np.array(chosen["parameters"].iloc[0], dtype=np.float64)
    whole = objective.whole(torch.from_numpy(theta).unsqueeze(0))
    if whole is None:
        raise ConfigError(f"{name} has minima of a function that is no network; load_minima has their parameters")
    return Trained(whole[0], whole[1][0].numpy())
