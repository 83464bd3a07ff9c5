from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from basinet.descents.curvature_pairs import Pairs, dot

Array = npt.NDArray[np.float64]


def inverse_hessian(steps: list[Array], changes: list[Array]) -> Array:
    """H by the update of BFGS itself, a matrix at a time, from the oldest pair to the newest, which comes first here.

    H ← (1 - ρ s yᵀ) H (1 - ρ y sᵀ) + ρ s sᵀ, from s·y / y·y of the newest (Nocedal & Wright, 2006, 6.17 and 7.20).
    """
    size = len(steps[0])
    h = steps[0] @ changes[0] / (changes[0] @ changes[0]) * np.eye(size)
    for s, y in reversed(list(zip(steps, changes, strict=True))):
        rho = 1 / (s @ y)
        left = np.eye(size) - rho * np.outer(s, y)
        h = left @ h @ left.T + rho * np.outer(s, s)
    return h


def bending(seed: int, memory: int, size: int) -> tuple[list[Array], list[Array]]:
    """Steps, and changes of a gradient along them that bend upwards."""
    rng = np.random.default_rng(seed)
    steps = [rng.normal(size=size) for _ in range(memory)]
    changes = [rng.normal(size=size) for _ in range(memory)]
    return steps, [y * np.sign(s @ y) for s, y in zip(steps, changes, strict=True)]


def rows(vectors: list[list[Array]]) -> list[Tensor]:
    """One tensor `[restart, parameter]` for each place of the lists, which are one per restart."""
    return [torch.from_numpy(np.stack(place)) for place in zip(*vectors, strict=True)]


@pytest.mark.parametrize(("memory", "size"), [(1, 1), (1, 7), (3, 7), (10, 4), (10, 30)])
def test_the_two_loops_are_the_update_of_bfgs(memory: int, size: int) -> None:
    pairs = [bending(seed, memory, size) for seed in range(5)]
    gradient = np.random.default_rng(9).normal(size=(5, size))
    found = Pairs.of(rows([s for s, _ in pairs]), rows([y for _, y in pairs])).direction(torch.from_numpy(gradient))
    for row, (steps, changes) in enumerate(pairs):
        expected = -inverse_hessian(steps, changes) @ gradient[row]
        # Ten products with matrices whose condition is that of random pairs.
        np.testing.assert_allclose(found[row], expected, rtol=0, atol=1e-9 * np.abs(expected).max())


def test_pushed_pairs_are_those_of_the_vectors_and_the_oldest_gives_way() -> None:
    steps, changes = (rows([vectors]) for vectors in bending(1, 6, 5))
    pairs = Pairs.of([torch.zeros(1, 5).double()] * 4, [torch.zeros(1, 5).double()] * 4)
    assert bool(pairs.none)
    for s, y in zip(reversed(steps), reversed(changes), strict=True):
        pairs = pairs.with_newest(torch.tensor([True]), s, y, dot(s, y))
    expected = Pairs.of(steps[:4], changes[:4])
    assert not bool(pairs.none)
    for field in ("steps", "changes", "rho"):
        assert all(torch.equal(a, b) for a, b in zip(getattr(pairs, field), getattr(expected, field), strict=True))
    assert torch.equal(pairs.scale, expected.scale)


def test_only_the_restarts_asked_for_remember_and_forget() -> None:
    first, second = (rows([bending(seed, 2, 5)[part] for seed in (1, 2)]) for part in (0, 1))
    before = Pairs.of(first, second)
    where, s, y = torch.tensor([True, False]), first[1], second[1]
    pushed, forgotten = before.with_newest(where, s, y, dot(s, y)), before.forgotten(where)
    for after in (pushed, forgotten):
        assert torch.equal(after.steps[0][1], before.steps[0][1])
        assert torch.equal(after.changes[1][1], before.changes[1][1])
        assert (after.rho[0][1], after.scale[1]) == (before.rho[0][1], before.scale[1])
    assert torch.equal(pushed.steps[0][0], s[0])
    assert torch.equal(pushed.steps[1][0], before.steps[0][0])
    assert forgotten.none.tolist() == [True, False]
    gradient = torch.ones(2, 5, dtype=torch.float64)
    assert torch.equal(forgotten.direction(gradient)[0], -gradient[0])


@pytest.mark.parametrize("size", [1, 3, 8])
def test_with_exact_searches_a_parabola_of_p_parameters_takes_p_steps(size: int) -> None:
    rng = np.random.default_rng(size)
    basis = np.linalg.qr(rng.normal(size=(size, size)))[0]
    hessian = torch.from_numpy(basis @ np.diag(np.geomspace(0.1, 10, size)) @ basis.T)
    theta = torch.from_numpy(rng.normal(size=(1, size)))
    nothing = [torch.zeros_like(theta)] * size
    pairs, gradient = Pairs.of(nothing, nothing), theta @ hessian
    for _ in range(size):
        direction = pairs.direction(gradient)
        step = -dot(gradient, direction) / dot(direction @ hessian, direction) * direction
        theta, change = theta + step, step @ hessian
        gradient = gradient + change
        pairs = pairs.with_newest(torch.tensor([True]), step, change, dot(step, change))
    # A condition of 100, and as many steps as parameters, each with the roundings of the last.
    assert float((theta @ hessian).norm()) < 1e-10
