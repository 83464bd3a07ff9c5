"""Targets that name classes: how they are recognised, and one output for each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from basinet.foundation.errors import require
from basinet.foundation.random_streams import Array

if TYPE_CHECKING:
    import pandas as pd

FEW = 10
"""Integers are taken for classes if they have at most so many different values."""

_MOST = 1000  # classes; more are a mistake, such as a column of names
_SHOWN = 10  # names of classes in a remark


@dataclass(frozen=True)
class Classes:
    """The classes of a column of labels, in their order, and which of them each sample is in."""

    names: tuple[str, ...]
    targets: Array  # [class, sample], 1 in the row of the sample's class

    def described(self) -> str:
        """How many classes there are, and which.

        >>> Classes(("no", "yes"), np.eye(2)).described()
        '2 classes (no, yes)'
        """
        more = ", ..." if len(self.names) > _SHOWN else ""
        return f"{len(self.names):,} classes ({', '.join(self.names[:_SHOWN])}{more})"


def are_labels(column: pd.Series) -> bool:
    """Whether a column of targets is taken for labels where nobody says what it is.

    Text and true/false are; so are integers with few different values, if each stands there at least twice. Numbers
    with a decimal mark are not, nor is a text column in which some cell is a number.
    """
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype) or column.dtype.kind == "b":
        return column.nunique() > 1
    if column.dtype.kind in "iu":
        counts = column.value_counts()
        return 2 <= len(counts) <= FEW and bool(counts.min() >= 2)
    present = column.dropna()
    texts = len(present) > 0 and all(isinstance(cell, str) for cell in present)
    several = present.nunique() > 1 or len(present) < len(column)  # a missing label is one that has to be told
    return texts and several and not any(_is_number(cell) for cell in present)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def one_hot(column: pd.Series, where: str) -> Classes:
    """The classes of a column of labels, sorted: numbers by size, texts by their letters.

    Args:
        column: one label for each sample.
        where: what a message begins with.

    Raises:
        ConfigError: if a label is missing, or there are fewer than two different ones, or far too many.
    """
    import pandas as pd

    labels = column.astype(column.dtype.categories.dtype) if isinstance(column.dtype, pd.CategoricalDtype) else column
    if labels.dtype.kind not in "biuf":
        labels = labels.map(lambda cell: cell if pd.isna(cell) else str(cell).strip())
    codes, names = pd.factorize(labels, sort=True)
    missing = np.flatnonzero(codes < 0)
    row = int(missing[0]) + 1 if len(missing) else 0
    require(not row, f"{where}, row {row}: no class (empty, or a word for that, such as NA or None)")
    require(len(names) >= 2, f"{where}: one class only, '{names[0]}'; at least two are needed")
    require(len(names) <= _MOST, f"{where}: {len(names):,} different values, there can be {_MOST:,} classes")
    return Classes(tuple(str(name) for name in names), np.eye(len(names))[:, codes])


def are_indicators(y: Array) -> bool:
    """Whether rows of targets say which class a sample is in: 1 in one row, 0 in the others, `[class, sample]`."""
    return bool(len(y) >= 2 and np.isin(y, (0.0, 1.0)).all() and (y.sum(0) == 1).all())


def are_probabilities(y: Array) -> bool:
    """Whether rows of targets are probabilities of classes, `[class, sample]`."""
    return bool(len(y) >= 2 and (y >= 0).all() and (np.abs(y.sum(0) - 1) < 1e-9).all())
