"""Tables of tensors, one row per run or restart: some rows of them, and rows put back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

Table = TypeVar("Table")


def rows(table: Table, index: Tensor) -> Table:
    """Some rows of a tensor, of a mapping of tables, or of a dataclass of tables."""
    return cast(Table, _over(lambda mine: mine.index_select(0, index), table))


def put(table: Table, index: Tensor, part: Table) -> Table:
    """`table` with the rows `index` taken from `part`."""
    return cast(Table, _over(lambda mine, theirs: mine.index_copy(0, index, theirs), table, part))


def stacked(parts: list[Table]) -> Table:
    """All rows of the parts, one after the other."""
    return cast(Table, _over(lambda *tensors: torch.cat(tensors), *parts))


def _over(function: Any, first: Any, *others: Any) -> Any:
    if isinstance(first, Tensor):
        return function(first, *others)
    if first is None:  # a column that is not there
        return None
    if isinstance(first, Mapping):
        return {name: _over(function, entry, *(other[name] for other in others)) for name, entry in first.items()}
    names = [field.name for field in dataclasses.fields(first)]
    return type(first)(
        **{name: _over(function, getattr(first, name), *(getattr(other, name) for other in others)) for name in names}
    )
