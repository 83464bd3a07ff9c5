"""What kind of bottom a restart has reached: evidence first, the verdict second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from basinet.foundation.outcomes import Kind
from basinet.foundation.threads import single_threaded_operations
from basinet.linalg.lanczos import extreme_eigenvalues
from basinet.protocols import Engine, Objective
from basinet.stages.derivatives import Derivatives, norm
from basinet.stages.infinity import Receding
from basinet.stages.inward import look_inward
from basinet.stages.kinks import falls_nearby
from basinet.stages.modes import count_modes
from basinet.stages.newton import Outcome
from basinet.stages.polish import Polished, Polishing
from basinet.stages.tolerances import Tolerances


@dataclass(frozen=True)
class Evidence:
    """What verdicts are made of, one row per restart; float64 unless said otherwise."""

    diverged: Tensor  # [restart] bool
    converged: Tensor  # [restart] bool: polished until the gradient is at rounding level
    eigenvalues: Tensor  # [restart, parameter] of the Hessian, ascending; [restart, 2], its ends, for large networks
    explained_zero_modes: Tensor  # [restart] int64: zeros that continuous symmetries account for
    kink_distance: Tensor  # [restart], smallest |z| of a ReLU unit over all samples; inf without ReLU
    coercive: Tensor  # [restart] bool: penalties keep every bottom finite
    kink_falls: Tensor  # [restart], by how much f falls beside a kink that is near, relative to its scale
    moved: Tensor  # [restart], how far polishing has moved the restart, relative to 1 + ‖θ‖
    lowest: Tensor  # [restart] bool: f is at its lower bound
    settles: Tensor  # [restart] bool: the descent stays at a flat bottom, instead of wandering along it
    leaves: Tensor  # [restart], how far the descended point lies to the sides to which f falls from the polished one
    recedes: Tensor  # [restart] bool: the flow rests nowhere, and goes on until nothing is left of its slope
    remaining: Tensor  # [restart], by how much f still falls along the flow, relative to its scale; inf if it may leap
    grows: Tensor  # [restart], by which share ‖θ‖ grows in the last two decades of the flow's time


class Ended(NamedTuple):
    """How descents ended, one row per restart."""

    theta: Tensor  # [restart, parameter] float64
    diverged: Tensor  # [restart] bool
    settles: bool  # what the descent says of itself
    leaps: bool  # its steps are as long as a line search likes: it may yet go where no flow leads


def collect_evidence(
    objective: Objective, ended: Ended, polished: Polished, settings: Polishing, tolerances: Tolerances, engine: Engine
) -> Evidence:
    """The evidence about restarts that were polished after their descent had `ended`; `objective` is in float64."""
    diverged = ended.diverged
    descended = torch.where(diverged.unsqueeze(1), 0.0, ended.theta)  # what is said of these rows is not used
    theta = torch.where(diverged.unsqueeze(1), 0.0, polished.theta)
    f = Derivatives(objective, engine)
    spectrum = _spectrum(objective, theta, settings, engine)
    converged = (polished.outcome == Outcome.CONVERGED) & _resolved(objective, polished, tolerances)
    zero_modes = objective.symmetry.explained_zeros(theta)
    far = _far(f, replace(polished, theta=theta), spectrum, zero_modes, settings, tolerances)
    kink_distance = objective.kink_distance(theta)
    return Evidence(
        diverged=diverged,
        converged=converged,
        eigenvalues=spectrum.masked_fill(diverged.unsqueeze(1), torch.nan),
        explained_zero_modes=zero_modes,
        kink_distance=kink_distance,
        kink_falls=_kink_falls(f, theta, converged & (kink_distance <= tolerances.kink)),
        moved=norm(theta - descended) / (1 + norm(theta)),
        lowest=polished.loss - objective.lowest <= tolerances.lowest * objective.scale,
        coercive=torch.full_like(diverged, objective.coercive),
        settles=torch.full_like(diverged, ended.settles),
        leaves=_leaves(f, descended - theta, theta, converged & (spectrum[:, 0] < 0)),
        recedes=far.recedes,
        remaining=far.remaining.where(far.remaining <= tolerances.reached, torch.inf) if ended.leaps else far.remaining,
        grows=far.grows,
    )


def _far(
    f: Derivatives, polished: Polished, spectrum: Tensor, explained: Tensor, settings: Polishing, tolerances: Tolerances
) -> Receding:
    """What polishing has seen of the way to infinity, and of flat places what is seen from further in."""
    seen = Receding(polished.recedes, polished.remaining, polished.grows)
    asked = (polished.outcome != Outcome.SKIPPED) & torch.isfinite(spectrum).all(1)
    if f.objective.coercive or not bool(asked.any()):
        return seen
    zeros, _ = count_modes(spectrum.numpy(), tolerances)
    still = (polished.outcome == Outcome.CONVERGED) | (polished.remaining <= tolerances.flat)
    index = (asked & still & (torch.from_numpy(zeros) > explained)).nonzero().squeeze(1)
    if len(index) == 0:
        return seen
    found = look_inward(f, polished.theta[index], polished.loss[index], tolerances, settings.steps)
    told = found.recedes | ((found.remaining > tolerances.reached) & torch.isfinite(found.remaining))
    index = index[told]
    return Receding(*(mine.index_copy(0, index, theirs[told]) for mine, theirs in zip(seen, found, strict=True)))


def _resolved(objective: Objective, polished: Polished, tolerances: Tolerances) -> Tensor:
    """Whether θ is fine enough a grid to find a bottom on, `[restart]` bool.

    What rounding θ changes the gradient by counts as no gradient. Where a descent has thrown weights to 1e20, that
    hides slopes along which f falls by orders of magnitude: over a way as long as θ no more than a small share of f.
    """
    fall = polished.gradient_norm * (1 + torch.linalg.vector_norm(polished.theta, dim=1))
    resolved: Tensor = fall <= tolerances.remaining * (polished.loss - objective.lowest + objective.scale)
    return resolved


def _kink_falls(f: Derivatives, theta: Tensor, near: Tensor) -> Tensor:
    result = torch.zeros_like(theta[:, 0])
    result[near] = falls_nearby(f, theta[near]) / f.objective.scale
    return result


def _leaves(f: Derivatives, way: Tensor, theta: Tensor, falls: Tensor) -> Tensor:
    """The part of `way` along eigenvectors with λ < 0 at `theta`, relative to 1 + ‖θ‖; 0 where nothing `falls`.

    The flow multiplies it by e^(|λ| t): whoever lies to one of these sides by more than rounding leaves a saddle.
    """
    result = torch.zeros_like(way[:, 0])
    if not bool(falls.any()):
        return result
    values, vectors = f.eigenvectors(theta[falls])
    aside = (way[falls].unsqueeze(2) * vectors).sum(1)
    result[falls] = norm(aside.where(values < 0, 0.0)) / (1 + norm(theta[falls]))
    return result


def _spectrum(objective: Objective, theta: Tensor, settings: Polishing, engine: Engine) -> Tensor:
    """All eigenvalues of the Hessians `[restart, parameter]`, or the lowest and the highest `[restart, 2]`."""
    if objective.size <= settings.dense_max:
        with single_threaded_operations():
            return engine.eigenvalues(objective, theta)
    if settings.lanczos_steps == 0:
        return theta.new_full((theta.shape[0], 2), torch.nan)
    ends = extreme_eigenvalues(partial(engine.hvp, objective), theta, settings.lanczos_steps)
    return torch.stack([ends.lowest, ends.highest], 1)


def classify(evidence: Mapping[str, Any], tolerances: Tolerances) -> npt.NDArray[np.int8]:
    """The verdict about every restart: a pure function of the evidence, a `Kind` each.

    The spectrum decides where polishing has found the bottom that the gradient flow from the descended point leads to.
    A verdict is one about that flow, so that it holds for longer descents: a saddle is one only for restarts that rest
    on it, and what is not yet near its level at infinity is unfinished.

    Args:
        evidence: arrays by the names of `Evidence` (a DataFrame will do), `eigenvalues` as `[restart, parameter]`.
        tolerances: where the lines are drawn.

    Source: Frye et al. (2021), *Critical point-finding methods reveal gradient-flat regions of deep network losses*,
    for why a small gradient alone proves nothing.
    """
    column = {field.name: np.asarray(evidence[field.name]) for field in fields(Evidence) if field.name != "eigenvalues"}
    eigenvalues = np.array(list(evidence["eigenvalues"]), dtype=np.float64)  # a DataFrame has a list in each row
    zeros, negatives = count_modes(eigenvalues, tolerances)
    kinked = column["kink_distance"] <= tolerances.kink
    flat = zeros > column["explained_zero_modes"]
    decided = column["converged"] & np.isfinite(eigenvalues).all(1)
    decided &= (negatives == 0) | (column["leaves"] <= tolerances.leaves)
    # Beside a kink, and along a flat direction, there may be a way down that the flow has not met: then it matters how
    # near the descent has come, and whether it stays. Where f cannot be lower, it does not.
    stays = column["settles"] & (column["moved"] <= tolerances.moved) & (column["kink_falls"] <= tolerances.falls)
    decided &= column["lowest"] | stays | ~(flat | kinked)

    arrives = (column["remaining"] <= tolerances.remaining) & (column["grows"] > tolerances.growth)
    at_infinity = (flat | ~column["converged"]) & column["recedes"] & arrives & ~column["coercive"]
    kind = np.full(len(decided), int(Kind.UNFINISHED), dtype=np.int8)
    kind[decided] = Kind.MINIMUM
    kind[decided & flat] = Kind.DEGENERATE
    kind[decided & (negatives > 0)] = Kind.SADDLE
    kind[decided & (negatives == 0) & kinked] = Kind.KINK
    # f cannot be lower, whatever a Hessian says that sees one side of a kink only. Bottoms with f at its lower bound
    # are mostly sets, on which a longer descent ends elsewhere, on a kink or beside one: that must not tell them apart.
    kind[decided & kinked & column["lowest"]] = Kind.DEGENERATE
    kind[at_infinity] = Kind.AT_INFINITY
    kind[column["diverged"]] = Kind.DIVERGED
    return kind
