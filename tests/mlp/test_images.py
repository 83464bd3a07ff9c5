"""How many points a parameter vector stands for: against the whole group, element by element."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from basinet.mlp.exchange import Exchange
from basinet.mlp.network import Network
from basinet.mlp.symmetry import SymmetryGroup

Element = tuple[tuple[int, ...], tuple[int, ...]]


def elements(units: int, flips: bool) -> Iterator[Element]:
    signs = list(itertools.product((1, -1), repeat=units)) if flips else [(1,) * units]
    return itertools.product(itertools.permutations(range(units)), signs)


def images(network: Network, theta: np.ndarray, flips: bool) -> np.ndarray:
    """Every image of θ, one row for each element of the group."""
    rows = []
    for chosen in itertools.product(*(list(elements(units, flips)) for units in network.widths[1:-1])):
        layers, begin = [], 0
        for fan_in, fan_out in itertools.pairwise(network.widths):
            weight = theta[begin : begin + fan_in * fan_out].reshape(fan_out, fan_in).copy()
            begin += weight.size
            bias = theta[begin : begin + fan_out * network.bias].copy()
            begin += bias.size
            layers.append([weight, bias])
        for number, (order, signs) in enumerate(chosen):
            own, following, sign = layers[number], layers[number + 1], np.array(signs)
            own[0] = own[0][list(order)] * sign[:, None]
            own[1] = own[1][list(order)] * sign if network.bias else own[1]
            columns = following[0][:, list(order)]
            if network.activation == "logistic" and flips:  # σ(-z) = 1 - σ(z)
                following[1] = following[1] + (columns * (sign < 0)).sum(1)
            following[0] = columns * sign
        rows.append(np.concatenate([part.ravel() for layer in layers for part in layer]))
    return np.array(rows)


SHAPES = [(1, 2, 1), (2, 3, 1), (1, 2, 2, 1), (2, 2, 3, 1), (1, 1, 1, 1), (1, 2, 1, 2, 1)]
KINDS = [("softplus", True, 1e-3), ("tanh", True, 1e-3), ("tanh", False, 1e-3), ("logistic", True, 0.0)]


def structured(size: int, generator: np.random.Generator) -> np.ndarray:
    """Parameters with units that are equal, opposite, or nothing."""
    theta = generator.integers(-1, 2, size).astype(float) * (generator.random(size) < generator.choice([0.3, 0.7, 1]))
    return np.full(size, generator.choice([0.0, 0.5])) if generator.random() < 0.3 else theta


@pytest.mark.parametrize(("activation", "bias", "l2_biases"), KINDS)
@pytest.mark.parametrize("widths", SHAPES)
def test_an_orbit_is_as_large_as_the_set_of_images(
    widths: tuple[int, ...], activation: str, bias: bool, l2_biases: float
) -> None:
    network, generator = Network(widths, activation, "identity", bias), np.random.default_rng(sum(widths))
    group = SymmetryGroup(network, l2_weights=1e-3, l2_biases=l2_biases)
    for theta in (structured(network.size, generator) for _ in range(6)):
        expected = len(np.unique(images(network, theta, group.flips).round(9) + 0.0, axis=0))
        assert group.orbit_size(torch.from_numpy(theta[None])).tolist() == [expected]


def test_a_wide_layer_of_equal_units_is_one_point() -> None:
    network = Network((2, 40, 1), "softplus", "identity")
    zero, theta = torch.zeros(1, network.size).double(), torch.ones(1, network.size).double()
    theta[0, 0] = 2.0  # one unit is another
    assert SymmetryGroup(network, 1e-3, 1e-3).orbit_size(torch.cat([zero, theta])).tolist() == [1, 40]


def test_on_a_continuous_orbit_there_are_infinitely_many_points() -> None:
    chain = SymmetryGroup(Network((1, 1, 1), "identity", "identity", bias=False))
    assert chain.orbit_size(torch.tensor([[1.0, 2.0]]).double()).tolist() == [np.inf]


def test_vectors_that_are_exchanged_are_counted_by_their_orders() -> None:
    theta = torch.tensor([[1.0, 2.0, 1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 5.0, 6.0, 3.0, 4.0]]).double()
    assert Exchange(3).orbit_size(theta).tolist() == [3, 6]


@pytest.mark.parametrize(("activation", "bias", "l2_biases"), KINDS)
def test_a_near_copy_is_one_of_the_images(activation: str, bias: bool, l2_biases: float) -> None:
    network, generator = Network((2, 2, 3, 1), activation, "identity", bias), np.random.default_rng(5)
    group = SymmetryGroup(network, l2_weights=1e-3, l2_biases=l2_biases)
    theta = generator.normal(size=network.size)
    draws = torch.from_numpy(generator.random((30, 5)))
    copies = group.near_copy(torch.from_numpy(theta).expand(30, -1), draws).numpy()
    every = images(network, theta, group.flips)
    distance = np.abs(copies[:, None] - every[None]).max(2).min(1)
    assert float(distance.max()) < 1e-12
    assert len(np.unique(copies.round(9), axis=0)) > 3


def test_the_nearest_order_of_vectors_is_that_of_all_orders() -> None:
    theta, other = np.random.default_rng(2).normal(size=(2, 3, 2))
    least = min(float(np.linalg.norm(other[list(order)] - theta)) for order in itertools.permutations(range(3)))
    found = Exchange(3).nearest(*(torch.from_numpy(vectors.ravel()) for vectors in (theta, other)))
    assert found.distance == found.at_least == pytest.approx(least, abs=1e-12)
    assert float(np.linalg.norm(found.image.numpy() - theta.ravel())) == pytest.approx(least, abs=1e-12)


def test_a_near_copy_of_vectors_has_two_of_them_exchanged() -> None:
    theta = torch.arange(6.0).double()[None]
    draws = torch.tensor([[0.1, 0.9, 0.5, 0.5, 0.5]]).double()
    assert Exchange(3).near_copy(theta, draws).tolist() == [[4, 5, 2, 3, 0, 1]]


@pytest.mark.parametrize(("activation", "bias", "l2_biases"), KINDS)
@pytest.mark.parametrize("widths", [(2, 2, 1), (2, 3, 1), (1, 2, 2, 1)])
def test_the_nearest_image_is_that_of_all_images(
    widths: tuple[int, ...], activation: str, bias: bool, l2_biases: float
) -> None:
    network, generator = Network(widths, activation, "identity", bias), np.random.default_rng(7)
    group = SymmetryGroup(network, l2_weights=1e-3, l2_biases=l2_biases)
    theta, other = generator.normal(size=(2, network.size))
    every = images(network, other, group.flips)
    found = group.nearest(torch.from_numpy(theta), torch.from_numpy(other))
    least = float(np.linalg.norm(every - theta, axis=1).min())
    assert found.distance == found.at_least == pytest.approx(least, abs=1e-12)
    assert float(np.abs(every - found.image.numpy()).max(1).min()) < 1e-12


def test_beyond_small_groups_an_image_is_near_and_it_is_said_how_near_one_could_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same pairs as with all images compared: never nearer, and never below the bound."""
    network, generator = Network((2, 3, 3, 1), "tanh", "identity"), np.random.default_rng(3)
    group, exact, found = SymmetryGroup(network, 1e-3, 1e-3), [], []
    pairs = torch.from_numpy(generator.normal(size=(4, 2, network.size)))
    for limit, results in ((10_000, exact), (1, found)):
        monkeypatch.setattr("basinet.mlp.symmetry._IMAGES", limit)
        results += [group.nearest(*pair) for pair in pairs]
    for best, one in zip(exact, found, strict=True):
        assert 0 < one.at_least <= best.distance <= one.distance + 1e-12
        assert one.distance < 1.5 * best.distance
    copy = torch.from_numpy(images(network, pairs[0, 0].numpy(), flips=True)[777])
    assert group.nearest(pairs[0, 0], copy).distance < 1e-12  # a copy is recognised
