"""What a store has, as a list and as `basinet-list results` shows it."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from basinet.tracking.contents import contents
from basinet.tracking.membership import join_sweep
from basinet.tracking.record import OpenRun, open_sweep
from basinet.tracking.store import TrackingStore

Write = Callable[..., OpenRun]
NORMAL = {"seed": 0, "init": "normal", "network.depth": 2}


@pytest.fixture
def sweep(store: TrackingStore) -> Callable[[int], OpenRun]:
    """A sweep of so many conditions in the experiment `made`, which has just begun."""

    def call(conditions: int) -> OpenRun:
        run = open_sweep(store, store.experiment("made"), "a sweep", "basinet -m …")
        run.log(metrics={"conditions": conditions})
        time.sleep(0.002)  # the times of runs are whole milliseconds
        return run

    return call


@pytest.fixture
def condition(write: Write) -> Callable[..., OpenRun]:
    """A condition of that depth with so many restarts and that best loss."""

    def call(depth: int, restarts: int, best: float, **more: Any) -> OpenRun:
        run = write({**NORMAL, "network.depth": depth}, [best], **more)
        run.log(metrics={"restarts": restarts, "final/best_loss": best})
        return run

    return call


def test_a_sweep_counts_the_conditions_restarts_and_the_best_loss_of_what_has_finished(
    sweep: Callable[[int], OpenRun], condition: Callable[..., OpenRun], store: TrackingStore
) -> None:
    parent = sweep(4)
    condition(1, 20, 0.5, sweep_id=parent.id)
    condition(2, 30, 0.25, sweep_id=parent.id)
    condition(3, 999, 0.001, sweep_id=parent.id, status="FAILED")
    parent.close("FAILED")
    (experiment,) = contents(store)
    (launch,) = experiment.launches
    assert (experiment.name, launch.id, launch.state) == ("made", parent.id, "failed")
    assert (launch.finished, launch.conditions, launch.restarts, launch.best_loss) == (2, 4, 50, 0.25)


def test_a_condition_counts_once_however_often_it_ran_and_in_every_sweep_that_it_is_part_of(
    sweep: Callable[[int], OpenRun], condition: Callable[..., OpenRun], store: TrackingStore
) -> None:
    earlier = sweep(1)
    condition(1, 20, 0.5, sweep_id=earlier.id)
    again = condition(1, 70, 0.125, sweep_id=earlier.id)
    later = sweep(2)
    join_sweep(store, store.client.get_run(again.id), (later.id, 0))
    condition(2, 5, 0.25, sweep_id=later.id)
    launches = {launch.id: launch for launch in contents(store)[0].launches}
    assert list(launches) == [later.id, earlier.id]  # newest first
    assert (launches[earlier.id].restarts, launches[earlier.id].best_loss) == (70, 0.125)
    assert (launches[later.id].restarts, launches[later.id].best_loss) == (75, 0.125)


def test_what_was_launched_by_itself_is_listed_until_a_sweep_has_it(
    sweep: Callable[[int], OpenRun], condition: Callable[..., OpenRun], store: TrackingStore
) -> None:
    condition(1, 20, 0.5)
    newest = condition(1, 40, 0.5)
    (launch,) = contents(store)[0].launches
    assert (launch.id, launch.finished, launch.conditions, launch.restarts) == (newest.id, 1, 1, 40)
    parent = sweep(1)
    join_sweep(store, store.client.get_run(newest.id), (parent.id, 0))
    assert [launch.id for launch in contents(store)[0].launches] == [parent.id]


def test_a_run_says_what_has_become_of_it(
    sweep: Callable[[int], OpenRun], condition: Callable[..., OpenRun], store: TrackingStore
) -> None:
    going, gone, stopped = sweep(1), sweep(1), sweep(1)
    stopped.close("KILLED")
    gone.log(tags={"process.id": str(os.getpid()), "process.started": "another boot"})
    states = {launch.id: launch.state for launch in contents(store)[0].launches}
    assert states == {going.id: "running", gone.id: "cut off", stopped.id: "stopped"}
    assert all(math.isnan(launch.best_loss) for launch in contents(store)[0].launches)


def test_experiments_stand_newest_first_and_those_without_a_launch_not_at_all(
    condition: Callable[..., OpenRun], store: TrackingStore
) -> None:
    store.experiment("empty")
    for name in ("b", "a", "c"):
        condition(1, 1, 0.5, experiment=name)
    assert [experiment.name for experiment in contents(store)] == ["c", "a", "b"]


def test_results_are_listed_in_80_columns_with_what_to_type_next(
    sweep: Callable[[int], OpenRun], condition: Callable[..., OpenRun], shell: Callable[[str], Any]
) -> None:
    parent = sweep(100)
    condition(1, 9_999_999, 1.234e-10, sweep_id=parent.id)
    parent.close("FINISHED")
    began = datetime.fromtimestamp(parent.run.info.start_time / 1000)
    answer = shell("basinet-list results")
    assert (answer.code, answer.err) == (0, "")
    lines = answer.out.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0] == "made"
    assert lines[2].split()[2:] == ["1/100", "9,999,999", "finished", "1.23e-10", parent.id]
    assert " ".join(lines[2].split()[:2]) == f"{began:%m-%d %H:%M}"
    assert "report    basinet-report made" in lines
    (python,) = [line.partition("python -c ")[2] for line in lines if line.startswith("analyse")]
    exec(python.strip("'"), {})


def test_of_many_launches_the_newest_are_listed_and_the_others_counted(
    sweep: Callable[[int], OpenRun], shell: Callable[[str], Any]
) -> None:
    ids = [sweep(1).id for _ in range(10)]
    out = shell("basinet-list results").out
    assert [line.split()[-1] for line in out.splitlines()[2:10]] == ids[:1:-1]
    assert "and 2 before these" in out


def test_where_there_is_nothing_one_line_says_how_to_begin_and_nothing_is_made(
    shell: Callable[[str], Any], tmp_path: Path
) -> None:
    answer = shell("basinet-list results")
    assert (answer.code, answer.out) == (1, "")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    assert answer.err.startswith(f"basinet-list: there are no results yet in {uri}: basinet init=orthogonal makes")
    assert len(answer.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_store_belongs_to_results_only(shell: Callable[[str], Any]) -> None:
    answer = shell("basinet-list init --tracking-uri sqlite:///mlflow.db")
    assert (answer.code, answer.err) == (1, "basinet-list: --tracking-uri belongs to basinet-list results\n")
