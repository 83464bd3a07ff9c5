from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from basinet.analysis.spread import spread
from basinet.analysis.tally import NUMBER, number, tallied, tally


@pytest.fixture(scope="module")
def restarts() -> pd.DataFrame:
    """Two conditions whose restarts end in every way."""
    draws, count = np.random.default_rng(0), 600
    kind = draws.choice(["minimum", "degenerate", "unfinished", "diverged"], count, p=[0.6, 0.1, 0.2, 0.1])
    minimum = np.where(kind == "minimum", draws.integers(0, 4, count), -1)
    return pd.DataFrame(
        {
            "init": np.repeat(["a", "b"], count // 2),
            "status": np.where(kind == "diverged", "diverged", draws.choice(["arrived", "budget"], count)),
            "kind": pd.Categorical(kind, ["minimum", "degenerate", "saddle", "unfinished", "diverged"]),
            "unfinished_because": np.where(kind == "unfinished", draws.choice(["far", "early"], count), None),
            "minimum": minimum,
            "orbit": np.where(minimum < 0, -1, minimum // 2),
            "loss": np.where(minimum >= 0, 0.1 * minimum, draws.random(count)),
            "steps": draws.integers(0, 99, count),
        }
    )


def test_every_way_to_end_is_counted(restarts: pd.DataFrame) -> None:
    columns = ["init", "status", "kind", "unfinished_because", "minimum"]
    expected = Counter(restarts[columns].astype(str).itertuples(index=False, name=None))
    table = tally(restarts, ["init"])
    keys = table[columns].astype(str).itertuples(index=False, name=None)
    assert dict(zip(keys, table[NUMBER].tolist(), strict=True)) == expected
    assert number(table) == number(restarts) == 600


def test_a_tally_of_tallies_of_parts_is_that_of_all(restarts: pd.DataFrame) -> None:
    parts = [tally(restarts.iloc[begin : begin + 97], ["init"]) for begin in range(0, 600, 97)]
    pd.testing.assert_frame_equal(tallied(parts, ["init"]), tally(restarts, ["init"]))


def test_counts_of_some_restarts_are_those_of_all_where_a_tally_says_so(restarts: pd.DataFrame) -> None:
    some, every = restarts.groupby("init").head(20), spread(restarts, ["init"])
    found = spread(some, ["init"], tally(restarts, ["init"]))
    drawn = [name for name in found if name.startswith(("loss_", "median_", "best_of", "steps_"))]
    pd.testing.assert_frame_equal(found.drop(columns=drawn), every.drop(columns=drawn), check_exact=True)
    pd.testing.assert_frame_equal(found[drawn], spread(some, ["init"])[drawn], check_exact=True)
    assert found["restarts"].tolist() == [300, 300]
