"""Runs from the command line to their tables: killed, extended, compared, and asked for what cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import basinet
from basinet.foundation.errors import ConfigError
from basinet.pipeline.blocks import FolderStore
from basinet.pipeline.gather import gather
from basinet.pipeline.run import run
from basinet.study.study import Study

CAMEL = {
    "objective": {"name": "test_function", "function": "camel"},
    "init": "uniform",
    "engine": "torch",
    "descent": {"learning_rate": 0.01, "steps": 200, "tolerance": 1e-5},
}
LINE = (
    "objective=test_function init=uniform engine=torch descent.learning_rate=0.01 descent.steps=200 "
    "descent.tolerance=1e-5 tracking.figures=none"
)


def study(budget: float, restarts: int = 12, **more: Any) -> Study:
    escape = {"name": "basin_hopping", "budget": budget, **more}
    return Study.from_config({**CAMEL, "restarts": restarts, "escape": escape})


def stored(made: Study, folder: Path) -> FolderStore:
    return FolderStore(folder, made_by=made.made_by, budget=made.budget)


def same(one: pd.DataFrame | None, other: pd.DataFrame | None) -> bool:
    assert one is not None
    assert other is not None
    pd.testing.assert_frame_equal(one, other)
    return True


def test_visits_are_those_of_certified_minima_and_the_lowest_is_the_published_one() -> None:
    found = run(study(2000))
    visits, minima = found.visits, found.minima
    assert visits is not None
    named = visits[visits["minimum"] >= 0]
    assert len(named) > 0.9 * len(visits)
    assert named["loss"].tolist() == minima["loss"].to_numpy()[named["minimum"]].tolist()
    assert (named["loss_descended"] - named["loss"]).abs().max() < 1e-6
    # Both lowest minima of the camel have one height: points of theirs are told apart by where they are.
    assert minima["loss"].to_numpy()[:2] == pytest.approx([-1.0316284535] * 2, abs=1e-9)
    assert set(named["minimum"]) >= {0, 1}
    own = visits[visits["round"] == 0].set_index("restart")["minimum"]
    assert own.tolist() == found.restarts["minimum"].tolist()
    best = visits.groupby("restart")["loss"].cummin()
    assert visits["best"].tolist() == best.tolist()


def test_a_condition_whose_budget_is_raised_goes_on_and_its_tables_are_those_of_one_that_always_had_it(
    tmp_path: Path,
) -> None:
    short, long = study(500), study(1500)
    assert short.key == long.key
    run(short, store=stored(short, tmp_path / "a"))
    before = len(list((tmp_path / "a").iterdir()))
    extended, whole = run(long, store=stored(long, tmp_path / "a")), run(long, store=stored(long, tmp_path / "b"))
    assert len(list((tmp_path / "a").iterdir())) == before  # what was visited before is not left beside
    for name in ("round", "restart", "gradients", "accepted", "spent"):
        assert extended.visits is not None
        assert whole.visits is not None
        assert extended.visits[name].tolist() == whole.visits[name].tolist()
    assert same(extended.restarts, whole.restarts)


def test_a_block_without_its_visits_is_made_again(tmp_path: Path) -> None:
    made = study(500)
    whole = run(made, store=stored(made, tmp_path))
    for file in tmp_path.glob("*.visits"):
        file.unlink()
    assert stored(made, tmp_path).finished() == 0
    assert same(run(made, store=stored(made, tmp_path)).visits, whole.visits)


def test_runs_that_come_to_no_other_bottom_are_read_from_their_files(tmp_path: Path) -> None:
    """The first descent spends the budget, so that tables of bottoms have no rows."""
    made = study(10, restarts=3)
    found = run(made, store=stored(made, tmp_path))
    assert found.visits is not None
    assert found.visits["round"].tolist() == [0, 0, 0]
    assert same(run(made).visits, found.visits)


def test_fewer_restarts_than_were_made_keep_their_visits_and_bottoms(tmp_path: Path) -> None:
    many, few = study(800, 12), study(800, 5)
    run(many, store=stored(many, tmp_path))
    blocks = [block.within(5) for block in stored(few, tmp_path).blocks()]
    cut, alone = gather(few, blocks, 10), run(few)
    assert same(cut.restarts, alone.restarts)
    assert cut.visits is not None
    assert alone.visits is not None
    assert cut.visits.drop(columns=["loss", "best"]).equals(alone.visits.drop(columns=["loss", "best"]))
    assert np.allclose(cut.visits["loss"], alone.visits["loss"], rtol=1e-12)


@pytest.mark.slow
def test_a_sweep_over_methods_says_which_pays_and_a_raised_budget_continues_it(
    command: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = f"-m {LINE} restarts=20 escape=none,restart,basin_hopping"
    first = command(f"{line} escape.budget=800")
    assert first.code == 0, first.err
    assert "Runs: what it takes to reach the best known minimum" in first.out
    assert "asin hopping" in first.out
    before = basinet.load_visits("basinet")
    assert set(before["escape"]) == {"restart", "basin_hopping"}
    assert command(f"{line} escape.budget=1600").code == 0
    after = basinet.load_visits("basinet")
    assert len(after) > 1.5 * len(before)
    keys = ["escape", "restart", "round"]
    both = before.merge(after, on=keys, suffixes=("_before", "_after"))
    assert len(both) == len(before)
    assert both["gradients_before"].tolist() == both["gradients_after"].tolist()
    table = basinet.running_time(after, "escape")
    assert (table["runs"] == 20).all()


def test_a_sweep_over_budgets_is_refused_in_one_line(command: Callable[[str], Any]) -> None:
    answer = command("-m escape=restart escape.budget=100,200")
    assert answer.code != 0
    assert "escape.budget=100,200: runs pass every smaller budget, so give the largest" in answer.err


@pytest.mark.slow
def test_a_store_without_runs_says_so(
    command: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(f"{LINE} restarts=3").code == 0
    with pytest.raises(ConfigError, match=r"^'basinet' has no runs that escape: its conditions have escape=none$"):
        basinet.load_visits("basinet")


@pytest.mark.slow
def test_saddles_are_sought_from_what_runs_have_visited_and_again_where_a_larger_budget_has_found_more(
    tmp_path: Path,
) -> None:
    """The camel has 6 minima and 2 maxima, so that there are 7 saddles; two restarts end at no more than two minima."""
    landscape = {"name": "saddles", "searches": 48, "indices": "all"}
    new = []
    for budget in (100, 2000):
        escape = {"name": "basin_hopping", "budget": budget}
        asked = Study.from_config({**CAMEL, "restarts": 2, "escape": escape, "landscape": landscape})
        found = run(asked, store=stored(asked, tmp_path))
        assert found.landscape is not None
        assert found.visits is not None
        assert found.landscape.saddles["index"].tolist() == [1] * 7 + [2] * 2
        visited = set(found.visits["minimum"]) - {-1}
        assert set(found.minima.loc[found.minima["restart"] >= 0, "minimum"]) == visited
        assert set(found.minima.loc[found.minima["restart"] < 0, "minimum"]) == set(range(6)) - visited
        new.append(found.landscape.new_minima)
        assert ("only searches" in found.landscape.sentence) == (new[-1] > 0)
    assert new[0] > new[1] == 0
    assert (found.minima["count"] == 0).sum() >= 4
    assert found.landscape is not None
    assert len({path.name for path in tmp_path.glob("searches-*")}) == 2


@pytest.mark.slow
@pytest.mark.parametrize("escape", ["basin_hopping", "langevin escape.steps=20"])
def test_a_round_of_a_run_is_replayed_to_the_bit_and_one_that_is_not_there_is_refused(
    escape: str, command: Callable[[str], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command(f"{LINE} restarts=4 escape={escape} escape.budget=600 escape.visits=3").code == 0
    visits = basinet.load_visits("basinet").set_index(["restart", "round"])
    run_id = visits["run_id"].iloc[0]
    followed = [place for place in visits.index if place[1] and (place[0], place[1] - 1) in visits.index]
    for restart, number in (followed[0], followed[4], (1, 0)):
        again = basinet.replay(run_id, restart, round=number)
        visit = visits.loc[(restart, number)]
        assert again.identical
        assert again.curve["loss"].iloc[-1] == visit["loss_descended"]
        if number:
            walked = 20 if "langevin" in escape else 0
            assert visit["gradients"] - visits.loc[(restart, number - 1), "gradients"] == walked + len(again.curve)
    rounds = int(basinet.load_restarts("basinet")["rounds"].iloc[2])
    for number, message in (
        (rounds, rf"has rounds 0 to {rounds - 1}, not {rounds}$"),
        (-1, "round -1: must be 0 or more"),
    ):
        with pytest.raises(ConfigError, match=message):
            basinet.replay(run_id, 2, round=number)
    missing = next(number for number in range(1, 9) if (3, number) not in visits.index)
    with pytest.raises(ConfigError, match=rf"round {missing} came to no bottom that is kept; rounds 0.* did$"):
        basinet.replay(run_id, 3, round=missing)
