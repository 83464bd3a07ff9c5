"""Arrays from Python as a problem."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import basinet
from basinet.foundation.errors import ConfigError
from basinet.study.study import Study

X = np.random.default_rng(0).normal(size=(3, 12))
Y = np.sin(X[:1])


def study(*arrays: Any, **settings: Any) -> Study:
    return Study.from_config({"problem": basinet.Problem(*arrays, **settings), "restarts": 4, "descent": {"steps": 20}})


def test_arrays_are_taken_as_they_are() -> None:
    for x, y in ((X, Y), (X, Y[0]), (torch.tensor(X), torch.tensor(Y)), (X.tolist(), pd.Series(Y[0]))):
        made = study(x, y)
        assert made.problem.inputs.tolist() == X.tolist()
        assert made.problem.targets.tolist() == Y.tolist()
        assert made.network.widths == (3, 8, 1)
        assert made.settings["objective"]["loss"] == "squared"
        assert made.remarks == ()
        assert made.key == study(X, Y).key


def test_the_restarts_of_xor_are_those_of_its_arrays() -> None:
    network = {"width": 2, "output": "logistic"}
    rest: dict[str, Any] = {"network": network, "restarts": 4, "descent": {"steps": 20, "learning_rate": 1.0}}
    arrays = basinet.Problem([[0, 0, 1, 1], [0, 1, 0, 1]], [0, 1, 1, 0])
    one, other = (basinet.run(Study.from_config({"problem": problem, **rest})) for problem in ("xor", arrays))
    assert one.parameters["final"].tolist() == other.parameters["final"].tolist()


def test_what_is_changed_later_changes_no_study() -> None:
    x, y = X.copy(), Y.copy()
    problem = basinet.Problem(x, y)
    x[:], y[:] = 0, 0
    assert Study.from_config({"problem": problem}).problem.inputs.tolist() == X.tolist()


@pytest.mark.parametrize(
    ("inputs", "targets", "settings"),
    [
        (X + 1e-12, Y, {}),
        (X, Y + 1e-12, {}),
        (X[:, :11], Y[:, :11], {}),
        (np.concatenate([X, Y]), Y, {}),
        (X, Y, {"standardize": True}),
        (X, Y, {"holdout": 0.25}),
        (X, Y, {"holdout": 0.25, "seed": 1}),
    ],
)
def test_other_numbers_are_another_condition_and_another_objective(
    inputs: Any, targets: Any, settings: dict[str, Any]
) -> None:
    made = study(inputs, targets, **settings)
    assert made.key != study(X, Y).key
    assert made.objective_key != study(X, Y).objective_key


def test_numbers_are_not_the_classes_that_have_their_value() -> None:
    flags = [True, False] * 6
    keys = {study(X, labels).key for labels in (flags, np.array(flags, dtype=int), [str(flag) for flag in flags])}
    assert len(keys) == 2  # labels have the same order by either name


@pytest.mark.parametrize(
    ("targets", "settings"),
    [
        (["no", "yes", "maybe"] * 4, {}),
        ([3, 30, 10] * 4, {"classes": True}),
        (np.eye(3)[[1, 2, 0] * 4].T, {}),
    ],
)
def test_labels_have_an_output_for_each_class_and_an_accuracy(targets: Any, settings: dict[str, Any]) -> None:
    made = study(X, targets, **settings)
    order = {"no": [1, 2, 0], 3: [0, 2, 1]}.get(targets[0] if isinstance(targets, list) else 0, [1, 2, 0])
    assert made.problem.targets.argmax(0).tolist() == order * 4
    assert made.settings["objective"]["loss"] == "cross_entropy"
    assert basinet.run(made).restarts["accuracy"].between(0, 1).all()


def test_arrays_can_be_standardized_and_held_out() -> None:
    made = study(X, Y, standardize=True, standardize_targets=True, holdout=0.25)
    assert made.problem.inputs.shape == (3, 9)
    assert made.problem.holdout_inputs.shape == (3, 3)
    np.testing.assert_allclose(made.problem.inputs.mean(1), 0, atol=1e-15)
    assert {"loss_original", "loss_holdout_original"} <= set(basinet.run(made).restarts)


def test_a_study_of_arrays_travels_to_another_process() -> None:
    made = study(X, Y)
    assert pickle.loads(pickle.dumps(basinet.Problem(X, Y))).settings == made.settings["problem"]  # noqa: S301


def test_its_settings_do_not_make_the_study_again_and_say_what_would() -> None:
    with pytest.raises(ConfigError, match=r"problem=arrays: .*give them again as \"problem\": basinet\.Problem"):
        Study.from_config(study(X, Y).settings)


@pytest.mark.parametrize(
    ("inputs", "targets", "settings", "message"),
    [
        (X.T, Y, {}, r"inputs \[12, 3\] and targets \[1, 12\] .*transpose"),
        (X.T, Y.T, {}, r"inputs \[12, 3\] and targets \[12, 1\] .*transpose"),
        (
            X,
            Y[:, :5],
            {},
            r"inputs \[3, 12\] and targets \[1, 5\] have different numbers of columns, which are the samples",
        ),
        (X[None], Y, {}, r"inputs have the shape \[1, 3, 12\], not \[row, sample\]"),
        (3.0, Y, {}, r"inputs have the shape \[\]"),
        (np.zeros((3, 0)), Y, {}, r"inputs have the shape \[3, 0\]: there are none"),
        ([[1, 2], [3]], Y, {}, "inputs cannot be made an array"),
        (pd.DataFrame(X), Y, {}, r"inputs is a DataFrame, whose rows are samples"),
        (np.full((3, 12), "a"), Y, {}, "inputs must be numbers, 'a' is none"),
        (X, [["a"] * 12, ["b"] * 12], {}, "targets must be numbers, 'a' is none"),
        (X * np.nan, Y, {}, "all inputs and targets must be finite numbers"),
        (X * 1e200, Y, {}, r"problem: .*e\+200 among inputs and targets, the largest can be 1e\+150"),
        (X, ["a", None, "b"] * 4, {}, "targets, row 2: no class"),
        (X, ["a"] * 12, {}, "targets must be numbers, 'a' is none"),
        (X, [*"abcdefghijkl"], {"classes": 1}, "classes=1: must be True or False"),
        (X, Y, {"standardize": None}, "standardize=None: must be True or False"),
        (X, np.ones((2, 12)), {"classes": True}, "one 1 in each column"),
        (np.ones((1, 12)), Y, {"standardize": True}, r"'inputs\[0\]': constant, cannot be standardized"),
        (X, Y, {"holdout": 2}, r"problem\.holdout=2: must be a share"),
        (X, Y, {"seed": -1}, r"problem\.seed=-1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(
    inputs: Any, targets: Any, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as refusal:
        study(inputs, targets, **settings)
    assert "\n" not in str(refusal.value)
