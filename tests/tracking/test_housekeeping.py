"""`basinet-doctor` on stores that sweeps have made, whole or with something wrong."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

import basinet

Again = Callable[..., Any]
DEAD = {"process.id": "2147483646", "process.started": "never"}
OPEN = """
import sys
from basinet.tracking.record import open_condition, open_sweep
from basinet.tracking.store import TrackingStore
store = TrackingStore.open("sqlite:///" + sys.argv[1])
experiment = store.experiment("basinet")
sweep = open_sweep(store, experiment, "a sweep", "basinet -m")
condition = open_condition(store, experiment, "a condition", "somekey", {"init": "normal"}, (sweep.id, 0))
print(sweep.id, condition.id, flush=True)
input()
"""


@pytest.fixture
def doctor(shell: Callable[[str], Any]) -> Callable[[str], Any]:
    """`basinet-doctor` as a function of what stands behind it on the command line."""
    return lambda line="": shell(f"basinet-doctor {line}")


def query(sql: str, *values: object) -> list[Any]:
    """What the database of the working directory says; changes are kept."""
    with closing(sqlite3.connect("mlflow.db")) as connection:
        rows = connection.execute(sql, values).fetchall()
        connection.commit()
    return rows


def statuses() -> dict[str, str]:
    return dict(query("SELECT run_uuid, status FROM runs"))


def runs(kind: str) -> list[str]:
    found = query("SELECT run_uuid FROM tags WHERE key = 'basinet.kind' AND value = ?", kind)
    return [run for (run,) in found]


def tag(run: str, **changes: str | None) -> None:
    """Change tags of a run behind everybody's back: `process_host` is `process.host`; None takes it away."""
    for key, value in changes.items():
        name = key.replace("_", ".", 1)
        query("DELETE FROM tags WHERE run_uuid = ? AND key = ?", run, name)
        if value is not None:
            query("INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", name, value, run)


def left_open(**changes: str | None) -> str:
    """Make the run of one condition look as if it had not ended, by a process with these tags."""
    run = runs("condition")[0]
    query("UPDATE runs SET status = 'RUNNING', end_time = NULL WHERE run_uuid = ?", run)
    tag(run, **changes)
    return run


def condition_of(run: str) -> str:
    """The content key of a condition's run."""
    ((key,),) = query("SELECT value FROM tags WHERE key = 'basinet.condition' AND run_uuid = ?", run)
    return str(key)


def content(folder: Path) -> dict[str, bytes]:
    """All files but the database."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("mlflow.db")
    }


def artifacts(run: str) -> Path:
    (address,) = (uri for (uri,) in query("SELECT artifact_uri FROM runs WHERE run_uuid = ?", run))
    return Path("mlartifacts") / address.removeprefix("mlflow-artifacts:/").lstrip("/")


def blocks() -> list[Path]:
    return sorted(path for path in Path(".basinet/blocks").iterdir() if path.is_dir())


def test_a_healthy_store_is_reported_and_stays_as_it_is(doctor: Callable[[str], Any], swept: Path) -> None:
    files, before = content(swept), statuses()
    answer = doctor("")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.splitlines()[-1] == "all is well"
    assert content(swept) == files
    assert statuses() == before


def test_the_disk_that_is_said_to_be_used_is_what_the_files_take(doctor: Callable[[str], Any], swept: Path) -> None:
    def taken(folder: str) -> int:
        return sum(os.path.getsize(Path(at) / name) for at, _, names in os.walk(folder) for name in names)

    lines = doctor("").out.splitlines()
    (row,) = (line.split() for line in lines if line.startswith("  basinet"))
    assert row[:2] == ["basinet", "2"]
    assert float(row[2]) == pytest.approx(taken("mlartifacts") / 1000, rel=0.06)  # two digits
    assert row[3] == "kB"
    (disk,) = (line for line in lines if line.startswith("disk: "))
    size, unit = disk.split("blocks ")[1].split(")")[0].split()
    assert float(size) * {"kB": 1e3, "bytes": 1}[unit] == pytest.approx(taken(".basinet/blocks"), rel=0.06)


@pytest.fixture
def opener(swept: Path) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """Another process, with the runs of a sweep and of a condition that it has opened."""
    child = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", OPEN, swept / "mlflow.db"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    yield child, child.stdout.readline().split()
    child.kill()
    child.communicate()


def test_runs_are_closed_when_their_process_has_been_killed_and_not_before(
    doctor: Callable[[str], Any], opener: tuple[subprocess.Popen[str], list[str]]
) -> None:
    child, opened = opener
    before = statuses()
    assert doctor("").code == 0
    assert statuses() == before
    child.kill()
    child.communicate()
    answer = doctor("")
    assert answer.code == 0
    assert statuses() == {**before, **dict.fromkeys(opened, "KILLED")}
    for run in opened:
        line = next(line for line in answer.out.splitlines() if run in line)
        assert line.startswith("closed as killed: ")
        assert f"process {child.pid} on " in line
    (said,) = query("SELECT value FROM tags WHERE key = 'basinet.error' AND run_uuid = ?", opened[1])
    assert f"process {child.pid}" in said[0]
    assert "closed as killed" not in doctor("").out


def test_with_a_dry_run_it_is_only_said_what_would_be_closed(doctor: Callable[[str], Any], swept: Path) -> None:
    run = left_open(process_id=DEAD["process.id"], process_started=DEAD["process.started"])
    before, files = statuses(), content(swept)
    answer = doctor("--dry-run --free")
    assert f"would be closed: run {run}" in answer.out
    assert statuses() == before
    assert content(swept) == files


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"process_host": "elsewhere"}, "process {pid} on elsewhere is, or was, on another machine"),
        ({"process_host": None}, "its process is not known"),
    ],
)
def test_a_run_of_whose_process_nothing_is_known_is_closed_only_by_force(
    change: dict[str, str | None], reason: str, doctor: Callable[[str], Any], swept: Path
) -> None:
    run = left_open(**change)
    ((pid,),) = query("SELECT value FROM tags WHERE key = 'process.id' AND run_uuid = ?", run)
    answer = doctor("")
    assert answer.code == 1
    assert f"run {run}" in answer.out
    assert reason.format(pid=pid) in answer.out
    assert answer.out.splitlines()[-1] == "something needs you, see above"
    assert statuses()[run] == "RUNNING"
    assert doctor("--force").code == 0
    assert statuses()[run] == "KILLED"


def test_what_is_being_computed_elsewhere_in_this_folder_is_left_even_by_force(
    doctor: Callable[[str], Any], swept: Path
) -> None:
    run = left_open(process_host="elsewhere")
    with FileLock(f".basinet/blocks/{condition_of(run)}.lock"):
        assert doctor("--force").code == 0
        assert statuses()[run] == "RUNNING"
    assert doctor("").code == 1


def test_runs_that_others_keep_in_the_same_store_are_none_of_our_business(
    doctor: Callable[[str], Any], swept: Path
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{swept}/mlflow.db")
    theirs = client.create_run(client.create_experiment("theirs")).info.run_id
    answer = doctor("--force")
    assert answer.code == 0
    assert statuses()[theirs] == "RUNNING"
    assert doctor(f"--remove {theirs} --yes").err == (
        f"basinet-doctor: run {theirs} is not a sweep or a condition of basinet's\n"
    )


def _without_a_table(folder: Path) -> None:
    (folder / "tables" / "curves.parquet").unlink()


def _half_a_table(folder: Path) -> None:
    path = folder / "tables" / "restarts.parquet"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _half_the_parameters(folder: Path) -> None:
    path = folder / "parameters.npz"
    path.write_bytes(path.read_bytes()[:-100])


def _of_schema(version: int) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "tables" / "minima.parquet"
        table = pq.read_table(path)
        metadata = {**table.schema.metadata, b"basinet_schema": str(version).encode()}
        pq.write_table(table.replace_schema_metadata(metadata), path)

    return change


def _all_moved_away(folder: Path) -> None:
    folder.rename(folder.with_name("moved"))


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_without_a_table, "has no tables/curves.parquet"),
        (_half_a_table, "tables/restarts.parquet: cannot be read"),
        (_half_the_parameters, "parameters.npz: cannot be read"),
        (_of_schema(0), "tables/minima.parquet: has schema 0"),
        (_of_schema(99), "tables/minima.parquet: is of a later version of basinet (schema 99"),
        (_all_moved_away, "has no tables/restarts.parquet"),
    ],
)
def test_a_finished_run_whose_artifacts_cannot_be_used_is_named(
    spoil: Callable[[Path], None], reason: str, doctor: Callable[[str], Any], swept: Path
) -> None:
    run, whole = runs("condition")
    spoil(artifacts(run))
    answer = doctor("")
    assert answer.code == 1
    (line,) = (line for line in answer.out.splitlines() if line.startswith("damaged: "))
    assert run in line
    assert reason in line
    assert whole not in answer.out


def test_blocks_are_freed_where_all_their_restarts_are_in_a_finished_run(
    doctor: Callable[[str], Any], swept: Path
) -> None:
    first, second = blocks()
    (block,) = second.glob("*.parquet")
    shutil.copy(block, second / "000000000030-000000000060.parquet")  # it was being extended
    unknown = second.with_name("of_another_store")
    shutil.copytree(first, unknown)
    kept = content(second) | content(unknown)
    out = doctor("").out
    for state, restarts in {"finished": 30, "unfinished": 60, "unknown": 30}.items():
        assert f"blocks of 1 {state} condition: {restarts} restarts" in out
    assert blocks() == sorted([first, second, unknown])
    answer = doctor("--free")
    assert answer.code == 0
    assert blocks() == sorted([second, unknown])
    assert content(second) | content(unknown) == kept
    tables = basinet.load_restarts("basinet")
    assert len(tables) == 60


def test_blocks_of_what_is_being_computed_stay(doctor: Callable[[str], Any], swept: Path) -> None:
    first, _ = blocks()
    with FileLock(f"{first}.lock"):
        assert doctor("--free").code == 0
    assert blocks() == [first]


@pytest.mark.slow
def test_what_is_freed_is_only_needed_to_extend_a_condition_and_that_gives_the_same_numbers(
    doctor: Callable[[str], Any], swept_again: Again
) -> None:
    before = basinet.load_restarts("basinet").drop(columns="run_id")
    doctor("--free")
    assert swept_again().err.count("(finished before)") == 2
    assert swept_again("restarts=40").code == 0
    after = basinet.load_restarts("basinet").drop(columns="run_id")
    assert len(after) == 80
    kept = after[after["restart"] < 30].reset_index(drop=True)
    columns = ["restart", "init", "loss", "loss_initial", "steps", "status", "kind"]
    pd.testing.assert_frame_equal(kept[columns], before[columns], check_exact=True)


def test_scraps_of_killed_processes_go_when_they_are_old_and_nobody_is_at_work(
    doctor: Callable[[str], Any], swept: Path
) -> None:
    work = swept / ".basinet"
    blocks_of_the_run = work / "blocks" / condition_of(runs("condition")[0])
    scraps = [work / "journal-0.jsonl", blocks_of_the_run / "writing-abc", work / "writing-def" / "table.parquet"]
    for path in scraps:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    assert "left by killed processes" not in doctor("--free").out  # who knows whether somebody writes them
    scraps[1].parent.mkdir(exist_ok=True)
    scraps[1].write_text("half")
    old = time.time() - 7200
    for path in (*scraps, scraps[2].parent):
        os.utime(path, (old, old))
    run = left_open(process_host="elsewhere")
    assert "left by killed processes" not in doctor("--free").out
    query("UPDATE runs SET status = 'FINISHED' WHERE run_uuid = ?", run)
    assert "left by killed processes: 3 files; --free removes them" in doctor("").out
    assert all(path.exists() for path in scraps)
    assert doctor("--free").code == 0
    assert not any(path.exists() for path in scraps)


def left_of(run: str) -> list[str]:
    """The tables of the database and the folders that still know a run."""
    tables = [table for (table,) in query("SELECT name FROM sqlite_master WHERE type = 'table'")]
    knowing = []
    for table in tables:
        columns = [column for _, column, *_ in query(f"PRAGMA table_info({table})")]
        if "run_uuid" in columns and query(f"SELECT 1 FROM {table} WHERE run_uuid = ?", run):
            knowing.append(table)
    return knowing + [str(path) for path in Path("mlartifacts").rglob(f"*{run}*")]


def test_a_sweep_is_removed_with_its_conditions_and_all_that_belongs_to_them(
    doctor: Callable[[str], Any], swept_again: Again
) -> None:
    (sweep,) = runs("sweep")
    old = [sweep, *runs("condition"), *runs("minimum")]
    assert swept_again("tracking.experiment=other seed=1").code == 0
    other = basinet.load_restarts("other")
    mine = {path.name for path in blocks()}
    assert doctor(f"--remove {sweep} --dry-run").code == 0
    assert all(left_of(run) for run in old)
    answer = doctor(f"--remove {sweep} --yes")
    assert (answer.code, answer.out.splitlines()[-1]) == (0, "removed")
    assert [left_of(run) for run in old] == [[]] * len(old)
    assert len(blocks()) == 2
    assert {path.name for path in blocks()} < mine
    pd.testing.assert_frame_equal(basinet.load_restarts("other"), other)
    assert doctor("").code == 0


def test_a_condition_that_belongs_to_another_sweep_too_stays_and_is_that_ones(
    doctor: Callable[[str], Any], swept_again: Again
) -> None:
    (first,) = runs("sweep")
    assert swept_again("init=normal,constant").code == 0
    (second,) = set(runs("sweep")) - {first}
    before = basinet.load_restarts(second)
    shared = basinet.load_runs(second).set_index("init")["run_id"]["normal"]
    answer = doctor(f"--remove {first} --yes")
    assert answer.code == 0
    assert "not 1 condition that other launches have, too" in answer.out
    pd.testing.assert_frame_equal(basinet.load_restarts(second), before)
    assert dict(query("SELECT key, value FROM tags WHERE run_uuid = ? AND key LIKE '%arent%'", shared)) == {
        "mlflow.parentRunId": second
    }
    assert sorted(basinet.load_runs("basinet")["init"]) == ["constant", "normal"]


@pytest.mark.slow
def test_a_condition_that_was_there_before_the_sweep_stays_and_stands_for_itself_again(
    doctor: Callable[[str], Any], sweeps: Again
) -> None:
    tiny = "network.depth=1 restarts=5 descent.steps=10 tracking.figures=none"
    assert sweeps(tiny).code == 0
    (alone,) = runs("condition")
    assert sweeps(f"-m init=normal,uniform {tiny}").code == 0
    (sweep,) = runs("sweep")
    assert doctor(f"--remove {sweep} --yes").code == 0
    assert runs("condition") == [alone]
    assert basinet.load_runs("basinet")["sweep_id"].tolist() == [""]
    assert len(basinet.load_minima(alone)) >= 0
    assert doctor(f"--remove {alone} --yes").code == 0
    assert runs("condition") == []
    assert blocks() == []


@pytest.mark.slow
def test_where_the_newest_run_of_a_condition_is_removed_views_show_the_one_before_it(
    doctor: Callable[[str], Any], swept_again: Again
) -> None:
    def current(answer: str) -> set[str]:
        said = "SELECT run_uuid FROM tags WHERE key = 'basinet.current' AND value = ?"
        return {run for (run,) in query(said, answer)}

    first = current("yes")
    assert {*runs("condition")} <= first
    (sweep,) = runs("sweep")
    assert swept_again("restarts=40").code == 0
    assert current("no") == first
    (later,) = set(runs("sweep")) - {sweep}
    assert doctor(f"--remove {later} --yes").code == 0
    assert (current("yes"), current("no")) == (first, set())


def test_a_sweep_that_somebody_is_at_is_not_removed(
    doctor: Callable[[str], Any], opener: tuple[subprocess.Popen[str], list[str]]
) -> None:
    child, (sweep, condition) = opener
    for line in (f"--remove {sweep} --yes", f"--remove {condition} --yes", f"--remove {sweep} --yes --force"):
        answer = doctor(line)
        assert answer.code == 1
        assert f"has not ended: process {child.pid} on " in answer.err
        assert len(answer.err.splitlines()) == 1
    child.kill()
    child.communicate()
    assert doctor(f"--remove {sweep} --yes").code == 0
    assert left_of(sweep) == left_of(condition) == []


@pytest.mark.parametrize(("typed", "removed"), [("y", True), ("Yes ", True), ("n", False), ("", False)])
def test_a_person_is_asked_before_anything_is_removed(
    typed: str, removed: bool, doctor: Callable[[str], Any], swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(f"{typed}\n"))
    (sweep,) = runs("sweep")
    answer = doctor(f"--remove {sweep}")
    assert (answer.code == 0) == removed
    assert (left_of(sweep) == []) == removed
    assert "remove for good?" in answer.out


def test_without_a_person_to_ask_nothing_is_removed(
    doctor: Callable[[str], Any], swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    (sweep,) = runs("sweep")
    answer = doctor(f"--remove {sweep}")
    assert (answer.code, answer.err.count("give --yes")) == (1, 1)
    assert left_of(sweep)


def test_removing_can_be_taken_up_again(
    doctor: Callable[[str], Any], swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after each step in turn, until nothing interrupts it any more."""
    (sweep,) = runs("sweep")
    everything = [sweep, *runs("condition"), *runs("minimum")]
    real = shutil.rmtree
    left = [1]

    def interrupted(*arguments: Any, **settings: Any) -> None:
        if left[0] == 0:
            raise OSError("enough")
        left[0] -= 1
        real(*arguments, **settings)

    monkeypatch.setattr(shutil, "rmtree", interrupted)
    for removals in range(20):
        left[0] = removals
        if doctor(f"--remove {sweep} --yes").code == 0:
            break
    assert [left_of(run) for run in everything] == [[]] * len(everything)


def test_an_address_in_the_database_that_leads_out_of_the_store_is_not_followed(
    doctor: Callable[[str], Any], swept: Path
) -> None:
    victim = swept / "precious"
    victim.mkdir()
    (victim / "thing").write_text("x")
    for run in runs("condition"):
        query("UPDATE runs SET artifact_uri = 'mlflow-artifacts:/../precious' WHERE run_uuid = ?", run)
        assert doctor(f"--remove {run} --yes").code == 0
    assert (victim / "thing").read_text() == "x"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--remove nothing --yes", "unknown experiment or run 'nothing'"),
        ("--tracking-uri sqlite:///none/mlflow.db", "does not exist"),
        ("--tracking-uri foo", "must start with sqlite:///"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(
    line: str, message: str, doctor: Callable[[str], Any], swept: Path
) -> None:
    answer = doctor(line)
    assert answer.code == 1
    assert answer.err.startswith("basinet-doctor: ")
    assert message in answer.err
    assert len(answer.err.splitlines()) == 1


def test_where_there_is_no_store_none_is_made(
    doctor: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    answer = doctor("")
    assert (answer.code, answer.err) == (1, f"basinet-doctor: there is no store at sqlite:///{tmp_path}/mlflow.db\n")
    assert list(tmp_path.iterdir()) == []


def test_help_does_not_wait_for_the_numerical_libraries() -> None:
    code = (
        "import sys, json; from basinet.cli.doctor import main; sys.argv[1:] = ['--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    print(json.dumps(sorted(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(answer.stdout.splitlines()[-1]))
    assert "basinet.cli.doctor" in loaded
    assert loaded & {"torch", "mlflow", "pandas", "matplotlib"} == set()
