"""The saved views of an experiment, read as MLflow's pages read them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from basinet.tracking import view
from basinet.tracking.store import TrackingStore

KEYS = {"basinet-conditions": "condition", "basinet-minima": "minimum", "basinet-minima-grouped": "minimum"}


def _views(store: TrackingStore, experiment: str) -> dict[str, dict[str, Any]]:
    tags = store.client.get_experiment(experiment).tags
    return {key: json.loads(tags[f"mlflow.sharedViewState.{key}"]) for key in KEYS}


def test_a_view_is_a_tag_with_a_name_a_time_and_a_state_in_json(store: TrackingStore) -> None:
    experiment = store.experiment("seen")
    view.save_views(store, experiment, ["init"])
    for key, saved in _views(store, experiment).items():
        assert saved["name"] in ("conditions", "minima", "minima, grouped")
        assert saved["createdAt"] > 1.7e12
        state = json.loads(saved["state"])
        assert state["searchFilter"] == f"tags.`basinet.kind` = '{KEYS[key]}' and tags.`basinet.current` = 'yes'"
        assert state["orderByKey"] != "attributes.start_time"  # by which MLflow folds children away


def test_what_came_out_stands_before_everything_else(store: TrackingStore) -> None:
    experiment = store.experiment("seen")
    view.save_views(store, experiment, ["init", "network.depth"])
    state = json.loads(_views(store, experiment)["basinet-conditions"]["state"])
    first = ["restarts", "share/best", "minima/found", "share/minimum", "minima/coverage", "final/best_loss"]
    assert state["selectedColumns"][:6] == [f"metrics.`{name}`" for name in first]
    assert state["selectedColumns"][-2:] == ["params.`init`", "params.`network.depth`"]
    assert [column for column in state["columnOrder"] if column in state["selectedColumns"]] == state["selectedColumns"]
    assert set(state["columnWidths"]) == set(state["columnOrder"])


def test_losses_are_drawn_on_log_axes(store: TrackingStore) -> None:
    experiment = store.experiment("seen")
    view.save_views(store, experiment, [])
    for saved in _views(store, experiment).values():
        state = json.loads(saved["state"])
        sections = {section["uuid"] for section in state["compareRunSections"]}
        curves = [card for card in state["compareRunCharts"] if card["type"] == "LINE"]
        assert {card["metricSectionId"] for card in state["compareRunCharts"]} == sections
        assert all(card["metricKey"].startswith("loss") for card in curves)
        assert {card["scaleType"] for card in curves} == {card["xAxisScaleType"] for card in curves} == {"log"}


def test_one_view_alone_groups_its_runs(store: TrackingStore) -> None:
    experiment = store.experiment("seen")
    view.save_views(store, experiment, [])
    states = {key: json.loads(saved["state"]) for key, saved in _views(store, experiment).items()}
    grouped = {key: state["groupBy"] for key, state in states.items() if "groupBy" in state}
    key = {"mode": "tag", "groupByData": "basinet.sweep_minimum"}
    assert grouped == {"basinet-minima-grouped": {"aggregateFunction": "average", "groupByKeys": [key]}}


def test_a_later_sweep_brings_its_own_settings_and_a_condition_alone_leaves_them(store: TrackingStore) -> None:
    experiment = store.experiment("seen")
    for varied in (["init"], ["descent"], []):
        view.save_views(store, experiment, varied)
    state = json.loads(_views(store, experiment)["basinet-conditions"]["state"])
    assert state["selectedColumns"][-1] == "params.`descent`"
    assert "params.`init`" not in state["selectedColumns"]


@pytest.mark.parametrize("saved", [json.dumps({"name": "mine", "createdAt": 1, "state": "{}"}), "deflate;abc"])
def test_a_view_that_somebody_has_saved_under_the_name_is_left_alone(saved: str, store: TrackingStore) -> None:
    experiment = store.experiment("seen")
    view.save_views(store, experiment, ["init"])
    store.client.set_experiment_tag(experiment, "mlflow.sharedViewState.basinet-conditions", saved)
    view.save_views(store, experiment, ["init"])
    assert store.client.get_experiment(experiment).tags["mlflow.sharedViewState.basinet-conditions"] == saved


def test_a_view_fits_into_a_tag_of_older_servers(store: TrackingStore) -> None:
    experiment = store.experiment("seen")
    view.save_views(store, experiment, ["problem", "init", "network.depth", "descent.learning_rate"])
    tags = store.client.get_experiment(experiment).tags
    assert max(map(len, tags.values())) <= 5000


def test_a_server_that_takes_no_such_tag_does_without_views(
    store: TrackingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    def refuse(client: MlflowClient, experiment: str, name: str, *rest: object) -> None:
        refused.append(name)
        raise MlflowException("too long")

    refused: list[str] = []
    experiment = store.experiment("seen")
    monkeypatch.setattr(MlflowClient, "set_experiment_tag", refuse)
    view.save_views(store, experiment, ["init"])
    assert refused
    assert not any(name.startswith("mlflow.sharedViewState") for name in store.client.get_experiment(experiment).tags)


def test_an_experiment_says_what_it_asks_and_where_to_look_unless_somebody_has_written_otherwise(
    store: TrackingStore,
) -> None:
    experiment = store.experiment("made")
    view.describe(store, experiment, "made", "Is it so?")
    note = store.client.get_experiment(experiment).tags["mlflow.note.content"]
    assert note.startswith("**Is it so?** ")
    page = f"(#/experiments/{experiment}/runs?workflowType=machine_learning&viewStateShareKey=basinet-"
    assert all(f"{page}{name})" in note for name in ("conditions", "minima", "minima-grouped"))
    store.client.set_experiment_tag(experiment, "mlflow.note.content", "mine")
    view.describe(store, experiment, "made", "Is it so?")
    assert store.client.get_experiment(experiment).tags["mlflow.note.content"] == "mine"
