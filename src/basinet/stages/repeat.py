"""Whether a more exact descent ends somewhere else."""

from __future__ import annotations

import torch
from torch import Tensor

from basinet.stages.derivatives import norm
from basinet.stages.newton import Outcome
from basinet.stages.polish import Polished

_APART = 1e-6  # relative to 1 + ‖θ‖: polished points that are farther from each other are two


def elsewhere(ended: Polished, again: Polished) -> Tensor:
    """Which restarts have come to rest at another point the second time, `[restart]` bool.

    The start is the same, so no symmetry has to be undone. Of a restart that did not come to rest both times, nothing
    is said; along a flat bottom, another point is the next one.
    """
    rest = (ended.outcome == Outcome.CONVERGED) & (again.outcome == Outcome.CONVERGED)
    apart: Tensor = norm(ended.theta - again.theta) > _APART * (1 + torch.maximum(norm(ended.theta), norm(again.theta)))
    return rest & apart
