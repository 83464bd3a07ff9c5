"""What walks do before a descent: chains against the densities they sample, tunnels against what is known of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, stats
from torch import Tensor

from basinet.escapes import ESCAPES
from basinet.escapes.seam import Allowance, Draws, Escape, Landscape, Phase, Runs, Value, Walk
from basinet.foundation.random_streams import Address
from basinet.pipeline.solve import solve
from basinet.study.study import Study

Function = Callable[[Tensor], tuple[Tensor, Tensor]]
ALLOWANCE = Allowance(1e9, None, 10)


def wells(theta: Tensor) -> tuple[Tensor, Tensor]:
    """¼ (w² - 1)² + w / 10: valleys near 1 and, lower, near -1."""
    w = theta.squeeze(1)
    return (w * w - 1) ** 2 / 4 + w / 10, ((w * w - 1) * w + 0.1).unsqueeze(1)


UPPER, LOWER = (float(optimize.brentq(lambda w: (w * w - 1) * w + 0.1, *ends)) for ends in ((0.5, 1.2), (-1.2, -0.5)))


def method(name: str, **settings: Any) -> Escape:
    made: Escape = Study.from_config({"escape": {"name": name, **settings}}).escape
    assert type(made) is ESCAPES[name]
    return made


def begun(made: Escape, f: Function, theta: Tensor, scale: float = 1.0, rounds: int = 1) -> tuple[Runs, Draws]:
    runs = len(theta)
    loss = f(theta)[0]
    memory = made.remember(runs, Landscape(theta.shape[1], scale))
    draws = Draws(Address(0, np.arange(runs), np.full(runs, rounds)), lambda restart, number: theta, theta)
    return Runs(theta, loss, loss, memory), draws


def asked(made: Escape, f: Function, walk: Walk, step: int, runs: Runs, draws: Draws) -> Walk:
    """The walk after the answer to its question number `step`."""
    counted = Walk(walk.theta, torch.full_like(walk.step, step), walk.phase, walk.state)
    return made.step(runs, counted, Value(*f(walk.theta)), draws)


def walked(made: Escape, f: Function, theta: Tensor, most: int = 10_000, rounds: int = 1) -> Walk:
    """The walks of one round to their ends."""
    runs, draws = begun(made, f, theta, rounds=rounds)
    walk = made.begin(runs, draws)
    for step in range(1, most + 1):
        before = walk
        taken = asked(made, f, walk, step, runs, draws)
        going = before.phase == Phase.WALKING

        def choose(one: Tensor, other: Tensor, going: Tensor = going) -> Tensor:
            return torch.where(going.view(-1, *[1] * (one.dim() - 1)), one, other)

        state = {key: choose(entry, before.state[key]) for key, entry in taken.state.items()}
        walk = Walk(choose(taken.theta, before.theta), taken.step, choose(taken.phase, before.phase), state)
        if not bool((walk.phase == Phase.WALKING).any()):
            return walk
    raise AssertionError("there is no end of it")


def density(f: Function, temperature: float) -> Callable[[Any], Any]:
    """The distribution function of exp(-f / T), by quadrature."""
    grid = np.linspace(-8, 8, 8001)
    weight = np.exp(-f(torch.from_numpy(grid).unsqueeze(1))[0].numpy() / temperature)
    total = integrate.cumulative_simpson(weight, x=grid, initial=0)
    return lambda w: np.interp(w, grid, total / total[-1])


def test_at_a_fixed_temperature_annealing_samples_the_density_of_boltzmann_over_both_valleys() -> None:
    made = method("annealing", temperature=0.1, cooling=1, temperatures=1, moves=300, width=1.5)
    ends = walked(made, wells, torch.full((3000, 1), UPPER, dtype=torch.float64)).theta.squeeze(1).numpy()
    assert stats.kstest(ends, density(wells, 0.1)).pvalue > 1e-3
    share = density(wells, 0.1)(0.0)  # of the lower valley, where no chain began
    assert abs((ends < 0).mean() - share) < 4 * math.sqrt(share * (1 - share) / 3000)


def test_the_first_temperature_accepts_a_mean_rise_with_the_share_that_was_asked_for() -> None:
    made = method("annealing", acceptance=0.8, trials=50)
    runs, draws = begun(made, wells, torch.full((200, 1), LOWER, dtype=torch.float64))
    walk, rises = made.begin(runs, draws), []
    for step in range(1, 51):
        rises.append(wells(walk.theta)[0] - runs.loss)
        walk = asked(made, wells, walk, step, runs, draws)
    shares = torch.exp(-torch.stack(rises).mean(0) / walk.state["temperature"])
    torch.testing.assert_close(shares, torch.full_like(shares, 0.8))
    assert torch.equal(walk.state["chain"], runs.theta)  # trial moves are not made


@pytest.mark.slow
def test_widths_are_adapted_until_half_of_the_moves_are_accepted() -> None:
    made = method("annealing", temperature=0.05, cooling=1, temperatures=20, moves=50, width=20)
    walk = walked(made, lambda theta: ((theta**2).sum(1) / 2 * 4, 4 * theta), torch.zeros(200, 2, dtype=torch.float64))
    # Uniform moves by up to v of N(0, s²), half of which are accepted: v / s by quadrature of the mean acceptance.
    x, s = np.linspace(-6, 6, 601), math.sqrt(0.05 / 4)

    def acceptance(v: float) -> float:
        y = x[:, None] + v * np.linspace(-1, 1, 201)[None]
        rate = np.minimum(1, np.exp((x[:, None] ** 2 - y**2) / 2)).mean(1)
        return float((rate * stats.norm.pdf(x)).sum() / stats.norm.pdf(x).sum())

    low, high = (optimize.brentq(lambda v, a=a: acceptance(v) - a, 0.1, 20) * s for a in (0.6, 0.4))
    assert low * 0.95 < float(walk.state["width"].median()) < high * 1.05  # between .4 and .6 nothing is changed


def test_at_a_fixed_temperature_langevin_has_the_variance_of_its_euler_steps_on_a_quadratic() -> None:
    curvature = torch.tensor([1.0, 4.0, 0.5], dtype=torch.float64)
    made = method("langevin", rate=0.1, temperature=0.3, cooling="none", steps=200)
    ends = walked(
        made, lambda t: ((curvature * t * t).sum(1) / 2, curvature * t), torch.zeros(4000, 3, dtype=torch.float64)
    )
    expected = 0.3 / (curvature * (1 - 0.1 * curvature / 2))  # of θ ← (1 - η λ) θ + √(2 η T) ξ
    error = 5 * expected * math.sqrt(2 / 4000)
    assert bool(((ends.theta.var(0) - expected).abs() < error).all())


def flat(theta: Tensor) -> tuple[Tensor, Tensor]:
    return theta.sum(1) * 0, theta * 0


def test_langevin_cools_along_a_line_and_an_open_temperature_is_a_tenth_of_the_scale_in_a_valley() -> None:
    made = method("langevin", rate=0.01, steps=4)
    assert made.remember(1, Landscape(10, 3.0))["temperature"].item() == pytest.approx(2 * 0.3 / 10)
    runs, draws = begun(made, flat, torch.zeros(20_000, 1, dtype=torch.float64))
    walk, spread = made.begin(runs, draws), []
    for step in range(1, 5):
        before = walk.theta
        walk = asked(made, flat, walk, step, runs, draws)
        spread.append(float((walk.theta - before).var()))
    temperature = runs.memory["temperature"][0].item()
    assert spread == pytest.approx([2 * 0.01 * temperature * (1 - k / 4) for k in range(4)], rel=0.06)


@pytest.mark.parametrize("name", ["tunnelling", "trust"])
def test_a_tunnel_never_ends_above_the_level_and_never_at_the_pole(name: str) -> None:
    made = method(name, steps=100)
    for bottom in (UPPER, LOWER):
        theta = torch.full((100, 1), bottom, dtype=torch.float64)
        walk = walked(made, wells, theta)
        ready = walk.phase == Phase.READY
        assert bool((wells(walk.theta)[0][ready] <= wells(theta)[0][ready]).all())
        assert bool(((walk.theta - theta).abs() > 0.05)[ready].all())
        if bottom == LOWER:  # there is nothing lower
            assert not bool(ready.any())


def test_on_a_line_a_flow_finds_the_lower_valley_if_it_leaves_to_its_side_and_a_tunnel_always() -> None:
    theta = torch.full((100, 1), UPPER, dtype=torch.float64)
    for name in ("tunnelling", "trust"):
        made = method(name)
        to_the_left = (made.begin(*begun(made, wells, theta)).theta < theta).squeeze(1)
        assert 30 < int(to_the_left.sum()) < 70
        walk = walked(made, wells, theta)
        found = walk.phase == Phase.READY
        assert bool((walk.theta[found] < -0.5).all())
        assert torch.equal(found, to_the_left) if name == "trust" else bool(found.all())


def test_trust_enters_the_lower_valley_where_the_flow_of_its_energy_does() -> None:
    level = float(wells(torch.tensor([[UPPER]], dtype=torch.float64))[0])

    def flow(t: float, x: Any) -> Any:
        loss, slope = wells(torch.tensor([[x[0]]], dtype=torch.float64))
        aside = x[0] - UPPER
        return [np.cbrt(aside) - float(slope) / (1 + math.exp(float(loss) - level + 2.0))]

    def below(t: float, x: Any) -> float:
        return float(wells(torch.tensor([[x[0]]], dtype=torch.float64))[0]) - level

    below.terminal, below.direction = True, -1  # type: ignore[attr-defined]
    arrived = integrate.solve_ivp(flow, (0, 100), [UPPER - 0.01], events=below, rtol=1e-8).y_events[0][-1][0]
    walk = walked(method("trust"), wells, torch.full((50, 1), UPPER, dtype=torch.float64))
    ends = walk.theta[walk.phase == Phase.READY]
    assert len(ends) > 10
    assert bool(((arrived - ends) >= -1e-6).all() & ((arrived - ends) <= 0.05 + 1e-6).all())  # a step further at most


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tunnelling", "trust"])
def test_every_run_in_the_upper_valley_comes_to_the_lower_one(name: str) -> None:
    study = Study.from_config(
        {
            "problem": {"name": "neuron", "dimension": 1, "block_inputs": [8.0, 0.5], "block_targets": [0.7, 1.0]},
            "network": {"depth": 1, "bias": False},
            "objective": {"l2_weights": 1e-3},
            "init": {"name": "uniform", "bound": 5},
            "threads": 1,
            "descent": {"learning_rate": 0.2, "steps": 5000, "tolerance": 1e-7},
            "escape": {"name": name, "budget": 10_000},
        }
    )
    block = solve(study, range(20))
    assert block.visits is not None
    lowest = float(block.visits.loss.min())
    assert 3 < int((block.solution.loss > lowest + 1e-4).sum()) < 18  # who began in the upper valley
    best = [float(block.visits.best[block.visits.restart == restart].min()) for restart in range(20)]
    assert best == pytest.approx([lowest] * 20, abs=1e-4)  # descents end after 5000 steps
    for restart in range(20):
        heights = block.visits.loss[block.visits.restart == restart]
        assert bool((heights[1:] <= heights[:-1] + 1e-8).all())


def test_stun_accepts_by_the_difference_of_flattened_heights() -> None:
    made = method("stun", gamma=2.0, temperature=0.3, factor=1, moves=1, width=1.0)
    rows = 4000
    theta = torch.zeros(rows, 1, dtype=torch.float64)
    for here, there, best in ((1.0, 1.5, 0.0), (1.0, 1.5, 1.0), (5.0, 50.0, 0.0), (1.0, 0.5, 0.0)):
        runs, draws = begun(made, lambda t, here=here: (t.sum(1) * 0 + here, t * 0), theta)
        runs = Runs(theta, runs.loss, torch.full_like(runs.loss, best), runs.memory)
        walk = made.begin(runs, draws)
        after = asked(made, lambda t, there=there: (t.sum(1) * 0 + there, t * 0), walk, 1, runs, draws)
        accepted = float((after.state["chain"] != 0).double().mean())
        rise = math.exp(-2 * (here - best)) - math.exp(-2 * (there - best))
        expected = min(1.0, math.exp(-rise / 0.3))
        assert abs(accepted - expected) <= 4 * math.sqrt(expected * (1 - expected) / rows)


def test_stun_is_warmed_on_the_plateau_and_cooled_at_the_best_point_but_never_beyond_one() -> None:
    made = method("stun", gamma=5.0, temperature=0.5, factor=0.9, moves=30, width=1e-6)
    theta = torch.zeros(50, 2, dtype=torch.float64)
    for height, expected in ((0.0, 0.5 * 0.9**30), (4.0, 1.0)):
        runs, _ = begun(made, lambda t, h=height: (t.sum(1) * 0 + h, t * 0), theta)
        runs = Runs(theta, runs.loss, runs.loss * 0, runs.memory)
        draws = begun(made, wells, theta[:, :1])[1]._replace(like=theta)
        walk = made.begin(runs, draws)
        for step in range(1, 61):
            walk = asked(made, lambda t, h=height: (t.sum(1) * 0 + h, t * 0), walk, step, runs, draws)
        assert walk.state["temperature"].tolist() == pytest.approx([expected] * 50)


def test_a_loss_counts_as_a_third_of_a_gradient() -> None:
    study = Study.from_config(
        {
            "objective": {"name": "test_function", "function": "rastrigin"},
            "init": "uniform",
            "engine": "torch",
            "polish": "none",
            "descent": {"learning_rate": 5e-5, "steps": 20, "tolerance": 0, "records": 1},
            "escape": {"name": "annealing", "budget": 80, "trials": 5, "temperatures": 4, "moves": 10},
        }
    )
    block = solve(study, range(3))
    assert block.life is not None
    round_costs = (5 + 2 * 10 * 4) / 3 + 21  # trial moves and chain, and a descent of 20 steps
    # 21 and a round are less than 80; of the second one the walk is cut short where the budget ends.
    assert 21 + round_costs < 80 < 21 + round_costs + 85 / 3
    assert block.life.spent.tolist() == pytest.approx([80 + 21] * 3, abs=1 / 3)
    assert block.life.standing.losses.tolist() == [85] * 3
    assert block.life.standing.gradients.tolist() == [42] * 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "annealing", "acceptance": 1}, "escape.acceptance=1: must be between 0 and 1"),
        ({"name": "annealing", "cooling": 1.5}, "escape.cooling=1.5: must be above 0, and 1 (no cooling) at most"),
        ({"name": "annealing", "moves": 0}, "escape.moves=0: must be at least 1"),
        ({"name": "annealing", "temperature": 0}, "escape.temperature=0.0: must be positive"),
        ({"name": "langevin", "rate": -1}, "escape.rate=-1.0: must be positive"),
        ({"name": "langevin", "steps": 0}, "escape.steps=0: must be at least 1"),
        ({"name": "langevin", "cooling": "log"}, "unknown escape.cooling 'log': choose one of linear, none"),
        ({"name": "tunnelling", "strength": 0}, "escape.strength=0.0: must be positive"),
        ({"name": "tunnelling", "poles": 0}, "escape.poles=0: must be at least 1"),
        ({"name": "stun", "factor": 0}, "escape.factor=0: must be above 0, and 1 (fixed) at most"),
        ({"name": "stun", "gamma": -2}, "escape.gamma=-2.0: must be positive"),
        ({"name": "trust", "offset": 1000}, "escape.offset=1000: must be between -100 and 100"),
        ({"name": "trust", "start": 0}, "escape.start=0.0: must be positive"),
        ({"name": "tunneling"}, "unknown escape 'tunneling': did you mean 'tunnelling'?"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r".") as error:
        Study.from_config({"escape": settings})
    assert str(error.value) == message
