"""A condition and a sweep, with tracking: what is trained is written down."""

from __future__ import annotations

import time
import traceback
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from basinet import plots, words
from basinet.blocks import FolderStore
from basinet.errors import ConfigError, require, unknown
from basinet.pipeline import Findings, Report, run
from basinet.settings import fill
from basinet.spread import KINDS, Summary, spread
from basinet.study import Study
from basinet.tables import evidence_arrow, merge_catalogues
from basinet.tracking import load
from basinet.tracking.record import (
    OpenRun,
    join_sweep,
    open_condition,
    open_sweep,
    quantile_history,
    write_condition,
    write_note,
    write_parquet,
)
from basinet.tracking.store import TrackingStore, checked_uri

_FIGURES = ("condition", "sweep", "none")
_RERUN = ("failed", "none", "all")
_MANY_CONDITIONS = 50


@dataclass(frozen=True)
class TrackingSettings:
    """Where and how much is kept."""

    uri: str | None
    experiment: str | None
    curves_max: int
    figures: str | None
    rerun: str

    def __post_init__(self) -> None:
        if self.rerun not in _RERUN:
            raise unknown("rerun", self.rerun, _RERUN)
        require(self.curves_max >= 0, f"tracking.curves_max={self.curves_max}: must be 0 or more")
        if self.figures is not None and self.figures not in _FIGURES:
            raise unknown("tracking.figures", self.figures, _FIGURES)
        checked_uri(self.uri)

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> TrackingSettings:
        """Checked settings of the group `tracking`, and `rerun`."""
        return fill(TrackingSettings, {**config["tracking"], "rerun": config["rerun"]}, "tracking")

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
    threads: int  # for each condition
    journal: str  # the file where conditions say what they are at


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


@dataclass(frozen=True)
class Ended:
    """How a condition ended that did not fail."""

    summary: Summary | None  # None: it failed before, and was not to be tried again
    before: bool  # whether it had been finished by an earlier launch


def run_condition(study: Study, tracking: TrackingSettings, place: Place, report: Report) -> Ended:
    """Train a condition and write its run; whatever happens, the run ends with its true status.

    What an earlier launch has finished is not done again: a run that is there already joins the sweep, and of one that
    was interrupted, or had fewer restarts, only the blocks that are missing are computed.
    """
    store = TrackingStore.open(place.uri)
    name = condition_name(study.columns, place.varied)
    blocks = FolderStore(store.work_folder / "blocks" / study.key)
    with _alone(blocks.folder):
        if tracking.rerun == "all":
            blocks.clear()
        else:
            earlier = load.find_condition(store, place.experiment_id, study.key)
            if earlier is not None and earlier.info.status == "FAILED" and tracking.rerun == "none":
                return Ended(None, before=True)
            if earlier is not None and _is_whole(store, earlier, study):
                return Ended(_taken_over(store, earlier, name, place), before=True)
        written = open_condition(store, place.experiment_id, name, study.key, study.columns, place.sweep_id)
        return Ended(_computed(study, tracking, place, written, name, blocks, report), before=False)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Nobody else computes the same condition meanwhile: whoever comes second finds it done."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        yield


def _is_whole(store: TrackingStore, run: Any, study: Study) -> bool:
    """Whether a run has all that a study asks for."""
    asked = {"restarts": str(study.execution.restarts)}
    if study.is_auto:
        asked["restarts_max"] = str(study.execution.restarts_max)
    same = all(run.data.tags.get(key) == value for key, value in asked.items())
    return run.info.status == "FINISHED" and same and store.artifact(run, "tables/restarts.parquet") is not None


def _taken_over(store: TrackingStore, run: Any, name: str, place: Place) -> Summary:
    if place.sweep_id is not None:
        join_sweep(store, run, place.sweep_id)
    restarts = load.load_restarts(run.info.run_id, tracking_uri=place.uri)
    written = OpenRun(store, run)
    figures = None if written.folder is None else written.folder / "figures"
    return Summary(spread(restarts.assign(condition=name), ["condition"]), ["condition"], figures)


def _computed(
    study: Study,
    tracking: TrackingSettings,
    place: Place,
    written: OpenRun,
    name: str,
    blocks: FolderStore,
    report: Report,
) -> Summary:
    status = "FAILED"
    try:
        written.log(tags={"basinet.engine": study.engine.name, "hardware.device": str(study.device)})
        findings = run(study, store=blocks, curves_max=tracking.curves_max, report=report)
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
        tags={key: str(getattr(findings.study.execution, key)) for key in ("restarts", "restarts_max")},
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
    tracking: TrackingSettings,
    experiment: str,
    studies: Sequence[Study],
    varied: Sequence[str],
    threads: int,
    command: str | None,
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
    journal = store.work_folder / f"journal-{uuid.uuid4().hex}.jsonl"
    return Place(uri, experiment, experiment_id, sweep_id, tuple(varied), len(studies), threads, str(journal))


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
        _close_left_open(store, place)
        return _summarise(parent, place, tracking, studies)
    except Exception:
        status = "FAILED"
        _log_error(parent)
        raise
    finally:
        parent.close(status)


def _close_left_open(store: TrackingStore, place: Place) -> None:
    """Conditions of this sweep whose process is gone: nobody else can say any more that they have ended."""
    for child in load.children(store, place.experiment_id, str(place.sweep_id)):
        if child.info.status == "RUNNING":
            OpenRun(store, child).close("KILLED")


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
    objectives = {study.key: study for study in studies}
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
