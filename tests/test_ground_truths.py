"""Published and closed-form facts that training must reproduce; numbers from `GROUND_TRUTHS` and the papers named."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.optimize
import torch
from torch import Tensor

from basinet.foundation.outcomes import Status
from basinet.inits import INITS
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.pipeline.blocks import Block, MemoryStore
from basinet.pipeline.run import run
from basinet.stages.descend import descend
from basinet.study.study import Study

engines = pytest.mark.parametrize("engine", [pytest.param("torch", marks=pytest.mark.slow), "native"])

# --- The scalar chain f = ½ (s - w_n ⋯ w_1)² -----------------------------------------------------------------------


def chain(weights: int, engine: str, init: dict[str, Any], descent: dict[str, Any], restarts: int = 1) -> Study:
    """Identity activations, one sample x = 1 → y = 1, width 1, no biases."""
    return Study.from_config(
        {
            "problem": {"name": "chain", "inputs": [1.0], "targets": [1.0]},
            "network": {"depth": weights, "activation": "identity", "output": "identity", "bias": False},
            "init": init,
            "descent": descent,
            "restarts": restarts,
            "engine": engine,
        }
    )


# Time (steps × learning rate) until ∏ w = .9 from a balanced start w₀, under gradient flow.
TIMES = {
    (1, 0.1): 2.1972,
    (2, 0.1): 3.3962,
    (3, 0.1): 9.9623,
    (4, 0.1): 50.3772,
    (1, 0.3): 1.9459,
    (2, 0.3): 2.2554,
    (3, 0.3): 3.2551,
    (4, 0.3): 5.8926,
}
LONG_TIMES = {(5, 0.1): 333.8181, (6, 0.1): 2500.52, (5, 0.3): 12.7904, (6, 0.3): 31.3490}


@pytest.mark.parametrize(("weights", "start"), [*TIMES, *LONG_TIMES])
def test_the_printed_times_of_the_chain_are_those_of_its_differential_equation(weights: int, start: float) -> None:
    # w' = (1 - wⁿ) wⁿ⁻¹ by separation of variables; printed with four decimals or with six digits.
    time, _ = scipy.integrate.quad(lambda w: 1 / ((1 - w**weights) * w ** (weights - 1)), start, 0.9 ** (1 / weights))
    assert time == pytest.approx({**TIMES, **LONG_TIMES}[weights, start], abs=6e-5, rel=3e-6)


@engines
@pytest.mark.parametrize(
    ("weights", "start"), [*TIMES, *(pytest.param(*case, marks=pytest.mark.stress) for case in LONG_TIMES)]
)
def test_a_balanced_chain_reaches_nine_tenths_in_the_time_of_gradient_flow(
    weights: int, start: float, engine: str
) -> None:
    # Gradient descent is the Euler method of the flow; at a rate of .01 it is .5 % off where w' = 1 - w.
    published = {**TIMES, **LONG_TIMES}[weights, start]
    rate = 0.005 if published < 100 else 0.01
    steps = round(1.1 * published / rate)
    study = chain(
        weights,
        engine,
        {"name": "constant", "value": start},
        {"learning_rate": rate, "steps": steps, "tolerance": 0, "records": 3000},
    )
    times, products = [], []
    for state in descend(study.objective, study.descent, study.engine, study.starts(range(1))):
        times.append(state.step * rate)
        products.append(float(state.theta.prod()))
    reached = next(index for index, product in enumerate(products) if product >= 0.9)
    # Records are less than .4 % apart; between them the product is a straight line to far better than that.
    time = np.interp(0.9, products[reached - 1 : reached + 1], times[reached - 1 : reached + 1])
    assert time == pytest.approx(published, rel=0.01)


def normal_chains(weights: int, engine: str, restarts: int, steps: int) -> tuple[Tensor, Tensor, Tensor]:
    """Starts from N(0, 1), ends `[restart, weight]`, and which of them have ∏ w = 1 to 1e-3."""
    study = chain(
        weights,
        engine,
        {"name": "normal", "std": 1.0},
        {"learning_rate": 1e-3, "steps": steps, "tolerance": 1e-6, "records": 10},
        restarts,
    )
    starts = study.starts(range(restarts))
    *_, last = descend(study.objective, study.descent, study.engine, starts)
    return starts, last.theta, (last.theta.prod(1) - 1).abs() < 1e-3


@engines
@pytest.mark.parametrize("weights", [2, 3, 4])
def test_differences_of_squared_weights_are_conserved(weights: int, engine: str) -> None:
    starts, ends, _ = normal_chains(weights, engine, 500, 5000)
    drift = ((ends**2 - ends[:, :1] ** 2) - (starts**2 - starts[:, :1] ** 2)).abs().amax(1)
    # A step changes w_i² - w_j² by exactly η² (g_i² - g_j²), and lowers f by η‖g‖² up to a factor 1 - η L / 2, L the
    # largest curvature on the way. So the drift is at most η f(start) / (1 - η L / 2); L < 200 for these starts.
    f = (1 - starts.prod(1)) ** 2 / 2
    assert (drift <= 1e-3 * f / 0.9 + 1e-12).all()
    assert 1.5e-4 < float(drift.median()) < 3.5e-4  # 2–3e-4 are published


@engines
@pytest.mark.parametrize("weights", [2, 3])
def test_all_signs_stay_but_that_of_the_smallest_weight_which_makes_the_product_positive(
    weights: int, engine: str
) -> None:
    starts, ends, converged = normal_chains(weights, engine, 500, 20_000)
    sizes = starts.abs().sort(1).values
    # Nearly equal smallest weights change places by the drift of gradient descent, 1e-3 f.
    clear = (sizes[:, 1] ** 2 - sizes[:, 0] ** 2) > 1e-2
    chosen = converged & clear
    assert int(chosen.sum()) > 350
    smallest = starts.abs().argmin(1, keepdim=True)
    others = starts.sign().scatter(1, smallest, 1.0).prod(1, keepdim=True)
    expected = starts.sign().scatter(1, smallest, others)  # sign(s · ∏ of the others), s = 1
    assert torch.equal(ends.sign()[chosen], expected[chosen])
    changed = (ends.sign() != starts.sign()).any(1)
    assert int(changed[chosen].sum()) > 100  # half of the starts have a negative product and must change a sign


def test_the_hessian_of_a_chain_at_its_minimum_has_one_eigenvalue_by_differences_of_the_gradient() -> None:
    """At ∏ w = s the only eigenvalue that is not 0 is s² Σ 1/w_i²."""
    study = chain(3, "torch", {"name": "constant", "value": 1.0}, {})
    w = torch.tensor([[2.0, 0.25, 2.0]], dtype=torch.float64)  # the product is 1
    h = 1e-6 * torch.eye(3, dtype=torch.float64)
    rows = [study.objective.loss_and_gradient(w + sign * h)[1] for sign in (1, -1)]
    eigenvalues = torch.linalg.eigvalsh((rows[0] - rows[1]) / 2e-6)
    # Central differences of step 1e-6: h² times third derivatives of size 100, and rounding 1e-16 · 10 / h.
    assert eigenvalues.tolist() == pytest.approx([0, 0, 1 / 4 + 16 + 1 / 4], abs=1e-7)


# --- XOR 2-2-1, logistic everywhere ---------------------------------------------------------------------------------

LEVELS = {"zero": 0.0, "eighth": 1 / 16, "sixth": 1 / 12}  # of f; MSE 0, 1/8 and 1/6


def xor_shares(descent: dict[str, Any], engine: str, restarts: int) -> tuple[dict[str, float], np.ndarray]:
    """Share of the restarts near each level, and all final losses."""
    study = Study.from_config(
        {
            "problem": "xor",
            "network": {"depth": 2, "width": 2, "activation": "logistic"},
            "init": {"name": "normal", "std": 1.0},
            "descent": {**descent, "records": 5, "tolerance": 0.0},
            "restarts": restarts,
            "engine": engine,
        }
    )
    *_, last = descend(study.objective, study.descent, study.engine, study.starts(range(restarts)))
    loss = last.loss.numpy()
    names = list(LEVELS)
    nearest = np.abs(loss[:, None] - np.array(list(LEVELS.values()))).argmin(1)
    return {name: float((nearest == index).mean()) for index, name in enumerate(names)}, loss


XOR = {
    "gradient_descent": (
        {"name": "gradient_descent", "learning_rate": 10.0, "steps": 30_000},
        {"zero": 0.765, "eighth": 0.215, "sixth": 0.02},
    ),
    "adam": (
        {"name": "adam", "learning_rate": 0.1, "steps": 10_000},
        {"zero": 0.50, "eighth": 0.38, "sixth": 0.12},
    ),
    "slow_gradient_descent": (
        {"name": "gradient_descent", "learning_rate": 4.0, "steps": 50_000},
        {"zero": 0.765, "eighth": 0.215, "sixth": 0.02},
    ),
    "slow_adam": (
        {"name": "adam", "learning_rate": 0.05, "steps": 4000},
        {"zero": 0.49, "eighth": 0.39, "sixth": 0.12},
    ),
}


@engines
@pytest.mark.parametrize(
    "name",
    ["gradient_descent", "adam", *(pytest.param(n, marks=pytest.mark.stress) for n in XOR if n.startswith("slow"))],
)
def test_xor_ends_at_its_three_levels_with_the_published_shares(name: str, engine: str) -> None:
    descent, published = XOR[name]
    shares, loss = xor_shares(descent, engine, restarts=4000 if name.startswith("slow") else 2000)
    for level, share in published.items():
        # ±8 points are asked for; 2,000 restarts have a standard error of at most 1.1.
        assert shares[level] == pytest.approx(share, abs=0.08), shares
    # The levels are approached for ever with growing weights; a restart in between would be leaking from one.
    distance = np.abs(loss[:, None] - np.array(list(LEVELS.values()))).min(1)
    assert (distance < 2e-3).mean() > 0.99
    assert loss.min() > 0


# --- Depth and initialisation in the wide limit ---------------------------------------------------------------------


def gaussian_mean(function: Any) -> float:
    """E function(z), z ~ N(0, 1)."""
    density = 1 / math.sqrt(2 * math.pi)
    return scipy.integrate.quad(lambda z: density * math.exp(-z * z / 2) * function(z), -10, 10)[0]


def logistic(z: float) -> float:
    return 1 / (1 + math.exp(-z))


SIGMAS = {
    "tanh": (math.tanh, lambda z: 1 - math.tanh(z) ** 2),
    "logistic": (logistic, lambda z: logistic(z) * logistic(-z)),
}


def mean_field(name: str, weight_variance: float, bias_variance: float) -> tuple[float, float]:
    """q* = σ_w² E σ(√q* z)² + σ_b², the variance of z in the deep, and χ = σ_w² E σ'(√q* z)²."""
    value, slope = SIGMAS[name]

    def excess(q: float) -> float:
        return weight_variance * gaussian_mean(lambda z: value(math.sqrt(q) * z) ** 2) + bias_variance - q

    q = scipy.optimize.brentq(excess, 1e-9, 200.0)
    return q, weight_variance * gaussian_mean(lambda z: slope(math.sqrt(q) * z) ** 2)


CHI = [("tanh", 1.76095, 0.05, 1.0), ("logistic", 1.0, 0.0, 0.05572), ("logistic", 103.0, 0.0, 1.0)]


@pytest.mark.parametrize(("name", "weight_variance", "bias_variance", "chi"), CHI)
def test_the_printed_factors_are_those_of_mean_field_theory(
    name: str, weight_variance: float, bias_variance: float, chi: float
) -> None:
    # Printed with five digits; "near 103" is a whole number.
    tolerance = 5e-3 if weight_variance == 103.0 else 2e-5
    assert mean_field(name, weight_variance, bias_variance)[1] == pytest.approx(chi, abs=tolerance)


def measured_factor(name: str, variances: tuple[float, float], width: int, restarts: int) -> float:
    """χ per layer: the ratio of mean squares of δ_l = ∂f/∂b_l (one sample) between interior layers."""
    weight_variance, bias_variance = variances
    depth, first, last = 11, 2, 7  # not the last three
    network = Network((width,) * (depth + 1), name, name)
    q, _ = mean_field(name, *variances)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(width, 1, generator=generator, dtype=torch.float64)
    x *= math.sqrt((q - bias_variance) / weight_variance) / x.square().mean().sqrt()  # z_0 has the variance q* at once
    y = torch.randn(width, 1, generator=generator, dtype=torch.float64)
    init = INITS["lecun_normal"](gain=math.sqrt(weight_variance), bias="same")  # type: ignore[call-arg]
    squares = []
    for r in range(restarts):
        theta = init.draw(network, 0, range(r, r + 1))
        for layer in network.layers(theta):
            assert layer.bias is not None
            layer.bias.mul_(math.sqrt(bias_variance * width / weight_variance))
        _, gradient = EmpiricalRisk(network, x, y).loss_and_gradient(theta)
        squares.append([float(layer.bias.square().mean()) for layer in network.layers(gradient)])  # type: ignore[union-attr]
    means = np.array(squares).mean(0)
    return float((means[first] / means[last]) ** (1 / (last - first)))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "weight_variance", "bias_variance", "chi"), CHI[:2])
def test_the_variance_of_gradients_changes_by_chi_a_layer(
    name: str, weight_variance: float, bias_variance: float, chi: float
) -> None:
    # 5 % are asked for. Mean squares of 1,000 units over 6 restarts: 2 % each, over five layers .6 % a layer.
    assert measured_factor(name, (weight_variance, bias_variance), 1000, 6) == pytest.approx(chi, rel=0.05)


# --- What is found again when asked twice ---------------------------------------------------------------------------


def test_the_restarts_of_a_study_are_those_of_a_shorter_one_and_more() -> None:
    config = {"problem": "xor", "descent": {"steps": 200}, "polish": "none", "restarts": 300}
    long, short = (run(Study.from_config({**config, "restarts": n})) for n in (300, 120))
    for column in ("status", "steps", "loss", "gradient_norm", "loss_initial"):
        assert long.restarts[column][:120].tolist() == short.restarts[column].tolist()
    np.testing.assert_array_equal(long.parameters["final"][:120], short.parameters["final"])


@pytest.mark.parametrize(
    ("minute", "sizes"),
    [
        (60, [256, 44 + 600]),  # the first block says that the rest is done in a minute
        (1e-9, [256, 256, 256, 132]),  # it takes too long: not more at a time
    ],
)
def test_blocks_take_about_a_minute(minute: float, sizes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basinet.pipeline.run._BLOCK_SECONDS", minute)
    store = MemoryStore()
    run(Study.from_config({"problem": "xor", "descent": {"steps": 10}, "polish": "none", "restarts": 900}), store=store)
    assert [len(block.restarts) for block in store.blocks()] == sizes


def test_how_many_restarts_auto_does_depends_on_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked after 1000, 2000, 4000, … whether there are enough, however they are divided into blocks."""
    config = {"problem": "xor", "descent": {"steps": 10}, "polish": "none", "restarts": "auto", "restarts_max": 5000}
    asked: list[int] = []

    def enough(study: Study, blocks: Iterable[Block]) -> bool:
        asked.append([*blocks][-1].restarts.stop)
        return asked[-1] >= 4000

    monkeypatch.setattr("basinet.pipeline.run.enough", enough)
    for minute in (60, 1e-9):
        asked.clear()
        monkeypatch.setattr("basinet.pipeline.run._BLOCK_SECONDS", minute)
        assert len(run(Study.from_config(config)).restarts) == 4000
        assert asked == [1000, 2000, 4000]


def test_a_study_is_divided_into_blocks_without_a_change_of_any_number(monkeypatch: pytest.MonkeyPatch) -> None:
    study = Study.from_config({"problem": "xor", "descent": {"steps": 100}, "polish": "none", "restarts": 300})
    whole = run(study)
    monkeypatch.setattr("basinet.pipeline.run._BLOCK_RESTARTS", 77)
    store = MemoryStore()
    again = run(dataclasses.replace(study), store=store)
    assert [len(block.restarts) for block in store.blocks()] == [77, 77, 77, 69]
    for key, values in whole.parameters.items():
        np.testing.assert_array_equal(again.parameters[key], values)
    assert again.restarts.equals(whole.restarts)
    assert again.curves.equals(whole.curves)
    assert again.quantiles.equals(whole.quantiles)
    assert Status.BUDGET.name.lower() in set(whole.restarts["status"])
