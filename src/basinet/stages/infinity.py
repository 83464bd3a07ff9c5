"""Whether a restart is on its way to infinity."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from basinet.protocols import Marched
from basinet.stages.derivatives import Derivatives, norm
from basinet.stages.march import march
from basinet.stages.tolerances import Tolerances

_FURTHER = 0.25  # of the way that a march has gone: a descent a hundred times as long does not get farther
_FAR_ON = 0.5  # likewise
_NOISE = 1e-14  # of eigenvalues, relative to the largest: rounding


class Receding(NamedTuple):
    """What the flow says about the way to infinity, one row per restart."""

    recedes: Tensor  # [restart] bool: the flow goes on until nothing is left of its slope
    remaining: Tensor  # [restart], by how much f falls on the way, relative to its scale
    grows: Tensor  # [restart], by which share ‖θ‖ grows in the last two decades of the flow's time


class _Way(NamedTuple):
    """Restarts whose own flow recedes, one row per restart."""

    f: Derivatives
    theta: Tensor  # [restart, parameter], from where
    end: Tensor  # [restart, parameter], to where
    before: Tensor  # [restart], f at theta
    level: Tensor  # [restart], f at the end
    tolerances: Tolerances
    steps: int  # of a march, at most

    def flow(self, start: Tensor) -> Marched:
        """Where the flow leads from other points, `[restart, parameter]`."""
        return march(self.f, start, self.tolerances, torch.zeros_like(self.before), self.steps)

    def at(self, share: float) -> Tensor:
        """The first point of the march that is so far from its beginning, as a share of the whole distance."""
        limit = share * norm(self.end - self.theta)
        return march(self.f, self.theta, self.tolerances, limit, self.steps, fall=0.0).theta


def recede(
    f: Derivatives, theta: Tensor, loss: Tensor, marched: Marched, tolerances: Tolerances, steps: int
) -> Receding:
    """Of restarts at `theta [restart, parameter]`, where f is `loss`, from which the flow has got to `marched`.

    What a longer descent would find has to be found already. So a flow from further on has to say the same, which in
    curved valleys takes more steps. And a level at infinity can be a saddle of sorts, which a restart that is not quite
    on its ridge leaves in the end: where f curves down, flows from both sides have to go on, too, and from further on
    they must not fall below the level. The least that all of them say counts.
    """
    result = _read(f, marched, loss)
    for witness in (_further_on, _from_both_sides, _from_both_sides_further_on):
        index = result.recedes.nonzero().squeeze(1)
        if len(index) == 0:
            break
        way = _Way(f, theta[index], marched.theta[index], loss[index], marched.loss[index], tolerances, steps)
        said = _worse(Receding(*(column[index] for column in result)), witness(way))
        result = Receding(*(mine.index_copy(0, index, theirs) for mine, theirs in zip(result, said, strict=True)))
    return result


def _further_on(way: _Way) -> Receding:
    return _read(way.f, way.flow(way.at(_FURTHER)), way.before)


def _from_both_sides(way: _Way) -> Receding:
    one, other = _sides(way.f, way.theta, way.tolerances)
    return _worse(_read(way.f, way.flow(one), way.before), _read(way.f, way.flow(other), way.before))


def _from_both_sides_further_on(way: _Way) -> Receding:
    """So far out that marches may get stuck: what they have not seen there is nothing against a restart."""
    stays = torch.ones_like(way.before, dtype=torch.bool)
    for side in _sides(way.f, way.at(_FAR_ON), way.tolerances):
        stays &= (way.level - way.flow(side).loss) / way.f.objective.scale <= way.tolerances.reached
    nothing = torch.zeros_like(way.before)
    return Receding(stays, nothing, nothing + torch.inf)


def _sides(f: Derivatives, theta: Tensor, tolerances: Tolerances) -> tuple[Tensor, Tensor]:
    """Points to both sides of θ along the eigenvector of the lowest λ, or θ itself where that is not negative.

    Far out whatever curves f fades, so that no curvature but rounding is too little.
    """
    values, vectors = f.eigenvectors(theta)
    curved = values[:, 0] < -_NOISE * values.abs().amax(1)
    aside = vectors[:, :, 0] * (tolerances.aside * (1 + norm(theta)) * curved).unsqueeze(1)
    return theta + aside, theta - aside


def _read(f: Derivatives, marched: Marched, before: Tensor) -> Receding:
    return Receding(marched.faded, (before - marched.loss).abs() / f.objective.scale, marched.grows)


def _worse(one: Receding, other: Receding) -> Receding:
    return Receding(
        one.recedes & other.recedes,
        torch.maximum(one.remaining, other.remaining),
        torch.minimum(one.grows, other.grows),
    )
