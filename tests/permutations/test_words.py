from __future__ import annotations

import itertools

import numpy as np

from basinet.permutations.automorphisms import Table, automorphisms
from basinet.permutations.words import Rows, described


def told(values: list[list[float]], outputs: int = 0) -> list[str]:
    inputs = len(values) - outputs
    kind = [0] * inputs + [1] * outputs
    names = [Rows("input", range(inputs)), Rows("output", range(inputs, len(values)))]
    return described(automorphisms(Table.of(values, kind)), names)


def test_exchanges_are_told_as_permutations_of_what_they_connect_and_the_others_one_by_one() -> None:
    assert told([[0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0]], 1) == ["inputs 1 and 2 exchanged"]
    centred = [[-1, -1, 1, 1], [-1, 1, -1, 1], [-1, 1, 1, -1]]
    assert told(centred, 1) == ["inputs 1 and 2 exchanged", "input 1 reflected with output 1 reflected"]
    assert told(np.eye(5).tolist()) == ["inputs 1 to 5 permuted"]
    assert told([[1, 2, 3], [2, 3, 1], [3, 1, 2]]) == ["inputs 1 to 3 permuted"]  # a cycle
    together = np.concatenate([np.kron(np.eye(3), [1.0, 2.0]), np.kron(np.eye(3), [1.0, 1.0])])
    words = told(together.tolist(), 3)
    assert words
    assert all(" with outputs " in word for word in words)
    assert told([[1.0, 2.0], [3.0, 5.0]]) == []


def test_no_more_than_six_are_told() -> None:
    pairs = [[float(sign * scale) for scale in range(1, 9) for sign in (1, -1)]]
    columns = [
        [sign * (row + 1.0) if place == row else 0.0 for place, sign in itertools.product(range(8), (1, -1))]
        for row in range(8)
    ]
    assert told(pairs) == ["input 1 reflected"]
    words = told(columns)
    assert len(words) == 7
    assert words[-1] == "2 more"
