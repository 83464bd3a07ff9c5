from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt

from basinet.permutations.automorphisms import Table, automorphisms
from basinet.permutations.matching import matches
from basinet.permutations.signed import Group, Signed, trivial

Array = npt.NDArray[np.float64]


def all_of(rows: int) -> Group:
    """All signed permutations: what leaves ± every axis as it is."""
    return automorphisms(Table.of(np.concatenate([np.eye(rows), -np.eye(rows)], axis=1)))


def moved(kernels: Array, image: tuple[int, ...], signs: tuple[int, ...]) -> Array:
    """K' with K'[g(i), g(j)] = s_i s_j K[i, j], entry by entry."""
    result = np.empty_like(kernels)
    for i, j in itertools.product(range(len(image)), repeat=2):
        result[:, image[i], image[j]] = signs[i] * signs[j] * kernels[:, i, j]
    return result


def symmetric(seed: int, kernels: int, rows: int, low: int, high: int) -> Array:
    entries = np.random.default_rng(seed).integers(low, high, size=(kernels, rows, rows)).astype(np.float64)
    return entries + entries.transpose(0, 2, 1)


def named(elements: list[Signed]) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    return {(tuple(one.image.tolist()), tuple(one.sign.tolist())) for one in elements}


def test_the_elements_that_fit_are_those_that_enumeration_finds() -> None:
    rows, group = 4, all_of(4)
    assert group.order == 2**4 * 24
    every = list(itertools.product(itertools.permutations(range(rows)), itertools.product([1, -1], repeat=rows)))
    for seed in range(6):
        kernels = symmetric(seed, 2, rows, -1, 2)
        others = moved(kernels, *every[seed * 31 % len(every)])
        fitting = {(image, signs) for image, signs in every if np.array_equal(moved(kernels, image, signs), others)}
        assert named(list(matches(group, kernels, others))) == fitting
        assert fitting


def test_nothing_fits_what_is_no_image() -> None:
    kernels = symmetric(3, 1, 4, -5, 6)
    for others in (kernels + 0.1, 1.01 * kernels, np.abs(kernels)):
        assert not list(matches(all_of(4), kernels, others))
    assert not list(matches(trivial(4), kernels, moved(kernels, (1, 0, 2, 3), (1, 1, 1, 1))))


def test_one_of_ten_factorial_is_found_at_once() -> None:
    group = automorphisms(Table.of(np.eye(10)))
    kernels = symmetric(5, 1, 10, 0, 1000)
    image = tuple(np.random.default_rng(6).permutation(10).tolist())
    (found,) = matches(group, kernels, moved(kernels, image, (1,) * 10))
    assert tuple(found.image.tolist()) == image


def test_where_nothing_tells_rows_apart_no_more_than_256_are_named() -> None:
    group = automorphisms(Table.of(np.eye(10)))
    assert len(list(matches(group, np.ones((1, 10, 10)), np.ones((1, 10, 10))))) == 256
