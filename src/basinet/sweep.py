"""A condition and a sweep, with tracking: what is trained is written down."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from basinet import plots
from basinet.errors import ConfigError, require, unknown
from basinet.settings import fill
from basinet.spread import Summary, spread
from basinet.study import Findings, Report, Study, run
from basinet.tracking import load
from basinet.tracking.record import (
    OpenRun,
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
        written.log(tags={"basinet.error": traceback.format_exc()[-4000:]})
        raise
    finally:
        written.close(status)
    return summary


def _write(written: OpenRun, findings: Findings, name: str, *, with_figures: bool) -> Summary:
    start = time.perf_counter()
    tables = {"restarts": findings.restarts, "curves": findings.curves, "quantiles": findings.quantiles}
    write_condition(written, findings.study.settings, tables, findings.parameters)
    table = spread(findings.restarts.assign(condition=name), ["condition"])
    summary = table.iloc[0]
    names = {"share_arrived": "share/arrived", "share_diverged": "share/diverged", "loss_iqr": "spread/iqr"}
    metrics = {metric: float(summary[column]) for column, metric in names.items()}
    seconds = {f"seconds/{stage}": value for stage, value in findings.seconds.items()}
    written.log(
        metrics={**metrics, **seconds, "restarts": findings.study.restarts},
        tags={"restarts": str(findings.study.restarts)},
        history=quantile_history(findings.quantiles),
    )
    write_note(written, _condition_note(name, summary))
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


def _condition_note(name: str, row: pd.Series) -> str:
    return "\n".join(
        [
            f"**{name}**",
            "",
            f"{int(row['restarts']):,} random restarts: best loss {row['loss_min']:.4g}, "
            f"median {row['loss_median']:.4g} [{row['median_low']:.4g}, {row['median_high']:.4g}], "
            f"worst {row['loss_max']:.4g}.",
            "",
            f"{100 * row['share_arrived']:.3g} % arrived, {100 * row['share_diverged']:.3g} % diverged.",
        ]
    )


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


def finish(place: Place, tracking: TrackingSettings, status: str) -> Summary | None:
    """Close a sweep with its status; its spread table, figure and note are of the conditions that have finished.

    None if no condition has.
    """
    store = TrackingStore.open(place.uri)
    parent = None if place.sweep_id is None else OpenRun(store, store.client.get_run(place.sweep_id))
    try:
        return None if parent is None else _summarise(parent, place, tracking)
    finally:
        if parent is not None:
            parent.close(status)


def _summarise(parent: OpenRun, place: Place, tracking: TrackingSettings) -> Summary | None:
    by = list(place.varied) or ["init", "network.depth"]
    try:
        restarts = load.load_restarts(parent.id, tracking_uri=place.uri, columns=[*by, "loss", "status"])
    except ConfigError:
        return None
    table = spread(restarts, by)
    with parent.store.writing(parent.run) as folder:
        write_parquet(table, folder / "tables" / "spread.parquet")
        table.to_csv(folder / "tables" / "spread.csv", index=False)
        if tracking.draws("sweep", place.conditions):
            x, panel = plots.sweep_axes(by)
            plots.save({"final_losses": plots.final_losses(restarts, x, panel, place.experiment)}, folder / "figures")
    write_note(parent, _sweep_note(table, by))
    parent.log(metrics={"conditions/finished": len(table)})
    figures = None if parent.folder is None else parent.folder / "figures"
    return Summary(table, by, figures)


def _sweep_note(table: pd.DataFrame, by: Sequence[str]) -> str:
    headings = [*by, "restarts", "best", "25 %", "median", "75 %", "worst", "arrived", "diverged"]
    lines = [
        "Spread of the final losses over random restarts.",
        "",
        " | ".join(headings),
        " | ".join("---" for _ in headings),
    ]
    for _, row in table.iterrows():
        losses = [f"{row[f'loss_{name}']:.3g}" for name in ("min", "q25", "median", "q75", "max")]
        shares = [f"{100 * row[f'share_{name}']:.3g} %" for name in ("arrived", "diverged")]
        lines.append(" | ".join([*(str(row[key]) for key in by), f"{int(row['restarts']):,}", *losses, *shares]))
    return "\n".join(lines)
