"""Whole landscapes that are known: every minimum, every saddle, every edge."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize

from basinet import Study, run
from basinet.analysis.euler import Verdict, euler
from basinet.pipeline.blocks import FolderStore, MemoryStore
from basinet.pipeline.landscape import Landscape

ALL = {"name": "saddles", "searches": 256, "indices": "all"}
XOR = {
    "problem": "xor",
    "network": {"width": 1, "activation": "logistic", "output": "logistic"},
    "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3},
    "descent": {"learning_rate": 10.0, "steps": 1000},
    "restarts": 60,
    "engine": "torch",
}


def neuron(dimension: int) -> dict[str, Any]:
    return {
        "problem": {"name": "neuron", "dimension": dimension},
        "network": {"depth": 1, "bias": False},
        "init": {"name": "uniform", "bound": 40.0},
        "descent": {"learning_rate": 40.0 * dimension, "steps": 2000},
        "restarts": 30 * dimension,
        "engine": "torch",
    }


def chain(depth: int) -> dict[str, Any]:
    return {
        "problem": {"name": "chain", "targets": [1.0]},
        "network": {"depth": depth, "bias": False, "activation": "identity", "output": "identity"},
        "objective": {"l2_weights": 0.1},
        "descent": {"learning_rate": 0.1},
        "restarts": 20,
        "engine": "torch",
    }


def landscape(settings: dict[str, Any], **changes: Any) -> Landscape:
    found = run(Study.from_config({**settings, "landscape": {**ALL, **changes}})).landscape
    assert found is not None
    return found


def only_minima(found: Landscape) -> pd.DataFrame:
    return found.minima[found.minima["kind"] == "minimum"]


XOR_MINIMA = [
    0.112400368840, 0.114887043433, 0.115752106865, 0.115752106865, 0.117681070547, 0.117681070547,
    0.125, 0.125166164905, 0.126467678700,
]  # fmt: skip
XOR_SADDLES = [
    0.125162683234, 0.125188462344, 0.125381100613, 0.125381100613, 0.125434464035, 0.125434464035,
    0.126580486545, 0.126907539128,
]  # fmt: skip


@pytest.fixture(scope="module")
def xor() -> Landscape:
    return landscape(XOR, searches=768)


@pytest.mark.slow
def test_the_landscape_of_xor_is_a_star(xor: Landscape) -> None:
    """GROUND_TRUTHS 10: each minimum is joined with θ = 0 over a saddle of its own, and there is nothing else."""
    minima = only_minima(xor)
    np.testing.assert_allclose(np.sort(minima["loss"]), XOR_MINIMA, rtol=0, atol=1e-10)
    np.testing.assert_allclose(xor.saddles["loss"], XOR_SADDLES, rtol=0, atol=1e-10)
    assert set(xor.saddles["index"]) == {1}
    origin = int(minima.loc[minima["parameter_norm"] < 1e-9, "minimum"].item())
    ends = xor.saddles[["minimum_a", "minimum_b"]].to_numpy()
    assert (np.sort((ends == origin).sum(1)) == 1).all()
    others = sorted(int(end) for end in ends.ravel() if end != origin)
    assert others == sorted(set(minima["minimum"]) - {origin})
    # the table of the truths: each minimum below its own saddle
    loss = minima.set_index("minimum")["loss"]
    joined = zip((end for row in ends for end in row if end != origin), XOR_SADDLES, strict=True)
    pairs = sorted((float(loss[end]), saddle) for end, saddle in joined)
    wanted = sorted(zip([m for m in XOR_MINIMA if m != 0.125], XOR_SADDLES, strict=True))
    np.testing.assert_allclose(pairs, wanted, rtol=0, atol=1e-10)
    assert xor.connected
    assert xor.metrics["landscape/euler"] == 1


@pytest.mark.slow
def test_the_check_fails_when_a_saddle_is_taken_out(xor: Landscape) -> None:
    assert xor.euler is not None
    assert xor.euler.verdict is Verdict.PASSED
    for row in xor.saddles.index:
        part = euler(xor.minima, xor.saddles.drop(index=row), coercive=True, smooth=True)
        assert part.verdict is Verdict.FAILED


@pytest.mark.slow
def test_the_ways_between_two_minima_lead_from_one_to_the_other(xor: Landscape) -> None:
    """Over the saddle the loss has its one maximum there; a straight line can only be higher, or as high."""
    way = {name: rows.reset_index(drop=True) for name, rows in xor.paths.groupby("way")}
    saddle = xor.saddles.iloc[int(xor.paths["saddle"].iloc[0])]
    ends = xor.minima.set_index("minimum")["loss"][[saddle["minimum_a"], saddle["minimum_b"]]].tolist()
    flow = way["flow"]
    assert flow["loss"].max() == flow.loc[flow["x"] == 0, "loss"].item() == saddle["loss"]
    assert flow["x"].is_monotonic_increasing
    assert flow.loc[flow["x"] <= 0, "loss"].is_monotonic_increasing
    assert flow.loc[flow["x"] >= 0, "loss"].is_monotonic_decreasing
    assert flow["loss"].iloc[[0, -1]].tolist() == pytest.approx(ends, abs=1e-8)  # what is left when the flow arrives
    for name in ("straight", "aligned"):
        assert way[name]["loss"].iloc[[0, -1]].tolist() == pytest.approx(ends, abs=1e-13)
        assert way[name]["loss"].max() >= saddle["loss"]


@pytest.mark.slow
def test_what_only_searches_have_found_has_no_share_and_comes_after_what_restarts_have(xor: Landscape) -> None:
    minima = xor.minima
    new = minima[minima["count"] == 0]
    assert len(new) > 0
    assert (new["share"] == 0).all()
    assert (new["restart"] == -1).all()
    assert minima["minimum"].tolist() == list(range(len(minima)))
    assert new["minimum"].min() > minima.loc[minima["count"] > 0, "minimum"].max()
    assert (minima["log_det"].notna()).all()
    assert (minima["orbit_size"] == 1).all()
    zero = minima[minima["parameter_norm"] < 1e-9].iloc[0]
    assert zero["lambda_min"] == pytest.approx(1e-3, rel=1e-9)  # GROUND_TRUTHS 10


def axis_points() -> list[tuple[float, float, int]]:
    """The critical points of a neuron on one axis, (w, loss of one sample pair, index), by bracketing roots of E'."""
    x, y = np.array([1.0, 0.1]), 0.75

    def loss(w: float) -> float:
        return float(((1 / (1 + np.exp(-w * x)) - y) ** 2).sum() / 2)

    def slope(w: float) -> float:
        a = 1 / (1 + np.exp(-w * x))
        return float(((a - y) * a * (1 - a) * x).sum())

    ends = np.linspace(-5, 60, 3000)
    roots = [
        float(scipy.optimize.brentq(slope, a, b, xtol=1e-14))
        for a, b in itertools.pairwise(ends)
        if slope(a) * slope(b) < 0
    ]
    return [(w, loss(w), int(slope(w + 1e-5) < 0)) for w in roots]


def place(weights: Any) -> tuple[float, ...]:
    return tuple(round(float(w), 5) for w in weights)


SLOW = [
    pytest.param(1, 128, marks=pytest.mark.slow),
    pytest.param(3, 1024, marks=pytest.mark.slow),
    pytest.param(4, 4096, marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("dimension", "searches"), [(2, 192), *SLOW])
def test_the_landscape_of_a_neuron_is_the_product_of_its_axes(dimension: int, searches: int) -> None:
    """GROUND_TRUTHS 10: 3^d points; a saddle of index 1 joins the two minima that differ in its coordinate."""
    axis = axis_points()
    assert [index for *_, index in axis] == [0, 1, 0]
    found = landscape(neuron(dimension), searches=searches)
    expected = {
        place(w for w, *_ in product): (sum(e for _, e, _ in product) / (2 * dimension), sum(k for *_, k in product))
        for product in itertools.product(axis, repeat=dimension)
    }
    minima = {place(row["parameters"]): row for row in only_minima(found).to_dict("records")}
    saddles = {place(row["parameters"]): row for row in found.saddles.to_dict("records")}
    assert minima.keys() == {at for at, (_, index) in expected.items() if index == 0}
    assert {at: row["index"] for at, row in saddles.items()} == {at: k for at, (_, k) in expected.items() if k > 0}
    for at, row in {**minima, **saddles}.items():
        assert row["loss"] == pytest.approx(expected[at][0], abs=1e-12)
    low, top, high = (round(w, 5) for w, *_ in axis)
    for at, row in saddles.items():
        if row["index"] == 1:
            ends = [minima[tuple(end if w == top else w for w in at)] for end in (low, high)]
            ends.sort(key=lambda end: end["loss"])
            assert [row["minimum_a"], row["minimum_b"]] == [end["minimum"] for end in ends]
            barriers = [expected[at][0] - end["loss"] for end in ends]
            assert [row["barrier_a"], row["barrier_b"]] == pytest.approx(barriers, abs=1e-9)
    assert found.metrics["landscape/euler"] == 1
    assert found.euler is not None
    assert found.euler.verdict is Verdict.NOT_APPLICABLE  # nothing is penalised


CHAINS = {
    3: (0.500500501506, 0.144818819220),
    4: (0.510051031148, 0.194721116455),
    5: (0.532557425628, 0.244659951274),
    6: (0.563771198488, 0.294618043373),
}


@pytest.mark.parametrize("depth", [3, *(pytest.param(depth, marks=pytest.mark.slow) for depth in (4, 5, 6))])
def test_a_penalised_chain_has_its_origin_and_two_points_in_all_their_signs(depth: int) -> None:
    """GROUND_TRUTHS 10."""
    found, (saddle, minimum) = landscape(chain(depth)), CHAINS[depth]
    minima, copies = only_minima(found), 2 ** (depth - 1)
    np.testing.assert_allclose(minima["loss"].sort_values(), [minimum, 0.5], rtol=0, atol=1e-10)
    assert minima.sort_values("loss")["orbit_size"].tolist() == [copies, 1]
    np.testing.assert_allclose(found.saddles["loss"], [saddle], rtol=0, atol=1e-10)
    assert found.saddles[["index", "orbit_size"]].to_numpy().tolist() == [[1, copies]]
    assert found.saddles[["barrier_a", "barrier_b"]].iloc[0].tolist() == pytest.approx(
        [saddle - minimum, saddle - 0.5], abs=1e-10
    )
    assert found.euler is not None
    assert found.euler.verdict is Verdict.PASSED


@pytest.mark.slow
def test_searches_of_a_larger_launch_and_of_one_that_was_cut_are_the_same(tmp_path: Any) -> None:
    """One after the other in a folder, 100, 300 and then 600 searches; and 600 at once."""
    tables = []
    for searches in (100, 300, 600):
        settings = {**chain(3), "landscape": {**ALL, "searches": searches}}
        kept: FolderStore[Any] = FolderStore(tmp_path / "blocks", "test")
        tables.append(run(Study.from_config(settings), store=kept).landscape)
    at_once = landscape(chain(3), searches=600)
    assert tables[-1] is not None
    pd.testing.assert_frame_equal(tables[-1].saddles, at_once.saddles)
    pd.testing.assert_frame_equal(tables[-1].minima, at_once.minima)
    files = sorted(path.stem for path in tmp_path.rglob("searches-*/*.parquet"))
    assert files == [f"{a:012d}-{b:012d}" for a, b in [(0, 100), (100, 256), (256, 300), (300, 512), (512, 600)]]


@pytest.mark.slow
def test_fewer_searches_than_there_are_stand_for_themselves() -> None:
    store: MemoryStore[Any] = MemoryStore()
    study = Study.from_config({**chain(3), "landscape": {**ALL, "searches": 200}})
    run(study, store=store)
    fewer = run(Study.from_config({**chain(3), "landscape": {**ALL, "searches": 60}}), store=store).landscape
    assert fewer is not None
    pd.testing.assert_frame_equal(fewer.saddles, landscape(chain(3), searches=60).saddles)


def test_where_restarts_have_reached_no_minimum_searches_find_them() -> None:
    nowhere = {**chain(3), "descent": {"steps": 0}, "polish": {"radius": 1e-9}, "restarts": 3}
    found = landscape(nowhere, searches=64)
    assert found.minima["count"].tolist() == [0, 0]
    assert found.metrics["landscape/new_minima"] == 2
    assert "2 minima that only searches have reached" in found.sentence
    assert found.minima["orbit"].tolist() == [0, 1]
    np.testing.assert_allclose(found.minima["share_high"], 1.96**2 / (3 + 1.96**2), rtol=1e-4)  # Wilson's, 0 of 3
    np.testing.assert_allclose(found.minima["loss"], [CHAINS[3][1], 0.5], rtol=0, atol=1e-10)
    assert found.metrics["landscape/euler"] == 1


def test_without_being_asked_for_there_is_no_landscape() -> None:
    assert run(Study.from_config({**chain(3), "restarts": 5})).landscape is None


def test_restarts_are_those_of_a_study_without_a_landscape() -> None:
    plain = Study.from_config(chain(3))
    assert plain.key == Study.from_config({**chain(3), "landscape": ALL}).key
    assert plain.columns.keys().isdisjoint({"landscape", "landscape.searches"})


@pytest.mark.slow
def test_auto_ends_when_hardly_a_saddle_can_be_missing() -> None:
    """One saddle: 2 · 1² + 3 · 1 + 2 = 7 searches that end there are enough, and are there when it is first asked."""
    assert landscape(chain(3), searches="auto", indices=1).searches == 1024
    assert landscape(chain(3), searches="auto", searches_max=40, indices=1).searches == 40
