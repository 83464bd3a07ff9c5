"""`basinet dry_run=true`: what a command would do, how long it would take and how much room; nothing is done."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from basinet.cli.plan import check_different, experiment_of, tracking_of, without_launch
from basinet.cli.terminal import columns, folded
from basinet.foundation import machine
from basinet.foundation.errors import ConfigError, require
from basinet.study.defaults import differing

if TYPE_CHECKING:
    from basinet.cli.compose import Composed
    from basinet.cli.plan import Plan
    from basinet.pipeline.costs import Pace
    from basinet.study.resolve import Resolved
    from basinet.study.study import Study
    from basinet.tracking.glance import Glance

_HOUR, _YEAR = 3600.0, 365 * 86400.0  # seconds
_HEADINGS = ("condition", "state", "restarts to do", "memory", "disk", "descent ≤", "polishing ≤")
_LEAST = (4, 3, 1)  # which of them a narrow terminal is the first to do without: disk and memory are summed below
_SECONDS = 2.0  # for the tables, figures and runs of a condition (measured)


@dataclass(frozen=True)
class Ahead:
    """A condition, and what of it is still to be done."""

    study: Study
    state: str
    there: int  # restarts that earlier launches have left
    is_done: bool  # or left as it is, because it failed

    @property
    def missing(self) -> int:
        """How many restarts are to be computed."""
        return 0 if self.is_done else self.study.restarts - self.there


def finished(composed: Composed) -> list[Resolved]:
    """All conditions of a command line, if earlier launches have finished all of them and this is seen at once.

    This takes the settings and the store's file only: neither torch nor MLflow, which take seconds to load. Else none.

    Raises:
        ConfigError: as the launch itself would.
    """
    from basinet.study.resolve import resolve
    from basinet.tracking.address import checked_uri
    from basinet.tracking.glance import look
    from basinet.workflows.launch import is_whole

    tracking = tracking_of(composed)
    seen = look(checked_uri(tracking.uri), experiment_of(composed, tracking))
    if seen is None or tracking.rerun == "all":
        return []
    found = []
    for settings in composed.conditions:
        one = resolve(without_launch(settings))
        run = seen.runs.get(one.key)
        if run is None or not is_whole(seen.store, run, one):
            return []
        found.append(one)
    check_different([one.key for one in found], composed.swept)
    return found


def show_finished(composed: Composed, done: Sequence[Resolved]) -> int:
    """Print what `show` would of conditions that have all been `finished`; the exit code."""
    from basinet.workflows.launch import condition_name

    varied = differing([one.columns for one in done])
    _print_table([[condition_name(one.columns, varied), "finished", "0", "-", "-", "-", "-"] for one in done])
    _print_to_do(0, len(done), 0)
    _print_last(composed.remarks(done))
    return 0


def show(planned: Plan) -> int:
    """Print what a command line would do; the exit code, which is 1 if there is not the room for it.

    Raises:
        ConfigError: as the launch itself would.
    """
    from basinet.analysis.amounts import amount, duration
    from basinet.pipeline import costs
    from basinet.workflows.launch import condition_name

    ahead = _ahead(planned)
    paces = _paces(planned, ahead)
    rows, seconds = [], []
    for one in ahead:
        name, memory, room = condition_name(one.study.columns, planned.varied), "-", "-"
        descent, polishing = 0.0, 0.0
        if not one.is_done:
            pace = paces[costs.kind(one.study)]
            descent = costs.descent_seconds(one.study, one.missing, pace)
            polishing = costs.polishing_seconds(one.study, one.missing, pace)
            memory, room = amount(costs.memory(one.study, planned.tracking.curves_max)), amount(_room(planned, one))
        seconds.append(0.0 if one.is_done else descent + polishing + _SECONDS)
        times = [duration(value) if value > 0 else "-" for value in (descent, polishing)]
        rows.append([name, one.state, f"{one.missing:,}", memory, room, *times])
    _print_table(rows)
    _print_totals(planned, ahead, seconds)
    return 0 if _is_room(planned, ahead) else 1


def check_room(planned: Plan) -> None:
    """Raise `ConfigError` if what a launch will write does not fit the disk."""
    from basinet.analysis.amounts import amount

    # Most of it may be there already, which takes longer to find out.
    if _is_room(planned, _everything(planned)) or _is_room(planned, ahead := _ahead(planned)):
        return
    needed, free = sum(_certain_room(planned, one) for one in ahead), _free(planned)
    raise ConfigError(
        f"this takes {amount(needed)} of disk, {_folder(planned)} has {amount(free)} free: fewer restarts, "
        "tracking.curves_max=0, or another tracking.uri (basinet-doctor shows what takes the disk)"
    )


def check_time(planned: Plan) -> None:
    """Raise `ConfigError` for what nobody can wait for; of what takes days, say so on standard error.

    Measured, which takes some seconds, is only what takes long on whatever machine.
    """
    from basinet.pipeline import costs

    for study in planned.studies:
        seconds = costs.polishing_seconds(study, study.restarts, costs.polishing_at_least(study))
        whole = f"polishing {study.restarts:,} restarts of {study.network.size:,} parameters takes"
        told = f"polish.dense_max={study.polishing.dense_max:,}: {whole}"
        _tell_long(told, seconds, "a smaller one, or fewer restarts", "where bottoms are near")
    long = [Ahead(study, "new", 0, is_done=False) for study in planned.studies if costs.least_seconds(study) > _HOUR]
    paces = _paces(planned, long)
    for one in long:
        budget, restarts = one.study.descent.budget, one.study.restarts
        seconds = costs.descent_seconds(one.study, restarts, paces[costs.kind(one.study)])
        told = f"descent.steps={budget.steps:,} of {restarts:,} restarts take"
        _tell_long(told, seconds, "fewer steps, or fewer restarts", "where restarts arrive")


def _tell_long(told: str, seconds: float, remedy: str, less: str) -> None:
    """Say what takes hours; raise `ConfigError` for what takes years."""
    told = f"{told} up to {_long(seconds)} here"
    require(seconds < _YEAR, f"{told}: {remedy} (dry_run=true shows the time beforehand)")
    if seconds > _HOUR:
        print(f"{told}, less {less}", file=sys.stderr)


def _long(seconds: float) -> str:
    """A time in which days count."""
    days = seconds / 86400
    return f"{days:,.1f} days" if seconds < _YEAR else f"{days / 365:,.0f} years"


def print_room(planned: Plan) -> None:
    """Say on standard error how much of the disk and, where it is large, of the memory a launch may take."""
    from basinet.analysis.amounts import amount
    from basinet.foundation.large import HELD
    from basinet.pipeline import costs

    most = sum(_room(planned, one) for one in _everything(planned))
    print(f"disk: at most {amount(most)}; {amount(_free(planned))} free", file=sys.stderr)
    large = [one for one in planned.studies if one.restarts > HELD]
    if large:
        memory = max(costs.memory(one, planned.tracking.curves_max) for one in large)
        told = f"memory: about {amount(memory)} for a condition, however many restarts it has"
        print(f"{told}; this machine has {amount(machine.memory())}", file=sys.stderr)


def _everything(planned: Plan) -> list[Ahead]:
    """The conditions as if nothing of them were there."""
    return [Ahead(study, "new", 0, is_done=False) for study in planned.studies]


def _ahead(planned: Plan) -> list[Ahead]:
    """What earlier launches have left of each condition, as `basinet.workflows.sweep.run_condition` will find it."""
    from basinet.tracking.address import checked_uri
    from basinet.tracking.glance import glance

    seen = glance(checked_uri(planned.tracking.uri), planned.experiment)
    if seen is None:
        return _everything(planned)
    return [_ahead_of(study, planned, seen) for study in planned.studies]


def _ahead_of(study: Study, planned: Plan, seen: Glance) -> Ahead:
    from basinet.pipeline.blocks import Block, FolderStore
    from basinet.workflows.launch import is_whole

    store, run = seen.store, seen.runs.get(study.key)
    if planned.tracking.rerun == "all":
        return Ahead(study, "new" if run is None else "once more", 0, is_done=False)
    failed = run is not None and run.info.status == "FAILED"
    if failed and planned.tracking.rerun == "none":
        return Ahead(study, "failed before, left", 0, is_done=True)
    if run is not None and is_whole(store, run, study):
        return Ahead(study, "finished", study.restarts, is_done=True)
    blocks: FolderStore[Block] = FolderStore(store.work_folder / "blocks" / study.key, budget=study.budget)
    there = min(blocks.finished(), study.restarts)
    state = "failed before" if failed else "partly done" if there else "new"
    return Ahead(study, f"{state}, {there:,} restarts there" if there else state, there, is_done=False)


def _paces(planned: Plan, ahead: Sequence[Ahead]) -> dict[tuple[object, ...], Pace]:
    """How long each kind of condition takes, measured on one of them."""
    from basinet.pipeline import costs

    kinds = {costs.kind(one.study): one.study for one in ahead if one.missing > 0}
    if kinds and sys.stderr.isatty():
        print(f"measuring {len(kinds)} kinds of conditions …", file=sys.stderr)
    nothing = {costs.kind(one.study): costs.Pace(0.0, 0.0, 0.0, 0.0, 0.0) for one in ahead}
    return nothing | {kind: costs.pace(_with_threads(study, planned)) for kind, study in kinds.items()}


def _with_threads(study: Study, planned: Plan) -> Study:
    """The study with the threads that it will have."""
    from basinet.study.study import Study

    return Study.from_config({**study.settings, "threads": study.settings["threads"] or planned.threads})


def _room(planned: Plan, one: Ahead) -> int:
    """Bytes that a condition will write on this machine's disk, at most."""
    return _room_of(planned, one, one.study.restarts)


def _certain_room(planned: Plan, one: Ahead) -> int:
    """… at least: of `restarts=auto` only the first restarts are certain."""
    from basinet.pipeline.run import AUTO_FIRST

    return _room_of(planned, one, min(AUTO_FIRST, one.study.restarts) if one.study.is_auto else one.study.restarts)


def _room_of(planned: Plan, one: Ahead, restarts: int) -> int:
    from basinet.pipeline import costs

    if one.is_done:
        return 0
    blocks = costs.blocks_size(one.study, max(restarts - one.there, 0))
    here = (planned.tracking.uri or "sqlite:").startswith("sqlite:")  # a server keeps tables elsewhere
    return blocks + (costs.tables_size(one.study, restarts, planned.tracking.curves_max) if here else 0)


def _is_room(planned: Plan, ahead: Sequence[Ahead]) -> bool:
    return sum(_certain_room(planned, one) for one in ahead) <= _free(planned)


def _folder(planned: Plan) -> Path:
    """Where the store will be; of a server, where unfinished work will be."""
    from basinet.tracking.address import checked_uri
    from basinet.tracking.store import TrackingStore

    return TrackingStore.place(checked_uri(planned.tracking.uri)) or Path.cwd()


def _free(planned: Plan) -> int:
    return shutil.disk_usage(_folder(planned)).free


def _print_totals(planned: Plan, ahead: Sequence[Ahead], seconds: Sequence[float]) -> None:
    from basinet.analysis.amounts import amount, duration
    from basinet.pipeline import costs

    cores = machine.cores()
    at_a_time = max(1, min(planned.workers or cores, cores, sum(not one.is_done for one in ahead)))
    most = max(sum(seconds) / at_a_time, *seconds)
    each = [costs.memory(one.study, planned.tracking.curves_max) for one in ahead if not one.is_done]
    memory = sum(sorted(each, reverse=True)[:at_a_time])
    there = machine.memory()
    room = sum(_room(planned, one) for one in ahead)
    done = sum(one.is_done for one in ahead)
    restarts = sum(one.missing for one in ahead)
    _print_to_do(len(ahead) - done, len(ahead), restarts)
    if done < len(ahead):
        together = f"{at_a_time} condition{'s' * (at_a_time != 1)} at a time"
        _print_told(f"time      at most {duration(most)}, {together}; mostly less, as restarts stop when they arrive")
        if any(one.study.is_auto and not one.is_done for one in ahead):
            _print_told("          restarts=auto: counted for all restarts_max, mostly it ends long before")
        searches = sum(one.study.landscape.most for one in ahead if not one.is_done)
        if searches:
            _print_told(f"          not counted: at most {searches:,} searches for saddles, after the restarts")
        _print_told(f"memory    {amount(memory)}; this machine has {amount(there)}{_verdict(memory <= there)}")
        is_room = _verdict(_is_room(planned, ahead))
        _print_told(f"disk      {amount(room)}; {_folder(planned)} has {amount(_free(planned))} free{is_room}")
    _print_last(planned.remarks)


def _print_to_do(conditions: int, of: int, restarts: int) -> None:
    print(f"\nto do     {conditions:,} of {of:,} conditions, {restarts:,} restarts")


def _print_last(remarks: Sequence[str]) -> None:
    for remark in remarks:
        _print_told(f"note      {remark}")
    print("dry run: nothing was done")


def _verdict(is_enough: bool) -> str:
    return "" if is_enough else ": not enough"


def _print_told(line: str) -> None:
    """A line of which ten characters say what it is about."""
    print(folded(line, 10, columns(sys.stdout)))


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    table = [_HEADINGS, *rows]
    shown = _fitting(table, columns(sys.stdout))
    widths = {column: max(len(row[column]) for row in table) for column in shown}
    for row in table:
        cells = [
            row[column].ljust(widths[column]) if column < 2 else row[column].rjust(widths[column]) for column in shown
        ]
        print("  ".join(cells).rstrip())


def _fitting(table: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """Which columns are shown in a terminal: as many as fit, those that tell nothing apart left out first."""
    shown = list(range(len(_HEADINGS)))
    same = [column for column in shown if len({row[column] for row in table[1:]}) == 1]
    for column in (*same, *_LEAST):
        if width is None or sum(max(len(row[one]) for row in table) + 2 for one in shown) - 2 <= width:
            break
        if column in shown and len(shown) > 1:
            shown.remove(column)
    return shown
