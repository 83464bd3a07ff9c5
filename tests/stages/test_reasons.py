from __future__ import annotations

import numpy as np
import pytest

import basinet
from basinet.foundation.outcomes import Kind, Reason
from basinet.stages.newton import Outcome
from basinet.stages.reasons import reasons
from basinet.study.defaults import tolerances


@pytest.mark.parametrize(
    ("outcome", "settles", "moved", "recedes", "expected"),
    [
        (Outcome.SKIPPED, True, 0.0, False, Reason.UNPOLISHED),
        (Outcome.LEFT_RADIUS, True, 0.0, False, Reason.FAR),
        (Outcome.LEFT_RADIUS, True, 0.0, True, Reason.EARLY),
        (Outcome.STALLED, False, 0.0, False, Reason.STALLED),
        (Outcome.STALLED, True, 0.0, True, Reason.EARLY),
        (Outcome.CONVERGED, False, 0.0, False, Reason.WANDERS),
        (Outcome.CONVERGED, False, 0.05, False, Reason.EARLY),
        (Outcome.CONVERGED, True, 0.05, False, Reason.EARLY),
    ],
)
def test_why_a_restart_is_unfinished_follows_from_how_polishing_ended(
    outcome: Outcome, settles: bool, moved: float, recedes: bool, expected: Reason
) -> None:
    evidence = {"settles": np.full(2, settles), "moved": np.full(2, moved), "recedes": np.full(2, recedes)}
    kind = np.array([Kind.UNFINISHED, Kind.MINIMUM], np.int8)
    found = reasons(kind, np.full(2, outcome, np.int8), evidence, tolerances())
    assert found.tolist() == [expected, -1]


def test_exactly_the_unfinished_restarts_of_a_study_have_a_reason() -> None:
    settings = {"problem": "sine", "restarts": 24, "descent": {"steps": 300}, "objective": {"l2_weights": 1e-3}}
    table = basinet.run(basinet.Study.from_config(settings)).restarts
    assert (table["unfinished_because"].notna() == (table["kind"] == "unfinished")).all()
    assert (table["kind"] == "unfinished").any()
    unpolished = basinet.run(basinet.Study.from_config({**settings, "polish": "none"})).restarts
    assert set(unpolished["unfinished_because"]) == {"unpolished"}


def test_the_levels_of_xor_at_infinity_are_those_that_are_known() -> None:
    """0, 1/16 and 1/12: one sample, or three, answered by their mean (Sprinkhuizen-Kuyper & Boers, 1999)."""
    study = basinet.Study.from_config(
        {"problem": "xor", "network": {"depth": 2}, "restarts": 64, "descent": {"steps": 3000}}
    )
    minima = basinet.run(study).minima
    levels = minima[minima["kind"] == "at_infinity"]["level"].to_numpy()
    assert len(levels) > 1
    assert np.abs(levels[:, None] - [0.0, 1 / 16, 1 / 12]).min(1).max() < 1e-7
    assert (minima["loss"] >= minima["level"]).all()
