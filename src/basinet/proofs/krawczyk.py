"""Krawczyk's test, and the inertia of the Hessian: what proves a critical point in a box, and what kind of one it is.

For a box X around y and any matrix C, here about the inverse of the Hessian,

    K(X) = y - C ∇f(y) + (I - C H(X)) (X - y)

in interval arithmetic. If K(X) lies inside X, there is exactly one critical point in X, and it is in K(X).

Sources: Krawczyk (1969); Neumaier (1990), *Interval Methods for Systems of Equations*; Sylvester's law of inertia with
Gershgorin's discs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import flint
import numpy as np
from flint import arb, arb_mat

from basinet.proofs.activations import Kinked
from basinet.proofs.balls import ONE, Vector, around, column, exact, part
from basinet.proofs.smooth import Smooth

PRECISIONS = (64, 128, 256, 512, 1024)
"""Bits with which it is tried, one after the other."""

_RADII = (30, 36, 42, 48)  # that are tried: 2^-30 of the largest parameter, … A centre is a float, exact to 2^-53
_ROOM = 4  # times that K(X) is to be narrower than X: who computes less sharply is to find the same
_NEWTON = 12  # steps to a centre: each doubles the digits
_NEAR = 1e-4  # of the length of θ: how far Newton's steps may lead away from what they were to sharpen
_CONGRUENCES = 3  # until a matrix with eigenvalues of any sizes is nearly diagonal


@dataclass(frozen=True)
class Proof:
    """A box that holds exactly one critical point, where `held` parameters do not change, and its index."""

    centre: Vector  # [parameter], exact: floats
    radius: arb  # exact: the box is all points that are at most so far from the centre in each free parameter
    held: tuple[int, ...]  # the parameters that the box holds fast, because a continuous symmetry moves them
    index: int  # how many eigenvalues of the Hessian, on the free parameters, are negative
    precision: int  # bits that it took

    @property
    def free(self) -> list[int]:
        """The parameters that are not held fast."""
        return _free(len(self.centre), self.held)

    @property
    def box(self) -> Vector:
        """All points that are meant."""
        return around(self.centre, self.radius, self.free)


class Unproved(Exception):
    """Why a point could not be proved."""


def prove(f: Smooth, theta: Sequence[float], held: Sequence[int] = (), precisions: Sequence[int] = PRECISIONS) -> Proof:
    """Prove that there is a critical point of `f` near a point, with as few bits as that takes.

    Args:
        f: a function that can be evaluated over boxes.
        theta: `[parameter]`, near a critical point.
        held: parameters that are held fast, see `gauge`.
        precisions: bits to try, ascending.

    Raises:
        Unproved: if it cannot be done, with the reason.
    """
    tried: Exception = Unproved("no precision was allowed")
    for bits in precisions:
        with flint.ctx.workprec(bits):
            try:
                return _prove(f, [exact(float(entry)) for entry in theta], tuple(held), bits)
            except (Unproved, Kinked, ZeroDivisionError) as error:
                tried = error
    limit = f"at {precisions[-1]:,} bits"
    if isinstance(tried, ZeroDivisionError):
        raise Unproved(f"the Hessian is singular as far as can be seen {limit}")
    raise Unproved(f"{tried} ({limit})")


def _prove(f: Smooth, theta: Vector, held: tuple[int, ...], bits: int) -> Proof:
    free = _free(len(theta), held)
    centre = _sharpened(f, theta, free)
    step: arb = max((abs(entry) for entry in centre), key=float)
    size = arb(2) ** int(np.ceil(np.log2(max(float(step), 1.0))))
    inverse = part(f.hessian(centre), free).mid().inv().mid()
    newton = [abs(entry) for entry in (inverse * column([f.gradient(centre)[i] for i in free])).entries()]
    failed: Exception = Unproved("Krawczyk's test fails: the point is not sharp enough to be told from a singular one")
    for radius in (size * arb(2) ** -exponent for exponent in _RADII):
        try:
            hessian = part(f.hessian(around(centre, radius, free)), free)
        except Kinked as error:
            failed = error
            continue
        if _maps_into_itself(inverse * hessian, newton, radius):
            return Proof(centre, radius, held, _index(hessian), bits)
    raise failed


def _maps_into_itself(product: arb_mat, newton: Sequence[arb], radius: arb) -> bool:
    """Whether |C ∇f(y)| + |I - C H(X)| r < r in every coordinate, with room, given C H(X) and |C ∇f(y)|."""
    for i, step in enumerate(newton):
        row = (abs(ONE - product[i, j]) if i == j else abs(product[i, j]) for j in range(product.ncols()))
        if not _ROOM * (step + radius * sum(row, arb(0))) < radius:
            return False
    return True


def _sharpened(f: Smooth, theta: Vector, free: Sequence[int]) -> Vector:
    """The critical point that Newton's steps lead to, as nearly as floats can name it."""
    centre, last = theta, None
    reach = _NEAR * (1 + max(abs(float(entry)) for entry in theta))
    for _ in range(_NEWTON):
        gradient = column([f.gradient(centre)[i] for i in free]).mid()
        steps = (part(f.hessian(centre), free).mid().inv().mid() * gradient).mid().entries()
        centre = list(centre)
        for index, step in zip(free, steps, strict=True):
            centre[index] = (centre[index] - step).mid()
            if not abs(float(centre[index]) - float(theta[index])) <= reach:
                raise Unproved(f"Newton's steps lead further than {reach:.1g} away: there is no critical point so near")
        length = max(abs(float(step)) for step in steps)
        if length == 0 or (last is not None and length >= last / 2):
            break
        last = length
    return [exact(float(entry)) for entry in centre]


def _index(hessian: arb_mat) -> int:
    """The number of negative eigenvalues of every symmetric matrix within an interval matrix.

    Raises:
        Unproved: if that is not the same number for all, or cannot be shown.
    """
    matrix = hessian
    for _ in range(_CONGRUENCES):
        matrix = _nearly_diagonal(matrix)
        signs = [_sign(matrix, row) for row in range(matrix.nrows())]
        if all(signs):
            return signs.count(-1)
    raise Unproved("eigenvalues of the Hessian cannot be told from 0")


def _nearly_diagonal(matrix: arb_mat) -> arb_mat:
    """A congruent matrix, by approximate eigenvectors that are scaled so that eigenvalues become about ±1.

    If discs of the result keep away from 0, it is regular, and so is what the congruence was made with.
    """
    size = matrix.nrows()
    middles = np.array([float(entry.mid()) for entry in matrix.entries()]).reshape(size, size)
    scale = float(np.abs(middles).max(initial=0.0)) or 1.0
    values, vectors = np.linalg.eigh((middles + middles.T) / (2 * scale))
    weights = 1 / np.sqrt(np.maximum(np.abs(values), np.finfo(float).tiny))
    basis = arb_mat([[exact(float(entry)) for entry in row] for row in vectors * weights])
    congruent: arb_mat = basis.transpose() * matrix * basis / exact(scale)
    return congruent


def _sign(matrix: arb_mat, row: int) -> int:
    """On which side of 0 a disc of Gershgorin's lies; 0 if it touches 0."""
    reach = sum((abs(matrix[row, j]) for j in range(matrix.ncols()) if j != row), arb(0))
    middle_ = matrix[row, row]
    return 1 if middle_ > reach else -1 if -middle_ > reach else 0


def _free(size: int, held: Sequence[int]) -> list[int]:
    return sorted(set(range(size)) - set(held))
