from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from basinet.pipeline.blocks import FolderStore, MemoryStore
from basinet.pipeline.gather import Findings
from basinet.pipeline.run import run
from basinet.pipeline.solve import solve
from basinet.study.study import Study

CONFIG: dict[str, Any] = {
    "problem": "xor",
    "network": {"depth": 2, "activation": "tanh"},
    "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3},
    "descent": {"steps": 2000, "learning_rate": 0.5, "records": 6},
    "restarts": 90,
}
KINDS: dict[str, dict[str, Any]] = {
    "descents": {},
    "runs": {"escape": {"name": "restart", "budget": 5000.0}},
    "runs up to the best": {"escape": {"name": "restart", "budget": 5000.0, "target": "best"}},
    "flows": {"descent": {"name": "gradient_flow", "time": 200.0, "records": 6}},
}
EDGES = [(0, 10), (10, 11), (11, 60), (60, 90)]


@pytest.fixture(scope="module", params=KINDS)
def both(request: pytest.FixtureRequest) -> tuple[Findings, Findings]:
    """What comes out of the same blocks at once, and in parts of which the first 20 restarts are held."""
    study = Study.from_config({**CONFIG, **KINDS[request.param]})
    store: MemoryStore[Any] = MemoryStore()
    for begin, end in EDGES:
        store.add(solve(study, range(begin, end)))
    return run(study, store=store, curves_max=15), run(study, store=store, curves_max=15, held=20)


def test_the_example_ends_at_bottoms_and_at_none(both: tuple[Findings, Findings]) -> None:
    assert len(both[0].minima) > 0
    assert (both[0].restarts["minimum"] == -1).any()


@pytest.mark.parametrize("table", ["restarts", "curves", "visits"])
def test_parts_below_each_other_are_the_whole_table(both: tuple[Findings, Findings], table: str) -> None:
    whole, divided = both
    expected = getattr(whole, table)
    if expected is None:
        assert all(getattr(part, table) is None for part in divided.parts)
        return
    found = pd.concat([getattr(part, table) for part in divided.parts], ignore_index=True)
    pd.testing.assert_frame_equal(found, expected, check_exact=True)


def test_evidence_and_parameters_of_parts_are_those_of_the_whole(both: tuple[Findings, Findings]) -> None:
    whole, divided = both
    for name, expected in whole.parameters.items():
        np.testing.assert_array_equal(np.concatenate([part.parameters[name] for part in divided.parts]), expected)
    for name, values in whole.evidence_arrays.items():
        found = np.concatenate([part.evidence_arrays[name] for part in divided.parts])
        np.testing.assert_array_equal(found, values)
    numbers = [part.tables()["evidence"]["restart"].to_pylist() for part in divided.parts]
    assert [(one[0], one[-1] + 1) for one in numbers] == EDGES


def test_what_needs_all_restarts_does_not_know_of_parts(both: tuple[Findings, Findings]) -> None:
    whole, divided = both
    pd.testing.assert_frame_equal(divided.minima, whole.minima, check_exact=True)
    pd.testing.assert_frame_equal(divided.quantiles, whole.quantiles, check_exact=True)
    assert divided.count == whole.count == 90
    assert whole.parts == ()


def test_what_is_held_are_the_first_restarts(both: tuple[Findings, Findings]) -> None:
    whole, divided = both
    pd.testing.assert_frame_equal(divided.restarts, whole.restarts.head(20), check_exact=True)
    assert divided.curves["restart"].max() == 14
    assert {len(values) for values in divided.parameters.values()} == {20}
    assert {len(values) for values in divided.evidence_arrays.values()} == {20}
    if whole.visits is not None and divided.visits is not None:
        first = whole.visits[(whole.visits["restart"] < 20).to_numpy()]
        pd.testing.assert_frame_equal(divided.visits, first, check_exact=True)


def test_restarts_beyond_those_asked_for_are_in_no_part(tmp_path: Any) -> None:
    study = Study.from_config({**CONFIG, "restarts": 40})
    store: FolderStore[Any] = FolderStore(tmp_path)
    for begin, end in ((0, 25), (25, 60)):
        store.add(solve(study, range(begin, end)))
    found = run(study, store=store, held=10)
    assert [len(part.restarts) for part in found.parts] == [25, 15]
    assert found.count == 40
    assert found.minima["count"].sum() == sum((part.restarts["minimum"] >= 0).sum() for part in found.parts)
