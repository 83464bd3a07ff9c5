"""Classic test functions against their published formulas, minima and counts of minima."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import optimize
from torch import Tensor

from basinet.engines import TorchEngine
from basinet.foundation.errors import ConfigError
from basinet.objectives.test_function import TestFunction
from basinet.stages.polish import polish
from basinet.study.study import Study

NAMES = ("camel", "goldstein_price", "branin", "shubert", "hartman3", "hartman6", "rastrigin")
functions = pytest.mark.parametrize("name", NAMES)

# Where Dixon & Szegö (1978), and for Rastrigin's the definition, have the lowest minimum, and how low it is.
LOWEST = {
    "camel": ([0.0898, -0.7126], -1.0316),
    "goldstein_price": ([0.0, -1.0], 3.0),
    "branin": ([math.pi, 2.275], 0.397887),
    "shubert": ([-1.42513, -0.80032], -186.7309),
    "hartman3": ([0.114614, 0.555649, 0.852547], -3.86278),
    "hartman6": ([0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573], -3.32237),
    "rastrigin": ([0.0, 0.0], 0.0),
}
# … and the lowest of the others, by minimising from a fine grid with scipy.
MINIMA = {"camel": 6, "goldstein_price": 4, "branin": 3}


def study(name: str, **more: Any) -> Study:
    return Study.from_config(
        {"objective": {"name": "test_function", "function": name}, "init": "uniform", "engine": "torch", **more}
    )


def function(name: str, **more: Any) -> TestFunction:
    made = study(name, **more).exact_objective
    assert isinstance(made, TestFunction)
    return made


def published(name: str, x: Tensor) -> Tensor:
    """The formulas as they were printed, of `x [point, coordinate]`."""
    a, b = x[:, 0], x[:, 1]
    if name == "camel":
        return (4 - 2.1 * a**2 + a**4 / 3) * a**2 + a * b + (-4 + 4 * b**2) * b**2
    if name == "goldstein_price":
        first = 19 - 14 * a + 3 * a**2 - 14 * b + 6 * a * b + 3 * b**2
        second = 18 - 32 * a + 12 * a**2 + 48 * b - 36 * a * b + 27 * b**2
        return (1 + (a + b + 1) ** 2 * first) * (30 + (2 * a - 3 * b) ** 2 * second)
    if name == "branin":
        square = (b - 5.1 / (4 * math.pi**2) * a**2 + 5 / math.pi * a - 6) ** 2
        return square + 10 * (1 - 1 / (8 * math.pi)) * torch.cos(a) + 10
    if name == "shubert":
        j = torch.arange(1.0, 6.0, dtype=x.dtype)
        return (j * torch.cos((j + 1) * x.unsqueeze(2) + j)).sum(2).prod(1)
    if name == "rastrigin":
        return 10 * x.shape[1] + (x**2 - 10 * torch.cos(2 * math.pi * x)).sum(1)
    return _hartman(x)


def _hartman(x: Tensor) -> Tensor:
    if x.shape[1] == 3:
        narrowness = [[3.0, 10, 30], [0.1, 10, 35], [3.0, 10, 30], [0.1, 10, 35]]
        centres = [[3689, 1170, 2673], [4699, 4387, 7470], [1091, 8732, 5547], [381.5, 5743, 8828]]
    else:
        narrowness = [
            [10, 3, 17, 3.5, 1.7, 8],
            [0.05, 10, 17, 0.1, 8, 14],
            [3, 3.5, 1.7, 10, 17, 8],
            [17, 8, 0.05, 10, 0.1, 14],
        ]
        centres = [
            [1312, 1696, 5569, 124, 8283, 5886],
            [2329, 4135, 8307, 3736, 1004, 9991],
            [2348, 1451, 3522, 2883, 3047, 6650],
            [4047, 8828, 8732, 5743, 1091, 381],
        ]
    a, p = torch.tensor(narrowness, dtype=x.dtype), torch.tensor(centres, dtype=x.dtype) * 1e-4
    depths = torch.tensor([1, 1.2, 3, 3.2], dtype=x.dtype)
    return -(depths * torch.exp(-(a * (x.unsqueeze(1) - p) ** 2).sum(2))).sum(1)


def in_cube(f: TestFunction, x: list[float]) -> Tensor:
    low, high = torch.tensor(f.function.box, dtype=torch.float64).T
    return ((torch.tensor(x, dtype=torch.float64) - (low + high) / 2) / ((high - low) / 2)).unsqueeze(0)


@functions
def test_it_is_the_published_formula_and_its_derivatives_are_those_of_autograd(name: str) -> None:
    f, theta = function(name), study(name).starts(range(50))
    theta.requires_grad_()
    value = published(name, f.in_box(theta))
    (slope,) = torch.autograd.grad(value.sum(), theta, create_graph=True)
    rows = [torch.autograd.grad(column.sum(), theta, retain_graph=True)[0] for column in slope.T]
    loss, gradient = f.loss_and_gradient(theta.detach())
    size = float(value.detach().abs().max())
    torch.testing.assert_close(loss, value.detach(), rtol=1e-12, atol=1e-12 * size)
    torch.testing.assert_close(gradient, slope.detach(), rtol=1e-10, atol=1e-11 * size)
    torch.testing.assert_close(f.hessian(theta.detach()), torch.stack(rows, 1), rtol=1e-9, atol=1e-10 * size)


@functions
def test_its_lowest_minimum_is_where_and_as_low_as_published(name: str) -> None:
    f, made = function(name), study(name)
    x, lowest = LOWEST[name]
    bottom = polish(f, in_cube(f, x), made.polishing, made.tolerances, TorchEngine())
    torch.testing.assert_close(f.in_box(bottom.theta)[0], torch.tensor(x, dtype=torch.float64), rtol=0, atol=1e-4)
    assert float(bottom.loss) == pytest.approx(lowest, abs=5e-5 if abs(lowest) < 100 else 1e-4)
    assert bool((torch.linalg.eigvalsh(f.hessian(bottom.theta)) > 0).all())


@functions
def test_its_optimum_is_not_at_the_centre_of_the_box(name: str) -> None:
    f = function(name)
    assert float(in_cube(f, LOWEST[name][0]).abs().max()) > 0.05
    assert float(in_cube(f, LOWEST[name][0]).abs().max()) < 1


@functions
def test_starts_of_a_uniform_init_fill_the_box(name: str) -> None:
    f = function(name)
    x = f.in_box(study(name).starts(range(2000)))
    low, high = torch.tensor(f.function.box, dtype=torch.float64).T
    assert bool((low < x).all() & (x < high).all())
    spread = (high - low) / math.sqrt(12)
    assert bool(((x.mean(0) - (low + high) / 2).abs() < 5 * spread / math.sqrt(2000)).all())
    torch.testing.assert_close(x.std(0), spread, rtol=0.06, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("name", MINIMA)
def test_it_has_as_many_minima_as_published(name: str) -> None:
    made = study(name, restarts=300, descent={"steps": 0}, polish={"radius": 100})
    f = made.exact_objective
    bottoms = polish(f, made.starts(range(300)), made.polishing, made.tolerances, TorchEngine())
    inside = (bottoms.theta.abs() < 1).all(1) & (torch.linalg.eigvalsh(f.hessian(bottoms.theta)).amin(1) > 0)
    places = np.unique(np.round(bottoms.theta[inside & (bottoms.outcome == 0)].numpy(), 5), axis=0)
    oracle = set()
    for start in made.starts(range(300, 330)).numpy():
        found = optimize.minimize(lambda t: float(published(name, f.in_box(torch.from_numpy(t[None])))[0]), start)  # type: ignore[attr-defined]
        if (np.abs(found.x) < 1).all():
            oracle.add(round(float(found.fun), 2))
    assert len(places) == MINIMA[name]
    losses = published(name, f.in_box(torch.from_numpy(places)))  # type: ignore[attr-defined]
    assert oracle <= {round(float(loss), 2) for loss in losses}


@functions
def test_a_restart_alone_gets_the_bits_that_it_gets_among_others(name: str) -> None:
    f, theta = function(name), study(name).starts(range(67))
    loss, gradient = f.loss_and_gradient(theta)
    hessian = f.hessian(theta)
    for row in (0, 31, 66):
        alone = theta[row : row + 1].clone()
        assert torch.equal(f.loss_and_gradient(alone)[0], loss[row : row + 1])
        assert torch.equal(f.loss_and_gradient(alone)[1], gradient[row : row + 1])
        assert torch.equal(f.hessian(alone), hessian[row : row + 1])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"function": "camal"}, "unknown objective.function 'camal': did you mean 'camel'?"),
        ({"dimension": 3}, "objective.dimension=3: camel has 2 coordinates; leave it null"),
        ({"function": "rastrigin", "dimension": 0}, "objective.dimension=0: must be positive"),
        ({"function": "rastrigin", "dimension": 20000}, "objective.dimension=20,000: must be at most 10,000"),
        ({"dimensions": 3}, "unknown setting 'objective.dimensions': did you mean 'objective.dimension'?"),
    ],
)
def test_what_there_is_not_is_said_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        Study.from_config({"objective": {"name": "test_function", **settings}})
    assert str(error.value) == message


def test_a_function_has_no_samples_to_hold_out() -> None:
    with pytest.raises(ConfigError, match=r"^problem.holdout: objective=test_function has no samples"):
        study("camel", problem={"name": "xor", "holdout": 0.5})
