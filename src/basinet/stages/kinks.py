"""Whether a point on a kink is a bottom: its gradient and Hessian know one side of the kink only."""

from __future__ import annotations

import torch
from torch import Tensor

from basinet.stages.derivatives import Derivatives

_RADIUS = 1e-5  # relative to 1 + ‖θ‖: wider than the distance at which a kink is near


def falls_nearby(f: Derivatives, theta: Tensor) -> Tensor:
    """By how much f falls, at least, within 2e-5 (1 + ‖θ‖) of each `theta [restart, parameter]`, `[restart]`; ≥ 0.

    From the points ± ρ e_i around θ, which lie on all sides of kinks nearby, one step of length ρ is taken along each
    one's own -∇f. At a bottom, smooth or not, nothing of that lowers f by more than rounding.

    Source: the gradients around a point as what tells of a kink are those of Burke, Lewis & Overton (2005), *A robust
    gradient sampling algorithm for nonsmooth, nonconvex optimization*.
    """
    return torch.cat([_falls(f, row) for row in theta]) if len(theta) else theta.new_zeros(0)


def _falls(f: Derivatives, theta: Tensor) -> Tensor:
    radius = _RADIUS * (1 + torch.linalg.vector_norm(theta))
    sides = torch.eye(len(theta), dtype=theta.dtype) * radius
    around = torch.cat([theta.unsqueeze(0), theta + sides, theta - sides])
    loss, gradient = f.loss_and_gradient(around)
    length = torch.linalg.vector_norm(gradient, dim=1, keepdim=True).clamp(min=torch.finfo(theta.dtype).tiny)
    below, _ = f.loss_and_gradient(around - gradient * (radius / length))
    lowest = torch.minimum(loss.nan_to_num(torch.inf), below.nan_to_num(torch.inf)).min()
    return (loss[0] - lowest).clamp(min=0).unsqueeze(0)
