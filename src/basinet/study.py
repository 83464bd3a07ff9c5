"""A study of one condition: from settings to findings, usable from a notebook, free of Hydra and MLflow."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from torch import Tensor

from basinet import counting, defaults, tables
from basinet.blocks import Block, MemoryStore, Store
from basinet.budget import Budget
from basinet.certify import Kind, Tolerances, classify, examine
from basinet.descend import descend, record_steps
from basinet.descents import DESCENTS, Sgd
from basinet.engines import check_engine, choose_engine
from basinet.errors import ConfigError, require, unknown
from basinet.inits import INITS, Given, Init
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.polish import Polishing, newton_seconds, polish
from basinet.problems import PROBLEMS, ProblemFamily, split
from basinet.protocols import Descent, Engine, Problem, State
from basinet.settings import fill
from basinet.solution import fold

_log = logging.getLogger(__name__)

_DEAR = 300  # parameters from which on polishing is no afterthought: what it costs is said
_SAMPLE = 4  # restarts that this is measured on
_BLOCK_BYTES = 1 << 27  # of parameters in one block of restarts
_BLOCK_RESTARTS = 1 << 16
_FIRST_BLOCK = 1000  # of restarts=auto

Report = Callable[[float], None]
"""Called now and then with the share of the work that is done, from 0 to 1."""


@dataclass(frozen=True)
class Execution:
    """How many restarts, and how they are computed."""

    restarts: int | Literal["auto"]
    restarts_max: int
    seed: int
    dtype: Literal["float64", "float32"]
    device: Literal["cpu", "cuda", "auto"]
    engine: str
    threads: int | None

    def __post_init__(self) -> None:
        require(self.restarts == "auto" or self.restarts >= 1, f"restarts={self.restarts}: must be at least 1, or auto")
        require(self.restarts_max >= 1, f"restarts_max={self.restarts_max}: must be at least 1")
        require(0 <= self.seed < 2**63, f"seed={self.seed}: must be between 0 and 2^63 - 1")
        require(self.threads is None or self.threads >= 1, f"threads={self.threads}: must be at least 1")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("device=cuda: torch sees no CUDA device here; use device=cpu or device=auto")


@dataclass(frozen=True)
class ObjectiveSettings:
    """What is minimised beside the problem and the network."""

    loss: str
    l2_weights: float
    l2_biases: float

    def __post_init__(self) -> None:
        for name in ("l2_weights", "l2_biases"):
            value = getattr(self, name)
            require(0 <= value < np.inf, f"objective.{name}={value:g}: must be 0 or more")


@dataclass(frozen=True)
class NetworkSettings:
    """The network as the user describes it; the problem decides what is left open."""

    depth: int
    width: int | tuple[int, ...] | None
    activation: str
    output: str | None
    bias: bool

    def __post_init__(self) -> None:
        require(self.depth >= 1, f"network.depth={self.depth}: must be at least 1 (the number of weight layers)")

    def hidden_widths(self, natural: int) -> tuple[int, ...]:
        """Units of the depth - 1 hidden layers."""
        hidden = self.depth - 1
        if hidden == 0:
            return ()
        if isinstance(self.width, tuple):
            entries = "1 entry" if len(self.width) == 1 else f"{len(self.width)} entries"
            require(len(self.width) == hidden, f"network.width has {entries}, depth {self.depth} needs {hidden}")
            return self.width
        return (natural if self.width is None else self.width,) * hidden


@dataclass(frozen=True)
class Study:
    """One condition, checked: everything that decides the numbers of its restarts, and nothing else.

    Build it with `from_config`. `settings` is the resolved configuration as nested plain values.
    """

    settings: dict[str, Any]
    execution: Execution
    problem: Problem
    network: Network
    objective_settings: ObjectiveSettings
    init: Init
    descent: Descent
    polishing: Polishing

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Study:
        """The study that `config` describes; what it leaves out is taken from `conf/`.

        Args:
            config: settings as on the command line, nested: `{"problem": "xor", "restarts": 50}`.

        Raises:
            ConfigError: for anything unknown, of the wrong type, out of range, or that does not fit together.

        >>> Study.from_config({"problem": "xor", "network": {"depth": 3, "width": 4}}).network.widths
        (2, 4, 4, 1)
        """
        settings = defaults.complete(config)
        execution = fill(Execution, {k: v for k, v in settings.items() if k not in defaults.GROUPS}, "")
        family, problem = _problem(settings["problem"])
        network = _network(settings["network"], family, problem)
        objective = fill(ObjectiveSettings, _unnamed(settings["objective"]), "objective")
        init: Init = fill(INITS[settings["init"]["name"]], _unnamed(settings["init"]), "init")
        descent = _descent(settings["descent"], execution.seed)
        width = settings["network"]["width"]
        width = family.natural_width if width is None else width
        resolved = {**settings, "network": {**settings["network"], "width": width, "output": network.output}}
        polishing = fill(Polishing, _unnamed(settings["polish"]), "polish")
        study = Study(resolved, execution, problem, network, objective, init, descent, polishing)
        study._check_relations()
        return study

    def _check_relations(self) -> None:
        if isinstance(self.init, Given):
            self.init.check(self.network, self.restarts)
        if self.objective_settings.loss == "cross_entropy":
            require(
                self.network.widths[-1] >= 2,
                "objective.loss=cross_entropy: needs at least 2 outputs, the problem has 1",
            )
            y = self.problem.targets
            proper = bool((y >= 0).all()) and bool(((y.sum(0) - 1).abs() < 1e-9).all())
            require(proper, "objective.loss=cross_entropy: targets must be probabilities that sum to 1")
        check_engine(self.execution.engine, self.objective, self.descent)

    @property
    def restarts(self) -> int:
        """Number of restarts; with `restarts=auto` the largest number that there can be."""
        if self.execution.restarts != "auto":
            return self.execution.restarts
        limit = self.execution.restarts_max
        return min(limit, len(self.init.starts)) if isinstance(self.init, Given) else limit

    @property
    def is_auto(self) -> bool:
        """Whether restarts are added until the stopping rule is met."""
        return self.execution.restarts == "auto"

    @property
    def seed(self) -> int:
        """Seed of the restarts."""
        return self.execution.seed

    @cached_property
    def device(self) -> torch.device:
        """Where the descent runs."""
        name = self.execution.device
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        return torch.device(name)

    @cached_property
    def dtype(self) -> torch.dtype:
        """Precision of the descent."""
        return torch.float32 if self.execution.dtype == "float32" else torch.float64

    @cached_property
    def objective(self) -> EmpiricalRisk:
        """f on the training samples, penalties included."""
        chosen = self.objective_settings
        inputs, targets = self._placed(self.problem.inputs), self._placed(self.problem.targets)
        return EmpiricalRisk(self.network, inputs, targets, chosen.loss, chosen.l2_weights, chosen.l2_biases)

    @cached_property
    def holdout(self) -> EmpiricalRisk | None:
        """The loss on the held-out samples, without penalties; None if nothing is held out."""
        if self.problem.holdout_inputs.shape[1] == 0:
            return None
        problem = self.problem
        return EmpiricalRisk(
            self.network, problem.holdout_inputs, problem.holdout_targets, self.objective_settings.loss
        )

    @cached_property
    def exact_objective(self) -> EmpiricalRisk:
        """f in float64 on the CPU: what is certified is certified there."""
        return self.objective.to(torch.device("cpu"), torch.float64)

    @cached_property
    def engine(self) -> Engine:
        """What takes the descent's steps."""
        return choose_engine(self.execution.engine, self._threads, self.objective, self.descent)

    @cached_property
    def exact_engine(self) -> Engine:
        """What computes the derivatives of `exact_objective`."""
        if self.device.type == "cpu":
            return self.engine
        return choose_engine(self.execution.engine, self._threads, self.exact_objective, self.descent)

    @property
    def _threads(self) -> int:
        return self.execution.threads or len(os.sched_getaffinity(0))

    @cached_property
    def record_steps(self) -> list[int]:
        """The steps at which losses are recorded."""
        return record_steps(self.descent.budget.steps, self.descent.budget.records)

    @cached_property
    def columns(self) -> dict[str, Any]:
        """The settings with their dotted keys, as they stand in tables: `init`, `init.std`, `network.depth`, …"""
        flat: dict[str, Any] = {}
        for key, value in self.settings.items():
            if key not in defaults.GROUPS:
                flat[key] = value
                continue
            for name, entry in value.items():
                flat[key if name == "name" else f"{key}.{name}"] = entry
        for constant in ("restarts", "restarts_max", "threads", "network", "objective", "engine"):
            flat.pop(constant)
        return {k: "-".join(map(str, v)) if isinstance(v, list | tuple) else v for k, v in flat.items()}

    @cached_property
    def objective_key(self) -> str:
        """The same for studies that minimise the same function: problem, network, loss and penalties."""
        return json.dumps(
            [self.settings["problem"], self.settings["network"], self.settings["objective"]], sort_keys=True
        )

    def starts(self, restarts: range) -> Tensor:
        """θ `[restart, parameter]` before the first step."""
        return self.init.draw(self.network, self.seed, restarts).to(self.device, self.dtype)

    def block_ranges(self) -> Iterator[range]:
        """All restarts, in ranges that fit the memory; with `restarts=auto` each doubles the number."""
        per_restart = 8 * (3 * self.network.size + 2 * len(self.record_steps))
        largest = max(1, min(_BLOCK_RESTARTS, _BLOCK_BYTES // per_restart))
        first = 0
        while first < self.restarts:
            size = min(largest, max(_FIRST_BLOCK, first)) if self.is_auto else largest
            yield range(first, min(first + size, self.restarts))
            first += size

    def _placed(self, samples: Tensor) -> Tensor:
        return samples.to(self.device, self.dtype)


@dataclass(frozen=True)
class Findings:
    """What came out of a study."""

    study: Study
    restarts: pd.DataFrame  # one row per restart
    minima: pd.DataFrame  # one row per distinct bottom
    evidence_arrays: dict[str, npt.NDArray[Any]]  # what the verdicts were made of, by the names of `Evidence`
    curves: pd.DataFrame  # one row per restart and record, of the first restarts
    quantiles: pd.DataFrame  # one row per record, of all restarts
    parameters: dict[str, npt.NDArray[np.floating]]  # "initial" and "final", [restart, parameter]
    seconds: dict[str, float]  # wall time of each stage

    @property
    def evidence(self) -> pd.DataFrame:
        """One row per restart: what its verdict was made of."""
        frame: pd.DataFrame = tables.evidence_arrow(self.evidence_arrays).to_pandas()
        return frame


def solve(study: Study, restarts: range, report: Report = lambda share: None) -> Block:
    """Everything that can be done for some restarts without knowing the others."""
    starts = study.starts(restarts)
    loss_initial: list[Tensor] = []

    def watched() -> Iterator[State]:
        for state in descend(study.objective, study.descent, study.engine, starts):
            if not loss_initial:
                loss_initial.append(state.loss.cpu())
            report(state.step / max(study.descent.budget.steps, 1))
            yield state

    solution = fold(watched(), study.record_steps).cpu()
    exact, holdout, classes = study.exact_objective, study.holdout, study.problem.classes
    polished = polish(exact, solution.theta.double(), study.polishing, study.exact_engine)
    return Block(
        restarts=restarts,
        starts=starts.cpu(),
        loss_initial=loss_initial[0],
        solution=solution,
        polished=polished,
        evidence=examine(exact, solution, polished, study.polishing, study.exact_engine),
        signature=exact.signature(polished.theta),
        loss_holdout=None if holdout is None else holdout.loss(polished.theta),
        accuracy=accuracy(exact, polished.theta) if classes else None,
        accuracy_holdout=accuracy(holdout, polished.theta) if classes and holdout else None,
    )


def accuracy(risk: EmpiricalRisk, theta: Tensor) -> Tensor:
    """Share of the samples in the right class `[restart]`: the largest output, or the nearer of two target values."""
    outputs, targets = risk.outputs(theta), risk.targets
    if targets.shape[0] > 1:
        right = outputs.argmax(1) == targets.argmax(0)
    else:
        middle = (targets.min() + targets.max()) / 2
        right = ((outputs > middle) == (targets > middle)).squeeze(1)
    return right.to(theta.dtype).mean(1).masked_fill(torch.isfinite(theta).all(1).logical_not(), torch.nan)


def enough(study: Study, blocks: list[Block]) -> bool:
    """Whether Boender and Rinnooy Kan's rule says that hardly a minimum can be missing (`basinet.counting.enough`)."""
    kind = classify(tables.evidence_arrays(blocks), Tolerances())
    found = tables.merged(blocks, kind, study.exact_objective.symmetry)
    return counting.enough(int((found.kind == Kind.MINIMUM).sum()), int((kind == Kind.MINIMUM).sum()))


def gather(study: Study, blocks: list[Block], curves_max: int, seconds: dict[str, float]) -> Findings:
    """What needs all restarts: the tables."""
    start = time.perf_counter()
    evidence = tables.evidence_arrays(blocks)
    kind = classify(evidence, Tolerances())
    found = tables.merged(blocks, kind, study.exact_objective.symmetry)
    findings = Findings(
        study=study,
        restarts=tables.restarts_table(blocks, study.seed, study.engine.name, kind, evidence, found),
        minima=tables.minima_table(blocks, evidence, found),
        evidence_arrays=evidence,
        curves=tables.curves_table(blocks, curves_max),
        quantiles=tables.quantiles_table(blocks),
        parameters=tables.parameters(blocks),
        seconds=seconds,
    )
    return replace(findings, seconds={**seconds, "tables": time.perf_counter() - start})


def run(
    study: Study, *, store: Store | None = None, curves_max: int = 2000, report: Report = lambda share: None
) -> Findings:
    """Train all restarts of a study and put what was found into tables.

    Args:
        study: the condition.
        store: where finished blocks are kept; in memory if None.
        curves_max: number of restarts whose whole loss curve is kept.
        report: called with the share of the work that is done.

    >>> findings = run(Study.from_config({"restarts": 20, "descent": {"steps": 50}}))
    >>> len(findings.restarts), sorted(findings.parameters)
    (20, ['final', 'initial'])
    """
    store = MemoryStore() if store is None else store
    _tell_cost(study)
    start = time.perf_counter()
    for restarts in study.block_ranges():
        before, share = restarts.start / study.restarts, len(restarts) / study.restarts
        store.add(solve(study, restarts, lambda part, b=before, s=share: report(b + s * part)))  # type: ignore[misc]
        if study.is_auto and enough(study, store.blocks()):
            break
    return gather(study, store.blocks(), curves_max, {"descend": time.perf_counter() - start})


def _tell_cost(study: Study) -> None:
    """Log what polishing costs, or would cost, where that is more than an afterthought."""
    size, limit = study.network.size, study.polishing.dense_max
    if study.polishing.steps == 0 or size <= _DEAR or not _log.isEnabledFor(logging.INFO):
        return
    sample = study.starts(range(min(_SAMPLE, study.restarts))).double().cpu()
    seconds = study.restarts * newton_seconds(study.exact_objective, sample, study.exact_engine)
    step = f"one Newton step of {study.restarts:,} restarts takes about {_rounded(seconds)} s"
    if size <= limit:
        _log.info("polishing %d parameters: %s, and up to %d are taken", size, step, study.polishing.steps)
    else:
        _log.info("not polished: %d parameters, polish.dense_max=%d; with more, %s", size, limit, step)


def _rounded(seconds: float) -> str:
    return f"{seconds:.2g}" if seconds < 100 else f"{seconds:,.0f}"


def _unnamed(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if key != "name"}


def _problem(settings: Mapping[str, Any]) -> tuple[ProblemFamily, Problem]:
    rest = _unnamed(settings)
    common = fill(_ProblemCommon, {key: rest.pop(key) for key in ("holdout", "seed")}, "problem")
    family: ProblemFamily = fill(PROBLEMS[settings["name"]], rest, "problem")
    return family, split(family.samples(common.seed), common.holdout, common.seed)


@dataclass(frozen=True)
class _ProblemCommon:
    holdout: float
    seed: int

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**63, f"problem.seed={self.seed}: must be between 0 and 2^63 - 1")


def _network(settings: Mapping[str, Any], family: ProblemFamily, problem: Problem) -> Network:
    wanted = fill(NetworkSettings, _unnamed(settings), "network")
    widths = (problem.inputs.shape[0], *wanted.hidden_widths(family.natural_width), problem.targets.shape[0])
    return Network(widths, wanted.activation, wanted.output or family.natural_output, wanted.bias)


def _descent(settings: Mapping[str, Any], seed: int) -> Descent:
    rest = _unnamed(settings)
    shared = [field.name for field in dataclasses.fields(Budget)]
    budget = fill(Budget, {key: rest.pop(key) for key in shared if key in rest}, "descent")
    method: type[Descent] = DESCENTS[settings["name"]]
    given: dict[str, Any] = {"budget": budget, "seed": seed} if method is Sgd else {"budget": budget}
    return fill(method, rest, "descent", **given)
