"""What a launch and a dry run say about a user's own data."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import basinet

Command = Callable[[str], Any]
TINY = "restarts=4 descent.steps=20 polish=none tracking.figures=none"
TABLE = "problem=table problem.path=data.csv problem.targets=kind problem.holdout=0.25"
PENALTIES = "objective.l2_weights=0.01 objective.l2_biases=0.01"
SAID = [
    f"a table is trained with descent=lbfgs {PENALTIES} unless told otherwise",
    "data.csv: column 1 has no name, is taken for an index and left out",
    "problem.targets=kind: 3 classes (bird, cat, dog), one output each",
    "objective.loss=cross_entropy, which suits targets that name classes",
]


@pytest.fixture(autouse=True)
def animals(tmp_path: Path) -> None:
    rows = [f"{row},{row % 7},{row % 5},{('cat', 'dog', 'bird')[row % 3]}" for row in range(24)]
    (tmp_path / "data.csv").write_text("\n".join([",legs,size,kind", *rows]) + "\n")


def notes(text: str) -> list[str]:
    return re.findall(r"^note:? +(.*)$", text, re.MULTILINE)


def test_what_is_decided_about_a_table_is_said_by_a_dry_run_and_by_a_launch(sweeps: Command) -> None:
    planned, launched = sweeps(f"{TABLE} {TINY} dry_run=true"), sweeps(f"{TABLE} {TINY}")
    for said in (notes(planned.out), notes(launched.err)):
        assert len(said) == len(SAID)
        assert all(line.startswith(expected) for line, expected in zip(said, SAID, strict=True))


@pytest.mark.parametrize(
    ("given", "chosen"),
    [
        ("descent.tolerance=1e-6", f"descent=lbfgs {PENALTIES}"),
        ("objective.loss=squared", "descent=lbfgs"),
        ("descent=adam", PENALTIES),
        ("descent.learning_rate=0.5", PENALTIES),
        ("descent=adam objective.l2_weights=0", None),
    ],
)
def test_what_is_said_of_how_to_train_on_a_table_stays_as_it_is_said(
    given: str, chosen: str | None, command: Command
) -> None:
    said = [line for line in notes(command(f"{TABLE} {given} {TINY} dry_run=true").out) if "told otherwise" in line]
    assert said == ([] if chosen is None else [f"a table is trained with {chosen} unless told otherwise"])


def test_a_loss_that_suits_the_table_is_what_is_stored(sweeps: Command, tmp_path: Path) -> None:
    assert sweeps(f"{TABLE} {TINY}").code == 0
    (path,) = tmp_path.glob("mlartifacts/*/*/artifacts/config.yaml")
    assert yaml.safe_load(path.read_text())["objective"]["loss"] == "cross_entropy"
    again = basinet.open("basinet").study()
    assert again.settings["objective"]["loss"] == "cross_entropy"


@pytest.mark.parametrize("sweep", ["", "-m seed=1,2 hydra/launcher=basic "])
def test_accuracies_stand_in_the_terminal(sweep: str, sweeps: Command) -> None:
    answer = sweeps(f"{sweep}{TABLE} {TINY}")
    assert answer.code == 0, answer.err
    restarts = basinet.load_restarts("basinet")
    heading = next(line for line in answer.out.splitlines() if " accuracy  held out " in line)
    rows = answer.out.splitlines()[answer.out.splitlines().index(heading) + 1 :]
    groups = restarts.groupby("seed")[["accuracy", "accuracy_holdout"]].median()
    for row, (accuracy, held_out) in zip(rows, groups.itertuples(index=False), strict=False):
        assert re.search(rf" {100 * accuracy:.3g} % +{100 * held_out:.3g} % ", row), row
    assert "accuracy: median share" in " ".join(answer.out.split())


def test_nothing_is_said_of_a_problem_that_decides_nothing(sweeps: Command) -> None:
    assert notes(sweeps(f"problem=xor {TINY}").err) == []
