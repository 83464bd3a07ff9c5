"""Searches for saddles: against functions of which all critical points are known."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from basinet.stages.departures import departures
from basinet.stages.seek import ANY, Found, Sought, seek
from basinet.study.defaults import tolerances
from camel import CAMEL, critical_points_of_the_camel


def sought(index: int, starts: Tensor, limit: float = 100.0) -> Sought:
    count = len(starts)
    wanted, limits = torch.full((count,), index), torch.full((count,), limit, dtype=torch.float64)
    return seek(CAMEL, starts, wanted, limits, 100, tolerances())


def grid(points: int) -> Tensor:
    x, y = torch.linspace(-2.1, 2.1, points), torch.linspace(-1.2, 1.2, points)
    return torch.cartesian_prod(x, y).double()


def reached(found: Sought) -> set[tuple[float, float]]:
    ended = found.theta[found.outcome == Found.CONVERGED].round(decimals=9) + 0.0
    return {(float(x), float(y)) for x, y in ended}


def as_set(points: np.ndarray) -> set[tuple[float, float]]:
    return {(round(float(x), 9) + 0.0, round(float(y), 9) + 0.0) for x, y, *_ in points}


def test_the_camel_has_six_minima_seven_saddles_and_two_maxima() -> None:
    index = critical_points_of_the_camel()[:, 2]
    assert [int((index == k).sum()) for k in range(3)] == [6, 7, 2]


def test_following_an_index_leads_to_all_points_of_that_index_and_to_no_others() -> None:
    points = critical_points_of_the_camel()
    for index in (0, 1, 2):
        assert reached(sought(index, grid(13))) == as_set(points[points[:, 2] == index])


def test_of_any_index_all_points_are_found() -> None:
    assert reached(sought(ANY, grid(13))) == as_set(critical_points_of_the_camel())


def test_a_search_is_the_same_to_the_bit_whatever_searches_are_beside_it() -> None:
    starts = grid(5)
    together, alone = sought(1, starts), sought(1, starts[7:8])
    assert torch.equal(together.theta[7], alone.theta[0])
    assert torch.equal(together.gradient[7], alone.gradient[0])


def test_a_search_that_gets_too_far_is_given_up() -> None:
    found = sought(1, torch.tensor([[0.3, 0.1]], dtype=torch.float64), limit=0.2)
    assert found.outcome.tolist() == [Found.LEFT]


def test_where_a_search_begins_depends_on_its_number_and_not_on_the_range() -> None:
    points = critical_points_of_the_camel()
    minima = torch.from_numpy(points[points[:, 2] == 0][:, :2].copy())
    whole = departures(CAMEL, minima, 3, range(32), "all")
    for first in (0, 5, 17):
        part = departures(CAMEL, minima, 3, range(first, 32), "all")
        assert torch.equal(whole.theta[first:], part.theta)
        assert torch.equal(whole.index[first:], part.index)
    assert set(whole.index.tolist()) >= {1, ANY}
    assert set(departures(CAMEL, minima, 3, range(32), 1).index.tolist()) == {1}


def test_between_two_minima_a_search_begins_above_both() -> None:
    points = critical_points_of_the_camel()
    minima = torch.from_numpy(points[points[:, 2] == 0][:, :2].copy())
    begun = departures(CAMEL, minima[:2], 0, range(128), 1).theta[4::8]
    ends = CAMEL.loss_and_gradient(minima[:2])[0].max()
    on_the_line = ((begun - minima[0]).norm(dim=1) + (begun - minima[1]).norm(dim=1)) - (minima[0] - minima[1]).norm()
    between = on_the_line.abs() < 1e-12
    assert 0 < int(between.sum()) < len(begun)  # where both ends are one, there is nothing between them
    assert bool((CAMEL.loss_and_gradient(begun[between])[0] > ends).all())
