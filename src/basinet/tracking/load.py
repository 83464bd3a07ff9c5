"""Reading: from an experiment, a sweep or a run to tidy frames, one call each (`basinet.open` reads several)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from basinet.tracking.results import Results
from basinet.tracking.row_choice import sampled
from basinet.tracking.where import Where


def open_results(name: str, tracking_uri: str | None = None) -> Results:
    """The results of an experiment, a sweep or a run: `.restarts .minima .curves .parameters() .study() …`.

    The store is opened and the conditions are found once; tables are read when they are asked for, and kept.

    Args:
        name: an experiment, the id of a sweep's parent run, or the id of a condition's run.
        tracking_uri: the store; the one of the working directory if None.

    Raises:
        ConfigError: if there is no such experiment or run.
    """
    return Results.open(name, tracking_uri)


def load_runs(name: str, *, tracking_uri: str | None = None, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per condition: `run_id sweep_id name status started seconds restarts …`, its settings and last metrics.

    Args:
        name: an experiment, the id of a sweep's parent run, or the id of a condition's run.
        tracking_uri: the store; the one of the working directory if None.
        columns: the columns wanted, in this order; all if None.

    Raises:
        ConfigError: if there is no such experiment or run, or no such column.
    """
    return Results.open(name, tracking_uri).load_runs(columns)


def load_restarts(
    name: str,
    *,
    tracking_uri: str | None = None,
    columns: Sequence[str] | None = None,
    where: Where | None = None,
    sample: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per restart of every condition, with the condition's settings as columns.

    `loss` is where the restart ended; `status` how its descent ended (arrived, budget, diverged). Of a condition that
    ran more than once, the newest run. Only what is asked for is read, so that a few columns, or a sample, of 10⁸
    restarts take little memory.

    Args:
        name: an experiment, the id of a sweep's parent run, or the id of a condition's run.
        tracking_uri: the store; the one of the working directory if None.
        columns: the columns wanted, in this order; all if None.
        where: the rows wanted, all if None: a comparison of columns, `"kind == 'minimum' and network.depth in (2, 3)"`,
            or what columns are equal to or among, `{"kind": "minimum", "network.depth": [2, 3]}`. Conditions that
            cannot have such rows are not read. What a condition has not got (`init.std` of some) satisfies no
            comparison. `sweep_minimum` stands in no file and cannot be asked for.
        sample: of every condition so many of these rows (a whole number; all where there are fewer), or this share of
            them (a float in (0, 1]), drawn without putting back, in their order; all if None.
        seed: of the draw: the same sample again, and, without `where`, the same restarts from `load_evidence`.

    Raises:
        ConfigError: if there is no such experiment, run or column, or `where` says nothing that can be true,
            or `sample` is neither, or `seed` no whole number from 0 on.
    """
    choice = None if sample is None else sampled(sample, seed)
    return Results.open(name, tracking_uri).load_table("restarts", columns, where, choice)


def load_minima(
    name: str,
    *,
    tracking_uri: str | None = None,
    columns: Sequence[str] | None = None,
    where: Where | None = None,
) -> pd.DataFrame:
    """One row per distinct bottom of every condition, in the order of their losses, with the condition's settings.

    `minimum` is the id in its condition, `sweep_minimum` in its sweep: the same bottom found from two initialisations
    has one. `share` is of all restarts of the condition, with Wilson's interval; `restart` is one that reached it, and
    `parameters` where it is; a minimum that only searches for saddles have reached has the count 0 and the restart -1.
    `log_det` is ½ log det H without the zeros that symmetries explain, `orbit_size` how many symmetric copies there
    are. Levels that are degenerate or at infinity are rows too, told apart by `kind`. Arguments
    and errors as for `load_restarts`.
    """
    return Results.open(name, tracking_uri).load_table("minima", columns, where)


def load_saddles(
    name: str,
    *,
    tracking_uri: str | None = None,
    columns: Sequence[str] | None = None,
    where: Where | None = None,
) -> pd.DataFrame:
    """One row per saddle of every condition that ran with `landscape=saddles`, with the condition's settings.

    `index` is the number of directions in which f curves down, -1 of a degenerate point; `minimum_a` and `minimum_b`
    are the ids in `load_minima` of the minima that a saddle of index 1 joins, -1 where the flow has led to none,
    `barrier_a` and `barrier_b` how far it lies above them; `images` tells that both are copies of one minimum.
    `orbit_size` is the number of its symmetric copies, `count` how many searches have ended there. Arguments and errors
    as for `load_restarts`.

    Raises:
        ConfigError: also if no condition was run with `landscape=saddles`.
    """
    return Results.open(name, tracking_uri).load_table("saddles", columns, where)


def load_evidence(
    name: str,
    *,
    tracking_uri: str | None = None,
    columns: Sequence[str] | None = None,
    where: Where | None = None,
    sample: float | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per restart of every condition: what its verdict was made of (`basinet.stages.certify.Evidence`).

    Arguments and errors as for `load_restarts`.
    """
    choice = None if sample is None else sampled(sample, seed)
    return Results.open(name, tracking_uri).load_table("evidence", columns, where, choice)


def load_curves(
    name: str,
    *,
    tracking_uri: str | None = None,
    columns: Sequence[str] | None = None,
    where: Where | None = None,
) -> pd.DataFrame:
    """One row per restart and recorded step, of the first `tracking.curves_max` restarts of every condition.

    Arguments and errors as for `load_restarts`.
    """
    return Results.open(name, tracking_uri).load_table("curves", columns, where)


def load_visits(
    name: str,
    *,
    tracking_uri: str | None = None,
    columns: Sequence[str] | None = None,
    where: Where | None = None,
) -> pd.DataFrame:
    """One row per bottom that a run has visited, in the order of conditions, runs and rounds, with `escape=…`.

    `gradients` is what the run had spent by then (`spent`: in the end), `loss` the height of the bottom, of its
    `minimum` where it is one of the condition's, `accepted` whether the run moved there, `best` its lowest so far.
    Every visit of the first `escape.visits` runs is kept, of the others those that were the best so far. Conditions
    without runs are left out. Arguments and errors as for `load_restarts`.
    """
    return Results.open(name, tracking_uri).load_table("visits", columns, where)


def load_quantiles(
    name: str,
    *,
    tracking_uri: str | None = None,
    columns: Sequence[str] | None = None,
    where: Where | None = None,
) -> pd.DataFrame:
    """One row per recorded step of every condition: quantiles of the loss and gradient norm over all its restarts.

    Arguments and errors as for `load_restarts`.
    """
    return Results.open(name, tracking_uri).load_table("quantiles", columns, where)


def load_parameters(
    name: str, *, tracking_uri: str | None = None, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """One row per restart: `run_id restart initial final` (vectors of parameters), with the condition's settings.

    `np.stack(frame["final"])` is the matrix `[restart, parameter]` of a condition. Arguments and errors as for
    `load_runs`.
    """
    return Results.open(name, tracking_uri).load_parameters(columns)
