"""The bottoms that are kept of visits, against a dictionary of what they look like."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from basinet.engines import TorchEngine
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.stages import catalogue
from basinet.stages.catalogue import Catalogue


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


RISK = EmpiricalRisk(Network((2, 3, 1), "tanh", "identity"), draw(0, 2, 5), draw(1, 1, 5))
POINTS = draw(2, 9, RISK.size)
KINDS = np.random.default_rng(3).integers(len(POINTS), size=200)  # which point each visit comes to
RESTARTS, ROUNDS = np.divmod(np.random.default_rng(4).permutation(200), 20)  # all different, in no order


def entered(parts: int) -> tuple[Catalogue, list[int]]:
    """All visits, so many at a time, and the numbers that they get."""
    made, numbers = Catalogue(RISK, TorchEngine()), []
    for part in np.array_split(np.arange(200), parts):
        theta, visit = POINTS[KINDS[part]], (torch.from_numpy(column[part]) for column in (RESTARTS, ROUNDS))
        numbers += made.enter(theta, RISK.loss(theta), *visit).tolist()
    return made, numbers


@pytest.mark.parametrize("parts", [1, 7, 200])
def test_a_bottom_has_one_number_and_is_that_of_its_first_visit_however_visits_come_in(parts: int) -> None:
    made, numbers = entered(parts)
    number = dict(zip(KINDS.tolist(), numbers, strict=True))
    assert sorted(number.values()) == list(range(len(POINTS)))
    assert [number[kind] for kind in KINDS.tolist()] == numbers
    found = made.found()
    for kind, place in number.items():
        first = min(zip(RESTARTS[kind == KINDS].tolist(), ROUNDS[kind == KINDS].tolist(), strict=True))
        assert (int(found.restart[place]), int(found.round[place])) == first
        assert torch.equal(found.theta[place], POINTS[kind])


def test_a_copy_by_a_symmetry_is_the_same_bottom() -> None:
    made = Catalogue(RISK, TorchEngine())
    weights, biases, last = POINTS[:, :6].view(-1, 3, 2), POINTS[:, 6:9], POINTS[:, 9:12]
    turned = torch.cat([(-weights.flip(1)).flatten(1), -biases.flip(1), -last.flip(1), POINTS[:, 12:]], 1)
    rows = torch.arange(len(POINTS))
    assert torch.equal(
        made.enter(POINTS, RISK.loss(POINTS), rows, rows), made.enter(turned, RISK.loss(turned), rows, rows + 1)
    )


def test_bottoms_beyond_the_most_that_are_kept_stay_without_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "MOST", 4)
    made, numbers = entered(7)
    assert sorted(set(numbers)) == [-1, 0, 1, 2, 3]
    assert len(made.found().restart) == 4
    assert all(len({n for k, n in zip(KINDS, numbers, strict=True) if k == kind} - {-1}) <= 1 for kind in range(9))
