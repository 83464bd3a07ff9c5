from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from basinet.engines.torch_engine import TorchEngine
from basinet.pipeline import costs
from basinet.pipeline.blocks import FolderStore
from basinet.pipeline.run import run
from basinet.pipeline.solve import solve
from basinet.pipeline.tables import evidence_arrow
from basinet.protocols import Descent, Engine, Objective, State
from basinet.stages.descend import descend
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


POLISHED = """
import sys
from pathlib import Path
from basinet import Study, run
from basinet.pipeline import costs

def peak():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])

settings = {"engine": "torch", "problem": "sine", "restarts": 400, "descent": {"steps": 20}}
settings["network"] = {"depth": 4, "width": 8, "activation": "tanh"}  # 169 parameters
run(Study.from_config({**settings, "polish": "none"}))
before = peak()
asked = Study.from_config({**settings, "polish": {"steps": 2}})
run(asked)
print(before, peak(), costs.memory(asked))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
def test_a_process_that_polishes_has_the_memory_that_is_foretold_and_more_than_half_of_it() -> None:
    answer = subprocess.run([sys.executable, "-c", POLISHED], capture_output=True, text=True, check=True)
    before, peak, foretold = map(int, answer.stdout.split())
    hessians = 400 * 169**2 * 8
    assert peak - before > 2 * hessians  # it is polishing that is seen
    assert peak <= foretold <= 2 * peak


def test_memory_grows_with_the_restarts_and_with_the_square_of_what_is_polished() -> None:
    def needed(restarts: int, **more: Any) -> int:
        return costs.memory(Study.from_config({"restarts": restarts, "engine": "torch", "problem": "sine", **more}))

    assert needed(10_000_000) > 4 * needed(1_000_000)
    deep = {"network": {"depth": 4, "width": 8}}  # 169 parameters
    hessians = 3000 * 169**2 * 8
    assert needed(3000, **deep) - needed(3000, polish="none", **deep) > 3 * hessians


class Clock:
    """A clock that nothing but work moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@dataclasses.dataclass(frozen=True)
class Counting:
    """An engine that notes what it was asked for: segments and steps of restarts, and Hessians of restarts."""

    engine: Engine
    segments: list[tuple[int, int]] = dataclasses.field(default_factory=list)  # restarts, steps
    hessians: list[int] = dataclasses.field(default_factory=list)  # restarts

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def segment(self, objective: Objective, descent: Descent, state: State, until: int) -> State:
        if until > state.step:  # else nothing but the first loss
            self.segments.append((len(state.theta), until - state.step))
        return self.engine.segment(objective, descent, state, until)

    def hessian(self, objective: Objective, theta: Tensor) -> Tensor:
        self.hessians.append(len(theta))
        return self.engine.hessian(objective, theta)


@dataclasses.dataclass(frozen=True)
class Lawful:
    """An engine of which everything takes the time that a law gives, by its clock; nobody gets anywhere."""

    engine: Engine
    clock: Clock
    segment_seconds: float
    step_seconds: float
    hessian_seconds: float

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def segment(self, objective: Objective, descent: Descent, state: State, until: int) -> State:
        if until == state.step:
            return self.engine.segment(objective, descent, state, until)
        steps = until - state.step
        self.clock.now += len(state.theta) * (self.segment_seconds + self.step_seconds * steps)
        return dataclasses.replace(state, step=until)

    def hessian(self, objective: Objective, theta: Tensor) -> Tensor:
        self.clock.now += len(theta) * self.hessian_seconds
        return torch.eye(theta.shape[1], dtype=theta.dtype).expand(len(theta), -1, -1)


@pytest.mark.parametrize("size", [1e-5, 1e-2, 10.0])
def test_a_pace_is_found_again_whatever_its_size(size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the clock and the engine are made up: what is measured, and how often, is not."""
    asked, clock = study("narrow"), Clock()
    lawful = Lawful(TorchEngine(), clock, 3 * size, 2 * size, 5 * size)
    monkeypatch.setattr(Study, "engine", lawful)
    monkeypatch.setattr("time.perf_counter", clock)
    found = costs.pace(asked)
    assert found.newton == pytest.approx(5 * size)
    assert found.rest == pytest.approx(5 * size + 3e-5)  # one Hessian for the spectrum; writing is not measured
    if size < 1:  # else one step is all that is measured
        assert found.step == pytest.approx(2 * size)
        assert found.segment == pytest.approx(3 * size)
    else:
        assert found.step == pytest.approx(5 * size)


@pytest.mark.parametrize(("steps", "records"), [(40, 40), (100, 7), (2500, 5)])
def test_as_many_segments_and_steps_are_foretold_as_a_descent_has(
    steps: int, records: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no restart arrives. The record of the start counts as a segment, and one at a thousand steps as two."""
    asked = Study.from_config(
        {"engine": "torch", "restarts": 6, "descent": {"steps": steps, "records": records, "tolerance": 0.0}}
    )
    counting = Counting(TorchEngine())
    monkeypatch.setattr(Study, "engine", counting)
    for _ in descend(asked.objective, asked.descent, asked.engine, asked.starts(range(6))):
        pass
    of_steps = costs.descent_seconds(asked, 6, costs.Pace(segment=0.0, step=1.0, newton=0.0, rest=0.0))
    assert of_steps == sum(restarts * steps for restarts, steps in counting.segments) == 6 * steps
    of_segments = costs.descent_seconds(asked, 6, costs.Pace(segment=1.0, step=0.0, newton=0.0, rest=0.0))
    run_ = sum(restarts for restarts, _ in counting.segments)
    assert run_ <= of_segments <= run_ + 6 * (1 + steps // 1000)


@pytest.mark.parametrize("penalty", [0.0, 1e-3])
def test_no_more_newton_steps_are_taken_than_are_foretold(penalty: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """From where hardly any restart has come near a bottom, so that nearly all that may be taken are."""
    asked = Study.from_config(
        {
            "engine": "torch",
            "restarts": 50,
            "descent": {"steps": 5},
            "objective": {"l2_weights": penalty, "l2_biases": penalty},
            "polish": {"steps": 3},
        }
    )
    counting = Counting(TorchEngine())
    monkeypatch.setattr(Study, "engine", counting)
    solve(asked, range(50))
    taken = sum(counting.hessians) - 50  # of which one is for the spectrum
    foretold = costs.polishing_seconds(asked, 50, costs.Pace(segment=0.0, step=0.0, newton=1.0, rest=0.0))
    assert foretold / 4 <= taken <= foretold


def test_time_is_scaled_to_all_restarts_and_steps_that_are_left() -> None:
    asked = study("deep")  # 100 steps; polished by one step, of Newton's method and of 4 Hessians along each of 3 flows
    found = costs.Pace(segment=1.0, step=10.0, newton=100.0, rest=1000.0)
    records = 1 + len(set(np.rint(np.geomspace(1, 100, 40)).astype(int)))
    assert costs.descent_seconds(asked, 7, found) == 7 * (10 * 100 + records)
    assert costs.polishing_seconds(asked, 7, found) == 7 * ((1 + 3 * 4) * 100 + 1000)
    penalised = {"l2_weights": 1e-3, "l2_biases": 1e-3}
    asked = Study.from_config({**STUDIES["deep"], "engine": "torch", "objective": penalised})
    assert costs.polishing_seconds(asked, 7, found) == 7 * ((1 + 4) * 100 + 1000)


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
