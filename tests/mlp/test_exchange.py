from __future__ import annotations

import itertools

import torch

from basinet.mlp.exchange import Exchange

UNITS, FEATURES = 4, 3


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_all_permutations_of_the_units_have_one_canonical_form_and_no_distance() -> None:
    theta = draw(0, UNITS, FEATURES)
    copies = torch.stack([theta[list(order)].flatten() for order in itertools.permutations(range(UNITS))])
    group = Exchange(UNITS)
    assert len(torch.unique(group.canonical(copies), dim=0)) == 1
    assert max(group.distance(theta.flatten(), copy) for copy in copies) == 0


def test_units_that_only_turn_their_sign_or_exchange_features_are_others() -> None:
    theta = draw(1, UNITS, FEATURES)
    group = Exchange(UNITS)
    for other in (-theta, theta.flip(1)):
        assert group.distance(theta.flatten(), other.flatten()) > 0.1
        assert not torch.equal(*group.canonical(torch.stack([theta.flatten(), other.flatten()])))


def test_the_distance_is_the_least_over_all_permutations() -> None:
    theta, other = draw(2, UNITS, FEATURES), draw(3, UNITS, FEATURES)
    orders = itertools.permutations(range(UNITS))
    least = min(float(torch.linalg.vector_norm(theta - other[list(order)])) for order in orders)
    assert abs(Exchange(UNITS).distance(theta.flatten(), other.flatten()) - least) < 1e-14


def test_no_zero_of_the_hessian_is_explained() -> None:
    assert Exchange(UNITS).explained_zeros(draw(4, 5, UNITS * FEATURES)).tolist() == [0] * 5
