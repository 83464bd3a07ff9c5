"""The table of visits: which bottoms runs came to, one after the other, and what they had spent by then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from basinet.pipeline.blocks import Block
from basinet.pipeline.survey import Verdicts
from basinet.pipeline.tables import life_of


def visits_table(
    blocks: list[Block], verdicts: Sequence[Verdicts], losses: npt.NDArray[np.float64]
) -> pd.DataFrame | None:
    """One row per visit of a run to a bottom, in the order of runs and rounds; None where there are no runs.

    `loss` is that of the minimum where the bottom has one, and else where the descent ended (`loss_descended`); `best`
    the lowest so far; `spent` what the run has spent in the end, at this visit and later.

    Args:
        blocks: of whole runs.
        verdicts: at which minima they are, block by block.
        losses: of the minima, `[minimum]`.
    """
    if blocks[0].life is None:
        return None
    parts = [_visits_of(block, mine) for block, mine in zip(blocks, verdicts, strict=True)]
    visits = pd.concat(parts, ignore_index=True)
    minimum = visits["minimum"].to_numpy()
    loss = np.where(minimum < 0, visits["loss_descended"], np.append(losses, np.nan)[minimum])  # -1: the last
    best = pd.Series(loss).groupby(visits["restart"].to_numpy()).cummin().to_numpy()
    names = ["restart", "round", "gradients", "loss", "accepted", "best", "minimum", "loss_descended", "spent"]
    return visits.assign(loss=loss, best=best)[names]


def _visits_of(block: Block, verdicts: Verdicts) -> pd.DataFrame:
    visits, bottoms = block.visits, block.bottoms
    if visits is None or bottoms is None:
        raise ValueError("a block of runs has their visits")
    restart, bottom = visits.restart.numpy(), visits.bottom.numpy()
    mine = restart - block.restarts.start
    own, visited = verdicts.minimum[mine], np.append(verdicts.beside, -1)[bottom]  # of no bottom, -1: the last
    return pd.DataFrame(
        {
            "restart": restart,
            "round": visits.round.numpy(),
            "gradients": visits.gradients.numpy(),
            "loss_descended": visits.loss.numpy(),
            "accepted": visits.accepted.numpy(),
            "spent": life_of(block).spent.numpy()[mine],
            "minimum": np.where(visits.round.numpy() == 0, own, visited),
        }
    )
