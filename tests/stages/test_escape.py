"""Runs against a loop written out for one run, with a function that counts how often it is asked."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from basinet.pipeline.solve import go_on, solve
from basinet.pipeline.survey import Survey, survey
from basinet.protocols import Stepwise
from basinet.stages.escape import landings
from basinet.study.study import Study

RASTRIGIN = {"name": "test_function", "function": "rastrigin"}
BUDGET = 400
METHODS = ("restart", "basin_hopping", "annealing", "langevin", "tunnelling", "stun", "trust")
QUICK: dict[str, dict[str, Any]] = {  # walks that a budget of 400 has room for
    "annealing": {"trials": 5, "temperatures": 4, "moves": 10},
    "langevin": {"steps": 50},
    "tunnelling": {"steps": 60},
    "stun": {"moves": 40},
    "trust": {"steps": 60},
}


def study(escape: str = "basin_hopping", **settings: Any) -> Study:
    """Rastrigin's function in the plane, with descents that mostly arrive, and some that run out of steps."""
    descent = {"learning_rate": 5e-5, "steps": 95, "tolerance": 1.0, "records": 1}
    own = {"name": escape, "budget": BUDGET, **QUICK.get(escape, {}), **settings}
    common = {"objective": RASTRIGIN, "init": "uniform", "engine": "torch", "restarts": 7, "polish": "none"}
    return Study.from_config({**common, "descent": descent, "escape": own})


class Counted:
    """Rastrigin's function on the box moved by 1.12, in plain Python, and how often its gradient was asked for."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, theta: np.ndarray[Any, Any]) -> tuple[float, np.ndarray[Any, Any]]:
        self.asked += 1
        x = 1.12 + 5.12 * theta
        value = sum(one**2 + 10 * (1 - math.cos(2 * math.pi * one)) for one in x)
        slope = [5.12 * (2 * one + 20 * math.pi * math.sin(2 * math.pi * one)) for one in x]
        return value, np.array(slope)


def descended(f: Counted, theta: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], float]:
    """Gradient descent that stops where the gradient is 1 at most, which is asked every 10 steps and at the end."""
    for step in range(96):
        value, slope = f(theta)
        if step == 95 or (step % 10 == 0 and np.linalg.norm(slope) <= 1.0):
            return theta, value
        theta = theta - 5e-5 * slope
    raise AssertionError


def words(restart: int, number: int, purpose: int, size: int) -> np.ndarray[Any, Any]:
    """Uniform numbers at an address, from numpy's own generator."""
    counter = (number << 128) + (restart << 192)
    bits = np.random.Philox(key=purpose << 64, counter=counter).random_raw(4)[:size]
    return ((bits >> np.uint64(12)) + 0.5) * 2.0**-52


def hopped(restart: int, start: np.ndarray[Any, Any], temperature: float) -> list[tuple[Any, ...]]:
    """Basin hopping of one run, as published: `round gradients loss accepted best` of every visit."""
    f, width = Counted(), 0.2
    theta, loss = descended(f, start)
    best, visits, number = loss, [(0, f.asked, loss, True, loss)], 1
    while f.asked < BUDGET:
        moved = theta + width * (2 * words(restart, number, 7, 2) - 1)
        new, height = descended(f, moved)
        chance = float(words(restart, number, 8, 1)[0])
        accepted = height <= loss or chance < math.exp(-(height - loss) / temperature)
        width = width / 0.9 if accepted else width * 0.9
        theta, loss = (new, height) if accepted else (theta, loss)
        best = min(best, height)
        visits.append((number, f.asked, height, accepted, best))
        number += 1
    return visits


def test_runs_are_those_of_a_loop_written_out_and_every_gradient_is_counted() -> None:
    made = study(step_size=0.2, moves="uniform", temperature=3.0)
    block = solve(made, range(7))
    starts = made.starts(range(7)).numpy()
    visits, life = block.visits, block.life
    assert visits is not None
    assert life is not None
    for restart in range(7):
        mine = visits.restart == restart
        columns = [visits.round, visits.gradients, visits.loss, visits.accepted, visits.best]
        table = list(zip(*(column[mine].tolist() for column in columns), strict=True))
        expected = hopped(restart, starts[restart], 3.0)
        assert [row[:2] + row[3:4] for row in table] == [row[:2] + row[3:4] for row in expected]
        # Sums in another order: 1e-12 of numbers of some tens, carried on by descents that contract.
        assert np.array([row[2] for row in table]) == pytest.approx(np.array([row[2] for row in expected]), abs=1e-9)
        assert np.array([row[4] for row in table]) == pytest.approx(np.array([row[4] for row in expected]), abs=1e-9)
        assert float(life.spent[restart]) == expected[-1][1]
        assert int(life.rounds[restart]) == len(expected)


@pytest.mark.parametrize("escape", METHODS)
def test_a_run_alone_gets_the_bits_that_it_gets_among_others(escape: str) -> None:
    made = study(escape)
    together = solve(made, range(7))
    assert together.visits is not None
    for restart in (0, 3, 6):
        alone = solve(made, range(restart, restart + 1)).visits
        assert alone is not None
        mine = together.visits.restart == restart
        for name in ("round", "gradients", "loss", "accepted", "best"):
            assert torch.equal(getattr(alone, name), getattr(together.visits, name)[mine])


@pytest.mark.parametrize("escape", METHODS)
def test_no_run_begins_a_round_with_its_budget_spent_or_overruns_it_by_more_than_a_descent(escape: str) -> None:
    block = solve(study(escape), range(7))
    assert block.life is not None
    assert block.visits is not None
    assert bool((block.life.spent >= BUDGET).all())
    assert bool((block.life.spent < BUDGET + 96 + 1e-9).all())
    last = torch.cat([block.visits.restart[1:] != block.visits.restart[:-1], torch.tensor([True])])
    assert bool((block.visits.gradients[~last] < BUDGET).all())


@pytest.mark.parametrize("escape", METHODS)
def test_runs_whose_budget_is_raised_are_those_that_always_had_it(escape: str) -> None:
    short, long = solve(study(escape, budget=150), range(7)), study(escape)
    extended, whole = go_on(long, short), solve(long, range(7))
    for name in ("restart", "round", "gradients", "loss", "accepted", "best"):
        assert torch.equal(getattr(extended.visits, name), getattr(whole.visits, name))
    assert extended.life is not None
    assert whole.life is not None
    assert torch.equal(extended.life.spent, whole.life.spent)
    assert torch.equal(extended.life.standing.runs.theta, whole.life.standing.runs.theta)


def test_a_minimum_is_represented_by_who_was_first_there_whether_its_budget_was_raised_or_not() -> None:
    """Runs of lower number come later to bottoms that others had seen before the budget was raised."""
    short, long = (
        Study.from_config(
            {
                "objective": RASTRIGIN,
                "init": "uniform",
                "engine": "torch",
                "restarts": 20,
                "descent": {"name": "lbfgs", "steps": 100, "tolerance": 1e-4},
                "escape": {"name": "basin_hopping", "budget": budget, "step_size": 0.3},
            }
        )
        for budget in (60, 300)
    )
    raised, whole = (survey(long, [block]) for block in (go_on(long, solve(short, range(20))), solve(long, range(20))))
    assert len(whole.found.count) > 20
    assert represented(raised) == represented(whole)  # minima of one height are in an order that rounding decides


def represented(found: Survey) -> dict[tuple[int, int], list[float]]:
    """Where each minimum is, by the run and round that represent it."""
    one = found.representatives
    return dict(
        zip(zip(one.restart.tolist(), one.round.tolist(), strict=True), one.polished.theta.tolist(), strict=True)
    )


def test_a_run_ends_when_it_has_reached_its_target() -> None:
    without, target = solve(study(), range(7)).visits, 5.0
    block = solve(study(target=target), range(7))
    visits = block.visits
    assert without is not None
    assert visits is not None
    for restart in range(7):
        losses = without.loss[without.restart == restart].tolist()
        until = next((i + 1 for i, loss in enumerate(losses) if loss <= target), len(losses))
        assert visits.loss[visits.restart == restart].tolist() == losses[:until]
    assert len(visits.loss) < len(without.loss)


def test_of_later_runs_only_the_visits_are_kept_that_were_the_best_so_far() -> None:
    whole, few = solve(study(), range(7)).visits, solve(study(visits=3), range(7)).visits
    assert whole is not None
    assert few is not None
    expected: list[tuple[int, int]] = []
    lowest: dict[int, float] = {}
    columns = (whole.restart.tolist(), whole.round.tolist(), whole.loss.tolist())
    for restart, number, loss in zip(*columns, strict=True):
        if restart < 3 or loss < lowest.get(restart, math.inf):
            expected.append((restart, number))
        lowest[restart] = min(loss, lowest.get(restart, math.inf))
    assert list(zip(few.restart.tolist(), few.round.tolist(), strict=True)) == expected


def test_a_descent_that_diverges_costs_what_it_costs_and_its_run_goes_on() -> None:
    made = study()
    wild = replace(made, descent=replace(made.descent, budget=replace(made.descent.budget, learning_rate=1e200)))  # type: ignore[type-var]
    block = solve(wild, range(3))
    assert block.life is not None
    assert block.visits is not None
    assert block.visits.round.tolist() == [0, 0, 0]  # nothing but the starts' own descents, which came to no bottom
    assert torch.isinf(block.visits.loss).all()
    assert bool((block.life.rounds > 5).all())
    assert bool((block.life.spent >= BUDGET).all())


def test_landings_are_where_the_stopping_test_is_and_end_at_the_budget() -> None:
    assert landings(0, 50) == [0]
    assert landings(95, 7) == [0, 10, 20, 40, 80, 95]
    assert isinstance(study().descent, Stepwise)


@pytest.mark.parametrize("descent", ["lbfgs", "adam", pytest.param("gradient_flow", marks=pytest.mark.slow)])
def test_rounds_descend_as_restarts_do_at_whatever_pace(descent: str) -> None:
    own = {"name": "basin_hopping", "budget": {"gradient_flow": 15_000}.get(descent, 300)}
    made = Study.from_config(
        {
            "objective": {"l2_weights": 1e-2, "l2_biases": 1e-2},
            "engine": "torch",
            "polish": "none",
            "descent": {"name": descent, **({"steps": 60} if descent == "adam" else {})},
            "escape": own,
        }
    )
    together, alone = solve(made, range(4)), solve(made, range(2, 3))
    assert together.life is not None
    assert together.visits is not None
    assert alone.visits is not None
    assert bool((together.life.rounds > 1).all())
    mine = together.visits.restart == 2
    for name in ("round", "gradients", "loss", "accepted"):
        assert torch.equal(getattr(alone.visits, name), getattr(together.visits, name)[mine])
