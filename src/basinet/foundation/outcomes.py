"""How a restart can end: the one place where statuses and kinds are listed, and how they are written in tables.

Free of torch, so that reading results does not wait for it.
"""

from __future__ import annotations

import enum


class Status(enum.IntEnum):
    """How a restart's descent stands (int8)."""

    RUNNING = 0
    ARRIVED = 1  # the gradient norm fell to the tolerance
    BUDGET = 2  # the budget of steps ended first
    DIVERGED = 3  # the loss or the gradient is not finite any more
    STALLED = 4  # a line search finds nothing lower down the slope: at the rounding of the loss, or at a kink


class Kind(enum.IntEnum):
    """What a restart has reached (int8)."""

    MINIMUM = 0  # stationary, curved upwards in every direction that no symmetry keeps flat
    DEGENERATE = 1  # stationary, nowhere curved downwards, flat where no symmetry explains it: second order is silent
    SADDLE = 2  # stationary, curved downwards somewhere
    AT_INFINITY = 3  # the loss still falls while the parameters grow
    KINK = 4  # stuck at the boundary of a ReLU unit
    UNFINISHED = 5  # none of these could be shown
    DIVERGED = 6  # not finite


class Reason(enum.IntEnum):
    """Why a restart is unfinished (int8): what would have to be different."""

    UNPOLISHED = 0  # polishing was not asked for, or the network has more parameters than polish.dense_max
    FAR = 1  # what the flow leads to lies beyond polish.radius
    WANDERS = 2  # at a flat bottom, along which its descent wanders
    EARLY = 3  # it is known where the flow leads, but the descent has stopped too far from there
    STALLED = 4  # the flow was followed as long as polish.steps allow, and comes neither to rest nor to an end


STATUS_NAMES = [status.name.lower() for status in Status if status is not Status.RUNNING]
"""Of descents that have ended: the categories of the column `status`, by code - 1."""

KIND_NAMES = [kind.name.lower() for kind in Kind]
"""The categories of the column `kind`, by code."""

REASON_NAMES = [reason.name.lower() for reason in Reason]
"""The categories of the column `unfinished_because`, by code; other restarts have none."""

ENDS = ("minimum", "degenerate", "at_infinity", "saddle", "kink", "unfinished")
"""Kinds of restarts that have not diverged, in the order in which a person reads them."""

ALL_ENDS = (*ENDS, KIND_NAMES[Kind.DIVERGED])
"""Those that have diverged are read last."""
