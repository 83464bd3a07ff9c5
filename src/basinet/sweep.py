"""A condition and a sweep, with tracking: what is trained is written down."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from basinet import plots, words
from basinet.errors import ConfigError, require, unknown
from basinet.pipeline import Findings, Report, run
from basinet.settings import fill
from basinet.spread import KINDS, Summary, spread
from basinet.study import Study
from basinet.tables import evidence_arrow, merge_catalogues
from basinet.tracking import load
from basinet.tracking.record import (
    OpenRun,
    condition_key,
    open_condition,
    open_sweep,
    quantile_history,
    write_condition,
    write_note,
    write_parquet,
)
from basinet.tracking.store import TrackingStore, checked_uri

_FIGURES = ("condition", "sweep", "none")
_MANY_CONDITIONS = 50


@dataclass(frozen=True)
class TrackingSettings:
    """Where and how much is kept."""

    uri: str | None
    experiment: str | None
    curves_max: int
    figures: str | None

    def __post_init__(self) -> None:
        require(self.curves_max >= 0, f"tracking.curves_max={self.curves_max}: must be 0 or more")
        if self.figures is not None and self.figures not in _FIGURES:
            raise unknown("tracking.figures", self.figures, _FIGURES)
        checked_uri(self.uri)

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> TrackingSettings:
        """Checked settings of the group `tracking`."""
        return fill(TrackingSettings, config, "tracking")

    def draws(self, where: str, conditions: int) -> bool:
        """Whether figures are drawn for each `condition`, or for the `sweep`."""
        chosen = self.figures or ("condition" if conditions <= _MANY_CONDITIONS else "sweep")
        return chosen in ("condition", where)


@dataclass(frozen=True)
class Place:
    """Where the conditions of one launch are written, and what tells them apart."""

    uri: str
    experiment: str
    experiment_id: str
    sweep_id: str | None
    varied: tuple[str, ...]
    conditions: int


_METRICS = {
    "loss_iqr": "spread/iqr",
    "minima": "minima/found",
    "minima_low": "minima/at_least",
    "coverage": "minima/coverage",
    "restarts_needed": "minima/restarts_needed",
    **{f"share_{name}": f"share/{name}" for name in ("arrived", "diverged", "best", *KINDS)},
}
"""Columns of the spread table that are metrics of a condition's run, and by which name."""


def condition_name(columns: Mapping[str, Any], varied: Sequence[str]) -> str:
    """The name of a condition's run: the settings in which it differs from the others of its sweep."""
    keys = [key for key in varied if key in columns] or ["problem", "init", "network.depth"]
    return " ".join(f"{key}={columns[key]}" for key in keys)


def run_condition(study: Study, tracking: TrackingSettings, place: Place, report: Report) -> Summary:
    """Train a condition and write its run; whatever happens, the run ends with its true status."""
    store = TrackingStore.open(place.uri)
    name = condition_name(study.columns, place.varied)
    written = open_condition(store, place.experiment_id, name, study.columns, place.sweep_id)
    status = "FAILED"
    try:
        written.log(tags={"basinet.engine": study.engine.name, "hardware.device": str(study.device)})
        findings = run(study, curves_max=tracking.curves_max, report=report)
        summary = _write(written, findings, name, with_figures=tracking.draws("condition", place.conditions))
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    except Exception:
        _log_error(written)
        raise
    finally:
        written.close(status)
    return summary


def _log_error(written: OpenRun) -> None:
    written.log(tags={"basinet.error": traceback.format_exc()[-4000:]})


def _write(written: OpenRun, findings: Findings, name: str, *, with_figures: bool) -> Summary:
    start = time.perf_counter()
    frames = {name: getattr(findings, name) for name in ("restarts", "minima", "curves", "quantiles")}
    tables = {**frames, "evidence": evidence_arrow(findings.evidence_arrays)}
    write_condition(written, findings.study.settings, tables, findings.parameters)
    table = spread(findings.restarts.assign(condition=name), ["condition"])
    summary = table.iloc[0]
    metrics = {metric: float(summary[column]) for column, metric in _METRICS.items()}
    seconds = {f"seconds/{stage}": value for stage, value in findings.seconds.items()}
    written.log(
        metrics={**metrics, **seconds, "restarts": len(findings.restarts)},
        tags={"restarts": str(findings.study.execution.restarts)},
        history=quantile_history(findings.quantiles),
    )
    write_note(written, words.condition_note(name, summary, findings.minima))
    logged = time.perf_counter()
    if with_figures:
        figures = {
            "loss_fan": plots.loss_fan(findings.quantiles, name),
            "waterfall": plots.waterfall(findings.restarts, name),
        }
        with written.store.writing(written.run) as folder:
            plots.save(figures, folder / "figures")
    written.log(metrics={"seconds/logging": logged - start, "seconds/figures": time.perf_counter() - logged})
    return Summary(table, ["condition"], None if written.folder is None else written.folder / "figures")


def begin(
    tracking: TrackingSettings, experiment: str, studies: Sequence[Study], varied: Sequence[str], command: str | None
) -> Place:
    """Open the store and, for a sweep (`command` is how it was launched), its parent run."""
    uri = checked_uri(tracking.uri)
    store = TrackingStore.open(uri)
    experiment_id = store.experiment(experiment)
    sweep_id = None
    if command is not None:
        parent = open_sweep(store, experiment_id, f"sweep of {len(studies)} conditions", command)
        shared = {key: value for key, value in studies[0].columns.items() if _shared(key, value, studies)}
        parent.log(params=shared, metrics={"conditions": len(studies), "restarts": studies[0].restarts})
        sweep_id = parent.id
    return Place(uri, experiment, experiment_id, sweep_id, tuple(varied), len(studies))


def _shared(key: str, value: object, studies: Sequence[Study]) -> bool:
    return all(study.columns.get(key, study) == value for study in studies)


def finish(place: Place, tracking: TrackingSettings, studies: Sequence[Study], status: str) -> Summary | None:
    """Close a sweep with its status; its spread table, figure and note are of the conditions that have finished.

    None if no condition has.
    """
    if place.sweep_id is None:
        return None
    store = TrackingStore.open(place.uri)
    parent = OpenRun(store, store.client.get_run(place.sweep_id))
    try:
        return _summarise(parent, place, tracking, studies)
    except Exception:
        status = "FAILED"
        _log_error(parent)
        raise
    finally:
        parent.close(status)


def _summarise(parent: OpenRun, place: Place, tracking: TrackingSettings, studies: Sequence[Study]) -> Summary | None:
    by = list(place.varied) or ["init", "network.depth"]
    try:
        needed = [*by, "loss", "status", "kind", "minimum", "steps"]
        restarts = load.load_restarts(parent.id, tracking_uri=place.uri, columns=needed)
    except ConfigError:
        return None
    table = spread(restarts, by)
    minima = merge_sweep(load.load_catalogues(parent.id, tracking_uri=place.uri), studies)
    with parent.store.writing(parent.run) as folder:
        write_parquet(table, folder / "tables" / "spread.parquet")
        write_parquet(minima, folder / "tables" / "sweep_minima.parquet")
        table.to_csv(folder / "tables" / "spread.csv", index=False)
        if tracking.draws("sweep", place.conditions):
            x, panels = plots.sweep_axes(by)
            plots.save({"final_losses": plots.final_losses(restarts, x, panels, place.experiment)}, folder / "figures")
    write_note(parent, words.sweep_note(table, by))
    parent.log(metrics={"conditions/finished": len(table)})
    figures = None if parent.folder is None else parent.folder / "figures"
    return Summary(table, by, figures)


def merge_sweep(catalogues: pd.DataFrame, studies: Sequence[Study]) -> pd.DataFrame:
    """The minima of a sweep's conditions `run_id condition minimum …` with the same bottom's id, `sweep_minimum`.

    Bottoms can be the same only where the objective is: conditions that differ in init or descent, for example.
    """
    objectives = {condition_key(study.columns): study for study in studies}
    merged, first = [], 0
    keys = catalogues["condition"].map(lambda condition: objectives[condition].objective_key)
    for key, group in catalogues.groupby(keys, sort=False):
        study = next(study for study in studies if study.objective_key == key)
        ids = merge_catalogues(group, study.exact_objective.symmetry) + first
        first = ids.max(initial=first - 1) + 1
        merged.append(group[["run_id", "minimum"]].assign(sweep_minimum=ids))
    if not merged:
        return pd.DataFrame({"run_id": [], "minimum": [], "sweep_minimum": []})
    return pd.concat(merged, ignore_index=True)
