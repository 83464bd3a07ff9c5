"""What settings come to, before torch is there: the same as for the study that is made of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import basinet
from basinet import Study
from basinet.foundation.errors import ConfigError
from basinet.study.resolve import resolve

CONDITIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "auto": {"restarts": "auto", "restarts_max": 50},
    "digits": {"problem": {"name": "digits", "points": 10, "holdout": 0.2}},
    "teacher": {"problem": "teacher", "network": {"activation": "softplus", "width": [3, 2], "depth": 3}},
    "gaussian_teacher": {"problem": "gaussian_teacher", "objective": "population", "network": {"activation": "erf"}},
    "typed": {"descent": {"learning_rate": "1", "steps": 1e2}, "network": {"output": "sigmoid", "bias": False}},
    "flow": {"descent": {"name": "gradient_flow", "method": "rosenbrock", "time": "100"}},
    "table": {"problem": {"name": "table", "path": "table.csv", "targets": "y"}},
    "given": {"init": {"name": "given", "path": "starts.npz"}, "network": {"depth": 1}, "restarts": 2},
}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"x": [1.0, 200.0, 35.0, 4.0], "y": list("abca")}).to_csv("table.csv", index=False)
    np.savez("starts.npz", np.ones((2, 3)))


@pytest.mark.parametrize("name", CONDITIONS)
def test_a_condition_has_the_key_the_columns_and_the_remarks_of_its_study(name: str, files: None) -> None:
    study, resolved = Study.from_config(CONDITIONS[name]), resolve(CONDITIONS[name])
    assert (resolved.key, resolved.columns) == (study.key, study.columns)
    assert (resolved.remarks, resolved.execution) == (study.remarks, study.execution)


def test_what_a_descent_decides_by_the_size_of_the_network_is_open_until_there_is_one() -> None:
    flow = {"descent": "gradient_flow"}
    assert resolve(flow).key != Study.from_config(flow).key
    assert resolve(flow).settings["descent"]["method"] is None


def test_of_arrays_from_python_too() -> None:
    problem = basinet.Problem(np.arange(6.0).reshape(2, 3), ["a", "b", "a"])
    assert resolve({"problem": problem}).key == Study.from_config({"problem": problem}).key


def test_another_file_of_starts_is_another_condition(files: None) -> None:
    before = resolve(CONDITIONS["given"]).key
    np.savez("starts.npz", np.zeros((2, 3)))
    assert resolve(CONDITIONS["given"]).key != before


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"descent": {"learning_rate": "fast"}}, r"^descent\.learning_rate=fast: must be a number$"),
        ({"network": {"depth": 0}}, r"^network\.depth=0: must be at least 1"),
        ({"restarts": 0}, r"^restarts=0: must be at least 1, or auto$"),
        ({"problem": {"name": "xor", "seed": -1}}, r"^problem\.seed=-1: must be between"),
    ],
)
def test_what_is_wrong_by_itself_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        resolve(settings)
