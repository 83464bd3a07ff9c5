"""What a launch ends with, as it is seen in terminals of several widths and in a pipe."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from basinet.analysis import bottoms
from basinet.analysis.spread import Summary, spread
from basinet.workflows.summary import print_bottoms, print_spread, print_summary


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


Opened = Callable[[int], Callable[[], str]]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """Makes standard output a terminal of some width, and returns what reads it, colours aside."""

    def opened(width: int) -> Callable[[], str]:
        made = Terminal()
        monkeypatch.setattr(sys, "stdout", made)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", str(width))
        return lambda: re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", made.getvalue())

    return opened


def restarts(losses: list[float], **settings: Any) -> pd.DataFrame:
    """Restarts of one condition, whose equal losses are one minimum; NaN has diverged, below 0 is unfinished."""
    loss = np.array(losses)
    kind = np.where(np.isnan(loss), "diverged", np.where(loss < 0, "unfinished", "minimum"))
    status = np.where(np.isnan(loss), "diverged", "arrived")
    minimum = np.where(kind == "minimum", np.searchsorted(np.unique(loss), loss), -1)
    return pd.DataFrame({"loss": np.abs(loss), "kind": kind, "status": status, "minimum": minimum, **settings})


def summary_of(frame: pd.DataFrame, by: list[str]) -> Summary:
    found = frame[frame["kind"] == "minimum"].groupby([*by, "minimum"], dropna=False)["loss"].agg(["min", "size"])
    found = found.reset_index().rename(columns={"min": "loss"}).assign(kind="minimum")
    total = frame.groupby(by, dropna=False)["loss"].transform("size")
    sizes = frame.assign(total=total).drop_duplicates(by)[[*by, "total"]]
    minima = found.merge(sizes, on=by)
    minima["share"] = minima["size"] / minima["total"]
    return Summary(spread(frame, by), bottoms.levels(minima, by), by, "run", None)


def sweep() -> Summary:
    """Three inits at two depths, with four bottoms and some restarts that are unfinished or lost."""
    parts = []
    for number, init in enumerate(("normal", "orthogonal", "xavier_normal")):
        for depth in (2, 3):
            losses = [0.01 * depth] * (5 + number) + [0.02 * depth] * 3 + [0.0333] * depth + [-0.5] * number
            parts.append(restarts([*losses, float("nan")], **{"init": init, "network.depth": depth}))
    return summary_of(pd.concat(parts, ignore_index=True), ["network.depth", "init"])


SETTINGS = [{"descent": "gradient_descent", "descent.steps": 10_000, "descent.learning_rate": 1.0}]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_no_line_of_a_sweep_is_wider_than_the_terminal_and_no_number_is_cut(width: int, terminal: Opened) -> None:
    shown = terminal(width)
    print_summary(sweep(), SETTINGS)
    lines = shown().splitlines()
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    assert sum(bool(re.match(r"[23] +(normal|orthogonal|xavier_normal) ", line)) for line in lines) == 6


def test_more_columns_are_shown_where_there_is_room(terminal: Opened) -> None:
    shown = []
    for width in (60, 80, 200):
        read = terminal(width)
        print_spread(sweep().spread, ["network.depth", "init"])
        header = read().splitlines()[1]
        shown.append({name for name in ("best loss", "median [95 %]", "worst", "ended at") if name in header})
    assert shown[0] < shown[1] < shown[2]
    assert shown[2] == {"best loss", "median [95 %]", "worst", "ended at"}


def test_what_is_the_same_in_all_conditions_is_said_once(terminal: Opened) -> None:
    read = terminal(120)
    frame = pd.concat([restarts([1.0, 2.0], init=init, seed=7) for init in "ab"])
    print_spread(spread(frame, ["init", "seed"]), ["init", "seed"])
    _, header, *rest = read().splitlines()
    assert header.split() == ["init"]
    assert "The same everywhere: restarts 2, best loss 1," in " ".join(rest)


def test_in_a_pipe_every_column_is_there_and_no_control_character(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(sweep(), SETTINGS)
    out = capsys.readouterr().out
    assert re.findall(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", out) == []
    header = out.splitlines()[1]
    for heading in ("restarts", "best loss", "median [95 %]", "worst", "ended at", "minima", "coverage", "needed"):
        assert heading in header
    assert re.search(r"\n2 +normal +11 +0\.02 +0\.0267 \[0\.02, 0\.04\] +0\.04 ", out)


def test_conditions_of_one_function_are_rows_of_a_table_of_losses_and_shares(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = pd.concat(
        [restarts([0.25] * 3 + [0.5], init="a"), restarts([0.25 + 1e-13, 0.5, -0.7, float("nan")], init="b")]
    )
    print_bottoms(summary_of(frame, ["init"]))
    title, kinds, losses, first, second = (line.split() for line in capsys.readouterr().out.splitlines())
    assert " ".join(title) == "Where they ended: share of the restarts"
    assert kinds == ["minimum", "minimum", "unfinished", "diverged"]
    assert losses == ["init", "0.25", "0.5"]
    assert " ".join(first) == "a 75 % 25 % - -"
    assert " ".join(second) == "b 25 % 25 % 25 % 25 %"


def test_losses_for_which_there_is_no_room_are_taken_together(
    terminal: Opened,
) -> None:
    read = terminal(32)
    many = [number / 100 for number in range(1, 11)]
    frame = pd.concat([restarts([*many, *[0.05] * 10], init="a"), restarts([*many, *[0.07] * 10], init="b")])
    print_bottoms(summary_of(frame, ["init"]))
    *_, kinds, losses, first, second = read().splitlines()
    assert kinds.split() == ["minimum", "minimum", "others"]
    assert losses.split() == ["init", "0.05", "0.07"]
    assert first.split() == ["a", "55", "%", "5", "%", "40", "%"]
    assert second.split() == ["b", "5", "%", "55", "%", "40", "%"]


def test_of_one_condition_every_level_is_a_line_also_those_at_infinity_and_the_degenerate_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = restarts([-1.0] * 10)
    frame["kind"] = ["at_infinity"] * 6 + ["degenerate"] * 3 + ["unfinished"]
    levels = pd.DataFrame(
        {"kind": ["at_infinity", "degenerate"], "loss": [3e-16, 0.125], "share": [0.6, 0.3], "bottoms": [2, 1]}
    ).assign(orbits=0.0)
    frame["condition"] = "problem=xor"
    print_bottoms(Summary(spread(frame, ["condition"]), levels, ["condition"], "run", None))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[1] == "ended at loss share [95 %] bottoms"
    assert lines[2].startswith("at infinity → 0 60 % [")
    assert lines[2].endswith("] 2")
    assert lines[3].startswith("degenerate 0.125 30 % [")
    assert lines[4].startswith("unfinished 10 % [")


def test_conditions_that_minimise_functions_of_their_own_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.concat(
        [restarts([0.25] * 3 + [0.5], **{"network.depth": 1}), restarts([0.125] * 4, **{"network.depth": 2})]
    )
    print_bottoms(summary_of(frame, ["network.depth"]))
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines[2:] == ["1 minimum 0.25 75 %, minimum 0.5 25 %", "2 minimum 0.125 100 %"]


@pytest.mark.parametrize("name", ["problem.path=a[/b].csv", "x[red]y", "[", "a[1, 2]"])
def test_names_that_look_like_markup_are_shown_as_they_are(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.concat([restarts([1.0], condition=name), restarts([1.0], condition="another")])
    print_summary(summary_of(frame, ["condition"]), SETTINGS)
    assert f"\n{name} " in capsys.readouterr().out
    print_spread(spread(restarts([1.0], condition=name), ["condition"]), ["condition"])
    assert capsys.readouterr().out.startswith(f"{name}: 1 random restart\n")


def test_conditions_that_have_all_diverged_can_be_shown(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary(summary_of(restarts([float("nan")] * 2, condition="a"), ["condition"]), SETTINGS)
    out = capsys.readouterr().out
    assert "diverged 100 %" in out
    assert "diverged 100 %: the steps are too long: descent.learning_rate=0.1" in out


def test_accuracies_stand_in_the_table_where_there_are_any_and_a_line_explains_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = restarts([1.0, 2.0, 3.0], init="a")
    print_spread(spread(frame, ["init"]), ["init"])
    assert "accuracy" not in capsys.readouterr().out
    frame["accuracy"], frame["accuracy_holdout"] = [0.5, 0.75, 1.0], [0.25, 0.5, 0.5]
    print_spread(spread(frame, ["init"]), ["init"])
    out = capsys.readouterr().out
    _, heading, row, *_ = out.splitlines()
    assert heading.index("accuracy") < heading.index("held out")
    assert re.search(r" 3 +75 % +50 % +minimum 100 %", row)
    assert "median share of samples in the right class" in " ".join(out.split())


def test_orbits_are_shown_beside_minima_where_they_are_fewer_and_the_symmetries_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    frame = restarts([1.0] * 3 + [2.0] * 2 + [2.0 + 1e-9] * 2 + [-1.0], condition="a")
    minima = pd.DataFrame({"condition": "a", "kind": "minimum", "loss": [1.0, 2.0, 2.0], "share": [0.3, 0.2, 0.2]})
    for orbits, shown in (([0, 1, 1], True), ([0, 1, 2], False)):
        of_restarts = frame.assign(orbit=np.append(orbits, -1)[frame["minimum"]])
        levels = bottoms.levels(minima.assign(orbit=orbits), ["condition"])
        told = ("inputs 1 and 2 exchanged (2 in all)",)
        print_summary(
            Summary(spread(of_restarts, ["condition"]), levels, ["condition"], "run", None, told * shown), SETTINGS
        )
        out = capsys.readouterr().out
        assert ("orbits" in out) == shown
        assert ("Problem symmetries: inputs 1 and 2 exchanged (2 in all).\n" in out) == shown
        (two,) = (line.split() for line in out.splitlines() if re.match(r"minimum +2 ", line))
        assert two[-2:] == ["2", "1"] if shown else two[-1] == "2"
