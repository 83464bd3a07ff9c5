"""What is proved of the bottoms of an objective together: each of them, and that none is a copy of another."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import flint
from flint import arb

from basinet.proofs.balls import Vector
from basinet.proofs.committee import CommitteeOverBoxes
from basinet.proofs.gauge import held, unfixable
from basinet.proofs.krawczyk import PRECISIONS, Proof, Unproved, prove
from basinet.proofs.risk import RiskOverBoxes
from basinet.proofs.smooth import Smooth
from basinet.proofs.statement import Population, Risk, Statement, read

_FLAT = {
    "degenerate": "its Hessian is singular in directions that no symmetry explains: second order does not decide",
    "at_infinity": "there is no point: the loss still falls while the parameters grow",
    "kink": "the loss has no derivative there",
}
"""Why bottoms of a kind are no isolated critical points."""

_SECONDS = 4e-7  # that an operation on balls takes; measured, with what Python adds
_EVALUATIONS = 8  # of the Hessian for a point: some of Newton's, one at the centre and one or more over boxes


@dataclass(frozen=True)
class Point:
    """A point of which something is to be proved."""

    id: int
    kind: str  # minimum | saddle | degenerate | at_infinity | kink
    theta: Sequence[float]  # [parameter]


@dataclass(frozen=True)
class Verdict:
    """A point with its proof, or with the reason why there is none."""

    point: Point
    proof: Proof | None
    reason: str = ""

    @property
    def proved(self) -> bool:
        """Whether the point is what it is said to be, and no copy of another one that is proved."""
        return self.proof is not None and not self.reason


def smooth(of: Risk | Population) -> Smooth:
    """The function that a statement is about."""
    return CommitteeOverBoxes(of) if isinstance(of, Population) else RiskOverBoxes(of)


def verdicts(
    statement: Statement,
    points: Sequence[Point],
    precisions: Sequence[int] = PRECISIONS,
    done: Callable[[int], None] = lambda count: None,
) -> list[Verdict]:
    """Prove every point, and that those which are proved are no copies of each other.

    Args:
        statement: what is minimised.
        points: what is to be proved, each of the kind that it is taken for.
        precisions: bits to try, ascending.
        done: called with the number of points that are done, after each.

    Returns:
        A verdict for each point. Among points of one kind those that are proved are distinct modulo symmetry.
    """
    of = read(statement)
    f, found = smooth(of), []
    for count, point in enumerate(points, start=1):
        found.append(_verdict(f, of, point, precisions))
        done(count)
    return _told_apart(f, found)


def _verdict(f: Smooth, of: Risk | Population, point: Point, precisions: Sequence[int]) -> Verdict:
    because = _FLAT.get(point.kind) or unfixable(of)
    if because is not None:
        return Verdict(point, None, because)
    try:
        proof = prove(f, point.theta, held(of, point.theta), precisions)
    except Unproved as error:
        return Verdict(point, None, str(error))
    if (proof.index == 0) != (point.kind == "minimum"):
        kind = "a minimum" if proof.index == 0 else f"a saddle of index {proof.index}"
        return Verdict(point, None, f"it is {kind}, and no {point.kind}: that is proved")
    return Verdict(point, proof)


def _told_apart(f: Smooth, found: Sequence[Verdict]) -> list[Verdict]:
    """The same verdicts, but for proved points that may be copies of earlier ones of their kind.

    Symmetries leave a network's answers as they are, to every input. So boxes whose answers differ hold no copies.
    """
    results, answers = list(found), dict[int, Vector]()
    for number, verdict in enumerate(found):
        if verdict.proof is not None:
            with flint.ctx.workprec(verdict.proof.precision):
                answers[number] = f.answers(verdict.proof.box)
    for number, other in _near(answers):
        first, second = results[number], results[other]
        if first.proved and second.proved and first.point.kind == second.point.kind:
            reason = f"a copy of {first.point.kind} {first.point.id}, or too near to one to be told apart"
            results[other] = replace(second, reason=reason)
    return results


def _near(answers: Mapping[int, Vector]) -> list[tuple[int, int]]:
    """The pairs all of whose answers may be the same, ascending; not all pairs are compared, which may be millions."""
    lowest = {number: answer[0].lower() for number, answer in answers.items()}
    highest = {number: answer[0].upper() for number, answer in answers.items()}
    ordered = sorted(answers, key=lambda number: lowest[number])  # exact numbers have an order
    pairs = []
    for place, number in enumerate(ordered):
        for other in ordered[place + 1 :]:
            if lowest[other] > highest[number]:
                break
            if all(map(arb.overlaps, answers[number], answers[other])):
                pairs.append((min(number, other), max(number, other)))
    return sorted(pairs)


def seconds(statement: Statement, points: Sequence[Point]) -> float:
    """About how long it takes to prove some points; of those that are refused for their kind, no time."""
    of = read(statement)
    size, widths = of.shape.size, of.shape.widths
    if isinstance(of, Population):
        evaluation = widths[1] * (widths[1] + len(of.teacher)) * widths[0] ** 2 * 100.0
    else:
        connections = sum(o * i for i, o in itertools.pairwise(widths))
        evaluation = len(of.inputs) * (3.0 * connections * size + 2.0 * size**2)
    return sum(point.kind not in _FLAT for point in points) * _SECONDS * (_EVALUATIONS * evaluation + 2.0 * size**3)
