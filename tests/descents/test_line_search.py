from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

from basinet.descents.line_search import TRIES, begin, judge

Curve = Callable[[float], tuple[float, float]]
"""φ and φ' at a step length."""


def searched(curve: Curve, first: float = 1.0, calm: bool = False) -> tuple[list[float], bool]:
    """The step lengths that are tried until one is taken, or the search has failed; and whether one is."""
    tried: list[float] = []
    search = begin(*(torch.tensor([value], dtype=torch.float64) for value in (*curve(0.0), first)))
    while True:
        tried.append(float(search.trial))
        assert len(tried) <= TRIES + 1
        values = (torch.tensor([value], dtype=torch.float64) for value in curve(tried[-1]))
        search, taken, failed = judge(search, *values, torch.tensor([False]), torch.tensor([calm]))
        assert not (taken and failed)
        if taken or failed:
            return tried, bool(taken)


def wave(seed: int) -> Curve:
    """A bowl with waves, downhill at 0, on some scale between 1e-3 and 1e3."""
    rng = np.random.default_rng(seed)
    height, pitch, phase = rng.normal(size=6), rng.uniform(0.2, 3, size=6), rng.uniform(0, 6, size=6)
    bowl, scale = rng.uniform(0.01, 1), 10 ** rng.uniform(-3, 3)

    def both(x: float) -> tuple[float, float]:
        return float(bowl * x * x + (height * np.sin(pitch * x + phase)).sum()), float(
            2 * bowl * x + (height * pitch * np.cos(pitch * x + phase)).sum()
        )

    side = -math.copysign(scale, both(0.0)[1])

    def curve(x: float) -> tuple[float, float]:
        value, slope = both(side * x)
        return value, side * slope

    return curve


def test_a_step_satisfies_the_strong_wolfe_conditions_on_random_curves() -> None:
    tries, narrow = [], 0
    for seed in range(200):
        curve = wave(seed)
        tried, taken = searched(curve)
        assert taken
        (start, slope), (value, here) = curve(0.0), curve(tried[-1])
        assert value <= start + 1e-4 * tried[-1] * slope
        gentle = abs(here) <= -0.9 * slope
        narrow += not gentle
        assert gentle or tried[-1] in tried[:-1]  # the best point of a narrow bracket, seen a second time
        tries.append(len(tried))
    assert narrow <= 6
    assert np.mean(tries) < 4


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 1e6])
def test_a_parabola_of_any_scale_is_searched_to_its_bottom(scale: float) -> None:
    tried, taken = searched(lambda x: ((x - scale) ** 2, 2 * (x - scale)))
    assert taken
    assert abs(tried[-1] - scale) <= 0.9 * scale  # which is what c₂ says of the slope


def test_a_first_trial_that_will_do_is_taken_at_once() -> None:
    assert searched(lambda x: (1 - x + x * x / 2, x - 1)) == ([1.0], True)


@pytest.mark.parametrize("wall", [math.nan, math.inf])
def test_what_is_not_finite_is_backed_away_from(wall: float) -> None:
    tried, taken = searched(lambda x: (-x, -1.0 + 200 * x) if x < 0.01 else (wall, wall))
    assert taken
    assert tried[-1] < 0.01


def test_a_kink_ends_with_a_lower_point_near_it() -> None:
    """The slope jumps from -1 to 3, so that no point of the curve is gentle."""
    tried, taken = searched(lambda x: (abs(x - 0.3) + (x - 0.3) * (x > 0.3) * 2, -1.0 if x < 0.3 else 3.0))
    assert taken
    assert 0.2 < tried[-1] < 0.3


def test_a_line_without_an_end_is_followed_until_the_tries_are_used_up() -> None:
    tried, taken = searched(lambda x: (-x, -1.0))
    assert taken
    assert len(tried) == TRIES + 1
    assert tried[-1] > 1e6
    assert all(later > earlier for earlier, later in itertools.pairwise(tried[:-1]))


def test_a_curve_that_only_rises_fails() -> None:
    """Which its slope at 0 denies, as rounding may."""
    tried, taken = searched(lambda x: (x, -1e-9 if x == 0 else 1.0))
    assert not taken
    assert len(tried) == TRIES


def test_a_trial_that_is_calmer_is_taken_whatever_the_curve_says_unless_it_is_not_finite() -> None:
    assert not searched(lambda x: (1.0 + 2e-16 * (x > 0), 2e-18 * (x - 1)))[1]
    assert searched(lambda x: (1.0 + 2e-16 * (x > 0), 2e-18 * (x - 1)), calm=True) == ([1.0], True)
    tried, taken = searched(lambda x: (x, -1.0) if x < 0.05 else (math.nan, -1.0), calm=True)
    assert taken
    assert tried[-1] < 0.05


def test_a_decrease_that_is_hidden_in_rounding_is_none() -> None:
    search = begin(*(torch.tensor([value], dtype=torch.float64) for value in (1.0, -1.0, 1.0)))
    values = (torch.tensor([value], dtype=torch.float64) for value in (0.5, 0.0))
    no, yes = torch.tensor([False]), torch.tensor([True])
    loss, slope = values
    assert bool(judge(search, loss, slope, no, no).taken)
    assert not bool(judge(search, loss, slope, yes, no).taken)


def test_searches_side_by_side_are_those_alone() -> None:
    curves = [wave(seed) for seed in range(40)]
    starts = torch.tensor([curve(0.0) for curve in curves], dtype=torch.float64)
    search = begin(starts[:, 0], starts[:, 1], torch.ones(40, dtype=torch.float64))
    ends = [math.nan] * 40
    for _ in range(TRIES + 1):
        values = torch.tensor(
            [curve(float(x)) for curve, x in zip(curves, search.trial, strict=True)], dtype=torch.float64
        )
        trial = search.trial
        search, taken, _ = judge(search, values[:, 0], values[:, 1], *torch.zeros(2, 40, dtype=torch.bool))
        for row in taken.nonzero().squeeze(1).tolist():
            if math.isnan(ends[row]):
                ends[row] = float(trial[row])
    assert ends == [searched(curve)[0][-1] for curve in curves]
