from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from basinet.analysis.disconnectivity import branches
from basinet.plots import disconnectivity, saddle_index


@pytest.fixture
def bottoms() -> pd.DataFrame:
    """Four minima; no restart has reached the last."""
    losses, counts = [0.1, 0.2, 0.3, 0.4], [6, 3, 1, 0]
    frame = pd.DataFrame({"minimum": range(4), "kind": "minimum", "loss": losses, "count": counts, "orbit_size": 2.0})
    return frame.assign(share=frame["count"] / 10)


@pytest.fixture
def passes() -> pd.DataFrame:
    """0 and 2 meet at .5, they and 3 at .6, all at .7; above there is a saddle of index 2."""
    return pd.DataFrame(
        {
            "saddle": range(4),
            "kind": "saddle",
            "index": [1, 1, 1, 2],
            "loss": [0.5, 0.6, 0.7, 0.9],
            "minimum_a": [0, 2, 0, -1],
            "minimum_b": [2, 3, 1, -1],
            "orbit_size": 4.0,
        }
    )


def test_the_lower_of_two_branches_is_on_the_left(bottoms: pd.DataFrame, passes: pd.DataFrame) -> None:
    tree = branches(bottoms, passes)
    leaves = tree[tree["minimum"] >= 0].sort_values("x")
    assert leaves["minimum"].tolist() == [0, 2, 3, 1]
    assert leaves["top"].tolist() == [0.5, 0.5, 0.6, 0.7]
    assert tree["x"].tolist() == [0, 3, 1, 2, 0.5, 1.25, 2.125]


def vertical_lines(figure: Figure) -> set[tuple[float, float]]:
    return {tuple(np.round(line.get_ydata(), 9)) for line in figure.axes[0].lines}


@pytest.mark.parametrize("axis", ["linear", "log"])
def test_every_branch_goes_from_its_loss_to_where_it_joins_another(
    bottoms: pd.DataFrame, passes: pd.DataFrame, drawn: Callable[[Figure], Figure], axis: str
) -> None:
    figure = drawn(disconnectivity(bottoms, passes, "a title", axis))  # type: ignore[arg-type]
    assert figure.axes[0].get_yscale() == axis
    wanted = {(0.1, 0.5), (0.3, 0.5), (0.4, 0.6), (0.2, 0.7), (0.5, 0.6), (0.6, 0.7)}
    ceilings = vertical_lines(figure) - wanted
    assert wanted < vertical_lines(figure)
    assert [low for low, _ in ceilings] == [0.7]
    assert all(high > 0.7 for _, high in ceilings)


def test_minima_that_no_restart_has_reached_are_dashed_and_counted(
    bottoms: pd.DataFrame,
    passes: pd.DataFrame,
    drawn: Callable[[Figure], Figure],
    legend: Callable[[Figure], list[str]],
) -> None:
    figure = drawn(disconnectivity(bottoms, passes, "a title"))
    dashed = [line.get_ydata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert dashed == [0.4]
    assert legend(figure) == ["4 minima\nshare of the restarts", "60 %", "30 %", "10 %", "no restart (1)"]


def test_critical_points_stand_above_their_index(
    bottoms: pd.DataFrame,
    passes: pd.DataFrame,
    drawn: Callable[[Figure], Figure],
    legend: Callable[[Figure], list[str]],
) -> None:
    figure = drawn(saddle_index(bottoms, passes, "a title"))
    lines = [segment for group in figure.axes[0].collections for segment in group.get_segments()]
    points = {(round(float(line[:, 0].mean()), 9), float(line[0, 1])) for line in lines}
    assert points == {*((0, loss) for loss in bottoms["loss"]), (1, 0.5), (1, 0.6), (1, 0.7), (2, 0.9)}
    assert legend(figure)[1:] == ["index 0: 4 (8)", "index 1: 3 (12)", "index 2: 1 (4)"]


def test_without_minima_the_figures_say_so(bottoms: pd.DataFrame, passes: pd.DataFrame) -> None:
    for draw in (disconnectivity, saddle_index):
        assert len(draw(bottoms[:0], passes[:0], "").axes[0].texts) == 1
