from __future__ import annotations

import numpy as np
import pandas as pd

from basinet.analysis.bottoms import levels, shares


def test_a_bottom_at_infinity_has_the_loss_that_its_flow_falls_to() -> None:
    minima = pd.DataFrame(
        {
            "init": "a",
            "kind": ["at_infinity", "at_infinity", "at_infinity", "degenerate"],
            "loss": [1e-4, 0.0629, 0.0631, 0.0625],
            "level": [1e-16, 0.0625, 0.0625 + 1e-9, 0.0625],
            "share": [0.5, 0.2, 0.1, 0.05],
        }
    )
    table = levels(minima, ["init"])
    assert table[["kind", "bottoms"]].to_numpy().tolist() == [["at_infinity", 1], ["at_infinity", 2], ["degenerate", 1]]
    assert np.allclose(table["loss"], [1e-16, 0.0625, 0.0625], atol=1e-14)
    assert np.allclose(table["share"], [0.5, 0.3, 0.05])


def test_tables_that_were_written_without_levels_are_read_by_their_losses() -> None:
    minima = pd.DataFrame({"init": "a", "kind": "at_infinity", "loss": [0.1, 0.2], "level": [np.nan] * 2, "share": 0.5})
    for table in (minima, minima.drop(columns="level")):
        assert levels(table, ["init"])["loss"].tolist() == [0.1, 0.2]


def test_orbits_are_counted_of_minima_and_only_where_they_were_kept() -> None:
    minima = pd.DataFrame(
        {"init": list("aaaab"), "kind": ["minimum"] * 3 + ["degenerate", "minimum"], "loss": [1.0, 1, 2, 3, 1]}
    ).assign(share=0.1, orbit=[0.0, 0.0, 1.0, -1.0, np.nan])
    table = levels(minima, ["init"])
    assert table[["init", "loss", "bottoms"]].to_numpy().tolist() == [
        ["a", 1, 2],
        ["a", 2, 1],
        ["a", 3, 1],
        ["b", 1, 1],
    ]
    assert table["orbits"].iloc[:3].tolist() == [1, 1, 0]
    assert np.isnan(table["orbits"].iloc[3])
    assert levels(minima.drop(columns="orbit"), ["init"])["orbits"].isna().all()


def test_every_condition_is_a_row_whatever_its_restarts_found_and_whatever_setting_it_lacks() -> None:
    conditions = pd.DataFrame({"init": ["a", "b", "c"], "init.gain": [1.0, np.nan, np.nan]})
    minima = pd.DataFrame(
        {
            "init": pd.Categorical(["b", "b", "a"]),
            "init.gain": [np.nan, np.nan, 1.0],
            "kind": "minimum",
            "loss": [0.25, 0.5, 0.25 + 1e-12],
            "share": [0.6, 0.1, 0.9],
        }
    )
    by = ["init", "init.gain"]
    wide = shares(levels(minima, by), conditions, by)
    assert wide.columns.tolist() == [(0.25, "minimum"), (0.5, "minimum")]
    assert wide.to_numpy().tolist() == [[0.9, 0.0], [0.6, 0.1], [0.0, 0.0]]
    assert wide.index.get_level_values("init").tolist() == ["a", "b", "c"]
    none = shares(levels(minima.iloc[:0], by), conditions, by)
    assert none.shape == (3, 0)
