from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from basinet import plots
from basinet.analysis.spread import spread
from basinet.plots import condition_figures, sweep_axes, sweep_figures
from slowness import slow_but

Draw = Callable[[Figure], Figure]
ROOT = Path(__file__).resolve().parents[2]
VARIED = ["init", "network.depth"]
CONDITION = {
    "loss_fan",
    "waterfall",
    "distribution",
    "fans_by_kind",
    "fans_by_minimum",
    "trajectories",
    "rank_abundance",
    "rarefaction",
    "sharpness",
}
SWEEP = {"final_losses", "distribution", "heat", "sharpness"}


def test_a_condition_has_all_its_figures_with_its_title(
    restarts: pd.DataFrame, minima: pd.DataFrame, curves: pd.DataFrame, quantiles: pd.DataFrame, drawn: Draw
) -> None:
    figures = condition_figures(restarts, minima, curves, quantiles, "a title")
    assert set(figures) == CONDITION
    for figure in figures.values():
        drawn(figure)
        assert "a title" in (figure.get_suptitle(), figure.axes[0].get_title(loc="left"))


def test_a_sweep_has_all_its_figures(restarts: pd.DataFrame, minima: pd.DataFrame, drawn: Draw) -> None:
    both = pd.concat([minima.assign(**{"network.depth": depth}) for depth in (2, 10)], ignore_index=True)
    figures = sweep_figures(restarts, both, spread(restarts, VARIED), VARIED)
    assert set(figures) == SWEEP
    for figure in figures.values():
        assert "network.depth" in drawn(figure).get_suptitle().replace("\n", " ")
    assert [text.get_text() for text in figures["sharpness"].legends[0].get_texts()] == [
        "2\n(5 bottoms, n = 108)",
        "10\n(5 bottoms, n = 108)",
    ]


def test_init_stands_side_by_side_and_the_problem_in_panels(restarts: pd.DataFrame, minima: pd.DataFrame) -> None:
    frame = pd.concat([restarts.assign(problem="xor"), restarts.assign(problem="sine")], ignore_index=True)
    varied = ["problem", *VARIED]
    figure = sweep_figures(frame, minima, spread(frame, varied), varied)["final_losses"]
    assert [axes.get_title() for axes in figure.axes] == ["problem sine", "problem xor"]
    for axes in figure.axes:
        assert [label.get_text() for label in axes.get_xticklabels(minor=True)] == ["a", "b"] * 3


def test_a_setting_of_very_many_values_goes_into_panels(restarts: pd.DataFrame, minima: pd.DataFrame) -> None:
    frame = restarts.assign(init=[f"init{number % 9}" for number in range(120)])
    figure = sweep_figures(frame, minima, spread(frame, VARIED), VARIED)["final_losses"]
    assert sum(axes.get_visible() for axes in figure.axes) == 9


def without_minima(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(kind="unfinished", minimum=-1)


def diverged(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(status="diverged", kind="diverged", minimum=-1, loss=np.nan)


def categories(frame: pd.DataFrame) -> pd.DataFrame:
    names = frame.columns.intersection(["init", "status", "kind"])
    return frame.astype(dict.fromkeys(names, "category"))


DEGENERATE: dict[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    "an empty table": lambda _: pd.DataFrame(),
    "no rows": lambda frame: frame.iloc[:0],
    "one restart": lambda frame: frame.iloc[:1],
    "everything diverged": diverged,
    "the same loss everywhere": lambda frame: frame.assign(loss=0.25),
    "no loss left": lambda frame: frame.assign(loss=0.0),
    "losses from end to end": lambda frame: frame.assign(loss=np.resize([1e-300, 1e300], len(frame))),
    "no minima": without_minima,
    "only a degenerate level": lambda frame: frame.assign(kind="degenerate"),
    "no sharpness": lambda frame: frame.assign(lambda_max=np.nan, trace=np.nan),
    "categories": categories,
    "settings of mixed types": lambda frame: frame.assign(init=np.resize(np.array([1, "a", None], object), len(frame))),
    "names as matplotlib does not like them": lambda frame: frame.assign(init="_$x_{$"),
}


def something_can_be_seen(figure: Figure) -> bool:
    """Lines, dots, a picture, or a sentence; to lay it out brings up what drawing it would."""
    figure.draw_without_rendering()
    axes = figure.axes[0]
    return bool(axes.texts or axes.lines or axes.collections or axes.images)


@pytest.mark.parametrize("case", slow_but(["one restart", "everything diverged", "no minima"], DEGENERATE))
def test_whatever_comes_in_every_figure_can_be_drawn_and_none_is_empty(
    restarts: pd.DataFrame,
    minima: pd.DataFrame,
    curves: pd.DataFrame,
    quantiles: pd.DataFrame,
    case: str,
) -> None:
    """Warnings are errors here."""
    restarts, bottoms = DEGENERATE[case](restarts), DEGENERATE[case](minima)
    bottoms = bottoms[bottoms["minimum"] >= 0] if len(bottoms) else bottoms
    if restarts.empty or (restarts["status"] == "diverged").all():
        quantiles = quantiles.assign(restarts=0, **{n: np.nan for n in quantiles if n.startswith("loss_")})
    table = spread(restarts, VARIED) if len(restarts) else pd.DataFrame()
    figures = condition_figures(restarts, bottoms, curves, quantiles, "a title").values()
    assert all(something_can_be_seen(figure) for figure in figures)
    figures = sweep_figures(restarts, bottoms, table, VARIED).values()
    assert all(something_can_be_seen(figure) for figure in figures)


@pytest.mark.parametrize("missing", [lambda frame: frame.iloc[:0], lambda _: pd.DataFrame()], ids=["rows", "columns"])
def test_a_table_that_was_not_kept_leaves_the_figures_of_the_others(
    restarts: pd.DataFrame,
    minima: pd.DataFrame,
    curves: pd.DataFrame,
    quantiles: pd.DataFrame,
    missing: Callable[[pd.DataFrame], pd.DataFrame],
) -> None:
    tables = [restarts, minima, curves, quantiles]
    for number in range(4):
        some = [missing(table) if number == place else table for place, table in enumerate(tables)]
        figures = condition_figures(*some, "a title")
        silent = {name for name, figure in figures.items() if figure.axes[0].axison}
        drawn_from = [
            {"waterfall", "distribution", "fans_by_kind", "fans_by_minimum", "trajectories"},
            {"rank_abundance", "rarefaction", "sharpness"},
            {"fans_by_kind", "fans_by_minimum", "trajectories"},
            {"loss_fan"},
        ]
        assert silent == CONDITION - drawn_from[number]


@pytest.mark.parametrize(
    ("varied", "axes"),
    [
        ([], ("network.depth", [])),
        (["network.depth", "init"], ("network.depth", ["init"])),
        (["init", "seed"], ("init", ["seed"])),
        (["descent", "network.depth", "init"], ("network.depth", ["descent", "init"])),
    ],
)
def test_the_depth_goes_across_and_everything_else_that_varies_into_panels(
    varied: list[str], axes: tuple[str, list[str]]
) -> None:
    assert sweep_axes(varied) == axes


def test_the_gallery_shows_every_figure_that_there_is() -> None:
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"!\[[^\]]+\]\(figures/gallery/(\w+)\.png\)", page))
    assert shown == {path.stem for path in (ROOT / "docs" / "figures" / "gallery").glob("*.png")}
    assert shown == CONDITION | {f"sweep_{name}" for name in SWEEP} | {
        "landscape",
        "landscape_2d",
        "hit_shares",
        "running_times",
        "disconnectivity",
        "saddle_index",
        "barrier",
        "basins_1d",
        "basins_2d",
        "answers",
        "weights",
    }
    for name in set(plots.__all__) - {"condition_figures", "landscape_figures", "sweep_figures", "save", "sweep_axes"}:
        assert f"plots.{name}(" in page


def test_the_pictures_of_the_gallery_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "figures" / "gallery").glob("*.png")}
    assert max(sizes.values()) < 120_000


@pytest.mark.stress
def test_the_script_of_the_gallery_draws_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer restarts, and of the sweep fewer steps."""
    location = importlib.util.spec_from_file_location("gallery", ROOT / "experiments" / "gallery.py")
    assert location is not None
    assert location.loader is not None
    gallery = importlib.util.module_from_spec(location)
    location.loader.exec_module(gallery)
    run = gallery.run

    def smaller(settings: dict[str, Any]) -> Any:
        quick = {"descent": {**settings["descent"], "steps": 50}} if "polish" in settings else {}
        return run({**settings, "restarts": 30, **quick})

    monkeypatch.setattr(gallery, "run", smaller)
    monkeypatch.setattr("sys.argv", ["gallery.py", str(tmp_path)])
    gallery.main()
    expected = {path.name for path in (ROOT / "docs" / "figures" / "gallery").glob("*.png")}
    assert {path.name for path in tmp_path.iterdir()} == expected


@pytest.mark.slow
def test_the_python_of_the_gallery_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "gallery.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.DOTALL))
    monkeypatch.chdir(tmp_path)
    exec(
        compile(code.replace('{"network": {"width": 2}', '{"restarts": 100, "network": {"width": 2}'), "page", "exec"),
        {},
    )
    assert len(list((tmp_path / "figures").glob("*.png"))) == 9
    assert len(list((tmp_path / "figures").glob("*.svg"))) == 9
    assert len(list((tmp_path / "figures" / "sweep").glob("*.png"))) == 4
