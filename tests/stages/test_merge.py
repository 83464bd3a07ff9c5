from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from basinet.foundation.outcomes import Kind
from basinet.mlp.network import Network
from basinet.mlp.symmetry import SymmetryGroup
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.stages.merge import Bottoms, Merging, Minima, distinct
from basinet.stages.near import near
from basinet.study.defaults import tolerances
from naive_symmetries import random_copies

Array = npt.NDArray[np.float64]


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def risk_of(network: Network, seed: int = 0, **penalties: float) -> EmpiricalRisk:
    x, y = draw(seed, network.widths[0], 10), draw(seed + 1, network.widths[-1], 10)
    return EmpiricalRisk(network, x, y, **penalties)


def bottoms(risk: EmpiricalRisk, theta: Tensor, kind: npt.NDArray[np.int8]) -> Bottoms:
    return Bottoms(kind, risk.loss(theta).numpy(), risk.signature(theta).numpy(), theta)


def merged(risk: EmpiricalRisk, theta: Tensor, kind: Kind = Kind.MINIMUM) -> Minima:
    """The catalogue of these points, all called `kind`."""
    kinds = np.full(len(theta), int(kind), dtype=np.int8)
    return distinct(bottoms(risk, theta, kinds), risk.symmetry, tolerances())


def check_consistent(found: Minima, loss: Array) -> None:
    """Counts, representatives and order say the same as `minimum`."""
    members = Counter(found.minimum[found.minimum >= 0].tolist())
    assert found.count.tolist() == [members[index] for index in range(len(found.count))]
    for index, restart in enumerate(found.representative):
        assert restart == np.flatnonzero(found.minimum == index)[0]
    lowest = [loss[found.minimum == index].min() for index in range(len(found.count))]
    assert lowest == sorted(lowest)


# --- Planted points -------------------------------------------------------------------------------------------------


def planted(network: Network, points: int, restarts: int, noise: float, **penalties: float) -> None:
    """`restarts` random copies of `points` random points, with noise, are merged into exactly these points."""
    risk = risk_of(network, **penalties)
    label = np.arange(restarts) * 7919 % points
    theta = random_copies(risk.symmetry, draw(2, points, risk.size)[label], seed=5)
    assert np.abs(theta.numpy() - draw(2, points, risk.size)[label].numpy()).max() > 0.1
    theta = theta + noise * draw(3, restarts, risk.size)
    found = merged(risk, theta)
    assert len(found.count) == points
    # The same partition, under other names.
    assert len(set(zip(label.tolist(), found.minimum.tolist(), strict=True))) == points
    check_consistent(found, risk.loss(theta).numpy())
    assert found.diameter.max() < 1e-4  # the noise, times random scales in every layer


@pytest.mark.parametrize("restarts", [1000, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("depth", [2, 3, 4])
@pytest.mark.parametrize("activation", ["tanh", "logistic", "relu"])
def test_thousands_of_noisy_copies_of_fifty_points_are_fifty(activation: str, depth: int, restarts: int) -> None:
    network = Network((2, *[4] * (depth - 1), 1), activation, "identity")
    planted(network, points=50, restarts=restarts, noise=1e-9)


@pytest.mark.parametrize("activation", ["tanh", "logistic", "relu", "softplus", "identity"])
def test_penalised_copies_of_fifty_points_are_fifty(activation: str) -> None:
    network = Network((2, 4, 3, 1), activation, "identity")
    planted(network, points=50, restarts=1000, noise=1e-9, l2_weights=1e-3, l2_biases=1e-3)


def test_linear_networks_are_merged_by_their_function() -> None:
    planted(Network((3, 3, 3, 2), "identity", "identity"), points=50, restarts=1000, noise=1e-9)


@st.composite
def networks(draw_: st.DrawFn) -> tuple[Network, dict[str, float], int]:
    """Depth 2 to 6, with or without biases and penalties."""
    widths = tuple(draw_(st.lists(st.integers(1, 4), min_size=3, max_size=7)))
    activation = draw_(st.sampled_from(["tanh", "logistic", "relu", "softplus", "gelu", "identity"]))
    bias = draw_(st.booleans())
    penalties = {name: draw_(st.sampled_from([0.0, 1e-3])) for name in ("l2_weights", "l2_biases")}
    return Network(widths, activation, "identity", bias), penalties, draw_(st.integers(0, 2**20))


@settings(max_examples=60)
@given(case=networks())
def test_every_copy_of_a_random_network_lands_in_one_minimum(case: tuple[Network, dict[str, float], int]) -> None:
    network, penalties, seed = case
    risk = risk_of(network, seed, **penalties)
    theta = draw(seed + 2, 1, risk.size)
    copies = torch.cat([theta, random_copies(risk.symmetry, theta.expand(20, -1), seed)])
    assert merged(risk, copies).count.tolist() == [21]


@settings(max_examples=40)
@given(case=networks())
def test_different_random_networks_are_different_minima(case: tuple[Network, dict[str, float], int]) -> None:
    network, penalties, seed = case
    risk = risk_of(network, seed, **penalties)
    theta = draw(seed + 2, 5, risk.size)
    outputs = risk.outputs(theta).flatten(1)
    # ReLU networks can be dead at both: then they are one function, and only penalties tell them apart.
    assume(all(float((a - b).abs().max()) > 1e-3 for a, b in itertools.combinations(outputs, 2)))
    copies = torch.cat([theta, random_copies(risk.symmetry, theta, seed)])
    found = merged(risk, copies)
    assert found.count.tolist() == [2] * 5
    assert found.minimum[:5].tolist() == found.minimum[5:].tolist()


# --- What must stay apart -------------------------------------------------------------------------------------------


def test_a_symmetry_of_the_data_is_no_symmetry() -> None:
    # Exchanging the inputs leaves this loss as it is, and the multiset of answers too.
    corners = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]], dtype=torch.float64)
    risk = EmpiricalRisk(Network((2, 2, 1), "logistic", "logistic"), corners, torch.tensor([[0.0, 1, 1, 0]]).double())
    theta = draw(0, 1, 9)
    exchanged = theta[:, [1, 0, 3, 2, 4, 5, 6, 7, 8]]
    assert risk.loss(theta).item() == pytest.approx(risk.loss(exchanged).item(), rel=1e-15)
    assert merged(risk, torch.cat([theta, exchanged])).count.tolist() == [1, 1]


def test_points_that_agree_on_the_samples_but_not_elsewhere_stay_two() -> None:
    # One sample, x = 1: (w, v) and (w', v') with v tanh(w) = v' tanh(w').
    one = torch.ones(1, 1, dtype=torch.float64)
    risk = EmpiricalRisk(Network((1, 1, 1), "tanh", "identity", bias=False), one, one)
    w = torch.tensor([0.5, 1.5], dtype=torch.float64)
    theta = torch.stack([w, 0.7 / torch.tanh(w)], 1)
    loss = risk.loss(theta)
    assert loss[0].item() == pytest.approx(loss[1].item(), rel=1e-14)
    assert merged(risk, theta).count.tolist() == [1, 1]
    # As bottoms that are sets, they are judged by the samples alone.
    assert merged(risk, theta, Kind.DEGENERATE).count.tolist() == [2]


def test_the_same_function_at_parameters_that_no_symmetry_relates_stays_two() -> None:
    # A dead unit may have any weights; tanh units that are exact copies may share their weight differently.
    network = Network((1, 2, 1), "tanh", "identity", bias=False)
    risk = risk_of(network)
    theta = torch.tensor([[0.7, 0.7, 1.0, 2.0], [0.7, 0.7, 1.4, 1.6], [0.7, -0.7, 2.0, -1.0]], dtype=torch.float64)
    found = merged(risk, theta)
    assert found.minimum[0] == found.minimum[2] != found.minimum[1]


def test_a_flip_that_a_penalty_on_biases_breaks_does_not_merge() -> None:
    network = Network((2, 2, 1), "logistic", "identity")
    theta = draw(4, 1, 9)
    free = risk_of(network)
    flipped = random_copies(free.symmetry, theta.expand(30, -1), 0)
    assert merged(free, torch.cat([theta, flipped])).count.tolist() == [31]
    found = merged(risk_of(network, l2_biases=1e-3), torch.cat([theta, flipped]))
    assert len(found.count) == 4  # which of the two units are flipped; their order does not count


def test_the_catalogue_is_that_of_all_pairs() -> None:
    """Random points on a small grid, so that many coincide up to the 8 symmetries of two tanh units."""
    risk = risk_of(Network((1, 2, 1), "tanh", "identity", bias=False))
    theta = torch.from_numpy(np.random.default_rng(0).choice([-1.0, -0.5, 0.5, 1.0], size=(300, 4)))

    def orbit(row: list[float]) -> tuple[tuple[float, ...], ...]:
        (w1, w2), (v1, v2) = row[:2], row[2:]
        units = itertools.product([(w1, v1), (-w1, -v1)], [(w2, v2), (-w2, -v2)])
        return tuple(sorted(order for a, b in units for order in (a + b, b + a)))

    def is_sum(row: list[float]) -> bool:
        return abs(row[0]) == abs(row[1])  # two units in one: the function does not tell how they share

    classes = {orbit(row) for row in theta.tolist()}
    found = merged(risk, theta)
    pairs = {(orbit(row), minimum) for row, minimum in zip(theta.tolist(), found.minimum.tolist(), strict=True)}
    assert len(pairs) == len(classes) == len(found.count)
    assert sum(is_sum(row) for row in theta.tolist()) > 50


# --- Kinds ----------------------------------------------------------------------------------------------------------


def test_only_minima_and_the_two_kinds_of_sets_are_listed_and_each_kind_apart() -> None:
    risk = risk_of(Network((2, 2, 1), "tanh", "identity"))
    theta = draw(1, 1, risk.size).expand(14, -1)
    kind = np.array([int(k) for k in Kind] * 2, dtype=np.int8)
    found = distinct(bottoms(risk, theta, kind), risk.symmetry, tolerances())
    assert found.count.tolist() == [2, 2, 2]
    assert found.kind.tolist() == [Kind.MINIMUM, Kind.DEGENERATE, Kind.AT_INFINITY]
    listed = np.isin(kind, found.kind)
    assert (found.minimum[~listed] == -1).all()
    assert (found.kind[found.minimum[listed]] == kind[listed]).all()


def test_no_bottoms_make_an_empty_catalogue() -> None:
    risk = risk_of(Network((2, 2, 1), "tanh", "identity"))
    found = merged(risk, draw(1, 5, risk.size), Kind.UNFINISHED)
    assert found.minimum.tolist() == [-1] * 5
    assert len(found.count) == len(found.representative) == len(found.kind) == len(found.diameter) == 0


def test_looseness_is_the_farthest_member_in_loss_and_signature() -> None:
    risk = risk_of(Network((2, 2, 1), "tanh", "identity"))
    theta = draw(1, 1, risk.size) + 1e-8 * draw(2, 10, risk.size)
    columns = torch.cat([risk.loss(theta).unsqueeze(1), risk.signature(theta)], 1)
    farthest = max(float((row - columns[0]).abs().max()) for row in columns)
    found = merged(risk, theta)
    assert found.count.tolist() == [10]
    assert found.diameter.tolist() == pytest.approx([farthest], rel=1e-12)
    assert 1e-9 < farthest < 1e-6


# --- Effort ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Counted:
    """The same equivalence, which counts how often two points are compared."""

    group: SymmetryGroup
    calls: list[int] = field(default_factory=list)

    @property
    def by_function(self) -> bool:
        return self.group.by_function

    def canonical(self, theta: Tensor) -> Tensor:
        return self.group.canonical(theta)

    def distance(self, theta: Tensor, other: Tensor) -> float:
        self.calls.append(1)
        return self.group.distance(theta, other)


@pytest.mark.parametrize(("points", "restarts"), [(100, 4000), pytest.param(300, 100_000, marks=pytest.mark.stress)])
def test_merging_compares_far_fewer_pairs_than_there_are_restarts(points: int, restarts: int) -> None:
    risk = risk_of(Network((2, 4, 4, 1), "tanh", "identity"))
    label = np.arange(restarts) % points
    theta = random_copies(risk.symmetry, draw(2, points, risk.size)[label], seed=5)
    theta = theta + 1e-10 * draw(3, restarts, risk.size)
    counted = Counted(risk.symmetry)
    kinds = np.zeros(restarts, dtype=np.int8)
    found = distinct(bottoms(risk, theta, kinds), counted, tolerances())
    assert len(found.count) == points
    # A comparison for every canonical form beyond a point's first: near ties of a coefficient make some more.
    assert len(counted.calls) <= points


# --- near -----------------------------------------------------------------------------------------------------------


def chained(values: Array, tolerance: float) -> list[int]:
    """Rows are joined if every column has a chain of small gaps between them, among joined rows: by definition."""
    labels = [0] * len(values)
    while True:
        parts: dict[tuple[int, ...], int] = {}
        keys: list[tuple[int, ...]] = [(label,) for label in labels]
        for column in range(values.shape[1]):
            for label in set(labels):
                rows = sorted((i for i in range(len(values)) if labels[i] == label), key=lambda i: values[i, column])
                piece = 0
                for before, row in zip([rows[0], *rows], rows, strict=False):
                    gap = values[row, column] - values[before, column]
                    piece += gap > tolerance * (1 + abs(values[row, column]))
                    keys[row] = (*keys[row], piece)
        new = [parts.setdefault(key, len(parts)) for key in keys]
        if len(set(new)) == len(set(labels)):
            return new
        labels = new


@given(
    rows=st.lists(st.tuples(*[st.sampled_from([0.0, 0.04, 0.08, 0.5, -0.52, 3.0, 3.2])] * 3), min_size=1, max_size=12)
)
def test_near_joins_rows_without_a_gap_in_any_column(rows: list[tuple[float, float, float]]) -> None:
    values = np.array(rows)
    found, expected = near(values, 0.05).tolist(), chained(values, 0.05)
    assert len(set(zip(found, expected, strict=True))) == len(set(found)) == len(set(expected))
    assert set(found) == set(range(len(set(found))))


def test_near_of_no_rows_is_nothing() -> None:
    assert near(np.zeros((0, 3)), 1e-6).tolist() == []


def test_the_order_of_restarts_names_representatives_only() -> None:
    risk = risk_of(Network((2, 3, 1), "tanh", "identity"))
    theta = random_copies(risk.symmetry, draw(2, 8, risk.size).repeat(5, 1), seed=1)
    found = merged(risk, theta)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    again = merged(risk, theta[order])
    assert again.minimum.tolist() == found.minimum[order.numpy()].tolist()
    assert again.count.tolist() == found.count.tolist()


# --- Restarts that come in by and by ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mirrored:
    """Points are copies if they agree up to the signs of their parameters, which canonical forms do not take away."""

    by_function: bool = False

    def canonical(self, theta: Tensor) -> Tensor:
        return theta

    def distance(self, theta: Tensor, other: Tensor) -> float:
        return float((theta.abs() - other.abs()).norm())


EIGHTHS = [0.0, 0.125, 0.25, 1.0, -1.0, 3.0, 3.5]  # gaps of a tolerance of 1/8 and more are exact in binary
ROW = st.tuples(
    st.sampled_from([Kind.MINIMUM, Kind.MINIMUM, Kind.DEGENERATE, Kind.AT_INFINITY, Kind.SADDLE]),
    *[st.sampled_from(EIGHTHS)] * 3,
    *[st.sampled_from([-2.0, -1.875, 0.0, 2.0])] * 2,
)


def rule(rows: list[tuple[Any, ...]], tolerance: float) -> list[list[int]]:
    """The members of each bottom, of all rows at once: near in loss and signature, then copies by pairs."""
    groups = []
    for kind in (Kind.MINIMUM, Kind.DEGENERATE, Kind.AT_INFINITY):
        mine = [i for i, row in enumerate(rows) if row[0] == kind]
        columns = slice(1, 4) if kind == Kind.MINIMUM else slice(1, 3)  # of sets loss and answers to the samples
        for near_ones in parted(mine, [rows[i][columns] for i in mine], tolerance):
            if kind != Kind.MINIMUM:
                groups.append(near_ones)
                continue
            forms = parted(near_ones, [rows[i][4:] for i in near_ones], tolerance)
            firsts = {i: np.abs(rows[i][4:]) for form in forms for i in form[:1]}
            reach = tolerance * (1 + float(np.linalg.norm(rows[near_ones[0]][4:])))
            families: list[list[list[int]]] = []
            for form in sorted(forms, key=lambda form: rows[form[0]][4:]):  # in the order of the canonical forms
                for family in families:
                    if np.linalg.norm(firsts[family[0][0]] - firsts[form[0]]) <= reach:
                        family.append(form)
                        break
                else:
                    families.append([form])
            groups += [sorted(itertools.chain(*family)) for family in families]
    return sorted(groups, key=lambda group: (min(rows[i][1] for i in group), group[0]))


def parted(members: list[int], values: list[Any], tolerance: float) -> list[list[int]]:
    labels = chained(np.array(values), tolerance) if members else []
    return [[i for i, label in zip(members, labels, strict=True) if label == one] for one in dict.fromkeys(labels)]


@settings(max_examples=40)
@given(rows=st.lists(ROW, min_size=1, max_size=14), cuts=st.sets(st.integers(1, 13), max_size=4))
def test_restarts_are_merged_alike_however_they_are_divided(rows: list[tuple[Any, ...]], cuts: set[int]) -> None:
    tolerance = 0.125
    lines = replace(tolerances(), same_function=tolerance, same_level=tolerance, same_parameters=tolerance)
    kind = np.array([row[0] for row in rows], dtype=np.int8)
    loss, signature = np.array([row[1] for row in rows]), np.array([row[2:4] for row in rows])
    theta = torch.tensor([row[4:] for row in rows], dtype=torch.float64)
    merging = Merging(Mirrored(), lines)
    tickets = []
    edges = [0, *sorted(cut for cut in cuts if cut < len(rows)), len(rows)]
    for begin, end in itertools.pairwise(edges):
        part = slice(begin, end)
        tickets.append(
            merging.add(Bottoms(kind[part], loss[part], signature[part], theta[part]), np.arange(begin, end))
        )
    found = merging.minima()
    expected = rule(rows, tolerance)
    labels = np.append(found.minimum, -1)[np.concatenate(tickets)]
    assert [np.flatnonzero(labels == one).tolist() for one in range(len(found.count))] == expected
    assert found.representative.tolist() == [group[0] for group in expected]
    assert found.count.tolist() == [len(group) for group in expected]
    assert found.kind.tolist() == [rows[group[0]][0] for group in expected]
    compared = [rows[i][1:4] if rows[i][0] == Kind.MINIMUM else rows[i][1:3] for i in range(len(rows))]
    farthest = [max(np.abs(np.subtract(compared[i], compared[group[0]])).max() for i in group) for group in expected]
    assert found.diameter.tolist() == farthest


def test_numbers_of_restarts_and_not_their_coming_say_which_is_the_first() -> None:
    risk = risk_of(Network((2, 3, 1), "tanh", "identity"))
    theta = random_copies(risk.symmetry, draw(2, 1, risk.size).repeat(6, 1), seed=1)
    points = bottoms(risk, theta, np.zeros(6, dtype=np.int8))
    merging = Merging(risk.symmetry, tolerances())
    for numbers in ([40, 41], [7, 8], [90, 3]):
        part = slice(2 * [40, 7, 90].index(numbers[0]), 2 * [40, 7, 90].index(numbers[0]) + 2)
        merging.add(
            Bottoms(points.kind[part], points.loss[part], points.signature[part], points.theta[part]),
            np.array(numbers),
        )
    assert merging.minima().representative.tolist() == [3]
    assert set(merging.firsts) >= {3}


def test_what_is_kept_of_restarts_is_as_much_as_there_are_bottoms() -> None:
    risk = risk_of(Network((2, 2, 1), "tanh", "identity"))
    merging = Merging(risk.symmetry, tolerances())
    for block in range(5):
        theta = draw(1, 1, risk.size) + 1e-9 * draw(10 + block, 200, risk.size)
        merging.add(bottoms(risk, theta, np.zeros(200, dtype=np.int8)), 200 * block + np.arange(200))
    assert merging.firsts.tolist() == [0]
    assert merging.minima().count.tolist() == [1000]
