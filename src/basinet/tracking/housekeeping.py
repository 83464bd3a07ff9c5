"""The health of a store: runs whose process is gone, artifacts that are missing, what unfinished work takes up."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import Timeout

from basinet.foundation.errors import ConfigError, require
from basinet.pipeline.blocks import FolderStore
from basinet.tracking import find
from basinet.tracking.integrity import damage
from basinet.tracking.leftovers import are_held, leftovers, sweep_away
from basinet.tracking.membership import leave_sweep, stand_for_condition
from basinet.tracking.process import HOST, PID, Presence, presence
from basinet.tracking.record import OpenRun
from basinet.tracking.removing import remove_run
from basinet.tracking.store import TrackingStore
from basinet.tracking.tags import ALONE, CONDITION, PARENT, RUN_KIND, SWEEPS

_SEEN = (Presence.ALIVE, Presence.GONE)  # what is held by these, or was, can be seen from here


@dataclass(frozen=True)
class Unended:
    """A run that nobody has closed."""

    run: Any
    presence: Presence  # of the process that opened it

    @property
    def process(self) -> str:
        """Its number and its machine."""
        tags = self.run.data.tags
        return f"process {tags[PID]} on {tags[HOST]}" if {PID, HOST} <= tags.keys() else "its process"


@dataclass(frozen=True)
class Fault:
    """A run whose artifacts cannot be used, and why."""

    run: Any
    reason: str


@dataclass(frozen=True)
class Work:
    """The blocks of restarts of a condition: what it goes on from when it is interrupted or extended."""

    blocks: FolderStore[Any]
    run: Any | None  # that stands for the condition; None if this store has none
    restarts: int  # that are there
    is_finished: bool  # whether all of them are in the tables of a run, too
    size: int  # bytes


@dataclass(frozen=True)
class Use:
    """The disk that an experiment takes."""

    experiment: str
    conditions: int
    size: int  # bytes of its artifacts


@dataclass(frozen=True)
class Health:
    """What was found in a store."""

    unended: list[Unended]
    faults: list[Fault]
    work: list[Work]
    scraps: list[Path]  # what killed processes have left: files half written, and what they told each other by
    uses: list[Use]
    database: int  # bytes
    free: int  # bytes on the disk

    @property
    def orphans(self) -> list[Unended]:
        """Runs whose process is gone."""
        return [one for one in self.unended if one.presence is Presence.GONE]

    @property
    def doubtful(self) -> list[Unended]:
        """Runs of whose process nothing can be said from here."""
        return [one for one in self.unended if one.presence in (Presence.ELSEWHERE, Presence.UNKNOWN)]

    @property
    def spare(self) -> list[Work]:
        """Blocks that are needed for nothing but to extend their condition."""
        return [work for work in self.work if work.is_finished]


def examine(store: TrackingStore) -> Health:
    """Look at everything that this package has put into a store; nothing is changed."""
    experiments = find.experiments(store)
    runs = find.search(store, list(experiments), f"tags.`{RUN_KIND}` LIKE '%'")
    unended = [Unended(run, _presence(store, run)) for run in runs if run.info.status == "RUNNING"]
    return Health(
        unended=unended,
        faults=[] if store.folder is None else list(_faults(store, runs)),
        work=_work(store, runs),
        scraps=leftovers(store.work_folder) if all(one.presence in _SEEN for one in unended) else [],
        uses=_uses(store, experiments, runs),
        database=sum(_size(path) for path in store.database_files),
        free=shutil.disk_usage(store.work_folder.parent).free,
    )


def _presence(store: TrackingStore, run: Any) -> Presence:
    """Whether a run's process is there; what it holds shows that where it cannot be asked itself."""
    found = presence(run.data.tags)
    key = run.data.tags.get(CONDITION)
    if found in (Presence.ELSEWHERE, Presence.UNKNOWN) and key is not None and are_held(_blocks(store, key)):
        return Presence.ALIVE
    return found


def _blocks(store: TrackingStore, key: str) -> FolderStore[Any]:
    return FolderStore(store.work_folder / "blocks" / key)


def _faults(store: TrackingStore, runs: Iterable[Any]) -> Iterable[Fault]:
    for run in runs:
        if run.data.tags[RUN_KIND] == "condition" and run.info.status == "FINISHED":
            try:
                reason = damage(store, run)
            except ConfigError as error:
                reason = str(error)
            if reason is not None:
                yield Fault(run, reason)


def _work(store: TrackingStore, runs: Iterable[Any]) -> list[Work]:
    of_condition: dict[str, list[Any]] = {}
    for run in runs:
        of_condition.setdefault(run.data.tags.get(CONDITION, ""), []).append(run)
    folders = sorted(path for path in (store.work_folder / "blocks").glob("*") if path.is_dir() and any(path.iterdir()))
    return [_work_of(FolderStore(folder), of_condition.get(folder.name, [])) for folder in folders]


def _work_of(blocks: FolderStore[Any], runs: list[Any]) -> Work:
    finished = [run.data.metrics.get("restarts", 0) for run in runs if run.info.status == "FINISHED"]
    restarts = blocks.finished()
    return Work(
        blocks,
        max(runs, key=find.finished_then_newest, default=None),
        restarts,
        restarts <= max(finished, default=-1),
        _size(blocks.folder),
    )


def _uses(store: TrackingStore, experiments: dict[str, Any], runs: Iterable[Any]) -> list[Use]:
    counts = dict.fromkeys(experiments, 0)
    for run in runs:
        counts[run.info.experiment_id] += run.data.tags[RUN_KIND] == "condition"
    uses = []
    for number, experiment in experiments.items():
        folder = store.local_folder(experiment.artifact_location)
        if counts[number] or (folder is not None and folder.is_dir()):
            uses.append(Use(experiment.name, counts[number], 0 if folder is None else _size(folder)))
    return sorted(uses, key=lambda use: -use.size)


def _size(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def close(store: TrackingStore, runs: Iterable[Unended]) -> None:
    """End runs as killed."""
    for one in runs:
        written = OpenRun(store, one.run)
        written.log(tags={"basinet.error": f"killed: {one.process} {one.presence.value}"})
        written.close("KILLED")


def free(health: Health) -> int:
    """Remove the blocks of conditions that have finished, and scraps; the bytes that are free now.

    What somebody is at stays.
    """
    freed = 0
    for work in health.spare:
        try:
            with work.blocks.lock.acquire(timeout=0):
                work.blocks.clear()
        except Timeout:
            continue
        freed += work.size
    freed += sum(_size(path) for path in health.scraps)
    sweep_away(health.scraps)
    return freed


@dataclass(frozen=True)
class Removal:
    """What removing a sweep, or the run of a condition, means."""

    sweep: Any | None
    conditions: list[Any]  # runs that go
    minima: list[Any]  # runs below these, which go with them
    kept: list[Any]  # runs that stay, since they do not belong to this sweep alone
    work: list[FolderStore[Any]]  # blocks that go: no other run is of their condition
    size: int  # bytes


def removal(store: TrackingStore, run_id: str, *, force: bool = False) -> Removal:
    """What would go with a sweep or run; nothing is changed.

    Raises:
        ConfigError: if there is no such run of this package's, or somebody is at it; with `force` only if that is sure.
    """
    run = find.find_run(store, run_id)
    kind = run.data.tags.get(RUN_KIND)
    require(kind in ("sweep", "condition"), f"run {run_id} is not a sweep or a condition of basinet's")
    sweep, runs = None, [run]
    if kind == "sweep":
        sweep, runs = run, find.children(store, run.info.experiment_id, run_id, deleted=True)
    kept = [] if sweep is None else _shared(store, runs, sweep)
    going = [one for one in runs if one not in kept]
    for one in [*going, *([sweep] if sweep is not None else [])]:
        _require_ended(store, one, force)
    work = _left_alone(store, going)
    minima = [one for condition in going for one in _below(store, condition)]
    folders = [store.artifact_folder(one) for one in [*minima, *going, run]]
    paths = {*(folder for folder in folders if folder is not None), *(blocks.folder for blocks in work)}
    return Removal(sweep, going, minima, kept, work, sum(_size(path) for path in paths if path.exists()))


def _below(store: TrackingStore, condition: Any) -> list[Any]:
    """The runs of the minima of a condition."""
    mine = f"tags.`{PARENT}` = '{condition.info.run_id}'"
    return find.search(store, [condition.info.experiment_id], mine, deleted=True)


def _shared(store: TrackingStore, runs: Sequence[Any], sweep: Any) -> list[Any]:
    """Those that were also launched by themselves, or by another sweep that is still there."""
    sweeps = find.search(store, [sweep.info.experiment_id], f"tags.`{RUN_KIND}` = 'sweep'")
    others = {ALONE, *(other.info.run_id for other in sweeps)} - {sweep.info.run_id}
    return [run for run in runs if not others.isdisjoint(run.data.tags[SWEEPS].split())]


def _require_ended(store: TrackingStore, run: Any, force: bool) -> None:
    if run.info.status != "RUNNING":
        return
    one = Unended(run, _presence(store, run))
    require(one.presence is not Presence.ALIVE, f"run {run.info.run_id} has not ended: {one.process} is at it; stop it")
    sure = one.presence is Presence.GONE or force
    require(sure, f"run {run.info.run_id} has not ended, and {one.process} {one.presence.value}; --force removes it")


def _left_alone(store: TrackingStore, going: Sequence[Any]) -> list[FolderStore[Any]]:
    """The blocks that belong to none but these runs."""
    gone = {run.info.run_id for run in going}
    found = []
    for key in dict.fromkeys(run.data.tags[CONDITION] for run in going):
        others = find.search(store, list(find.experiments(store)), f"tags.`{CONDITION}` = '{key}'", deleted=True)
        if all(other.info.run_id in gone for other in others):
            found.append(_blocks(store, key))
    return found


def remove(store: TrackingStore, plan: Removal) -> bool:
    """Remove runs for good, with their artifacts and blocks; False if a server has only moved them to its bin.

    A sweep goes last, so that this can be done again if it is interrupted.

    Raises:
        ConfigError: if somebody has begun to compute one of the conditions.
    """
    for blocks in plan.work:
        lock = blocks.lock
        try:
            with lock.acquire(timeout=0):
                blocks.clear()
                Path(lock.lock_file).unlink(missing_ok=True)
        except Timeout as error:
            raise ConfigError(f"somebody is at the condition of {blocks.folder}; stop it") from error
    for run in [*plan.minima, *plan.conditions]:
        remove_run(store, run)
    for experiment, key in dict.fromkeys((run.info.experiment_id, run.data.tags[CONDITION]) for run in plan.conditions):
        left = find.find_condition(store, experiment, key)
        if left is not None and left.info.status == "FINISHED":
            stand_for_condition(store, left)
    gone = store.folder is not None
    if plan.sweep is not None:
        for run in plan.kept:
            leave_sweep(store, run, plan.sweep.info.run_id)
        remove_run(store, plan.sweep)
    return gone
