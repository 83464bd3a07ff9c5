from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

import basinet
from basinet.descents import Adam, Budget, GradientDescent, Momentum, Nesterov, Sgd
from basinet.descents.budget import record_steps
from basinet.engines import TorchEngine
from basinet.foundation.outcomes import Status
from basinet.foundation.random_streams import Purpose, permutation
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import Descent, State
from basinet.stages.descend import descend
from basinet.stages.solution import Solution, fold
from basinet.study.study import Study

ENGINE = TorchEngine()

# f(w) = ½ w²: one weight, x = 1, y = 0. Gradient descent with rate η multiplies w, and ‖∇f‖ = |w|, by 1 - η a step.
LINE = EmpiricalRisk(
    Network((1, 1), output="identity", bias=False),
    torch.ones(1, 1, dtype=torch.float64),
    torch.zeros(1, 1, dtype=torch.float64),
)


def on_the_line(*starts: float, rate: float = 0.1, steps: int, tolerance: float, records: int = 1) -> Solution:
    descent = GradientDescent(Budget(rate, steps, "constant", tolerance, records))
    states = descend(LINE, descent, ENGINE, torch.tensor(starts, dtype=torch.float64)[:, None])
    return fold(states, descent, 1)


def names(solution: Solution) -> list[str]:
    return [Status(status).name for status in solution.status.tolist()]


def test_records_are_log_spaced_from_1_to_the_budget_and_begin_with_0() -> None:
    assert record_steps(0, 40) == [0]
    assert record_steps(1, 40) == [0, 1]
    assert record_steps(7, 1) == [0, 7]
    assert record_steps(10_000, 5) == [0, 1, 10, 100, 1000, 10_000]
    for steps, records in ((30_000, 40), (10, 40), (999, 7)):
        made = record_steps(steps, records)
        assert made == sorted(set(made))
        assert (made[0], made[1], made[-1]) == (0, 1, steps)
        assert len(made) <= records + 1
        # Each is within the rounding to a whole step of a term of the geometric sequence.
        terms = [steps ** (k / (records - 1)) for k in range(records)]
        assert all(min(abs(step - term) for term in terms) < 0.5 + 1e-6 for step in made[1:])


@pytest.mark.parametrize("tolerance", [0.5, 1e-3, 1e-9])
def test_a_restart_arrives_at_the_first_test_at_which_its_gradient_is_small_enough(tolerance: float) -> None:
    starts = [1.0, -3.0, 40.0, 0.7, 1e-3]
    solution = on_the_line(*starts, steps=1000, tolerance=tolerance)
    for r, start in enumerate(starts):
        # (9/10)^k |w₀| ≤ tolerance, k a multiple of 10
        arrival = max(0, math.ceil(math.log(abs(start) / tolerance) / -math.log(0.9) / 10)) * 10
        assert names(solution)[r] == "ARRIVED"
        assert int(solution.steps[r]) == arrival
        # 200 products, each rounded once.
        assert float(solution.theta[r, 0]) == pytest.approx(start * 0.9**arrival, rel=1e-13)
        assert float(solution.gradient_norm[r]) == abs(float(solution.theta[r, 0]))
        assert float(solution.loss[r]) == pytest.approx(float(solution.theta[r, 0]) ** 2 / 2, rel=1e-15)


def test_the_stopping_test_is_made_at_steps_divisible_by_ten_and_at_records_and_nowhere_else() -> None:
    # From 1 to .5 · .9^k for every k: each restart is small enough from its own step on.
    steps, records = 200, 12
    tests = sorted({*range(0, steps + 1, 10), *record_steps(steps, records)})
    assert any(step % 10 for step in tests[1:-1])  # records bring tests of their own
    starts = [0.9**-k * 0.5 * 1.0001 for k in range(180)]  # arrives in reality at step k + 1
    solution = on_the_line(*starts, steps=steps, tolerance=0.5, records=records)
    expected = [next(step for step in tests if step >= k + 1) for k in range(180)]
    assert solution.steps.tolist() == expected
    assert set(names(solution)) == {"ARRIVED"}


def test_a_budget_ends_the_rest_at_the_budget() -> None:
    solution = on_the_line(1.0, 1e-3, steps=25, tolerance=1e-4)
    assert names(solution) == ["BUDGET", "ARRIVED"]
    assert solution.steps.tolist() == [25, 25]  # .9^25 = .072; the second is small enough after 22 steps, tested at 25
    assert float(solution.theta[0, 0]) == pytest.approx(0.9**25, rel=1e-14)


def test_a_tolerance_of_zero_stops_nobody_who_still_moves() -> None:
    assert names(on_the_line(1.0, steps=100, tolerance=0.0)) == ["BUDGET"]


def test_without_a_step_the_starts_themselves_are_judged() -> None:
    solution = on_the_line(2.0, -1e-9, math.nan, steps=0, tolerance=1e-8)
    assert names(solution) == ["BUDGET", "ARRIVED", "DIVERGED"]
    assert solution.steps.tolist() == [0, 0, 0]
    assert solution.theta[:2, 0].tolist() == [2.0, -1e-9]
    assert solution.loss[0] == 2.0
    assert solution.gradient_norm[0] == 2.0
    assert solution.trajectory.step.tolist() == [0]


def test_who_starts_at_a_bottom_never_moves() -> None:
    solution = on_the_line(0.0, steps=50, tolerance=0.0)
    assert names(solution) == ["ARRIVED"]
    assert solution.steps.tolist() == [0]


def test_a_diverged_restart_is_marked_with_the_first_test_that_saw_it() -> None:
    # η = 3: w is multiplied by -2 a step, and ½ w² leaves the range of float64 when 2^(2k - 1) w₀² ≥ 2^1024.
    starts = [2.0**-10, 1.0, 2.0**100, 0.0]
    solution = on_the_line(*starts, rate=3.0, steps=600, tolerance=1e-9)
    first = [next(k for k in range(700) if 2 * k - 1 + 2 * e >= 1024) for e in (-10, 0, 100)]
    assert solution.steps.tolist() == [*(math.ceil(k / 10) * 10 for k in first), 0]
    assert names(solution) == ["DIVERGED", "DIVERGED", "DIVERGED", "ARRIVED"]


def test_the_trajectory_carries_arrivals_on_and_leaves_diverged_restarts_out() -> None:
    solution = on_the_line(1.0, 1e-3, 2.0**500, rate=3.0, steps=50, tolerance=1e-2, records=6)
    steps = record_steps(50, 6)
    assert solution.trajectory.step.tolist() == steps
    for record, step in enumerate(steps):
        first, second, third = solution.trajectory.loss[record].tolist()
        assert first == pytest.approx(0.5 * 4.0**step, rel=1e-6)  # float32
        assert second == pytest.approx(0.5e-6, rel=1e-6)  # was there from the beginning
        assert math.isnan(third) == (2 * step - 1 + 1000 >= 1024)
        assert math.isnan(float(solution.trajectory.gradient_norm[record, 2])) == math.isnan(third)


def test_long_legs_are_broken_up_without_a_change_of_any_number() -> None:
    descent = GradientDescent(Budget(1e-3, 4500, "constant", 0.0, 2))
    states = list(descend(LINE, descent, ENGINE, torch.tensor([[1.0]], dtype=torch.float64)))
    assert [state.step for state in states] == [0, 1, 1000, 2000, 3000, 4000, 4500]  # progress at least every 1,000
    w = 1.0
    for _ in range(4500):
        w -= 1e-3 * w
    assert float(states[-1].theta) == w


def test_the_steps_and_the_end_do_not_depend_on_the_number_of_records() -> None:
    few, many = (on_the_line(1.0, 30.0, steps=300, tolerance=0.0, records=records) for records in (1, 100))
    assert torch.equal(few.theta, many.theta)
    assert torch.equal(few.loss, many.loss)
    assert len(many.trajectory.step) > 60


XOR_X = torch.tensor([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]], dtype=torch.float64)
XOR_Y = torch.tensor([[0.0, 1.0, 1.0, 0.0]], dtype=torch.float64)

DESCENTS: dict[str, Callable[[Budget], Descent]] = {
    "gradient_descent": GradientDescent,
    "momentum": lambda b: Momentum(b, 0.9),
    "nesterov": lambda b: Nesterov(b, 0.9),
    "adam": lambda b: Adam(b, 0.9, 0.999, 1e-8),
    "sgd": lambda b: Sgd(replace(b, seed=3), batch_size=3),
}

OPTIMISERS: dict[str, Callable[[Tensor], torch.optim.Optimizer]] = {
    "gradient_descent": lambda p: torch.optim.SGD([p], lr=0.05),
    "momentum": lambda p: torch.optim.SGD([p], lr=0.05, momentum=0.9),
    "nesterov": lambda p: torch.optim.SGD([p], lr=0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam([p], lr=0.05),
    "sgd": lambda p: torch.optim.SGD([p], lr=0.05),
}


@pytest.mark.parametrize("hidden", [2, 7], ids=["lanes", "products"])
@pytest.mark.parametrize("name", list(DESCENTS))
def test_fifty_steps_of_a_network_equal_torch_optimisers_on_autograd(
    autograd_risk: Callable[..., Tensor], name: str, hidden: int
) -> None:
    network = Network((2, hidden, 1), "tanh", "logistic")
    risk = EmpiricalRisk(network, XOR_X, XOR_Y, l2_weights=1e-2)
    starts = torch.randn(5, network.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    *_, last = descend(risk, DESCENTS[name](Budget(0.05, 50, "constant", 0.0, 3)), ENGINE, starts)
    for r in range(5):
        theta = starts[r].clone().requires_grad_()
        optimiser = OPTIMISERS[name](theta)
        for step in range(50):
            seen = torch.arange(4)
            if name == "sgd":  # two minibatches an epoch: three samples and one
                seen = torch.from_numpy(permutation(3, step // 2, 4, Purpose.BATCHES))[: 3 if step % 2 == 0 else 4]
                seen = seen if step % 2 == 0 else seen[3:]
            f = autograd_risk(
                theta, network.widths, ["tanh", "logistic"], XOR_X[:, seen], XOR_Y[:, seen], True, (1e-2, 0.0)
            )
            (theta.grad,) = torch.autograd.grad(f, theta)
            optimiser.step()
        # Rounding differences of 1e-16 a step; Adam's division by √v amplifies them most, to some 1e-14.
        torch.testing.assert_close(last.theta[r], theta.detach(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", list(DESCENTS))
def test_the_last_state_holds_the_loss_and_the_gradient_norm_of_all_samples_at_its_theta(name: str) -> None:
    network = Network((2, 2, 1))
    risk = EmpiricalRisk(network, XOR_X, XOR_Y)
    starts = torch.randn(5, network.size, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for state in descend(risk, DESCENTS[name](Budget(0.5, 30, "constant", 0.0, 4)), ENGINE, starts):
        loss, gradient = risk.loss_and_gradient(state.theta)
        assert torch.equal(state.loss, loss)
        torch.testing.assert_close(state.gradient_norm, gradient.norm(dim=1), rtol=1e-14, atol=0)


@dataclass(frozen=True)
class Counting:
    """An engine that notes how many restarts each segment is given."""

    seen: list[tuple[int, int]]
    name: str = "counting"

    def unsupported_reason(self, objective: Any, descent: Any) -> str | None:
        return None

    def segment(self, objective: Any, descent: Any, state: State, until: int) -> State:
        self.seen.append((until, len(state.status)))
        return ENGINE.segment(objective, descent, state, until)


def test_restarts_that_have_arrived_are_put_aside_and_come_back_in_their_place() -> None:
    starts = torch.tensor([[1.0], [1e-3], [100.0], [0.0], [1.0]], dtype=torch.float64)
    seen: list[tuple[int, int]] = []
    descent = GradientDescent(Budget(0.1, 1000, "constant", 0.01, 10))
    *_, last = descend(LINE, descent, Counting(seen), starts)
    # .9^44 < .01 and 100 · .9^88 < .01: seen by the tests at 46, which is a record, and at 90, inside a segment.
    assert record_steps(1000, 10) == [0, 1, 2, 5, 10, 22, 46, 100, 215, 464, 1000]
    assert seen == [(0, 5), (1, 3), (2, 3), (5, 3), (10, 3), (22, 3), (46, 3), (100, 1)]
    assert last.steps.tolist() == [46, 0, 90, 0, 46]
    assert last.step == 1000
    expected = [0.9**46, 1e-3, 100 * 0.9**90, 0.0, 0.9**46]
    assert last.theta[:, 0].tolist() == pytest.approx(expected, rel=1e-13)


def test_once_all_have_arrived_states_go_on_to_the_budget_without_work() -> None:
    seen: list[tuple[int, int]] = []
    descent = GradientDescent(Budget(0.1, 5000, "constant", 1.0, 5))

    def states() -> Iterator[State]:
        yield from descend(LINE, descent, Counting(seen), torch.tensor([[0.5]], dtype=torch.float64))

    steps = [state.step for state in states()]
    assert seen == [(0, 1)]
    assert {*record_steps(5000, 5)} <= {*steps}


def test_a_study_reports_how_its_restarts_ended() -> None:
    """Through the front door: chain of one weight, arrived after a known number of steps."""
    study = Study.from_config(
        {
            "problem": {"name": "chain", "inputs": [1.0], "targets": [1.0]},
            "network": {"depth": 1, "bias": False, "output": "identity"},
            "init": {"name": "constant", "value": 0.0},
            "descent": {"learning_rate": 0.1, "steps": 500, "tolerance": 1e-6, "records": 1},
            "polish": "none",
            "restarts": 3,
        }
    )
    table = basinet.run(study).restarts
    # .9^k ≤ 1e-6 from k = 132 on
    assert table["status"].tolist() == ["arrived"] * 3
    assert table["steps"].tolist() == [140] * 3
    assert table["loss"].tolist() == pytest.approx([0.9**280 / 2] * 3, rel=1e-9)  # 1 - w has lost six digits
    assert table["loss_initial"].tolist() == [0.5] * 3


@pytest.mark.parametrize("width", [3, 9])  # one layout of memory, and the other, whose chunks go to several threads
def test_an_epoch_is_drawn_once_and_not_at_every_step(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def permutation_drawn(*address: Any) -> Any:
        drawn.append(address)
        return permutation(*address)

    monkeypatch.setattr("basinet.descents.sgd.permutation", permutation_drawn)
    descent = {"name": "sgd", "batch_size": 2, "steps": 60, "records": 2}  # ten steps an epoch
    settings = {"problem": {"name": "sine", "points": 20}, "network": {"width": width}, "descent": descent}
    seed = 7100 + width  # of which no test has drawn an epoch before
    asked = Study.from_config({**settings, "engine": "torch", "seed": seed, "restarts": 3, "threads": 2})
    for _ in descend(asked.objective, asked.descent, asked.engine, asked.starts(range(3))):
        pass
    assert [address[1] for address in drawn] == list(range(6))
