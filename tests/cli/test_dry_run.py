"""What a dry run says, and that it does nothing; and that a launch which the disk has no room for is refused."""

from __future__ import annotations

import shutil
import sqlite3
from collections import namedtuple
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import basinet
from basinet.pipeline import costs
from basinet.pipeline import run as pipeline
from basinet.pipeline.costs import Pace
from slowness import slow_but

Command = Callable[[str], Any]
TINY = "restarts=6 descent.steps=20 tracking.figures=none"


def rows(out: str) -> list[list[str]]:
    """The table, one list of cells for each condition."""
    lines = out.split("\n\n", maxsplit=1)[0].splitlines()
    assert lines[0].split("  ")[0] == "condition"
    return [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines[1:]]


def dump(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(connection.iterdump())


def names(folder: Path) -> list[str]:
    """All files but those that SQLite keeps while a database is open."""
    found = (str(path.relative_to(folder)) for path in folder.rglob("*"))
    return sorted(name for name in found if not name.startswith("mlflow.db-"))


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many restarts are computed from now on, block by block."""
    counts: list[int] = []
    solve = pipeline.solve

    def counting(study: Any, restarts: range, *rest: Any) -> Any:
        counts.append(len(restarts))
        return solve(study, restarts, *rest)

    monkeypatch.setattr(pipeline, "solve", counting)
    return counts


@pytest.mark.parametrize(
    ("line", "conditions"),
    [
        (f"dry_run=true {TINY}", ["problem=xor init=normal network.depth=2"]),
        (f"-m init=normal,uniform dry_run=true {TINY}", ["init=normal", "init=uniform"]),
        ("experiment=xor dry_run=true restarts=3 -m init=orthogonal network.width=2", ["problem=xor init=orthogonal"]),
        (f"dry_run=true {TINY} engine=torch polish=none device=auto", ["problem=xor init=normal network.depth=2"]),
    ],
)
def test_a_dry_run_names_every_condition_and_creates_nothing(
    line: str, conditions: list[str], command: Command, tmp_path: Path
) -> None:
    answer = command(line)
    assert (answer.code, answer.err) == (0, "")
    table = rows(answer.out)
    assert len(table) == len(conditions)
    for row, condition in zip(table, conditions, strict=True):
        assert row[0].startswith(condition)
        assert row[1] == "new"
    assert answer.out.endswith("dry run: nothing was done\n")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_file_is_no_store_and_is_left_empty(command: Command, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").touch()
    answer = command(f"dry_run=true {TINY}")
    assert (answer.code, rows(answer.out)[0][1]) == (0, "new")
    assert names(tmp_path) == ["mlflow.db"]
    assert (tmp_path / "mlflow.db").read_bytes() == b""


def spoil(sql: str, *values: object) -> None:
    with closing(sqlite3.connect("mlflow.db")) as connection:
        connection.execute(sql, values)
        connection.commit()


def fail_one() -> None:
    """Make the run of init=normal one that has failed."""
    run = basinet.load_runs("basinet").set_index("init")["run_id"]["normal"]
    spoil("UPDATE runs SET status = 'FAILED' WHERE run_uuid = ?", run)


def damage_one() -> None:
    (Path.cwd() / next(iter(Path("mlartifacts").rglob("quantiles.parquet")))).write_bytes(b"PAR1")


DONE, THERE = ("finished", "0"), ("partly done, 30 restarts there", "0")
BEFORE = {
    "": (None, [DONE, DONE]),
    "restarts=50": (None, [("partly done, 30 restarts there", "20")] * 2),
    "restarts=10": (None, [("partly done, 10 restarts there", "0")] * 2),
    "restarts=50 rerun=all": (None, [("once more", "50")] * 2),
    "seed=7": (None, [("new", "30")] * 2),
    "tracking.experiment=other": (None, [THERE] * 2),
    "rerun=none": (fail_one, [("failed before, left", "0"), DONE]),
    "rerun=failed": (fail_one, [("failed before, 30 restarts there", "0"), DONE]),
}


@pytest.mark.parametrize("settings", slow_but(["restarts=50", "rerun=failed"], BEFORE))
def test_what_a_dry_run_says_is_to_be_done_is_what_is_done_then(
    settings: str, swept_again: Callable[[str], Any], swept: Path, computed: list[int]
) -> None:
    spoiling, expected = BEFORE[settings]
    if spoiling is not None:
        spoiling()
    before, files = dump(swept / "mlflow.db"), names(swept)
    answer = swept_again(f"{settings} dry_run=true")
    assert (answer.code, answer.err) == (0, "")
    assert [(row[1], row[2]) for row in rows(answer.out)] == expected
    assert dump(swept / "mlflow.db") == before
    assert names(swept) == files
    computed.clear()  # what was measured
    assert swept_again(settings).code == 0
    assert sum(computed) == sum(int(restarts) for _, restarts in expected)


def test_a_dry_run_of_what_has_finished_needs_neither_mlflow_nor_a_measurement(
    swept_again: Callable[[str], Any], swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tracking.store.mlflow_client", "pipeline.costs.pace", "pipeline.solve.solve"):
        monkeypatch.setattr(f"basinet.{name}", lambda *arguments: pytest.fail("takes seconds"))
    quick = swept_again("dry_run=true")
    assert (quick.code, quick.err) == (0, "")
    assert [(row[1], row[2]) for row in rows(quick.out)] == [DONE, DONE]
    monkeypatch.setattr("basinet.cli.dry_run.finished", lambda composed: [])
    assert swept_again("dry_run=true").out == quick.out  # by the way that any other dry run goes


def test_a_dry_run_of_what_has_finished_refuses_the_same_condition_twice(
    swept_again: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("basinet.cli.plan.plan", lambda *arguments: pytest.fail("has been looked at"))
    answer = swept_again("init=normal init.std=1,1.0 dry_run=true")
    told = "basinet: init=normal,uniform init.std=1,1.0: conditions 1 and 2 of this sweep are the same\n"
    assert (answer.code, answer.out, answer.err) == (1, "", told)


@pytest.mark.parametrize("settings", ["", "restarts=50 rerun=all"])
def test_a_database_that_is_not_known_well_enough_is_asked_through_mlflow_and_says_the_same(
    settings: str, swept_again: Callable[[str], Any], swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("basinet.pipeline.costs.pace", lambda study: Pace(0.0, 0.0, 0.0, 0.0, 0.0))
    fail_one()
    before = dump(swept / "mlflow.db")
    directly = swept_again(f"dry_run=true {settings}")
    monkeypatch.setattr("basinet.tracking.glance.knows_version", lambda version: False)
    assert swept_again(f"dry_run=true {settings}").out == directly.out
    assert directly.code == 0
    assert dump(swept / "mlflow.db") == before


def test_a_condition_whose_tables_are_damaged_is_not_called_finished(
    swept_again: Callable[[str], Any], swept: Path
) -> None:
    damage_one()
    states = sorted(row[1] for row in rows(swept_again("dry_run=true").out))
    assert states == ["finished", "partly done, 30 restarts there"]


def test_with_restarts_auto_all_that_may_come_is_counted(command: Command) -> None:
    out = command("dry_run=true restarts=auto restarts_max=5000 descent.steps=20").out
    assert rows(out)[0][2] == "5,000"
    assert "restarts=auto: counted for all restarts_max" in out


def test_a_deleted_experiment_is_refused_by_a_dry_run_too(sweeps: Command, tmp_path: Path) -> None:
    from basinet.tracking.store import TrackingStore

    store = TrackingStore.open(f"sqlite:///{tmp_path}/mlflow.db")
    store.client.delete_experiment(store.experiment("gone"))
    answer = sweeps("dry_run=true tracking.experiment=gone")
    assert (answer.code, answer.out) == (1, "")
    assert "tracking.experiment=gone: was deleted" in answer.err


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dry_run=perhaps", "dry_run=perhaps: must be true or false"),
        ("-m dry_run=true,false", "dry_run cannot be swept"),
        ("dry_run=true init=xaver", "did you mean 'xavier_normal'?"),
    ],
)
def test_a_bad_dry_run_is_refused_in_one_line(line: str, message: str, command: Command, tmp_path: Path) -> None:
    answer = command(line)
    assert (answer.code, answer.out) == (1, "")
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_what_a_dry_run_would_be_of_can_be_shown(command: Command, tmp_path: Path) -> None:
    answer = command("--cfg job dry_run=true")
    assert answer.code == 0
    assert "dry_run: true\n" in answer.out
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def free(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let the disk have so many bytes free."""

    def install(size: int) -> None:
        usage = namedtuple("usage", "total used free")
        monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(2 * size, size, size))

    return install


def test_a_launch_that_the_disk_has_no_room_for_is_refused_and_creates_nothing(
    command: Command, free: Callable[[int], None], tmp_path: Path
) -> None:
    free(3_000_000)
    answer = command("-m init=normal,uniform restarts=100000 descent.steps=10")
    assert (answer.code, answer.out) == (1, "")
    assert len(answer.err.splitlines()) == 1
    assert "MB of disk" in answer.err
    assert f"{tmp_path} has 3.0 MB free" in answer.err
    assert list(tmp_path.iterdir()) == []
    dry = command("-m init=normal,uniform restarts=100000 descent.steps=10 dry_run=true polish=none")
    assert dry.code == 1
    assert "has 3.0 MB free: not enough\n" in dry.out


@pytest.mark.slow
def test_where_all_is_done_no_room_is_needed(
    swept_again: Callable[..., Any], free: Callable[[int], None], computed: list[int]
) -> None:
    free(0)
    assert swept_again().code == 0
    assert computed == []
    assert swept_again("dry_run=true").code == 0
    refused = swept_again("restarts=31")
    assert refused.code == 1
    assert "0 bytes free" in refused.err


def test_of_restarts_auto_only_the_first_have_to_fit(command: Command, free: Callable[[int], None]) -> None:
    free(20_000_000)
    line = "restarts=auto restarts_max=1000000 problem=chain network.depth=1 descent.steps=20 tracking.figures=none"
    assert "of disk" in command(line.replace("=auto", "=1000000")).err
    assert command(f"{line} dry_run=true polish=none").code == 0


def test_a_launch_of_days_is_said_to_be_one(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Measured is what no machine does within an hour; here a step of a restart is said to take a millisecond."""
    monkeypatch.setattr("basinet.cli.main._execute", lambda *_: 0)
    monkeypatch.setattr("basinet.pipeline.costs.pace", lambda study: costs.Pace(0.0, 1e-3, 0.0, 0.0, 0.0))
    steps = 4 * 10**8
    answer = command(f"restarts=20 descent.steps={steps:.0f} descent.records=5")
    assert answer.err == ""  # 0.8 s at the very least
    monkeypatch.setattr("basinet.pipeline.costs.least_seconds", lambda study: 3601.0)
    answer = command(f"restarts=20 descent.steps={steps:.0f} descent.records=5")
    days = 20 * steps * 1e-3 / 86400
    assert (
        answer.err
        == f"descent.steps=400,000,000 of 20 restarts take up to {days:.1f} days here, less where restarts arrive\n"
    )
    answer = command(f"restarts=2000 descent.steps={steps:.0f} descent.records=5")
    assert answer.code == 1
    assert f"take up to {100 * days / 365:.0f} years here: fewer steps" in answer.err


def test_hessians_that_nobody_can_wait_for_are_said_before_one_is_made(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the eigenvectors of one are said to take 1,000 s, on as many processors as there are restarts."""
    monkeypatch.setattr("basinet.cli.main._execute", lambda *_: 0)
    monkeypatch.setattr("basinet.foundation.machine.cores", lambda: 4)
    monkeypatch.setattr("basinet.pipeline.costs.eigenvectors_seconds", lambda parts, size, threads: size * 1e3 / 1201)
    line = "network.width=300 polish.dense_max=2000 engine=torch restarts="
    took = "polish.dense_max=2,000: polishing {} restarts of 1,201 parameters takes up to {} here"
    days = 4 * (6 + 60) * 1000 / 4 / 86400  # 6 Newton steps and 60 Hessians along the flow of each
    assert command(f"{line}4").err.startswith(f"{took.format(4, f'{days:.1f} days')}, less where bottoms are near\n")
    answer = command(f"{line}4000")
    assert answer.code == 1
    assert answer.err.startswith(f"basinet: {took.format('4,000', f'{1000 * days / 365:.0f} years')}: a smaller one")


@pytest.mark.parametrize("chosen", ["disabled", "none", "stdout", "default"])
def test_logging_of_hydras_own_choice_is_checked_and_taken(chosen: str, command: Command) -> None:
    assert command(f"dry_run=true hydra/job_logging={chosen} {TINY}").code == 0
