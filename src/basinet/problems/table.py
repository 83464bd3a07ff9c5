"""The user's own table."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from basinet.foundation.errors import ConfigError, require, unknown
from basinet.foundation.random_streams import Array
from basinet.problems.samples import Samples

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table:
    """The rows of a CSV or Parquet file as samples: `targets` and `inputs` name columns of numbers.

    Without `inputs`, all columns but the targets are inputs. `standardize` brings every input to mean 0 and standard
    deviation 1. Targets that are the 0/1 indicators of a class (two columns or more) make it a classification.
    """

    path: str
    targets: tuple[str, ...]
    inputs: tuple[str, ...] | None
    standardize: bool

    natural_width: ClassVar[int] = 8
    natural_output: ClassVar[str] = "identity"

    def samples(self, seed: int) -> Samples:
        frame = _read(Path(self.path))
        require(len(self.targets) > 0, "problem.targets=[]: name at least one column")
        inputs = self.inputs or tuple(str(name) for name in frame.columns if str(name) not in self.targets)
        for key, names in (("problem.targets", self.targets), ("problem.inputs", inputs)):
            for name in names:
                if name not in frame.columns:
                    raise unknown(f"column in {self.path} ({key})", name, map(str, frame.columns))
        both = sorted(set(inputs) & set(self.targets))
        name = both[0] if both else ""
        require(not both, f"{self.path}: column '{name}' is both in problem.inputs and in problem.targets")
        require(len(inputs) > 0, f"{self.path}: every column is a target, at least one input is needed")
        x, y = self._columns(frame, inputs), self._columns(frame, self.targets)
        read = hashlib.sha256(x.tobytes() + y.tobytes()).hexdigest()  # before anything is computed from it
        return Samples(self._standardized(x, inputs) if self.standardize else x, y, _are_classes(y), read)

    def _columns(self, frame: pd.DataFrame, names: tuple[str, ...]) -> Array:
        return np.stack([_numbers(self.path, name, frame[name]) for name in names])

    def _standardized(self, x: Array, names: tuple[str, ...]) -> Array:
        for name, values in zip(names, x, strict=True):
            constant = bool((values == values[0]).all())  # a deviation of .1 .1 .1 is 1e-17, not 0
            require(not constant, f"{self.path}, column '{name}': constant, cannot be standardized; leave it out")
        result: Array = (x - x.mean(1, keepdims=True)) / x.std(1, keepdims=True)
        return result


def _read(path: Path) -> pd.DataFrame:
    import pandas as pd

    readers: dict[str, Callable[[Path], pd.DataFrame]] = {
        ".csv": _read_csv,
        ".parquet": pd.read_parquet,
        ".pq": pd.read_parquet,
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ConfigError(f"problem.path={path}: must end in .csv or .parquet")
    require(path.is_file(), f"problem.path={path}: no such file")
    try:
        frame = reader(path)
    except Exception as error:  # whatever the reader stumbles over, the user's file is what has to change
        raise ConfigError(f"{path}: cannot be read ({' '.join(str(error).split())})") from error
    require(len(frame) > 0, f"{path}: has no rows")
    frame.columns = frame.columns.map(str)
    repeated = frame.columns[frame.columns.duplicated()]
    require(len(repeated) == 0, f"{path}: column '{repeated[0] if len(repeated) else ''}' stands there twice")
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    names = pd.read_csv(path, header=None, nrows=1, dtype=str, keep_default_na=False).iloc[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)  # rows that are longer than the header
        frame = pd.read_csv(path, index_col=False)
    # pandas calls a column that stands there twice x and x.1; here it keeps its name, to be refused.
    return frame.set_axis([name or given for name, given in zip(names, frame.columns, strict=True)], axis=1)


def _numbers(path: str, name: str, column: pd.Series) -> Array:
    import pandas as pd

    nonsense = ConfigError(f"{path}, column '{name}': not a column of numbers")
    if column.dtype.kind in "mM":  # dates and durations, which pandas would count in nanoseconds
        raise nonsense
    try:
        values = np.array(pd.to_numeric(column, errors="coerce"), dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise nonsense from error
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        row = int(bad[0])
        value = column.iloc[row]
        shown = repr(value) if isinstance(value, str) else str(value)
        raise ConfigError(
            f"{path}, column '{name}', row {row + 1}: {shown} is not a finite number ({len(bad)} of {len(values)} rows)"
        )
    return values


def _are_classes(y: Array) -> bool:
    return bool(len(y) >= 2 and np.isin(y, (0.0, 1.0)).all() and (y.sum(0) == 1).all())
