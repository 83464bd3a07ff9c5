"""Whether what is advised is what `docs/unfinished.md` says, for every way of ending without a minimum."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from basinet.analysis.advice import advice
from basinet.analysis.spread import spread

USUAL: dict[str, Any] = {
    "init": "normal",
    "network.activation": "tanh",
    "network.bias": True,
    "descent": "gradient_descent",
    "descent.learning_rate": 1.0,
    "descent.steps": 10_000,
    "polish": "newton",
    "polish.steps": 150,
    "polish.radius": 0.1,
    "objective.l2_weights": 0.0,
    "objective.l2_biases": 0.0,
    "parameters": 650,
}
PENALISED = {"objective.l2_weights": 1e-3, "objective.l2_biases": 1e-3}


def ended(kinds: list[str], because: str | None = None, **settings: Any) -> pd.DataFrame:
    status = ["diverged" if kind == "diverged" else "arrived" for kind in kinds]
    loss = [float("nan") if kind == "diverged" else 1.0 for kind in kinds]
    frame = pd.DataFrame({"init": "a", "loss": loss, "status": status, "kind": kinds, "minimum": -1, **settings})
    return frame.assign(unfinished_because=[because if kind == "unfinished" else None for kind in kinds])


@pytest.mark.parametrize(
    ("because", "settings", "advised"),
    [
        ("far", {}, "objective.l2_weights=0.001 objective.l2_biases=0.001"),
        ("far", {"objective.l2_weights": 0.01}, "nearer with objective.l2_biases=0.001"),
        ("far", PENALISED, "descent=lbfgs, or polish.radius=1"),
        ("far", {**PENALISED, "descent": "adam"}, "descent.steps=100000, or polish.radius=1"),
        ("far", {"descent": "sgd"}, "descent=adam"),
        ("wanders", {"descent": "adam"}, "adam never rests where it is flat: descent=gradient_descent"),
        ("early", PENALISED, "descent.steps=100000"),
        ("early", {"network.activation": "relu"}, "descent.learning_rate=0.1 with descent.steps=100000"),
        ("stalled", {}, "polish.steps=1500, or descent.steps=100000"),
        ("stalled", {"network.activation": "relu"}, "network.activation=softplus"),
        ("unpolished", {}, "polish.dense_max=650"),
        ("unpolished", {"polish": "none"}, "polish=newton"),
    ],
)
def test_what_is_advised_about_unfinished_restarts_follows_from_why_they_are(
    because: str, settings: dict[str, Any], advised: str
) -> None:
    frame = ended(["minimum", "unfinished", "unfinished", "unfinished"], because)
    (line,) = advice(spread(frame, ["init"]), ["init"], [{**USUAL, **settings}])
    assert line.startswith("unfinished 75 %: ")
    assert advised in line
    assert not line.endswith(".")


@pytest.mark.parametrize(
    ("kind", "settings", "expected"),
    [
        ("diverged", {}, "diverged 50 %: the steps are too long: descent.learning_rate=0.1"),
        ("saddle", {"init": "constant"}, "saddle 50 %: units that start equal stay equal, on a ridge: init=normal"),
        (
            "at_infinity",
            {"network.bias": False},
            "at infinity 50 %: the loss falls for ever; penalties make minima: objective.l2_weights=0.001",
        ),
    ],
)
def test_every_other_end_without_a_minimum_has_a_line_of_its_own(
    kind: str, settings: dict[str, Any], expected: str
) -> None:
    table = spread(ended(["minimum", kind]), ["init"])
    assert advice(table, ["init"], [{**USUAL, **settings}]) == [expected]


def test_nothing_is_advised_where_every_restart_ended_at_a_bottom() -> None:
    assert advice(spread(ended(["minimum", "degenerate", "kink"]), ["init"]), ["init"], [USUAL]) == []


def test_of_several_conditions_the_reason_of_most_restarts_counts_and_the_worst_is_named() -> None:
    many, few = ended(["unfinished"] * 4, "far"), ended(["minimum", "minimum", "minimum", "unfinished"], "stalled")
    table = spread(pd.concat([many, few.assign(init="b")]), ["init"])
    settings = [{**USUAL, **PENALISED, "descent.steps": steps} for steps in (100, 200)]
    (line,) = advice(table, ["init"], settings)
    assert line.startswith("unfinished 62.5 %, most in init=a (100 %): their bottom is beyond polish.radius")


def test_tables_that_do_not_say_why_get_the_advice_that_is_right_most_often() -> None:
    table = spread(ended(["unfinished"]).drop(columns="unfinished_because"), ["init"])
    (line,) = advice(table, ["init"], [USUAL])
    assert "descent.steps=100000" in line
