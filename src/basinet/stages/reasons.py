"""Why a restart is unfinished, so that it can be said what would have to be different."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from basinet.foundation.outcomes import Kind, Reason
from basinet.stages.newton import Outcome
from basinet.stages.tolerances import Tolerances


def reasons(
    kind: npt.NDArray[np.int8], outcome: npt.NDArray[np.int8], evidence: Mapping[str, Any], tolerances: Tolerances
) -> npt.NDArray[np.int8]:
    """The `Reason` of every restart that is unfinished, -1 of the others, `[restart]`.

    Args:
        kind: the verdicts, `[restart]`.
        outcome: how polishing has ended, `[restart]`, an `Outcome` each.
        evidence: what the verdicts were made of, arrays by the names of `Evidence`.
        tolerances: where their lines were drawn.
    """
    converged = outcome == Outcome.CONVERGED
    # A descent that does not settle is to blame only where it has come as near as one that does would have to.
    near = evidence["moved"] <= tolerances.moved
    wanders = converged & ~evidence["settles"] & near
    # On a flow that recedes, or past a ridge, or at the end of a long way, what is missing is a longer descent.
    early = (converged & ~wanders) | (~converged & evidence["recedes"])
    why = np.full(len(kind), int(Reason.STALLED), dtype=np.int8)
    why[outcome == Outcome.LEFT_RADIUS] = Reason.FAR
    why[early] = Reason.EARLY
    why[wanders] = Reason.WANDERS
    why[outcome == Outcome.SKIPPED] = Reason.UNPOLISHED
    return np.where(kind == Kind.UNFINISHED, why, np.int8(-1)).astype(np.int8)
