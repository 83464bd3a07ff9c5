"""A verdict is final: longer descents, smaller tolerances and wider radii finish restarts, and take nothing back."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest

from basinet import Study, run
from slowness import slow_but

FINAL = ["minimum", "degenerate", "saddle", "at_infinity", "kink"]
CONDITIONS = 72  # by chance, of which
QUICK = (1, 14, 19)  # are quick, with minima, degenerate bottoms and levels at infinity
FEW = (*QUICK, 0, 2, 7, 11)  # and these take half a minute together
DIGITS = {"name": "digits", "points": 100}

KNOWN: dict[str, dict[str, Any]] = {  # each had verdicts that a longer descent took back
    "digits": {
        "problem": DIGITS,
        "network": {"width": 10, "activation": "tanh"},
        "objective": {"loss": "cross_entropy", "l2_weights": 1e-3},
        "init": "orthogonal",
        "descent": {"name": "adam", "learning_rate": 0.01, "steps": 300},
        "restarts": 8,
    },
    "parity": {
        "problem": "parity",
        "network": {"width": 4, "activation": "relu"},
        "descent": {"name": "adam", "learning_rate": 0.02, "steps": 500},
        "restarts": 128,
    },
    "xor": {
        "problem": "xor",
        "network": {"activation": "tanh", "output": "identity"},
        "descent": {"learning_rate": 0.1, "steps": 1000},
        "restarts": 256,
    },
    "teacher": {
        "problem": "teacher",
        "network": {"width": 3, "activation": "softplus"},
        "descent": {"learning_rate": 0.05, "steps": 1000},
        "restarts": 128,
    },
    "sine": {
        "problem": "sine",
        "network": {"depth": 3, "width": 3, "activation": "tanh"},
        "objective": {"l2_weights": 1e-3},
        "descent": {"name": "adam", "learning_rate": 0.01, "steps": 1000},
        "restarts": 64,
    },
    "line search": {  # which leaps to where rounding hides the slope, and over ridges far out
        "problem": {"name": "parity", "bits": 3},
        "network": {"width": 2, "activation": "logistic"},
        "init": "xavier_normal",
        "descent": {"name": "lbfgs", "steps": 100},
        "restarts": 32,
    },
    "valley": {  # along which the flow bends
        "problem": {"name": "parity", "bits": 3},
        "network": {"depth": 3, "width": 2, "activation": "softplus"},
        "objective": {"l2_weights": 1e-4},
        "init": "lecun_normal",
        "descent": {"name": "adam", "learning_rate": 0.01, "steps": 5000},
        "dtype": "float32",
        "restarts": 32,
    },
    "ridge": {  # a level at infinity that some flows leave in the end
        "problem": {"name": "parity", "bits": 2},
        "network": {"width": 3, "activation": "tanh"},
        "init": "xavier_normal",
        "descent": {"name": "gradient_descent", "learning_rate": 0.3, "steps": 20_000},
        "dtype": "float32",
        "restarts": 32,
    },
}


def condition(number: int) -> dict[str, Any]:
    """A condition of the kind, by chance: problem, network, loss, penalty, init, descent and precision.

    They descend for long enough that more than half of all restarts have a final verdict, which could be taken back.
    """
    rng = np.random.default_rng([20261128, number])
    problems: list[Any] = [
        "xor",
        {"name": "xor", "low": 0.1, "high": 0.9},
        {"name": "parity", "bits": int(rng.integers(2, 4))},
        {"name": "sine", "points": 12, "noise": float(rng.choice([0.0, 0.1]))},
        {"name": "teacher", "features": 2, "width": 3, "points": 24, "noise": float(rng.choice([0.0, 0.2]))},
        {"name": "digits", "points": 20},
    ]
    problem = problems[rng.integers(len(problems) - (rng.random() < 0.8))]
    classes = problem == problems[-1]
    name, rate = [
        ("gradient_descent", rng.choice([0.2, 0.5])),
        ("momentum", rng.choice([0.02, 0.1])),
        ("nesterov", rng.choice([0.02, 0.1])),
        ("adam", rng.choice([0.003, 0.01, 0.03])),
    ][rng.integers(4)]
    penalty = float(rng.choice([0.0, 1e-4, 1e-3, 1e-2]))
    steps = int(rng.choice([10_000, 30_000, 100_000])) // (30 if classes else 1)  # whose steps take 50 times as long
    smooth = ["logistic", "tanh", "softplus", "gelu"]
    return {
        "problem": problem,
        "network": {
            "depth": int(rng.integers(2, 4)),
            "width": int(rng.integers(2, 4)) if classes else int(rng.integers(2, 5)),
            "activation": str(rng.choice([*smooth, *smooth, "relu"])),  # of ReLU networks few restarts are finished
            "bias": bool(rng.random() < 0.8),
        },
        "objective": {
            "loss": "cross_entropy" if classes else "squared",
            "l2_weights": penalty,
            "l2_biases": float(rng.choice([0.0, penalty])),
        },
        "init": str(rng.choice(["normal", "uniform", "xavier_normal", "orthogonal", "kaiming_uniform"])),
        "descent": {"name": str(name), "learning_rate": float(rate), "steps": steps},
        "dtype": str(rng.choice(["float64", "float64", "float32"])),
        "restarts": 32,
    }


def verdicts(config: dict[str, Any], longer: int = 1, **polish: float) -> pd.DataFrame:
    """The restarts of a condition, with a budget and a tolerance that are so many times longer and smaller."""
    config = copy.deepcopy(config)
    config["descent"]["steps"] *= longer
    config["descent"]["tolerance"] = 1e-8 / longer
    config["polish"] = {"name": "newton", **polish}
    return run(Study.from_config(config)).restarts


def taken_back(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """The restarts whose verdict was final and is another one now."""
    both = pd.DataFrame({"first": first["kind"].astype(str), "second": second["kind"].astype(str)})
    both["loss"], both["loss_then"] = first["loss"], second["loss"]
    return both[both["first"].isin(FINAL) & (both["first"] != both["second"])]


def check(config: dict[str, Any], longer: int = 100) -> None:
    short = verdicts(config)
    for long in (verdicts(config, longer=longer), verdicts(config, radius=0.5)):
        changed = taken_back(short, long)
        assert changed.empty, changed.to_string()


@pytest.mark.parametrize("name", slow_but(["xor", "line search"], KNOWN))
def test_a_hundred_times_longer_descent_takes_back_no_verdict_that_it_used_to(name: str) -> None:
    check(KNOWN[name])


@pytest.mark.parametrize("number", slow_but(QUICK, FEW))
def test_a_hundred_times_longer_descent_takes_back_no_verdict(number: int) -> None:
    check(condition(number))


@pytest.mark.parametrize("number", slow_but([1], [1, 25]))  # one leaves a ridge far out, the other grows ever slower
def test_nor_does_one_that_is_thirty_times_longer(number: int) -> None:
    check(condition(number), longer=30)


@pytest.mark.stress
@pytest.mark.parametrize("number", [number for number in range(CONDITIONS) if number not in FEW])
def test_a_hundred_times_longer_descent_takes_back_no_verdict_of_many(number: int) -> None:
    check(condition(number))


@pytest.mark.stress
def test_more_than_half_of_the_restarts_of_these_conditions_have_a_verdict_that_could_be_taken_back() -> None:
    kinds = pd.concat([verdicts(condition(number))["kind"] for number in range(CONDITIONS)])
    assert kinds.isin(FINAL).mean() > 0.5


@pytest.mark.slow
def test_these_conditions_have_final_verdicts_of_several_kinds() -> None:
    kinds = pd.concat([verdicts(config)["kind"] for config in (KNOWN["xor"], condition(9), condition(11))])
    assert {"minimum", "degenerate", "at_infinity", "kink", "unfinished"} <= set(kinds)


def test_what_long_steps_have_thrown_away_is_no_minimum() -> None:
    """All minima of a linear network are global (Kawaguchi, 2016): no more than what the zero function loses."""
    study = Study.from_config(
        {
            "problem": "sine",
            "network": {"activation": "identity", "depth": 3},
            "descent": {"learning_rate": 3.0, "steps": 3},
            "restarts": 20,
        }
    )
    most = float((study.problem.targets**2).mean()) / 2
    restarts = run(study).restarts
    assert (restarts.loc[restarts["kind"].isin(FINAL), "loss"] <= most).all()
