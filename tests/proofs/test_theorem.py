"""What is proved, and what is refused with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.optimize
import torch

pytest.importorskip("flint")

from basinet import Study
from basinet.proofs.check import check
from basinet.proofs.document import document
from basinet.proofs.statement import read
from basinet.proofs.theorem import Point, Verdict, seconds, smooth, verdicts
from known_critical_points import MINIMA, SADDLES, XOR

LOSSES = [
    *(0.112400368840, 0.114887043433, 0.115752106865, 0.115752106865, 0.117681070547, 0.117681070547),
    *(0.125, 0.125166164905, 0.126467678700),
    *(0.125162683234, 0.125188462344, 0.125381100613, 0.125381100613, 0.125434464035, 0.125434464035),
    *(0.126580486545, 0.126907539128),
]
"""Of the critical points, computed elsewhere by autograd."""


def one(statement: dict[str, Any], theta: list[float], kind: str = "minimum") -> Verdict:
    (verdict,) = verdicts(statement, [Point(0, kind, theta)])
    return verdict


def risk(widths: list[int], activation: str, **settings: Any) -> dict[str, Any]:
    """Five samples of a smooth function, as a problem for a network."""
    inputs = [[-1.0, 0.5][: widths[0]], [-0.5, -1.0][: widths[0]], [0.25, 0.75][: widths[0]], [1.0, 0.0][: widths[0]]]
    targets = [[float(np.sin(3 * sum(x))) + k for k in range(widths[-1])] for x in inputs]
    statement = {"loss": "squared", "widths": widths, "bias": True, "activation": activation, "output": "identity"}
    return {**statement, "l2_weights": 0.0, "l2_biases": 0.0, "inputs": inputs, "targets": targets, **settings}


def holds(statement: dict[str, Any], found: list[Verdict]) -> int:
    """How many minima the checker finds to be right, of proofs with which nothing is wrong."""
    counts, wrong = check(document(statement, found, {}))
    assert wrong == []
    return counts["minimum"]


def test_the_proved_points_of_xor_have_the_published_losses_and_the_right_index(xor_verdicts: list[Verdict]) -> None:
    f = smooth(read(XOR))
    for verdict, loss in zip(xor_verdicts, LOSSES, strict=True):
        assert verdict.proved, verdict.reason
        assert verdict.proof is not None
        assert verdict.proof.index == (verdict.point.kind == "saddle")
        assert float(f.value(verdict.proof.box)) == pytest.approx(loss, abs=2e-12)  # as they are given


def test_a_saddle_that_is_taken_for_a_minimum_is_refused_and_the_other_way_round() -> None:
    assert one(XOR, SADDLES[0]).reason == "it is a saddle of index 1, and no minimum: that is proved"
    assert one(XOR, MINIMA[0], "saddle").reason == "it is a minimum, and no saddle: that is proved"


def test_a_point_from_which_newtons_steps_lead_away_is_refused() -> None:
    verdict = one(XOR, [entry + 0.05 for entry in MINIMA[0]])
    assert not verdict.proved
    assert "there is no critical point so near" in verdict.reason


def test_copies_of_a_minimum_are_one_minimum() -> None:
    """Of tanh units: exchanged, both turned, and one of them turned."""
    statement = {**XOR, "widths": [2, 2, 1], "activation": "tanh", "output": "identity"}
    objective = Study.from_config(
        {
            "problem": "xor",
            "network": {"width": 2, "activation": "tanh", "output": "identity"},
            "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3},
        }
    ).exact_objective
    assert objective.statement() == statement

    def f(theta: Any) -> tuple[float, Any]:
        loss, gradient = objective.loss_and_gradient(torch.from_numpy(theta[None]))
        return float(loss), gradient[0].numpy()

    end = scipy.optimize.minimize(f, np.random.default_rng(3).normal(size=9), jac=True, tol=1e-13, method="BFGS").x
    W, b, v, c = end[:4].reshape(2, 2), end[4:6], end[6:8], end[8:]
    copies = [
        end,
        np.concatenate([W[::-1].ravel(), b[::-1], v[::-1], c]),
        np.concatenate([(-W).ravel(), -b, -v, c]),
        np.concatenate([(W * [[1], [-1]]).ravel(), b * [1, -1], v * [1, -1], c]),
    ]
    points = [Point(number, "minimum", theta.tolist()) for number, theta in enumerate(copies)]
    found = verdicts(statement, points)
    assert [verdict.proved for verdict in found] == [True, False, False, False]
    assert {verdict.reason for verdict in found[1:]} == {"a copy of minimum 0, or too near to one to be told apart"}


def test_levels_without_an_isolated_point_are_refused_with_the_reason() -> None:
    assert "singular" in one(XOR, MINIMA[0], "degenerate").reason
    assert "there is no point" in one(XOR, MINIMA[0], "at_infinity").reason


def test_an_exact_answer_of_xor_without_a_penalty_is_not_proved_and_it_is_said_why() -> None:
    """Targets .1 and .9, two logistic units: 9 parameters, 4 equations, hence 5 flat directions."""
    statement = {**XOR, "widths": [2, 2, 1], "l2_weights": 0.0, "l2_biases": 0.0}
    statement["targets"] = [[0.1], [0.9], [0.9], [0.1]]

    def errors(theta: Any) -> Any:
        W, b, v, c = theta[:4].reshape(2, 2), theta[4:6], theta[6:8], theta[8]
        hidden = 1 / (1 + np.exp(-(W @ np.array(statement["inputs"]).T + b[:, None])))
        return 1 / (1 + np.exp(-(v @ hidden + c))) - np.array(statement["targets"])[:, 0]

    start = np.array([6.0, 6.0, 6.0, 6.0, -3.0, -9.0, 6.0, -6.0, -3.0])
    end = scipy.optimize.least_squares(errors, start, xtol=1e-15, ftol=1e-15, gtol=1e-15).x
    assert abs(errors(end)).max() < 1e-12
    verdict = one(statement, end.tolist())
    assert not verdict.proved
    assert "singular" in verdict.reason or "cannot be told from 0" in verdict.reason or "so near" in verdict.reason


def test_a_bottom_that_is_flat_is_not_proved_whatever_it_is_called() -> None:
    """y = w_2 w_1 x without a penalty: a hyperbola of minima, taken for one with two softplus units that are equal."""
    statement = risk([1, 2, 1], "softplus", bias=False, inputs=[[0.0]], targets=[[2 * float(np.log(2.0))]])
    verdict = one(statement, [0.3, -0.4, 1.0, 1.0])
    assert not verdict.proved


def test_linear_hidden_units_are_refused_where_they_can_be_mixed() -> None:
    verdict = one(risk([2, 2, 1], "identity", l2_weights=1e-3, l2_biases=1e-3), [0.0] * 9)
    assert verdict.reason == "linear hidden units can be mixed continuously, and no gauge is fixed for that"


def test_the_minimum_of_a_penalised_scalar_chain_is_proved() -> None:
    """f = ½(1 - w_3 w_2 w_1)² + ½ 0.1 ‖w‖²: its minimum has the loss .144818819220."""
    statement = risk([1, 1, 1, 1], "identity", bias=False, l2_weights=0.1, inputs=[[1.0]], targets=[[1.0]])
    w = scipy.optimize.brentq(lambda w: -(1 - w**3) * w**2 + 0.1 * w, 0.7, 1.0, xtol=1e-15)
    found = verdicts(statement, [Point(0, "minimum", [w] * 3), Point(1, "minimum", [0.0] * 3)])
    assert [verdict.proved for verdict in found] == [True, True]
    assert found[0].proof is not None
    assert float(smooth(read(statement)).value(found[0].proof.box)) == pytest.approx(0.144818819220, abs=1e-11)
    assert holds(statement, found) == 2


def test_of_relu_units_that_can_be_scaled_one_parameter_each_is_held() -> None:
    """A hinge to each side, five points that both together meet exactly: five free parameters, and two scales."""
    statement = risk(
        [1, 2, 1], "relu", inputs=[[1.0], [2.0], [-1.0], [-2.0], [-3.0]], targets=[[1.0], [2.5], [0.5], [2.0], [4.0]]
    )
    # w, w', b, b', v, v', c: f(x) = max(1.5 x - 1, 0) + max(-2 x - 2.5, 0) + .5 goes through all five
    end = np.array([1.5, -2.0, -1.0, -2.5, 1.0, 1.0, 0.5])
    verdict = one(statement, end.tolist())
    assert verdict.proved, verdict.reason
    assert verdict.proof is not None
    assert len(verdict.proof.held) == 2
    scaled = end * [3.0, 1.0, 3.0, 1.0, 1 / 3.0, 1.0, 1.0]
    found = verdicts(statement, [Point(0, "minimum", end.tolist()), Point(1, "minimum", scaled.tolist())])
    assert [entry.proved for entry in found] == [True, False]
    assert holds(statement, found) == 1


def test_a_relu_unit_that_may_change_sign_is_refused() -> None:
    statement = risk([1, 1, 1], "relu", l2_weights=1e-2, inputs=[[1.0], [-1.0]], targets=[[1.0], [0.0]], bias=False)
    assert "ReLU" in one(statement, [0.0, 0.0]).reason


def test_what_a_softmax_does_not_see_is_held() -> None:
    """Softmax regression on overlapping classes: convex, so that there is one minimum modulo shifts."""
    classes = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.25, 0.25, 0.5]]
    statement = risk([1, 3], "tanh", loss="cross_entropy", inputs=[[-1.0], [0.0], [1.0], [0.0]], targets=classes)
    mixed = [[0.5, 0.25, 0.25], [0.125, 0.5, 0.375], [0.25, 0.25, 0.5], [0.25, 0.25, 0.5]]
    statement["targets"] = mixed

    def f(theta: Any) -> float:
        z = theta[:3] * np.array(statement["inputs"]) + theta[3:]
        return float(-(np.array(mixed) * (z - np.log(np.exp(z).sum(1, keepdims=True)))).sum() / 4)

    end = scipy.optimize.minimize(f, np.zeros(6), tol=1e-12).x
    shifted = end + np.repeat([0.5, -1.0], 3)
    found = verdicts(statement, [Point(0, "minimum", end.tolist()), Point(1, "minimum", shifted.tolist())])
    assert [verdict.proved for verdict in found] == [True, False]
    assert found[0].proof is not None
    assert found[0].proof.held == (0, 3)
    assert holds(statement, found) == 1


@pytest.mark.parametrize("activation", ["relu", "erf"])
@pytest.mark.parametrize("trained", [False, True])
def test_a_student_that_is_its_teacher_is_a_proved_minimum(activation: str, trained: bool) -> None:
    """With the loss 0, where ReLU units are parallel to those of the teacher; an exchange of units is a copy."""
    teacher = [[1.0, 0.0], [0.0, 1.0]]
    widths, output = ([2, 2, 1], "identity") if trained else ([2, 2], activation)
    statement = {"loss": "population", "widths": widths, "bias": False, "activation": activation, "output": output}
    statement |= {"l2_weights": 0.0, "teacher": teacher}
    theta = [1.0, 0.0, 0.0, 1.0] + [1.0, 1.0] * trained
    found = verdicts(statement, [Point(0, "minimum", theta), Point(1, "minimum", [0.0, 1.0, 1.0, 0.0, *theta[4:]])])
    assert [verdict.proved for verdict in found] == [True, False]
    assert holds(statement, found) == 1


@pytest.mark.slow
def test_the_spurious_minimum_of_six_relu_units_is_proved() -> None:
    """F = .025080581 (Safran & Shamir, 2018): five units are near to theirs, the sixth points away from its own."""
    student = np.full((6, 6), -0.0504) + 1.0371 * np.eye(6)
    student[:, 5], student[5] = 0.308, [0.2245] * 5 + [-0.6015]
    statement = {"loss": "population", "widths": [6, 6], "bias": False, "activation": "relu", "output": "relu"}
    statement |= {"l2_weights": 0.0, "teacher": np.eye(6).tolist()}
    found = verdicts(statement, [Point(0, "minimum", student.ravel().tolist())])
    assert found[0].proof is not None, found[0].reason
    assert float(smooth(read(statement)).value(found[0].proof.box)) == pytest.approx(0.025080581, abs=1e-9)
    assert holds(statement, found) == 1


def test_more_samples_parameters_and_points_are_expected_to_take_longer() -> None:
    point = Point(0, "minimum", MINIMA[0])
    few = seconds(XOR, [point])
    assert seconds(XOR, [point] * 10) == pytest.approx(10 * few)
    assert seconds({**XOR, "inputs": XOR["inputs"] * 100}, [point]) > 10 * few
    assert seconds({**XOR, "widths": [2, 50, 1]}, [point]) > 100 * few
    assert seconds(XOR, [Point(0, "degenerate", MINIMA[0])]) == 0
