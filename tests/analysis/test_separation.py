"""Rules that separate basins: against labels whose rule is planted, and against labels by pure chance."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

from basinet.analysis.separation import OTHERS, separate, too_little
from basinet.foundation.errors import ConfigError

rng = np.random.default_rng(1)
STARTS = pd.DataFrame(rng.normal(size=(900, 4)), columns=["w1", "w2", "w3", "b"])


def planted(minimum: np.ndarray) -> pd.Series:
    return pd.Series(minimum.astype(np.int64))


def test_the_sign_that_decides_is_named_and_foretells_nearly_everything() -> None:
    found = separate(STARTS, planted(STARTS["w2"].to_numpy() > 0))
    assert found.tells
    assert found.accuracy.value > 0.98
    assert found.features["feature"].tolist() == ["w2"]
    assert found.rules["minimum"].tolist() == [0, 1]
    cut = float(found.rules["rule"].iloc[0].removeprefix("w2 ≤ "))
    near = np.sort(STARTS["w2"].abs())[5]
    assert abs(cut) < near
    assert "told by w2:" in found.sentence


def test_labels_by_pure_chance_are_claimed_to_be_told_no_oftener_than_an_interval_of_95_percent_errs() -> None:
    draws = 60
    claims = [separate(STARTS, planted(rng.random(900) < 0.6)) for _ in range(draws)]
    assert sum(found.tells for found in claims) <= binom.ppf(0.999, draws, 0.025)
    quiet = next(found for found in claims if not found.tells)
    assert quiet.sentence.startswith("No simple rule tells")


def test_every_third_restart_at_a_bottom_is_held_out_and_its_answers_are_counted_rule_by_rule() -> None:
    """The rules read as they are written, of the starts that they have not seen, give the counts and the accuracy."""
    ends = planted(1 * (STARTS["w1"].to_numpy() > 0.3) + 2 * (STARTS["b"].to_numpy() > -0.2))
    ends[STARTS["w3"] > 1.0] = -1  # which ended at no bottom
    found = separate(STARTS, ends)
    kept = STARTS[(ends >= 0).to_numpy()]
    held, truth = kept.iloc[2::3], ends[kept.index].iloc[2::3]
    assert (found.made_of, found.held_out) == (len(kept) - len(held), len(held))
    speaks = [held.eval(rule.replace("≤", "<=").replace(" and ", " & ")) for rule in found.rules["rule"]]
    counts = [int(rows.sum()) for rows in speaks]
    assert sum(counts) == len(held)
    np.testing.assert_allclose(found.rules["starts"], counts, atol=2)  # three digits of a cut are written
    assert found.accuracy.value == found.rules["right"].sum() / len(held)
    assert found.baseline == (truth == found.commonest).mean()
    assert found.accuracy.low < found.accuracy.value < found.accuracy.high


def test_rare_bottoms_are_one_and_a_number_that_goes_with_another_is_not_asked() -> None:
    frame = STARTS.assign(cubed=STARTS["w1"] ** 3, down=-np.exp(STARTS["w2"]))
    rare = np.where(STARTS["w3"] > 2.2, 10 + np.arange(900), np.floor(2 * (STARTS["w1"].clip(-1.4, 1.4) + 1.4)))
    found = separate(frame, planted(rare))
    assert set(found.rules["minimum"]) <= {0, 1, 2, 3, 4, 5, OTHERS}
    assert set(found.features["feature"]) <= {"w1", "w2", "w3", "b"}


def test_more_questions_tell_what_one_cannot() -> None:
    checkers = planted((STARTS["w1"].to_numpy() > 0.1) & (STARTS["w2"].to_numpy() > 0.1))
    one, two = (separate(STARTS, checkers, questions) for questions in (1, 2))
    assert one.rules["rule"].str.contains(" and ").sum() == 0
    assert two.accuracy.value > 0.97 > one.accuracy.value
    with pytest.raises(ConfigError, match="questions=0: must be 1 to 10"):
        separate(STARTS, checkers, 0)


def test_a_start_that_is_not_finite_is_as_large_as_a_number_can_be() -> None:
    frame = STARTS.assign(loss=np.where(STARTS["w1"] > 0.5, np.inf, 1.0))
    found = separate(frame[["loss"]], planted(STARTS["w1"].to_numpy() > 0.5))
    assert found.accuracy.value == 1.0


def test_where_there_is_nothing_to_be_told_it_says_why() -> None:
    assert too_little(planted(np.arange(90) % 2)) is None
    assert "all restarts that ended at bottoms ended at one" in str(too_little(planted(np.zeros(90))))
    told = too_little(pd.Series([0, 1] * 40 + [-1] * 500))
    assert told == "80 restarts ended at bottoms, and it takes 90 to tell what separates basins"
