"""`basinet-prove` from a sweep that was really run to a file that holds, and its answers to what cannot be."""

from __future__ import annotations

import importlib.util
import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("flint")

import basinet
from basinet.foundation.errors import ConfigError
from basinet.tracking.record import write_parquet
from known_critical_points import MINIMA, SADDLES

SMALL = (
    "network.width=1 network.activation=logistic objective.l2_weights=1e-3 objective.l2_biases=1e-3 init.std=8 "
    "descent=nesterov descent.learning_rate=0.5 descent.steps=3000 tracking.figures=none"
)
BIN = Path(sys.executable).parent

Shell = Callable[[str], Any]


@pytest.fixture(scope="module")
def trained_once(tmp_path_factory: pytest.TempPathFactory, furnish: Callable[[Path], Path]) -> Path:
    """A folder in which XOR 2-1-1 was trained, and is proved."""
    folder = furnish(tmp_path_factory.mktemp("trained"))
    for line in (f"basinet init=normal restarts=100 {SMALL}", "basinet-prove basinet"):
        program, *arguments = shlex.split(line)
        answer = subprocess.run([BIN / program, *arguments], cwd=folder, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
    (folder / "said.txt").write_text(answer.stdout)
    return folder


@pytest.fixture
def trained(trained_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which it is so."""
    import shutil

    shutil.copytree(trained_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def proofs_in(folder: Path) -> Path:
    (path,) = folder.glob("mlartifacts/*/*/artifacts/proofs.json")
    return path


@pytest.mark.slow
def test_every_minimum_is_proved_and_shown_wherever_minima_are(trained: Path, shell: Shell) -> None:
    minima = basinet.load_minima("basinet")
    count = len(minima)
    assert count >= 6
    assert minima["proved"].all()
    assert minima["radius"].between(1e-12, 1e-6).all()
    sentence = f"{count} of {count} minima proved; at least {count} distinct minima modulo symmetry exist"
    assert f": {sentence} (" in (trained / "said.txt").read_text().splitlines()[0]
    results = basinet.open("basinet")
    assert f"Proved: {sentence}." in results.found[0].data.tags["mlflow.note.content"]
    assert basinet.load_runs("basinet")["minima/proved"].tolist() == [count]
    assert basinet.load_minima("basinet", columns=["radius", "loss"]).columns.tolist() == ["radius", "loss"]
    answer = shell(f"basinet-prove --check {proofs_in(trained)}")
    assert (answer.code, answer.out.splitlines()[0]) == (0, f"{count} minima and 0 saddles hold")
    shell("basinet-report basinet")
    page = (trained / "report-basinet" / "report.html").read_text(encoding="utf-8")
    assert f"{sentence}." in page


@pytest.mark.slow
def test_proving_again_changes_nothing_and_the_frame_says_what_the_file_says(trained: Path) -> None:
    before = proofs_in(trained).read_bytes()
    frame = basinet.prove("basinet")
    assert proofs_in(trained).read_bytes() == before
    assert list(frame.columns) == ["run_id", "id", "kind", "proved", "index", "radius", "precision", "reason"]
    assert frame["proved"].all()
    assert (frame["index"] == 0).all()
    note = basinet.open("basinet").found[0].data.tags["mlflow.note.content"]
    assert note.count("Proved: ") == 1


@pytest.mark.slow
def test_saddles_that_a_sweep_has_found_are_proved_and_a_minimum_among_them_is_none(
    tmp_path: Path, furnish: Callable[[Path], Path], monkeypatch: pytest.MonkeyPatch, shell: Shell
) -> None:
    """XOR 2-1-1 has eight saddles of index 1; a minimum that is added to their table is no ninth."""
    monkeypatch.chdir(furnish(tmp_path))
    settings = "landscape=saddles landscape.searches=256"
    trained = shell(f"basinet init=normal restarts=100 {SMALL} {settings}")
    assert trained.code == 0, trained.err
    (table,) = tmp_path.glob("mlartifacts/*/*/artifacts/tables/saddles.parquet")
    found = pd.read_parquet(table)
    for known in SADDLES:
        distance = [np.abs(np.array(theta) - other).max() for theta in found["parameters"] for other in images(known)]
        assert min(distance) < 1e-4
    assert len(found) == len(SADDLES)
    assert "; 8 of 8 saddles proved" in shell("basinet-prove basinet --saddles").out
    assert " and 8 saddles hold" in shell(f"basinet-prove --check {proofs_in(tmp_path)}").out

    passed_off = found.iloc[[0]].assign(saddle=8, parameters=[MINIMA[0]])
    write_parquet(pd.concat([found, passed_off], ignore_index=True), table)
    answer = shell("basinet-prove basinet --saddles")
    assert answer.code == 0
    assert "; 8 of 9 saddles proved" in answer.out
    assert "refused   1 saddle (8): it is a minimum, and no saddle: that is proved" in answer.out


def images(theta: list[float]) -> list[np.ndarray[Any, Any]]:
    """A point and its copy under the one symmetry of a logistic unit: σ(-z) = 1 - σ(z)."""
    first, second, bias, weight, offset = theta
    return [np.array(theta), np.array([-first, -second, -bias, -weight, offset + weight])]


@pytest.mark.slow
def test_what_is_wrong_with_proofs_is_said_in_lines_and_by_the_exit_code(trained: Path, shell: Shell) -> None:
    path = proofs_in(trained)
    content = json.loads(path.read_text())
    content["points"][0]["centre"][0] = "0x1.0p-1"
    (trained / "changed.json").write_text(json.dumps(content))
    answer = shell("basinet-prove --check changed.json")
    assert answer.code == 1
    assert answer.out.splitlines()[1:] == ["WRONG     minimum 0: the box is not mapped into itself"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("basinet-prove nothing", "unknown experiment or run 'nothing'"),
        ("basinet-prove basinet --saddles", "no saddles were looked for in it; leave --saddles out"),
        ("basinet-prove basinet --minutes 1e-9", "allow more, or name a run with a smaller network"),
        ("basinet-prove basinet --minutes -1", "--minutes -1: must be more than 0"),
        ("basinet-prove basinet --minutes nan", "--minutes nan: must be more than 0"),
    ],
)
def test_what_cannot_be_proved_is_one_line_and_leaves_what_was_there(
    trained: Path, shell: Shell, line: str, said: str
) -> None:
    before = proofs_in(trained).read_bytes()
    answer = shell(line)
    assert answer.code == 1
    assert answer.err.startswith("basinet-prove: ")
    assert said in answer.err
    assert answer.err.count("\n") == 1
    assert proofs_in(trained).read_bytes() == before


@pytest.mark.slow
def test_an_interrupt_leaves_the_proofs_that_were_there(
    trained: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    from basinet.proofs import theorem

    def interrupted(*_: Any, **__: Any) -> Any:
        raise KeyboardInterrupt

    before = sorted(path for path in trained.rglob("*") if path.is_file())
    monkeypatch.setattr(theorem, "prove", interrupted)
    answer = shell("basinet-prove basinet")
    assert answer.code == 130
    assert answer.err == (
        "basinet-prove: interrupted; proofs are written condition by condition, and nothing is half written\n"
    )
    assert sorted(path for path in trained.rglob("*") if path.is_file() and path.suffix == ".json") == sorted(
        path for path in before if path.suffix == ".json"
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("basinet-prove", "name what is to be proved, or --check a file"),
        ("basinet-prove basinet --check proofs.json", "name what is to be proved, or --check a file"),
        ("basinet-prove --check nowhere.json", "nowhere.json"),
        ("basinet-prove --check empty.json", "empty.json: is no whole file of proofs"),
        ("basinet-prove --check list.json", "list.json: is no whole file of proofs"),
        ("basinet-prove --check cut.json", "cut.json: is no whole file of proofs"),
        ("basinet-prove --check bytes.json", "bytes.json: is no whole file of proofs"),
        ("basinet-prove --check deep.json", "deep.json: is no whole file of proofs"),
    ],
)
def test_what_is_asked_wrongly_and_files_that_are_none_are_one_line(
    shell: Shell, tmp_path: Path, line: str, said: str
) -> None:
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "list.json").write_text("[1, 2]")
    (tmp_path / "cut.json").write_text('{"format": "basinet proofs 1", "problem": {"loss": "squared"}}')
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "deep.json").write_text("[" * 100_000)
    answer = shell(line)
    assert answer.code == 1
    assert answer.err.startswith("basinet-prove: ")
    assert said in answer.err
    assert answer.err.count("\n") == 1


def test_of_data_that_have_changed_since_nothing_is_proved() -> None:
    from basinet.workflows.prove import _check_losses

    settings: dict[str, Any] = {
        "problem": {"name": "xor", "high": 1.0},
        "network": {"width": 1, "activation": "logistic"},
    }
    penalty = {"l2_weights": 1e-3, "l2_biases": 1e-3}
    minima = pd.DataFrame({"loss": [0.125], "parameters": [[0.0] * 5]})  # where all answers are ½
    _check_losses(basinet.Study.from_config({**settings, "objective": penalty}).exact_objective, minima, "1")
    settings["problem"]["high"] = 0.9
    changed = basinet.Study.from_config({**settings, "objective": penalty}).exact_objective
    with pytest.raises(ConfigError, match="run 1: its minima have other losses than when they were found"):
        _check_losses(changed, minima, "1")


@pytest.mark.parametrize("line", ["basinet-prove basinet", "basinet-prove --check proofs.json"])
def test_without_python_flint_it_is_said_what_to_install(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr("basinet.proofs.find_spec", lambda name: None if name == "flint" else find(name))
    answer = shell(line)
    assert answer.code == 1
    assert answer.err == (
        "basinet-prove: proofs need python-flint, which is not installed: pip install 'basinet[proofs]', "
        "or pip install python-flint\n"
    )
