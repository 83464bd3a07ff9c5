"""Step lengths that satisfy the strong Wolfe conditions, one search per restart, an evaluation of all at a time."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

DECREASE = 1e-4  # c₁
CURVATURE = 0.9  # c₂
NARROW = 0.1  # a bracket is, where its ends are nearer than this part of the farther one
TRIES = 20  # evaluations of a search, at most


class Point(NamedTuple):
    """φ(α) = f(θ + α d) and its slope at one step length; each `[restart]`."""

    step: Tensor  # α
    loss: Tensor  # φ(α)
    slope: Tensor  # φ'(α) = ∇f(θ + α d)·d


class Search(NamedTuple):
    """What is known along each direction; every tensor has one entry per restart."""

    start: Point  # at α = 0, downhill
    low: Point  # the lowest point that has decreased enough; `start` while there is none
    high: Point  # a minimum of φ lies between `low` and here; at α = ∞ while it is not known where
    trial: Tensor  # the α to look at next
    tries: Tensor  # int64: how many have been looked at
    last: Tensor  # bool: `trial` is `low` once more, to be taken


class Judged(NamedTuple):
    """What becomes of a search at its trial."""

    search: Search  # with the next trial
    taken: Tensor  # [restart] bool: the trial is a step
    failed: Tensor  # [restart] bool: there is none along this direction


def begin(loss: Tensor, slope: Tensor, step: Tensor) -> Search:
    """Searches from f and its slope along a direction, whose first trial is `step`."""
    start = Point(torch.zeros_like(step), loss, slope)
    nowhere = torch.full_like(step, torch.inf)
    tries = torch.zeros_like(step, dtype=torch.int64)
    return Search(start, start, Point(nowhere, nowhere, nowhere), step, tries, torch.zeros_like(step, dtype=torch.bool))


def judge(search: Search, loss: Tensor, slope: Tensor, hidden: Tensor, calmer: Tensor) -> Judged:
    """Take the trial, or choose the next one, from φ and φ' at the trial.

    A step is taken where φ(α) ≤ φ(0) + c₁ α φ'(0) and |φ'(α)| ≤ -c₂ φ'(0). Near a bottom the first is `hidden` in the
    rounding of f, so whoever asks may find a trial `calmer` instead. A bracket that has become narrow without a step,
    as at a kink, gives its lowest point. What is not finite counts as above everything.

    Source: Nocedal & Wright (2006), algorithms 3.5 and 3.6.

    Args:
        search: where it stands.
        loss: φ `[restart]` at `search.trial`.
        slope: φ' `[restart]` there.
        hidden: whether φ - φ(0) is nothing but rounding, `[restart]` bool.
        calmer: whether to take the trial whatever φ says, `[restart]` bool.
    """
    start, low, high = search.start, search.low, search.high
    here = Point(search.trial, loss, slope)
    finite = torch.isfinite(loss) & torch.isfinite(slope)
    enough = finite & hidden.logical_not() & (loss <= start.loss + DECREASE * here.step * start.slope)
    gentle = slope.abs() <= -CURVATURE * start.slope
    taken = (enough & (gentle | search.last)) | (finite & calmer)

    above = enough.logical_not() | (loss >= low.loss)
    ahead = torch.where(high.step >= low.step, slope, -slope)  # the slope towards `high`
    turned = above.logical_not() & (ahead >= 0)
    farther = _chosen(above, here, _chosen(turned, low, high))
    lower = _chosen(above, low, here)

    tries = search.tries + 1
    width = (farther.step - lower.step).abs()
    narrow = (width < NARROW * torch.maximum(farther.step, lower.step)) | (tries >= TRIES)
    last = narrow & (lower.step > 0)
    failed = taken.logical_not() & ((narrow & last.logical_not()) | search.last)
    between, beyond = _between(lower, farther, tries), _beyond(low, here)
    trial = torch.where(last, lower.step, torch.where(torch.isinf(farther.step), beyond, between))
    return Judged(Search(start, lower, farther, trial, tries, last), taken, failed)


def _chosen(mask: Tensor, one: Point, other: Point) -> Point:
    return Point(*(torch.where(mask, a, b) for a, b in zip(one, other, strict=True)))


def _between(low: Point, high: Point, tries: Tensor) -> Tensor:
    """Where the cubic is lowest, not too near the ends; the middle at every third try, so that brackets shrink."""
    width = high.step - low.step
    part = (_lowest(low, high) - low.step) / width
    part = part.clamp(0.1, 0.9).nan_to_num(0.1)  # NaN: what is there is not finite
    return low.step + width * torch.where(tries % 3 == 2, 0.5, part)


def _beyond(before: Point, here: Point) -> Tensor:
    """Where the cubic through the last two points has its minimum, farther out, but not by too much."""
    gone = here.step - before.step
    lowest = _lowest(before, here)
    far = torch.where(lowest > here.step, lowest, torch.inf)
    return torch.minimum(torch.maximum(far, here.step + 1.1 * gone), here.step + 4 * gone)


def _lowest(one: Point, other: Point) -> Tensor:
    """The minimum of the cubic with these values and slopes (Nocedal & Wright, 3.59); NaN where it has none."""
    width = other.step - one.step
    middle = one.slope + other.slope - 3 * (one.loss - other.loss) / (one.step - other.step)
    root = (middle * middle - one.slope * other.slope).sqrt() * width.sign()
    return other.step - width * ((other.slope + root - middle) / (other.slope - one.slope + 2 * root))
