"""Files that are cut off, edited, of another version or on a full disk: said in one line, and nothing is lost."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import basinet
from basinet.cli import doctor, replay, report
from basinet.foundation.errors import ConfigError

Again = Callable[..., Any]
BIN = Path(sys.executable).parent
LOADERS = {
    "tables/restarts.parquet": basinet.load_restarts,
    "tables/minima.parquet": basinet.load_minima,
    "tables/curves.parquet": basinet.load_curves,
    "tables/quantiles.parquet": basinet.load_quantiles,
    "tables/evidence.parquet": basinet.load_evidence,
    "parameters.npz": basinet.load_parameters,
}
CUTS: dict[str, Callable[[bytes], bytes]] = {
    "nothing left": lambda content: b"",
    "a few bytes left": lambda content: content[:10],
    "half left": lambda content: content[: len(content) // 2],
    "the last byte gone": lambda content: content[:-1],
    "other bytes": lambda content: b"\x00" * len(content),
}


def cut(path: Path, how: str) -> None:
    path.write_bytes(CUTS[how](path.read_bytes()))


def block_of(init: str) -> Path:
    tags = "SELECT value FROM tags WHERE key = 'basinet.condition' AND run_uuid = ?"
    run = basinet.load_runs("basinet").set_index("init")["run_id"][init]
    with closing(sqlite3.connect("mlflow.db")) as connection:
        ((key,),) = connection.execute(tags, (run,)).fetchall()
    (path,) = (Path(".basinet/blocks") / key).glob("*.parquet")
    return path


def artifact_of(init: str, name: str) -> Path:
    run = basinet.load_runs("basinet").set_index("init")["run_id"][init]
    (path,) = Path("mlartifacts").glob(f"*/{run}/artifacts/{name}")
    return path


def statuses(kind: str) -> list[str]:
    """How the runs of a kind have ended, oldest first."""
    query = "SELECT status FROM runs JOIN tags USING (run_uuid) WHERE key = 'basinet.kind' AND value = ?"
    with closing(sqlite3.connect("mlflow.db")) as connection:
        return [status for (status,) in connection.execute(f"{query} ORDER BY start_time", (kind,))]


def numbers(name: str = "basinet") -> pd.DataFrame:
    """What was found, in an order of its own, without what is new in every run."""
    frame = basinet.load_restarts(name, columns=["init", "restart", "loss", "loss_initial", "gradient_norm", "steps"])
    return frame.sort_values(["init", "restart"], ignore_index=True)


@pytest.mark.parametrize("how", CUTS)
def test_a_block_that_is_cut_off_is_made_again_and_that_is_said_in_one_line(
    how: str, swept_again: Again, computed: list[range]
) -> None:
    before = numbers()
    path = block_of("uniform")
    cut(path, how)
    answer = swept_again("restarts=40")
    assert answer.code == 0
    assert computed == [range(30, 40), range(40)]
    assert answer.err.count(f"{path.absolute()} is damaged and made again") == 1
    assert not [line for line in answer.err.splitlines() if "Traceback" in line]
    after = numbers()
    kept = after[after["restart"] < 30].reset_index(drop=True)
    pd.testing.assert_frame_equal(kept, before, check_exact=True)


@pytest.mark.slow
def test_a_block_in_whose_data_the_disk_has_changed_a_bit_is_not_believed(swept_again: Again, swept: Path) -> None:
    before = numbers()
    path = block_of("uniform")
    content = bytearray(path.read_bytes())
    first = pq.read_metadata(path).row_group(0).column(0)
    content[first.data_page_offset + first.total_compressed_size - 3] ^= 1
    path.write_bytes(bytes(content))
    answer = swept_again("restarts=40")
    assert answer.code == 1
    (line,) = {line for line in answer.err.splitlines() if line.startswith("ConfigError")}
    assert str(path.absolute()) in line
    assert "delete it" in line
    assert statuses("condition")[-1] == "FAILED"
    path.unlink()
    assert swept_again("restarts=40").code == 0
    after = numbers()
    pd.testing.assert_frame_equal(after[after["restart"] < 30].reset_index(drop=True), before, check_exact=True)


def test_a_block_of_another_format_is_made_again(swept_again: Again, computed: list[range]) -> None:
    path = block_of("uniform")
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"basinet_block": b"99"}), path)
    assert swept_again("restarts=40").code == 0
    assert computed == [range(30, 40), range(40)]


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("name", LOADERS)
def test_a_table_that_is_cut_off_is_named(name: str, how: str, swept: Path) -> None:
    path = artifact_of("uniform", name)
    cut(path, how)
    with pytest.raises(ConfigError) as error:
        LOADERS[name]("basinet")
    assert str(error.value).startswith(f"{path.absolute()}: cannot be read (")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("name", [*(pytest.param(name, marks=[pytest.mark.slow]) for name in LOADERS), "config.yaml"])
def test_damaged_results_are_made_again_by_the_same_command_from_blocks(
    name: str, swept_again: Again, computed: list[range]
) -> None:
    before = {key: loader("basinet") for key, loader in LOADERS.items()}
    path = artifact_of("uniform", name)
    path.write_bytes(b"\x00")
    answer = swept_again()
    assert answer.code == 0
    assert computed == []
    assert answer.err.count("(finished before)") == 1
    for key, loader in LOADERS.items():
        after = loader("basinet")
        same = [column for column in after.columns if column not in ("run_id", "sweep_minimum")]
        pd.testing.assert_frame_equal(after[same], before[key][same], check_exact=True)


def told(main: Callable[[], None], line: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The one line with which another console script refuses something."""
    monkeypatch.setattr(sys, "argv", shlex.split(line))
    with pytest.raises(SystemExit) as end:
        main()
    message = str(end.value.code)
    assert message.startswith(f"{line.partition(' ')[0]}: ")
    assert len(message.splitlines()) == 1
    return message


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda text: text.replace("std: 1.0", "std: 2.0"), "has been changed since the run was made: init.std is 2.0"),
        (lambda text: text.replace("seed: 0", "seed: 4", 1), "has been changed since the run was made: "),
        (lambda text: text.replace("name: normal", "name: orthogonal"), "init is orthogonal, and was normal"),
        (lambda text: text.replace("activation: ", "activatoin: "), "network.activation is None, and was tanh"),
        (lambda text: text + "more: 1\n", "more is 1, and was None"),
        (lambda text: text.replace("descent:", "descent: adam\nother:"), "has been changed since the run was made: "),
        (lambda text: text + "[", "cannot be read (while parsing"),
        (lambda text: text.replace("\n", "\n\t"), "cannot be read (while scanning"),
        (lambda text: "- 1\n- 2\n", "is not the configuration of a condition"),
        (lambda text: "", "is not the configuration of a condition"),
        (lambda text: "!!python/object/apply:os.system ['touch hacked']\n", "cannot be read (could not determine"),
        (lambda text: text.encode("utf-16").decode("latin-1"), "cannot be read ("),
    ],
)
def test_a_configuration_that_was_edited_by_hand_is_not_replayed(
    edit: Callable[[str], str], message: str, swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = artifact_of("normal", "config.yaml")
    text = path.read_text(encoding="utf-8")
    path.write_text(edit(text), encoding="utf-8")
    run = basinet.load_runs("basinet").set_index("init")["run_id"]["normal"]
    said = told(replay.main, f"basinet-replay {run} 0", monkeypatch)
    assert str(path.absolute()) in said
    assert message in said
    assert not list(swept.glob("replay-*"))
    assert not (swept / "hacked").exists()


def content(folder: Path) -> dict[str, str]:
    """All files but what SQLite keeps while a database is open, by their hashes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.startswith("mlflow.db")
    }


def _forget(folder: Path) -> None:
    """Let MLflow look at a database as a new process would: it keeps those that it has opened."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
    from mlflow.tracking._tracking_service.utils import _tracking_store_registry

    type(_tracking_store_registry)._get_store_with_resolved_uri.cache_clear()
    for uri in list(SqlAlchemyStore._engine_map):
        if str(folder) in uri:
            SqlAlchemyStore._engine_map.pop(uri).dispose()


def test_a_store_of_a_later_mlflow_is_refused_by_everything_in_one_line_and_left_as_it_is(
    swept_again: Again, swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = basinet.load_runs("basinet")["run_id"][0]
    with closing(sqlite3.connect("mlflow.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        connection.execute("CREATE TABLE of_the_future (x)")
        connection.commit()
    before = content(swept)
    _forget(swept)
    reason = "mlflow.db: cannot be opened (its version ffffffffffff is unknown to MLflow "
    for settings in ("", "dry_run=true"):
        answer = swept_again(settings)
        assert (answer.code, answer.out) == (1, "")
        assert reason in answer.err
        assert len(answer.err.splitlines()) == 1
    assert reason in told(doctor.main, "basinet-doctor", monkeypatch)
    assert reason in told(replay.main, f"basinet-replay {run} 0", monkeypatch)
    assert reason in told(report.main, "basinet-report basinet", monkeypatch)
    with pytest.raises(ConfigError, match="unknown to MLflow"):
        basinet.load_restarts("basinet")
    assert content(swept) == before


def test_a_store_of_an_earlier_mlflow_is_refused_with_the_command_that_upgrades_it(
    swept_again: Again, swept: Path
) -> None:
    with closing(sqlite3.connect("mlflow.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '451aebb31d03'")  # of MLflow 1.0
        connection.commit()
    _forget(swept)
    answer = swept_again()
    assert answer.code == 1
    *before, refused = answer.err.splitlines()
    assert f"'mlflow db upgrade sqlite:///{swept}/mlflow.db'" in refused
    assert not any(line.startswith("basinet:") for line in before)


def test_a_database_of_something_else_is_refused_and_left_as_it_is(command: Again, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "mine.db")) as connection:
        connection.execute("CREATE TABLE mine (x)")
        connection.commit()
    before = (tmp_path / "mine.db").read_bytes()
    answer = command("tracking.uri=sqlite:///mine.db restarts=3")
    assert (answer.code, answer.err) == (
        1,
        "basinet: tracking.uri=sqlite:///mine.db: is a database of something else than MLflow\n",
    )
    assert (tmp_path / "mine.db").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["mine.db"]


def test_tables_of_a_later_version_are_neither_read_nor_replaced(
    swept_again: Again, swept: Path, computed: list[range]
) -> None:
    for init in ("normal", "uniform"):
        path = artifact_of(init, "tables/restarts.parquet")
        table = pq.read_table(path)
        pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"basinet_schema": b"2"}), path)
    with pytest.raises(ConfigError, match=r"restarts\.parquet: has schema 2, this version of basinet reads 1$"):
        basinet.load_restarts("basinet")
    before = content(swept / "mlartifacts")
    answer = swept_again()
    assert answer.code == 1
    lines = [line for line in answer.err.splitlines() if line.startswith("ConfigError: ")]
    assert len(lines) == 2
    assert all("is of a later version of basinet (schema 2, this one has 1)" in line for line in lines)
    assert computed == []
    after = content(swept / "mlartifacts")
    assert before.items() <= after.items()


def _without_the_power_to_write_anywhere() -> None:
    """What root may do and others may not is taken away from a process to come (capabilities DAC_*)."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


def run(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    name, *arguments = shlex.split(line)
    module, function = {"basinet": ("basinet.cli.main", "main"), "basinet-doctor": ("basinet.cli.doctor", "main")}[name]
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"from {module} import {function}; {function}()", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_without_the_power_to_write_anywhere if os.getuid() == 0 else None,
    )


@contextlib.contextmanager
def read_only(*folders: Path) -> Any:
    for folder in folders:
        folder.chmod(0o500)
    try:
        yield
    finally:
        for folder in folders:
            folder.chmod(0o700)


@pytest.mark.skipif(sys.platform != "linux", reason="only there can the power of root be taken away")
@pytest.mark.parametrize(
    "line",
    ["basinet restarts=3", pytest.param("basinet restarts=3 dry_run=true", marks=pytest.mark.slow), "basinet-doctor"],
)
def test_a_folder_that_cannot_be_written_to_is_named(line: str, swept: Path) -> None:
    before = content(swept)
    with read_only(swept):
        answer = run(line, swept)
    assert answer.returncode == 1
    assert len(answer.stderr.splitlines()) == 1
    assert str(swept) in answer.stderr
    assert "written to" in answer.stderr
    assert content(swept) == before


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only there can the power of root be taken away")
@pytest.mark.parametrize("name", ["mlartifacts", ".basinet", ".basinet/blocks"])
def test_a_folder_within_that_cannot_be_written_to_fails_the_condition_and_nothing_is_lost(
    name: str, swept: Path, shell: Callable[[str], Any]
) -> None:
    before = content(swept)
    (experiment,) = (swept / "mlartifacts").iterdir()
    locked = experiment if name == "mlartifacts" else swept / name
    line = "basinet network.depth=1 restarts=7 descent.steps=9 tracking.figures=none polish=none"
    with read_only(locked):
        answer = run(line, swept)
    assert answer.returncode == 1
    assert ("Permission denied" if name == "mlartifacts" else f"{locked} cannot be written to") in answer.stderr
    assert "Traceback" not in answer.stderr
    assert "RUNNING" not in statuses("condition")
    assert before.items() <= content(swept).items()
    assert shell(line).code == 0


def on_a_full_disk(writes: Callable[..., Any], which: str) -> Callable[..., Any]:
    """A function that writes files, and of some only half, and then says that the disk is full."""

    def instead(*arguments: Any, **settings: Any) -> Any:
        for argument in arguments:
            is_open = hasattr(argument, "write")
            place = argument.name if is_open else argument
            if isinstance(place, str | Path) and which in str(place):
                if is_open:
                    argument.write(b"half")
                else:
                    Path(place).write_bytes(b"half")
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return writes(*arguments, **settings)

    return instead


FULL = {
    "a block": (pq, "write_table", "/blocks/"),
    "a table": (pq, "write_table", "minima.parquet"),
    "the parameters": (np, "savez", "parameters.npz"),
    "the configuration": (Path, "write_text", "config.yaml"),
}


@pytest.mark.parametrize(
    "what", ["a block", *(pytest.param(what, marks=pytest.mark.slow) for what in FULL if what != "a block")]
)
def test_on_a_full_disk_the_run_has_failed_nothing_is_half_made_and_the_same_command_completes_it(
    what: str, sweeps: Again, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, computed: list[range]
) -> None:
    owner, name, which = FULL[what]
    line = "-m init=normal,uniform network.depth=1 restarts=20 descent.steps=30 tracking.figures=none"
    with monkeypatch.context() as full:
        full.setattr(owner, name, on_a_full_disk(getattr(owner, name), which))
        answer = sweeps(line)
    assert answer.code == 1
    assert "Traceback" not in answer.err
    assert answer.err.splitlines()[-1] == "OSError: [Errno 28] No space left on device"
    assert statuses("condition") == ["FAILED", "FAILED"]
    assert statuses("sweep") == ["FAILED"]
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in files if "writing-" in str(path)] == []
    assert [path for path in files if path.read_bytes() == b"half"] == []
    assert not list(tmp_path.glob("mlartifacts/*/*/artifacts/*"))
    with pytest.raises(ConfigError, match="no condition of 'basinet' has finished"):
        basinet.load_restarts("basinet")

    there = len(list(tmp_path.glob(".basinet/blocks/*/*.parquet")))
    assert there == (0 if what == "a block" else 2)
    computed.clear()
    assert sweeps(line).code == 0
    assert computed == ([range(20)] * 2 if what == "a block" else [])
    assert len(basinet.load_restarts("basinet")) == 40
    basinet.open("basinet").catalogues()  # can be read
