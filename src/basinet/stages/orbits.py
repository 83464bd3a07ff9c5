"""Which minima are one modulo the symmetries of the problem, too."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from basinet.foundation.outcomes import Kind
from basinet.foundation.threads import single_threaded_operations
from basinet.protocols import Objective
from basinet.stages.merge import Bottoms
from basinet.stages.near import Indices, near
from basinet.stages.tolerances import Tolerances

_SAME_INVARIANTS = 1e-3  # relative to 1 + |x|: coarse, it only spares looking at pairs that are clearly no images


def orbits(minima: Bottoms, objective: Objective, tolerances: Tolerances) -> Indices:
    """The orbit of each bottom, `[minimum]`, in the order of the losses; -1 for those that are no minimum.

    Two minima are of one orbit if something that may be done to the problem (`Objective.problem_symmetry`) makes one of
    the other: an image of the first has the loss, the answers, and up to the symmetries of the network the parameters
    of the second, to what copies of a minimum agree to. The same loss is not enough.

    Images are looked for among those that numbers about pairs of inputs let pass (`permutations.matching`), 256 at
    most: where that was not enough, one orbit may be counted as two. Degenerate bottoms and those at infinity are sets,
    which no one point stands for.

    Args:
        minima: a restart of each distinct bottom that `merge.distinct` has found, in the order of the losses.
        objective: in float64.
        tolerances: how near copies have to be.
    """
    orbit = np.full(len(minima.kind), -1, dtype=np.int64)
    are_minima = np.flatnonzero(minima.kind == Kind.MINIMUM)
    firsts = are_minima.copy()  # of each minimum, the first one of its orbit
    if objective.problem_symmetry.order > 1:
        with single_threaded_operations():
            for group in _alike(minima, are_minima, objective, tolerances):
                firsts[group] = _firsts(minima, are_minima[group], objective, tolerances)
    orbit[are_minima] = np.unique(firsts, return_inverse=True)[1].reshape(-1)
    return orbit


def _alike(
    minima: Bottoms, rows: Indices, objective: Objective, tolerances: Tolerances
) -> Iterator[npt.NDArray[np.intp]]:
    """Positions among `rows` of minima with one loss, and with what else images have in common."""
    same_loss = near(minima.loss[rows, None], tolerances.same_function)
    for label in np.flatnonzero(np.bincount(same_loss) > 1):
        of_loss = np.flatnonzero(same_loss == label)
        theta = minima.theta[torch.from_numpy(rows[of_loss])]
        alike = near(objective.problem_symmetry.invariants(theta).numpy(), _SAME_INVARIANTS)
        for one in range(alike.max() + 1):
            yield of_loss[alike == one]


def _firsts(minima: Bottoms, rows: Indices, objective: Objective, tolerances: Tolerances) -> list[int]:
    """Of each of these minima the first one that it is an image of, if only of itself."""
    found: list[int] = []
    for row in rows.tolist():
        earlier = dict.fromkeys(found)
        images = (first for first in earlier if _are_images(minima, first, row, objective, tolerances))
        found.append(next(images, row))
    return found


def _are_images(minima: Bottoms, one: int, other: int, objective: Objective, tolerances: Tolerances) -> bool:
    """Whether a symmetry of the problem makes the second of two minima of the first."""
    wanted, symmetry = minima.theta[other], objective.symmetry
    answers = minima.signature[other]
    reach = tolerances.same_parameters * (1 + float(torch.linalg.vector_norm(wanted)))
    for image in objective.problem_symmetry.images(minima.theta[one], wanted):
        apart = np.abs(objective.signature(image.unsqueeze(0)).squeeze(0).numpy() - answers)
        if (apart <= tolerances.same_function * (1 + np.abs(answers))).all() and (
            symmetry.by_function or symmetry.distance(image, wanted) <= reach
        ):
            return True
    return False
