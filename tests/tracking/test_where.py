"""Rows that are asked for are those that pandas finds in the whole table."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

import basinet
from basinet.foundation.errors import ConfigError
from basinet.tracking.record import OpenRun

Write = Callable[..., OpenRun]
NORMAL = {"init": "normal", "init.std": 1.5, "network.depth": 2, "network.width": 3, "network.bias": True}
XAVIER = {"init": "xavier_normal", "init.gain": 1.0, "network.depth": 3, "network.width": "3-4", "network.bias": False}


@pytest.fixture
def whole(write: Write) -> pd.DataFrame:
    """Two conditions of three restarts and two."""
    write(NORMAL, [3.0, 1.0, 0.5])
    write(XAVIER, [2.0, 0.5])
    return basinet.load_restarts("made")


QUERIES = [
    ("loss < 1", "loss < 1"),
    ("0.6 < loss <= 2.0 and restart != 1", "0.6 < loss <= 2.0 and restart != 1"),
    ("init == 'normal'", "init == 'normal'"),
    ("network.depth >= 3 or loss == 3", "`network.depth` >= 3 or loss == 3"),
    ("(`network.depth` == 2) & ~(loss > 2)", "(`network.depth` == 2) & ~(loss > 2)"),
    ("restart in (0, 2) and network.depth not in [3]", "restart in (0, 2) and `network.depth` not in [3]"),
    ("init.std > 1", "`init.std` > 1"),
    ("not network.bias", "not `network.bias`"),
    ("status == 'budget' and init != 'normal'", "status == 'budget' and init != 'normal'"),
    ("loss > -1", "loss > -1"),
]


def test_the_rows_are_those_that_pandas_finds_in_the_whole_table(whole: pd.DataFrame) -> None:
    for where, query in QUERIES:
        found = basinet.load_restarts("made", where=where)
        expected = whole.query(query).reset_index(drop=True)
        pd.testing.assert_frame_equal(found, expected, check_categorical=False, obj=where)


MAPPINGS: list[tuple[dict[str, Any], list[float]]] = [
    ({}, [3.0, 1.0, 0.5, 2.0, 0.5]),
    ({"init": "normal", "restart": [1, 2]}, [1.0, 0.5]),
    ({"network.depth": (3,)}, [2.0, 0.5]),
    ({"network.width": [3]}, [3.0, 1.0, 0.5]),
    ({"network.width": "3-4"}, [2.0, 0.5]),
    ({"init.gain": 1, "loss": pd.Series([0.5]).iloc[0]}, [0.5]),
]


def test_a_mapping_says_what_columns_are_equal_to_or_among(whole: pd.DataFrame) -> None:
    for where, losses in MAPPINGS:
        assert basinet.load_restarts("made", where=where)["loss"].tolist() == losses, where


def test_where_no_row_is_wanted_the_columns_are_there_all_the_same(whole: pd.DataFrame) -> None:
    for where in ("status == 'unheard of'", {"init": "orthogonal"}):
        assert list(basinet.load_restarts("made", where=where)) == list(whole)
    found = basinet.load_restarts("made", columns=["loss", "init.gain"], where={"init": "normal"})
    assert found["init.gain"].isna().tolist() == [True] * 3


def test_rows_may_be_chosen_by_columns_that_are_not_wanted(whole: pd.DataFrame) -> None:
    found = basinet.load_restarts("made", columns=["loss", "init"], where="restart == 1 and network.depth == 3")
    assert list(found) == ["loss", "init"]
    assert found["loss"].tolist() == [0.5]
    assert found["init"].tolist() == ["xavier_normal"]


def test_of_conditions_that_cannot_have_such_rows_nothing_is_read(
    whole: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Any] = []
    table = pq.read_table
    monkeypatch.setattr(pq, "read_table", lambda *path, **how: read.append(how["filters"]) or table(*path, **how))
    basinet.load_restarts("made", where="init == 'normal' and loss < 1")
    assert [str(condition) for condition in read] == ["(loss < 1)"]  # of two conditions one, and there the loss only


WRONG = [
    ("loss = 1", "where: loss = 1 is no condition; say for instance \"kind == 'minimum' and network.depth >= 2\""),
    ("", "where:  is no condition; say for instance"),
    ("los < 1", "unknown column of load_restarts to choose rows by 'los': did you mean 'loss'?"),
    ("sweep_minimum == 0", "unknown column of load_restarts to choose rows by 'sweep_minimum'"),
    ("loss < 'small'", "where: loss is a number, and is compared with text"),
    ("init < 3", "where: init is text, and is compared with a number"),
    ("network.bias < 1", "where: network.bias is true or false, and is compared with a number"),
    ("loss", "where: loss is no condition"),
    ("loss + 1 < 2", "where: loss + 1 is no column, number or text"),
    ("__import__('os').getcwd() == ''", "where: __import__('os').getcwd() is no column, number or text"),
    ("loss in 3", "where: 3 is no list of values, such as (2, 3)"),
    ("loss is 3", "where: 'is' compares nothing here; write ==, or !="),
    ("network.width == [3]", "where: network.width is compared with a list; write in"),
    ({"init": None}, "where: None is no number and no text"),
    (["loss"], "where=['loss']: is neither text nor a mapping"),
]


@pytest.mark.filterwarnings("ignore:.*is. with:SyntaxWarning")
def test_what_is_no_condition_is_answered_in_one_line(whole: pd.DataFrame) -> None:
    for where, told in WRONG:
        with pytest.raises(ConfigError) as error:
            basinet.load_restarts("made", where=where)
        assert str(error.value).startswith(told)
        assert "\n" not in str(error.value)
