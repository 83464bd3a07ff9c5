from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from basinet.mlp import symmetry
from basinet.mlp.activations import ACTIVATIONS
from basinet.mlp.network import Network
from basinet.mlp.symmetry import SymmetryGroup
from basinet.objectives.empirical_risk import EmpiricalRisk
from naive_symmetries import flip, mix, random_copies, rescale, shift

RESTARTS = 3
SAMPLES = 12


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def risk_of(group: SymmetryGroup, seed: int, samples: int = SAMPLES) -> EmpiricalRisk:
    """An objective that has this group, on random samples."""
    x, y = draw(seed, group.network.widths[0], samples), draw(seed + 1, group.network.widths[-1], samples)
    loss = "cross_entropy" if group.softmax else "squared"
    y = torch.softmax(y, 0) if group.softmax else y
    return EmpiricalRisk(group.network, x, y, loss, group.l2_weights, group.l2_biases)


def stretched(group: SymmetryGroup, theta: Tensor) -> Tensor:
    """The same with every other unit's bias 0, so that a penalty on biases leaves some scales free."""
    result = theta.clone()
    for layer in group.network.layers(result):
        if layer.bias is not None:
            layer.bias[:, ::2] = 0
    return result


@st.composite
def groups(draw_: st.DrawFn, names: tuple[str, ...] = tuple(ACTIVATIONS)) -> tuple[SymmetryGroup, Tensor, int]:
    """Any network of depth 2 to 6, any penalties and loss; with parameters."""
    widths = tuple(draw_(st.lists(st.integers(1, 5), min_size=3, max_size=7)))
    network = Network(widths, draw_(st.sampled_from(names)), draw_(st.sampled_from(names)), draw_(st.booleans()))
    penalties = draw_(st.sampled_from([0.0, 0.0, 0.3])), draw_(st.sampled_from([0.0, 0.0, 0.2]))
    group = SymmetryGroup(network, *penalties, softmax=draw_(st.booleans()) and widths[-1] > 1)
    seed = draw_(st.integers(0, 2**20))
    theta = draw(seed, RESTARTS, network.size)
    return group, stretched(group, theta) if draw_(st.booleans()) else theta, seed


def norm(tensor: Tensor) -> float:
    return float(torch.linalg.vector_norm(tensor))


@settings(max_examples=200)
@given(case=groups())
def test_a_random_element_of_the_group_changes_neither_the_outputs_nor_the_loss(
    case: tuple[SymmetryGroup, Tensor, int],
) -> None:
    group, theta, seed = case
    risk, copy = risk_of(group, seed), random_copies(group, theta, seed)
    # Mixing matrices have condition numbers of at most some hundred in each of up to 5 layers.
    tolerance = 1e-10 * (1 + norm(theta) ** group.network.depth)
    assert norm(risk.outputs(copy) - risk.outputs(theta)) <= tolerance
    torch.testing.assert_close(risk.loss(copy), risk.loss(theta), rtol=1e-9, atol=tolerance)


@settings(max_examples=200)
@given(case=groups(tuple(name for name in ACTIVATIONS if name != "identity")))
def test_copies_have_one_canonical_form_and_no_distance(case: tuple[SymmetryGroup, Tensor, int]) -> None:
    group, theta, seed = case
    copy = random_copies(group, theta, seed)
    canonical = group.canonical(theta)
    # Scales of 2^±3 per layer; the rest is permuted, negated, or (a logistic flip) added once.
    tolerance = 1e-10 * (1 + norm(canonical))
    assert norm(group.canonical(copy) - canonical) <= tolerance
    assert norm(group.canonical(canonical) - canonical) <= tolerance
    risk = risk_of(group, seed)
    assert norm(risk.outputs(canonical) - risk.outputs(theta)) <= 1e-10 * (1 + norm(theta) ** group.network.depth)
    for r in range(RESTARTS):
        assert group.distance(theta[r], copy[r]) <= tolerance
        assert group.distance(copy[r], theta[r]) <= tolerance


@settings(max_examples=50)
@given(case=groups(("tanh", "logistic", "relu", "gelu")))
def test_neighbours_stay_neighbours_and_other_points_stay_apart(case: tuple[SymmetryGroup, Tensor, int]) -> None:
    group, theta, seed = case
    near = theta + 1e-9 * draw(seed + 2, *theta.shape)
    for r, copy in enumerate(random_copies(group, near, seed)):
        # Fixing a scale divides by ‖(w, b)‖, which is above 1e-3 in the examples.
        assert group.distance(theta[r], copy) <= 1e-5 * (1 + norm(theta[r]))
    assume(group.network.size > 4)  # not a case of one number more or less
    assert group.distance(theta[0], theta[1]) > 1e-3


def test_a_symmetry_of_the_data_is_none_of_the_network() -> None:
    """Exchange the two inputs of XOR: the same loss, other parameters."""
    group = SymmetryGroup(Network((2, 2, 1)))
    x = torch.tensor([[0.0, 0, 1, 1], [0, 1, 0, 1]], dtype=torch.float64)
    risk = EmpiricalRisk(group.network, x, torch.tensor([[0.0, 1, 1, 0]], dtype=torch.float64))
    theta = draw(0, 1, 9)
    exchanged = theta[:, [1, 0, 3, 2, 4, 5, 6, 7, 8]]
    torch.testing.assert_close(risk.loss(exchanged), risk.loss(theta), rtol=1e-14, atol=0)
    assert group.distance(theta[0], exchanged[0]) > 0.1
    assert norm(group.canonical(theta) - group.canonical(exchanged)) > 0.1


def test_structured_minima_have_no_ties() -> None:
    """Rows (1, -1) and (-1, 1), equal rows with other columns, equal columns with other rows, units that are 0."""
    network = Network((2, 3, 1), "tanh", "identity", bias=False)
    group = SymmetryGroup(network)
    rows = [[1.0, -1, -1, 1, 2, 2], [1, 1, 1, 1, 1, -1], [1, 2, 2, 1, 1, -2], [1, -1, 0, 0, 0, 0]]
    columns = [[1.0, 1, 1], [0.25, 0.75, 1], [1, 1, -1], [1, 0, 0]]
    theta = torch.tensor([row + column for row, column in zip(rows, columns, strict=True)], dtype=torch.float64)
    noise = 1e-12 * draw(1, 20, *theta.shape)
    for trial in range(20):
        copy = random_copies(group, theta + noise[trial], trial)
        assert float((group.canonical(copy) - group.canonical(theta)).abs().max()) < 1e-11


def test_a_batch_is_its_rows_and_arguments_are_left_alone() -> None:
    for name, bias in itertools.product(ACTIVATIONS, (True, False)):
        group = SymmetryGroup(Network((3, 4, 5, 2), name, name, bias))
        theta = draw(2, 5, group.network.size)
        before = theta.clone()
        canonical, zeros = group.canonical(theta), group.explained_zeros(theta)
        group.align(theta[0], theta[1])
        assert torch.equal(theta, before)
        for r in range(5):
            assert torch.equal(group.canonical(theta[r : r + 1]), canonical[r : r + 1])
            assert torch.equal(group.explained_zeros(theta[r : r + 1]), zeros[r : r + 1])


# Which symmetries hold


def moved_loss(group: SymmetryGroup, moved: Tensor, theta: Tensor) -> float:
    risk = risk_of(group, 5)
    return float((risk.loss(moved) - risk.loss(theta)).abs().max())


HOLDS = 1e-12  # roundings of numbers of size 1
BROKEN = 1e-3


@pytest.mark.parametrize("depth", [2, 3])
def test_a_logistic_flip_needs_a_next_bias_without_penalty(depth: int) -> None:
    network = Network((*(2, 3, 3, 1)[:depth], 1), output="identity")
    theta = draw(3, RESTARTS, network.size)
    moved = flip(network, theta, 0, [1, 2])
    assert SymmetryGroup(network, l2_weights=0.3).flips
    assert moved_loss(SymmetryGroup(network), moved, theta) < HOLDS
    assert moved_loss(SymmetryGroup(network, l2_weights=0.3), moved, theta) < HOLDS
    assert not SymmetryGroup(network, l2_biases=0.2).flips
    assert moved_loss(SymmetryGroup(network, l2_biases=0.2), moved, theta) > BROKEN
    without = replace(network, bias=False)
    theta = draw(3, RESTARTS, without.size)
    assert not SymmetryGroup(without).flips
    assert moved_loss(SymmetryGroup(without), flip(without, theta, 0, [1, 2]), theta) > BROKEN


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_only_odd_activations_and_the_logistic_flip(name: str) -> None:
    network = Network((2, 3, 1), name, "identity")
    group = SymmetryGroup(network)
    theta = draw(4, RESTARTS, network.size)
    change = moved_loss(group, flip(network, theta, 0, [1]), theta)
    assert group.flips == (name in ("tanh", "erf", "identity", "logistic"))
    assert change < HOLDS if group.flips else change > BROKEN


def test_relu_scales_need_weights_without_penalty_and_biases_that_are_0_or_without_penalty() -> None:
    network = Network((2, 3, 1), "relu", "identity")
    theta, factors = draw(5, RESTARTS, network.size), [1, 2, 1]
    moved = rescale(network, theta, 0, factors)
    free, weights, biases = SymmetryGroup(network), SymmetryGroup(network, 0.3), SymmetryGroup(network, 0.0, 0.2)
    assert free.rescales
    assert moved_loss(free, moved, theta) < HOLDS
    assert not weights.rescales
    assert moved_loss(weights, moved, theta) > BROKEN
    assert moved_loss(biases, moved, theta) > BROKEN
    assert biases.explained_zeros(theta).tolist() == [0] * RESTARTS
    assert norm(biases.canonical(theta) - SymmetryGroup(network, 0.3).canonical(theta)) < HOLDS  # nothing is scaled
    theta[:, 7] = 0  # the bias of unit 1
    assert moved_loss(biases, rescale(network, theta, 0, factors), theta) < HOLDS
    assert biases.explained_zeros(theta).tolist() == [1] * RESTARTS
    assert free.explained_zeros(theta).tolist() == [3] * RESTARTS


def test_linear_layers_mix_by_any_matrix_and_under_a_penalty_by_rotations_only() -> None:
    network = Network((3, 2, 3), "identity", "identity")
    theta, matrix = draw(6, RESTARTS, network.size), draw(7, 2, 2)
    rotation, _ = torch.linalg.qr(matrix)
    for penalties in ((0.0, 0.0), (0.3, 0.0), (0.0, 0.2), (0.3, 0.2)):
        group = SymmetryGroup(network, *penalties)
        change = moved_loss(group, mix(network, theta, 0, matrix), theta)
        assert change < HOLDS if penalties == (0.0, 0.0) else change > BROKEN
        assert moved_loss(group, mix(network, theta, 0, rotation), theta) < HOLDS
        shifted = moved_loss(group, shift(network, theta, 0, matrix[0]), theta)
        assert shifted < HOLDS if group.shifts else shifted > BROKEN
        assert group.shifts == (penalties[1] == 0)
    assert SymmetryGroup(network).by_function
    assert not SymmetryGroup(Network((3, 3), "identity", "identity")).by_function


@pytest.mark.parametrize("penalties", [(0.0, 0.0), (0.3, 0.0), (0.0, 0.2), (0.3, 0.2)])
def test_a_softmax_does_not_see_what_all_outputs_share(penalties: tuple[float, float]) -> None:
    group = SymmetryGroup(Network((2, 3)), *penalties, softmax=True)
    theta = draw(8, RESTARTS, 9)
    weights = theta + torch.tensor([1.0, 2, 1, 2, 1, 2, 0, 0, 0])
    biases = theta + torch.tensor([0.0, 0, 0, 0, 0, 0, 1, 1, 1])
    for moved, penalty in ((weights, penalties[0]), (biases, penalties[1])):
        change = moved_loss(group, moved, theta)
        same = norm(group.canonical(moved) - group.canonical(theta)) < 1e-12
        assert change < HOLDS if penalty == 0 else change > BROKEN
        assert same == (penalty == 0)
    assert group.explained_zeros(theta).tolist() == [2 * (penalties[0] == 0) + (penalties[1] == 0)] * RESTARTS


# Explained zeros


@settings(max_examples=150)
@given(case=groups(("relu", "identity")))
def test_the_gradient_has_no_part_along_the_tangents(case: tuple[SymmetryGroup, Tensor, int]) -> None:
    """f is constant on orbits, so ∇f · t = 0 everywhere, penalties included."""
    group, theta, seed = case
    _, gradient = risk_of(group, seed).loss_and_gradient(theta)
    tangents = group.tangents(theta)
    along = (tangents * gradient.unsqueeze(1)).sum(2)
    size = torch.linalg.vector_norm(tangents, dim=2) * torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
    assert bool((along.abs() <= 1e-12 * (1 + size)).all())  # sums of up to some hundred products


@settings(max_examples=50)
@given(
    widths=st.lists(st.integers(1, 5), min_size=2, max_size=5),
    bias=st.booleans(),
    softmax=st.booleans(),
    seed=st.integers(0, 2**20),
)
def test_all_zeros_at_a_perfect_fit_of_a_linear_network_are_explained(
    widths: list[int], bias: bool, softmax: bool, seed: int
) -> None:
    """There the Hessian is Jᵀ ℓ'' J with J the derivative of the answers on samples that span the inputs."""
    network = Network(tuple(widths), "identity", "identity", bias)
    group = SymmetryGroup(network, softmax=softmax and widths[-1] > 1)
    theta, x = draw(seed, RESTARTS, network.size), draw(seed + 1, widths[0], SAMPLES)
    for r in range(RESTARTS):
        blank = EmpiricalRisk(network, x, torch.zeros(widths[-1], SAMPLES).double(), risk_of(group, 0).loss_name)
        risk = replace(blank, targets=blank.outputs(theta[r : r + 1])[0])
        H = risk.hessian(theta[r : r + 1])[0]
        eigenvalues = torch.linalg.eigvalsh(H)
        assume(not bool(((eigenvalues.abs() > 1e-12 * eigenvalues[-1]) & (eigenvalues < 1e-8 * eigenvalues[-1])).any()))
        zeros = int((eigenvalues < 1e-10 * eigenvalues[-1]).sum())
        assert group.explained_zeros(theta[r : r + 1]).tolist() == [zeros]
        tangents = group.tangents(theta[r : r + 1])[0]
        assert norm(H @ tangents.T) <= 1e-12 * (1 + norm(H) * norm(tangents))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(
    ("widths", "zeros"),
    [
        ((5, 1, 4), 1),
        ((5, 2, 4), 4),
        ((5, 3, 4), 9),
        ((5, 4, 4), 16),
        ((4, 6, 4), 32),
        ((6, 6, 4), 36),
        ((10, 6, 4), 44),
    ],
)
def test_one_hidden_linear_layer_explains_the_group_of_invertible_matrices(
    widths: tuple[int, ...], zeros: int, bias: bool
) -> None:
    group = SymmetryGroup(Network(widths, "identity", "identity", bias))
    theta = draw(9, RESTARTS, group.network.size)
    assert group.explained_zeros(theta).tolist() == [zeros + bias * widths[1]] * RESTARTS
    orbit = torch.linalg.matrix_rank(group.tangents(theta), rtol=1e-10)
    assert orbit.tolist() == [min(zeros, widths[1] ** 2) + bias * widths[1]] * RESTARTS


@pytest.mark.parametrize("n", range(2, 8))
def test_a_chain_explains_all_directions_but_one_and_fewer_where_weights_vanish(n: int) -> None:
    group = SymmetryGroup(Network((1,) * (n + 1), "identity", "identity", bias=False))
    theta = draw(10, 4, n)
    theta[1, 0] = 0
    theta[2, :2] = 0
    theta[3] = 0
    # With two neighbouring zeros one of the n - 1 generators (w_i, -w_{i+1}) is zero, at the origin all are.
    assert group.explained_zeros(theta).tolist() == [n - 1, n - 1, n - 2, 0]


@pytest.mark.parametrize("penalties", [(0.02, 0.0), (0.02, 0.01), (0.0, 0.01)])
@pytest.mark.parametrize("bias", [False, True])
def test_at_a_minimum_under_a_penalty_the_rotations_and_what_else_survives_explain_all_zeros(
    penalties: tuple[float, float], bias: bool
) -> None:
    group = SymmetryGroup(Network((4, 3, 3, 3), "identity", "identity", bias), *penalties)
    risk = risk_of(group, 20, samples=30)
    x, y = (samples - samples.mean(1, keepdim=True) for samples in (risk.inputs, risk.targets))
    risk = replace(risk, inputs=x, targets=y)  # with an offset to fit and free weights, biases shrink for ever
    start = draw(21, 1, risk.size) / 2
    for layer in risk.network.layers(start):
        if layer.bias is not None:
            layer.bias.zero_()
    theta = descended(risk, start)
    H = risk.hessian(theta)[0]
    eigenvalues = torch.linalg.eigvalsh(H)
    zeros = int((eigenvalues.abs() < 1e-9 * eigenvalues[-1]).sum())
    assert float(eigenvalues[0]) > -1e-9
    assert group.explained_zeros(theta).tolist() == [zeros]
    tangents = group.tangents(theta)[0]
    assert norm(H @ tangents.T) < 1e-8 * norm(H) * norm(tangents)
    assert int(torch.linalg.matrix_rank(tangents, rtol=1e-7)) == zeros


def test_at_a_minimum_of_a_softmax_regression_the_shared_shift_is_all_that_is_flat() -> None:
    group = SymmetryGroup(Network((3, 4)), softmax=True)
    risk = risk_of(group, 22, samples=40)  # targets are proper probabilities, so the minimum is finite
    theta = descended(risk, draw(23, 1, risk.size))
    eigenvalues = torch.linalg.eigvalsh(risk.hessian(theta)[0])
    assert int((eigenvalues.abs() < 1e-10 * eigenvalues[-1]).sum()) == 4
    assert group.explained_zeros(theta).tolist() == [4]


def descended(risk: EmpiricalRisk, theta: Tensor) -> Tensor:
    """A minimum by damped Newton steps, one restart `[1, parameter]`."""
    damping = 1e-1
    loss, gradient = risk.loss_and_gradient(theta)
    for _ in range(300):
        eigenvalues, vectors = torch.linalg.eigh(risk.hessian(theta)[0])
        step = vectors @ ((vectors.T @ gradient[0]) / (eigenvalues.abs() + damping))
        after, after_gradient = risk.loss_and_gradient(theta - step)
        if bool(after <= loss * (1 + 1e-15)):
            theta, loss, gradient, damping = theta - step, after, after_gradient, max(damping / 4, 1e-9)
        else:
            damping *= 8
        if norm(gradient) < 1e-14:
            break
    assert norm(gradient) < 1e-12
    return theta


def test_relu_units_that_are_zero_explain_nothing() -> None:
    group = SymmetryGroup(Network((2, 4, 3, 1), "relu", "identity"))
    theta = draw(11, 4, group.network.size)
    first, second, last = (list(group.network.layers(theta))[index] for index in range(3))
    for tensor in (first.weight[1, 0], first.bias[1, 0], second.weight[1, :, 0]):
        tensor.zero_()  # no unit at all
    first.weight[2, 0] = first.bias[2, 0] = 0  # never on: its outgoing weights may still move
    last.weight[3] = 0  # no unit is heard; incoming rows may still move
    assert group.explained_zeros(theta).tolist() == [7, 6, 7, 7]


def test_a_restart_that_is_not_finite_explains_nothing_and_disturbs_nobody() -> None:
    for name in ("relu", "identity"):
        group = SymmetryGroup(Network((2, 3, 3, 2), name, "identity"))
        theta = draw(12, 3, group.network.size)
        expected = group.explained_zeros(theta).tolist()
        theta[1, 4] = torch.nan
        assert group.explained_zeros(theta).tolist() == [expected[0], 0, expected[2]]


def test_explained_zeros_do_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    group = SymmetryGroup(Network((2, 3, 3, 2), "relu", "identity"))
    theta = draw(13, 7, group.network.size)
    expected = group.explained_zeros(theta)
    monkeypatch.setattr(symmetry, "_ELEMENTS", 1)
    assert torch.equal(group.explained_zeros(theta), expected)
