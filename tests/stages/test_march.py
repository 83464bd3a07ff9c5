"""Where the gradient flow leads: against closed forms and scipy's integrator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.integrate
import torch
from torch import Tensor

from basinet import Study
from basinet.engines import TorchEngine
from basinet.objectives.plain import Plain
from basinet.stages.derivatives import Derivatives
from basinet.stages.infinity import recede
from basinet.stages.inward import look_inward
from basinet.stages.kinks import falls_nearby
from basinet.stages.march import Marched, march
from basinet.stages.newton import Outcome
from basinet.stages.polish import Polishing, polish
from basinet.study.defaults import tolerances

STEPS = 150


PARTS: dict[str, Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]] = {
    "leaving": lambda x: (1 + torch.exp(-x), -torch.exp(-x), torch.exp(-x)),
    "leaving late": lambda x: (torch.exp(300 - x), -torch.exp(300 - x), torch.exp(300 - x)),
    "fading": lambda x: (1 + 1 / x, -1 / x**2, 2 / x**3),
    "rippled": lambda x: (torch.cos(x), -torch.sin(x), -torch.cos(x)),
    "shallow": lambda x: (1 + 1e-8 * torch.cos(x), -1e-8 * torch.sin(x), -1e-8 * torch.cos(x)),
    "quartic": lambda x: (x**4, 4 * x**3, 12 * x**2),
    "flat": lambda x: ((x - 1) ** 8, 8 * (x - 1) ** 7, 56 * (x - 1) ** 6),
    "cubic": lambda x: (x**3 + x**4, 3 * x**2 + 4 * x**3, 6 * x + 12 * x**2),  # at 0 neither a bottom nor a top
}


@dataclass(frozen=True)
class OfTwo(Plain):
    """f(x, y) = p(x) + ½ y², for a function p of one number with its first two derivatives."""

    size: int = 2
    name: str = ""

    def parts(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """p, p' and p'': `leaving` falls for ever, `rippled` has a bottom at every odd multiple of π."""
        return PARTS[self.name](x)

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        p, slope, _ = self.parts(theta[:, 0])
        return p + theta[:, 1] ** 2 / 2, torch.stack([slope, theta[:, 1]], 1)

    def hessian(self, theta: Tensor) -> Tensor:
        return torch.diag_embed(torch.stack([self.parts(theta[:, 0])[2], torch.ones_like(theta[:, 0])], 1))


def of(name: str) -> Derivatives:
    return Derivatives(OfTwo(name=name), TorchEngine())


def marched(f: Derivatives, *starts: tuple[float, float], limit: float = math.inf) -> tuple[Tensor, Marched]:
    theta = torch.tensor(starts, dtype=torch.float64)
    return theta, march(f, theta, tolerances(), torch.full((len(starts),), limit, dtype=torch.float64), STEPS)


def test_the_flow_rests_at_the_bottom_of_its_own_basin() -> None:
    """p = cos x: from between 0 and 2π to π, however near to the top the start."""
    starts = [(x, 1.0) for x in (0.01, 1.0, 3.0, 6.0, 6.28, 6.29, -0.01, 20.0)]
    _, found = marched(of("rippled"), *starts)
    assert found.rests.all()
    bottoms = [math.pi * (2 * math.floor(x / (2 * math.pi)) + 1) for x, _ in starts]
    np.testing.assert_allclose(found.theta[:, 0], bottoms, rtol=0, atol=1e-10)
    np.testing.assert_allclose(found.theta[:, 1], 0, rtol=0, atol=1e-10)
    assert not found.faded.any()
    assert (found.grows == 0).all()


def test_newtons_method_is_asked_for_no_restart_that_the_flow_brings_to_no_rest() -> None:
    """p = 1 + e^-x has no bottom: what polishing says is how far the flow has got, and no Newton step is its last."""
    f, theta = of("leaving"), torch.tensor([[1.0, 1.0], [3.0, 0.0]], dtype=torch.float64)
    settings = Polishing(steps=STEPS, radius=100.0, dense_max=300, lanczos_steps=0)
    found = polish(f.objective, theta, settings, tolerances(), f.engine)
    assert found.outcome.tolist() == [Outcome.STALLED, Outcome.STALLED]
    assert found.last_step.isnan().all()
    _, end = marched(f, *map(tuple, theta.tolist()), limit=math.inf)
    np.testing.assert_allclose(found.distance, (end.theta - theta).norm(dim=1), rtol=1e-12)
    assert torch.equal(found.theta, theta)


def test_a_bottom_without_curvature_is_one_too() -> None:
    _, found = marched(of("quartic"), (1.0, 1.0), (-0.5, 0.0))
    assert found.rests.all()
    assert (found.theta[:, 0].abs() < 1e-3).all()  # where 4 x³ is rounding


def test_a_flat_place_is_rested_at_from_above_and_left_below() -> None:
    """p = x³ + x⁴ has a flat place at 0, to which the flow comes from x > 0, and a bottom at -3/4."""
    _, found = marched(of("cubic"), (0.5, 0.0), (-1e-3, 0.0))
    assert found.rests.all()
    assert abs(float(found.theta[0, 0])) < 1e-5
    assert float(found.theta[1, 0]) == pytest.approx(-0.75, abs=1e-10)


@pytest.mark.parametrize(("name", "start", "level"), [("leaving", 3.0, 1.0), ("fading", 2.0, 1.0)])
def test_what_falls_for_ever_goes_on_until_nothing_is_left_of_the_fall(name: str, start: float, level: float) -> None:
    theta, found = marched(of(name), (start, 0.5))
    assert found.faded.all()
    assert not found.rests.any()
    assert float(found.loss) == pytest.approx(level, abs=1e-3)
    assert (found.grows > 0.03).all()
    assert (found.theta[:, 0] > 3 * theta[:, 0]).all()


def test_a_slope_that_has_only_just_begun_to_be_followed_is_no_way_to_infinity() -> None:
    """p = 1 + 1e-8 cos x falls by next to nothing while x grows from .01 to 3, and has its bottom at π."""
    _, found = marched(of("shallow"), (0.01, 0.0), (0.5, 0.0))
    assert not found.faded.any()
    assert found.rests.all()
    np.testing.assert_allclose(found.theta[:, 0], math.pi, rtol=0, atol=1e-3)


def test_growth_that_lasts_is_a_way_to_infinity_however_far_out_it_begins() -> None:
    """p = e^(300 - x): x grows by log 10 in each decade of time, less than 1 % of itself."""
    _, found = marched(of("leaving late"), (301.0, 0.0), (310.0, 0.0))
    assert found.faded.all()
    assert (found.grows < 0.03).all()


def test_growth_that_gets_less_and_less_is_none() -> None:
    """p = (x - 1)⁸, whose slope is rounding while x still grows by more than 1 % in two decades."""
    _, found = marched(of("flat"), (0.3, 0.0))
    assert not found.faded.any()
    assert float(found.theta[0, 0]) == pytest.approx(1, abs=0.02)


def test_the_flow_of_a_network_is_the_one_that_scipy_integrates() -> None:
    config = {
        "problem": "xor",
        "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3},
        "descent": {"steps": 0},
        "restarts": 12,
    }
    study = Study.from_config(config)
    f = Derivatives(study.exact_objective, study.exact_engine)
    theta = study.starts(range(12))
    found = march(f, theta, tolerances(), torch.full((12,), math.inf, dtype=torch.float64), STEPS)
    assert found.rests.all()

    def slope(_: float, point: np.ndarray) -> np.ndarray:
        return -f.loss_and_gradient(torch.from_numpy(point)[None])[1][0].numpy()

    same = 0
    for start, end in zip(theta, found.theta, strict=True):
        flow = scipy.integrate.solve_ivp(slope, (0, 1e5), start.numpy(), "LSODA", rtol=1e-7, atol=1e-9)
        same += bool(np.linalg.norm(flow.y[:, -1] - end.numpy()) < 1e-3)
    # The first steps are coarse: a start near the border of two basins may go the other way.
    assert same >= 10


def test_a_restart_beyond_its_limit_is_followed_only_while_it_can_be_near_its_level() -> None:
    _, found = marched(of("rippled"), (0.5, 0.0), limit=0.1)
    assert not found.rests.any()
    assert float(found.theta[0, 0]) < math.pi - 0.5


# --- The way to infinity --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ridge(Plain):
    """f = 1 + e^(-x) (1 - c y² / 2): along y = 0, f → 1; beside it y grows like t^c, so that for c > ½ f → -∞."""

    size: int = 2
    c: float = 0.0

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        (x, y), c = theta.unbind(1), self.c
        fade, rest = torch.exp(-x), 1 - c * y**2 / 2
        return 1 + fade * rest, torch.stack([-fade * rest, -fade * c * y], 1)

    def hessian(self, theta: Tensor) -> Tensor:
        (x, y), c = theta.unbind(1), self.c
        fade = torch.exp(-x)
        rows = [fade * (1 - c * y**2 / 2), fade * c * y, fade * c * y, -fade * c]
        return torch.stack(rows, 1).reshape(-1, 2, 2)


@pytest.mark.parametrize(("c", "lasts"), [(-1.0, True), (0.1, True), (1.0, False)])
def test_a_restart_on_a_ridge_that_grows_steeper_is_not_on_its_way_to_the_level_at_infinity(
    c: float, lasts: bool
) -> None:
    f = Derivatives(Ridge(c=c), TorchEngine())
    theta = torch.tensor([[8.0, 0.0]], dtype=torch.float64)
    own = march(f, theta, tolerances(), torch.zeros(1, dtype=torch.float64), STEPS)
    assert own.faded.all()
    assert float(own.loss) == pytest.approx(1, abs=1e-6)
    seen = recede(f, theta, f.objective.loss(theta), own, tolerances(), STEPS)
    assert (bool(seen.recedes) and float(seen.remaining) < 1e-3) == lasts


@pytest.mark.parametrize(("name", "at", "recedes"), [("leaving", 60.0, True), ("quartic", 1e-4, False)])
def test_a_place_that_is_flat_to_rounding_is_on_the_way_to_infinity_if_flows_from_further_in_lead_past_it(
    name: str, at: float, recedes: bool
) -> None:
    f, theta = of(name), torch.tensor([[at, 0.0]], dtype=torch.float64)
    assert march(f, theta, tolerances(), torch.full((1,), math.inf, dtype=torch.float64), STEPS).rests.all()
    found = look_inward(f, theta, f.objective.loss(theta), tolerances(), STEPS)
    assert found.recedes.tolist() == [recedes]
    assert (float(found.remaining) < 1e-6) == recedes


# --- Kinks ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fold(Plain):
    """f = a max(x, 0) + b max(-x, 0) + y²: a bottom at x = 0 if neither slope is negative."""

    size: int = 2
    right: float = 1.0
    left: float = 1.0

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        x, y = theta.unbind(1)
        loss = self.right * x.clamp(min=0) + self.left * (-x).clamp(min=0) + y**2
        return loss, torch.stack([torch.where(x > 0, self.right, -self.left).to(x), 2 * y], 1)

    def hessian(self, theta: Tensor) -> Tensor:
        return torch.diag_embed(torch.tensor([0.0, 2.0], dtype=torch.float64)).expand(len(theta), 2, 2)


@pytest.mark.parametrize(
    ("right", "left", "falls"), [(1.0, 1.0, False), (0.0, 2.0, False), (0.0, -1e-3, True), (-0.1, 0.0, True)]
)
def test_beside_a_kink_f_falls_where_one_of_its_sides_leads_down(right: float, left: float, falls: bool) -> None:
    f = Derivatives(Fold(right=right, left=left), TorchEngine())
    found = falls_nearby(f, torch.tensor([[0.0, 0.0]], dtype=torch.float64))
    assert (found > 1e-9).tolist() == [falls]
