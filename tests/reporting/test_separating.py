"""Numbers of starts, written out by hand, and the basins that they are known to separate."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import basinet
from basinet import Findings, Study
from basinet.foundation.errors import ConfigError
from basinet.reporting.document import Table, Text
from basinet.reporting.separating import separating
from basinet.reporting.start_features import start_features
from two_valleys import BORDER, NEURON

XOR = {
    "problem": "xor",
    "network": {"width": 2, "activation": "tanh", "output": "identity"},
    "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3},
    "descent": {"steps": 0},
    "polish": "none",
    "restarts": 5,
    "engine": "torch",  # which compiles nothing
}


@pytest.fixture(scope="module")
def neuron() -> Findings:
    return basinet.run(Study.from_config({**NEURON, "restarts": 300}))


def test_the_basins_of_the_neuron_are_separated_by_its_weights_where_their_border_is(neuron: Findings) -> None:
    """Each weight ends in the valley that it starts in."""
    found, told = neuron, basinet.separation(neuron)
    assert told.tells
    assert told.accuracy.value >= 0.95
    assert set(told.features["feature"]) == {"w1", "w2"}
    for weight in (0, 1):
        starts = np.sort(found.parameters["initial"][:, weight])
        for cut in re.findall(rf"w{weight + 1} [≤>] (\S+)", " ".join(told.rules["rule"])):
            assert np.searchsorted(starts, float(cut)) == pytest.approx(np.searchsorted(starts, BORDER), abs=8)


def test_the_page_says_it_in_a_sentence_and_rule_by_rule_and_of_chance_nothing(neuron: Findings) -> None:
    sentence, table = separating(neuron.study, neuron.restarts)
    assert isinstance(sentence, Text)
    assert isinstance(table, Table)
    told = basinet.separation(neuron)
    assert sentence.text == told.sentence
    assert [row[0].text for row in table.rows] == told.rules["rule"].tolist()
    assert sum(row[2].number or 0 for row in table.rows) == told.held_out
    assert table.folded
    rng = np.random.default_rng(0)
    assert separating(neuron.study, neuron.restarts.assign(minimum=rng.integers(0, 3, 300))) == []
    assert separating(neuron.study, neuron.restarts.assign(minimum=0)) == []


def test_numbers_of_a_start_are_those_of_its_network_written_out() -> None:
    """Numbers that no symmetry changes, for tanh units whose order and signs mean nothing."""
    found = basinet.run(Study.from_config(XOR))
    table = start_features(found.study, found.restarts)
    x = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
    for row, theta in zip(table.to_dict("records"), found.parameters["initial"], strict=True):
        w, b, v, c = theta[:4].reshape(2, 2), theta[4:6], theta[6:8], theta[8]
        answers = v @ np.tanh(w @ x + b[:, None]) + c
        order = [int(np.flatnonzero((point == found.study.problem.inputs.numpy().T).all(1))[0]) for point in x.T]
        given = np.array([row[f"answer {sample}"] for sample in order])
        np.testing.assert_allclose(given, answers, rtol=1e-12)
        assert row["mean answer"] == pytest.approx(answers.mean(), rel=1e-12)
        assert row["answers spread"] == pytest.approx(answers.std(), rel=1e-12)
        assert row["norm W0"] == pytest.approx(np.sqrt((w**2).sum()), rel=1e-12)
        assert row["norm b0"] == pytest.approx(np.sqrt((b**2).sum()), rel=1e-12)
        assert row["norm W1"] == pytest.approx(np.sqrt((v**2).sum()), rel=1e-12)
        assert sorted(abs(row[f"W1[0,{unit}]"]) for unit in (0, 1)) == pytest.approx(sorted(np.abs(v)))
        penalty = 1e-3 / 2 * (theta**2).sum()
        targets = np.array([0.0, 1.0, 1.0, 0.0])
        assert row["loss"] == pytest.approx(((answers - targets) ** 2).mean() / 2 + penalty, rel=1e-12)


def test_copies_of_a_start_have_the_same_numbers(tmp_path: Path) -> None:
    """Starts from a file, each beside its copy with units exchanged and signs turned."""
    rng = np.random.default_rng(3)
    theta = rng.normal(size=(4, 9))
    copies = theta[:, [2, 3, 0, 1, 5, 4, 7, 6, 8]] * np.array([-1, -1, 1, 1, -1, 1, -1, 1, 1])
    path = tmp_path / "starts.npz"
    np.savez(path, theta=np.concatenate([theta, copies]))
    study = Study.from_config({**XOR, "init": {"name": "given", "path": str(path)}, "restarts": 8})
    table = start_features(study, basinet.run(study).restarts)
    np.testing.assert_allclose(table.iloc[:4].to_numpy(), table.iloc[4:].to_numpy(), rtol=1e-9, atol=1e-12)


def test_of_a_function_that_is_no_network_there_are_its_parameters_and_its_loss() -> None:
    camel = {"objective": {"name": "test_function", "function": "camel"}, "init": "uniform", "restarts": 3}
    found = basinet.run(Study.from_config({**camel, "descent": {"learning_rate": 0.01, "steps": 10}}))
    table = start_features(found.study, found.restarts)
    assert list(table.columns) == ["theta1", "theta2", "loss"]
    np.testing.assert_array_equal(table[["theta1", "theta2"]], found.parameters["initial"])


def test_with_too_few_restarts_one_line_says_how_many_it_takes() -> None:
    with pytest.raises(ConfigError, match="this study: 0 restarts ended at bottoms, and it takes 90"):
        basinet.separation(basinet.run(Study.from_config(XOR)))
