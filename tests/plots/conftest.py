"""Tables that several figures are drawn from, and how the tests look at a figure."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure


@pytest.fixture
def drawn() -> Callable[[Figure], Figure]:
    """The figure, after it has been drawn, which is when warnings and errors of layouts and axes come up."""

    def draw(figure: Figure) -> Figure:
        figure.savefig(io.BytesIO(), dpi=20)
        return figure

    return draw


@pytest.fixture
def dots() -> Callable[[Axes], np.ndarray]:
    """The points that are drawn one by one, `[point, 2]`."""

    def points(axes: Axes) -> np.ndarray:
        lines = [line.get_xydata() for line in axes.lines if line.get_marker() == "."]
        return np.concatenate([np.empty((0, 2)), *lines])

    return points


@pytest.fixture
def legend() -> Callable[[Figure], list[str]]:
    """What the legend says: its title, and its entries."""

    def lines(figure: Figure) -> list[str]:
        (box,) = figure.legends
        return [box.get_title().get_text(), *(text.get_text() for text in box.get_texts())]

    return lines


@pytest.fixture
def sentence(drawn: Callable[[Figure], Figure]) -> Callable[[Figure], str]:
    """What a figure says that has nothing to show."""

    def words(figure: Figure) -> str:
        (axes,) = drawn(figure).axes
        assert not axes.axison
        (text,) = axes.texts
        return str(text.get_text())

    return words


@pytest.fixture
def restarts() -> pd.DataFrame:
    """init × depth of 20 restarts each; every tenth has diverged."""
    count = 120
    frame = pd.DataFrame(
        {
            "restart": np.arange(count),
            "init": pd.Categorical(np.repeat(["b", "a"], 60)),
            "network.depth": np.tile(np.repeat([2, 10, 1], 20), 2),
            "descent": "adam",
            "loss": np.random.default_rng(0).permutation(np.arange(1.0, count + 1)),
            "status": np.where(np.arange(count) % 2 == 0, "arrived", "budget"),
            "lambda_max": np.arange(1.0, count + 1),
        }
    )
    frame["kind"] = np.where(np.arange(count) % 2 == 0, "minimum", "at_infinity")
    frame["minimum"] = np.where(np.arange(count) % 2 == 0, np.arange(count) % 8 // 2, 4)
    lost = frame.index % 10 == 9
    frame.loc[lost, ["status", "kind"]] = "diverged"
    frame.loc[lost, "minimum"] = -1
    frame.loc[frame.index % 20 == 19, "loss"] = np.nan  # of some, a finite loss was the last that was seen
    return frame


@pytest.fixture
def minima(restarts: pd.DataFrame) -> pd.DataFrame:
    """The bottoms of these restarts, as of one condition: 60 restarts in four minima, 48 at infinity."""
    kept = restarts[restarts["minimum"] >= 0]
    table = kept.groupby("minimum").agg(kind=("kind", "first"), loss=("loss", "min"), count=("loss", "size"))
    table = table.reset_index().assign(lambda_max=[1.0, 2.0, 4.0, 8.0, 16.0], trace=[3.0, 5.0, 9.0, 17.0, 33.0])
    share = table["count"] / len(restarts)
    return table.assign(share=share, share_low=share / 2, share_high=share * 1.5)


@pytest.fixture
def curves(restarts: pd.DataFrame) -> pd.DataFrame:
    """Every restart falls from ten times to twice its final loss, and a diverged one is not seen to the end."""
    parts = []
    for restart, loss, kind in zip(restarts["restart"], restarts["loss"].fillna(7.0), restarts["kind"], strict=True):
        steps = [0, 1, 10] if kind == "diverged" else [0, 1, 10, 100]
        falls = [10.0, 6.0, 4.0, 2.0][: len(steps)]
        parts.append(pd.DataFrame({"restart": restart, "step": steps, "loss": np.float32(loss) * np.float32(falls)}))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture
def quantiles() -> pd.DataFrame:
    """Of 30 restarts, two of which diverge."""
    levels = {"min": 0.0, "q05": 0.1, "q25": 0.2, "median": 0.3, "q75": 0.4, "q95": 0.5, "max": 0.6}
    steps = np.array([0, 1, 10, 100])
    frame = pd.DataFrame({"record": range(4), "step": steps, "restarts": [30, 30, 29, 28]})
    return frame.assign(**{f"loss_{name}": level / (1 + steps) for name, level in levels.items()})
