"""The march: where the gradient flow leads in the end, in steps of time that grow by powers of ten."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from basinet.foundation.threads import single_threaded_operations
from basinet.linalg.positive import Factors
from basinet.protocols import Marched, Marching
from basinet.stages.derivatives import Derivatives, norm
from basinet.stages.tolerances import Tolerances

_CORRECTIONS = 8  # of one implicit step
_GROWTH = (10.0, 10.0, 10.0, 10.0, 10.0, 5.0, 3.0, 2.0, 1.5)  # of h, by how many corrections a step has taken
_SHRINKS = 0.5  # h, after a step that was refused; the square of that when it is refused again
_CAUTIOUS = 5  # steps after a refused one in which h grows …
_SLOWLY = 1.5  # … by this at most
_EXACT = 5e-2  # a step is solved for when its last correction is no longer than this share of it
_CONTRACTS = 0.9  # each correction is shorter than the one before by at least this factor
_NOISE = 1e-14  # ‖∇f‖ relative to ‖H‖ (1 + ‖θ‖): rounding of θ
_LONGEST = 0.5  # relative to 1 + ‖θ‖: no step leaps over what lies between
_REFUSED = 25  # steps refused one after the other after which a march is stuck: a kink, or rounding
_LONG_AGO = 1e-2  # of the time now: two decades back, with which growth is compared
_MORE = 2  # times `remaining`: the loss has clearly fallen by more
_RISE = 1e-13  # relative to f: rounding


def march(
    f: Derivatives, theta: Tensor, tolerances: Tolerances, limit: Tensor, steps: int, fall: float | None = None
) -> Marched:
    """The long-time limit of θ' = -∇f(θ) from each `theta [restart, parameter]`, float64.

    Implicit Euler, θ⁺ = θ - h ∇f(θ⁺), solved by Newton corrections δ = -(I + h H(θ⁺))⁻¹ (θ⁺ - θ + h ∇f(θ⁺)).
    With I + h H positive definite and contracting corrections, θ⁺ is the minimum of f + ‖· - θ‖² / 2h that is connected
    with θ, so that f falls and a bottom is not left; h grows by up to a power of ten a step. So the flow is followed
    over more time than a descent could ever take: what comes to rest does so at rounding level, and what is on its way
    to infinity goes on until nothing is left of the slope. In between it is no accurate solution of the flow.

    Source: Hairer & Wanner (1996), *Solving Ordinary Differential Equations II*, section IV.8; for the proximal point
    that such a step is, Rockafellar (1976), *Monotone operators and the proximal point algorithm*.

    Args:
        f: what is minimised.
        theta: where to begin; rows have to be finite.
        tolerances: `stationary` and `settled` say when a restart rests.
        limit: a restart that is farther than this from where it began, `[restart]`, is followed only as long as f has
            not fallen by more than `fall`.
        steps: at most; sixteen powers of ten of time take some twenty to forty.
        fall: relative to f's scale. By default, what a restart may be above its level at infinity; -∞ if f is coercive.
    """
    if fall is None:
        fall = -math.inf if f.objective.coercive else _MORE * tolerances.remaining
    marched = f.engine.march(f.objective, theta, limit, _marching(tolerances, fall, steps))
    return _stepped(f, theta, tolerances, limit, fall, steps) if marched is None else marched


def _marching(tolerances: Tolerances, fall: float, steps: int) -> Marching:
    return Marching(
        steps=steps,
        corrections=_CORRECTIONS,
        shrinks=_SHRINKS,
        caution=_CAUTIOUS,
        slowly=_SLOWLY,
        exact=_EXACT,
        contracts=_CONTRACTS,
        noise=_NOISE,
        longest=_LONGEST,
        refusals=_REFUSED,
        long_ago=_LONG_AGO,
        rise=_RISE,
        stationary=tolerances.stationary,
        settled=tolerances.settled,
        flat=tolerances.flat,
        faded=tolerances.faded,
        fading=tolerances.fading,
        swift=tolerances.swift,
        lasting=tolerances.lasting,
        growth=tolerances.growth,
        fall=fall,
        growths=_GROWTH,
    )


def _stepped(f: Derivatives, theta: Tensor, tolerances: Tolerances, limit: Tensor, fall: float, steps: int) -> Marched:
    """The march, step by step, of all restarts at once: what `engines/native/march.h` does lane by lane."""
    with single_threaded_operations():
        now = start = _start(f, theta)
        path = _Path.begin(now, steps)
        for _ in range(steps):
            active = now.open.nonzero().squeeze(1)
            if len(active) == 0:
                break
            now = now.scatter(active, _advance(f, now.rows(active)))
            path.append(now)
            now = _ended(f, now, path, tolerances)
            fallen = start.loss - now.loss > f.objective.scale * fall
            now = now._replace(open=now.open & ~(fallen & (norm(now.theta - theta) > limit)))
        grows = torch.where(now.rests, 0.0, _growth(norm(now.theta), path.ago(_LONG_AGO).norm))
        return Marched(now.theta, now.loss, now.gradient, now.rests, now.faded, grows)


class _Now(NamedTuple):
    """A march at one moment, one row per restart."""

    theta: Tensor
    loss: Tensor
    gradient: Tensor
    time: Tensor
    step: Tensor  # h
    length: Tensor  # of the way so far
    way: Tensor  # of the last step
    curvature: Tensor  # Frobenius norm of the Hessian where the last step began
    refused: Tensor  # int64, steps in a row
    caution: Tensor  # int64, for how many steps more h grows slowly
    open: Tensor  # bool
    rests: Tensor  # bool
    faded: Tensor  # bool

    def rows(self, index: Tensor) -> _Now:
        return _Now(*(column[index] for column in self))

    def scatter(self, index: Tensor, part: _Now) -> _Now:
        return _Now(*(mine.index_copy(0, index, theirs) for mine, theirs in zip(self, part, strict=True)))


def _start(f: Derivatives, theta: Tensor) -> _Now:
    loss, gradient = f.loss_and_gradient(theta)
    zero, no = torch.zeros_like(loss), torch.zeros_like(loss, dtype=torch.bool)
    unknown = torch.full_like(loss, torch.nan)
    none = torch.zeros_like(no, dtype=torch.int64)
    return _Now(theta, loss, gradient, zero, unknown, zero, zero, unknown, none, none, ~no, no, no)


def _advance(f: Derivatives, now: _Now) -> _Now:
    """One implicit step for every restart, taken or refused."""
    trial = _solved(f, now)
    falls = trial.loss <= now.loss + f.rounding(now.loss, _RISE)
    way = norm(trial.theta - now.theta)
    taken = trial.exact & falls & (way <= _LONGEST * (1 + norm(now.theta)))
    column = taken.unsqueeze(1)
    return now._replace(
        theta=torch.where(column, trial.theta, now.theta),
        loss=torch.where(taken, trial.loss, now.loss),
        gradient=torch.where(column, trial.gradient, now.gradient),
        time=torch.where(taken, now.time + trial.step, now.time),
        step=trial.step * _factor(now, taken, trial.corrections),
        length=torch.where(taken, now.length + way, now.length),
        way=torch.where(taken, way, now.way),
        curvature=trial.curvature,
        refused=torch.where(taken, 0, now.refused + 1),
        caution=torch.where(taken, now.caution - 1, _CAUTIOUS),
    )


def _factor(now: _Now, taken: Tensor, corrections: Tensor) -> Tensor:
    """By which h changes: less where a longer step has been refused not long ago."""
    growth = torch.tensor(_GROWTH, dtype=torch.float64)[corrections]
    growth = torch.where(now.caution > 0, growth.clamp(max=_SLOWLY), growth)
    growth = torch.where(now.refused > 0, 1.0, growth)
    return torch.where(taken, growth, torch.where(now.refused > 0, _SHRINKS**2, _SHRINKS))


class _Trial(NamedTuple):
    """An implicit step, one row per restart."""

    theta: Tensor
    loss: Tensor
    gradient: Tensor
    step: Tensor  # h
    curvature: Tensor  # Frobenius norm of the last Hessian
    before: Tensor  # length of the last correction
    corrections: Tensor  # int64
    exact: Tensor  # bool: the corrections have contracted, down to a small share of the step
    open: Tensor  # bool: neither exact nor given up

    def rows(self, index: Tensor) -> _Trial:
        return _Trial(*(column[index] for column in self))

    def scatter(self, index: Tensor, part: _Trial) -> _Trial:
        return _Trial(*(mine.index_copy(0, index, theirs) for mine, theirs in zip(self, part, strict=True)))


def _solved(f: Derivatives, now: _Now) -> _Trial:
    """θ⁺ with θ⁺ - θ + h ∇f(θ⁺) = 0, by Newton corrections that begin at θ."""
    far, no = torch.full_like(now.loss, torch.inf), torch.zeros_like(now.open)
    corrections = torch.zeros_like(now.refused)
    trial = _Trial(now.theta, now.loss, now.gradient, now.step, now.curvature, far, corrections, no, ~no)
    for _ in range(_CORRECTIONS):
        index = trial.open.nonzero().squeeze(1)
        if len(index) == 0:
            break
        trial = trial.scatter(index, _corrected(f, now.theta[index], trial.rows(index)))
    return trial


def _corrected(f: Derivatives, start: Tensor, trial: _Trial) -> _Trial:
    """After one more correction; a restart that does not contract, or has I + h H indefinite, is given up."""
    hessian = f.hessian(trial.theta)
    curvature = torch.linalg.matrix_norm(hessian)
    h = torch.where(trial.step.isnan(), 1 / curvature.clamp(min=torch.finfo(curvature.dtype).tiny), trial.step)
    hessian.mul_(h[:, None, None]).diagonal(dim1=1, dim2=2).add_(1)
    factors = Factors.of(hessian)
    delta = factors.solve(start - trial.theta - h.unsqueeze(1) * trial.gradient)
    size = norm(delta)
    goes_on = factors.positive & (size <= _CONTRACTS * trial.before)
    theta = torch.where(goes_on.unsqueeze(1), trial.theta + delta, trial.theta)
    loss, gradient = f.loss_and_gradient(theta)
    goes_on = goes_on & torch.isfinite(loss)
    # At rounding level corrections are noise, and there is nothing left to be exact about.
    rounding = norm(gradient) <= _NOISE * curvature * (1 + norm(theta))
    exact = goes_on & ((size <= _EXACT * norm(theta - start)) | rounding)
    corrections = trial.corrections + 1
    return _Trial(theta, loss, gradient, h, curvature, size, corrections, exact, goes_on & ~exact)


class _Mark(NamedTuple):
    """What is remembered of every moment of a march, `[restart]` each."""

    time: Tensor
    loss: Tensor
    norm: Tensor  # ‖θ‖
    length: Tensor  # of the way so far

    @staticmethod
    def of(now: _Now) -> _Mark:
        return _Mark(now.time, now.loss, norm(now.theta), now.length)


MARKS = len(_Mark._fields)
"""How many numbers are remembered of a restart and step."""


@dataclass
class _Path:
    """The marks of a march so far."""

    columns: Tensor  # [quantity, mark, restart], the quantities of `_Mark`
    marks: int

    @staticmethod
    def begin(now: _Now, steps: int) -> _Path:
        path = _Path(now.loss.new_empty(MARKS, steps + 1, len(now.loss)), 0)
        path.append(now)
        return path

    def append(self, now: _Now) -> None:
        self.columns[:, self.marks] = torch.stack(_Mark.of(now))
        self.marks += 1

    def ago(self, share: float) -> _Mark:
        """Each restart when its time was this share of the time of its last mark."""
        so_far = self.columns[:, : self.marks]
        then = (so_far[0] <= share * so_far[0, -1]).sum(0) - 1
        return _Mark(*so_far.gather(1, then.expand(len(so_far), 1, -1)).squeeze(1))


def _ended(f: Derivatives, now: _Now, path: _Path, tolerances: Tolerances) -> _Now:
    """The same, with those put aside that rest, that have nothing left of their slope, or that are stuck."""
    marks = [_Mark.of(now), *(path.ago(_LONG_AGO**power) for power in (1, 2, 3))]
    then = marks[1]
    reach, slope = 1 + norm(now.theta), norm(now.gradient)
    still = now.length - then.length <= tolerances.settled * reach
    rests = now.open & still & (slope <= tolerances.stationary * now.curvature * reach) & (now.time * now.curvature > 1)
    slack = (slope * reach <= tolerances.faded * f.objective.scale) & (now.way > tolerances.settled * reach)
    flat = _fades(f, marks, tolerances) & (_growth(marks[0].norm, then.norm) > tolerances.swift)
    faded = now.open & ~rests & (flat | slack) & _lasts(marks, tolerances)
    goes_on = ~rests & ~faded & (now.refused < _REFUSED)
    return now._replace(rests=now.rests | rests, faded=now.faded | faded, open=now.open & goes_on)


def _fades(f: Derivatives, marks: list[_Mark], tolerances: Tolerances) -> Tensor:
    """Whether f falls by next to nothing, and by less and less, `[restart]` bool; `marks` are two decades apart.

    Where a slope has only just begun to be followed, f falls by next to nothing, too, and then by more and more: that
    is a plateau before an edge, or the way to a bottom. On the way to a level at infinity falls get ever smaller.
    """
    falls = [old.loss - new.loss for new, old in itertools.pairwise(marks)]
    result = falls[0] <= f.rounding(marks[0].loss, tolerances.flat)
    for fall, before in itertools.pairwise(falls):
        result &= fall <= torch.maximum(tolerances.fading * before, f.rounding(marks[0].loss, _RISE))
    return result


def _lasts(marks: list[_Mark], tolerances: Tolerances) -> Tensor:
    """Whether ‖θ‖ grows as it did before, `[restart]` bool; `marks` are two decades apart.

    The later, the smaller the share by which log t grows; but it grows by as much as in the two decades before, where
    the way to a bottom, however flat, gets shorter by a constant factor.
    """
    now, then, earlier = (mark.norm for mark in marks[:3])
    return (_growth(now, then) > tolerances.growth) & (now - then >= tolerances.lasting * (then - earlier))


def _growth(now: Tensor, then: Tensor) -> Tensor:
    """By which share ‖θ‖ has grown, `[restart]`."""
    return now / then.clamp(min=torch.finfo(then.dtype).tiny) - 1
