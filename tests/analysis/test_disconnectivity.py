"""The merge tree against minimum spanning trees, and Euler's sum against a surface that is known."""

from __future__ import annotations

import itertools

import networkx
import numpy as np
import pandas as pd
import pytest

from basinet.analysis.disconnectivity import barriers, disconnectivity
from basinet.analysis.euler import Verdict, euler
from basinet.foundation.errors import ConfigError


def landscape(seed: int, minima: int, saddles: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Minima below 1 and saddles above it, at random."""
    generator = np.random.default_rng(seed)
    low = pd.DataFrame({"minimum": np.arange(minima), "kind": "minimum", "loss": generator.random(minima)})
    ends = generator.integers(0, minima, (saddles, 2))
    high = pd.DataFrame({"saddle": np.arange(saddles), "index": 1, "loss": 1 + generator.random(saddles)})
    return low, high.assign(minimum_a=ends[:, 0], minimum_b=ends[:, 1])


def meeting_loss(tree: pd.DataFrame, one: int, other: int) -> float:
    """The loss of the lowest node above both leaves; inf if there is none."""
    parent, loss = tree.set_index("node")["parent"], tree.set_index("node")["loss"]
    leaf = tree[tree["minimum"] >= 0].set_index("minimum")["node"]

    def above(node: int) -> list[int]:
        way = [node]
        while parent[way[-1]] >= 0:
            way.append(int(parent[way[-1]]))
        return way

    first, second = above(int(leaf[one])), above(int(leaf[other]))
    return min((float(loss[node]) for node in first if node in second), default=np.inf)


@pytest.mark.parametrize("seed", range(4))
def test_two_minima_meet_at_the_highest_edge_of_their_path_in_the_minimum_spanning_tree(seed: int) -> None:
    minima, saddles = landscape(seed, minima=12, saddles=14)
    graph = networkx.Graph()
    graph.add_nodes_from(range(12))
    for edge in saddles.itertuples():
        known = graph.get_edge_data(edge.minimum_a, edge.minimum_b, {"weight": np.inf})
        graph.add_edge(edge.minimum_a, edge.minimum_b, weight=min(known["weight"], edge.loss))
    spanning = networkx.minimum_spanning_tree(graph)
    ways = dict(networkx.all_pairs_shortest_path(spanning))
    tree = disconnectivity(minima, saddles)
    for one in range(12):
        for other in range(one):
            way = ways[one].get(other)
            steps = [] if way is None else [spanning[a][b]["weight"] for a, b in itertools.pairwise(way)]
            assert meeting_loss(tree, one, other) == max(steps, default=np.inf)


@pytest.mark.parametrize("seed", range(4))
def test_a_barrier_is_the_least_climb_to_any_lower_minimum(seed: int) -> None:
    minima, saddles = landscape(seed, minima=12, saddles=14)
    tree, loss = disconnectivity(minima, saddles), minima["loss"]
    found = barriers(minima.assign(count=1, share=0.1), saddles).set_index("minimum")["barrier"]
    for one in range(12):
        lower = [other for other in range(12) if loss[other] < loss[one]]
        others = lower or [other for other in range(12) if other != one]
        assert found[one] == min(meeting_loss(tree, one, other) for other in others) - loss[one]


def test_saddles_without_two_known_minima_and_of_a_higher_index_join_nothing() -> None:
    minima, saddles = landscape(0, minima=3, saddles=1)
    lost = saddles.assign(minimum_a=-1, minimum_b=1)
    higher = saddles.assign(index=2, minimum_a=0, minimum_b=1)
    assert (disconnectivity(minima, pd.concat([lost, higher]))["parent"] == -1).all()


def test_of_several_conditions_there_is_no_one_graph() -> None:
    minima, saddles = landscape(0, minima=2, saddles=1)
    with pytest.raises(ConfigError, match="one condition"):
        disconnectivity(minima.assign(run_id=["a", "b"]), saddles)


def sphere_with_bumps() -> tuple[pd.DataFrame, pd.DataFrame]:
    """The six-hump camel function's points: 6 minima, 7 saddles, 2 maxima."""
    minima = pd.DataFrame({"kind": ["minimum"] * 6, "orbit_size": 1.0})
    saddles = pd.DataFrame({"kind": ["saddle"] * 9, "index": [1] * 7 + [2] * 2, "orbit_size": 1.0})
    return minima, saddles


def test_the_sum_is_one_and_another_number_without_any_of_the_points() -> None:
    minima, saddles = sphere_with_bumps()
    whole = euler(minima, saddles, coercive=True, smooth=True)
    assert (whole.total, whole.verdict) == (1, Verdict.PASSED)
    for missing in saddles.index:
        part = euler(minima, saddles.drop(index=missing), coercive=True, smooth=True)
        assert part.verdict is Verdict.FAILED
    assert euler(minima[1:], saddles, coercive=True, smooth=True).verdict is Verdict.FAILED


def test_where_the_sum_does_not_apply_it_is_said_why() -> None:
    minima, saddles = sphere_with_bumps()
    cases = {
        "penalty": euler(minima, saddles, coercive=False, smooth=True),
        "ReLU": euler(minima, saddles, coercive=True, smooth=False),
        "degenerate": euler(minima, saddles.assign(kind="degenerate"), coercive=True, smooth=True),
        "continuous": euler(minima.assign(orbit_size=np.inf), saddles, coercive=True, smooth=True),
        "not counted": euler(minima.assign(orbit_size=np.nan), saddles, coercive=True, smooth=True),
    }
    for word, result in cases.items():
        assert result.verdict is Verdict.NOT_APPLICABLE
        assert word in result.reason
