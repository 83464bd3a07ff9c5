"""Nothing that is stored can run code when it is read, servers are for this machine alone, and names are not paths."""

from __future__ import annotations

import ast
import pickletools
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import yaml

import basinet

SOURCE = Path(basinet.__file__).parent
ROOT = SOURCE.parents[1]
FILES = sorted([*SOURCE.rglob("*.py"), *(ROOT / "experiments").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")])

MODULES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "shelve", "marshal", "joblib", "copyreg", "skops"}
CALLS = {
    ("torch", "load"),
    ("torch", "save"),
    ("yaml", "load"),
    ("yaml", "full_load"),
    ("yaml", "unsafe_load"),
    ("yaml", "dump"),  # of anything at all; safe_dump only of plain values
    ("pd", "read_pickle"),
    ("pandas", "read_pickle"),
    ("os", "system"),
    ("os", "popen"),
}
METHODS = {"to_pickle", "read_pickle"}
NAMES = {"eval", "exec", "compile", "__import__"}


def offences(source: str) -> list[str]:
    """Every place at which the source could run what it reads, as "line: what"."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"{node.lineno}: import {name}" for name in modules if name.split(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute):
            owner = node.func.value.id if isinstance(node.func.value, ast.Name) else ""
            if (owner, node.func.attr) in CALLS or node.func.attr in METHODS:
                found.append(f"{node.lineno}: {owner}.{node.func.attr}")
        if isinstance(node.func, ast.Name) and node.func.id in NAMES:
            found.append(f"{node.lineno}: {node.func.id}")
        for keyword in node.keywords:
            constant = isinstance(keyword.value, ast.Constant) and keyword.value.value is False
            if keyword.arg == "allow_pickle" and not constant:
                found.append(f"{node.lineno}: allow_pickle")
            if keyword.arg == "shell" and not constant:
                found.append(f"{node.lineno}: shell")
        loads = (
            isinstance(node.func, ast.Attribute) and node.func.attr == "load" and ast.unparse(node.func.value) == "np"
        )
        if loads and "allow_pickle" not in {keyword.arg for keyword in node.keywords}:
            found.append(f"{node.lineno}: np.load without allow_pickle=False")
    return found


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_the_sources_run_nothing_that_they_read(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "torch.load(path)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "np.savez(path, allow_pickle=maybe, x=1)",
        "yaml.load(text, Loader)",
        "frame.to_pickle(path)",
        "subprocess.run(line, shell=True)",
        "eval(text)",
    ],
)
def test_what_would_be_an_offence_is_noticed(source: str) -> None:
    assert len(offences(source)) >= 1


def is_pickle(content: bytes) -> bool:
    """Whether these bytes are a pickle from the first to the last."""
    if content[:1] != b"\x80":
        return False
    try:
        last = None
        for opcode, _, _ in pickletools.genops(content):
            last = opcode.name
    except (ValueError, IndexError):
        return False
    return last == "STOP"


def members(path: Path) -> Iterator[tuple[str, bytes]]:
    """The content of a file, and of all in it if it is an archive."""
    content = path.read_bytes()
    yield str(path), content
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                yield f"{path}/{name}", archive.read(name)


def test_a_pickle_would_be_found(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", bad=np.array([{"a": 1}], dtype=object))
    pd.DataFrame({"a": [1]}).to_pickle(tmp_path / "x.bin")
    found = [name for path in tmp_path.iterdir() for name, content in members(path) if holds_pickle(content)]
    assert len(found) == 2


def holds_pickle(content: bytes) -> bool:
    """Whether these bytes are a pickle, or an array of objects, which numpy pickles."""
    if content.startswith(b"\x93NUMPY"):
        return b"'descr': '|O'" in content[:128]
    return is_pickle(content)


def test_no_file_of_a_store_holds_a_pickle_and_all_are_of_a_known_kind(swept: Path) -> None:
    kinds = {".parquet", ".csv", ".npz", ".yaml", ".png", ".html", ".svg", ".log", ".db", ".lock", ".json"}
    files = [path for path in swept.rglob("*") if path.is_file()]
    others = [path for path in files if not path.name.startswith("mlflow.db") and path.name != ".gitignore"]
    assert {path.suffix for path in others} <= kinds
    assert [name for path in files for name, content in members(path) if holds_pickle(content)] == []
    for path in files:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                assert {arrays[name].dtype.kind for name in arrays} == {"f"}
        if path.suffix == ".parquet":
            assert pq.read_schema(path).names
        if path.suffix == ".yaml" and ".hydra" not in path.parts:
            yaml.safe_load(path.read_text(encoding="utf-8"))


def test_what_is_replayed_is_kept_without_a_pickle_too(swept: Path) -> None:
    run = basinet.load_runs("basinet")["run_id"][0]
    written = basinet.replay(run, 0).save(swept / "replay")
    assert [name for path in written for name, content in members(path) if holds_pickle(content)] == []


def test_addresses_in_the_sources_are_of_this_machine() -> None:
    """All that is ever bound or served, and all that is told to others to be."""
    for path in [*FILES, *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "Makefile"]:
        text = path.read_text(encoding="utf-8")
        assert "0.0.0.0" not in text, path
        assert "--host 0" not in text, path
        assert "'::'" not in text, path
        for line in text.splitlines():
            if ".bind((" in line and path.suffix == ".py":
                assert "_HOST" in line or "127.0.0.1" in line, f"{path}: {line}"


STRANGE = [
    "../../above",
    "/tmp/absolute",
    "a/b",
    "..",
    "con",
    "x" * 250,
    "ü ☃ 'quoted' \"twice\" $(touch ran) ;`x`",
    "-m",
    "%2e%2e",
]
strange = pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name, id=str(number), marks=[] if name[:2] in ("..", "ü ") and len(name) > 2 else [pytest.mark.slow]
        )
        for number, name in enumerate(STRANGE)
    ],
)


@strange
def test_an_experiment_of_any_name_writes_only_into_its_store_and_makes_no_file_of_that_name(
    name: str, sweeps: Callable[[str], Any], tmp_path: Path
) -> None:
    inner = tmp_path / "in" / "ner"
    inner.mkdir(parents=True)
    shutil.move(tmp_path / "mlflow.db", inner / "mlflow.db")
    quoted = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
    setting = "'tracking.experiment=" + quoted.replace("'", "'\"'\"'") + "'"
    store = f"tracking.uri=sqlite:///{inner}/mlflow.db hydra.run.dir=in/ner/outputs/0"
    answer = sweeps(f"{setting} {store} restarts=3 descent.steps=5 network.depth=1")
    assert answer.code == 0, answer.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["ner"]
    made = {path.name for path in inner.rglob("*")}
    assert {path.name for path in inner.iterdir()} - {"mlflow.db-wal", "mlflow.db-shm"} == {
        "mlflow.db",
        "mlflow.db.lock",
        "mlartifacts",
        ".basinet",
        "outputs",
    }
    assert name not in made
    assert all(path.isascii() and len(path) < 64 for path in made)
    assert len(basinet.load_restarts(name, tracking_uri=f"sqlite:///{inner}/mlflow.db")) == 3


@pytest.mark.slow
def test_values_of_settings_are_in_no_file_name(sweeps: Callable[[str], Any], tmp_path: Path) -> None:
    folder = tmp_path / "da;ta"
    folder.mkdir()
    names = ["..%2f;rm -rf.csv", "sp ace.csv"]
    for last, name in enumerate(names):
        (folder / name).write_text(f"left/right,out\n1,2\n2,{last}\n")
    given = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")}
    paths = ",".join(f"'\\''da;ta/{name}'\\''" for name in names)
    answer = sweeps(
        f"-m problem=table problem.targets=[out] 'problem.path={paths}' restarts=3 descent.steps=5 polish=none"
    )
    assert answer.code == 0, answer.err
    new = {path.relative_to(tmp_path) for path in tmp_path.rglob("*")} - given
    assert {path.parts[0] for path in new} - {"mlflow.db-wal", "mlflow.db-shm"} == {
        "mlflow.db.lock",
        "mlartifacts",
        ".basinet",
        "outputs",
    }
    for path in new:
        assert not any(part in path.name for part in ("rm -rf", "sp ace", "left", "da;ta")), path


@pytest.mark.slow
@strange
def test_a_report_on_an_experiment_of_any_name_lies_in_the_working_directory(
    name: str, swept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{swept}/mlflow.db")
    client.rename_experiment(client.get_experiment_by_name("basinet").experiment_id, name)
    inner = swept / "in" / "ner"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    before = {path for path in swept.rglob("*") if inner not in path.parents}
    basinet.report(name, tracking_uri=f"sqlite:///{swept}/mlflow.db")
    after = {path for path in swept.rglob("*") if inner not in path.parents}
    assert {path.name for path in after - before} <= {"mlflow.db-wal", "mlflow.db-shm", "mlflow.db.lock"}
    (made,) = inner.iterdir()
    assert made.name.startswith("report-")


def test_tables_of_the_user_are_read_without_pickles(tmp_path: Path, command: Callable[[str], Any]) -> None:
    np.savez(tmp_path / "starts.npz", starts=np.array([{"a": 1}], dtype=object))
    answer = command("init=given init.path=starts.npz restarts=1")
    assert answer.code == 1
    assert "starts.npz" in answer.err
