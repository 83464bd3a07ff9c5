"""The disconnectivity graph: at which loss minima become connected."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from basinet.foundation.errors import require

NONE = -1
"""No parent, or no minimum."""


def disconnectivity(minima: pd.DataFrame, saddles: pd.DataFrame) -> pd.DataFrame:
    """The merge tree of a landscape: minima are leaves, and two branches meet at the lowest saddle between them.

    At a level E the components of {f < E} are the branches that have not met below E; symmetric copies of a minimum
    count as one. Saddles are taken in the order of their losses, and join the components of their two minima
    (union–find); one that joins what is joined already changes nothing. Minima without a path to each other leave
    several roots.

    Source: Becker & Karplus (1997), *The topology of multidimensional potential energy surfaces*.

    Args:
        minima: of one condition, as `basinet.load_minima` returns them; rows that are no minima are left out.
        saddles: of the same condition, as `basinet.load_saddles` returns them; of those with index 1, the ones count
            of which both minima are known.

    Returns:
        `node parent loss minimum saddle`, one row per node: the minima in the order of their losses, then the saddles
        that join something. `parent` is -1 of a root, `minimum` that of a leaf, else -1, `saddle` likewise.

    Raises:
        ConfigError: if there are rows of several conditions.

    >>> minima = pd.DataFrame({"minimum": [0, 1], "kind": "minimum", "loss": [0.0, 1.0]})
    >>> saddles = pd.DataFrame({"saddle": [0], "index": [1], "loss": [2.0], "minimum_a": [0], "minimum_b": [1]})
    >>> disconnectivity(minima, saddles)[["parent", "loss", "minimum"]].to_numpy().tolist()
    [[2.0, 0.0, 0.0], [2.0, 1.0, 1.0], [-1.0, 2.0, -1.0]]
    """
    for frame in (minima, saddles):
        one = "run_id" not in frame or frame["run_id"].nunique() <= 1
        require(one, "disconnectivity is of one condition: choose the rows of one run_id")
    leaves = minima[minima["kind"] == "minimum"].sort_values("loss", kind="stable")
    place = {minimum: node for node, minimum in enumerate(leaves["minimum"].tolist())}
    edges = [edge for edge in _edges(saddles) if edge.one in place and edge.other in place]
    parent, joining = _joined(
        len(place), [edge._replace(one=place[edge.one], other=place[edge.other]) for edge in edges]
    )
    return pd.DataFrame(
        {
            "node": np.arange(len(parent)),
            "parent": parent,
            "loss": [*leaves["loss"].tolist(), *(edge.loss for edge in joining)],
            "minimum": [*leaves["minimum"].tolist(), *(NONE for _ in joining)],
            "saddle": [*(NONE for _ in place), *(edge.saddle for edge in joining)],
        }
    )


class _Edge(NamedTuple):
    """A saddle of index 1 and what it joins."""

    saddle: int
    loss: float
    one: int
    other: int


def _edges(saddles: pd.DataFrame) -> list[_Edge]:
    """In the order of their losses."""
    known = saddles[(saddles["index"] == 1) & (saddles["minimum_a"] >= 0) & (saddles["minimum_b"] >= 0)]
    columns = known.sort_values("loss", kind="stable")[["saddle", "loss", "minimum_a", "minimum_b"]]
    return [_Edge(*row) for row in columns.itertuples(index=False, name=None)]


def _joined(leaves: int, edges: list[_Edge]) -> tuple[npt.NDArray[np.int64], list[_Edge]]:
    """The parent of every node, and the edges that are nodes."""
    parent = [NONE] * leaves
    top = list(range(leaves))  # union–find: what is above each node, as short a way as is known
    joining = []
    for edge in edges:
        one, other = _root(top, edge.one), _root(top, edge.other)
        if one != other:
            node = len(parent)
            parent[one] = parent[other] = top[one] = top[other] = node
            parent.append(NONE)
            top.append(node)
            joining.append(edge)
    return np.array(parent, dtype=np.int64), joining


def _root(top: list[int], node: int) -> int:
    while top[node] != node:
        top[node] = top[top[node]]
        node = top[node]
    return node


def branches(minima: pd.DataFrame, saddles: pd.DataFrame) -> pd.DataFrame:
    """The graph as it is drawn: one row per node of `disconnectivity`, with its place from left to right.

    Arguments and errors as for `disconnectivity`.

    Returns:
        `node parent loss minimum saddle x top count share`, where `x` is 0, 1, 2, … of the leaves and the middle of its
        two branches of a node, `top` the loss at which a branch ends (NaN of a root), and count and share those of the
        minima, NaN of other nodes. Of two branches the one with the lower minimum is on the left.
    """
    tree = disconnectivity(minima, saddles)
    children: dict[int, list[int]] = {node: [] for node in tree["node"]}
    for node, parent in zip(tree["node"], tree["parent"], strict=True):
        if parent != NONE:
            children[parent].append(node)
    lowest = list(range(len(tree)))  # minimum below each node: leaves are numbered in the order of their losses
    for node in tree["node"]:  # those below a node come before it
        if children[node]:
            children[node].sort(key=lambda below: lowest[below])
            lowest[node] = lowest[children[node][0]]
    x = np.full(len(tree), np.nan)
    roots = sorted(tree.loc[tree["parent"] == NONE, "node"], key=lambda root: lowest[root])
    for place, leaf in enumerate(leaf for root in roots for leaf in _leaves(root, children)):
        x[leaf] = place
    for node in tree["node"]:
        if children[node]:
            x[node] = x[children[node]].mean()
    known = minima.set_index("minimum")
    numbers = {name: tree["minimum"].map(known[name]).astype(float) for name in ("count", "share")}
    top = tree["parent"].map(tree["loss"])
    return tree.assign(x=x, top=top, **numbers)


def _leaves(node: int, children: dict[int, list[int]]) -> list[int]:
    """The leaves below a node, from left to right."""
    found, left = [], [node]
    while left:
        here = left.pop()
        if not children[here]:
            found.append(here)
        left.extend(reversed(children[here]))
    return found


def barriers(minima: pd.DataFrame, saddles: pd.DataFrame) -> pd.DataFrame:
    """How far one has to climb from each minimum to come down to a lower one.

    Arguments and errors as for `disconnectivity`.

    Returns:
        `minimum loss count share barrier`, one row per minimum in the order of their losses; the barrier of the lowest
        one is that to any other, and it is infinite where no path of saddles leads away.

    >>> minima = pd.DataFrame({"minimum": [0, 1], "kind": "minimum", "loss": [0.0, 1.0], "count": [3, 1], "share": 0.5})
    >>> saddles = pd.DataFrame({"saddle": [0], "index": [1], "loss": [2.0], "minimum_a": [0], "minimum_b": [1]})
    >>> barriers(minima, saddles)["barrier"].tolist()
    [2.0, 1.0]
    """
    tree = disconnectivity(minima, saddles)
    leaves = int((tree["minimum"] >= 0).sum())
    parent, loss = tree["parent"].tolist(), tree["loss"].tolist()
    lowest = list(range(leaves)) + [leaves] * (len(tree) - leaves)  # leaf below each node: they are in order
    climb = [np.inf] * leaves
    for node, above in enumerate(parent):  # those below a node come before it
        if above == NONE:
            continue
        first = lowest[above]
        lowest[above] = min(first, lowest[node])
        if first < leaves:  # the second of two branches: the higher one of their lowest minima gets to the other
            higher = max(first, lowest[node])
            climb[higher] = min(climb[higher], loss[above] - loss[higher])
            climb[0] = min(climb[0], loss[above] - loss[0]) if lowest[above] == 0 else climb[0]
    ordered = minima.set_index("minimum").loc[tree["minimum"][:leaves], ["loss", "count", "share"]].reset_index()
    return ordered.assign(barrier=climb)
