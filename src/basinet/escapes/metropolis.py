"""Chains of Metropolis et al. (1953) that move one coordinate at a time, with widths that keep half of the moves.

Widths are adapted as Corana, Marchesi, Martini & Ridella (1987) do it: with the share s of accepted moves of a
coordinate its width is multiplied by 1 + 2 (s - .6) / .4 where s > .6, and divided by 1 + 2 (.4 - s) / .4 where s < .4.
"""

from __future__ import annotations

import torch
from torch import Tensor

from basinet.escapes.seam import State, Value, Walk, walking

_HIGH, _LOW, _STRENGTH = 0.6, 0.4, 2.0


def chain(theta: Tensor, loss: Tensor, width: float) -> State:
    """The state of chains that begin at `theta [run, parameter]`."""
    return {
        "chain": theta,
        "value": loss,
        "width": torch.full_like(theta, width),
        "taken": torch.zeros_like(theta),  # moves of each coordinate that were accepted since its width was changed
    }


def set_out(state: State, chance: Tensor) -> Walk:
    """The walk of chains whose first question is f where their first move would lead."""
    first = torch.zeros(chance.shape[0], dtype=torch.int64)
    return walking(proposal(state, first, chance), state)


def proposal(state: State, move: Tensor, chance: Tensor) -> Tensor:
    """Where the chains would go: coordinate `move` modulo their number, by up to its width, `[run, parameter]`."""
    coordinate = _coordinate(state, move)
    step = state["width"].gather(1, coordinate) * (2 * chance.unsqueeze(1) - 1)
    return state["chain"].scatter_add(1, coordinate, step)


def goes(rise: Tensor, temperature: Tensor, chance: Tensor) -> Tensor:
    """Whether moves that raise the energy so much are accepted, `[run]`: with probability min(1, exp(-rise / T))."""
    return (rise <= 0) | (chance.log() * temperature < -rise)


def moved(state: State, walk: Walk, value: Value, move: Tensor, accepted: Tensor) -> State:
    """The chains after a move, which is theirs where it was `accepted [run]`."""
    coordinate = _coordinate(state, move)
    return {
        **state,
        "chain": torch.where(accepted.unsqueeze(1), walk.theta, state["chain"]),
        "value": torch.where(accepted, value.loss.to(state["value"]), state["value"]),
        "taken": state["taken"].scatter_add(1, coordinate, accepted.to(state["taken"]).unsqueeze(1)),
    }


def adapted(state: State, due: Tensor, moves: int) -> State:
    """The chains with other widths where that is `due [run]`, after so many moves of each coordinate."""
    share = state["taken"] / moves
    wider = 1 + _STRENGTH * (share - _HIGH).clamp(min=0) / _LOW
    narrower = 1 + _STRENGTH * (_LOW - share).clamp(min=0) / _LOW
    changed = due.unsqueeze(1)
    return {
        **state,
        "width": torch.where(changed, state["width"] * wider / narrower, state["width"]),
        "taken": state["taken"].masked_fill(changed, 0.0),
    }


def _coordinate(state: State, move: Tensor) -> Tensor:
    return (move % state["chain"].shape[1]).unsqueeze(1)
