"""Proofs that the minima of conditions that have finished are there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from basinet.analysis import wording
from basinet.analysis.amounts import duration
from basinet.foundation.errors import ConfigError, require
from basinet.proofs import require_flint
from basinet.tracking.proofs import PROOFS, PROVED
from basinet.tracking.record import OpenRun, say_in_note
from basinet.tracking.results import Results
from basinet.tracking.tags import CONDITION

if TYPE_CHECKING:
    from basinet.proofs.statement import Statement
    from basinet.proofs.theorem import Point, Verdict
    from basinet.protocols import Objective

MINUTES = 60.0
"""That all proofs together may take, as far as that can be told beforehand."""

_SAME_LOSS = 1e-9  # another engine or version rounds differently
_SADDLES = "tables/saddles.parquet"


@dataclass(frozen=True)
class ProvedCondition:
    """What was proved of the bottoms of one condition."""

    run_id: str
    name: str
    verdicts: list[Verdict]  # of its bottoms in the order of their table, then of its saddles if these were asked for
    kinks: int  # restarts that ended at a kink, where there is nothing to prove
    sentence: str
    path: Path | None  # of `proofs.json`, if that lies on this machine
    seconds: float


@dataclass(frozen=True)
class _Task:
    """A condition with what is to be proved of it."""

    run: Any  # mlflow.entities.Run
    statement: Statement
    points: list[Point]
    kinks: int


def prove(
    name: str, *, saddles: bool = False, tracking_uri: str | None = None, minutes: float = MINUTES
) -> pd.DataFrame:
    """Prove the minima of an experiment, sweep or run, and write `proofs.json` beside those of every condition.

    Args:
        name: an experiment, or the id of a sweep or run.
        saddles: whether its saddles are to be proved, too.
        tracking_uri: the store; the one of the working directory if None.
        minutes: that it may take, as far as that can be told beforehand.

    Returns:
        `run_id id kind proved index radius precision reason`, one row per bottom (and saddle): the index of the
        critical point, the radius of the box in which there is no other, the bits that it took; or why nothing is
        proved.

    Raises:
        ConfigError: if there is no such experiment or run, nothing can be proved of it, it would take too long, or
            python-flint is missing.
    """
    rows = [
        {"run_id": condition.run_id, **_row(verdict)}
        for condition in prove_conditions(name, saddles=saddles, tracking_uri=tracking_uri, minutes=minutes)
        for verdict in condition.verdicts
    ]
    columns = ["run_id", "id", "kind", "proved", "index", "radius", "precision", "reason"]
    return pd.DataFrame(rows, columns=columns).astype({"proved": bool, "index": "Int64", "precision": "Int64"})


def _row(verdict: Verdict) -> dict[str, Any]:
    proof = verdict.proof if verdict.proved else None
    return {
        "id": verdict.point.id,
        "kind": verdict.point.kind,
        "proved": verdict.proved,
        "index": None if proof is None else proof.index,
        "radius": np.nan if proof is None else float(proof.radius),
        "precision": None if proof is None else proof.precision,
        "reason": verdict.reason,
    }


def prove_conditions(
    name: str,
    *,
    saddles: bool = False,
    tracking_uri: str | None = None,
    minutes: float = MINUTES,
    say: Callable[[str], None] = lambda what: None,
) -> Iterator[ProvedCondition]:
    """The conditions of an experiment, sweep or run, one after the other, each when its proofs are written.

    Arguments and errors as for `prove`; `say` is called with what is being done. All that can be wrong with what is
    asked for is said before anything is proved.
    """
    require_flint()
    require(minutes > 0, f"--minutes {minutes:g}: must be more than 0")
    say("reading results")
    results = Results.open(name, tracking_uri)
    tasks = [_task(results, run, saddles) for run in results.finished]
    _check_time(tasks, minutes)
    for number, task in enumerate(tasks, start=1):
        yield _proved(results, task, lambda what, number=number: say(f"condition {number} of {len(tasks)}: {what}"))  # type: ignore[misc]


def _task(results: Results, run: Any, saddles: bool) -> _Task:
    run_id = run.info.run_id
    objective = results.study(run_id).exact_objective
    statement = objective.statement()
    if statement is None:
        raise ConfigError(f"run {run_id}: its objective does not say what it is in exact numbers, which a proof needs")
    own = Results(run_id, results.store, [run])
    minima = own.load_table("minima", ["minimum", "kind", "loss", "parameters"])
    _check_losses(objective, minima, run_id)
    points = _points(minima, "minimum")
    if saddles:
        where = results.store.artifact(run, _SADDLES)
        require(where is not None, f"run {run_id}: no saddles were looked for in it; leave --saddles out")
        points += _points(own.load_table("saddles", ["saddle", "parameters"]).assign(kind="saddle"), "saddle")
    kinks = int((own.load_table("restarts", ["kind"])["kind"] == "kink").sum())
    return _Task(run, statement, points, kinks)


def _check_losses(objective: Objective, minima: pd.DataFrame, run_id: str) -> None:
    """Raise `ConfigError` if the stored minima have other losses now: of other data nothing is to be proved."""
    if minima.empty:
        return
    loss = objective.loss(torch.from_numpy(np.stack(minima["parameters"].to_list()))).numpy()
    same = np.allclose(loss, minima["loss"], rtol=_SAME_LOSS, atol=_SAME_LOSS * objective.scale)
    require(same, f"run {run_id}: its minima have other losses than when they were found; have its data been changed?")


def _points(table: pd.DataFrame, number: str) -> list[Point]:
    from basinet.proofs.theorem import Point

    columns = zip(table[number], table["kind"], table["parameters"], strict=True)
    return [Point(int(id_), str(kind), [float(entry) for entry in theta]) for id_, kind, theta in columns]


def _check_time(tasks: list[_Task], minutes: float) -> None:
    from basinet.proofs.theorem import seconds

    needed = sum(seconds(task.statement, task.points) for task in tasks)
    if needed <= 60 * minutes:
        return
    largest = max(len(task.points[0].theta) for task in tasks if task.points)
    raise ConfigError(
        f"proofs about {largest:,} parameters would take about {duration(needed)}, and --minutes={minutes:g}: "
        "allow more, or name a run with a smaller network"
    )


def _proved(results: Results, task: _Task, say: Callable[[str], None]) -> ProvedCondition:
    from basinet.proofs.document import document
    from basinet.proofs.theorem import verdicts

    started, total = time.perf_counter(), len(task.points)
    found = verdicts(task.statement, task.points, done=lambda count: say(f"{count:,} of {total:,} bottoms"))
    sentence = _sentence(found)
    written, run_id = OpenRun(results.store, task.run), task.run.info.run_id
    about = {"run": run_id, "condition": task.run.data.tags[CONDITION]}
    with results.store.writing(task.run) as folder:
        (folder / PROOFS).write_text(document(task.statement, found, about), encoding="utf-8")
    count = sum(verdict.proved and verdict.point.kind == "minimum" for verdict in found)
    written.log(tags={PROVED: sentence}, metrics={"minima/proved": count})
    say_in_note(written, f"Proved: {sentence}.", "Proved: ")
    path = None if written.folder is None else written.folder / PROOFS
    seconds = time.perf_counter() - started
    return ProvedCondition(run_id, task.run.info.run_name, found, task.kinks, sentence, path, seconds)


def _sentence(found: list[Verdict]) -> str:
    kinds = [(verdict.point.kind, verdict.proved) for verdict in found]
    counts = {kind: [proved for of, proved in kinds if of == kind] for kind in ("minimum", "saddle")}
    told = wording.proved_sentence(sum(counts["minimum"]), len(counts["minimum"]))
    if counts["saddle"]:
        told += f"; {sum(counts['saddle']):,} of {len(counts['saddle']):,} saddles proved"
    return told
