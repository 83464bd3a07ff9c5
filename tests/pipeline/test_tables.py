"""Tables against a naive transcription of what the blocks hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from basinet.foundation.outcomes import Status
from basinet.pipeline import tables
from basinet.pipeline.blocks import Block
from basinet.pipeline.gather import gather
from basinet.pipeline.solve import solve
from basinet.study.study import Study

STATUS = {Status.ARRIVED: "arrived", Status.BUDGET: "budget", Status.DIVERGED: "diverged"}
CONFIG: dict[str, Any] = {
    # Some restarts arrive, some run out of budget and some diverge: a linear network, a learning rate at the edge.
    "problem": {"name": "sine", "points": 8, "holdout": 0.25},
    "network": {"depth": 2, "width": 3, "activation": "identity"},
    "init": {"name": "normal", "std": 1.0},
    "descent": {"learning_rate": 0.3, "steps": 400, "tolerance": 1e-3, "records": 6},
    "objective": {"l2_weights": 0.01},
    "restarts": 40,
}


@pytest.fixture(scope="module")
def study() -> Study:
    return Study.from_config(CONFIG)


@pytest.fixture(scope="module")
def blocks(study: Study) -> list[Block]:
    return [solve(study, restarts) for restarts in (range(25), range(25, 26), range(26, 40))]


@pytest.fixture(scope="module")
def found(study: Study, blocks: list[Block]) -> Any:
    return gather(study, blocks, curves_max=30)


def test_the_example_has_restarts_of_every_status(found: Any) -> None:
    assert set(found.restarts["status"]) == {"arrived", "budget", "diverged"}


def test_there_is_one_row_for_every_restart_in_their_order(found: Any, blocks: list[Block]) -> None:
    frame = found.restarts
    assert frame["restart"].tolist() == list(range(40))
    solution = [(block, row) for block in blocks for row in range(len(block.restarts))]
    assert frame["status"].tolist() == [STATUS[Status(int(b.solution.status[i]))] for b, i in solution]
    assert frame["steps"].tolist() == [int(b.solution.steps[i]) for b, i in solution]
    np.testing.assert_array_equal(frame["loss_descended"], [float(b.solution.loss[i]) for b, i in solution])


def test_losses_are_the_objective_at_the_stored_parameters(
    found: Any, study: Study, autograd_risk: Callable[..., torch.Tensor]
) -> None:
    """To rounding: the oracle adds up in another order."""
    x, y = study.problem.inputs, study.problem.targets
    for column, ends in (("loss_initial", "initial"), ("loss", "final")):
        for row, theta in zip(found.restarts.to_dict("records"), found.parameters[ends], strict=True):
            if row["status"] != "diverged" or column == "loss_initial":
                names = ["identity", "identity"]
                risk = autograd_risk(torch.from_numpy(theta), study.network.widths, names, x, y, penalties=(0.01, 0.0))
                assert row[column] == pytest.approx(float(risk), rel=1e-12)


def test_the_holdout_loss_is_without_the_penalty(
    found: Any, study: Study, autograd_risk: Callable[..., torch.Tensor]
) -> None:
    x, y = study.problem.holdout_inputs, study.problem.holdout_targets
    assert x.shape[1] == 2
    for row, theta in zip(found.restarts.to_dict("records"), found.parameters["final"], strict=True):
        if row["status"] != "diverged":
            names = ["identity", "identity"]
            risk = autograd_risk(torch.from_numpy(theta), study.network.widths, names, x, y)
            assert row["loss_holdout"] == pytest.approx(float(risk), rel=1e-12)


def test_the_parameter_norm_is_that_of_the_final_parameters(found: Any) -> None:
    kept = found.restarts["status"] != "diverged"
    np.testing.assert_allclose(
        found.restarts["parameter_norm"][kept],
        [np.sqrt(sum(float(w) ** 2 for w in theta)) for theta in found.parameters["final"][kept]],
        rtol=1e-14,
    )


def test_restarts_have_the_columns_and_types_that_users_rely_on(found: Any) -> None:
    names = (
        "restart seed status kind minimum steps loss_initial loss_descended loss loss_holdout gradient_norm "
        "parameter_norm distance_polished lambda_min lambda_max zero_modes explained_zero_modes"
    )
    assert set(names.split()) <= set(found.restarts.columns)
    assert list(found.restarts["status"].cat.categories) == ["arrived", "budget", "diverged", "stalled"]
    assert found.restarts["kind"].dtype == "category"
    whole = {"restart", "seed", "minimum", "steps"}
    assert {name for name in whole if found.restarts[name].dtype == np.int64} == whole
    assert all(found.restarts[name].dtype == np.float64 for name in names.split() if name.startswith("loss"))


def test_curves_are_the_records_of_the_first_restarts_without_what_has_diverged(
    found: Any, blocks: list[Block]
) -> None:
    rows = []
    for block in blocks:
        trajectory = block.solution.trajectory
        for i, restart in enumerate(block.restarts):
            for record, step in enumerate(trajectory.step.tolist()):
                loss = float(trajectory.loss[record, i])
                if restart < 30 and not np.isnan(loss):
                    rows.append((restart, record, step, loss, float(trajectory.gradient_norm[record, i])))
    names = ["restart", "record", "step", "loss", "gradient_norm"]
    pd.testing.assert_frame_equal(found.curves, pd.DataFrame(rows, columns=names), check_dtype=False, check_exact=True)
    assert found.curves["loss"].dtype == found.curves["gradient_norm"].dtype == np.float32
    assert len(found.curves) < 30 * len(blocks[0].solution.trajectory.step)


def test_an_arrived_restart_carries_its_last_value_on(found: Any) -> None:
    """Up to float32, in which curves are kept."""
    restarts, last = found.restarts, found.curves.groupby("restart").tail(1).set_index("restart")
    arrived = restarts[(restarts["status"] == "arrived") & (restarts["restart"] < 30) & (restarts["steps"] < 400)]
    assert len(arrived) > 0
    assert set(last.loc[arrived.index, "step"]) == {400}
    np.testing.assert_allclose(last.loc[arrived.index, "loss"], arrived["loss_descended"], rtol=1e-6)


@pytest.mark.parametrize("curves_max", [0, 1, 25, 26, 27, 40, 1000])
def test_curves_are_of_as_many_restarts_as_asked_for(curves_max: int, blocks: list[Block]) -> None:
    assert tables.curves_table(blocks, curves_max)["restart"].unique().tolist() == list(range(min(curves_max, 40)))


def test_quantiles_are_over_all_restarts_that_are_left(found: Any, blocks: list[Block]) -> None:
    shares = {"min": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}
    table = found.quantiles
    assert table["step"].tolist() == blocks[0].solution.trajectory.step.tolist()
    for record, row in table.iterrows():
        for what in ("loss", "gradient_norm"):
            values = pd.concat([pd.Series(getattr(b.solution.trajectory, what)[record].numpy()) for b in blocks])
            assert row["restarts"] == values.notna().sum()
            for name, share in shares.items():
                assert row[f"{what}_{name}"] == pytest.approx(values.quantile(share), rel=1e-6)  # of float32
    assert table["restarts"].iloc[-1] == (found.restarts["status"] != "diverged").sum() < 40


def test_how_the_restarts_were_cut_into_blocks_does_not_show(found: Any, study: Study) -> None:
    other = gather(study, [solve(study, range(40))], curves_max=30)
    for name in ("restarts", "minima", "curves", "quantiles"):
        pd.testing.assert_frame_equal(getattr(found, name), getattr(other, name), check_exact=True)
    for name in ("initial", "final"):
        np.testing.assert_array_equal(found.parameters[name], other.parameters[name])


def test_minima_count_the_restarts_that_reached_them(found: Any) -> None:
    reached = found.restarts[found.restarts["minimum"] >= 0]
    counts = reached["minimum"].value_counts().sort_index()
    assert found.minima["minimum"].tolist() == counts.index.tolist() == list(range(len(counts)))
    assert found.minima["count"].tolist() == counts.tolist()
    np.testing.assert_array_equal(found.minima["share"], counts.to_numpy() / 40)
    assert (
        (found.minima["share_low"] <= found.minima["share"]) & (found.minima["share"] <= found.minima["share_high"])
    ).all()
    for row in found.minima.to_dict("records"):
        assert found.restarts["minimum"][row["restart"]] == row["minimum"]
        assert found.restarts["loss"][row["restart"]] == row["loss"]
        assert found.restarts["kind"][row["restart"]] == row["kind"]
        np.testing.assert_array_equal(row["parameters"], found.parameters["final"][row["restart"]])
    kinds = [group["kind"].nunique() for _, group in reached.groupby("minimum")]
    assert set(kinds) == {1}


def test_starts_have_the_same_number_where_they_are_the_same_to_the_bit_and_else_another() -> None:
    """Two descents begin alike, another seed, init or precision does not."""

    def numbers(**more: Any) -> list[int]:
        study = Study.from_config({**CONFIG, "restarts": 30, "engine": "torch", **more})
        short = Study.from_config({**study.settings, "descent": {**study.settings["descent"], "steps": 2}})
        found = gather(short, [solve(short, restarts) for restarts in (range(11), range(11, 30))], curves_max=0)
        numbers: list[int] = found.restarts["start"].tolist()
        return numbers

    first = numbers()
    assert len(set(first)) == 30
    assert first == numbers(descent={"name": "adam", "learning_rate": 0.1}, objective={"l2_weights": 0.5})
    for other in (numbers(seed=1), numbers(init={"name": "normal", "std": 1.5}), numbers(dtype="float32")):
        assert not set(first) & set(other)


def test_how_spectra_were_found_is_said_rightly_though_the_first_block_has_none() -> None:
    """Every restart of the first block has diverged: it has no eigenvalue to show."""
    config = {**CONFIG, "engine": "torch", "polish": {"name": "newton", "dense_max": 3, "lanczos_steps": 2}}
    study = Study.from_config(config)
    blocks = [solve(study, restarts) for restarts in (range(4), range(4, 40))]
    lost = torch.full_like(blocks[0].evidence.eigenvalues, torch.nan)
    evidence = dataclasses.replace(blocks[0].evidence, eigenvalues=lost)
    found = gather(study, [dataclasses.replace(blocks[0], evidence=evidence), blocks[1]], curves_max=0)
    assert set(found.restarts["spectrum"]) == {"lanczos"}
    assert found.restarts["lambda_min"].isna().sum() < 40
    for polish, spectrum in (({"name": "newton"}, "dense"), ("none", "none")):
        other = Study.from_config({**config, "polish": polish})
        table = gather(other, [solve(other, range(3))], curves_max=0).restarts
        assert set(table["spectrum"]) == {spectrum}


def test_findings_show_themselves_in_a_few_lines_whose_numbers_are_those_of_the_tables(found: Any) -> None:
    shown = repr(found).splitlines()
    assert len(shown) < 6
    assert shown[0].startswith("Findings of ")
    counts = found.restarts["kind"].value_counts()
    assert f"{counts['diverged']} diverged" in shown[1]
    assert shown[1].strip().startswith(f"{len(found.restarts)} restarts: ")
    rows = found._repr_html_().split("<tbody>")[1].count("<tr>")
    assert rows == min(len(found.minima), 8)
