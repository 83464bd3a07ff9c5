"""A condition and a sweep, with tracking: what is trained is written down."""

from __future__ import annotations

import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from basinet.analysis import bottoms
from basinet.analysis.running_time import running_time, speedups
from basinet.analysis.spread import ACCURACIES, BECAUSE, ELSEWHERE, Summary, spread
from basinet.analysis.tally import tallied, tally
from basinet.executors import ExecutorGone
from basinet.foundation import machine
from basinet.foundation.errors import ConfigError, is_interrupt, require
from basinet.foundation.large import HELD
from basinet.foundation.outcomes import ENDS
from basinet.pipeline.blocks import Block, FolderStore, Store
from basinet.pipeline.gather import Findings
from basinet.pipeline.parts import Part
from basinet.pipeline.run import run
from basinet.pipeline.solve import OnProgress
from basinet.pipeline.tables import merge_catalogues
from basinet.reporting import exhibits
from basinet.study.defaults import comments, conf_directory
from basinet.study.study import Study
from basinet.tracking import find
from basinet.tracking.abandoned import close_abandoned, is_used_elsewhere
from basinet.tracking.address import checked_uri
from basinet.tracking.integrity import COUNTS
from basinet.tracking.leftovers import leftovers, sweep_away
from basinet.tracking.membership import join_sweep, stand_for_condition
from basinet.tracking.record import (
    OpenRun,
    open_condition,
    open_sweep,
    quantile_history,
    write_condition,
    write_parquet,
)
from basinet.tracking.results import Results
from basinet.tracking.store import StoreAway, TrackingStore
from basinet.tracking.tags import BEST_LOSS, LANDSCAPE, SYMMETRY
from basinet.tracking.view import describe, save_views
from basinet.workflows.launch import TrackingSettings, asked_for, condition_name, is_whole


@dataclass(frozen=True)
class Place:
    """Where the conditions of one launch are written, and what tells them apart."""

    uri: str
    experiment: str
    experiment_id: str
    sweep_id: str | None
    varied: tuple[str, ...]
    conditions: int
    threads: int | None  # for each condition; None: as many as there are cores where it runs
    journal: str  # the file where conditions say what they are at


_METRICS = {
    "loss_min": BEST_LOSS,
    "loss_median": "final/median_loss",
    "loss_iqr": "spread/iqr",
    "minima": "minima/found",
    "orbits": "minima/orbits",
    "minima_low": "minima/at_least",
    "coverage": "minima/coverage",
    "restarts_needed": "minima/restarts_needed",
    **{f"share_{name}": f"share/{name}" for name in ("arrived", "diverged", "best", *ENDS)},
}
"""Columns of the spread table that are metrics of a condition's run, and by which name."""


@dataclass(frozen=True)
class Ended:
    """How a condition ended that did not fail."""

    summary: Summary | None  # None: it failed before, and was not to be tried again
    before: bool  # whether it had been finished by an earlier launch


@dataclass(frozen=True)
class Begun:
    """A condition of which something is to be done, with its run open."""

    study: Study
    written: OpenRun
    name: str
    blocks: FolderStore[Block]
    held: ExitStack  # what keeps other launches away from it

    def kept_by(self, made_by: str) -> FolderStore[Block]:
        """Where its blocks are kept that this one makes; the run says who that is."""
        engine = made_by.partition(" engine")[0]
        self.written.log(tags={"basinet.engine": engine, "basinet.made_by": made_by})
        return replace(self.blocks, made_by=made_by, budget=self.study.budget)


def run_condition(
    study: Study, tracking: TrackingSettings, place: Place, progress: OnProgress, number: int = 0
) -> Ended:
    """Train a condition, the `number`-th of its launch, and write its run, which ends with its true status.

    What an earlier launch has finished is not done again: a run that is there already joins the sweep, and of one that
    was interrupted, or had fewer restarts, only the blocks that are missing are computed.
    """
    begun = begin_condition(study, tracking, place, number)
    if isinstance(begun, Ended):
        return begun
    return complete_condition(begun, tracking, place, progress, lambda: begun.kept_by(study.made_by))


def begin_condition(
    study: Study, tracking: TrackingSettings, place: Place, number: int = 0, patience: float = -1
) -> Begun | Ended:
    """Open the run of a condition, unless there is nothing to be done.

    Raises:
        filelock.Timeout: if another launch is at it for `patience` seconds; it is waited for if they are negative.
    """
    store = TrackingStore.reopen(place.uri)
    name = condition_name(study.columns, place.varied)
    sweep = None if place.sweep_id is None else (place.sweep_id, number)
    blocks: FolderStore[Block] = FolderStore(store.make_work_folder() / "blocks" / study.key)
    blocks.folder.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        held.enter_context(blocks.lock.acquire(patience))
        if tracking.rerun == "all":
            blocks.clear()
        else:
            earlier = find.find_condition(store, place.experiment_id, study.key)
            if earlier is not None and earlier.info.status == "FAILED" and tracking.rerun == "none":
                return Ended(None, before=True)
            if earlier is not None and is_whole(store, earlier, study):
                return Ended(_taken_over(store, earlier, name, sweep), before=True)
        written = open_condition(store, place.experiment_id, name, study.key, study.columns, sweep)
        return Begun(study, written, name, blocks, held.pop_all())


def complete_condition(
    begun: Begun,
    tracking: TrackingSettings,
    place: Place,
    progress: OnProgress,
    keep: Callable[[], Store[Block]],
) -> Ended:
    """Do what is missing of a condition, and write its run; `keep` says where its blocks are, or has them computed."""
    with begun.held:
        with _ending(begun.written):
            begun.written.log(tags={"hardware.device": str(begun.study.device)})
            findings = run(begun.study, store=keep(), curves_max=tracking.curves_max, progress=progress, held=HELD)
            summary = _write(begun.written, findings, begun.name, tracking, place.conditions)
        stand_for_condition(begun.written.store, begun.written.run)
    return Ended(summary, before=False)


def _taken_over(store: TrackingStore, run: Any, name: str, sweep: tuple[str, int] | None) -> Summary:
    if sweep is not None:
        join_sweep(store, run, sweep)
    found = Results(run.info.run_id, store, [run])
    restarts, alike = found.load_counted(_needed(found, []))
    table = _spread(restarts, alike, name)
    minima, symmetries = found.minima.assign(condition=name), found.symmetries
    return _summary(OpenRun(store, run), table, minima, ["condition"], symmetries, [run])


def _summary(
    run: OpenRun,
    table: pd.DataFrame,
    minima: pd.DataFrame,
    by: list[str],
    symmetries: Sequence[str],
    runs: Sequence[Any],
) -> Summary:
    figures = None if run.folder is None else run.folder / "figures"
    levels = bottoms.levels(minima, by)
    return Summary(table, levels, by, run.id, figures, tuple(symmetries), landscapes=_landscapes(runs))


def _landscapes(runs: Sequence[Any]) -> tuple[tuple[str, str], ...]:
    """What has been found between minima, by the names of the conditions."""
    return tuple((one.info.run_name, one.data.tags[LANDSCAPE]) for one in runs if LANDSCAPE in one.data.tags)


@contextmanager
def _ending(run: OpenRun, status: str = "FINISHED") -> Iterator[None]:
    """End a run with `status`, or with what has become of it."""
    try:
        yield
    except StoreAway:  # where it could be said that the run has failed; the next launch will
        raise
    except ExecutorGone:  # nothing is wrong with the condition, which goes on with the next launch
        run.close("KILLED")
        raise
    except (Exception, KeyboardInterrupt) as error:
        if is_interrupt(error):
            run.close("KILLED")
            raise KeyboardInterrupt from error
        run.log(tags={"basinet.error": traceback.format_exc()[-4000:]})
        run.close("FAILED")
        raise
    run.close(status)


def _write(written: OpenRun, findings: Findings, name: str, tracking: TrackingSettings, conditions: int) -> Summary:
    start = time.perf_counter()
    alike = _write_tables(written, findings)
    table = _spread(findings.restarts, alike, name)
    summary = table.iloc[0]
    metrics = {metric: float(summary[column]) for column, metric in _METRICS.items()}
    between = {} if findings.landscape is None else findings.landscape.metrics
    told = {} if findings.landscape is None else {LANDSCAPE: findings.landscape.sentence}
    if "share_elsewhere" in summary:  # of a descent that was repeated more exactly
        metrics["share/elsewhere"] = float(summary["share_elsewhere"])
    seconds = {f"seconds/{stage}": value for stage, value in findings.seconds.items()}
    written.log(
        metrics={**metrics, **seconds, **between, "restarts": findings.count},
        tags={**asked_for(findings.study), **told, SYMMETRY: findings.symmetry},
        history=quantile_history(findings.quantiles),
    )
    exhibits.exhibit_minima(written, findings, tracking.shows(conditions))
    logged = time.perf_counter()
    exhibits.exhibit_condition(written, findings, table, drawn=tracking.draws("condition", conditions))
    written.log(metrics={"seconds/logging": logged - start, "seconds/figures": time.perf_counter() - logged})
    written.log(metrics={"memory/peak": float(machine.peak_memory())})
    minima, own = findings.minima.assign(condition=name), [written.store.client.get_run(written.id)]
    return _summary(written, table, minima, ["condition"], [findings.symmetry], own)


def _write_tables(written: OpenRun, findings: Findings) -> pd.DataFrame | None:
    """Write a condition's artifacts; of one in parts also how many restarts ended alike, which is returned."""
    tables: dict[str, Any] = {"minima": findings.minima, "quantiles": findings.quantiles}
    if findings.landscape is not None:
        tables |= {"saddles": findings.landscape.saddles, "paths": findings.landscape.paths}
    settings = findings.study.settings
    if findings.count <= len(findings.restarts):
        whole = Part(findings.restarts, findings.evidence_arrays, findings.curves, findings.parameters, findings.visits)
        write_condition(written, settings, {**tables, **whole.tables()}, findings.parameters)
        return None
    alike: list[pd.DataFrame] = []
    write_condition(written, settings, tables, {}, _counted(findings.parts, alike))
    found = tallied(alike)
    with written.store.writing(written.run) as folder:
        write_parquet(found, folder / COUNTS)
    return found


def _counted(parts: Iterable[Part], alike: list[pd.DataFrame]) -> Iterator[Part]:
    """The same parts; what has gone through is counted."""
    for part in parts:
        alike.append(tally(part.restarts))
        yield part


def _spread(restarts: pd.DataFrame, alike: pd.DataFrame | None, name: str) -> pd.DataFrame:
    """The spread of one condition, whose name is its only column; of a large one counts are of all its restarts."""
    every = None if alike is None else alike.assign(condition=name)
    return spread(restarts.assign(condition=name), ["condition"], every)


def begin(
    tracking: TrackingSettings,
    experiment: str,
    studies: Sequence[Study],
    varied: Sequence[str],
    threads: int | None,
    command: str | None,
) -> Place:
    """Open the store and, for a sweep (`command` is how it was launched), its parent run."""
    uri = checked_uri(tracking.uri)
    store = TrackingStore.open(uri)
    experiment_id = store.experiment(experiment)
    close_abandoned(store, experiment_id)
    if not is_used_elsewhere(store):
        sweep_away(leftovers(store.work_folder))
    save_views(store, experiment_id, varied)
    study = conf_directory() / "experiment" / f"{experiment}.yaml"
    describe(store, experiment_id, experiment, next(iter(comments(study)), "") if study.is_file() else "")
    sweep_id = None
    if command is not None:
        parent = open_sweep(store, experiment_id, f"sweep of {len(studies)} conditions", command)
        shared = {key: value for key, value in studies[0].columns.items() if _shared(key, value, studies)}
        parent.log(params=shared, metrics={"conditions": len(studies), "restarts": studies[0].restarts})
        sweep_id = parent.id
    journal = store.make_work_folder() / f"journal-{uuid.uuid4().hex}.jsonl"
    return Place(uri, experiment, experiment_id, sweep_id, tuple(varied), len(studies), threads, str(journal))


def _shared(key: str, value: object, studies: Sequence[Study]) -> bool:
    return all(study.columns.get(key, study) == value for study in studies)


def finish(place: Place, tracking: TrackingSettings, studies: Sequence[Study], status: str) -> Summary | None:
    """Close a sweep with its status; its spread table, figure and note are of the conditions that have finished.

    None if no condition has.
    """
    if place.sweep_id is None:
        return None
    store = TrackingStore.reopen(place.uri)
    parent = OpenRun(store, store.client.get_run(place.sweep_id))
    with _ending(parent, status):
        _close_left_open(store, place)
        summary = _summarise(parent, place, tracking, studies)
    if summary is not None and status != "KILLED" and tracking.draws("sweep", place.conditions):
        shown = tracking.shows(place.conditions) > 0
        with _ending(parent, status):
            exhibits.exhibit_report(parent, summary, shown=shown)  # of a sweep that has ended: it says how
    return summary


def _close_left_open(store: TrackingStore, place: Place) -> None:
    """Conditions of this sweep whose process is gone: nobody else can say any more that they have ended."""
    for child in find.children(store, place.experiment_id, str(place.sweep_id)):
        if child.info.status == "RUNNING":
            OpenRun(store, child).close("KILLED")


def _summarise(parent: OpenRun, place: Place, tracking: TrackingSettings, studies: Sequence[Study]) -> Summary | None:
    by = list(place.varied) or ["init", "network.depth"]
    try:
        results = Results.open(parent.id, place.uri)
        restarts, alike = results.load_counted(_needed(results, by))
    except ConfigError:
        return None
    table = spread(restarts, by, alike)
    minima = merge_sweep(results.catalogues(), studies)
    with parent.store.writing(parent.run) as folder:
        write_parquet(table, folder / "tables" / "spread.parquet")
        write_parquet(minima, folder / "tables" / "sweep_minima.parquet")
        table.to_csv(folder / "tables" / "spread.csv", index=False)
    minima = results.minima
    summary = _summary(parent, table, minima, by, results.symmetries, results.found)
    summary = _with_runs(replace(summary, ends=bottoms.ends(restarts, by, alike)), results)
    drawn, shown = tracking.draws("sweep", place.conditions), tracking.shows(place.conditions) > 0
    exhibits.exhibit_sweep(parent, summary, restarts, minima, drawn=drawn, shown=shown)
    parent.log(metrics={"conditions/finished": len(table)})
    return summary


def _needed(results: Results, by: list[str]) -> list[str]:
    """The columns of restarts that their spread is made of."""
    optional = (*ACCURACIES, BECAUSE, ELSEWHERE, "orbit")
    known = results.columns("restarts")
    return [*by, "loss", "status", "kind", "minimum", "steps", *(name for name in optional if name in known)]


def _with_runs(summary: Summary, results: Results) -> Summary:
    """The summary with what runs needed to reach the best known minimum, where there are any."""
    if not results.has_runs:
        return summary
    visits = results.load_table("visits")
    table = running_time(visits, [key for key in summary.by if key in visits.columns])
    return replace(summary, running=table, speedups=speedups(visits) if visits["escape"].nunique() > 1 else None)


def merge_sweep(catalogues: pd.DataFrame, studies: Sequence[Study]) -> pd.DataFrame:
    """The minima of a sweep's conditions `run_id condition minimum …` with the same bottom's id, `sweep_minimum`.

    Bottoms can be the same only where the objective is: conditions that differ in init or descent, for example.

    Raises:
        ConfigError: if there is a condition that none of the studies is.
    """
    keys = [study.key for study in studies]
    for key in catalogues["condition"].unique():
        require(key in keys, f"condition {key} is none of the studies ({', '.join(keys)}) whose minima are merged")
    numbers = catalogues["condition"].map({study.key: number for number, study in enumerate(studies)})
    catalogues = catalogues.iloc[numbers.argsort(kind="stable")]  # as planned, in whichever order they ended
    objectives = catalogues["condition"].map({study.key: study.objective_key for study in studies})
    merged, first = [], 0
    for key, group in catalogues.groupby(objectives, sort=False):
        study = next(study for study in studies if study.objective_key == key)
        ids = merge_catalogues(group, study.exact_objective.symmetry, study.tolerances) + first
        first = ids.max(initial=first - 1) + 1
        merged.append(group[["run_id", "minimum"]].assign(sweep_minimum=ids))
    if not merged:
        return pd.DataFrame({"run_id": [], "minimum": [], "sweep_minimum": []})
    return pd.concat(merged, ignore_index=True)
