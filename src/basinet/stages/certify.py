"""What kind of bottom a restart has reached: evidence first, the verdict second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from basinet.foundation.outcomes import Kind, Status
from basinet.foundation.threads import single_threaded_operations
from basinet.linalg.eigen import eigenvalues
from basinet.linalg.lanczos import extreme_eigenvalues
from basinet.protocols import Engine, Objective
from basinet.stages.polish import Outcome, Polished, Polishing
from basinet.stages.solution import Solution
from basinet.stages.tolerances import Tolerances

_HESSIANS = 4096  # made at a time


@dataclass(frozen=True)
class Evidence:
    """What verdicts are made of, one row per restart; float64 unless said otherwise."""

    diverged: Tensor  # [restart] bool
    converged: Tensor  # [restart] bool: polished until the gradient is at rounding level
    eigenvalues: Tensor  # [restart, parameter] of the Hessian, ascending; [restart, 2], its ends, for large networks
    explained_zero_modes: Tensor  # [restart] int64: zeros that continuous symmetries account for
    kink_distance: Tensor  # [restart], smallest |z| of a ReLU unit over all samples; inf without ReLU
    coercive: Tensor  # [restart] bool: penalties keep every bottom finite
    rests_beyond: Tensor  # [restart] bool: Newton comes to rest somewhat beyond the radius of polishing
    outward: Tensor  # [restart], cosine of θ and the larger of: -∇f where the descent ended, the way that Newton went
    slope: Tensor  # [restart], ‖∇f‖ (1 + ‖θ‖) / f's scale: the smaller of the two places
    norm_growth: Tensor  # [restart], by which share ‖θ‖ grew in the last decade of the restart's steps
    loss_fall: Tensor  # [restart], by how much f fell in that decade


def collect_evidence(
    objective: Objective, solution: Solution, polished: Polished, settings: Polishing, engine: Engine
) -> Evidence:
    """The evidence about restarts that ended their descent at `solution` and were then polished.

    `objective` is in float64.
    """
    diverged = solution.status == Status.DIVERGED
    theta = torch.where(diverged.unsqueeze(1), 0.0, polished.theta)  # what is said of these rows is not used
    growth, fall = _last_decade(solution)
    reach = 1 + torch.linalg.vector_norm(solution.theta.double(), dim=1)
    gradient_norm = solution.gradient_norm.double()
    return Evidence(
        diverged=diverged,
        converged=polished.outcome == Outcome.CONVERGED,
        eigenvalues=_spectrum(objective, theta, settings, engine).masked_fill(diverged.unsqueeze(1), torch.nan),
        explained_zero_modes=objective.symmetry.explained_zeros(theta),
        kink_distance=objective.kink_distance(theta),
        coercive=torch.full_like(diverged, objective.coercive),
        rests_beyond=polished.rests_beyond,
        outward=_unsigned(torch.maximum(polished.outward, polished.outward_descended)),
        slope=_unsigned(torch.minimum(gradient_norm, polished.gradient_norm_reached) * reach / objective.scale),
        norm_growth=growth,
        loss_fall=fall,
    )


def _spectrum(objective: Objective, theta: Tensor, settings: Polishing, engine: Engine) -> Tensor:
    """All eigenvalues of the Hessians `[restart, parameter]`, or the lowest and the highest `[restart, 2]`."""
    if objective.size <= settings.dense_max:
        with single_threaded_operations():
            hessians = (engine.hessian(objective, part) for part in theta.split(_HESSIANS))
            return torch.cat([eigenvalues(hessian, engine.threads) for hessian in hessians])
    if settings.lanczos_steps == 0:
        return theta.new_full((theta.shape[0], 2), torch.nan)
    ends = extreme_eigenvalues(partial(engine.hvp, objective), theta, settings.lanczos_steps)
    return torch.stack([ends.lowest, ends.highest], 1)


def _unsigned(values: Tensor) -> Tensor:
    """The same with one zero and one NaN: which of two a maximum is made of differs at the end of a tensor."""
    return torch.where(values.isnan(), torch.nan, values + 0.0)


def _last_decade(solution: Solution) -> tuple[Tensor, Tensor]:
    """Growth of ‖θ‖ and fall of f between the last tenth of a restart's steps and its end, `[restart]` each."""
    trajectory = solution.trajectory
    assert trajectory.parameter_norm is not None  # a block, which has lost them, has its verdicts
    step = trajectory.step.to(torch.float64)
    earlier = torch.searchsorted(step, solution.steps.to(torch.float64) / 10, right=True).sub_(1).clamp_(min=0)
    earlier = earlier.unsqueeze(0)
    norm, loss = trajectory.parameter_norm.double(), trajectory.loss.double()
    norm_then, loss_then = norm.gather(0, earlier).squeeze(0), loss.gather(0, earlier).squeeze(0)
    growth = norm[-1] / norm_then.clamp(min=torch.finfo(torch.float64).tiny) - 1
    return growth, loss_then - loss[-1]


def classify(evidence: Mapping[str, Any], tolerances: Tolerances) -> npt.NDArray[np.int8]:
    """The verdict about every restart: a pure function of the evidence, a `Kind` each.

    Where polishing reached rounding level, the spectrum decides. Where it did not, the descent's own behaviour does,
    before any eigenvalue is looked at: a point on its way to infinity has zeros in its spectrum that mean nothing.

    Args:
        evidence: arrays by the names of `Evidence` (a DataFrame will do), `eigenvalues` as `[restart, parameter]`.
        tolerances: where the lines are drawn.

    Source: Frye et al. (2021), *Critical point-finding methods reveal gradient-flat regions of deep network losses*,
    for why a small gradient alone proves nothing.
    """
    column = {field.name: np.asarray(evidence[field.name]) for field in fields(Evidence) if field.name != "eigenvalues"}
    eigenvalues = np.array(list(evidence["eigenvalues"]), dtype=np.float64)  # a DataFrame has a list in each row
    decided = column["converged"] & np.isfinite(eigenvalues).all(1)
    zeros, negatives = count_modes(eigenvalues, tolerances)

    grows = (column["outward"] > tolerances.outward) & (column["norm_growth"] > tolerances.growth)
    falls = (column["loss_fall"] > tolerances.fall) & (column["slope"] <= tolerances.slope)
    at_infinity = grows & falls & ~column["coercive"] & ~column["rests_beyond"]
    kind = np.full(len(decided), int(Kind.UNFINISHED), dtype=np.int8)
    kind[column["kink_distance"] <= tolerances.kink] = Kind.KINK
    kind[at_infinity] = Kind.AT_INFINITY
    kind[decided] = Kind.MINIMUM
    kind[decided & (zeros > column["explained_zero_modes"])] = Kind.DEGENERATE
    kind[decided & (negatives > 0)] = Kind.SADDLE
    kind[decided & (negatives == 0) & (column["kink_distance"] <= tolerances.kink)] = Kind.KINK
    kind[column["diverged"]] = Kind.DIVERGED
    return kind


def count_modes(
    eigenvalues: npt.NDArray[np.float64], tolerances: Tolerances
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """How many eigenvalues of each restart are zero, and how many negative, `[restart]` each.

    Zero is relative to the spectrum (there are true minima with λ_min = 4e-5) with an absolute floor.
    """
    size = np.abs(np.nan_to_num(eigenvalues)).max(axis=1, initial=0.0)
    line = np.maximum(tolerances.zero * size, tolerances.floor)[:, None]
    return (np.abs(eigenvalues) <= line).sum(1), (eigenvalues < -line).sum(1)
