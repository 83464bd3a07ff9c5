"""One restart again, verdicts again, restarts=auto, and minima merged across a sweep: through a real store."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import safetensors.numpy
import torch

import basinet
from basinet.foundation.errors import ConfigError
from basinet.workflows.reclassify import reclassify
from logs import logs_as_they_were

SMALL = ["objective.l2_weights=1e-3", "objective.l2_biases=1e-3", "descent.learning_rate=4", "descent.steps=1500"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A sweep of two inits and two descents on XOR with penalties, and its store."""
    folder = tmp_path_factory.mktemp("store")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    sweep = ["-m", "init=normal,xavier_normal", "network.width=2", "restarts=120", "tracking.figures=none"]
    run([*sweep, *SMALL, f"tracking.uri={uri}", f"hydra.sweep.dir={folder}"])
    return uri


def run(arguments: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch, logs_as_they_were():
        patch.setattr(sys, "argv", ["basinet", *arguments])
        from basinet.cli.main import main

        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code


def test_a_replayed_restart_is_the_one_of_the_table_to_the_bit(store: str) -> None:
    restarts = basinet.load_restarts("basinet", tracking_uri=store)
    parameters = basinet.load_parameters("basinet", tracking_uri=store)
    for index in (0, 57, 119, 120 + 3):
        row = restarts.iloc[index]
        again = basinet.replay(row["run_id"], int(row["restart"]), tracking_uri=store)
        assert again.identical
        assert again.curve["loss"].iloc[-1] == row["loss_descended"]
        assert len(again.curve) == row["steps"] + 1
        assert np.array_equal(again.theta, parameters["final"].iloc[index])
        assert np.array_equal(again.path[0], parameters["initial"].iloc[index])


def test_the_curve_of_a_replay_passes_through_the_recorded_losses(store: str) -> None:
    row = basinet.load_restarts("basinet", tracking_uri=store).iloc[5]
    again = basinet.replay(row["run_id"], 5, tracking_uri=store)
    curves = basinet.load_curves(row["run_id"], tracking_uri=store)
    recorded = curves[(curves["restart"] == 5) & (curves["step"] <= row["steps"])].set_index("step")["loss"]
    assert np.array_equal(again.curve.set_index("step")["loss"].loc[recorded.index].astype(np.float32), recorded)


def test_the_layers_of_a_replay_make_up_the_whole_gradient(store: str) -> None:
    row = basinet.load_restarts("basinet", tracking_uri=store).iloc[1]
    curve = basinet.replay(row["run_id"], 1, tracking_uri=store).curve
    whole = np.hypot(curve["gradient_norm_0"], curve["gradient_norm_1"])
    np.testing.assert_allclose(whole, curve["gradient_norm"], rtol=1e-12)  # rounding of three sums of squares


def test_the_exported_network_answers_as_the_loss_says(store: str, tmp_path: Path) -> None:
    row = basinet.load_restarts("basinet", tracking_uri=store).iloc[2]
    again = basinet.replay(row["run_id"], 2, tracking_uri=store)
    again.save(tmp_path)
    tensors = safetensors.numpy.load_file(tmp_path / "network.safetensors")
    sigmoid = torch.nn.Sigmoid()
    network = torch.nn.Sequential(torch.nn.Linear(2, 2), sigmoid, torch.nn.Linear(2, 1), sigmoid)
    network.double().load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()})
    corners = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    error = network(corners).squeeze(1) - torch.tensor([0.0, 1.0, 1.0, 0.0])
    squares = sum(float((array**2).sum()) for array in tensors.values())
    assert float(error.detach().square().mean() / 2 + 1e-3 / 2 * squares) == pytest.approx(row["loss"], rel=1e-13)
    with np.load(tmp_path / "network.npz", allow_pickle=False) as arrays:
        assert all(np.array_equal(arrays[name], array) for name, array in tensors.items())


def test_the_spectrum_of_a_replay_is_that_of_the_table(store: str) -> None:
    row = basinet.load_restarts("basinet", tracking_uri=store).iloc[8]
    eigenvalues = basinet.replay(row["run_id"], 8, tracking_uri=store).eigenvalues
    assert eigenvalues is not None
    assert eigenvalues[[0, -1]].tolist() == [row["lambda_min"], row["lambda_max"]]


@pytest.mark.parametrize("restart", [-1, 120])
def test_a_restart_that_is_not_there_is_refused(store: str, restart: int) -> None:
    run_id = basinet.load_runs("basinet", tracking_uri=store)["run_id"].iloc[0]
    with pytest.raises(ConfigError, match=r"restarts 0 to 119"):
        basinet.replay(run_id, restart, tracking_uri=store)


def test_verdicts_taken_again_with_the_same_lines_are_the_same(store: str) -> None:
    table = reclassify("basinet", tracking_uri=store)
    assert len(table) == 240
    assert (table["kind"].astype(str) == table["kind_before"].astype(str)).all()


def test_verdicts_taken_again_follow_the_tolerance(store: str) -> None:
    """With every eigenvalue called zero, what was a minimum is degenerate, however far it was polished."""
    table = reclassify("basinet", tracking_uri=store, zero=1.0, moved=1.0)
    assert set(table.loc[table["kind_before"] == "minimum", "kind"]) == {"degenerate"}


def test_the_same_minimum_of_two_inits_is_one_in_the_sweep(store: str) -> None:
    """At losses that only one minimum has (to 1e-9), both conditions' ids agree; ids are in the order of losses."""
    minima = basinet.load_minima("basinet", tracking_uri=store)
    shared = minima.groupby(minima["loss"].round(9))
    twice = shared.filter(lambda group: len(group) == 2 and group["init"].nunique() == 2)
    assert len(twice) >= 4
    assert (twice.groupby(twice["loss"].round(9))["sweep_minimum"].nunique() == 1).all()
    # Up to rounding, 1e-17, by which the losses of twins differ that exchanging the inputs relates.
    assert minima.groupby("sweep_minimum")["loss"].first().diff().min() > -1e-15
    restarts = basinet.load_restarts("basinet", tracking_uri=store)
    counts = restarts.groupby(["run_id", "sweep_minimum"], observed=True).size()
    listed = minima.set_index(["run_id", "sweep_minimum"])["count"]
    pd.testing.assert_series_equal(
        counts.drop(-1, level="sweep_minimum", errors="ignore").sort_index(), listed.sort_index(), check_names=False,
        check_index_type=False,
    )  # fmt: skip


@pytest.mark.slow
def test_auto_goes_on_until_the_rule_of_boender_and_rinnooy_kan_is_met() -> None:
    """One logistic neuron on 4 axes has 16 minima: 2·16² + 3·16 + 2 = 562 restarts; on 6 axes 64 need 8,386."""
    for dimension, wanted in ((4, 1000), (6, 16000)):
        settings = {
            "problem": {"name": "neuron", "dimension": dimension},
            "network": {"depth": 1, "bias": False},
            "init": {"name": "normal", "std": 10.0},
            "descent": {"learning_rate": 40.0 * dimension, "steps": 3000},
            "restarts": "auto",
            "restarts_max": 100_000,
        }
        findings = basinet.run(basinet.Study.from_config(settings))
        assert len(findings.restarts) == wanted  # blocks double: 1,000, 2,000, 4,000, …
        assert (findings.minima["kind"] == "minimum").sum() == 2**dimension


def test_auto_stops_at_its_limit() -> None:
    settings = {"restarts": "auto", "restarts_max": 30, "descent": {"steps": 10}}
    assert len(basinet.run(basinet.Study.from_config(settings)).restarts) == 30


@pytest.fixture(scope="module")
def diverged(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, pd.DataFrame]:
    """A condition whose restarts diverge, its store and its table."""
    folder = tmp_path_factory.mktemp("diverged")
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    explosive = "problem=teacher network.activation=identity network.depth=3 init.std=3 descent.learning_rate=3"
    run([*explosive.split(), "restarts=12", "tracking.figures=none", f"tracking.uri={uri}", f"hydra.run.dir={folder}"])
    table = basinet.load_restarts("basinet", tracking_uri=uri)
    return uri, table[table["kind"] == "diverged"]


def test_a_diverged_restart_can_be_replayed_up_to_where_it_was_lost(diverged: tuple[str, pd.DataFrame]) -> None:
    uri, table = diverged
    assert len(table) >= 6
    for _, row in table.iterrows():
        again = basinet.replay(row["run_id"], int(row["restart"]), tracking_uri=uri)
        assert again.identical
        assert int(again.curve["step"].iloc[-1]) == row["steps"]
        assert again.eigenvalues is None or np.isfinite(again.eigenvalues).all()


def test_a_replay_and_results_show_themselves_in_a_few_lines(store: str) -> None:
    results = basinet.open("basinet", store)
    run_id = results.runs["run_id"].iloc[0]
    row = results.restarts[results.restarts["run_id"] == run_id].iloc[3]
    assert repr(results).splitlines()[1].strip() == f"{len(results.runs)} conditions, {len(results.runs)} finished"
    assert results._repr_html_().count(run_id[:8]) == 1
    shown = repr(basinet.replay(run_id, 3, tracking_uri=store)).splitlines()
    assert shown[0] == f"Replay of restart 3 of run {run_id[:8]}"
    assert f"in {row['steps']:,} steps, the same as in the table" in shown[2]
    assert len(shown) < 7
