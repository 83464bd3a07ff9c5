"""The gradient flow, followed with error control."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from basinet.descents.chebyshev import Chebyshev
from basinet.descents.horizon import Horizon
from basinet.descents.rosenbrock import Rosenbrock
from basinet.descents.switching import Switching
from basinet.descents.trial import Method, Trial
from basinet.foundation.errors import ConfigError, require
from basinet.foundation.outcomes import Status
from basinet.protocols import Function, Memory, State

METHODS: dict[str, Method] = {"rosenbrock": Rosenbrock(), "switching": Switching(), "chebyshev": Chebyshev()}
SMALL = 64
"""Parameters up to which a Hessian costs so little that every step may take one (docs/performance.md)."""

RISE = 1e-13
"""Relative to f: rounding; by more it does not rise."""

NOISE = 1e-14
"""‖∇f‖ relative to ‖H‖ (1 + ‖θ‖): rounding of θ."""

GROWTHS = [2.0 ** (k / 8) for k in range(-16, 25)]
"""By what h may change: a table, so that no rounding of a power decides, and every engine has the same."""

HIGHEST = 8  # order of an estimated error
SAFETY = 0.9  # of the change that would bring the error to what is allowed
AFTER_REFUSAL = 0.5  # h grows by this at most when a step was refused
NOWHERE = 0.25  # … and by this where there was no step at all

PATIENCE = 300
"""Steps without progress, refused ones included, after which a restart is stuck: it slides along a kink."""

LATER = 1.01  # progress is a time that is later by this factor …
LOWER = 1e-4  # … or a loss that is lower by this part of it


@dataclass(frozen=True)
class GradientFlow:
    """θ' = -∇f(θ), each restart with steps of its own, so that every parameter's error of a step is within
    atol + rtol |θ_i|.

    A step that raises f beyond rounding is refused. A restart has arrived when ‖∇f‖ ≤ tolerance and the way that is
    left, as it is foretold, is within rtol (1 + ‖θ‖). So it ends in the minimum whose basin it started in.

    Of few parameters every step is linearly implicit (`Rosenbrock`), of more where the flow is stiff (`Switching`);
    where no Hessian can be made as a whole, none is (`Chebyshev`).
    """

    budget: Horizon
    rtol: float
    atol: float
    method: Literal["rosenbrock", "switching", "chebyshev"] | None
    repeat: bool

    settles = True

    def __post_init__(self) -> None:
        require(0 < self.rtol < 1, f"descent.rtol={self.rtol:g}: must be positive and below 1")
        require(0 < self.atol < float("inf"), f"descent.atol={self.atol:g}: must be positive")

    def init(self, theta: Tensor) -> Memory:
        control = _Control.begin(theta)
        return torch.stack(control, dim=1), theta.new_zeros(theta.shape[0], self._steps.remembers(theta.shape[1]))

    def rests(self, gradient_norm: Tensor) -> Tensor:
        return gradient_norm == 0  # however small it is, a start may be on its way down a long slope

    def numbers(self, size: int) -> int:
        return self._steps.numbers(size)

    def advance(self, f: Function, state: State, gradient: Tensor, until: Tensor) -> tuple[State, Tensor]:
        control, kept = _Control(*state.memory[0].unbind(1)), state.memory[1]
        time = _given(state.time)
        left = until - time
        trial = self._steps.attempt(f, state.theta, gradient, control.step, left, kept)
        error = self._error(state.theta, trial)
        taken = trial.exists & (error <= 1) & (trial.loss <= state.loss + _rounding(f, state.loss))
        column = taken.unsqueeze(1)
        theta = torch.where(column, trial.theta, state.theta)
        norm: Tensor = torch.linalg.vector_norm(trial.gradient, dim=1)
        after = replace(
            state,
            theta=theta,
            time=torch.where(taken, torch.where(trial.step >= left, until, time + trial.step), time),
            steps=state.steps + taken,
            loss=torch.where(taken, trial.loss, state.loss),
            gradient_norm=torch.where(taken, norm, state.gradient_norm),
            gradients=_given(state.gradients) + trial.cost,
        )
        control = control.after(trial, taken, _growth(error, trial.order), after)
        status = self._status(state, after, trial, taken, control)
        near = after.gradient_norm <= self.budget.tolerance
        settled = self._steps.settle(trial, control.step, until - _given(after.time), near)
        memory = (torch.stack(control._replace(step=settled.wanted), dim=1), settled.remembered)
        return replace(after, status=status, memory=memory), torch.where(column, trial.gradient, gradient)

    def suited(self, size: int, dtype: torch.dtype, dense_max: int) -> GradientFlow:
        """The same, with the method that suits so many parameters.

        Raises:
            ConfigError: if it cannot be followed so.
        """
        if dtype != torch.float64:
            raise ConfigError(
                "dtype=float32: a gradient flow is followed to descent.rtol in float64; use dtype=float64"
            )
        if self.method in ("rosenbrock", "switching") and size > dense_max:
            said = (
                f"descent.method={self.method}: makes Hessians of {size:,} parameters, polish.dense_max={dense_max:,}"
            )
            raise ConfigError(f"{said}; use descent.method=chebyshev, or a larger polish.dense_max")
        if self.method:
            return self
        dense: Literal["rosenbrock", "switching"] = "rosenbrock" if size <= SMALL else "switching"
        return replace(self, method=dense if size <= dense_max else "chebyshev")

    @property
    def repetition(self) -> GradientFlow | None:
        """The same flow with a tenth of the error; None where `repeat` is not set."""
        return replace(self, rtol=self.rtol / 10, atol=self.atol / 10, repeat=False) if self.repeat else None

    @property
    def _steps(self) -> Method:
        return METHODS[self.method or "rosenbrock"]

    def _error(self, theta: Tensor, trial: Trial) -> Tensor:
        """The largest part of what is allowed, `[restart]`."""
        allowed = self.atol + self.rtol * torch.maximum(theta.abs(), trial.theta.abs())
        error = (trial.error.abs() / allowed).amax(1)
        finite = torch.isfinite(error) & torch.isfinite(trial.loss) & torch.isfinite(trial.gradient).all(1)
        return torch.where(finite, error, torch.inf)

    def _status(self, before: State, after: State, trial: Trial, taken: Tensor, control: _Control) -> Tensor:
        """Arrived, at the end of its steps or its patience, or still running."""
        norm, reach = after.gradient_norm, 1 + torch.linalg.vector_norm(after.theta, dim=1)
        near = trial.remaining <= self.rtol * reach
        arrived = taken & (norm <= self.budget.tolerance) & (near | (norm <= NOISE * trial.size * reach))
        ended = (after.steps >= self.budget.steps) | (control.waited >= PATIENCE)
        status = torch.where(ended, int(Status.BUDGET), before.status)
        return torch.where(arrived, int(Status.ARRIVED), status).to(before.status.dtype)


def _growth(error: Tensor, order: Tensor) -> Tensor:
    """The largest of `GROWTHS` with which the error would be within what is allowed, `[restart]`."""
    rows = torch.tensor(_LIMITS, dtype=error.dtype, device=error.device)
    growths = torch.tensor(GROWTHS, dtype=error.dtype, device=error.device)
    # limits fall: count those that the error keeps to
    return growths[(error.unsqueeze(1) <= rows[order]).sum(1).clamp(min=1) - 1]


def growth_limits(order: int) -> list[float]:
    """The errors, as parts of what is allowed, up to which h changes by each of `GROWTHS`."""
    return [(SAFETY / growth) ** order for growth in GROWTHS]


_LIMITS = [growth_limits(order) for order in range(HIGHEST + 1)]


class _Control(NamedTuple):
    """What is remembered of a restart from step to step, `[restart]` each."""

    step: Tensor  # h that is wanted next; NaN before the first
    refused: Tensor  # 1 if the last step was
    waited: Tensor  # steps since the last progress
    time: Tensor  # at the last progress
    loss: Tensor  # likewise

    @staticmethod
    def begin(theta: Tensor) -> _Control:
        nothing = theta.new_zeros(theta.shape[0])
        return _Control(nothing + torch.nan, nothing, nothing, nothing, nothing + torch.inf)

    def after(self, trial: Trial, taken: Tensor, growth: Tensor, now: State) -> _Control:
        time = _given(now.time)
        calm = torch.where(self.refused > 0, growth.clamp(max=1.0), growth)
        longer = trial.step * calm  # of a step that a mark has cut short, nothing is known about longer ones
        longer = torch.where(trial.step < trial.wanted, torch.maximum(longer, trial.wanted), longer)
        shorter = trial.step * torch.where(trial.exists, growth.clamp(max=AFTER_REFUSAL), NOWHERE)
        progress = (time >= LATER * self.time) | (now.loss <= self.loss - LOWER * self.loss.abs())
        progress = progress & taken
        return _Control(
            step=torch.where(taken, longer, shorter),
            refused=(~taken).to(trial.step.dtype),
            waited=torch.where(progress, 0.0, self.waited + 1),
            time=torch.where(progress, time, self.time),
            loss=torch.where(progress, now.loss, self.loss),
        )


def _rounding(f: Function, loss: Tensor) -> Tensor:
    return (RISE * loss.abs()).clamp(min=f.rounding)


def _given(column: Tensor | None) -> Tensor:
    if column is None:
        raise TypeError("a flow has times, and counts its gradients")
    return column
