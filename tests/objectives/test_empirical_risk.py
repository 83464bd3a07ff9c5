from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from basinet.foundation.errors import ConfigError
from basinet.mlp.activations import ACTIVATIONS
from basinet.mlp.layouts import Lanes, Products
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.study.study import Study

RESTARTS = 3


def draw(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def risk_of(network: Network, samples: int, generator: torch.Generator, loss: str = "squared") -> EmpiricalRisk:
    """Random samples; under cross-entropy the targets are probabilities."""
    x, y = draw(generator, network.widths[0], samples), draw(generator, network.widths[-1], samples)
    return EmpiricalRisk(network, x, torch.softmax(y, 0) if loss == "cross_entropy" else y, loss)


@st.composite
def risks(draw_: st.DrawFn, widest: int) -> tuple[EmpiricalRisk, Tensor]:
    """Any network of depth 1 to 6 with layers of up to `widest` units, any loss and penalty; and parameters for it."""
    widths = draw_(st.lists(st.integers(1, widest), min_size=2, max_size=7))
    if widest > 4:  # Lanes end at four units
        widths[draw_(st.integers(0, len(widths) - 1))] = draw_(st.integers(5, widest))
    hidden, output = draw_(st.sampled_from(list(ACTIVATIONS))), draw_(st.sampled_from(list(ACTIVATIONS)))
    network = Network(tuple(widths), hidden, output, draw_(st.booleans()))
    generator = torch.Generator().manual_seed(draw_(st.integers(0, 2**31)))
    loss = draw_(st.sampled_from(["squared", "cross_entropy"]))
    penalties = {key: draw_(st.sampled_from([0.0, 0.3])) for key in ("l2_weights", "l2_biases")}
    risk = dataclasses.replace(risk_of(network, draw_(st.integers(1, 20)), generator, loss), **penalties)
    return risk, draw(generator, RESTARTS, network.size) * draw_(st.sampled_from([0.1, 1.0, 3.0]))


def expected_by_autograd(
    autograd_risk: Callable[..., Tensor], risk: EmpiricalRisk, theta: Tensor
) -> tuple[Tensor, Tensor]:
    network = risk.network
    last = "softmax" if risk.loss_name == "cross_entropy" else network.output
    names = [network.activation] * (network.depth - 1) + [last]
    leaf = theta.detach().clone().requires_grad_()
    penalties = risk.l2_weights, risk.l2_biases
    f = autograd_risk(leaf, network.widths, names, risk.inputs, risk.targets, network.bias, penalties)
    # A network of zero layers does not exist, so f always depends on theta.
    return f.detach(), torch.autograd.grad(f, leaf)[0]


@pytest.mark.parametrize(("widest", "layout"), [(4, Lanes), (9, Products)])
@settings(max_examples=150)
@given(data=st.data())
def test_loss_and_gradient_equal_autograd_on_any_architecture(
    autograd_risk: Callable[..., Tensor], widest: int, layout: type, data: st.DataObject
) -> None:
    risk, theta = data.draw(risks(widest))
    assert isinstance(risk.layout, layout)
    loss, gradient = risk.loss_and_gradient(theta)
    for r in range(RESTARTS):
        f, g = expected_by_autograd(autograd_risk, risk, theta[r])
        # Both are the same products in another order: some thousand roundings of 1e-16 at most.
        assert float((gradient[r] - g).norm()) <= 1e-12 * (1 + float(g.norm()))
        assert float((loss[r] - f).abs()) <= 1e-12 * (1 + float(f.abs()))
    assert torch.equal(risk.loss(theta), loss)


@pytest.mark.stress
@pytest.mark.parametrize(("widest", "layout"), [(4, Lanes), (9, Products)])
@settings(max_examples=3000)
@given(data=st.data())
def test_loss_and_gradient_equal_autograd_on_thousands_of_architectures(
    autograd_risk: Callable[..., Tensor], widest: int, layout: type, data: st.DataObject
) -> None:
    risk, theta = data.draw(risks(widest))
    assert isinstance(risk.layout, layout)
    _, gradient = risk.loss_and_gradient(theta)
    for r in range(RESTARTS):
        _, g = expected_by_autograd(autograd_risk, risk, theta[r])
        assert float((gradient[r] - g).norm()) <= 1e-12 * (1 + float(g.norm()))


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("widths", [(3, 4, 2), (3, 7, 2)], ids=["lanes", "products"])
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "relu"])  # smooth ones
def test_the_gradient_equals_central_finite_differences_of_the_loss(
    name: str, widths: tuple[int, ...], loss: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    network = Network(widths, name, name)
    risk = dataclasses.replace(risk_of(network, 5, generator, loss), l2_weights=0.1, l2_biases=0.2)
    theta = draw(generator, 1, network.size) / 2
    h = 1e-5
    shifts = h * torch.eye(network.size, dtype=torch.float64)
    difference = (risk.loss(theta + shifts) - risk.loss(theta - shifts)) / (2 * h)
    # Truncation h² f'''/6 and rounding 1e-16 f / h: 1e-10 each for f and its derivatives of size 1 to 10.
    assert float((risk.loss_and_gradient(theta)[1][0] - difference).abs().max()) < 2e-9


def test_the_penalties_are_half_the_squares_of_the_weights_and_of_the_biases() -> None:
    generator = torch.Generator().manual_seed(1)
    for widths in ((3, 4, 2), (3, 7, 2)):
        network = Network(widths)
        plain = risk_of(network, 5, generator)
        theta = draw(generator, 4, network.size)
        f, g = plain.loss_and_gradient(theta)
        ones = [one for i, o in itertools.pairwise(widths) for one in [1.0] * (i * o) + [0.0] * o]
        is_weight = torch.tensor(ones, dtype=torch.float64)
        for key, chosen in (("l2_weights", is_weight), ("l2_biases", 1 - is_weight)):
            penalised = dataclasses.replace(plain, **{key: 0.7})
            loss, gradient = penalised.loss_and_gradient(theta)
            # One sum of some 40 squares of size 1.
            torch.testing.assert_close(loss, f + 0.35 * (theta**2 * chosen).sum(1), rtol=1e-14, atol=1e-14)
            torch.testing.assert_close(gradient, g + 0.7 * theta * chosen, rtol=1e-15, atol=1e-15)


def test_cross_entropy_reads_the_last_pre_activation_whatever_the_output_activation_is_called() -> None:
    generator = torch.Generator().manual_seed(2)
    risk = risk_of(Network((3, 4, 3), output="relu"), 6, generator, "cross_entropy")
    other = dataclasses.replace(risk, network=dataclasses.replace(risk.network, output="tanh"))
    theta = draw(generator, 5, risk.size)
    assert torch.equal(risk.loss(theta), other.loss(theta))
    outputs = risk.outputs(theta)
    torch.testing.assert_close(outputs.sum(1), torch.ones(5, 6, dtype=torch.float64))
    expected = -(risk.targets * outputs.log()).sum(1).mean(1)
    torch.testing.assert_close(risk.loss(theta), expected, rtol=1e-13, atol=0)


def test_cross_entropy_stays_finite_where_a_naive_softmax_overflows() -> None:
    network = Network((1, 2), bias=False)
    risk = EmpiricalRisk(network, torch.ones(1, 1).double(), torch.tensor([[1.0], [0.0]]).double(), "cross_entropy")
    loss, gradient = risk.loss_and_gradient(torch.tensor([[0.0, 2000.0], [2000.0, 0.0]]).double())
    # z = (0, 2000), class 0: f = log(1 + e^2000) = 2000, and the softmax is (0, 1); the other way round f = 0.
    assert loss.tolist() == [2000.0, 0.0]
    assert gradient.tolist() == [[-1.0, 1.0], [0.0, 0.0]]


@pytest.mark.parametrize("widths", [(3, 4, 2), (3, 7, 2)], ids=["lanes", "products"])
def test_outputs_are_those_of_a_naive_forward_pass(widths: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(3)
    network = Network(widths, "tanh", "logistic")
    risk, theta = risk_of(network, 5, generator), draw(generator, 70, network.size)
    for r in (0, 69):
        parts = np.split(theta[r].numpy(), np.cumsum([widths[1] * 3, widths[1], 2 * widths[1]]))
        W0, b0, W1, b1 = parts[0].reshape(-1, 3), parts[1], parts[2].reshape(2, -1), parts[3]
        hidden = np.tanh(W0 @ risk.inputs.numpy() + b0[:, None])
        expected = 1 / (1 + np.exp(-(W1 @ hidden + b1[:, None])))
        np.testing.assert_allclose(risk.outputs(theta)[r], expected, rtol=1e-13)


@pytest.mark.parametrize("widths", [(3, 4, 2), (3, 7, 2)], ids=["lanes", "products"])
def test_a_minibatch_is_the_risk_on_those_samples_alone(widths: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(4)
    network = Network(widths)
    risk, theta = risk_of(network, 9, generator), draw(generator, 5, network.size)
    risk = dataclasses.replace(risk, l2_weights=0.2)
    chosen = torch.tensor([7, 0, 3])
    alone = dataclasses.replace(risk, inputs=risk.inputs[:, chosen], targets=risk.targets[:, chosen])
    chunk = risk.chunk(5)
    gradient = chunk.unpack(chunk.batch(chosen).gradient(chunk.pack(theta)))
    assert torch.equal(gradient, alone.loss_and_gradient(theta)[1])


@pytest.mark.parametrize("widths", [(3, 4, 2), (3, 7, 2)], ids=["lanes", "products"])
def test_a_chunk_returns_what_it_holds_and_the_gradient_with_or_without_the_loss(widths: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(5)
    network = Network(widths)
    risk, theta = risk_of(network, 4, generator), draw(generator, 5, network.size)
    chunk = risk.chunk(5)
    packed = chunk.pack(theta)
    assert torch.equal(chunk.unpack(packed), theta)
    alone = chunk.gradient(packed).clone()
    loss, gradient = chunk.loss_and_gradient(packed)
    assert torch.equal(gradient, alone)
    assert torch.equal(loss[:5], risk.loss(theta))
    assert torch.equal(chunk.pack(theta), packed)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("name", list(ACTIVATIONS))
@pytest.mark.parametrize("widths", [(2, 4, 2), (3, 7, 2), (64, 25, 10)], ids=str)
def test_a_restart_has_the_same_loss_and_gradient_to_the_bit_in_any_batch_and_with_any_threads(
    widths: tuple[int, ...], name: str, loss: str
) -> None:
    generator = torch.Generator().manual_seed(6)
    network = Network(widths, name, name)
    risk = risk_of(network, 50 if widths[0] == 64 else 5, generator, loss)
    theta = draw(generator, 150, network.size)
    threads = torch.get_num_threads()
    try:
        for dtype in (torch.float64, torch.float32):
            cast = dataclasses.replace(risk, inputs=risk.inputs.to(dtype), targets=risk.targets.to(dtype))
            whole = [*cast.loss_and_gradient(theta.to(dtype)), cast.outputs(theta.to(dtype))]
            for count, rows in ((1, [0]), (2, [149]), (3, [7, 3]), (5, [*range(20, 90)]), (3, [*range(150)])):
                torch.set_num_threads(count)
                part = theta[rows].to(dtype)
                for all_of, some in zip(whole, [*cast.loss_and_gradient(part), cast.outputs(part)], strict=True):
                    assert torch.equal(all_of[rows], some)
    finally:
        torch.set_num_threads(threads)


def test_what_is_held_out_plays_no_part_in_the_risk_of_a_study() -> None:
    """Of 4 corners 3 are kept: f at θ = 0 is the mean of ½ (½ - y)² = 1/8 over them, whatever the fourth is."""
    study = Study.from_config({"problem": {"name": "xor", "holdout": 0.25}})
    theta = torch.zeros(1, study.network.size, dtype=torch.float64)
    assert study.objective.samples == 3
    assert study.objective.loss(theta).tolist() == [0.125]
    assert study.holdout is not None
    assert study.holdout.samples == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"loss_name": "square"}, "unknown objective.loss 'square': did you mean 'squared'?"),
        ({"inputs": torch.zeros(3, 4)}, "the problem has 3 features, the network 2"),
        ({"targets": torch.zeros(2, 4)}, "the problem has 2 targets, the network 1"),
    ],
)
def test_what_does_not_fit_together_is_refused(changed: dict[str, Any], message: str) -> None:
    arguments = {"network": Network((2, 3, 1)), "inputs": torch.zeros(2, 4), "targets": torch.zeros(1, 4), **changed}
    with pytest.raises(ConfigError) as caught:
        EmpiricalRisk(**arguments)
    assert str(caught.value) == message
