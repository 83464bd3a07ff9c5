"""Quantiles of values that come in by and by, twice: exact, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from basinet.foundation.quantiles import QUANTILES

_LOW = 14  # bits of a key that are counted when values come in again: so both counts take about as much memory
_COARSE, _FINE = 1 << (32 - _LOW), 1 << _LOW
Keys = npt.NDArray[np.uint32]


class Selection:
    """Of several columns of numbers of 32 bits (`float32`, `int32`) the values at the ranks that quantiles ask for.

    A number is an integer of 32 bits in the same order. At first it is counted how many values begin with the same 18
    bits, which says how those at a wanted rank begin; then, among these, the last 14 bits are. This is radix selection:
    1 MB for a column, and 64 kB for each beginning that is wanted.

    Source: Knuth, *The Art of Computer Programming*, vol. 3, 5.2.5, of sorting by digits, the highest first.
    """

    def __init__(self, columns: int, names: Iterable[str] = tuple(QUANTILES)) -> None:
        self._names = tuple(names)
        self._coarse = np.zeros((columns, _COARSE), dtype=np.uint32)
        self._fine: dict[int, dict[int, npt.NDArray[np.uint32]]] = {}

    def look(self, column: int, values: npt.NDArray[np.float32 | np.int32], *, again: bool) -> None:
        """Count values of a column, none of them NaN; and all of them `again`, when each has been looked at once."""
        keys = _keys(values)
        begins = keys >> _LOW
        if not again:
            self._coarse[column] += np.bincount(begins, minlength=_COARSE).astype(np.uint32)
            return
        wanted = self._wanted(column)
        for begin in wanted:
            wanted[begin] += np.bincount(keys[begins == begin] & (_FINE - 1), minlength=_FINE).astype(np.uint32)

    def count(self, column: int) -> int:
        """How many values there are."""
        return int(self._coarse[column].sum(dtype=np.int64))

    def quantiles(self, column: int, like: type[np.generic] = np.float32) -> dict[str, float]:
        """As `quantiles.quantiles` of all values at once, to the bit; `like` is their type."""
        if self.count(column) == 0:
            return dict.fromkeys(self._names, np.nan)
        ends = np.cumsum(self._coarse[column], dtype=np.int64)
        return {name: self._at(column, ends, QUANTILES[name], like) for name in self._names}

    def _wanted(self, column: int) -> dict[int, npt.NDArray[np.uint32]]:
        """Counts of the last bits for every beginning of a value at a rank that is asked for."""
        if column not in self._fine:
            ends = np.cumsum(self._coarse[column], dtype=np.int64)
            shares = [QUANTILES[name] for name in self._names if ends[-1] > 0]
            ranks = [rank for share in shares for rank in _ranks(int(ends[-1]), share)[:2]]
            begins = np.unique(np.searchsorted(ends, ranks, side="right"))
            self._fine[column] = {int(begin): np.zeros(_FINE, dtype=np.uint32) for begin in begins}
        return self._fine[column]

    def _at(self, column: int, ends: npt.NDArray[np.int64], share: float, like: type[np.generic]) -> float:
        low, high, between = _ranks(int(ends[-1]), share)
        values = _values(np.array([self._key(column, ends, low), self._key(column, ends, high)], np.uint32), like)
        return float(np.quantile(values.astype(np.float64), between))

    def _key(self, column: int, ends: npt.NDArray[np.int64], rank: int) -> int:
        begin = int(np.searchsorted(ends, rank, side="right"))
        counts = self._fine[column][begin]
        within = rank - (int(ends[begin]) - int(self._coarse[column][begin]))
        return (begin << _LOW) + int(np.searchsorted(np.cumsum(counts, dtype=np.int64), within, side="right"))


def _ranks(count: int, share: float) -> tuple[int, int, float]:
    """Between which two of `count` sorted values a quantile lies, and where between them: as numpy interpolates."""
    place = (count - 1) * share
    low = int(np.floor(place))
    return low, min(low + 1, count - 1), place - low


def _keys(values: npt.NDArray[np.float32 | np.int32]) -> Keys:
    """Integers in the order of the values."""
    sign = np.uint32(1 << 31)
    if values.dtype == np.int32:
        return np.ascontiguousarray(values).view(np.uint32) ^ sign
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    return np.where(bits & sign, ~bits, bits | sign)


def _values(keys: Keys, like: type[np.generic]) -> npt.NDArray[np.float32 | np.int32]:
    sign = np.uint32(1 << 31)
    if like is np.int32:
        return (keys ^ sign).view(np.int32)
    return np.where(keys & sign, keys & ~sign, ~keys).astype(np.uint32).view(np.float32)
