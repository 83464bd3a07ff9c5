"""Steps along a gradient flow that are explicit until it is stiff, and linearly implicit while it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from basinet.descents import dormand_prince, rosenbrock
from basinet.descents.dormand_prince import DormandPrince
from basinet.descents.rosenbrock import Rosenbrock
from basinet.descents.trial import Method, Settled, Trial
from basinet.protocols import Function

METHODS: tuple[Method, Method] = (DormandPrince(), Rosenbrock())
EXPLICIT, IMPLICIT = 0, 1  # their places

REMEMBERED = 3  # numbers: the method of the next step, steps at the limit so far, returns so far, as `WAIT` has them

LIMITED = 3.0
"""h λ from which an explicit step may be limited by its stability; that ends at some 6."""

REACH = 6.0
"""h λ of an explicit step at the most."""

WAIT = 8.0
"""Steps in a row that are limited so, before a linearly implicit one is tried; as many more after each return …"""

LONGEST_WAIT = 256.0  # … but no more


def worth(size: int) -> float:
    """h ‖H‖ from which one linearly implicit step, with so many parameters, is cheaper than explicit ones as far.

    A Hessian counts P / 4 gradients here, as measured with many samples (docs/performance.md): with few, everything is
    cheap.
    """
    return REACH * (len(rosenbrock.C) + 1 + size / 4) / dormand_prince.COST


@dataclass(frozen=True)
class Switching:
    """Each restart by the method that is cheaper where it is: `DormandPrince`, or `Rosenbrock`.

    An explicit step takes twelve gradients, however many parameters there are, and is limited by h λ < 6; a linearly
    implicit one takes a Hessian, which costs P / 4 to P / 2, and is limited by its error only. So a restart begins with
    explicit steps, and goes over to implicit ones when its last steps were all limited by stability and there is a way
    left that is worth it. It returns when the step that the error allows is not. After a return it waits twice as long,
    so that trying costs no more than a part of what the explicit steps do.

    Where ∇f is as small as at a bottom, steps are implicit: they foretell how far there is still to go.

    After: Petzold (1983), *Automatic selection of methods for solving stiff and nonstiff systems of ordinary
    differential equations*, SIAM J. Sci. Stat. Comput. 4, 136–148.
    """

    def remembers(self, size: int) -> int:
        return REMEMBERED

    def numbers(self, size: int) -> int:
        return max(method.numbers(size) for method in METHODS)

    def attempt(
        self, f: Function, theta: Tensor, gradient: Tensor, wanted: Tensor, left: Tensor, kept: Tensor
    ) -> Trial:
        given, tried = (theta, gradient, wanted, left, kept), []
        for place, method in enumerate(METHODS):
            rows = (kept[:, 0] == place).nonzero().squeeze(1)
            if len(rows) > 0:
                tried.append((rows, method.attempt(f, *(tensor.index_select(0, rows) for tensor in given))))
        return _merged(tried)

    def settle(self, trial: Trial, wanted: Tensor, left: Tensor, near: Tensor) -> Settled:
        method, limited, waits = trial.remembered.unbind(1)
        implicit, least = method == IMPLICIT, worth(trial.theta.shape[1])
        limited = torch.where(~implicit & (trial.step * trial.size >= LIMITED), limited + 1, 0.0)
        leaves = (limited >= WAIT + waits) & (left * trial.size >= least)
        returns = implicit & ~near & (wanted * trial.size < least)
        stiff = near | torch.where(implicit, ~returns, leaves)
        longer = torch.where(~implicit & ~near & leaves, torch.maximum(wanted, least / trial.size), wanted)
        wanted = torch.where(returns, torch.minimum(wanted, LIMITED / trial.size), longer)
        waits = torch.where(returns, (2 * waits + WAIT).clamp(max=LONGEST_WAIT), waits)
        return Settled(wanted, torch.stack([stiff.to(limited.dtype), limited, waits], dim=1))


def _merged(parts: list[tuple[Tensor, Trial]]) -> Trial:
    """Trials of some rows each as one of them all, in order."""
    order = torch.cat([rows for rows, _ in parts]).argsort()
    columns = zip(*(trial for _, trial in parts), strict=True)
    return Trial(*(torch.cat(column).index_select(0, order) for column in columns))
