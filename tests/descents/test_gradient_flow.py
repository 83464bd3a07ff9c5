"""The gradient flow against closed forms, conservation laws, and an integral."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.integrate import DOP853, quad, solve_ivp
from torch import Tensor

import basinet
from basinet.descents.chebyshev import Chebyshev
from basinet.descents.dormand_prince import DormandPrince
from basinet.descents.gradient_flow import GradientFlow
from basinet.descents.horizon import Horizon
from basinet.descents.rosenbrock import Rosenbrock
from basinet.descents.trial import Method
from basinet.engines import NativeEngine, TorchEngine
from basinet.engines.own_pace import followed
from basinet.foundation.errors import ConfigError
from basinet.foundation.outcomes import Status
from basinet.protocols import Engine, State
from basinet.stages.descend import descend, retrace, start
from basinet.stages.solution import Solution, fold
from basinet.study.study import Study

PENALTIES = {"l2_weights": 1e-3, "l2_biases": 1e-3}
CHAIN = {"problem": {"name": "chain", "targets": [1.0]}}


def flow(config: dict[str, Any], restarts: int, engine: str = "native", **descent: Any) -> Study:
    settings = {"restarts": restarts, "engine": engine, "threads": 1, **config}
    return Study.from_config({**settings, "descent": {"name": "gradient_flow", **descent}})


def xor(restarts: int, engine: str = "native", **descent: Any) -> Study:
    return flow({"problem": "xor", "objective": PENALTIES}, restarts, engine, **descent)


def linear_chain(n: int, restarts: int, init: dict[str, Any] | str = "normal", **descent: Any) -> Study:
    network = {"depth": n, "activation": "identity", "output": "identity", "bias": False}
    return flow({**CHAIN, "network": network, "init": init}, restarts, **descent)


def solved(study: Study, engine: Engine | None = None) -> Solution:
    starts = study.starts(range(study.restarts))
    states = descend(study.objective, study.descent, engine or study.engine, starts)
    return fold(states, study.descent, study.objective.samples)


# ------------------------------------------------------------------------------------------------------ single steps


class Scalar:
    """f(θ) = λ θ² / 2 + κ θ⁴ / 4 for every restart: θ' = -λ θ - κ θ³ has a closed solution."""

    size = 1
    rounding = 0.0

    def __init__(self, linear: float, cubic: float) -> None:
        self.linear, self.cubic = linear, cubic

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        loss = (self.linear * theta**2 / 2 + self.cubic * theta**4 / 4).sum(1)
        return loss, self.linear * theta + self.cubic * theta**3

    def hessian(self, theta: Tensor) -> Tensor:
        return (self.linear + 3 * self.cubic * theta**2).unsqueeze(2)

    def hvp(self, theta: Tensor, v: Tensor) -> Tensor:
        return (self.linear + 3 * self.cubic * theta**2) * v

    def after(self, start: float, time: float) -> float:
        decay = math.exp(-self.linear * time)
        return start * decay / math.sqrt(1 + self.cubic / self.linear * start**2 * (1 - decay**2))


def one_step(method: Method, f: Scalar, start: float, h: float) -> tuple[float, float]:
    """Where a step of length h leads, and its estimated error."""
    theta = torch.tensor([[start]], dtype=torch.float64)
    step = torch.tensor([h], dtype=torch.float64)
    kept = torch.ones(1, method.remembers(1), dtype=torch.float64)
    trial = method.attempt(f, theta, f.loss_and_gradient(theta)[1], step, step, kept)
    assert bool(trial.exists[0])
    assert float(trial.step) == h
    return float(trial.theta), float(trial.error)


@pytest.mark.parametrize(("method", "order"), [(Rosenbrock(), 5), (Chebyshev(), 2)])
def test_the_error_of_a_step_falls_with_the_order_of_the_method(method: Method, order: int) -> None:
    """Halving h divides the error of one step by 2^(order + 1): within a third of a power, h being small but not 0."""
    f, start = Scalar(1.0, 0.7), 1.3
    errors = [abs(one_step(method, f, start, h)[0] - f.after(start, h)) for h in (0.02, 0.01)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.35)


def test_the_error_of_an_explicit_step_falls_with_the_ninth_power_of_its_length() -> None:
    """In a valley that is all but quadratic: elsewhere errors are lost in rounding where h is small enough."""
    f, start = Scalar(1.0, 1e-9), 0.3
    errors = [abs(one_step(DormandPrince(), f, start, h)[0] - f.after(start, h)) for h in (0.4, 0.2)]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(9, abs=0.35)


@pytest.mark.parametrize("h", [0.1, 0.3, 0.6])
def test_an_explicit_step_is_that_of_scipys_dop853(h: float) -> None:
    f, start = Scalar(1.0, 0.7), 1.3
    theirs = DOP853(lambda _, w: -(w + 0.7 * w**3), 0, [start], 10, first_step=h, rtol=1e3, atol=1e3)
    theirs.step()
    place, estimate = one_step(DormandPrince(), f, start, h)
    assert theirs.t == h
    assert place == pytest.approx(float(theirs.y[0]), rel=1e-14)
    assert abs(estimate) == pytest.approx(abs(float(theirs._estimate_error(theirs.K, h)[0])), rel=1e-6)


@pytest.mark.parametrize("method", [Rosenbrock(), Chebyshev(), DormandPrince()])
def test_the_estimate_is_no_smaller_than_the_error_of_a_step(method: Method) -> None:
    f, start = Scalar(1.0, 0.7), 1.3
    for h in (0.4, 0.2, 0.1, 0.05):
        place, estimate = one_step(method, f, start, h)
        assert abs(estimate) >= abs(place - f.after(start, h))


def test_a_step_of_any_length_down_a_steep_valley_ends_at_its_bottom() -> None:
    """L-stability: the factor of the linear problem tends to 0, where that of an A-stable method may tend to 1."""
    assert abs(one_step(Rosenbrock(), Scalar(1e3, 0.0), 1.0, 1e9)[0]) < 1e-9


def test_an_explicit_step_is_stable_far_beyond_two_over_the_curvature() -> None:
    """Euler's method multiplies by 1 - h λ = -999."""
    assert abs(one_step(Chebyshev(), Scalar(1e3, 0.0), 1.0, 1.0)[0]) < 1


def test_a_step_of_order_8_is_stable_up_to_six_over_the_curvature() -> None:
    """h λ = 5.9 shrinks what h λ = 7 magnifies."""
    factors = [abs(one_step(DormandPrince(), Scalar(1e3, 0.0), 1.0, h)[0]) for h in (5.9e-3, 7e-3)]
    assert factors[0] < 1 < factors[1]


def test_an_explicit_step_knows_the_curvature_without_a_hessian() -> None:
    """Of a quadratic valley it is λ, whatever the step."""
    f, theta = Scalar(37.0, 0.0), torch.tensor([[1.0]], dtype=torch.float64)
    step = torch.tensor([0.05], dtype=torch.float64)
    trial = DormandPrince().attempt(f, theta, f.loss_and_gradient(theta)[1], step, step, theta[:, :0])
    assert float(trial.size) == pytest.approx(37.0, rel=1e-9)


class Valley:
    """f(θ) = Σ λ_i θ_i² / 2 for every restart; θ_i' = -λ_i θ_i."""

    rounding = 0.0

    def __init__(self, *curvatures: float) -> None:
        self.curvatures = torch.tensor(curvatures, dtype=torch.float64)
        self.size = len(curvatures)

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        return (self.curvatures * theta**2 / 2).sum(1), self.curvatures * theta

    def hessian(self, theta: Tensor) -> Tensor:
        return torch.diag(self.curvatures).repeat(len(theta), 1, 1)

    def hvp(self, theta: Tensor, v: Tensor) -> Tensor:
        return self.curvatures * v


def switching(time: float) -> GradientFlow:
    return GradientFlow(Horizon(time=time, steps=10_000, tolerance=0.0, records=1), 1e-8, 1e-10, "switching", False)


def down(f: Valley, time: float) -> State:
    """Both restarts to the end of time, from (1, …, 1) and from a tenth of that."""
    flow_, theta = switching(time), torch.tensor([[1.0], [0.1]], dtype=torch.float64).expand(2, f.size).contiguous()
    return followed(f, flow_, start(flow_, theta), 10_000)


@pytest.mark.parametrize(("steepest", "most"), [(2.0, 400.0), (1e5, 3000.0)])
def test_a_flow_is_followed_by_implicit_steps_where_it_is_stiff_and_only_there(steepest: float, most: float) -> None:
    """To t = 3 down eigenvalues of 1 and 1e5, explicit steps alone would take 3e5 / 6 · 12 = 600,000 gradients."""
    f, time = Valley(1.0, steepest), 3.0
    state = down(f, time)
    method = state.memory[1][:, 0]
    assert method.tolist() == [float(steepest > 2.0)] * 2
    assert state.gradients is not None
    assert float(state.gradients.max()) < most
    expected = torch.tensor([[1.0], [0.1]], dtype=torch.float64) * torch.exp(-f.curvatures * time)
    torch.testing.assert_close(state.theta, expected, rtol=0, atol=1e-7)


def test_there_is_no_step_over_a_ridge() -> None:
    """Beyond h = 1 / γ |λ| the linearly implicit step goes the wrong way along a negative eigenvalue."""
    theta = torch.tensor([[0.1]], dtype=torch.float64)
    f = Scalar(-1.0, 1.0)
    steps = torch.tensor([4.0], dtype=torch.float64), torch.tensor([5.0], dtype=torch.float64)
    found = [Rosenbrock().attempt(f, theta, f.loss_and_gradient(theta)[1], h, h, theta[:, :0]) for h in steps]
    assert [bool(trial.exists[0]) for trial in found] == [True, False]


# ------------------------------------------------------------------------------------------------------- known truths


def time_to(n: int, start: float, product: float) -> float:
    """The time of a balanced chain from w = start to w^n = product: w' = w^(n-1) (1 - w^n), by quadrature."""
    end = product ** (1 / n)
    value, error = quad(lambda w: 1 / (w ** (n - 1) * (1 - w**n)), start, end, epsabs=0, epsrel=1e-12, limit=500)
    assert error < 1e-9 * value
    return float(value)


TABLE = {
    0.1: [2.1972, 3.3962, 9.9623, 50.3772, 333.8181, 2500.52],
    0.3: [1.9459, 2.2554, 3.2551, 5.8926, 12.7904, 31.3490],
}


@pytest.mark.parametrize("start", list(TABLE))
@pytest.mark.parametrize("n", range(1, 7))
def test_a_balanced_chain_takes_the_published_time(n: int, start: float) -> None:
    time = time_to(n, start, 0.9)
    assert time == pytest.approx(TABLE[start][n - 1], abs=0.006 if n == 6 and start == 0.1 else 6e-5)
    study = linear_chain(n, 1, {"name": "constant", "value": start}, time=time, tolerance=0)
    solution = solved(study)
    w = float(solution.theta[0, 0])
    late = (w**n - 0.9) / (n * w ** (2 * n - 2) * (1 - w**n))  # of the product, over its speed
    assert abs(late) < 1e-5 * time
    assert solution.time is not None
    assert float(solution.time[0]) == time  # its last step ends there


def expected_signs(start: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """All signs stay except that of the smallest |w_i|, which becomes that of the product of the others."""
    signs, smallest = np.sign(start), np.abs(start).argmin(1)
    rows = np.arange(len(start))
    signs[rows, smallest] = np.prod(signs, 1) * signs[rows, smallest]
    return signs


@pytest.mark.parametrize("n", [2, 3, 4])
def test_a_chain_keeps_all_signs_but_that_of_its_smallest_weight(n: int) -> None:
    """2,000 restarts without an exception; and w_i² - w_j² is kept to the tolerance that was asked for.

    An error of 1e-8 |w| a step, in some hundred steps, some of which cancel: 1e-6 of the largest square.
    """
    study = linear_chain(n, 2000, time=1e12)
    start, solution = study.starts(range(2000)).numpy(), solved(study)
    end = solution.theta.numpy()
    assert (np.abs(end.prod(1) - 1) < 1e-6).all()
    assert (np.sign(end) == expected_signs(start)).all()
    before, after = start**2 - start[:, :1] ** 2, end**2 - end[:, :1] ** 2
    assert np.abs(after - before).max() < 1e-6 * max(1, (end**2).max())


BARRIER, FIRST, SECOND = 4.167237823105, 1.276434037816, 10.973944982897


def valleys(
    dimension: int, std: float, restarts: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.float64], Solution]:
    """Which coordinates start beyond the barrier, where restarts end, and how."""
    problem = {"problem": {"name": "neuron", "dimension": dimension}}
    network = {"network": {"depth": 1, "bias": False}, "init": {"name": "normal", "std": std}}
    study = flow({**problem, **network}, restarts, time=1e16)  # |w| up to 160: 20 e^16 · 4 d
    solution = solved(study)
    return study.starts(range(restarts)).numpy() > BARRIER, solution.theta.numpy(), solution


@pytest.mark.parametrize(("dimension", "std"), [(1, 5.0), (2, 30.0), (3, 30.0)])
def test_one_neuron_keeps_to_the_valley_of_its_start_however_far_out(dimension: int, std: float) -> None:
    beyond, end, solution = valleys(dimension, std, 1000)
    assert set(solution.status.tolist()) == {int(Status.ARRIVED)}
    # The way left is foretold to be within rtol (1 + ‖w‖), some 2e-7: not to the last factor of ten.
    assert np.abs(end - np.where(beyond, SECOND, FIRST)).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("std", [5.0, 10.0, 30.0])
@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_the_shares_of_one_neurons_valleys_are_the_products_of_their_probabilities(dimension: int, std: float) -> None:
    restarts = 10_000
    beyond, end, solution = valleys(dimension, std, restarts)
    assert set(solution.status.tolist()) == {int(Status.ARRIVED)}
    assert np.abs(end - np.where(beyond, SECOND, FIRST)).max() < 1e-5
    p = 0.5 * (1 + math.erf(BARRIER / std / math.sqrt(2)))
    for valley in range(2**dimension):
        far = np.array([bool(valley >> axis & 1) for axis in range(dimension)])
        share = p ** (~far).sum() * (1 - p) ** far.sum()
        seen = ((end > BARRIER) == far).all(1).mean()
        assert abs(seen - share) <= 4 * math.sqrt(share * (1 - share) / restarts)


def test_the_loss_falls_by_the_integral_of_the_squared_gradient() -> None:
    """df/dt = -‖∇f‖², by the trapezium rule between 4,000 records: a step's error of some 1e-6 of the whole."""
    solution = solved(xor(4, records=4000, time=100.0, tolerance=0))
    time, slope = solution.trajectory.step.numpy(), solution.trajectory.gradient_norm.double().numpy() ** 2
    fall = (0.5 * (slope[1:] + slope[:-1]) * np.diff(time)[:, None]).sum(0)
    assert fall == pytest.approx((solution.loss_initial - solution.loss).numpy(), rel=1e-4)


def test_the_loss_never_rises() -> None:
    loss = solved(xor(64, records=300)).trajectory.loss.double().numpy()
    assert (np.diff(loss, axis=0) <= 1e-7 * loss[1:]).all()  # records are in single precision


def test_layers_without_penalty_stay_balanced() -> None:
    """W_l W_lᵀ - W_{l+1}ᵀ W_{l+1} is conserved where both layers are linear, and |in|² - |out|² of every ReLU unit."""
    network = {"depth": 3, "width": 3, "activation": "identity", "output": "identity", "bias": False}
    study = flow({"problem": "teacher", "network": network, "init": {"name": "normal", "std": 0.5}}, 8, time=100.0)
    solution = solved(study)
    start, end = (
        [layer.weight for layer in study.network.layers(theta)] for theta in (study.starts(range(8)), solution.theta)
    )
    for first, second in ((0, 1), (1, 2)):
        before, after = (
            w[first] @ w[first].transpose(1, 2) - w[second].transpose(1, 2) @ w[second] for w in (start, end)
        )
        torch.testing.assert_close(after, before, rtol=0, atol=1e-6)


def test_relu_units_keep_the_balance_of_what_comes_in_and_goes_out() -> None:
    network = {"depth": 2, "width": 3, "activation": "relu", "output": "identity"}
    study = flow({"problem": "sine", "network": network}, 8, time=1.0, tolerance=0)
    solution = solved(study)

    def balance(theta: Tensor) -> Tensor:
        first, second = study.network.layers(theta)
        assert first.bias is not None
        return (first.weight**2).sum(2) + first.bias**2 - (second.weight**2).sum(1)

    torch.testing.assert_close(balance(solution.theta), balance(study.starts(range(8))), rtol=0, atol=1e-6)


# ------------------------------------------------------------------------------------------------- engines and batches


@pytest.mark.parametrize("method", [None, "switching"])
def test_both_engines_end_in_the_same_points(method: str | None) -> None:
    """Different roundings decide about steps; what both follow is within the tolerance of the flow."""
    study = xor(8, time=10.0, records=5, method=method)
    native, torch_ = (solved(study, engine) for engine in (NativeEngine(1), TorchEngine(1)))
    torch.testing.assert_close(native.theta, torch_.theta, rtol=0, atol=1e-6)
    torch.testing.assert_close(native.trajectory.loss, torch_.trajectory.loss, rtol=1e-5, atol=0)
    assert torch.equal(native.status, torch_.status)


@pytest.mark.parametrize(
    ("engine", "method"),
    [("native", None), ("torch", None), ("torch", "chebyshev"), ("native", "switching"), ("torch", "switching")],
)
def test_a_restart_alone_is_the_same_to_the_bit(engine: str, method: str | None) -> None:
    study = xor(11, engine, method=method, time=2.0, records=3)
    states = list(descend(study.objective, study.descent, study.engine, study.starts(range(11))))
    for r in (0, 10):
        *_, alone = descend(study.objective, study.descent, study.engine, study.starts(range(r, r + 1)))
        for one, together in zip(alone.tensors(), states[-1].tensors(), strict=True):
            assert torch.equal(one[0].nan_to_num(), together[r].nan_to_num())


def test_restarts_that_go_over_to_the_other_kind_of_step_are_the_same_to_the_bit_in_any_company() -> None:
    """Until t = 1e4 most have gone over, and returned, at times of their own."""
    study = xor(11, method="switching", time=1e4, records=3)
    *_, together = descend(study.objective, study.descent, study.engine, study.starts(range(11)))
    assert int((together.memory[1][:, 2] > 0).sum()) > 5
    for r in (0, 4, 10):
        *_, alone = descend(study.objective, study.descent, NativeEngine(2), study.starts(range(r, r + 1)))
        for one, other in zip(alone.tensors(), together.tensors(), strict=True):
            assert torch.equal(one[0].nan_to_num(), other[r].nan_to_num())


def test_the_two_ways_of_following_end_in_the_same_minima() -> None:
    exact, found = (solved(xor(40, method=method)) for method in ("rosenbrock", "switching"))
    assert set(found.status.tolist()) == {Status.ARRIVED}
    torch.testing.assert_close(found.theta, exact.theta, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("engine", "method"), [("native", None), ("torch", None), ("native", "switching")])
def test_how_a_flow_is_divided_into_calls_changes_nothing(engine: str, method: str | None) -> None:
    study = xor(2, engine, time=2.0, records=3, method=method)
    *_, whole = descend(study.objective, study.descent, study.engine, study.starts(range(3)))
    for r in range(2):
        *_, last = retrace(
            study.objective, study.descent, study.engine, study.starts(range(r, r + 1))[0], int(whole.steps[r])
        )
        assert torch.equal(last.theta, whole.theta[r])
        assert last.time == float(whole.time[r])  # type: ignore[index]


@pytest.mark.parametrize(("width", "method"), [(15, "rosenbrock"), (16, "switching"), (80, "chebyshev")])
def test_the_method_goes_by_the_number_of_parameters(width: int, method: str) -> None:
    """4 width + 1 of them: up to 64, up to polish.dense_max = 300, beyond."""
    study = flow({"problem": "xor", "network": {"width": width}}, 1)
    assert study.settings["descent"]["method"] == method


def test_restarts_that_are_followed_need_no_hessian_beyond_dense_max() -> None:
    small = {"name": "newton", "dense_max": 8}
    study = flow({"problem": "xor", "objective": PENALTIES, "polish": small}, 8, time=3.0, rtol=1e-6, atol=1e-8)
    assert study.settings["descent"]["method"] == "chebyshev"
    exact = solved(xor(8, time=3.0))
    torch.testing.assert_close(
        solved(study).theta, exact.theta, rtol=0, atol=1e-3
    )  # a tolerance a hundred times larger


class Wall:
    """f(θ) = 1 + |θ|: the flow slides into a kink, where no step is short enough."""

    size, rounding = 1, 0.0

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        return 1 + theta.abs().sum(1), theta.sign()

    def hessian(self, theta: Tensor) -> Tensor:
        return torch.zeros(len(theta), 1, 1, dtype=torch.float64)


def test_a_restart_that_slides_into_a_kink_ends_when_it_gets_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basinet.descents.gradient_flow.PATIENCE", 40)  # the same, sooner
    study = xor(1)
    zeros = torch.zeros(1, dtype=torch.float64)
    theta = torch.full((1, 1), 0.3, dtype=torch.float64)
    records = torch.full((1, len(study.marks), 3), torch.nan, dtype=torch.float64)
    running, steps = torch.zeros(1, dtype=torch.int8), torch.zeros(1, dtype=torch.int64)
    memory = study.descent.init(theta)
    state = State(theta, memory, 0, running, steps, zeros, zeros, zeros, zeros, records)
    end = followed(Wall(), study.descent, state, most=300)  # type: ignore[arg-type]
    assert int(end.status[0]) == Status.BUDGET
    assert abs(float(end.theta)) < 1e-6


# ------------------------------------------------------------------------------------------------------------- tables


def test_tables_have_times_and_what_was_spent() -> None:
    found = basinet.run(xor(12, repeat=True, records=7))
    restarts, curves = found.restarts, found.curves
    assert (restarts["status"] == "arrived").all()
    assert (restarts["time"] > 0).all()
    assert (restarts["gradients"] > 8 * restarts["steps"]).all()  # eight a step, and its Hessian
    assert not restarts["elsewhere"].any()
    assert curves["time"].nunique() == 8
    first = curves[curves["restart"] == 0]
    assert first["step"].iloc[-1] == restarts["steps"].iloc[0]
    assert found.quantiles["time"].iloc[-1] == 1e7


@pytest.mark.parametrize(("descent", "gradients"), [("gradient_descent", 31.0), ("adam", 31.0)])
def test_other_descents_have_no_time_and_spend_a_gradient_a_step(descent: str, gradients: float) -> None:
    """30 of the steps and one at the end."""
    settings = {"name": descent, "steps": 30, "tolerance": 0.0}
    restarts = basinet.run(Study.from_config({"restarts": 3, "descent": settings})).restarts
    assert restarts["time"].isna().all()
    assert restarts["gradients"].tolist() == [gradients] * 3


def test_minibatches_cost_their_part_and_every_test_a_whole_gradient() -> None:
    """XOR in batches of three and one: 25 steps are 12 epochs and 3/4; tested at 0, 10, 20 and the records 5 and 25."""
    settings = {"name": "sgd", "steps": 25, "tolerance": 0.0, "batch_size": 3, "records": 3}
    study = Study.from_config({"restarts": 2, "descent": settings})
    assert list(study.marks) == [0, 1, 5, 25]
    assert basinet.run(study).restarts["gradients"].tolist() == [12.75 + 6] * 2


def test_single_precision_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"dtype=float32: a gradient flow is followed to descent\.rtol in float64"):
        flow({"dtype": "float32"}, 1)


# ---------------------------------------------------------------------------------------------------- slow comparisons


@pytest.mark.slow
def test_xor_falls_where_small_steps_of_gradient_descent_fall_and_large_ones_do_not() -> None:
    """GROUND_TRUTHS 11: rates of .2 and 2 end as the flow in 400 of 400, a rate of 10 in 393."""
    config = {"problem": "xor", "objective": PENALTIES, "restarts": 400}
    ends = basinet.run(xor(400)).parameters["final"]
    elsewhere = []
    for rate, steps in ((0.2, 400_000), (2.0, 40_000), (10.0, 8_000)):
        descent = {"name": "gradient_descent", "learning_rate": rate, "steps": steps}
        final = basinet.run(Study.from_config({**config, "descent": descent})).parameters["final"]
        elsewhere.append(int((np.linalg.norm(final - ends, axis=1) > 1e-3).sum()))
    assert elsewhere == [0, 0, 7]


RELU = {"problem": "sine", "network": {"width": 2, "activation": "relu"}, "objective": PENALTIES}
TANH = {"problem": "sine", "network": {"depth": 3, "width": 2, "activation": "tanh"}, "objective": PENALTIES}


@pytest.mark.stress
@pytest.mark.parametrize(
    ("config", "horizon"),
    [({"problem": "xor", "objective": PENALTIES}, 1e3), (TANH, 100.0), (RELU, 8.0)],
    ids=["xor", "tanh", "relu"],
)
def test_starts_get_to_where_lsoda_says(config: dict[str, Any], horizon: float) -> None:
    """scipy's LSODA at two tolerances, per restart: where its own two ends agree, so does ours.

    Restarts that slide along a kink (status budget before the end of time) have no solution that either could follow:
    LSODA, too, stays where they are stuck. Most of those with ReLU units are by t = 20.
    """
    restarts = 70
    study = flow({**config, "polish": "none"}, restarts, time=horizon, tolerance=0)
    solution, f = solved(study), study.exact_objective
    assert solution.time is not None

    def end(start: npt.NDArray[np.float64], rtol: float) -> npt.NDArray[np.float64]:
        def slope(_: float, w: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            gradient: npt.NDArray[np.float64] = -study.engine.loss_and_gradient(f, torch.tensor(w[None]))[1][0].numpy()
            return gradient

        def bend(_: float, w: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
            hessian: npt.NDArray[np.float64] = -study.engine.hessian(f, torch.tensor(w[None]))[0].numpy()
            return hessian

        return np.asarray(solve_ivp(slope, (0, horizon), start, "LSODA", jac=bend, rtol=rtol, atol=rtol / 100).y[:, -1])

    compared = 0
    for r in np.flatnonzero(solution.time.numpy() == horizon):
        start = study.starts(range(r, r + 1))[0].numpy()
        coarse, fine = end(start, 1e-6), end(start, 1e-7)
        if np.linalg.norm(coarse - fine) < 1e-3 * (1 + np.linalg.norm(fine)):
            compared += 1
            assert np.linalg.norm(solution.theta[r].numpy() - fine) < 1e-2 * (1 + np.linalg.norm(fine))
    assert compared > restarts / 2
