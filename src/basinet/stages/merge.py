"""Which restarts have reached the same bottom."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from basinet.foundation.outcomes import Kind
from basinet.protocols import Symmetry
from basinet.stages.near import Array, Boxes, Indices, Members, touching
from basinet.stages.tolerances import Tolerances

_BOTTOMS = (Kind.MINIMUM, Kind.DEGENERATE, Kind.AT_INFINITY)


@dataclass(frozen=True)
class Bottoms:
    """Where restarts have got to, one row each; those that are no minimum, degenerate or at infinity are at none."""

    kind: npt.NDArray[np.int8]  # [restart], a `Kind`
    loss: Array  # [restart]
    signature: Array  # [restart, 2 · n], see `Objective.signature`
    theta: Tensor  # [restart, parameter]


@dataclass(frozen=True)
class Minima:
    """The bottoms of a set of restarts, in the order of their losses."""

    minimum: Indices  # [ticket], which bottom each is of; where all were merged at once [restart], -1 for none
    representative: Indices  # [minimum], a restart: the first of those that reached it
    kind: npt.NDArray[np.int8]  # [minimum], a `Kind`
    count: Indices  # [minimum], restarts that reached it
    diameter: Array  # [minimum], farthest a member is from the representative in loss and signature


def distinct(bottoms: Bottoms, symmetry: Symmetry, tolerances: Tolerances) -> Minima:
    """The distinct bottoms among restarts, merged where a symmetry of the objective makes them equal.

    Minima are merged in two steps: near in loss and in signature (invariant under every symmetry, and cheap), then
    confirmed on the parameters by their canonical forms and, where those differ, by an assignment of units. So two
    minima that only a symmetry of the *data* relates, with the same loss to the last digit, stay two. Degenerate
    bottoms and those at infinity are sets, every restart stops somewhere else on them: they are merged by kind, loss
    and the answers to the samples.

    The cost is nearly linear in the restarts: sorting, and one assignment per distinct canonical form.

    Args:
        bottoms: of the restarts.
        symmetry: of the objective.
        tolerances: how near copies have to be.
    """
    merging = Merging(symmetry, tolerances)
    tickets = merging.add(bottoms, np.arange(len(bottoms.kind)))
    found = merging.minima()
    return replace(found, minimum=np.append(found.minimum, -1)[tickets])


@dataclass(frozen=True)
class _Groups:
    """Rows that are near in loss and signature: those that may be copies of each other."""

    kind: npt.NDArray[np.int8]  # [group]
    function: Boxes  # [group, column], loss and signature

    def beside(self, others: _Groups) -> _Groups:
        return _Groups(np.concatenate([self.kind, others.kind]), self.function.beside(others.function))

    def joined(self, labels: Indices) -> _Groups:
        members = Members.of(labels)
        return _Groups(self.kind[members.order[members.begin]], self.function.around(members))


@dataclass(frozen=True)
class _Forms:
    """Rows of a group that have nearly the same canonical parameters: certainly copies of each other."""

    group: Indices  # [form], its place among the groups; ascending
    function: Boxes  # [form, column]
    canonical: Boxes  # [form, parameter]; zeros of rows that are no minima
    first: Indices  # [form], the first of its rows
    function_first: Array  # [form, column], of that row
    theta_first: Array  # [form, parameter], of that row
    count: Indices  # [form]

    def beside(self, others: _Forms, groups: int) -> _Forms:
        """These, and the others behind them, whose groups stand behind as many."""
        return _Forms(
            np.concatenate([self.group, groups + others.group]),
            self.function.beside(others.function),
            self.canonical.beside(others.canonical),
            np.concatenate([self.first, others.first]),
            np.concatenate([self.function_first, others.function_first]),
            np.concatenate([self.theta_first, others.theta_first]),
            np.concatenate([self.count, others.count]),
        )

    def joined(self, labels: Indices) -> _Forms:
        members = Members.of(labels)
        first = members.first(self.first)
        return _Forms(
            self.group[first],
            self.function.around(members),
            self.canonical.around(members),
            self.first[first],
            self.function_first[first],
            self.theta_first[first],
            members.sums(self.count),
        )


class Merging:
    """The distinct bottoms among restarts that come in by and by.

    What is kept of those that were there is a box around each set of rows that are near, in loss and signature, and
    around their canonical parameters, so that memory grows with the bottoms and not with the restarts. Nothing is lost
    (`near.touching`): however restarts are divided, the bottoms, their order, counts and representatives are those that
    `distinct` finds among all of them, as long as the canonical form of a row does not depend on the others
    (`Symmetry.canonical`) and tolerances are below 1. Only where a gap is as wide as the tolerance to its last bit,
    rounding has its say.
    """

    def __init__(self, symmetry: Symmetry, tolerances: Tolerances) -> None:
        self._symmetry = symmetry
        self._tolerances = tolerances
        self._kept: tuple[_Groups, _Forms] | None = None
        self._form = np.zeros(0, dtype=np.int64)  # [ticket], where what it stands for is by now

    def add(self, bottoms: Bottoms, numbers: Indices) -> Indices:
        """More restarts, of these `numbers [restart]`, which decide which of a bottom is the first.

        Returns:
            A ticket for each, `[restart]`, with which `minima` says what it is; -1 for what is at no bottom.
        """
        rows = np.flatnonzero(np.isin(bottoms.kind, _BOTTOMS))
        tickets = np.full(len(bottoms.kind), -1, dtype=np.int64)
        if len(rows) == 0:
            return tickets
        groups, forms = self._alone(bottoms, rows, numbers)
        groups, forms, labels = self._joined(groups, forms)
        tickets[rows] = len(self._form) + labels
        if self._kept is None:
            self._form = np.arange(len(forms.first))
        else:
            before, known = self._kept
            known_forms = len(known.first)
            groups, forms = before.beside(groups), known.beside(forms, len(before.kind))
            groups, forms, labels = self._joined(groups, forms)
            self._form = np.concatenate([labels[self._form], labels[known_forms:]])
        self._kept = groups, forms
        return tickets

    @property
    def firsts(self) -> Indices:
        """Numbers of restarts, of which all that become representatives of a bottom are among them."""
        return np.zeros(0, dtype=np.int64) if self._kept is None else np.sort(self._kept[1].first)

    def minima(self) -> Minima:
        """The distinct bottoms so far; representatives are numbers of restarts."""
        if self._kept is None:
            nothing = np.zeros(0, dtype=np.int64)
            return Minima(self._form, nothing, nothing.astype(np.int8), nothing, nothing.astype(np.float64))
        groups, forms = self._kept
        family = self._families(groups, forms)
        members = Members.of(family)
        first = members.first(forms.first)
        function, own = forms.function.around(members), forms.function_first[first]
        order = np.lexsort((forms.first[first], function.low[:, 0]))
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        diameter = np.maximum(function.high - own, own - function.low).max(1)
        return Minima(
            minimum=place[family][self._form],
            representative=forms.first[first][order],
            kind=groups.kind[forms.group[first]][order],
            count=members.sums(forms.count)[order],
            diameter=diameter[order],
        )

    def _alone(self, bottoms: Bottoms, rows: Indices, numbers: Indices) -> tuple[_Groups, _Forms]:
        """Each of these rows as a group and a form of its own."""
        kind, theta = bottoms.kind[rows], bottoms.theta[torch.from_numpy(rows)]
        function = np.column_stack([bottoms.loss[rows], bottoms.signature[rows]])
        function[kind != Kind.MINIMUM, 1 + bottoms.signature.shape[1] // 2 :] = (
            0.0  # of sets the answers to the samples
        )
        canonical = np.zeros((len(rows), 0 if self._symmetry.by_function else theta.shape[1]))
        if not self._symmetry.by_function and (kind == Kind.MINIMUM).any():
            minima = np.flatnonzero(kind == Kind.MINIMUM)
            canonical[minima] = self._symmetry.canonical(theta[torch.from_numpy(minima)]).numpy()
        points, alone = Boxes.of_points(function), np.arange(len(rows))
        forms = _Forms(
            alone,
            points,
            Boxes.of_points(canonical),
            numbers[rows],
            function,
            theta.double().numpy(),
            np.ones_like(alone),
        )
        return _Groups(kind, points), forms

    def _joined(self, groups: _Groups, forms: _Forms) -> tuple[_Groups, _Forms, Indices]:
        """What is near each other made one, and where each form is then."""
        lines = self._tolerances
        kinds = np.unique(groups.kind, return_inverse=True)[1].astype(np.int64)
        tolerance = np.where(groups.kind == Kind.MINIMUM, lines.same_function, lines.same_level)
        label = touching(groups.function, tolerance, kinds)
        forms = replace(forms, group=label[forms.group])
        labels = touching(forms.canonical, np.full(len(forms.group), lines.same_parameters), forms.group)
        return groups.joined(label), forms.joined(labels), labels

    def _families(self, groups: _Groups, forms: _Forms) -> Indices:
        """Forms of a group that an assignment of units takes to each other, `[form]`: numbers from 0 on."""
        family = np.arange(len(forms.group))
        for own in np.split(family.copy(), np.flatnonzero(np.diff(forms.group)) + 1):
            if len(own) > 1:
                family[own] = self._confirmed(own, forms)
        return np.unique(family, return_inverse=True)[1].astype(np.int64)

    def _confirmed(self, own: Indices, forms: _Forms) -> list[int]:
        """Of each form of a group, the first one that is a copy of it."""
        theta = torch.from_numpy(forms.theta_first)
        first = own[forms.first[own].argmin()]
        canonical = self._symmetry.canonical(theta[first : first + 1]).numpy()[0]
        reach = self._tolerances.same_parameters * (1 + float(np.linalg.norm(canonical)))
        found: list[int] = []
        answer: list[int] = []
        for form in own.tolist():
            same = (one for one in found if self._symmetry.distance(theta[one], theta[form]) <= reach)
            one = next(same, form)
            if one == form:
                found.append(form)
            answer.append(one)
        return answer
