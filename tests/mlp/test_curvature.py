from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from basinet.mlp import curvature
from basinet.mlp.activations import ACTIVATIONS
from basinet.mlp.curvature import MeanLoss
from basinet.mlp.layouts import Lanes, Layout, Products
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk

LAYOUTS: list[Layout] = [Lanes(), Products()]
RESTARTS = 3

Case = tuple[EmpiricalRisk, Tensor, Tensor]


def draw(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def risk_of(network: Network, samples: int, generator: torch.Generator, loss: str = "squared") -> EmpiricalRisk:
    """Random samples; under cross-entropy the targets are probabilities."""
    x, y = draw(generator, network.widths[0], samples), draw(generator, network.widths[-1], samples)
    return EmpiricalRisk(network, x, torch.softmax(y, 0) if loss == "cross_entropy" else y, loss)


def mean_loss(risk: EmpiricalRisk, layout: Layout) -> MeanLoss:
    """The same function with a layout of the test's choice, whatever the widths."""
    return MeanLoss(risk.trained_network, risk.inputs, risk.targets, risk.loss_function, risk.decay, layout)


@st.composite
def risks(draw_: st.DrawFn) -> Case:
    """Any network of depth 1 to 5, any loss and penalty; with parameters and directions for it."""
    widths = draw_(st.lists(st.integers(1, 6), min_size=2, max_size=6))
    hidden, output = draw_(st.sampled_from(list(ACTIVATIONS))), draw_(st.sampled_from(list(ACTIVATIONS)))
    network = Network(tuple(widths), hidden, output, draw_(st.booleans()))
    generator = torch.Generator().manual_seed(draw_(st.integers(0, 2**31)))
    loss = draw_(st.sampled_from(["squared", "cross_entropy"]))
    penalties = {key: draw_(st.sampled_from([0.0, 0.3])) for key in ("l2_weights", "l2_biases")}
    risk = dataclasses.replace(risk_of(network, draw_(st.integers(1, 20)), generator, loss), **penalties)
    scale = draw_(st.sampled_from([0.1, 1.0, 3.0]))
    return risk, draw(generator, RESTARTS, network.size) * scale, draw(generator, RESTARTS, network.size)


def hessian_by_autograd(autograd_risk: Callable[..., Tensor], risk: EmpiricalRisk, theta: Tensor) -> Tensor:
    network = risk.network
    last = "softmax" if risk.loss_name == "cross_entropy" else network.output
    names = [network.activation] * (network.depth - 1) + [last]
    penalties = risk.l2_weights, risk.l2_biases

    def f(vector: Tensor) -> Tensor:
        return autograd_risk(vector, network.widths, names, risk.inputs, risk.targets, network.bias, penalties)

    result: Tensor = torch.func.vmap(torch.func.hessian(f))(theta)
    return result


def check_against_autograd(autograd_risk: Callable[..., Tensor], layout: Layout, case: Case) -> None:
    risk, theta, v = case
    f = mean_loss(risk, layout)
    hessian, product = curvature.hessian(f, theta), curvature.hvp(f, theta, v)
    assert torch.equal(hessian, hessian.mT)
    assert bool(hessian.isfinite().all())
    for r, expected in enumerate(hessian_by_autograd(autograd_risk, risk, theta)):
        if not expected.isfinite().all():
            continue  # far out, torch's second derivative of logaddexp overflows
        # 1e-10 relative to ‖H‖; the second term is for saturated networks, whose H is nearly zero: the oracle's
        # activations have absolute roundings of 1e-16 (gelu's 1 + erf z at z < 0), enlarged by the weights.
        tolerance = 1e-10 * float(expected.norm()) + 1e-13
        assert float((hessian[r] - expected).norm()) <= tolerance
        assert float((product[r] - expected @ v[r]).norm()) <= tolerance * float(v[r].norm())


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")  # torch.func's own import
@pytest.mark.parametrize("layout", LAYOUTS, ids=["lanes", "products"])
@settings(max_examples=25)
@given(case=risks())
def test_hessian_and_products_equal_autograd_on_some_architectures(
    autograd_risk: Callable[..., Tensor], layout: Layout, case: Case
) -> None:
    check_against_autograd(autograd_risk, layout, case)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("layout", LAYOUTS, ids=["lanes", "products"])
@settings(max_examples=80)
@given(case=risks())
def test_hessian_and_products_equal_autograd_on_any_architecture(
    autograd_risk: Callable[..., Tensor], layout: Layout, case: Case
) -> None:
    check_against_autograd(autograd_risk, layout, case)


@pytest.mark.stress
@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("layout", LAYOUTS, ids=["lanes", "products"])
@settings(max_examples=500)
@given(case=risks())
def test_hessian_and_products_equal_autograd_on_thousands_of_architectures(
    autograd_risk: Callable[..., Tensor], layout: Layout, case: Case
) -> None:
    check_against_autograd(autograd_risk, layout, case)


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
@pytest.mark.parametrize("widths", [(3, 4, 2), (3, 7, 2)], ids=["lanes", "products"])
@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "relu"])  # smooth ones
def test_the_hessian_equals_central_finite_differences_of_the_gradient(
    name: str, widths: tuple[int, ...], loss: str
) -> None:
    generator = torch.Generator().manual_seed(0)
    network = Network(widths, name, name)
    risk = dataclasses.replace(risk_of(network, 5, generator, loss), l2_weights=0.1, l2_biases=0.2)
    theta = draw(generator, 1, network.size) / 2
    h = 1e-5
    shifts = h * torch.eye(network.size, dtype=torch.float64)
    upper, lower = risk.loss_and_gradient(theta + shifts)[1], risk.loss_and_gradient(theta - shifts)[1]
    # Truncation h² g'''/6 and rounding 1e-16 g / h: 1e-10 each for derivatives of size 1 to 10.
    assert float((risk.hessian(theta)[0] - (upper - lower) / (2 * h)).abs().max()) < 2e-9


@pytest.mark.parametrize("outputs", [1, 3, 6])
@pytest.mark.parametrize("bias", [True, False])
def test_the_hessian_of_one_linear_layer_is_the_second_moment_of_the_inputs(outputs: int, bias: bool) -> None:
    """H = (1/N) X̃X̃ᵀ ⊗ I + λ, X̃ the inputs and a row of ones, wherever θ is."""
    generator = torch.Generator().manual_seed(1)
    network = Network((3, outputs), output="identity", bias=bias)
    risk = dataclasses.replace(risk_of(network, 11, generator), l2_weights=0.25, l2_biases=0.5)
    extended = torch.cat([risk.inputs, torch.ones(1, 11)]) if bias else risk.inputs
    moments = extended @ extended.T / 11
    position = [  # of the weight of (output, input) in θ; the bias is input 3
        [o * 3 + i if i < 3 else 3 * outputs + o for i in range(len(extended))] for o in range(outputs)
    ]
    expected = torch.diag(torch.tensor([0.25] * 3 * outputs + [0.5] * outputs * bias, dtype=torch.float64))
    for row in position:
        for (i, p), (j, q) in itertools.product(enumerate(row), repeat=2):
            expected[p, q] += moments[i, j]
    for hessian in risk.hessian(draw(generator, 4, network.size)):
        torch.testing.assert_close(hessian, expected, rtol=1e-14, atol=1e-14)  # sums of 11 products


def test_a_chain_on_its_minima_has_one_curved_direction() -> None:
    """f = ½(s − w_n⋯w_1)²: at ∏w = s the Hessian is s² u uᵀ, u_i = 1/w_i."""
    s, n = 2.0, 5
    network = Network((1,) * (n + 1), "identity", "identity", bias=False)
    risk = EmpiricalRisk(network, torch.ones(1, 1).double(), torch.full((1, 1), s).double())
    theta = draw(torch.Generator().manual_seed(2), 7, n)
    theta = theta * (s / theta.prod(1, keepdim=True).abs()) ** (1 / n)
    theta = theta * torch.where(theta.prod(1, keepdim=True) < 0, torch.tensor([-1.0] + [1.0] * (n - 1)), 1.0)
    # Products of 5 numbers: some ten roundings relative to the largest entry.
    scale = s**2 * theta.reciprocal().square().sum(1)[:, None, None]
    expected = s**2 * theta.reciprocal()[:, :, None] * theta.reciprocal()[:, None, :]
    assert float(((risk.hessian(theta) - expected) / scale).abs().max()) < 1e-14


@pytest.mark.parametrize("layout", LAYOUTS, ids=["lanes", "products"])
def test_blocks_of_samples_and_chunks_of_restarts_add_up(monkeypatch: pytest.MonkeyPatch, layout: Layout) -> None:
    generator = torch.Generator().manual_seed(3)
    risk = risk_of(Network((2, 5, 4, 3), "tanh"), 100, generator, "cross_entropy")
    f, theta = mean_loss(risk, layout), draw(generator, 150, risk.size)
    whole = curvature.hessian(f, theta)
    monkeypatch.setattr(curvature, "_ELEMENTS", 1)
    monkeypatch.setattr(curvature, "_FEWEST_SAMPLES", 16)
    restarts, samples = curvature._chunk_sizes(f)
    assert restarts < 150
    assert samples == 16
    # Sums of 100 numbers in another order.
    torch.testing.assert_close(curvature.hessian(f, theta), whole, rtol=1e-13, atol=1e-14)


@settings(max_examples=40)
@given(case=risks(), restarts=st.integers(2, 140), data=st.data())
def test_a_restart_alone_is_the_same_numbers_as_in_a_batch(case: Case, restarts: int, data: st.DataObject) -> None:
    risk, _, _ = case
    generator = torch.Generator().manual_seed(restarts)
    theta, v = draw(generator, restarts, risk.size), draw(generator, restarts, risk.size)
    hessian, product = risk.hessian(theta), risk.hvp(theta, v)
    first = data.draw(st.integers(0, restarts - 1))
    some = slice(first, data.draw(st.integers(first + 1, restarts)))
    assert torch.equal(risk.hessian(theta[some].clone()), hessian[some])
    assert torch.equal(risk.hvp(theta[some].clone(), v[some].clone()), product[some])


@pytest.mark.parametrize("widths", [(64, 8, 10), (30, 30, 1), (13, 7, 7, 7, 3)], ids=str)
def test_so_it_is_for_networks_as_wide_as_dense_hessians_are_asked_for(widths: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(4)
    risk = risk_of(Network(widths, "tanh"), 70, generator)
    theta = draw(generator, 5, risk.size)
    hessian = risk.hessian(theta)
    for r in range(5):
        assert torch.equal(risk.hessian(theta[r : r + 1].clone())[0], hessian[r])


@pytest.mark.parametrize("widths", [(2, 3, 2), (3, 7, 2)], ids=["lanes", "products"])
@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_neither_arguments_nor_threads_nor_precision_are_touched(widths: tuple[int, ...], loss: str) -> None:
    generator = torch.Generator().manual_seed(5)
    risk = dataclasses.replace(risk_of(Network(widths), 9, generator, loss), l2_weights=0.1)
    theta, v = draw(generator, 4, risk.size), draw(generator, 4, risk.size)
    before, threads = (theta.clone(), v.clone()), torch.get_num_threads()
    hessian, product = risk.hessian(theta), risk.hvp(theta, v)
    assert torch.equal(theta, before[0])
    assert torch.equal(v, before[1])
    assert torch.get_num_threads() == threads
    single = dataclasses.replace(risk, inputs=risk.inputs.float(), targets=risk.targets.float())
    assert single.hessian(theta.float()).dtype == single.hvp(theta.float(), v.float()).dtype == torch.float32
    # 24 bits, and sums of some ten products of size 1 to 10.
    torch.testing.assert_close(single.hessian(theta.float()).double(), hessian, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(single.hvp(theta.float(), v.float()).double(), product, rtol=1e-4, atol=1e-4)


def test_no_restarts_have_no_hessians() -> None:
    generator = torch.Generator().manual_seed(6)
    for widths in ((2, 3, 2), (3, 7, 2)):
        risk = risk_of(Network(widths), 9, generator)
        nothing = draw(generator, 0, risk.size)
        assert risk.hessian(nothing).shape == (0, risk.size, risk.size)
        assert risk.hvp(nothing, nothing).shape == (0, risk.size)


def test_a_restart_that_is_not_finite_disturbs_nobody() -> None:
    generator = torch.Generator().manual_seed(7)
    for widths in ((2, 3, 2), (3, 7, 2)):
        risk = risk_of(Network(widths, "tanh"), 9, generator)
        theta, v = draw(generator, 5, risk.size), draw(generator, 5, risk.size)
        hessian, product = risk.hessian(theta), risk.hvp(theta, v)
        theta[2] = torch.inf
        theta[3, 0] = torch.nan
        others = [0, 1, 4]
        assert torch.equal(risk.hessian(theta)[others], hessian[others])
        assert torch.equal(risk.hvp(theta, v)[others], product[others])


@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_everything_is_made_on_the_device_of_the_parameters(loss: str) -> None:
    generator = torch.Generator().manual_seed(8)
    for widths in ((2, 3, 2), (3, 7, 2)):
        risk = dataclasses.replace(risk_of(Network(widths), 9, generator, loss), l2_biases=0.1)
        theta = draw(generator, 4, risk.size)
        torch.set_default_device("meta")  # whatever forgets the device ends up there, and then nothing fits together
        try:
            assert risk.hessian(theta).device == risk.hvp(theta, theta).device == theta.device
        finally:
            torch.set_default_device(None)
        with FakeTensorMode():  # tensors that have a shape and a device only; mixing devices raises
            samples = torch.empty(widths[0], 9, device="cuda"), torch.empty(widths[-1], 9, device="cuda")
            pretended = EmpiricalRisk(Network(widths), *samples, loss, l2_weights=0.1)
            parameters = torch.empty(70, risk.size, device="cuda")
            assert pretended.hessian(parameters).shape == (70, risk.size, risk.size)
            assert pretended.hvp(parameters, parameters).device.type == "cuda"
