"""The population loss against Monte Carlo, differences, and what is known of it; see also `test_population_truths`."""

from __future__ import annotations

import itertools
import logging
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import basinet
from basinet.foundation.errors import ConfigError
from basinet.objectives.population import Population
from basinet.study.study import Study

PHI = {"relu": torch.relu, "erf": lambda z: torch.erf(z / math.sqrt(2))}
SLOPE = {
    "relu": lambda z: (z > 0).to(z),
    "erf": lambda z: math.sqrt(2 / math.pi) * torch.exp(-z * z / 2),
}
CASES = [(name, outputs) for name in PHI for outputs in ("ones", "trained")]
cases = pytest.mark.parametrize(("name", "outputs"), CASES)


def study(name: str, outputs: str, dimension: int = 4, teachers: int = 3, width: int = 2, **more: Any) -> Study:
    return Study.from_config(
        {
            "problem": {"name": "gaussian_teacher", "dimension": dimension, "units": teachers},
            "network": {"activation": name, "width": width},
            **more,
            "objective": {"name": "population", "output_weights": outputs, **more.get("objective", {})},
        }
    )


def loss_of(name: str, outputs: str, **more: Any) -> Population:
    made = study(name, outputs, **more).exact_objective
    assert isinstance(made, Population)
    return made


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def monte_carlo(name: str, theta: Tensor, f: Population, inputs: Tensor) -> Tensor:
    """Loss and gradient of every single input, `[1 + parameter, sample]`, by backpropagation written out."""
    weights = theta[: f.units * f.features].view(f.units, f.features)
    trained = len(theta) > weights.numel()
    a = theta[weights.numel() :] if trained else theta.new_ones(f.units)
    z = weights @ inputs
    error = a @ PHI[name](z) - PHI[name](inputs[: len(f.teacher.units)]).sum(0)
    by_unit = error * a.unsqueeze(1) * SLOPE[name](z)
    rows = [error.square().unsqueeze(0) / 2, (by_unit.unsqueeze(1) * inputs).flatten(0, 1)]
    return torch.cat([*rows, error * PHI[name](z)]) if trained else torch.cat(rows)


@pytest.mark.parametrize("samples", [100_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
@cases
def test_loss_and_gradient_are_the_means_over_random_inputs(name: str, outputs: str, samples: int) -> None:
    f = loss_of(name, outputs)
    theta = 0.8 * draw(1, 1, f.size)
    found = torch.cat([column.flatten() for column in f.loss_and_gradient(theta)])
    single = monte_carlo(name, theta[0], f, draw(2, f.features, samples))
    standard_error = single.std(1) / math.sqrt(samples)
    assert float(((found - single.mean(1)) / standard_error).abs().max()) < 4


@cases
def test_gradient_and_hessian_are_the_differences_of_what_they_are_derivatives_of(name: str, outputs: str) -> None:
    f = loss_of(name, outputs, objective={"l2_weights": 0.1})
    theta, step = draw(3, 5, f.size), 1e-5
    _, gradient = f.loss_and_gradient(theta)
    hessian = f.hessian(theta)
    for parameter in range(f.size):
        aside = step * torch.eye(f.size, dtype=torch.float64)[parameter]
        (above, gradient_above), (below, gradient_below) = (f.loss_and_gradient(theta + s * aside) for s in (1, -1))
        # Of a step h the differences are wrong by h² f''' / 6 ~ 1e-9, and by rounding of f, 1e-15 / h = 1e-10.
        assert torch.allclose((above - below) / (2 * step), gradient[:, parameter], rtol=0, atol=1e-8)
        assert torch.allclose((gradient_above - gradient_below) / (2 * step), hessian[:, parameter], rtol=0, atol=1e-6)
    assert torch.equal(hessian, hessian.mT)
    v = draw(4, 5, f.size)
    assert torch.allclose(f.hvp(theta, v), torch.einsum("rij,rj->ri", hessian, v), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("name", PHI)
def test_the_hessian_is_right_where_students_lie_on_teachers(name: str) -> None:
    """All pairs are parallel there: the differences of the gradient, which is continuous, to the size of the step."""
    f = loss_of(name, "ones", width=3)
    theta, step = torch.eye(3, 4).double().reshape(1, -1), 1e-7
    hessian = f.hessian(theta)[0]
    sides = (theta + sign * step * torch.eye(f.size).double() for sign in (1, -1))
    above, below = (f.loss_and_gradient(side)[1] for side in sides)
    assert torch.allclose((above - below) / (2 * step), hessian, rtol=0, atol=1e-6)


@cases
def test_restarts_are_the_same_to_the_bit_in_any_company(name: str, outputs: str) -> None:
    f = loss_of(name, outputs, dimension=5, width=4)
    theta = draw(5, 1500, f.size)  # more than a chunk
    theta[7, : f.features] = 0
    assert f.chunk_size < 1500
    together = (*f.loss_and_gradient(theta), f.hessian(theta[:200]), f.signature(theta))
    for some in (slice(0, 1), slice(7, 8), slice(3, 70), slice(1, 130), slice(1400, 1500)):
        alone = (*f.loss_and_gradient(theta[some]), f.hessian(theta[some][:60]), f.signature(theta[some]))
        for index, (one, other) in enumerate(zip(alone, together, strict=True)):
            expected = other[some][: len(one)]
            if index == 2 and some.stop > 200:
                continue  # of so many Hessians were not made
            assert torch.equal(one[: len(expected)], expected)


@pytest.mark.parametrize(
    ("name", "outputs"), [("relu", "ones"), *(pytest.param(*case, marks=pytest.mark.slow) for case in CASES[1:])]
)
def test_a_whole_study_does_not_depend_on_how_its_restarts_are_cut(name: str, outputs: str) -> None:
    common = {"descent": {"steps": 300, "learning_rate": 0.1}, "init": "lecun_normal"}
    whole = basinet.run(study(name, outputs, restarts=70, **common)).restarts
    less = basinet.run(study(name, outputs, restarts=3, threads=1, **common)).restarts
    for column in ("loss_initial", "loss_descended", "loss", "gradient_norm", "lambda_min", "lambda_max"):
        assert whole[column][:3].tolist() == less[column].tolist()


def test_the_torch_engine_is_taken_without_a_complaint(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert study("relu", "ones").engine.name == "torch"
    assert caplog.messages == []
    with pytest.raises(ConfigError, match=r"^engine=native: the native engine has no kernel for Population$"):
        study("relu", "ones", engine="native")


@cases
def test_parameters_are_the_units_and_where_they_are_trained_the_output_weights(name: str, outputs: str) -> None:
    made = study(name, outputs, init="lecun_normal", restarts=4000)
    assert made.network.size == 2 * 4 + 2 * (outputs == "trained")
    units = made.starts(range(4000))[:, :8]
    # N(0, 1/d): 5 standard errors of the standard deviation of 32,000 draws.
    assert abs(float(units.std()) * 2 - 1) < 5 / math.sqrt(2 * 32_000)


@cases
def test_the_scale_is_the_loss_of_an_answer_that_is_zero_everywhere(name: str, outputs: str) -> None:
    f = loss_of(name, outputs)
    answers = PHI[name](draw(6, 3, 200_000)).sum(0).square() / 2
    assert abs(f.scale - float(answers.mean())) < 4 * float(answers.std()) / math.sqrt(200_000)
    assert float(f.loss(torch.zeros(1, f.size).double())) == pytest.approx(f.scale, rel=1e-15)


def test_a_relu_unit_of_length_zero_is_a_kink_and_erf_has_none() -> None:
    theta = draw(7, 3, 8)
    theta[1, 4:] = 0
    theta[2, :4] *= 1e-8
    found = loss_of("relu", "ones").kink_distance(theta)
    lengths = [[math.hypot(*row[:4]), math.hypot(*row[4:])] for row in theta.tolist()]
    assert found.tolist() == pytest.approx([min(pair) for pair in lengths], rel=1e-14)
    assert found[1] == 0
    assert loss_of("erf", "ones").kink_distance(theta).tolist() == [math.inf] * 3


@pytest.mark.parametrize("name", PHI)
def test_a_unit_of_length_zero_changes_nothing_for_the_others(name: str) -> None:
    f, without = loss_of(name, "ones", width=3), loss_of(name, "ones", width=2)
    theta = draw(8, 4, f.size)
    theta[:, 4:8] = 0
    rest = theta[:, [*range(4), *range(8, 12)]]
    (loss, gradient), (same, same_gradient) = f.loss_and_gradient(theta), without.loss_and_gradient(rest)
    assert torch.allclose(loss, same, rtol=1e-15)
    assert torch.allclose(gradient[:, [*range(4), *range(8, 12)]], same_gradient, rtol=0, atol=1e-15)
    assert torch.isfinite(f.hessian(theta)).all()


@pytest.mark.parametrize(
    ("name", "outputs", "penalty", "coercive"),
    [
        ("relu", "ones", 0.0, True),
        ("relu", "trained", 0.0, False),  # a unit can be long and its output weight short
        ("erf", "ones", 0.0, False),  # saturated
        ("erf", "trained", 0.1, True),
    ],
)
def test_the_loss_grows_without_end_where_it_says_so(name: str, outputs: str, penalty: float, coercive: bool) -> None:
    f = loss_of(name, outputs, objective={"l2_weights": penalty})
    assert f.coercive is coercive
    far = torch.ones(1, f.size, dtype=torch.float64)
    far[:, :8] = 1e4 * draw(9, 1, 8)
    if outputs == "trained":
        far[:, 8:] = 1e-4
    assert (float(f.loss(far)) > 1e4) is coercive


@pytest.mark.parametrize(("name", "outputs", "penalty"), [*((*case, 0.0) for case in CASES), ("relu", "trained", 0.1)])
def test_copies_of_a_student_are_one_bottom_and_those_of_the_teacher_are_not(
    name: str, outputs: str, penalty: float
) -> None:
    """Copies written out here: units exchanged; with trained outputs signs of erf, lengths of ReLU unless penalised."""
    f = loss_of(name, outputs, width=3, objective={"l2_weights": penalty})
    theta = draw(10, f.size)
    units, a = theta[:12].view(3, 4), theta[12:] if outputs == "trained" else torch.ones(3).double()
    factors = torch.ones(3).double()
    if outputs == "trained" and name == "erf":
        factors = torch.tensor([-1.0, 1.0, -1.0]).double()
    if (name, outputs, penalty) == ("relu", "trained", 0.0):
        factors = torch.tensor([0.25, 3.0, 1.5]).double()
    for order in itertools.permutations(range(3)):
        chosen = list(order)
        copy = ((factors.unsqueeze(1) * units)[chosen]).flatten()
        copy = torch.cat([copy, (a / factors)[chosen]]) if outputs == "trained" else copy
        both = torch.stack([theta, copy])
        assert float(f.loss(both).diff().abs()) < 1e-13
        assert torch.allclose(*f.signature(both), rtol=1e-12, atol=1e-13)
        assert f.symmetry.distance(theta, copy) < 1e-12
        assert torch.allclose(*f.symmetry.canonical(both), rtol=0, atol=1e-12)
    turned = torch.cat([units[:, [1, 2, 0, 3]].flatten(), theta[12:]])  # the teacher's units exchanged: as good …
    assert float(f.loss(torch.stack([theta, turned])).diff().abs()) < 1e-13
    assert f.symmetry.distance(theta, turned) > 0.1  # … and another point


@pytest.mark.parametrize("outputs", ["ones", "trained"])
def test_zeros_are_explained_where_units_can_be_scaled(outputs: str) -> None:
    theta = {out: draw(11, 2, 8 + 2 * (out == "trained")) for out in ("ones", "trained")}[outputs]
    assert loss_of("relu", outputs).symmetry.explained_zeros(theta).tolist() == [2 * (outputs == "trained")] * 2
    assert loss_of("erf", outputs).symmetry.explained_zeros(theta).tolist() == [0, 0]


@pytest.mark.parametrize("name", PHI)
def test_the_loss_of_many_samples_comes_near_the_population_loss(name: str) -> None:
    """The same problem and the same network: of N samples the loss is off by a standard error of 1/√N."""
    limit = study(name, "trained")
    theta = draw(12, 6, limit.network.size)
    exact = limit.exact_objective.loss(theta)
    apart = []
    for samples in (1000, 20_000):
        settings = {"objective": "empirical_risk", "problem": {**limit.settings["problem"], "samples": samples}}
        finite = Study.from_config({**limit.settings, **settings})
        assert finite.network == limit.network
        apart.append(float((finite.exact_objective.loss(theta) / exact - 1).abs().max()))
    # (error²/2) deviates by up to three times its mean: 4 standard errors, and clearly nearer with more samples.
    assert apart[0] < 12 / math.sqrt(1000)
    assert apart[1] < 12 / math.sqrt(20_000)


def test_another_place_and_precision_give_the_same_loss_to_its_rounding() -> None:
    f = loss_of("relu", "trained")
    theta = draw(13, 9, f.size)
    single = f.to(torch.device("cpu"), torch.float32)
    loss, gradient = single.loss_and_gradient(theta.float())
    assert loss.dtype == gradient.dtype == torch.float32
    np.testing.assert_allclose(loss.double(), f.loss(theta), rtol=1e-5, atol=1e-5)
    assert replace(f) == f


@cases
def test_nothing_is_said_that_needs_samples(name: str, outputs: str) -> None:
    f = loss_of(name, outputs)
    theta = draw(14, 2, f.size)
    assert (f.accuracy(theta), f.loss_original(theta), f.samples, f.lowest) == (None, None, 1, 0.0)
    assert study(name, outputs).holdout is None
