"""How losses and gradient norms are distributed over all restarts at every record of a descent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from basinet.foundation.quantiles import quantiles
from basinet.foundation.selection import Selection
from basinet.pipeline.blocks import Block
from basinet.stages.solution import Trajectory

_NAMES = ("loss", "gradient_norm")


def quantiles_table(blocks: Sequence[Block]) -> pd.DataFrame:
    """One row per record: quantiles over all restarts that have not diverged, and how many of them there are.

    Where restarts make steps of their own, `step` is the median of how many they have made, and `time` is the record's.
    """
    every = [block.solution.trajectory for block in blocks]
    rows = []
    for record, mark in enumerate(every[0].step.tolist()):
        row: dict[str, float] = {"record": record, "step": mark}
        if every[0].steps is not None:
            made = np.concatenate([_steps(trajectory, record) for trajectory in every])
            row |= {"step": int(np.median(made)), "time": mark}
        for name in _NAMES:
            values = np.concatenate([_values(trajectory, name, record) for trajectory in every])
            row |= _told(name, len(values), quantiles(values))
        rows.append(row)
    return _table(rows)


class RecordQuantiles:
    """The same table to the bit, of blocks that are gone through twice and not held (`Selection`)."""

    def __init__(self) -> None:
        self._marks: list[float] = []
        self._found: dict[str, Selection] = {}
        self._made: Selection | None = None

    def watching(self, blocks: Iterable[Block], *, again: bool) -> Iterator[Block]:
        """The same blocks, which are looked at on their way; when all have gone by, all of them have to `again`."""
        for block in blocks:
            self._look(block.solution.trajectory, again=again)
            yield block

    def table(self) -> pd.DataFrame:
        """What `quantiles_table` makes of all blocks."""
        rows = []
        for record, mark in enumerate(self._marks):
            row: dict[str, float] = {"record": record, "step": mark}
            if self._made is not None:
                row |= {"step": int(self._made.quantiles(record, np.int32)["median"]), "time": mark}
            for name, selection in self._found.items():
                row |= _told(name, selection.count(record), selection.quantiles(record))
            rows.append(row)
        return _table(rows)

    def _look(self, trajectory: Trajectory, *, again: bool) -> None:
        if not self._found:
            self._marks = trajectory.step.tolist()
            self._found = {name: Selection(len(self._marks)) for name in _NAMES}
            self._made = None if trajectory.steps is None else Selection(len(self._marks), ("median",))
        for record in range(len(self._marks)):
            for name, selection in self._found.items():
                selection.look(record, _values(trajectory, name, record), again=again)
            if self._made is not None:
                self._made.look(record, _steps(trajectory, record), again=again)


def _values(trajectory: Trajectory, name: str, record: int) -> npt.NDArray[np.float32]:
    """Of the restarts that have not diverged by a record."""
    values: npt.NDArray[np.float32] = getattr(trajectory, name)[record].numpy()
    return values[~np.isnan(values)]


def _steps(trajectory: Trajectory, record: int) -> npt.NDArray[np.int32]:
    if trajectory.steps is None:
        raise ValueError("blocks of one study have the same columns")
    steps: npt.NDArray[np.int32] = trajectory.steps[record].numpy()
    return steps


def _told(name: str, restarts: int, told: dict[str, float]) -> dict[str, float]:
    return {"restarts": restarts, **{f"{name}_{key}": value for key, value in told.items()}}


def _table(rows: list[dict[str, float]]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"record": np.int32})
