"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from basinet.descents.budget import StepLimits
from basinet.descents.curvature_pairs import Pairs, dot
from basinet.descents.line_search import Search, begin, judge
from basinet.foundation.errors import require
from basinet.foundation.outcomes import Status
from basinet.protocols import Chunk, Memory, Objective, State

_MOST_PAIRS = 1000
_ROUNDING = 8  # units in the last place by which f may be off


@dataclass(frozen=True)
class Lbfgs:
    """θ ← θ - α H ∇f(θ), H from the last `memory` steps, α by a line search (Liu & Nocedal, 1989).

    H is the inverse Hessian that the two-loop recursion makes of steps and changes of the gradient. α satisfies the
    strong Wolfe conditions and is tried at 1 first; at min(1, 1 / ‖∇f‖) where nothing is remembered yet. A change of f
    that is within its rounding tells nothing: there a trial is taken that has a smaller ‖∇f‖. Where there is no α, the
    memory is given up and the search repeated along -∇f; a restart that finds nothing there either has stalled, at the
    rounding of f or at a kink. Each restart searches for itself.
    """

    budget: StepLimits
    memory: int

    settles = True

    def __post_init__(self) -> None:
        require(self.memory >= 1, f"descent.memory={self.memory}: must be at least 1")
        require(self.memory <= _MOST_PAIRS, f"descent.memory={self.memory:,}: must be at most {_MOST_PAIRS:,}")

    def init(self, theta: Tensor) -> Memory:
        """∇f, and the steps s, newest first, with the changes y behind them: zero, as nothing is known yet."""
        restarts, size = theta.shape
        return torch.zeros_like(theta), theta.new_zeros(restarts, 2 * self.memory, size)

    def follow(self, f: Objective, state: State, most: int) -> State:
        """A chunk of restarts towards their last mark, by at most so many steps each, every mark noted on the way.

        All are evaluated at a time, each at the trial of its own search; those that are done are left out whenever that
        halves the work.
        """
        state = state.copy()
        rows = torch.arange(state.theta.shape[0], device=state.theta.device)
        marks = torch.tensor(self.budget.marks, device=state.theta.device)
        chunk = f.chunk(len(rows))
        new = (state.status == Status.RUNNING) & (state.steps == 0)
        end = (state.steps + most).clamp(max=self.budget.steps)
        walk = _entered(chunk, state, end, self.budget.tolerance)
        walk.note(state, rows, marks, new)
        while True:
            going = walk.going()
            count = int(going.sum())
            if 2 * count <= len(rows):
                state = state.scatter(rows, walk.state(chunk, state.rows(rows)))
                if count == 0:
                    over = (state.status == Status.RUNNING) & (state.steps >= self.budget.steps)
                    return replace(state, status=torch.where(over, int(Status.BUDGET), state.status))
                left, smaller = going.nonzero().squeeze(1), f.chunk(count)
                walk, rows, chunk = walk.rows(left, chunk, smaller), rows.index_select(0, left), smaller
                going = walk.going()
            before = walk.steps
            walk = walk.on(chunk, going, self.budget.tolerance, f.rounding)
            walk.note(state, rows, marks, (walk.steps > before).narrow(0, 0, len(rows)))


class _Walk(NamedTuple):
    """A packed chunk of restarts, each in the middle of its search; [restart', parameter'] or [restart']."""

    theta: Tensor
    gradient: Tensor  # ∇f(θ)
    direction: Tensor  # d
    pairs: Pairs
    search: Search  # of f(θ + α d)
    gradient_norm: Tensor
    status: Tensor
    steps: Tensor  # int64, made so far
    end: Tensor  # int64, to be made
    gradients: Tensor  # float64, spent

    def going(self) -> Tensor:
        """Who is on the way, `[restart']` bool."""
        return (self.status == Status.RUNNING) & (self.steps < self.end)

    def on(self, chunk: Chunk, going: Tensor, tolerance: float, rounding: float) -> _Walk:
        """With f evaluated at every trial, and what follows from that for those who are `going`."""
        start, alpha = self.search.start, self.search.trial
        theta = self.theta + alpha.unsqueeze(1) * self.direction
        loss, gradient = chunk.loss_and_gradient(theta)
        norm, epsilon = dot(gradient, gradient).sqrt(), torch.finfo(theta.dtype).eps
        hidden = (loss - start.loss).abs() <= start.loss.abs() * (_ROUNDING * epsilon) + rounding
        calmer = hidden & (norm < self.gradient_norm)
        judged = judge(self.search, loss, dot(gradient, self.direction), hidden, calmer)
        taken, failed = judged.taken & going, judged.failed & going

        s, y = theta - self.theta, gradient - self.gradient
        product = dot(s, y)
        bends = product > alpha * start.slope * -epsilon  # else H would not be positive definite
        pairs = self.pairs.with_newest(taken & bends, s, y, product)
        again, stalled = failed & pairs.none.logical_not(), failed & pairs.none
        rows = taken.unsqueeze(1)
        status = torch.where(stalled, int(Status.STALLED), self.status)
        walk = self._replace(
            theta=torch.where(rows, theta, self.theta),
            gradient=torch.where(rows, gradient, self.gradient),
            pairs=pairs.forgotten(again),
            search=judged.search,
            gradient_norm=torch.where(taken, norm, self.gradient_norm),
            status=torch.where(taken, _status(loss, norm, tolerance), status),
            steps=self.steps + taken.to(self.steps.dtype),
            gradients=self.gradients + going.to(self.gradients.dtype),
        )
        return walk.aimed(taken | again, torch.where(taken, loss, start.loss))

    def aimed(self, where: Tensor, loss: Tensor) -> _Walk:
        """With a new direction from θ, where f is `loss`, and the search along it begun."""
        direction = self.pairs.direction(self.gradient)
        slope = dot(self.gradient, direction)
        downhill = (slope < 0) & torch.isfinite(slope)
        pairs = self.pairs.forgotten(where & downhill.logical_not())
        direction = torch.where(downhill.unsqueeze(1), direction, -self.gradient)
        slope = torch.where(downhill, slope, -dot(self.gradient, self.gradient))
        first = torch.where(pairs.none, (1 / self.gradient_norm).clamp(max=1), 1)
        search = begin(loss, slope, first)
        return self._replace(
            direction=torch.where(where.unsqueeze(1), direction, self.direction),
            pairs=pairs,
            search=_map(lambda new, old: torch.where(where, new, old), search, self.search),
        )

    def rows(self, index: Tensor, chunk: Chunk, smaller: Chunk) -> _Walk:
        """Some restarts only, packed for a chunk of as many."""
        unpacked = _map(lambda tensor: chunk.unpack(tensor) if tensor.dim() == 2 else tensor, self)
        part: _Walk = _map(lambda tensor: tensor.index_select(0, index), unpacked)
        walk: _Walk = _map(_packing(smaller, part.theta), part)
        return walk

    def note(self, state: State, rows: Tensor, marks: Tensor, where: Tensor) -> None:
        """Write into the records of a state's `rows` that some of the restarts are at a mark."""
        if state.records is None:
            raise TypeError("restarts that choose their own steps keep their own records")
        place = torch.searchsorted(marks, self.steps).clamp(max=len(marks) - 1)
        there = (where & (marks.index_select(0, place) == self.steps).narrow(0, 0, len(rows))).nonzero().squeeze(1)
        entry = torch.stack([self.search.start.loss, self.gradient_norm, self.steps], 1).to(state.records)
        at = (rows.index_select(0, there), place.index_select(0, there))
        state.records.index_put_(at, entry.index_select(0, there))

    def state(self, chunk: Chunk, before: State) -> State:
        """Where the restarts are, who were in another state before."""
        pairs = torch.stack([chunk.unpack(tensor) for tensor in (*self.pairs.steps, *self.pairs.changes)], 1)
        columns = (self.status, self.steps, self.search.start.loss, self.gradient_norm, self.gradients)
        status, steps, loss, norm, gradients = (column.narrow(0, 0, len(before.status)) for column in columns)
        return replace(
            before,
            theta=chunk.unpack(self.theta),
            memory=(chunk.unpack(self.gradient), pairs),
            status=status,
            steps=steps,
            loss=loss,
            gradient_norm=norm,
            gradients=gradients,
        )


def _entered(chunk: Chunk, state: State, end: Tensor, tolerance: float) -> _Walk:
    """The restarts of a state, each at the beginning of a search; f is asked for at starts."""
    pack = _packing(chunk, state.theta)
    vectors = [pack(vector) for vector in state.memory[1].unbind(1)]
    half = len(vectors) // 2
    nothing, loss = pack(torch.zeros_like(state.loss)), pack(state.loss)
    spent = torch.zeros_like(state.steps, dtype=torch.float64) if state.gradients is None else state.gradients
    gradient = pack(state.memory[0])
    walk = _Walk(
        theta=pack(state.theta),
        gradient=gradient,
        direction=gradient,
        pairs=Pairs.of(vectors[:half], vectors[half:]),
        search=begin(loss, nothing, nothing),
        gradient_norm=pack(state.gradient_norm),
        status=pack(state.status),
        steps=pack(state.steps),
        end=pack(end),
        gradients=pack(spent),
    )
    new = (walk.status == Status.RUNNING) & (walk.steps == 0)
    if bool(new.any()):
        found, gradient = chunk.loss_and_gradient(walk.theta)
        norm = dot(gradient, gradient).sqrt()
        loss = torch.where(new, found, loss)
        walk = walk._replace(
            gradient=torch.where(new.unsqueeze(1), gradient, walk.gradient),
            gradient_norm=torch.where(new, norm, walk.gradient_norm),
            status=torch.where(new, _status(found, norm, tolerance), walk.status),
        )
    return walk.aimed(torch.ones_like(new), loss)


def _status(loss: Tensor, norm: Tensor, tolerance: float) -> Tensor:
    """What a restart's status is where these were found."""
    finite = torch.isfinite(loss) & torch.isfinite(norm)
    running = torch.where(norm <= tolerance, int(Status.ARRIVED), int(Status.RUNNING))
    return torch.where(finite, running, int(Status.DIVERGED)).to(torch.int8)


def _packing(chunk: Chunk, theta: Tensor) -> Callable[[Tensor], Tensor]:
    """What packs vectors as the chunk wants them, and numbers beside them; rows of padding have arrived."""
    padding = chunk.pack(theta).shape[0] - theta.shape[0]

    def pack(tensor: Tensor) -> Tensor:
        # Contiguous: sums are taken in the order of memory, which has to be the same for all restarts.
        return (
            chunk.pack(tensor.contiguous())
            if tensor.dim() == 2
            else pad(tensor, (0, padding), value=int(Status.ARRIVED))
        )

    return pack


def _map(function: Callable[..., Tensor], *trees: Any) -> Any:
    """A function of the tensors that stand at the same place in tuples of tuples of tensors."""
    first = trees[0]
    if isinstance(first, Tensor):
        return function(*trees)
    parts = [_map(function, *branches) for branches in zip(*trees, strict=True)]
    return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
