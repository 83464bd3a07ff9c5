from __future__ import annotations

import pandas as pd

from basinet.analysis import cards
from basinet.analysis.cards import Card


def test_a_card_is_one_line_for_each_fact_and_in_a_notebook_a_table_too() -> None:
    card = Card("Findings of a & b", ["3 < 4"], pd.DataFrame({"loss": ["0.1", "0.2"]}), ".minima")
    assert card.text() == "Findings of a & b\n  3 < 4\n  .minima"
    found = card.html()
    assert "Findings of a &amp; b" in found
    assert "3 &lt; 4" in found
    assert "<code>.minima</code>" in found
    assert found.count("<td>") == 2


def test_of_a_long_table_a_card_shows_the_beginning_and_says_how_much_is_left() -> None:
    found = Card("many", table=pd.DataFrame({"loss": [str(number) for number in range(1008)]})).html()
    assert found.count("<td>") == 8
    assert "1,000 more rows." in found


def _minima(kinds: list[str], counts: list[int]) -> pd.DataFrame:
    share = [count / 10 for count in counts]
    bounds = {"share": share, "share_low": share, "share_high": share}
    return pd.DataFrame({"kind": kinds, "count": counts, "loss": [0.5, 0.25, 0.0][: len(kinds)], **bounds})


def test_the_best_minimum_is_the_lowest_that_a_restart_has_reached_and_no_other_kind_of_bottom() -> None:
    told = cards.best(_minima(["minimum", "minimum", "degenerate"], [6, 3, 1]))
    assert told == "2 distinct minima; the best, 0.25, is reached by 30 % [30, 30] of the restarts"
    seen_by_searches_only = cards.best(_minima(["minimum", "minimum"], [10, 0]))
    assert seen_by_searches_only.startswith("1 distinct minimum; the best, 0.5,")


def test_where_there_is_no_minimum_that_is_said() -> None:
    assert cards.best(_minima(["degenerate"], [10])) == "no restart was certified as a minimum"
