from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pytest

from basinet.permutations.automorphisms import Table, automorphisms
from basinet.permutations.signed import Group

Array = npt.NDArray[np.float64]
Element = tuple[tuple[int, ...], tuple[int, ...]]


def columns(values: Array) -> Counter[tuple[float, ...]]:
    return Counter(tuple(column) for column in values.T.round(9) + 0.0)


def enumerated(values: Array, kind: list[int], turns: list[bool]) -> set[Element]:
    """All of them, one after the other: whatever permutation with signs leaves the columns as they are."""
    rows, before, found = len(values), columns(values), set()
    for image in itertools.permutations(range(rows)):
        if any(kind[row] != kind[to] for row, to in enumerate(image)):
            continue
        for signs in itertools.product(*([1, -1] if turn else [1] for turn in turns)):
            if columns(np.array(signs)[:, None] * values[list(image)]) == before:
                found.add((image, signs))
    return found


def elements(group: Group) -> set[Element]:
    """The products of one element of each level, multiplied by hand."""
    return {product(chosen, group.rows) for chosen in itertools.product(*choices(group))}


def choices(group: Group) -> Iterator[list[Element]]:
    for level in group.levels:
        yield [(tuple(one.image.tolist()), tuple(one.sign.tolist())) for one in level.transversal.values()]


def product(factors: tuple[Element, ...], rows: int) -> Element:
    """The last factor first: where it takes a row, the one before it is asked for."""
    image, signs = list(range(rows)), [1] * rows
    for to, turned in reversed(factors):
        signs = [sign * turned[place] for sign, place in zip(signs, image, strict=True)]
        image = [to[place] for place in image]
    return tuple(image), tuple(signs)


CORNERS = np.array(list(itertools.product([-1.0, 1.0], repeat=3))).T
CUBE = [*CORNERS, CORNERS.prod(0)]


@pytest.mark.parametrize(
    ("values", "kind", "turns", "order"),
    [
        pytest.param([[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]], [0, 0, 1], [True] * 3, 2, id="xor"),
        pytest.param([[-1, -1, 1, 1], [-1, 1, -1, 1], [-1, 1, 1, -1]], [0, 0, 1], [True] * 3, 8, id="centred xor"),
        pytest.param(CUBE, [0, 0, 0, 1], [True] * 4, 48, id="parity"),
        pytest.param(CUBE, [0, 0, 0, 1], [True, True, True, False], 24, id="parity whose output stays"),
        pytest.param(np.kron(np.eye(4), [1.0, 0.1]), [0] * 4, [True] * 4, 24, id="axes"),
        pytest.param([[1, 2, 3, 4], [2, 3, 4, 1], [3, 4, 1, 2], [4, 1, 2, 3]], [0] * 4, [True] * 4, 4, id="a cycle"),
        pytest.param([[1, -1, 0, 0], [0, 0, 1, -1], [1, 1, 2, 2]], [0, 0, 1], [True] * 3, 4, id="told apart"),
        pytest.param([[0.1 + 0.2, -0.3], [0.3, -0.1 - 0.2]], [0, 0], [True] * 2, 4, id="up to rounding"),
        pytest.param([[1.0, -1.0 + 1e-9]], [0], [True], 1, id="not more than that"),
        pytest.param([[1, 1, 2], [1, 2, 2]], [0, 0], [True] * 2, 1, id="each as often"),
    ],
)
def test_the_group_is_what_enumeration_finds(
    values: list[list[float]], kind: list[int], turns: list[bool], order: int
) -> None:
    table = np.array(values, dtype=np.float64)
    group = automorphisms(Table.of(table, kind, turns))
    assert group.complete
    assert group.order == order
    assert elements(group) == enumerated(table, kind, turns)


def test_random_tables_with_planted_symmetries_have_the_group_that_enumeration_finds() -> None:
    random = np.random.default_rng(0)
    sizes = set()
    for _ in range(40):
        rows = int(random.integers(2, 5))
        values = random.integers(-1, 2, size=(rows, int(random.integers(1, 5)))).astype(np.float64)
        for _ in range(int(random.integers(0, 3))):  # a cycle or two, closed by one round of it
            image, signs = random.permutation(rows), random.choice([-1, 1], rows)[:, None]
            values = np.concatenate([values, signs * values[image]], axis=1)
        kind = [0] * (rows - 1) + [int(random.integers(0, 2))]
        turns = [bool(random.integers(0, 2))] * rows
        group = automorphisms(Table.of(values, kind, turns))
        assert elements(group) == enumerated(values, kind, turns)
        assert group.order == len(elements(group))
        sizes.add(group.order)
    assert len(sizes) > 4  # there was something to be found


def test_large_groups_are_counted_without_being_written_down() -> None:
    corners = np.array(list(itertools.product([-0.5, 0.5], repeat=9))).T
    parity = automorphisms(Table.of([*corners, corners.prod(0)], kind=[0] * 9 + [1]))
    assert (parity.order, parity.complete) == (2**9 * math.factorial(9), True)
    assert len(parity.generators) < 30
    axes = automorphisms(Table.of(np.eye(20), turns=False))
    assert axes.order == math.factorial(20)


def test_pixels_have_no_symmetry_and_those_that_are_blank_are_left_out() -> None:
    random = np.random.default_rng(0)
    images = np.where(random.random((64, 200)) < 0.5, 0, random.integers(0, 17, (64, 200)))
    images[::8] = 0  # the left edge
    classes = np.eye(10)[random.integers(0, 10, 200)].T
    values, kind = np.concatenate([images, classes]), np.repeat([0, 1], [64, 10])
    blank = np.ptp(values, axis=1) == 0
    turns = np.repeat([True, False], [64, 10])
    found = automorphisms(Table(values.astype(np.float64), kind, turns, blank))
    assert (found.order, found.complete) == (1, True)
    everything = automorphisms(Table(values.astype(np.float64), kind, turns, np.zeros(74, dtype=bool)))
    assert (everything.order, everything.complete) == (2**8 * math.factorial(8), True)  # of the blank ones


def latin_square_graph() -> Array:
    """Cells of a Latin square, joined where they share row, column or symbol: all look alike, and few can be moved."""
    square = np.array([[i ^ j for j in range(8)] for i in range(8)])
    square[[0, 0, 1, 1], [0, 1, 0, 1]] = square[[0, 0, 1, 1], [1, 0, 1, 0]]  # one of its 2 × 2 squares turned
    cells = [(i, j, square[i, j]) for i, j in itertools.product(range(8), repeat=2)]
    joined = [[any(np.equal(one, other)) for other in cells] for one in cells]
    return np.array(joined, dtype=np.float64)


def test_what_would_take_for_ever_is_cut_short_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    table = latin_square_graph()
    monkeypatch.setattr("basinet.permutations.automorphisms._WORK", 300_000)
    found = automorphisms(Table.of(table, turns=False))
    assert not found.complete
    for one in found.generators:  # what has been found is true
        assert columns(table[one.image]) == columns(table)
    assert not automorphisms(Table.of(np.eye(401))).complete
