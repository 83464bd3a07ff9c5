from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from basinet.descents import DESCENTS, Adam, Budget, GradientDescent, Momentum, Nesterov, Sgd
from basinet.foundation.errors import ConfigError
from basinet.protocols import Descent, Memory
from basinet.study.study import Study

STEPS = 50


def budget(schedule: str = "constant", rate: float = 0.07) -> Budget:
    return Budget(learning_rate=rate, steps=STEPS, schedule=schedule, tolerance=0.0, records=5)


def descents(schedule: str = "constant") -> dict[str, Descent]:
    shared = budget(schedule)
    return {
        "gradient_descent": GradientDescent(shared),
        "momentum": Momentum(shared, momentum=0.8),
        "nesterov": Nesterov(shared, momentum=0.8),
        "adam": Adam(shared, beta1=0.85, beta2=0.99, epsilon=1e-6),
        "sgd": Sgd(shared, batch_size=1000),
    }


# f(θ) = ½ Σ_i c_i (θ_i - m_i)², one row per restart.
CURVATURE = [0.1, 1.0, 7.0]
MIDDLE = [2.0, -1.0, 0.5]
START = [[0.0, 0.0, 0.0], [5.0, -3.0, 1.0], [-1e3, 1e-3, 0.5]]


def gradient(theta: Tensor) -> Tensor:
    return torch.tensor(CURVATURE, dtype=torch.float64) * (theta - torch.tensor(MIDDLE, dtype=torch.float64))


def followed(descent: Descent) -> list[Tensor]:
    """θ `[restart, parameter]` after every step."""
    theta = torch.tensor(START, dtype=torch.float64)
    memory = descent.init(theta)
    path = []
    for step in range(STEPS):
        theta, memory = descent.step(theta, gradient(theta), memory, step)
        path.append(theta)
    return path


# The published formulas, for one number: (learning rate, gradient at θ, memory, step from 1) -> (change of θ, memory).
Scalar = Callable[[float, float, tuple[float, float], int], tuple[float, tuple[float, float]]]


def _plain(rate: float, g: float, memory: tuple[float, float], t: int) -> tuple[float, tuple[float, float]]:
    return -rate * g, memory


def _polyak(rate: float, g: float, memory: tuple[float, float], t: int) -> tuple[float, tuple[float, float]]:
    v = 0.8 * memory[0] + g
    return -rate * v, (v, 0.0)


def _sutskever(rate: float, g: float, memory: tuple[float, float], t: int) -> tuple[float, tuple[float, float]]:
    v = 0.8 * memory[0] + g
    return -rate * (g + 0.8 * v), (v, 0.0)


def _kingma(rate: float, g: float, memory: tuple[float, float], t: int) -> tuple[float, tuple[float, float]]:
    m, v = 0.85 * memory[0] + (1 - 0.85) * g, 0.99 * memory[1] + (1 - 0.99) * g * g
    m_hat, v_hat = m / (1 - 0.85**t), v / (1 - 0.99**t)
    return -rate * m_hat / (math.sqrt(v_hat) + 1e-6), (m, v)


FORMULAS: dict[str, Scalar] = {
    "gradient_descent": _plain,
    "momentum": _polyak,
    "nesterov": _sutskever,
    "adam": _kingma,
    "sgd": _plain,
}

OWN_PACE = {"lbfgs", "gradient_flow"}
"""Descents whose steps are not a formula of ∇f at one point: they have files of their own here."""

SCHEDULES: dict[str, Callable[[int], float]] = {
    "constant": lambda t: 1.0,
    "cosine": lambda t: (1 + math.cos(math.pi * t / STEPS)) / 2,
    "step": lambda t: 1.0 if t < STEPS / 2 else 0.1 if t < 3 * STEPS / 4 else 0.01,
}


def test_every_descent_is_tested_here() -> None:
    assert set(FORMULAS) == set(descents()) == set(DESCENTS) - OWN_PACE


@pytest.mark.parametrize("schedule", list(SCHEDULES))
@pytest.mark.parametrize("name", list(FORMULAS))
def test_every_step_is_the_published_formula_in_plain_floats(name: str, schedule: str) -> None:
    path = followed(descents(schedule)[name])
    for r, parameter in itertools.product(range(len(START)), range(len(MIDDLE))):
        theta, memory = START[r][parameter], (0.0, 0.0)
        for t in range(STEPS):
            g = CURVATURE[parameter] * (theta - MIDDLE[parameter])
            change, memory = FORMULAS[name](0.07 * SCHEDULES[schedule](t), g, memory, t + 1)
            theta += change
            # Each step adds roundings of numbers of the size of θ; 50 contracting steps do not amplify them.
            assert float(path[t][r, parameter]) == pytest.approx(theta, rel=1e-13, abs=1e-13)


OPTIMISERS: dict[str, Callable[[Tensor], torch.optim.Optimizer]] = {
    "gradient_descent": lambda p: torch.optim.SGD([p], lr=0.07),
    "momentum": lambda p: torch.optim.SGD([p], lr=0.07, momentum=0.8),
    "nesterov": lambda p: torch.optim.SGD([p], lr=0.07, momentum=0.8, nesterov=True),
    "adam": lambda p: torch.optim.Adam([p], lr=0.07, betas=(0.85, 0.99), eps=1e-6),
}

TORCH_SCHEDULES: dict[str, Callable[[torch.optim.Optimizer], torch.optim.lr_scheduler.LRScheduler]] = {
    "constant": lambda o: torch.optim.lr_scheduler.ConstantLR(o, factor=1.0),
    "cosine": lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=STEPS),
    "step": lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [STEPS // 2, math.ceil(3 * STEPS / 4)], gamma=0.1),
}


@pytest.mark.parametrize("schedule", list(TORCH_SCHEDULES))
@pytest.mark.parametrize("name", list(OPTIMISERS))
def test_fifty_steps_equal_those_of_torch(name: str, schedule: str) -> None:
    path = followed(descents(schedule)[name])
    theta = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimiser = OPTIMISERS[name](theta)
    scheduler = TORCH_SCHEDULES[schedule](optimiser)
    for t in range(STEPS):
        theta.grad = gradient(theta.detach())
        optimiser.step()
        scheduler.step()
        # The same formulas associated differently: some roundings a step, which contracting steps do not amplify.
        torch.testing.assert_close(path[t], theta.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", list(FORMULAS))
def test_a_step_is_pure_and_memory_begins_at_zero(name: str) -> None:
    descent = descents()[name]
    theta = torch.tensor(START, dtype=torch.float64)
    memory: Memory = descent.init(theta)
    assert all(part.shape == theta.shape and not part.any() for part in memory)
    theta, memory = descent.step(theta, gradient(theta), memory, 0)
    arguments = [theta, gradient(theta), *memory]
    copies = [part.clone() for part in arguments]
    once, again = (descent.step(arguments[0], arguments[1], tuple(arguments[2:]), 1) for _ in range(2))
    assert all(torch.equal(part, copy) for part, copy in zip(arguments, copies, strict=True))
    assert torch.equal(once[0], again[0])
    assert all(torch.equal(a, b) for a, b in zip(once[1], again[1], strict=True))


@pytest.mark.parametrize("name", list(FORMULAS))
def test_only_sgd_looks_at_part_of_the_samples(name: str) -> None:
    assert descents()[name].batch(3, 1000) is None
    assert (descents()[name].batch(3, 1001) is not None) == (name == "sgd")


def test_the_minibatches_of_an_epoch_are_one_permutation_and_the_last_one_is_short() -> None:
    sgd = Sgd(replace(budget(), seed=5), batch_size=4)
    orders = []
    for epoch in range(30):
        batches = [sgd.batch(epoch * 3 + position, 10) for position in range(3)]
        assert all(batch is not None for batch in batches)
        assert [len(batch) for batch in batches if batch is not None] == [4, 4, 2]
        order = [int(index) for batch in batches if batch is not None for index in batch]
        assert sorted(order) == list(range(10))
        orders.append(tuple(order))
    assert len(set(orders)) == 30  # drawn anew in every epoch: two equal ones by chance are 1e-4


def test_minibatches_depend_on_seed_and_epoch_only() -> None:
    one = Sgd(replace(budget(), seed=5), batch_size=4)
    same = Sgd(replace(budget("cosine", rate=3.0), seed=5), batch_size=4)
    halved, other = Sgd(replace(budget(), seed=5), batch_size=2), Sgd(replace(budget(), seed=6), batch_size=4)

    def order(sgd: Sgd, first: int, count: int) -> list[int]:
        return [int(i) for step in range(first, first + count) for i in sgd.batch(step, 10)]  # type: ignore[union-attr]

    assert order(one, 6, 3) == order(same, 6, 3)
    assert order(one, 6, 3) == order(halved, 10, 5)  # the third epoch, cut into more pieces
    assert order(one, 6, 3) != order(other, 6, 3)


@pytest.mark.parametrize("size", [10, 11, 10**6])
def test_a_batch_of_all_samples_is_gradient_descent(size: int) -> None:
    assert Sgd(budget(), batch_size=size).batch(0, 10) is None


def test_a_seed_of_the_study_reaches_sgd() -> None:
    study = Study.from_config({"seed": 9, "descent": {"name": "sgd", "batch_size": 2}})
    assert isinstance(study.descent, Sgd)
    assert study.descent.budget.seed == 9


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"learning_rate": 0}, "descent.learning_rate=0: must be positive"),
        ({"learning_rate": "inf"}, "descent.learning_rate=inf: must be positive"),
        ({"steps": -1}, "descent.steps=-1: must be 0 (certify the starts) or more"),
        ({"records": 0}, "descent.records=0: must be at least 1"),
        ({"tolerance": -1e-9}, "descent.tolerance=-1e-09: must be 0 (never stop early) or more"),
        ({"tolerance": "inf"}, "descent.tolerance=inf: must be 0 (never stop early) or more"),
        ({"schedule": "cosin"}, "unknown descent.schedule 'cosin': did you mean 'cosine'?"),
        ({"name": "momentum", "momentum": 1.0}, "descent.momentum=1: must be at least 0 and below 1"),
        ({"name": "nesterov", "momentum": -0.1}, "descent.momentum=-0.1: must be at least 0 and below 1"),
        ({"name": "adam", "beta1": 1}, "descent.beta1=1: must be at least 0 and below 1"),
        ({"name": "adam", "beta2": -1}, "descent.beta2=-1: must be at least 0 and below 1"),
        ({"name": "adam", "epsilon": 0}, "descent.epsilon=0: must be positive"),
        ({"name": "sgd", "batch_size": 0}, "descent.batch_size=0: must be at least 1"),
        ({"name": "lbfgs", "memory": 0}, "descent.memory=0: must be at least 1"),
        ({"name": "lbfgs", "memory": 1001}, "descent.memory=1,001: must be at most 1,000"),
        ({"momentum": 0.9}, None),
        ("adm", "unknown descent 'adm': did you mean 'adam'?"),
    ],
)
def test_an_impossible_descent_is_refused_with_the_key(config: Any, message: str | None) -> None:
    with pytest.raises(ConfigError) as caught:
        Study.from_config({"descent": config})
    expected = "unknown setting 'descent.momentum': choose one of " if message is None else message
    assert str(caught.value).startswith(expected)
    assert message is None or str(caught.value) == expected
