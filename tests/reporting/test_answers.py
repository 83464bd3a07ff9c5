"""What minima compute, as frames and figures: against losses of the table, and sums written out."""

from __future__ import annotations

import numpy as np
import pytest

import basinet
from basinet import Findings, Study
from basinet.reporting.answers import answers, weights
from basinet.reporting.portraits import portraits

PENALTY = 1e-3
XOR = {
    "problem": "xor",
    "network": {"width": 2, "activation": "tanh"},
    "objective": {"l2_weights": PENALTY, "l2_biases": PENALTY},
    "descent": {"learning_rate": 1.0, "steps": 1500},
    "restarts": 40,
}


@pytest.fixture(scope="module")
def xor() -> Findings:
    return basinet.run(Study.from_config(XOR))


def test_the_answers_to_the_samples_make_the_loss_of_each_minimum(xor: Findings) -> None:
    table = answers(xor.study, xor.minima)
    kept = table[table["sample"] >= 0]
    half = ((kept["answer"] - kept["target"]) ** 2 / 2).groupby(kept["minimum"]).mean()
    for row in xor.minima.head(6).to_dict("records"):
        penalty = PENALTY / 2 * np.sum(np.square(row["parameters"]))
        assert half[row["minimum"]] + penalty == pytest.approx(row["loss"], rel=1e-12)
    assert (kept["target"] == (kept["x1"] != kept["x2"])).all()


def test_between_the_samples_a_minimum_answers_what_its_network_does(xor: Findings) -> None:
    table = answers(xor.study, xor.minima, most=1)
    between = table[table["sample"] < 0]
    assert between["target"].isna().all()
    x = between[["x1", "x2"]].to_numpy().T
    np.testing.assert_allclose(basinet.network(xor, 0)(x)[0], between["answer"], rtol=1e-12)
    assert x.min() < 0.0  # around the samples
    assert x.max() > 1.0


def test_weights_are_the_parameters_in_their_order(xor: Findings) -> None:
    table = weights(xor.study, xor.minima, most=1)
    assert table["weight"].tolist() == list(xor.minima["parameters"].iloc[0])
    biases = table[table["source"] < 0]
    assert biases[["layer", "unit"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0]]


def test_the_figures_show_a_panel_for_each_minimum_and_its_loss(xor: Findings) -> None:
    figures = portraits(xor.study, xor.restarts, xor.minima, xor.parameters, "XOR")
    assert list(figures) == ["answers", "weights"]  # of nine parameters no map shows all
    titles = [axes.get_title() for axes in figures["answers"].axes if axes.get_title()]
    shown = xor.minima.head(6).to_dict("records")
    assert titles == [f"minimum {row['minimum']}, f = {row['loss']:.3g}\nrestart {row['restart']}" for row in shown]
    names = [axes.get_ylabel() for axes in figures["weights"].axes if axes.get_ylabel().startswith("minimum")]
    assert names == [title.replace(", ", "\n") for title in titles]


def test_the_restart_beside_a_minimum_ends_there_and_there_is_none_where_none_does(xor: Findings) -> None:
    table = answers(xor.study, xor.minima).drop_duplicates("minimum")
    ends = xor.restarts.set_index("restart")["minimum"]
    assert ends[table["restart"]].tolist() == table["minimum"].tolist()
    visited = xor.minima.assign(count=xor.minima["count"].where(xor.minima["minimum"] != 1, 0))
    for made in (answers(xor.study, visited), weights(xor.study, visited)):
        assert set(made.loc[made["minimum"] == 1, "restart"]) == {-1}
    figures = portraits(xor.study, xor.restarts, visited, xor.parameters, "XOR")
    (title,) = [axes.get_title() for axes in figures["answers"].axes if axes.get_title().startswith("minimum 1,")]
    assert "restart" not in title


def test_of_a_function_that_is_no_network_there_is_nothing_to_be_shown() -> None:
    camel = {"objective": {"name": "test_function", "function": "camel"}, "init": "uniform", "restarts": 5}
    found = basinet.run(Study.from_config({**camel, "descent": {"learning_rate": 0.01, "steps": 500}}))
    assert answers(found.study, found.minima).empty
    assert weights(found.study, found.minima).empty
    assert portraits(found.study, found.restarts, found.minima, found.parameters, "camel") == {}
