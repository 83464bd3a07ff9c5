"""What a group of signed permutations does, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from basinet.permutations.signed import Group, Signed

_MOST = 6  # that are named one by one


@dataclass(frozen=True)
class Rows:
    """What some rows are called, by a word and a number from 1 on."""

    word: str
    rows: range


def described(group: Group, names: Sequence[Rows]) -> list[str]:
    """What generates the group, in words; nothing if nothing does.

    >>> from basinet.permutations.automorphisms import Table, automorphisms
    >>> group = automorphisms(Table.of([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]))
    >>> described(group, [Rows("input", range(4))])
    ['inputs 1 to 3 permuted', 'input 4 reflected']
    """
    blocks = _blocks(group)
    told = [_permuted(rows, block) for rows in names for block in blocks if block[0] in rows.rows]
    others = {_up_to(blocks, one): one for one in group.generators if _exchanged(one) is None}
    told += [_moved(one, names) for one in others.values()]
    return told if len(told) <= _MOST else [*told[:_MOST], f"{len(told) - _MOST:,} more"]


def _exchanged(element: Signed) -> tuple[int, int] | None:
    """The two rows that it exchanges, if that is all it does."""
    moved = np.flatnonzero(element.image != np.arange(len(element.image)))
    return (int(moved[0]), int(moved[1])) if len(moved) == 2 and bool((element.sign == 1).all()) else None


def _blocks(group: Group) -> list[list[int]]:
    """Rows that exchanges of two connect: all of their permutations are in the group."""
    block = np.arange(group.rows)
    for pair in filter(None, map(_exchanged, group.generators)):
        block[block == block[pair[1]]] = block[pair[0]]
    members = [np.flatnonzero(block == label).tolist() for label in dict.fromkeys(block.tolist())]
    return [rows for rows in members if len(rows) > 1]


def _up_to(blocks: Sequence[Sequence[int]], element: Signed) -> object:
    """The same for elements that reflect as many rows of each block, which permutations of the blocks make equal."""
    if bool((element.image != np.arange(len(element.image))).any()):
        return id(element)
    first = {row: block[0] for block in blocks for row in block}
    return tuple(sorted(first.get(row, row) for row in np.flatnonzero(element.sign < 0).tolist()))


def _permuted(rows: Rows, block: Sequence[int]) -> str:
    return f"{_listed(rows, block)} {'exchanged' if len(block) == 2 else 'permuted'}"


def _moved(element: Signed, names: Sequence[Rows]) -> str:
    """What an element does: all that it moves together, since it may not be done one by one."""
    told = []
    for rows in names:
        moved = [row for row in rows.rows if element.image[row] != row]
        reflected = [row for row in rows.rows if element.sign[row] < 0]
        told += [_permuted(rows, moved)] if moved else []
        told += [f"{_listed(rows, reflected)} reflected"] if reflected else []
    return " with ".join(told)


def _listed(rows: Rows, members: Sequence[int]) -> str:
    """
    >>> _listed(Rows("input", range(9)), [2, 3, 4, 5]), _listed(Rows("output", range(3, 5)), [3])
    ('inputs 3 to 6', 'output 1')
    """
    numbers = [row - rows.rows.start + 1 for row in members]
    if len(numbers) == 1:
        return f"{rows.word} {numbers[0]}"
    if len(numbers) > 2 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{rows.word}s {numbers[0]} to {numbers[-1]}"
    return f"{rows.word}s {', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
