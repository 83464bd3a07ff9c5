"""The table of visits: which bottoms runs came to, one after the other, and what they had spent by then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from basinet.pipeline.blocks import Block
from basinet.pipeline.tables import Examined, column, examined, life_of
from basinet.stages.merge import Minima


def visits_table(blocks: list[Block], found: Minima) -> pd.DataFrame | None:
    """One row per visit of a run to a bottom, in the order of runs and rounds; None where there are no runs.

    `loss` is that of the minimum where the bottom has one, and else where the descent ended (`loss_descended`); `best`
    the lowest so far; `spent` what the run has spent in the end, at this visit and later.
    """
    if blocks[0].life is None:
        return None
    first = sum(len(block.restarts) for block in blocks)  # row of the first bottom of the block
    parts = []
    for block in blocks:
        visits, bottoms = block.visits, block.bottoms
        if visits is None or bottoms is None:
            raise ValueError("a block of runs has their visits")
        restart, bottom = visits.restart.numpy(), visits.bottom.numpy()
        row = np.where(visits.round.numpy() == 0, restart, np.where(bottom < 0, -1, first + bottom))
        first += len(bottoms.restart)
        parts.append(
            pd.DataFrame(
                {
                    "restart": restart,
                    "round": visits.round.numpy(),
                    "gradients": visits.gradients.numpy(),
                    "row": row,
                    "loss_descended": visits.loss.numpy(),
                    "accepted": visits.accepted.numpy(),
                    "spent": life_of(block).spent.numpy()[restart - block.restarts.start],
                }
            )
        )
    return _named(pd.concat(parts, ignore_index=True), examined(blocks), found)


def _named(visits: pd.DataFrame, rows: Sequence[Examined], found: Minima) -> pd.DataFrame:
    """Visits with the minima that they are to, given the `row` of what was examined."""
    polished = column(rows, lambda part: part.polished.loss)
    row = visits.pop("row").to_numpy()
    minimum = np.where(row < 0, -1, found.minimum[row])
    named = np.append(polished[found.representative], np.nan)[minimum]  # -1: the last
    loss = np.where(minimum < 0, visits["loss_descended"], named)
    best = pd.Series(loss).groupby(visits["restart"].to_numpy()).cummin().to_numpy()
    made = visits.assign(loss=loss, best=best, minimum=minimum)
    names = ["restart", "round", "gradients", "loss", "accepted", "best", "minimum", "loss_descended", "spent"]
    return made[names]
