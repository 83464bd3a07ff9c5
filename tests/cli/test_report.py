"""`basinet-report` from a sweep that was really run to a page, and its answers to what cannot be."""

from __future__ import annotations

import shlex
import subprocess
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import basinet
from basinet.cli.report import main
from basinet.study.defaults import complete, overrides

BIN = Path(sys.executable).parent
HEAVY = {"torch", "mlflow", "pandas", "matplotlib", "scipy", "jinja2", "PIL"}
SWEEP = "-m init=normal,orthogonal network.depth=1,2 restarts=30 descent.steps=200 tracking.figures=none"

Call = Callable[[str], Any]


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """The console script as a function of its command line; its output, or what it ended with."""

    def call(line: str) -> Any:
        monkeypatch.setattr(sys, "argv", ["basinet-report", *shlex.split(line)])
        capsys.readouterr()
        try:
            main()
        except SystemExit as end:
            return end.code
        return capsys.readouterr().out

    return call


@pytest.mark.slow
def test_a_sweep_becomes_a_page_with_figures_and_tables(sweeps: Call, reports: Call, tmp_path: Path) -> None:
    assert sweeps(SWEEP).code == 0
    lines = reports("basinet").splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["report", "report-basinet/report.html"],
        ["figures", "report-basinet/figures"],
        ["tables", "report-basinet/tables"],
    ]
    folder = tmp_path / "report-basinet"
    assert {path.name for path in folder.iterdir()} == {"report.html", "figures", "tables"}
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert "4 conditions (2 network.depth × 2 init) with 120 random restarts in all." in text
    assert f"basinet {SWEEP}" in text


@pytest.mark.slow
def test_the_command_for_one_condition_means_the_same_condition(
    sweeps: Call, command: Call, reports: Call, tmp_path: Path
) -> None:
    line = "problem=sine init=uniform init.bound=2 network.depth=3 network.width=[4,2] descent=adam restarts=5"
    assert sweeps(f"{line} descent.steps=10 tracking.experiment=my_own tracking.figures=none").code == 0
    reports("my_own --output there")
    page = (tmp_path / "there" / "report.html").read_text(encoding="utf-8")
    (again,) = [part.partition("</code>")[0] for part in page.split("<pre><code>") if part.startswith("basinet ")]
    assert again.endswith("tracking.experiment=my_own")
    composed = yaml.safe_load(command(f"--cfg job {shlex.join(shlex.split(again.replace('&#39;', chr(39)))[1:])}").out)
    run_id = basinet.load_runs("my_own")["run_id"].iloc[0]
    (config,) = tmp_path.glob(f"mlartifacts/*/{run_id}/artifacts/config.yaml")
    stored = yaml.safe_load(config.read_text(encoding="utf-8"))
    assert {key: composed[key] for key in stored if key != "threads"} == {
        key: value for key, value in stored.items() if key != "threads"
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"problem": {"name": "chain", "inputs": [1.0, -2.5], "targets": [0.25, 1e-9]}},
        {
            "problem": {
                "name": "table",
                "path": "a b's/\\data,1.csv",
                "targets": ["y", "the z"],
                "inputs": ["1.5", "null"],
            }
        },
        {"network": {"width": [3, 4], "depth": 3, "output": "tanh", "bias": False}, "restarts": "auto"},
        {"init": {"name": "given", "path": "='\\'.npz"}, "dtype": "float32", "polish": "none"},
    ],
)
def test_settings_survive_the_command_line(settings: dict[str, Any], command: Call) -> None:
    whole = complete(settings)
    composed = yaml.safe_load(command(f"--cfg job {shlex.join(overrides(whole))}").out)
    assert {key: composed[key] for key in whole} == whole


@pytest.mark.slow
def test_the_page_is_shown_if_that_is_asked_for(
    sweeps: Call, reports: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sweeps("restarts=5 descent.steps=10 tracking.figures=none")
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    reports("basinet --open")
    assert opened == [f"file://{tmp_path}/report-basinet/report.html"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("basinet", "there is no store at sqlite:///{folder}/mlflow.db"),
        (
            "basinet --tracking-uri nowhere",
            "tracking.uri=nowhere: must start with sqlite:///, postgresql:// or http://",
        ),
        ("basinet --output file", "file: is there and no folder; name another one"),
        ("basinet --output full", "full: holds mine.txt, which is no part of a report; name another folder"),
    ],
)
def test_what_cannot_be_reported_is_one_line(
    line: str, message: str, reports: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("")
    before = sorted(tmp_path.rglob("*"))
    assert reports(line) == f"basinet-report: {message.format(folder=tmp_path)}"
    assert sorted(tmp_path.rglob("*")) == before


def test_an_unknown_name_is_answered_with_the_nearest(sweeps: Call, reports: Call) -> None:
    sweeps("restarts=5 descent.steps=10 tracking.figures=none tracking.experiment=depth")
    assert reports("dept") == "basinet-report: unknown experiment or run 'dept': did you mean 'depth'?"


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; sys.argv = ['basinet-report', '--help']\n"
        "from basinet.cli.report import main\n"
        "try:\n    main()\nfinally:\n    print(*sys.modules, file=sys.stderr)"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "--tracking-uri" in answer.stdout
    assert not HEAVY & set(answer.stderr.split())
