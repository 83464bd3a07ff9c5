"""What is known of runs: restarts cost a descent over the share of the basin, basin hopping is scipy's."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import optimize, stats

from basinet.analysis.running_time import running_time
from basinet.pipeline.run import run
from basinet.study.study import Study

LANDSCAPES: dict[str, dict[str, Any]] = {
    "neuron": {
        "problem": {"name": "neuron", "dimension": 3, "block_inputs": [8.0, 0.5], "block_targets": [0.7, 1.0]},
        "network": {"depth": 1, "bias": False},
        "objective": {"l2_weights": 1e-3},
        "init": {"name": "uniform", "bound": 5},
        "descent": {"learning_rate": 0.5, "steps": 8000, "tolerance": 1e-5},
    },
    "xor": {
        "network": {"activation": "tanh"},
        "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3},
        "descent": {"learning_rate": 0.5, "tolerance": 1e-5},
    },
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LANDSCAPES)
def test_restarts_cost_the_mean_of_a_descent_over_the_share_of_the_best_basin(name: str) -> None:
    escape = {"name": "restart", "budget": 40_000}
    runs = run(Study.from_config({**LANDSCAPES[name], "restarts": 150, "escape": escape}))
    assert runs.visits is not None
    table = running_time(runs.visits.assign(escape="restart"), "escape", confidence=0.99).iloc[0]
    others = run(Study.from_config({**LANDSCAPES[name], "restarts": 3000, "seed": 1})).restarts
    lowest = others.loc[others["kind"] == "minimum", "loss"].min()
    share = ((others["kind"] == "minimum") & (others["loss"] <= lowest + 1e-6)).mean()
    expected = others["gradients"].mean() / share
    assert table["target"] == pytest.approx(lowest, abs=1e-9)
    wide = 3 * math.sqrt((1 - share) / (share * 3000))  # three standard errors of the share, relative
    assert table["ert_low"] * (1 - wide) < expected < table["ert_high"] * (1 + wide)


def rastrigin(theta: np.ndarray[Any, Any]) -> tuple[float, np.ndarray[Any, Any]]:
    x = 1.12 + 5.12 * theta
    value = (x**2 + 10 * (1 - np.cos(2 * np.pi * x))).sum()
    return float(value), 5.12 * (2 * x + 20 * np.pi * np.sin(2 * np.pi * x))


@pytest.mark.slow
def test_basin_hopping_reaches_the_optimum_as_often_as_scipy_s_in_as_many_descents() -> None:
    rounds, runs, step, temperature = 25, 300, 0.25, 2.0
    study = Study.from_config(
        {
            "objective": {"name": "test_function", "function": "rastrigin"},
            "init": "uniform",
            "engine": "torch",
            "restarts": runs,
            "polish": "none",
            "descent": {"learning_rate": 1e-4, "steps": 40, "tolerance": 0, "records": 1},
            "escape": {
                "name": "basin_hopping",
                "budget": 41 * (rounds + 1),
                "moves": "uniform",
                "step_size": step,
                "temperature": temperature,
                "factor": 1,
            },
        }
    )
    visits = run(study).visits
    assert visits is not None
    visits = visits[visits["round"] <= rounds]  # a descent to a point without slope is shorter, and makes room for more
    assert visits.groupby("restart").size().eq(rounds + 1).all()
    mine = (visits.groupby("restart")["loss_descended"].min() < 0.5).mean()

    def descent(f: Any, x: Any, args: Any = (), **unused: Any) -> Any:
        for _ in range(40):
            x = x - 1e-4 * rastrigin(x)[1]
        return optimize.OptimizeResult(x=x, fun=rastrigin(x)[0], success=True)

    generator, theirs = np.random.default_rng(0), 0
    for start in study.starts(range(1000, 1000 + runs)).numpy():
        found = optimize.basinhopping(
            lambda x: rastrigin(x)[0],
            start,
            niter=rounds,
            T=temperature,
            minimizer_kwargs={"method": descent},
            take_step=lambda x: x + generator.uniform(-step, step, x.shape),
            rng=generator,
        )
        theirs += found.fun < 0.5
    error = math.sqrt(2 * mine * (1 - mine) / runs)
    assert 0.1 < mine < 0.9
    assert abs(mine - theirs / runs) < 4 * error


def camel(x: np.ndarray[Any, Any]) -> Any:
    a, b = x
    return (4 - 2.1 * a**2 + a**4 / 3) * a**2 + a * b + (-4 + 4 * b**2) * b**2


def goldstein_price(x: np.ndarray[Any, Any]) -> Any:
    a, b = x
    first = 19 - 14 * a + 3 * a**2 - 14 * b + 6 * a * b + 3 * b**2
    second = 18 - 32 * a + 12 * a**2 + 48 * b - 36 * a * b + 27 * b**2
    return (1 + (a + b + 1) ** 2 * first) * (30 + (2 * a - 3 * b) ** 2 * second)


def shubert(x: np.ndarray[Any, Any]) -> Any:
    j = np.arange(1, 6)[:, None]
    return np.prod([(j * np.cos((j + 1) * coordinate + j)).sum(0) for coordinate in x], axis=0)


# Formula, half-widths of a box around 0, the lowest minimum, as published: Dixon & Szegö (1978).
CLASSICS: dict[str, tuple[Any, list[float], float]] = {
    "camel": (camel, [3.0, 2.0], -1.0316),
    "goldstein_price": (goldstein_price, [2.0, 2.0], 3.0),
    "shubert": (shubert, [10.0, 10.0], -186.7309),
}


def value_and_slopes(function: Any, half: np.ndarray[Any, Any], theta: np.ndarray[Any, Any]) -> tuple[float, Any]:
    """By a complex step, which cancels nothing."""
    moved = function((half * theta)[:, None] + 1e-20j * np.diag(half))
    return float(moved[0].real), moved.imag / 1e-20


@pytest.mark.stress
@pytest.mark.parametrize("name", CLASSICS)
def test_on_classic_functions_the_intervals_of_both_shares_overlap_with_l_bfgs_on_either_side(name: str) -> None:
    rounds, runs, step = 2, 80, 0.4
    (function, box, lowest), temperature = CLASSICS[name], 1.0
    study = Study.from_config(
        {
            "objective": {"name": "test_function", "function": name},
            "init": "uniform",
            "engine": "torch",
            "restarts": runs,
            "polish": "none",
            "descent": {"name": "lbfgs", "steps": 200, "tolerance": 1e-4},
            "escape": {
                "name": "basin_hopping",
                "budget": 200,
                "moves": "uniform",
                "step_size": step,
                "temperature": temperature,
                "factor": 1,
            },
        }
    )
    visits = run(study).visits
    assert visits is not None
    visits = visits[visits["round"] <= rounds]
    assert visits.groupby("restart").size().eq(rounds + 1).all()
    enough = lowest + 1e-3 * (1 + abs(lowest))
    mine = int((visits.groupby("restart")["loss_descended"].min() <= enough).sum())

    generator, theirs, half = np.random.default_rng(0), 0, np.array(box)
    local = {"method": "L-BFGS-B", "jac": True, "options": {"gtol": 1e-4}}
    for start in study.starts(range(runs)).numpy():
        found = optimize.basinhopping(
            lambda theta: value_and_slopes(function, half, theta),
            start,
            niter=rounds,
            T=temperature,
            minimizer_kwargs=local,
            take_step=lambda x: x + generator.uniform(-step, step, x.shape),
            rng=generator,
        )
        theirs += found.fun <= enough
    both = [stats.binomtest(hits, runs).proportion_ci(0.95, "wilson") for hits in (mine, int(theirs))]
    assert 0 < mine < runs
    assert max(one.low for one in both) <= min(one.high for one in both), (mine, theirs)
