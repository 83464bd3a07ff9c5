from __future__ import annotations

import dataclasses
import json
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
from basinet.linalg.eigen import eigenvalues, eigenvectors
from basinet.linalg.trust_region import newton_step
from basinet.pipeline import costs
from basinet.pipeline.blocks import FolderStore
from basinet.pipeline.run import run
from basinet.pipeline.solve import examined_numbers, examined_together, solve
from basinet.pipeline.tables import evidence_arrow
from basinet.protocols import Descent, Engine, NewtonStep, Objective, State
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


MEASURED = """
import json, sys
from pathlib import Path
from basinet import Study, run
from basinet.pipeline import costs

def peak():
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("VmHWM:")[1].split()[0])

asked = Study.from_config(json.loads(sys.argv[1]))
little = Study.from_config({**json.loads(sys.argv[1]), "restarts": 1})  # loads what is needed whatever the size
run(little)
before = peak()
run(asked)
print(before, peak(), costs.memory(little), costs.memory(asked))
"""
AT_ONCE = {"steps": 2, "learning_rate": 0.01, "tolerance": 1e9}  # all arrive where they start
DEEP = {"problem": "sine", "init": "xavier_normal", "network": {"depth": 4, "width": 9, "activation": "tanh"}}
DEEP = {**DEEP, "descent": AT_ONCE}  # 208 parameters
SHAPES: dict[str, dict[str, Any]] = {
    "few parameters": {"descent": AT_ONCE, "polish": "none", "restarts": 150_000},
    "208 parameters": {**DEEP, "polish": {"steps": 1}, "restarts": 250},
    "long trajectories": {
        "descent": {**AT_ONCE, "steps": 4000, "records": 4000},
        "polish": "none",
        "restarts": 4000,
    },
}
MANY: dict[str, dict[str, Any]] = {
    "few parameters, polished": {"descent": AT_ONCE, "polish": {"steps": 1}, "restarts": 250_000},
    "97 parameters": {**DEEP, "network": {"depth": 3, "width": 8}, "polish": {"steps": 2}, "restarts": 3000},
    "208 parameters": {**DEEP, "polish": {"steps": 3}, "restarts": 1000},
    "610 parameters, by products": {
        "problem": {"name": "digits"},
        "network": {"width": 8},
        "descent": AT_ONCE,
        "restarts": 1200,
    },
    "long trajectories, polished": {
        "descent": {**AT_ONCE, "steps": 4000, "records": 4000},
        "polish": {"steps": 1},
        "restarts": 20_000,
    },
}


def measured(settings: dict[str, Any]) -> tuple[int, int, int, int]:
    """What a process had at its peak before and after it computed a condition, and what is foretold of either."""
    command = [sys.executable, "-c", MEASURED, json.dumps({"engine": "torch", "threads": 1, **settings})]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    before, peak, of_one, foretold = map(int, answer.stdout.split())
    return before, peak, of_one, foretold


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
@pytest.mark.parametrize(
    "settings",
    [
        *(pytest.param(settings, id=name) for name, settings in SHAPES.items()),
        *(pytest.param(settings, id=f"many, {name}", marks=pytest.mark.stress) for name, settings in MANY.items()),
    ],
)
def test_a_process_takes_the_memory_that_is_foretold_to_a_factor_of_one_and_a_half(settings: dict[str, Any]) -> None:
    """Of what the restarts take, and so of the whole process, too."""
    before, peak, of_one, foretold = measured(settings)
    taken, counted = peak - before, foretold - of_one
    print(f"{taken / 1e6:.0f} MB, foretold {counted / 1e6:.0f} MB; of all {peak / 1e6:.0f}, {foretold / 1e6:.0f} MB")
    assert taken > 100e6  # it is the restarts that are seen
    assert taken / 1.5 <= counted <= 1.5 * taken
    assert peak / 1.5 <= foretold <= 1.5 * peak


LAUNCHED = """
import resource, subprocess, sys
subprocess.run([sys.argv[1], *sys.argv[2:]], check=True, stdout=subprocess.DEVNULL)
print(1024 * resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
@pytest.mark.parametrize("restarts", [50, 300_000])
def test_a_launch_takes_the_memory_that_is_foretold_to_a_factor_of_one_and_a_half(
    restarts: int, tmp_path: Path
) -> None:
    program = Path(sys.executable).parent / "basinet"
    command = [str(program), f"restarts={restarts}", "descent.steps=2", "polish=none", "engine=torch"]
    answer = subprocess.run(
        [sys.executable, "-c", LAUNCHED, *command], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    peak = int(answer.stdout)
    asked = Study.from_config({"restarts": restarts, "descent": {"steps": 2}, "polish": "none", "engine": "torch"})
    assert peak / 1.5 <= costs.memory(asked) <= 1.5 * peak


def test_memory_grows_with_the_restarts_that_are_held_but_not_by_a_hessian_for_each_of_them() -> None:
    def needed(restarts: int, **more: Any) -> int:
        return costs.memory(Study.from_config({"restarts": restarts, "engine": "torch", "problem": "sine", **more}))

    assert needed(250_000) > needed(100_000) + 100e6
    assert needed(10_000_000) < 1.1 * needed(1_000_000)  # so many are not held
    few, some, many = (needed(restarts, **DEEP) for restarts in (1, 1000, 50_000))
    assert some - few > 200e6  # they are examined side by side, …
    assert many - some < 49_000 * 208 * 8 * 10  # … as many as there is room for; the rest is what is kept of each


def test_restarts_are_examined_with_the_same_bits_however_many_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    descent = {"name": "adam", "steps": 500, "learning_rate": 0.05}
    settings = {"problem": {"name": "sine", "holdout": 0.2}, "descent": descent, "restarts": 23, "engine": "torch"}
    penalties = {"l2_weights": 1e-2, "l2_biases": 1e-2}
    asked = Study.from_config({**settings, "objective": penalties, "polish": {"steps": 12, "radius": 0.3}})
    whole = solve(asked, range(23))
    assert len({*whole.polished.outcome.tolist()}) >= 2
    one_of_them = 8 * examined_numbers(asked)
    for together in (1, 5):
        monkeypatch.setattr("basinet.pipeline.solve._EXAMINED", together * one_of_them)
        assert examined_together(asked) == together
        parts = solve(asked, range(23))
        for one, other in zip(tensors(whole), tensors(parts), strict=True):
            assert torch.equal(one.nan_to_num(nan=-1.0), other.nan_to_num(nan=-1.0))


class Clock:
    """A clock that nothing but work moves on."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class ByHessians:
    """An engine that asks itself for every Hessian that it makes something of."""

    def hessian(self, objective: Objective, theta: Tensor) -> Tensor:
        raise NotImplementedError

    def eigenvalues(self, objective: Objective, theta: Tensor) -> Tensor:
        return eigenvalues(self.hessian(objective, theta), threads=1)

    def eigenvectors(self, objective: Objective, theta: Tensor) -> tuple[Tensor, Tensor]:
        return eigenvectors(self.hessian(objective, theta), threads=1)

    def newton_step(self, objective: Objective, theta: Tensor, gradient: Tensor, region: Tensor) -> NewtonStep:
        return newton_step(self.hessian(objective, theta), gradient, region, threads=1)


@dataclasses.dataclass(frozen=True)
class Counting(ByHessians):
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
class Lawful(ByHessians):
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
        return torch.eye(theta.shape[1], dtype=theta.dtype).repeat(len(theta), 1, 1)


@pytest.mark.parametrize("size", [1e-5, 1e-2, 10.0])
def test_a_pace_is_found_again_whatever_its_size(size: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the clock and the engine are made up: what is measured, and how often, is not."""
    asked, clock = study("narrow"), Clock()
    lawful = Lawful(TorchEngine(), clock, 3 * size, 2 * size, 5 * size)
    monkeypatch.setattr(Study, "engine", lawful)
    monkeypatch.setattr("time.perf_counter", clock)
    found = costs.pace(asked)
    assert found.newton == pytest.approx(5 * size)
    assert 1 / 4 <= found.flow / (5 * size) <= 9 / 4  # a step takes one Hessian to nine, and counts as four
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
    of_steps = costs.descent_seconds(asked, 6, costs.Pace(segment=0.0, step=1.0, newton=0.0, flow=0.0, rest=0.0))
    assert of_steps == sum(restarts * steps for restarts, steps in counting.segments) == 6 * steps
    of_segments = costs.descent_seconds(asked, 6, costs.Pace(segment=1.0, step=0.0, newton=0.0, flow=0.0, rest=0.0))
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
    foretold = costs.polishing_seconds(asked, 50, costs.Pace(segment=0.0, step=0.0, newton=1.0, flow=1.0, rest=0.0))
    assert foretold / (4 if penalty else 8) <= taken <= foretold  # hardly any is on its way to infinity


def test_time_is_scaled_to_all_restarts_and_steps_that_are_left() -> None:
    asked = study("deep")  # 100 steps; polished by one step, of Newton's method and of 4 Hessians along each of 3 flows
    found = costs.Pace(segment=1.0, step=10.0, newton=100.0, flow=20.0, rest=1000.0)
    records = 1 + len(set(np.rint(np.geomspace(1, 100, 40)).astype(int)))
    assert costs.descent_seconds(asked, 7, found) == 7 * (10 * 100 + records)
    assert costs.polishing_seconds(asked, 7, found) == 7 * (100 + 3 * 4 * 20 + 1000)
    penalised = {"l2_weights": 1e-3, "l2_biases": 1e-3}
    asked = Study.from_config({**STUDIES["deep"], "engine": "torch", "objective": penalised})
    assert costs.polishing_seconds(asked, 7, found) == 7 * (100 + 4 * 20 + 1000)


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_what_is_measured_is_positive(name: str) -> None:
    found = costs.pace(study(name))
    assert found.step > 0
    assert found.segment >= 0
    assert found.rest > 0
    assert (found.newton > 0) == (found.flow > 0) == (name in ("narrow", "deep"))


def test_a_flow_that_is_repeated_takes_twice_as_long() -> None:
    def seconds(**descent: Any) -> float:
        asked = Study.from_config({"restarts": 6, "descent": {"name": "gradient_flow", **descent}})
        return costs.descent_seconds(asked, 6, costs.Pace(segment=1.0, step=1.0, newton=0.0, flow=0.0, rest=0.0))

    assert seconds(repeat=True) == 2 * seconds() > 0


def test_conditions_that_differ_in_their_starts_or_rates_are_measured_once() -> None:
    def kind(**more: Any) -> object:
        return costs.kind(Study.from_config({"engine": "torch", **more}))

    assert kind() == kind(init="orthogonal") == kind(seed=3) == kind(descent={"learning_rate": 3.0, "steps": 7})
    others = [kind(network={"depth": 3}), kind(descent="adam"), kind(dtype="float32"), kind(polish="none")]
    assert len({kind(), *others}) == 5


@pytest.mark.parametrize("size", [500, 5000])
def test_what_is_not_polished_has_no_more_than_one_hessian_made_to_say_what_it_would_cost(
    size: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    network = {"width": (size - 1) // 4}  # xor's: two weights and a bias into each unit, one out of it
    settings = {"network": network, "engine": "torch", "restarts": 5, "descent": {"steps": 0}}
    asked = Study.from_config({**settings, "polish": {"dense_max": 400, "lanczos_steps": 0}})
    counting = Counting(TorchEngine())
    monkeypatch.setattr(Study, "exact_engine", counting)
    with caplog.at_level("INFO", "basinet"):
        run(asked)
    assert f"not polished: {asked.network.size} parameters, polish.dense_max=400" in caplog.text
    assert counting.hessians == ([1] if size < 3000 else [])


def test_where_a_newton_step_is_dear_nothing_else_of_which_a_hessian_is_made_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = study("deep")
    monkeypatch.setattr(costs, "newton_seconds", lambda objective, theta, engine: 1000.0)
    for name in ("march", "solve"):
        monkeypatch.setattr(costs, name, lambda *_: pytest.fail("measured"))
    found = costs.pace(asked)
    assert (found.newton, found.flow, found.rest) == (1000.0, 1000.0, 1000.0)


def test_of_deep_networks_that_are_not_polished_no_hessian_is_made(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its blocks are as many as pairs of layers."""
    settings = {"network": {"depth": 60}, "engine": "torch", "restarts": 2, "descent": {"steps": 0}}
    counting = Counting(TorchEngine())
    monkeypatch.setattr(Study, "exact_engine", counting)
    with caplog.at_level("INFO", "basinet"):
        run(Study.from_config({**settings, "polish": {"lanczos_steps": 0}}))
    assert "not polished: 357 parameters, polish.dense_max=300" in caplog.messages
    assert counting.hessians == []
