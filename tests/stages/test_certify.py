from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from basinet import Study, run
from basinet.engines import TorchEngine
from basinet.foundation.errors import ConfigError
from basinet.foundation.outcomes import Kind
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.pipeline.gather import Findings
from basinet.stages.certify import Ended, Evidence, Tolerances, classify, collect_evidence
from basinet.stages.modes import count_modes
from basinet.stages.newton import Outcome
from basinet.stages.polish import Polishing, polish
from basinet.study.defaults import tolerances
from slowness import slow_but

SETTINGS = Polishing(steps=100, radius=0.1, dense_max=300, lanczos_steps=60)
ENGINE = TorchEngine()

AT_REST: dict[str, Any] = {
    "diverged": False,
    "converged": True,
    "eigenvalues": [1e-3, 0.5, 2.0],
    "explained_zero_modes": 0,
    "kink_distance": np.inf,
    "coercive": False,
    "kink_falls": 0.0,
    "moved": 1e-3,
    "lowest": False,
    "settles": True,
    "leaves": 0.0,
    "recedes": False,
    "remaining": np.inf,
    "grows": 0.0,
}
LEAVING = {**AT_REST, "converged": False, "recedes": True, "remaining": 1e-3, "grows": 0.2}


def verdict(row: dict[str, Any], **changes: float) -> Kind:
    evidence = {name: np.array([value]) for name, value in row.items()}
    return Kind(classify(evidence, tolerances(**changes))[0])


FLAT, FLATTER, DOWN = [1e-12, 0.5, 2.0], [-1e-12, 1e-12, 2.0], [-1e-3, 1e-12, 2.0]

CASES: list[tuple[str, dict[str, Any], Kind]] = [
    ("at rest and curved upwards", {}, Kind.MINIMUM),
    ("a small eigenvalue is none that is zero", {"eigenvalues": [4e-5, 0.5, 2.0]}, Kind.MINIMUM),
    ("one zero, explained", {"eigenvalues": FLAT, "explained_zero_modes": 1}, Kind.MINIMUM),
    ("more zeros allowed than there are", {"eigenvalues": FLAT, "explained_zero_modes": 2}, Kind.MINIMUM),
    ("one zero, unexplained", {"eigenvalues": FLAT}, Kind.DEGENERATE),
    ("two zeros, one explained", {"eigenvalues": FLATTER, "explained_zero_modes": 1}, Kind.DEGENERATE),
    ("no curvature at all", {"eigenvalues": [0.0, 0.0, 0.0]}, Kind.DEGENERATE),
    ("curvature that is rounding of f only", {"eigenvalues": [1e-16, 2e-16, 9e-15]}, Kind.DEGENERATE),
    ("curved downwards", {"eigenvalues": [-1e-3, 0.5, 2.0]}, Kind.SADDLE),
    ("curved downwards, with zeros", {"eigenvalues": DOWN}, Kind.SADDLE),
    ("curved downwards only", {"eigenvalues": [-2.0, -1.0, -1e-3]}, Kind.SADDLE),
    ("curved downwards, and not on its ridge: it leaves", {"eigenvalues": DOWN, "leaves": 1e-6}, Kind.UNFINISHED),
    ("on its ridge to rounding", {"eigenvalues": DOWN, "leaves": 1e-13}, Kind.SADDLE),
    ("flat, and far from where the descent had got", {"eigenvalues": FLAT, "moved": 0.05}, Kind.UNFINISHED),
    ("flat, far, but f cannot be lower", {"eigenvalues": FLAT, "moved": 0.05, "lowest": True}, Kind.DEGENERATE),
    ("flat, and the descent wanders along it", {"eigenvalues": FLAT, "settles": False}, Kind.UNFINISHED),
    ("flat, it wanders, but f cannot be lower", {"eigenvalues": FLAT, "settles": False, "lowest": True},
     Kind.DEGENERATE),
    ("a minimum, around which the descent swings", {"settles": False}, Kind.MINIMUM),
    ("on a kink along which the descent wanders", {"kink_distance": 0.0, "settles": False}, Kind.UNFINISHED),
    ("on a kink, of which the Hessian sees one side, and f cannot be lower", {"kink_distance": 0.0, "lowest": True},
     Kind.DEGENERATE),
    ("curved downwards on one side of a kink, but f cannot be lower",
     {"kink_distance": 0.0, "lowest": True, "eigenvalues": DOWN}, Kind.DEGENERATE),
    ("away from kinks, where f cannot be lower", {"kink_distance": 1e-3, "lowest": True}, Kind.MINIMUM),
    ("not flat: how far does not matter", {"moved": 0.09}, Kind.MINIMUM),
    ("at rest on a kink", {"kink_distance": 1e-9}, Kind.KINK),
    ("on a kink, beside which f falls", {"kink_distance": 1e-9, "kink_falls": 1e-8}, Kind.UNFINISHED),
    ("on a kink, far from where the descent had got", {"kink_distance": 1e-9, "moved": 0.05}, Kind.UNFINISHED),
    ("a kink that is far enough", {"kink_distance": 1e-3}, Kind.MINIMUM),
    ("flat on a kink", {"kink_distance": 0.0, "eigenvalues": FLAT}, Kind.KINK),
    ("curved downwards on a kink", {"kink_distance": 0.0, "eigenvalues": DOWN}, Kind.SADDLE),
    ("not at rest", {"converged": False}, Kind.UNFINISHED),
    ("not at rest near a kink, as any restart may be", {"converged": False, "kink_distance": 0.0}, Kind.UNFINISHED),
    ("at rest, but the spectrum is unknown", {"eigenvalues": [np.nan] * 3}, Kind.UNFINISHED),
    ("growing for ever", LEAVING, Kind.AT_INFINITY),
    ("growing for ever, whatever the spectrum", {**LEAVING, "eigenvalues": DOWN}, Kind.AT_INFINITY),
    ("growing for ever beside a kink", {**LEAVING, "kink_distance": 0.0}, Kind.AT_INFINITY),
    ("penalties forbid infinity", {**LEAVING, "coercive": True}, Kind.UNFINISHED),
    ("at rest while the parameters grew: it has arrived", {**LEAVING, "converged": True}, Kind.MINIMUM),
    ("at rest only as far as rounding tells", {**LEAVING, "converged": True, "eigenvalues": FLAT}, Kind.AT_INFINITY),
    ("a line search, which may leap", {**LEAVING, "remaining": np.inf}, Kind.UNFINISHED),
    ("the flow comes to rest, or nowhere that can be told", {**LEAVING, "recedes": False}, Kind.UNFINISHED),
    ("not growing", {**LEAVING, "grows": 1e-4}, Kind.UNFINISHED),
    ("shrinking", {**LEAVING, "grows": -0.5}, Kind.UNFINISHED),
    ("far from its level", {**LEAVING, "remaining": 0.1}, Kind.UNFINISHED),
    ("diverged", {**LEAVING, "diverged": True, "eigenvalues": [np.nan] * 3}, Kind.DIVERGED),
    ("diverged, nothing is known", {**dict.fromkeys(AT_REST, np.nan), "diverged": True, "converged": False,
                                    "coercive": False, "recedes": False, "lowest": False, "settles": True,
                                    "eigenvalues": [np.nan] * 3}, Kind.DIVERGED),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "kind"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_the_verdict_is_what_the_evidence_says(changes: dict[str, Any], kind: Kind) -> None:
    assert verdict({**AT_REST, **changes}) is kind


def test_every_kind_is_among_these_cases() -> None:
    assert {kind for _, _, kind in CASES} == set(Kind)


@pytest.mark.parametrize(
    ("row", "tolerance", "value", "before", "after"),
    [
        ({"eigenvalues": [1e-6, 0.5, 2.0]}, "zero", 1e-5, Kind.MINIMUM, Kind.DEGENERATE),
        ({"eigenvalues": [-1e-6, 0.5, 2.0]}, "zero", 1e-5, Kind.SADDLE, Kind.DEGENERATE),
        ({"eigenvalues": [1e-9, 1e-8, 1e-7]}, "floor", 5e-9, Kind.MINIMUM, Kind.DEGENERATE),
        ({"kink_distance": 1e-3}, "kink", 1e-2, Kind.MINIMUM, Kind.KINK),
        (LEAVING, "growth", 0.3, Kind.AT_INFINITY, Kind.UNFINISHED),
        (LEAVING, "remaining", 1e-4, Kind.AT_INFINITY, Kind.UNFINISHED),
        ({"eigenvalues": DOWN, "leaves": 1e-6}, "leaves", 1e-5, Kind.UNFINISHED, Kind.SADDLE),
        ({"eigenvalues": FLAT, "moved": 0.05}, "moved", 0.1, Kind.UNFINISHED, Kind.DEGENERATE),
        ({"kink_distance": 0.0, "kink_falls": 1e-8}, "falls", 1e-7, Kind.UNFINISHED, Kind.KINK),
    ],
)
def test_every_tolerance_draws_its_own_line(
    row: dict[str, Any], tolerance: str, value: float, before: Kind, after: Kind
) -> None:
    assert verdict({**AT_REST, **row}) is before
    assert verdict({**AT_REST, **row}, **{tolerance: value}) is after


@given(
    eigenvalues=st.lists(st.floats(-10, 10), min_size=1, max_size=6),
    factor=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_modes_are_counted_relative_to_the_largest_eigenvalue(eigenvalues: list[float], factor: float) -> None:
    scaled = sorted(factor * value for value in eigenvalues)
    zeros, negatives = count_modes(np.array([scaled]), tolerances())
    line = max(1e-8 * max(abs(value) for value in scaled), 1e-14)
    assert zeros[0] == len([value for value in scaled if abs(value) <= line])
    assert negatives[0] == len([value for value in scaled if value < -line])


def test_restarts_are_judged_one_by_one() -> None:
    rows = [{**AT_REST, **changes} for _, changes, _ in CASES]
    evidence = {name: np.array([row[name] for row in rows]) for name in AT_REST}
    evidence |= {"explained_zero_modes": np.nan_to_num(evidence["explained_zero_modes"]).astype(np.int64)}
    assert classify(evidence, tolerances()).tolist() == [kind for _, _, kind in CASES]
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = {name: values[order] for name, values in evidence.items()}
    assert classify(shuffled, tolerances()).tolist() == [CASES[index][2] for index in order]


# --- The evidence ---------------------------------------------------------------------------------------------------


def tanh_risk(seed: int = 0, **penalties: float) -> EmpiricalRisk:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2, 9, generator=generator, dtype=torch.float64)
    y = torch.randn(1, 9, generator=generator, dtype=torch.float64)
    return EmpiricalRisk(Network((2, 3, 1), "tanh", "identity"), x, y, **penalties)


def examined(
    risk: EmpiricalRisk, restarts: int, settings: Polishing, theta: Tensor | None = None, diverged: Tensor | None = None
) -> tuple[Tensor, Evidence]:
    """Points, by chance if none are given, as if descents had ended there; and the evidence about them."""
    if theta is None:
        theta = torch.randn(restarts, risk.size, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    diverged = torch.zeros(restarts, dtype=torch.bool) if diverged is None else diverged
    polished = polish(risk, theta, settings, tolerances(), ENGINE)
    ended = Ended(theta, diverged, settles=True, leaps=False)
    return theta, collect_evidence(risk, ended, polished, settings, tolerances(), ENGINE)


UNPOLISHED = dataclasses.replace(SETTINGS, steps=0)


def test_eigenvalues_are_those_of_autograds_hessian(autograd_risk: Callable[..., Tensor]) -> None:
    risk = tanh_risk(l2_weights=1e-2, l2_biases=2e-3)
    theta, evidence = examined(risk, 5, UNPOLISHED)

    def loss(vector: Tensor) -> Tensor:
        widths, names = (2, 3, 1), ("tanh", "identity")
        return autograd_risk(vector, widths, names, risk.inputs, risk.targets, penalties=(1e-2, 2e-3))

    for row, found in zip(theta, evidence.eigenvalues, strict=True):
        exact = torch.linalg.eigvalsh(torch.func.jacrev(torch.func.jacrev(loss))(row))
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-13 * float(exact.abs().max()))
    assert evidence.coercive.all()
    assert not examined(tanh_risk(l2_weights=1e-2), 1, UNPOLISHED)[1].coercive.any()  # biases may still run away


def test_above_dense_max_only_the_ends_of_the_spectrum_are_evidence() -> None:
    risk = tanh_risk()
    _, whole = examined(risk, 4, UNPOLISHED)
    _, ends = examined(risk, 4, dataclasses.replace(SETTINGS, dense_max=risk.size - 1))
    assert ends.eigenvalues.shape == (4, 2)
    # Lanczos with as many vectors as parameters is exact, up to the loss of their orthogonality.
    np.testing.assert_allclose(ends.eigenvalues, whole.eigenvalues[:, [0, -1]], rtol=1e-6, atol=1e-9)
    _, nothing = examined(risk, 4, dataclasses.replace(SETTINGS, dense_max=0, lanczos_steps=0))
    assert nothing.eigenvalues.isnan().all()
    fields = {field.name: np.asarray(getattr(nothing, field.name)) for field in dataclasses.fields(Evidence)}
    assert Kind.MINIMUM not in classify(fields, tolerances())


def test_what_polishing_and_the_flow_have_found_is_evidence() -> None:
    risk = tanh_risk(l2_weights=1e-2)
    theta, evidence = examined(risk, 20, SETTINGS)
    polished = polish(risk, theta, SETTINGS, tolerances(), ENGINE)
    for name in ("recedes", "remaining", "grows"):
        assert torch.equal(getattr(evidence, name), getattr(polished, name)), name
    moved = (polished.theta - theta).norm(dim=1) / (1 + polished.theta.norm(dim=1))
    np.testing.assert_allclose(evidence.moved, moved, rtol=1e-12)
    assert not evidence.lowest.any()


def test_f_is_at_its_lower_bound_where_every_sample_is_met() -> None:
    x = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    risk = EmpiricalRisk(Network((1, 1, 1), "identity", "identity", bias=False), x, 2 * x)
    theta = torch.tensor([[1.0, 2.0], [4.0, 0.5], [1.0, 1.0]], dtype=torch.float64)
    assert examined(risk, 3, UNPOLISHED, theta=theta)[1].lowest.tolist() == [True, True, False]


def test_how_far_a_restart_lies_beside_the_ridge_of_a_saddle_is_evidence() -> None:
    # f = ½ (1 - w₁ w₂)² has a saddle at 0, with λ = -1 along (1, 1) and +1 along (1, -1).
    one = torch.ones(1, 1, dtype=torch.float64)
    risk = EmpiricalRisk(Network((1, 1, 1), "identity", "identity", bias=False), one, one)
    saddle = torch.zeros(2, 2, dtype=torch.float64)
    descended = torch.tensor([[3e-5, 1e-5], [1e-5, -1e-5]], dtype=torch.float64)
    polished = dataclasses.replace(
        polish(risk, saddle, SETTINGS, tolerances(), ENGINE), outcome=torch.zeros(2, dtype=torch.int8)
    )
    ended = Ended(descended, torch.zeros(2, dtype=torch.bool), settles=True, leaps=False)
    evidence = collect_evidence(risk, ended, polished, SETTINGS, tolerances(), ENGINE)
    np.testing.assert_allclose(evidence.leaves, [4e-5 / np.sqrt(2), 0], rtol=1e-9, atol=1e-18)


def test_a_diverged_restart_is_evidence_of_nothing_else_and_disturbs_no_other() -> None:
    risk = tanh_risk()
    theta, evidence = examined(risk, 3, SETTINGS)
    lost = theta.clone()
    lost[1] = torch.nan
    _, with_lost = examined(risk, 3, SETTINGS, theta=lost, diverged=torch.tensor([False, True, False]))
    assert with_lost.diverged.tolist() == [False, True, False]
    assert with_lost.eigenvalues[1].isnan().all()
    assert torch.equal(with_lost.eigenvalues[[0, 2]], evidence.eigenvalues[[0, 2]])
    fields = {field.name: np.asarray(getattr(with_lost, field.name)) for field in dataclasses.fields(Evidence)}
    assert classify(fields, tolerances())[1] == Kind.DIVERGED


def test_eigenvalues_of_a_restart_do_not_depend_to_the_bit_on_the_others() -> None:
    risk = tanh_risk()  # 13 parameters: matrices of an odd size, where LAPACK's results depend on their place
    theta, evidence = examined(risk, 50, UNPOLISHED)
    for rows in ([7], [3, 8, 13], list(range(1, 50, 2))):
        _, alone = examined(risk, len(rows), UNPOLISHED, theta=theta[rows])
        assert torch.equal(alone.eigenvalues, evidence.eigenvalues[rows])


def test_a_kink_is_as_near_as_the_smallest_preactivation() -> None:
    x = torch.tensor([[1.0, 2.0, -1.0]], dtype=torch.float64)
    risk = EmpiricalRisk(Network((1, 1, 1), "relu", "identity"), x, torch.ones_like(x))
    theta = torch.tensor([[2.0, -4.5, 1.0, 0.0]], dtype=torch.float64)  # z = 2x - 4.5: -2.5, -.5, -6.5
    _, evidence = examined(risk, 1, UNPOLISHED, theta=theta)
    assert evidence.kink_distance.tolist() == [0.5]
    assert examined(tanh_risk(), 1, UNPOLISHED)[1].kink_distance.tolist() == [np.inf]


def test_a_flat_place_on_the_boundary_of_a_relu_is_a_kink_unless_f_falls_beyond_it() -> None:
    # v relu(w x) with x = 1: where w < 0 the unit is dead and f = ½ y² is flat; beyond w = 0 it falls if v y > 0.
    one = torch.ones(1, 1, dtype=torch.float64)
    theta = torch.tensor([[-1e-7, 1.0], [-1e-7, -1.0], [-1.0, 1.0]], dtype=torch.float64)
    risk = EmpiricalRisk(Network((1, 1, 1), "relu", "identity", bias=False), one, one)
    _, evidence = examined(risk, 3, SETTINGS, theta=theta)
    fields = {field.name: np.asarray(getattr(evidence, field.name)) for field in dataclasses.fields(Evidence)}
    assert classify(fields, tolerances()).tolist() == [Kind.UNFINISHED, Kind.KINK, Kind.DEGENERATE]


# --- Stored evidence ------------------------------------------------------------------------------------------------

STORED: dict[str, dict[str, Any]] = {
    "xor at its levels": {"problem": "xor", "descent": {"learning_rate": 10.0, "steps": 3000}, "restarts": 100},
    "attainable xor": {
        "problem": {"name": "xor", "low": 0.1, "high": 0.9},
        "descent": {"learning_rate": 10.0, "steps": 3000},
        "restarts": 100,
    },
    "relu that partly diverges": {
        "problem": "teacher",
        "network": {"activation": "relu"},
        "descent": {"learning_rate": 0.35, "steps": 300, "records": 1},
        "restarts": 100,
    },
    "penalised xor": {"problem": "xor", "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3}, "restarts": 50},
}


@cache
def stored_study(name: str) -> Findings:
    return run(Study.from_config(STORED[name]))


@pytest.mark.parametrize("name", slow_but([name for name in STORED if "relu" not in name], STORED))
def test_evidence_stored_in_parquet_and_classified_again_gives_identical_kinds(name: str, tmp_path: Path) -> None:
    findings = stored_study(name)
    findings.evidence.to_parquet(tmp_path / "evidence.parquet")
    stored = pd.read_parquet(tmp_path / "evidence.parquet")
    kinds = [Kind(code).name.lower() for code in classify(stored, tolerances())]  # type: ignore[arg-type]
    assert kinds == findings.restarts["kind"].tolist()
    # … and other tolerances give other kinds: a zero that is as wide as the spectrum leaves no minimum and no saddle.
    wide = classify(stored, tolerances(zero=1.0))  # type: ignore[arg-type]
    assert not np.isin(wide, [Kind.MINIMUM, Kind.SADDLE]).any()


def test_these_studies_have_several_kinds() -> None:
    kinds = {kind for name in STORED for kind in stored_study(name).restarts["kind"]}
    assert {"minimum", "degenerate", "at_infinity", "unfinished", "diverged"} <= kinds


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Tolerances)])
def test_negative_tolerances_are_refused(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"^certify\.{field}=-1: must be 0 or more, and finite$"):
        tolerances(**{field: -1.0})


def test_outcomes_and_kinds_keep_the_numbers_they_are_stored_with() -> None:
    assert [kind.name for kind in Kind] == [
        "MINIMUM", "DEGENERATE", "SADDLE", "AT_INFINITY", "KINK", "UNFINISHED", "DIVERGED",
    ]  # fmt: skip
    assert [kind.value for kind in Kind] == list(range(7))
    assert [outcome.value for outcome in Outcome] == list(range(4))
