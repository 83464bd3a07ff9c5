"""The user's own table."""

from __future__ import annotations

import hashlib
import itertools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from basinet.foundation.errors import ConfigError, require, unknown
from basinet.foundation.random_streams import Array
from basinet.problems.csv_file import UNNAMED, read_csv
from basinet.problems.labels import FEW, are_indicators, are_labels, are_probabilities, one_hot
from basinet.problems.samples import LARGEST, Samples
from basinet.problems.standardization import Standardization, is_far

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 40  # characters of a cell in a message


@dataclass(frozen=True)
class Table:
    """The rows of a CSV or Parquet file as samples: `targets` and `inputs` name columns.

    Without `inputs`, all columns are inputs but the targets, those to `ignore`, and those without a name, which are
    taken for an index. `standardize` brings every input to mean 0 and standard deviation 1, `standardize_targets` every
    target that is neither a class nor a probability; None: where their scale is far from 1 (`standardization.is_far`).

    `classes` says whether the targets name classes: one column of labels, which becomes one output for each class, or
    a column of 0 and 1 for each. If it is None, text, true/false and integers with few different values are labels
    (`labels.are_labels`).
    """

    path: str
    targets: tuple[str, ...]
    inputs: tuple[str, ...] | None
    ignore: tuple[str, ...]
    classes: bool | None
    standardize: bool | None
    standardize_targets: bool | None
    separator: str | None
    decimal: str | None

    natural_width: ClassVar[int] = 8
    natural_output: ClassVar[str] = "identity"

    def samples(self, seed: int) -> Samples:
        frame = self._read()
        require(len(self.targets) > 0, "problem.targets=[]: name at least one column")
        unnamed = [name for name in frame.columns if UNNAMED.fullmatch(name)]
        inputs = self.inputs or tuple(
            name for name in frame.columns if name not in (*self.targets, *self.ignore, *unnamed)
        )
        self._check_names(frame, inputs)
        x = np.stack([_numbers(self.path, name, frame[name]) for name in inputs])
        y, classes, remarks = self._targets(frame)
        if not self.inputs:
            positions = [(list(frame.columns).index(name) + 1, name) for name in unnamed if name not in self._named]
            remarks = [*(self._left_out(position, name) for position, name in positions), *remarks]
        fitted = not classes and not are_probabilities(y)
        scaled = is_far(x) if self.standardize is None else self.standardize
        targets_scaled = is_far(y) if self.standardize_targets is None else self.standardize_targets
        if scaled and self.standardize is None:
            remarks.append("inputs are standardized; problem.standardize=false takes them as they are")
        remarks += self._constant(inputs, x, "its weights do what a bias does (problem.ignore leaves it out)")
        remarks += self._constant(self.targets, y, "there is nothing to learn")
        return Samples(
            x,
            y,
            classes,
            hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest(),  # before anything is computed from it
            natural_loss="cross_entropy" if classes else "squared",
            natural_learning_rate=LEARNING_RATE,
            input_standardization=self._standardization(inputs, _IGNORE) if scaled else None,
            target_standardization=(
                self._standardization(self.targets, _AS_IT_IS) if fitted and targets_scaled else None
            ),
            remarks=tuple(remarks),
        )

    @property
    def _named(self) -> tuple[str, ...]:
        return (*self.targets, *self.ignore)

    def _check_names(self, frame: pd.DataFrame, inputs: tuple[str, ...]) -> None:
        for key, names in (("targets", self.targets), ("inputs", inputs), ("ignore", self.ignore)):
            for name in names:
                if name not in frame.columns:
                    raise self._no_column(f"problem.{key}", name, list(frame.columns))
        lists = {"inputs": inputs, "targets": self.targets, "ignore": self.ignore}
        for one, other in itertools.combinations(lists, 2):
            both = "".join(sorted(set(lists[one]) & set(lists[other]))[:1])
            require(not both, f"{self.path}: column '{both}' is both in problem.{one} and in problem.{other}")
        left = "no other column is left" if self.ignore else "every column is a target"
        require(len(inputs) > 0, f"{self.path}: {left}, at least one input is needed")

    def _no_column(self, key: str, name: str, there: list[str]) -> ConfigError:
        if len(there) == 1 and not self.separator:
            known = "its columns are separated by something else: problem.separator says by what"
            return ConfigError(f"{self.path} ({key}): no column '{name}', only '{there[0]}'; if {known}")
        if all(_number(column) is not None for column in there):
            return ConfigError(f"{self.path} ({key}): no column '{name}'; the first line has to name the columns")
        return unknown(f"column in {self.path} ({key})", name, there)

    def _targets(self, frame: pd.DataFrame) -> tuple[Array, bool, list[str]]:
        """Targets `[output, sample]`, whether they name a class, and what is to be said about that."""
        first = frame[self.targets[0]]
        if len(self.targets) == 1 and (self.classes or (self.classes is None and are_labels(first))):
            found = one_hot(first, f"{self.path}, column '{self.targets[0]}'")
            guessed = self.classes is None and first.dtype.kind in "iu"
            other = f"; problem.classes=false takes its integers (at most {FEW} different ones) for numbers"
            said = f"problem.targets={self.targets[0]}: {found.described()}, one output each{other if guessed else ''}"
            return found.targets, True, [said]
        y = np.stack([_numbers(self.path, name, frame[name]) for name in self.targets])
        indicators = self.classes is not False and are_indicators(y)
        wrong = f"problem.classes=true: {self.path}: the {len(y)} target columns must be 0 or 1, with one 1 in each row"
        require(indicators or not self.classes, f"{wrong}; or name one column of labels")
        return y, indicators, []

    def _constant(self, names: tuple[str, ...], values: Array, told: str) -> list[str]:
        """What is to be said of columns with one value; those of classes are no rows of `values [row, sample]`."""
        same = (values == values[:, :1]).all(1)
        pairs = zip(names, same, strict=False)
        return [f"{self.path}: column '{name}' is the same in all rows: {told}" for name, is_same in pairs if is_same]

    def _left_out(self, position: int, name: str) -> str:
        how = f"to learn from it, name it in problem.inputs as '{name}'; to leave it out unsaid, in problem.ignore"
        return f"{self.path}: column {position} has no name, is taken for an index and left out ({how})"

    def _standardization(self, names: tuple[str, ...], remedy: str) -> Standardization:
        return Standardization(names, f"{self.path}, column", remedy)

    def _read(self) -> pd.DataFrame:
        """The file as a frame whose columns have different names, all of them text."""
        path = Path(self.path)
        kind = path.suffix.lower()
        require(kind in _SUFFIXES, f"problem.path={path}: must end in .csv or .parquet")
        require(path.is_file(), f"problem.path={path}: no such file")
        try:
            frame = self._parsed(path, kind)
        except ConfigError:
            raise
        except Exception as error:  # whatever the reader stumbles over, the user's file is what has to change
            raise ConfigError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
        require(len(frame) > 0, f"{path}: has no rows")
        frame.columns = frame.columns.map(str)
        repeated = frame.columns[frame.columns.duplicated()]
        require(len(repeated) == 0, f"{path}: column '{repeated[0] if len(repeated) else ''}' stands there twice")
        return frame

    def _parsed(self, path: Path, kind: str) -> pd.DataFrame:
        import pandas as pd

        if kind in _PARQUET:
            return pd.read_parquet(path)
        return read_csv(path, self.separator, self.decimal)


LEARNING_RATE = 0.1
"""Of gradient descent on standardized data: no restart of ordinary tables diverges, with logistic or tanh units."""

_PARQUET = (".parquet", ".pq")
_SUFFIXES = (".csv", ".tsv", *_PARQUET)
_HINTS = {
    r"[-+]?\d*,\d+": " (a decimal comma? problem.decimal=comma)",
    r"[-+]?\d{1,3}([.,'\s]\d{3})+([.,]\d+)?": " (marks between thousands? write numbers without)",
}  # what a cell that is no number looks like, and what may be right
_IGNORE = "leave it out (problem.ignore=[{names}]), or learn from all as they are (problem.standardize=false)"
_AS_IT_IS = "problem.standardize_targets=false takes targets as they are"


def _numbers(path: str, name: str, column: pd.Series) -> Array:
    """A column as numbers, `[sample]`; raises `ConfigError` with the row of the first cell that is none."""
    nonsense = ConfigError(f"{path}, column '{name}': not a column of numbers")
    if column.dtype.kind in "mM":  # dates and durations, which pandas would count in nanoseconds
        raise nonsense
    if column.dtype.kind in "biuf":
        values = column.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        cells = [_number(cell) for cell in column]
        if not any(isinstance(cell, str | float | int) for cell in column):
            raise nonsense
        values = np.array([np.nan if cell is None else cell for cell in cells])
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        row = int(bad[0])
        rows = f"({len(bad)} of {len(values)} rows)"
        raise ConfigError(
            f"{path}, column '{name}', row {row + 1}: {_shown(column.iloc[row])} is not a finite number {rows}"
        )
    huge = np.flatnonzero(np.abs(values) > LARGEST)
    row = int(huge[0]) if len(huge) else 0
    text = f"{values[row]:g} is too large, numbers can be as large as {LARGEST:g}"
    require(len(huge) == 0, f"{path}, column '{name}', row {row + 1}: {text} ({len(huge)} of {len(values)} rows)")
    return np.array(values)


def _number(cell: object) -> float | None:
    """A cell as a number; None if it is none, or has too many digits for one."""
    if not isinstance(cell, str | float | int) or (isinstance(cell, str) and "_" in cell):
        return None
    try:
        return float(cell)
    except (ValueError, OverflowError):
        return None


def _shown(cell: object) -> str:
    text = str(cell)
    if len(text) > _SHOWN:
        return f"'{text[:_SHOWN]}...' ({len(text):,} characters)"
    if not isinstance(cell, str):
        return text
    return f"{cell!r}{next((hint for form, hint in _HINTS.items() if re.fullmatch(form, cell.strip())), '')}"
