"""When two studies are the same condition: their restarts are the same numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from basinet import Study
from basinet.foundation.errors import ConfigError

PLAIN: dict[str, Any] = {"problem": "xor", "restarts": 5}


def key(**changes: Any) -> str:
    return Study.from_config({**PLAIN, **changes}).key


@pytest.mark.parametrize(
    "changes",
    [
        {"restarts": 7},
        {"restarts": "auto"},
        {"restarts_max": 9},
        {"threads": 1},
        pytest.param(
            {"device": "auto"}, marks=pytest.mark.skipif(torch.cuda.is_available(), reason="is another device")
        ),
        {"init": {"name": "normal", "std": 1}},
        {"init": {"name": "normal", "std": "1.0"}},
    ],
)
def test_what_changes_no_number_changes_no_key(changes: dict[str, Any]) -> None:
    assert key(**changes) == key()


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"dtype": "float32"},
        {"engine": "torch"},
        {"init": {"name": "normal", "std": 2}},
        {"network": {"depth": 3}},
        {"descent": {"steps": 7}},
        {"objective": {"l2_weights": 1e-9}},
        {"polish": {"radius": 0.2}},
        {"problem": {"name": "xor", "low": 0.1}},
        {"problem": {"name": "xor", "holdout": 0.25}},
    ],
)
def test_what_changes_a_number_changes_the_key(changes: dict[str, Any]) -> None:
    assert key(**changes) != key()


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({"network": {"activation": "sigmoid"}}, "network.activation"),
        ({"network": {"output": "sigmoid"}}, "network.output"),
        ({"problem": {"name": "teacher", "activation": "sigmoid"}}, "problem.activation"),
    ],
)
def test_sigmoid_is_another_word_for_logistic_and_is_stored_as_that(settings: dict[str, Any], key: str) -> None:
    named = json.loads(json.dumps(settings).replace("sigmoid", "logistic"))
    one, other = Study.from_config(settings), Study.from_config(named)
    assert one.columns[key] == "logistic"
    assert (one.key, one.objective_key, one.settings) == (other.key, other.objective_key, other.settings)


@pytest.mark.parametrize("group", ["network", "problem"])
def test_a_word_that_is_nearly_sigmoid_is_answered_with_it(group: str) -> None:
    name = {"name": "teacher"} if group == "problem" else {}
    with pytest.raises(ConfigError, match=rf"^unknown {group}\.activation 'sigmod': did you mean 'sigmoid'\?$"):
        Study.from_config({group: {**name, "activation": "sigmod"}})


def test_of_a_table_the_content_counts_and_not_the_path(tmp_path: Path) -> None:
    table = pd.DataFrame({"x": [0.0, 1.0, 2.0], "y": [1.0, 0.0, 1.0]})
    for name in ("one.csv", "same.csv", "other.csv"):
        table.to_csv(tmp_path / name, index=False)
    table.assign(y=[1.0, 0.0, 0.5]).to_csv(tmp_path / "other.csv", index=False)
    keys = [
        key(problem={"name": "table", "path": str(tmp_path / name), "targets": ["y"]})
        for name in ("one.csv", "same.csv", "other.csv")
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_device_counts_as_what_it_turns_out_to_be() -> None:
    assert key(device="auto") == key(device="cuda" if torch.cuda.is_available() else "cpu")


def test_networks_of_one_layer_are_the_same_whatever_their_hidden_layers_would_be() -> None:
    def objective_key(**network: Any) -> str:
        return Study.from_config({"problem": "xor", "network": network}).objective_key

    assert objective_key(depth=1, width=2) == objective_key(depth=1, width=3, activation="tanh")
    assert objective_key(depth=2, width=2) != objective_key(depth=2, width=3)
    assert objective_key(depth=2) != objective_key(depth=2, activation="tanh")


def test_single_precision_is_certified_on_data_that_it_has_not_rounded() -> None:
    one, other = (Study.from_config({"problem": "sine", "dtype": dtype}) for dtype in ("float32", "float64"))
    assert torch.equal(one.exact_objective.targets, other.exact_objective.targets)
    assert one.objective.targets.dtype == torch.float32


def test_a_study_shows_itself_by_its_problem_its_network_and_what_is_done() -> None:
    study = Study.from_config(
        {"problem": "xor", "init": {"name": "normal", "std": 2.0}, "network": {"depth": 3, "width": 4}, "restarts": 7}
    )
    shown = repr(study).splitlines()
    assert shown[0] == f"Study of xor: 2-4-4-1 {study.network.activation}, output {study.network.output}"
    assert shown[1].strip() == "7 restarts, 37 parameters, seed 0"  # 2·4+4 + 4·4+4 + 4+1
    assert shown[2].strip() == "starts: normal (std=2.0, bias=same)"
    assert all(line.strip() in study._repr_html_() for line in shown)
