"""What lies between the minima: searches for saddles, block by block, and the tables of what they have found."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from basinet.analysis import unseen
from basinet.analysis.disconnectivity import NONE, disconnectivity
from basinet.analysis.euler import Euler, euler
from basinet.analysis.wording import percent
from basinet.foundation.outcomes import Kind
from basinet.foundation.stopwatch import Stopwatch
from basinet.pipeline import tables
from basinet.pipeline.blocks import Store, cut
from basinet.pipeline.critical_points import CriticalPoints, Known, critical_points
from basinet.pipeline.paths import paths
from basinet.pipeline.searches import Searches, search
from basinet.stages.landscape import Saddles
from basinet.stages.seek import Found
from basinet.study.study import Study

_BLOCK = 256  # searches; at 256, 512, 1024, … of them, what they have found is where others may begin

_FEWEST = 1024  # searches with searches=auto, before it is asked for the first time whether there are enough


@dataclass(frozen=True)
class Landscape:
    """What was found between the minima."""

    minima: pd.DataFrame  # those of restarts and their runs and, behind them, those that only searches reached
    saddles: pd.DataFrame  # one row per saddle, see `tables.saddles_table`
    paths: pd.DataFrame  # the loss on ways between two minima, see `paths`
    searches: int
    converged: int  # searches that have ended at a critical point
    coverage: float  # of searches that end at a saddle, the share that leads to those seen (Good–Turing)
    connected: bool  # whether the saddles of index 1 join all minima, symmetric copies being one
    euler: Euler | None  # only with indices=all

    @property
    def new_minima(self) -> int:
        """How many minima only searches have reached: those that only runs have visited are not among them."""
        return int((self.minima["restart"] < 0).sum())

    @property
    def sentence(self) -> str:
        """What was found, in words."""
        found = int((self.saddles["index"] == 1).sum())
        told = [
            f"{found:,} saddle{'s' if found != 1 else ''} of index 1 in {self.searches:,} searches "
            f"(coverage {percent(self.coverage)})",
            f"they {'join' if self.connected else 'do not join'} all minima",
        ]
        new = self.new_minima
        told += [f"{new:,} minim{'a' if new != 1 else 'um'} that only searches have reached"] if new else []
        if self.euler is not None:
            because = f" ({self.euler.reason})" if self.euler.reason else ""
            told += [f"Euler's sum {self.euler.total:g}: {self.euler.verdict.value}{because}"]
        return "; ".join(told)

    @property
    def metrics(self) -> dict[str, float]:
        """By the names that they have in MLflow."""
        numbers = {
            "landscape/saddles": float((self.saddles["index"] == 1).sum()),
            "landscape/searches": float(self.searches),
            "landscape/converged": float(self.converged),
            "landscape/coverage": self.coverage,
            "landscape/connected": float(self.connected),
            "landscape/new_minima": float(self.new_minima),
        }
        if self.euler is not None:
            numbers["landscape/euler"] = self.euler.total
        return numbers


def explore(
    study: Study, settings: Saddles, minima: pd.DataFrame, restarts: int, store: Store[Any], watch: Stopwatch
) -> Landscape:
    """Seek the saddles between the `minima` of so many restarts, and of their runs, until there are enough searches.

    Searches are numbered, and begin at what was known at the last of 256, 512, 1024, … of them: what one of them finds
    does not depend on how many there are in the end, nor on where a launch was interrupted.
    """
    known = _known(minima, study.network.size)
    kept = store.beside(f"searches-{_key(settings, known)}", Searches)
    with watch.stage("connect"):
        while (searches := _next(study, settings, known, kept)) is not None:
            begin = _begin(study, settings, known, kept.blocks(), _round(searches.start))
            kept.add(search(study, settings, begin, searches))
        blocks = [cut(block, settings.most) for block in kept.blocks() if block.searches.start < settings.most]
        return _summed_up(study, settings, minima, restarts, known, blocks)


def _known(minima: pd.DataFrame, size: int) -> Known:
    """The minima that restarts and their runs have reached, as searches need them."""
    rows = minima[minima["kind"] == "minimum"]
    if len(rows) == 0:
        return Known(np.zeros(0, np.int64), torch.zeros(0, size, dtype=torch.float64), np.zeros(0), np.zeros((0, 0)))
    theta = torch.from_numpy(np.stack(rows["parameters"].to_list()))
    signature = np.stack(rows["signature"].to_list())
    return Known(rows["minimum"].to_numpy(np.int64), theta, rows["loss"].to_numpy(np.float64), signature)


def _key(settings: Saddles, known: Known) -> str:
    """The same for searches of the same kind that begin from the same minima."""
    what = f"{settings.indices} {settings.steps}".encode()
    return hashlib.sha256(what + known.theta.numpy().tobytes()).hexdigest()[:16]


def _round(search: int) -> int:
    """The largest of 0, 256, 512, 1024, … that is not above the number of a search."""
    return 0 if search < _BLOCK else _BLOCK << ((search // _BLOCK).bit_length() - 1)


def _next(study: Study, settings: Saddles, known: Known, kept: Store[Searches]) -> range | None:
    """The searches to do next; None if all are there, or with `searches=auto` enough of them."""
    first = kept.finished()
    if first >= settings.most:
        return None
    is_asked = settings.searches == "auto" and first >= _FEWEST and first == _round(first)
    if is_asked and _enough(study, known, kept.blocks()):
        return None
    return range(first, min((first // _BLOCK + 1) * _BLOCK, settings.most))


def _enough(study: Study, known: Known, blocks: Sequence[Searches]) -> bool:
    """Boender and Rinnooy Kan's rule, with searches as restarts and saddles as minima.

    It is asked of the saddles of index 1, and of all of them where all are sought.
    """
    counts = critical_points(study, known, blocks).counts()
    return unseen.enough(len(counts), int(counts.sum()))


def _begin(study: Study, settings: Saddles, known: Known, blocks: Sequence[Searches], stop: int) -> Tensor:
    """What was known after the first `stop` searches, `[point, parameter]`: the minima, or all critical points."""
    before = [block for block in blocks if block.searches.stop <= stop]
    if not before:
        return known.theta
    found = critical_points(study, known, before)
    others = found.saddles.theta[torch.from_numpy(found.kind == Kind.SADDLE)]
    return torch.cat([known.theta, found.minima.theta, *([] if settings.indices == 1 else [others])])


def _summed_up(
    study: Study,
    settings: Saddles,
    minima: pd.DataFrame,
    restarts: int,
    known: Known,
    blocks: Sequence[Searches],
) -> Landscape:
    found: CriticalPoints = critical_points(study, known, blocks)
    exact = study.exact_objective
    whole = tables.with_new_minima(minima, found.minima, study, restarts)
    numbers = np.concatenate([known.number, np.arange(len(minima), len(whole))])
    saddles = tables.saddles_table(found, whole, numbers, exact)
    tree = disconnectivity(whole, saddles)
    smooth = bool(torch.isinf(exact.kink_distance(found.saddles.theta)).all())
    sum_ = None if settings.indices == 1 else euler(whole, saddles, coercive=exact.coercive, smooth=smooth)
    return Landscape(
        minima=whole,
        saddles=saddles,
        paths=paths(study, whole, saddles),
        searches=sum(len(block.searches) for block in blocks),
        converged=sum(int((block.outcome == Found.CONVERGED).sum()) for block in blocks),
        coverage=unseen.coverage(found.counts(index=1)).value,
        connected=int((tree["parent"] == NONE).sum()) == 1,
        euler=sum_,
    )
