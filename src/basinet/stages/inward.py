"""Whether a place that is flat to rounding is the far end of a way to infinity."""

from __future__ import annotations

import torch
from torch import Tensor

from basinet.stages.derivatives import Derivatives
from basinet.stages.infinity import Receding
from basinet.stages.march import march
from basinet.stages.tolerances import Tolerances

_SHARES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7)  # of the way back, the first that f tells from none
_TOLD = (1e-8, 1e-6)  # by which f has to be higher there, relative to its scale: two places that are asked


def look_inward(f: Derivatives, theta: Tensor, loss: Tensor, tolerances: Tolerances, steps: int) -> Receding:
    """Of flat places `theta [restart, parameter]`, where f is `loss`: do flows from further in lead past them?

    Out where units are saturated, rounding is all that is left of the slope, so that nothing there tells a bottom from
    the way to infinity. So a restart is taken back along what is flat, -N Nᵀ θ with the eigenvectors N of λ = 0, until
    f is clearly higher, and the flow from there is followed: to a rest, or past where the restart has been, and on.
    Where it ends lower, the place is at no level: `remaining` says by how much.
    """
    outward = _outward(f, theta, tolerances)
    past, lower = torch.zeros_like(loss, dtype=torch.bool), torch.zeros_like(loss)
    remaining, grows = torch.full_like(loss, torch.inf), torch.zeros_like(loss)
    for told in _TOLD:
        row, point = _way_back(f, theta, loss + told * f.objective.scale, outward)
        if len(row) == 0:
            continue
        marched = march(f, point, tolerances, torch.zeros_like(loss[row]), steps)
        below = (loss[row] - marched.loss) / f.objective.scale
        lower[row] = torch.maximum(lower[row], below)
        there = row[marched.faded & (below.abs() <= tolerances.reached)]
        past[there], remaining[there] = True, 0.0
        grows[row] = torch.maximum(grows[row], marched.grows)
    falls = lower > tolerances.reached
    return Receding(past & ~falls, torch.where(falls, lower, remaining), grows)


def _outward(f: Derivatives, theta: Tensor, tolerances: Tolerances) -> Tensor:
    """N Nᵀ θ, `[restart, parameter]`."""
    values, vectors = f.eigenvectors(theta)
    size = values.abs().amax(1, keepdim=True)
    flat = values.abs() <= torch.maximum(tolerances.zero * size, torch.full_like(size, tolerances.floor))
    along = (theta.unsqueeze(2) * vectors).sum(1).where(flat, 0.0)
    return (vectors * along.unsqueeze(1)).sum(2)


def _way_back(f: Derivatives, theta: Tensor, above: Tensor, outward: Tensor) -> tuple[Tensor, Tensor]:
    """The restarts for which f is `above [restart]` at points further in, and the first of these, each."""
    point, seen = theta.clone(), torch.zeros_like(above, dtype=torch.bool)
    for share in _SHARES:
        back = theta - share * outward
        told = ~seen & (f.objective.loss(back) >= above)
        point[told] = back[told]
        seen |= told
    row = seen.nonzero().squeeze(1)
    return row, point[row]
