"""Sentences and cells, against what a person would have written of the same numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from basinet.analysis import wording
from basinet.analysis.compare import differences, levels
from basinet.analysis.spread import spread


def restarts(**conditions: list[float]) -> pd.DataFrame:
    """Conditions that differ in their init; equal losses are one minimum, a NaN has diverged."""
    frame = pd.concat([pd.DataFrame({"init": init, "loss": losses}) for init, losses in conditions.items()])
    lost = frame["loss"].isna()
    kind = np.where(lost, "diverged", "minimum")
    minimum = np.where(lost, -1, frame["loss"].rank(method="dense").fillna(0).astype(int))
    return frame.assign(status=np.where(lost, "diverged", "arrived"), kind=kind, minimum=minimum, steps=7)


def rows(**conditions: list[float]) -> list[pd.Series]:
    return [row for _, row in spread(restarts(**conditions), ["init"]).iterrows()]


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.124, "12.4 %"),
        (1.0, "100 %"),
        (0.9997, "99.97 %"),
        (0.9999999, "99.99 %"),
        (0.0, "0 %"),
        (1e-4, "0.01 %"),
        (np.nan, "-"),
    ],
)
def test_nearly_all_is_not_all(share: float, text: str) -> None:
    assert wording.percent(share) == text


def test_the_clause_about_minima_counts_them_and_says_how_many_restarts_ended_in_none() -> None:
    (row,) = rows(a=[1.0] * 60 + [2.0] * 39 + [3.0])
    assert wording.minima_clause(row).startswith("3 distinct minima cover 99 % [")
    assert "of the starts; the best is reached by 60 % [50.2, 69.1] of the restarts" in wording.minima_clause(row)
    (row,) = rows(a=[1.0] * 9 + [np.nan])
    assert wording.minima_clause(row).startswith("1 distinct minimum covers 100 %")
    assert "] of the starts that end in a minimum (90 % of all); " in wording.minima_clause(row)
    assert wording.minima_clause(row).endswith("of the restarts; 10 % of them ended in none")
    (row,) = rows(a=[np.nan] * 3)
    assert wording.minima_clause(row) == "no restart was certified as a minimum (diverged 100 %)"


def test_orbits_are_told_where_they_are_fewer_than_minima() -> None:
    (row,) = rows(a=[1.0] * 60 + [2.0] * 39 + [3.0])
    fewer, as_many = row.copy(), row.copy()
    fewer["orbits"], as_many["orbits"] = 2.0, 3.0
    assert wording.minima_clause(fewer).startswith("3 distinct minima (2 modulo the problem's symmetries) cover 99 % [")
    assert wording.minima_clause(as_many) == wording.minima_clause(row)
    assert wording.spread_cells(fewer)["orbits"] == "2"
    assert "orbits" not in wording.spread_cells(row)
    minimum = pd.Series({"minimum": 0, "orbit": -1, "kind": "degenerate", "loss": 1.0, "count": 3, "restart": 0})
    for name in ("share", "share_low", "share_high", "lambda_min", "lambda_max"):
        minimum[name] = 0.5
    assert wording.minimum_cells(minimum)["orbit"] == "-"
    assert "orbit" not in wording.minimum_cells(minimum.drop("orbit"))


def test_symmetries_of_a_problem_are_told_once_with_how_many_conditions_have_them() -> None:
    class Found:
        order, complete, words = 8, True, ["a exchanged", "b reflected"]

    class CutShort:
        order, complete, words = 1, False, list[str]()

    told = wording.symmetry(Found())
    assert told == "a exchanged; b reflected (8 in all)"
    assert wording.symmetry(CutShort()).startswith(
        "none found (1 in all, not searched for to the end: there may be more"
    )
    assert wording.symmetries([told, told]) == [f"Problem symmetries: {told}."]
    assert wording.symmetries([told, "", told]) == [f"Problem symmetries of 2 of 3 conditions: {told}."]
    assert wording.symmetries(list("abcdefgg"))[5:] == [
        "Problem symmetries of 1 of 8 conditions: f.",
        "2 more conditions have others.",
    ]
    assert wording.symmetries([""]) == wording.symmetries([]) == []


def test_coverage_is_written_with_the_share_of_restarts_that_it_is_of() -> None:
    (all_of_them,) = rows(a=[1.0] * 60 + [2.0] * 39 + [3.0])
    (tenth,) = rows(a=[1.0] * 10 + [np.nan] * 90)
    (none,) = rows(a=[np.nan] * 3)
    written = [wording.spread_cells(row)["coverage"] for row in (all_of_them, tenth, none)]
    assert written == ["99 % of 100 %", "100 % of 10 %", "-"]


def test_what_has_to_be_kept_in_mind_is_said_of_few_of_lost_and_of_equal_restarts_only() -> None:
    named = {
        "one": [1.0],
        "lost": [np.nan] * 4,
        "equal": [1.0, 1.0 + 1e-15, 1.0],
        "partly": [2.0, 2.0, np.nan],
        "usual": [1.0, 2.0, 3.0],
        "one_lost": [np.nan],
    }
    said = {row["init"]: wording.remark(row) for row in rows(**named)}
    assert said == {
        "one": "it has one restart; intervals and comparisons say next to nothing.",
        "lost": "all 4 restarts diverged.",
        "equal": "every restart ended at the same loss, 1.",
        "partly": "every restart that did not diverge ended at the same loss, 2.",
        "usual": None,
        "one_lost": "its one restart diverged.",
    }


@pytest.mark.parametrize(
    ("statuses", "planned", "expected"),
    [
        (["finished", "finished"], 2, []),
        ([], 0, ["Nothing has been run: there are no conditions."]),
        (["failed"], 0, ["None of 1 condition has finished: 1 failed."]),
        (
            ["finished", "killed", "finished", "failed", "failed"],
            9,
            [
                "Only 2 of 5 conditions have finished: 1 interrupted, 2 failed.",
                "4 of 9 planned conditions were never begun.",
            ],
        ),
    ],
)
def test_what_is_missing_is_counted(statuses: list[str], planned: int, expected: list[str]) -> None:
    assert wording.status_sentences(statuses, planned) == expected


def test_of_two_conditions_the_one_with_the_lower_losses_is_named() -> None:
    frame = restarts(a=[5.0 + i for i in range(20)], b=[1.0 + i / 100 for i in range(20)])
    pairs = differences(frame, ["init"])
    assert wording.pairs_sentence(pairs, ["init"]) == (
        "Of 1 pair of conditions, 1 differs for certain; "
        "most of all init=b, which has lower losses than init=a (Cliff's δ = +1)."
    )
    cells = wording.difference_cells(pairs.iloc[0], ["init"])
    assert (cells["a"], cells["b"], cells["lower losses"]) == ("init=a", "init=b", "init=b")
    assert (cells["median of a"], cells["δ"], cells["p (Holm)"]) == ("14.5", "+1", "< 0.0001")


def test_a_comparison_says_whether_it_was_by_start() -> None:
    frame = restarts(a=[5.0 + i for i in range(20)], b=[1.0 + i / 100 for i in range(20)])
    alike = frame.assign(start=[*range(20), *range(20)])
    compared = [
        wording.difference_cells(differences(table, ["init"]).iloc[0], ["init"])["compared"]
        for table in (alike, alike.assign(start=range(40)), frame)
    ]
    assert compared == ["by start", "as a whole", "as a whole"]


def test_differences_by_rounding_are_none() -> None:
    frame = restarts(a=[0.5, 0.5, 0.5], b=[0.5 + 1e-16, 0.5 + 2e-16, 0.5])
    cells = wording.difference_cells(differences(frame, ["init"]).iloc[0], ["init"])
    assert (cells["difference [95 %]"], cells["δ"], cells["p (Holm)"]) == ("0 [0, 0]", "0", "-")
    assert cells["lower losses"] == "cannot be told"


def test_medians_that_are_infinite_are_written_so() -> None:
    frame = restarts(a=[0.5, 0.5, 0.6, 0.5], b=[np.nan] * 4)
    cells = wording.difference_cells(differences(frame, ["init"]).iloc[0], ["init"])
    assert cells["median of b"] == "∞"
    assert cells["difference [95 %]"] == "−∞ [−∞, −∞]"


def test_a_setting_that_matters_is_told_from_one_that_does_not() -> None:
    frame = pd.concat(
        [
            restarts(x=[float(i) for i in range(30)], y=[100.0 + i for i in range(30)]).assign(depth=1),
            restarts(x=[float(i) for i in range(30)], y=[float(i) for i in range(30)]).assign(depth=2),
        ]
    )
    told = wording.factor_sentence("init", levels(frame, "init", ["depth"]), ["depth"])
    assert told.startswith("init makes a difference to the final loss in 1 of 2 settings of depth: it explains up to 7")
    assert told.endswith("% of the variance of the ranks, most at depth=1.")
    same = frame[frame["depth"] == 2]
    told = wording.factor_sentence("init", levels(same, "init"), [])
    assert told == "init makes no difference to the final loss that could be told from chance."


def test_where_the_best_minimum_is_found_is_said_with_its_share() -> None:
    table = spread(restarts(a=[1.0] * 3 + [2.0], b=[1.0] + [2.0] * 3), ["init"])
    told = wording.best_sentence(table, ["init"])
    assert told.startswith("The lowest minimum is reached by 75 % [")
    assert "] of the restarts with init=a, and by 25 % [" in told
    assert told.endswith("] with init=b.")
    lost = spread(restarts(a=[np.nan], b=[np.nan]), ["init"])
    assert (
        wording.best_sentence(lost, ["init"]) == "No restart was certified as a minimum, so that no best one is known."
    )


def test_inits_are_compared_within_the_network_in_which_they_differ_most() -> None:
    """Of two networks, one is reached alike from both inits; in the other it is three of four restarts."""
    alike = restarts(a=[1.0] * 4, b=[1.0] * 4).assign(**{"network.depth": 2})
    apart = restarts(a=[1.0] * 4, b=[1.0] + [2.0] * 3).assign(**{"network.depth": 3})
    by = ["network.depth", "init"]
    told = wording.best_sentence(spread(pd.concat([alike, apart], ignore_index=True), by), by)
    assert told.startswith("The lowest minimum is reached at network.depth=3 by 100 % [")
    assert "with init=a, and by 25 % [" in told


def test_distinct_minima_are_counted_network_by_network() -> None:
    one = restarts(a=[1.0] * 4).assign(**{"network.depth": 2})
    two = restarts(a=[1.0, 1.0, 2.0, 2.0]).assign(**{"network.depth": 3})
    by = ["network.depth", "init"]
    table = spread(pd.concat([one, two], ignore_index=True), by)
    expected = "Distinct minima found: 1 at network.depth=2, 2 at network.depth=3."
    assert wording.networks_sentence(table, by) == expected


@pytest.mark.parametrize(
    ("by", "expected"),
    [
        ([], "Where do random restarts end?"),
        (["init"], "Where do random restarts end, and how does that change with init?"),
        (
            ["seed", "init", "descent"],
            "Where do random restarts end, and how does that change with seed, init and descent?",
        ),
    ],
)
def test_a_sweep_without_a_study_asks_for_what_it_varies(by: list[str], expected: str) -> None:
    assert wording.question(by) == expected


def test_a_condition_is_named_by_the_settings_it_has() -> None:
    settings: dict[str, Any] = {"init": "normal", "init.gain": np.nan, "network.depth": 3.0, "init.std": 0.5}
    assert wording.condition_label(settings, list(settings)) == "init=normal network.depth=3 init.std=0.5"
