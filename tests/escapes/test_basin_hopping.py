"""Basin hopping's rules against a table made by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from basinet.escapes.basin_hopping import BasinHopping
from basinet.escapes.seam import Allowance, Draws, Landscape, Runs
from basinet.foundation.random_streams import Address, Purpose
from basinet.study.study import Study

ALLOWANCE = Allowance(1000, None, 10)


def hopping(**changes: Any) -> BasinHopping:
    settings = {
        "step_size": 0.5,
        "moves": "normal",
        "temperature": 0.1,
        "interval": 1,
        "acceptance": 0.5,
        "factor": 0.9,
    }
    return BasinHopping(ALLOWANCE, **{**settings, **changes})


def draws(runs: int, rounds: int = 1) -> Draws:
    address = Address(0, np.arange(runs), np.full(runs, rounds))
    return Draws(address, lambda restart, number: torch.zeros(len(restart), 3), torch.zeros(1, dtype=torch.float64))


def runs_at(method: BasinHopping, loss: torch.Tensor, size: int = 3) -> Runs:
    memory = method.remember(len(loss), Landscape(size, 1.0))
    return Runs(torch.zeros(len(loss), size, dtype=torch.float64), loss, loss, memory)


def test_a_round_is_accepted_by_the_rule_of_metropolis() -> None:
    rises = torch.tensor([-1.0, 0.0, 0.05, 0.1, 0.3, 5.0, math.inf], dtype=torch.float64).repeat_interleave(2000)
    method = hopping()
    here = runs_at(method, torch.zeros_like(rises))
    numbers = draws(len(rises))
    judged = method.judge(here, here.theta, rises, numbers)
    chance = numbers.uniform(1, Purpose.CHANCES).squeeze(1)
    by_hand = [u < min(1.0, math.exp(-rise / 0.1)) for u, rise in zip(chance.tolist(), rises.tolist(), strict=True)]
    assert judged.accepted.tolist() == by_hand
    shares = judged.accepted.double().view(7, 2000).mean(1)
    for share, expected in zip(shares.tolist(), [1, 1, math.exp(-0.5), math.exp(-1), math.exp(-3), 0, 0], strict=True):
        assert abs(share - expected) <= 4 * math.sqrt(expected * (1 - expected) / 2000)


def test_at_temperature_zero_nothing_goes_uphill() -> None:
    rises = torch.tensor([-1e-9, 0.0, 1e-300, 1.0], dtype=torch.float64)
    method = hopping(temperature=0.0)
    judged = method.judge(runs_at(method, torch.zeros(4, dtype=torch.float64)), torch.zeros(4, 3), rises, draws(4))
    assert judged.accepted.tolist() == [True, True, False, False]


@pytest.mark.parametrize(("moves", "law"), [("normal", stats.norm(0, 0.5)), ("uniform", stats.uniform(-0.5, 1))])
def test_a_perturbation_has_the_law_that_was_asked_for(moves: str, law: Any) -> None:
    method = hopping(moves=moves)
    begun = method.begin(runs_at(method, torch.zeros(1000, dtype=torch.float64)), draws(1000))
    assert stats.kstest(begun.theta.flatten().numpy(), law.cdf).pvalue > 1e-3


def test_the_step_size_is_adapted_after_every_interval_by_the_share_that_was_accepted() -> None:
    method = hopping(interval=4, temperature=0.0)
    here = runs_at(method, torch.zeros(3, dtype=torch.float64))
    rises = torch.tensor([[0, 0, 0, 1], [0, 0, 1, 1], [1, 1, 1, 1]], dtype=torch.float64)
    sizes = []
    for column in rises.T:
        judged = method.judge(here, here.theta, column, draws(3))
        here = Runs(here.theta, here.loss, here.best, judged.memory)
        sizes.append(here.memory["step_size"].tolist())
    assert sizes[:3] == [[0.5, 0.5, 0.5]] * 3
    assert sizes[3] == pytest.approx([0.5 / 0.9, 0.45, 0.45], rel=1e-15)  # 3 of 4 are more than half, 2 are not
    assert here.memory["tried"].tolist() == [0, 0, 0]


def test_an_open_temperature_is_a_fiftieth_of_the_scale_of_f() -> None:
    assert hopping(temperature=None).remember(1, Landscape(3, 7.0))["temperature"].item() == pytest.approx(0.14)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step_size": 0}, "escape.step_size=0.0: must be positive"),
        ({"temperature": -1}, "escape.temperature=-1.0: must be 0 (never uphill) or more"),
        ({"interval": 0}, "escape.interval=0: must be at least 1 round"),
        ({"acceptance": 1}, "escape.acceptance=1: must be between 0 and 1"),
        ({"factor": 2}, "escape.factor=2: must be above 0, and 1 (fixed steps) at most"),
        ({"budget": 0}, "escape.budget=0: must be positive (gradients per run)"),
        ({"target": "inf"}, "escape.target=inf: must be a finite loss, best or null"),
        ({"visits": -1}, "escape.visits=-1: must be 0 or more"),
        ({"moves": "gauss"}, "unknown escape.moves 'gauss': choose one of normal, uniform"),
        ({"steps": 1}, "unknown setting 'escape.steps': did you mean 'escape.step_size'?"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        Study.from_config({"escape": {"name": "basin_hopping", **settings}})
    assert str(error.value) == message
