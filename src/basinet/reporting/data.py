"""What a report is made from: the tables of a name, and the statistics that need them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from basinet.analysis import compare, wording
from basinet.analysis.spread import ACCURACIES, BECAUSE, OBJECTIVE, spread
from basinet.analysis.tally import NUMBER, number
from basinet.foundation.quantiles import QUANTILES, QUARTILES
from basinet.study.defaults import differing
from basinet.tracking.find import find_conditions
from basinet.tracking.origin import Origin, origin_of
from basinet.tracking.results import Results

ONE_CONDITION = ["init", "network.depth"]
"""What a condition is called by where there is no other to tell it from."""

DRAWN_MAX = 20
"""Conditions of a report that have figures of their own; where there are more, none has."""

_CURVES = ("run_id", "restart", "step", "loss")
PAIRS_MAX = 5_000  # of conditions: more are not compared, 100 conditions have fewer
_HELD_OUT = ("loss_holdout", "loss_original", "loss_holdout_original", *ACCURACIES)
_RESTARTS = [
    *("run_id", "restart", "seed", "status", "kind", "minimum", "sweep_minimum", "steps"),
    *("loss_initial", "loss", "gradient_norm", "parameter_norm", "lambda_min", "lambda_max"),
]
_PROBLEM = ("problem", "objective")  # groups of settings between whose values losses are not compared


@dataclass(frozen=True)
class Material:
    """Frames as `basinet.load_*` return them, and what follows from them; all are empty if nothing has finished."""

    origin: Origin
    by: list[str]  # what tells conditions apart
    restarts: pd.DataFrame  # one row per restart; of large conditions the first ones (`foundation.large`)
    minima: pd.DataFrame  # one row per bottom and condition
    curves: pd.DataFrame  # one row per restart and record
    quantiles: pd.DataFrame  # one row per record and condition
    spread: pd.DataFrame  # one row per condition
    bottoms: pd.DataFrame  # one row per bottom, whichever conditions found it
    pairs: pd.DataFrame | None  # one row per pair of conditions of one problem; None if there are too many
    levels: pd.DataFrame  # one row per setting whose values are compared, and setting of the others
    held_out: pd.DataFrame  # one row per condition and measure on samples: quartiles
    visits: pd.DataFrame = field(default_factory=pd.DataFrame)  # one row per visit of a run; empty where there are none
    saddles: pd.DataFrame = field(default_factory=pd.DataFrame)  # one row per saddle and condition that was asked for
    alike: pd.DataFrame | None = None  # how many of all restarts ended alike; None where all of them are there
    paths: pd.DataFrame = field(default_factory=pd.DataFrame)  # one row per point of a way between minima

    def runs(self) -> list[str]:
        """The run of each row of the spread table."""
        settings = self.restarts.drop_duplicates("run_id")
        rows = settings.groupby(self.by, observed=True, sort=True, dropna=False).ngroup().to_numpy()
        return [str(run_id) for run_id in settings["run_id"].to_numpy()[np.argsort(rows)]]

    def counted(self, restarts: pd.DataFrame) -> str:
        """How many restarts these are; where they are only some of their conditions', of how many."""
        every = dict(zip(self.runs(), self.spread["restarts"], strict=True))
        there = sum(int(every[run]) for run in set(restarts["run_id"].astype(str)))
        return wording.restarts_drawn(len(restarts), there)

    @property
    def is_whole(self) -> bool:
        """Whether all restarts are there."""
        return len(self.restarts) == int(self.spread["restarts"].sum())

    @property
    def is_single(self) -> bool:
        """Whether there is one condition, so that nothing is compared."""
        return len(self.spread) == 1

    def of_run(self, frame: pd.DataFrame, run_id: str) -> pd.DataFrame:
        """The rows of one condition."""
        rows: pd.DataFrame = frame[(frame["run_id"] == run_id).to_numpy()]
        return rows


def load_material(name: str, *, tracking_uri: str | None = None, drawn_max: int = DRAWN_MAX) -> Material:
    """Everything that a report on an experiment, a sweep or a run needs.

    Of more than `drawn_max` conditions none has figures of its own, so that their curves are not read.

    Raises:
        ConfigError: if there is no such experiment or run, or its tables are not where they were written.
    """
    store, runs = find_conditions(name, tracking_uri)
    origin = origin_of(name, store, runs)
    if not origin.finished:
        return _nothing(origin)
    by = _told_apart_by(origin)
    results = Results(name, store, runs)
    known = results.columns("restarts")
    wanted = [*_RESTARTS, *(column for column in ("start", "orbit", BECAUSE, *_HELD_OUT) if column in known), *by]
    restarts, alike = results.load_counted(list(dict.fromkeys(wanted)))
    minima, every = results.minima, restarts if alike is None else alike
    asked = any(one.landscape is not None for one in origin.finished)
    return Material(
        origin=origin,
        by=by,
        restarts=restarts,
        minima=minima,
        curves=results.load_table("curves", _CURVES) if len(origin.finished) <= max(drawn_max, 1) else pd.DataFrame(),
        quantiles=results.quantiles,
        spread=spread(restarts, by, alike),
        bottoms=bottoms(minima, every, by, {run.run_id: run.sweep_id for run in origin.finished}),
        pairs=pairs(restarts, by),
        levels=levels(restarts, by),
        held_out=held_out(restarts, by),
        alike=alike,
        visits=results.visits if results.has_runs else pd.DataFrame(),
        saddles=results.saddles if asked else pd.DataFrame(),
        paths=results.load_table("paths") if asked else pd.DataFrame(),
    )


def _told_apart_by(origin: Origin) -> list[str]:
    """The settings in which the finished conditions differ; the run, too, if only what lies in a file does."""
    columns = [condition.columns for condition in origin.finished]
    by = differing(columns) or ONE_CONDITION
    places = {tuple(settings.get(key) for key in by) for settings in columns}
    return by if len(places) == len(columns) else [*by, "run_id"]


def _nothing(origin: Origin) -> Material:
    empty = pd.DataFrame()
    return Material(origin, [], empty, empty, empty, empty, empty, empty, empty, empty, empty)


def bottoms(
    minima: pd.DataFrame, restarts: pd.DataFrame, by: Sequence[str], sweeps: Mapping[str, str | None]
) -> pd.DataFrame:
    """One row per distinct bottom, whichever conditions of a sweep found it.

    Args:
        minima: one row per bottom and condition, with `run_id` and the columns `by`.
        restarts: one row per restart, with `run_id` and the columns `by`, or a tally of them (`analysis.tally`).
        by: what tells conditions apart.
        sweeps: the sweep of each run: ids of bottoms hold within one.

    Returns:
        The columns of `by` that decide what is minimised, then `sweep_minimum kind loss level restarts share conditions
        lambda_min lambda_max parameter_norm run_id restart`; `share` is of the restarts of all conditions with the
        same objective, `restart` of `run_id` has reached the bottom: by its descent, if any restart has, or else as a
        run; -1 where only searches for saddles have. The lowest come first.
    """
    objective = [key for key in by if _group(key) in OBJECTIVE]
    scope = minima["run_id"].astype(str).map(lambda run_id: sweeps.get(run_id) or run_id)
    # Of a sweep that has not ended, the bottoms are not merged yet.
    alone = minima["sweep_minimum"] < 0
    frame = minima.assign(
        scope=scope.where(~alone, minima["run_id"].astype(str)),
        place=minima["sweep_minimum"].where(~alone, minima["minimum"]),
        reached_by=np.select([minima["count"] > 0, minima["restart"] >= 0], [0, 1], 2),  # a restart, a run, a search
    ).sort_values(["reached_by", "loss"], kind="stable")
    groups = frame.groupby(["scope", "place"], sort=False)["count"]
    totals = groups.agg(restarts="sum", conditions="size").reset_index(drop=True)
    table = frame.drop_duplicates(["scope", "place"]).reset_index(drop=True).assign(**totals)
    total: float | pd.Series = float(number(restarts))
    if objective:
        weighed = restarts.assign(total=restarts.get(NUMBER, 1))
        sizes = weighed.groupby(objective, observed=True, dropna=False)["total"].sum().reset_index()
        total = table[objective].merge(sizes, on=objective, how="left")["total"]
    level = ["level"] if "level" in table else []  # which older tables do not have
    columns = ["sweep_minimum", "kind", "loss", *level, "restarts", "share", "conditions"]
    rest = ["lambda_min", "lambda_max", "parameter_norm", "run_id", "restart"]
    table = table.assign(share=table["restarts"] / total).sort_values("loss", kind="stable", ignore_index=True)
    return table[[*objective, *columns, *rest]]


def pairs(restarts: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame | None:
    """The conditions of each problem in pairs (`basinet.analysis.compare.differences`), the most different ones first.

    None where there are more than `PAIRS_MAX`.
    """
    fixed = [key for key in by if _group(key) in _PROBLEM]
    free = [key for key in by if key not in fixed]
    names = [f"{key}_{side}" for side in "ab" for key in by]
    if not free:
        return pd.DataFrame(columns=names)
    groups = [((), restarts)] if not fixed else restarts.groupby(fixed, observed=True, sort=True, dropna=False)
    counts = [group.groupby(free, observed=True, dropna=False).ngroups for _, group in groups]
    if sum(n * (n - 1) // 2 for n in counts) > PAIRS_MAX:
        return None
    parts = []
    for key, group in groups:
        table = compare.differences(group, free)
        same = pd.DataFrame(
            {f"{name}_{side}": value for side in "ab" for name, value in zip(fixed, key, strict=True)},
            index=table.index,
        )
        parts.append(pd.concat([same, table], axis="columns"))
    table = pd.concat([part for part in parts if len(part)] or parts[:1], ignore_index=True)
    order = np.lexsort((-table["delta"].abs().to_numpy(np.float64), (table["better"] == "neither").to_numpy()))
    rest = [column for column in table.columns if column not in names]
    return table.iloc[order].reset_index(drop=True)[[*names, *rest]]


def levels(restarts: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """What each varied setting does to the losses (`compare.levels`), the others held fixed, as `factor …`."""
    parts = []
    for factor in by:
        if _group(factor) not in _PROBLEM and restarts[factor].nunique(dropna=False) > 1:
            within = [key for key in by if key != factor]
            table = compare.levels(restarts, factor, within)
            parts.append(table[table["levels"] > 1].assign(factor=factor))
    parts = [part for part in parts if len(part)]
    if not parts:
        return pd.DataFrame({"factor": []})
    table = pd.concat(parts, ignore_index=True)
    return table[
        ["factor", *(key for key in by if key in table), *(key for key in table if key not in ("factor", *by))]
    ]


def held_out(restarts: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Quartiles of what was measured beside the loss: on samples held out, and of the share in the right class.

    Returns:
        `by`, then `measure q25 median q75`, one row per condition and measure; no rows where there is none.
    """
    measures = [column for column in _HELD_OUT if column in restarts and restarts[column].notna().any()]
    kept = restarts[(restarts["status"] != "diverged").to_numpy()]
    parts = []
    for measure in measures:
        groups = kept.groupby(list(by), observed=True, dropna=False)[measure]
        quartiles = pd.DataFrame({name: groups.quantile(QUANTILES[name]) for name in QUARTILES})
        parts.append(quartiles.reset_index().assign(measure=measure))
    columns = [*by, "measure", *QUARTILES]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _group(key: str) -> str:
    return key.partition(".")[0]
