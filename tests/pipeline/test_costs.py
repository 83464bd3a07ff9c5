from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from basinet.pipeline import costs
from basinet.pipeline.blocks import FolderStore
from basinet.pipeline.run import run
from basinet.pipeline.solve import solve
from basinet.pipeline.tables import evidence_arrow
from basinet.study.study import Study
from basinet.tracking.record import write_parquet

STUDIES = {
    "narrow": {"restarts": 3000, "descent": {"steps": 40}},
    "single": {"restarts": 3000, "descent": {"steps": 40}, "dtype": "float32", "polish": "none"},
    "deep": {
        "problem": "sine",
        "network": {"depth": 4, "width": 5, "activation": "tanh"},
        "restarts": 200,
        "descent": {"steps": 100},
        "polish": {"steps": 1},
    },
    "wide": {"problem": "digits", "network": {"width": 8}, "restarts": 30, "descent": {"steps": 3}},
}


def study(name: str) -> Study:
    return Study.from_config({"engine": "torch", **STUDIES[name]})


def tensors(part: Any) -> Iterator[Tensor]:
    for field in dataclasses.fields(part):
        value = getattr(part, field.name)
        if isinstance(value, Tensor):
            yield value
        elif dataclasses.is_dataclass(value):
            yield from tensors(value)


@pytest.mark.parametrize("name", STUDIES)
def test_the_disk_that_is_foretold_is_enough_and_not_twice_what_is_taken(name: str, tmp_path: Path) -> None:
    """Numbers that look random are hardly compressed; what is foretold of small tables is mostly figures and notes."""
    asked = study(name)
    findings = run(asked, store=FolderStore(tmp_path / "blocks"), curves_max=50)
    tables: dict[str, Any] = {key: getattr(findings, key) for key in ("restarts", "minima", "curves", "quantiles")}
    tables["evidence"] = evidence_arrow(findings.evidence_arrays)
    for key, table in tables.items():
        write_parquet(table, tmp_path / "tables" / f"{key}.parquet")
    np.savez(tmp_path / "tables" / "parameters.npz", **findings.parameters)  # type: ignore[arg-type]
    taken = {
        folder: sum(path.stat().st_size for path in (tmp_path / folder).iterdir()) for folder in ("blocks", "tables")
    }
    overhead = 60_000  # of the files themselves, whatever is in them
    foretold = costs.blocks_size(asked, asked.restarts)
    assert taken["blocks"] - overhead <= foretold <= 2 * taken["blocks"]
    foretold = costs.tables_size(asked, asked.restarts, 50) - costs.tables_size(asked, 0, 0)
    assert taken["tables"] - overhead <= foretold <= 2 * taken["tables"]


@pytest.mark.parametrize("name", STUDIES)
def test_the_memory_that_is_foretold_holds_all_blocks_twice(name: str) -> None:
    """As tensors, and joined for the tables."""
    asked = study(name)
    held = sum(tensor.nbytes for tensor in tensors(solve(asked, range(8)))) / 8 * asked.restarts
    program = 560e6
    assert 2 * held <= costs.memory(asked) - program


def test_memory_grows_with_the_restarts_and_with_the_square_of_what_is_polished() -> None:
    def needed(restarts: int, **more: Any) -> int:
        return costs.memory(Study.from_config({"restarts": restarts, "engine": "torch", "problem": "sine", **more}))

    assert needed(10_000_000) > 4 * needed(1_000_000)
    deep = {"network": {"depth": 4, "width": 8}}  # 169 parameters
    hessians = 3000 * 169**2 * 8
    assert needed(3000, **deep) - needed(3000, polish="none", **deep) > 3 * hessians


def linear(segment: float, step: float, per_newton: float, per_rest: float) -> Callable[[pytest.MonkeyPatch], None]:
    """Makes everything take the time that a law gives."""

    def install(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            costs, "_segment_seconds", lambda study, restarts, steps: restarts * (segment + step * steps)
        )
        monkeypatch.setattr(costs, "newton_seconds", lambda objective, theta, engine: per_newton)
        monkeypatch.setattr(costs, "_rest", lambda study: per_rest)

    return install


@pytest.mark.parametrize("size", [1e-8, 1e-5, 1e-2, 10.0])
def test_a_pace_is_found_again_whatever_its_size(size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    linear(3 * size, 2 * size, 5 * size, 7 * size)(monkeypatch)
    found = costs.pace(study("narrow"))
    assert found.newton == 5 * size
    assert found.rest == 7 * size
    if size < 1:  # else one step is all that is measured
        assert found.step == pytest.approx(2 * size)
        assert found.segment == pytest.approx(3 * size)
    else:
        assert found.step == pytest.approx(5 * size)


def test_time_is_scaled_to_all_restarts_and_steps_that_are_left() -> None:
    asked = study("deep")  # 100 steps; polished by 1, or 2 where it is followed once more
    found = costs.Pace(segment=1.0, step=10.0, newton=100.0, rest=1000.0)
    records = 1 + len(set(np.rint(np.geomspace(1, 100, 40)).astype(int)))
    assert costs.descent_seconds(asked, 7, found) == 7 * (10 * 100 + records)
    assert costs.polishing_seconds(asked, 7, found) == 7 * (2 * 100 + 1000)
    penalised = {"l2_weights": 1e-3, "l2_biases": 1e-3}
    asked = Study.from_config({**STUDIES["deep"], "engine": "torch", "objective": penalised})
    assert costs.polishing_seconds(asked, 7, found) == 7 * (100 + 1000)


@pytest.mark.parametrize("name", STUDIES)
def test_what_is_measured_is_positive(name: str) -> None:
    found = costs.pace(study(name))
    assert found.step > 0
    assert found.segment >= 0
    assert found.rest > 0
    assert (found.newton > 0) == (name in ("narrow", "deep"))


def test_conditions_that_differ_in_their_starts_or_rates_are_measured_once() -> None:
    def kind(**more: Any) -> object:
        return costs.kind(Study.from_config({"engine": "torch", **more}))

    assert kind() == kind(init="orthogonal") == kind(seed=3) == kind(descent={"learning_rate": 3.0, "steps": 7})
    others = [kind(network={"depth": 3}), kind(descent="adam"), kind(dtype="float32"), kind(polish="none")]
    assert len({kind(), *others}) == 5
