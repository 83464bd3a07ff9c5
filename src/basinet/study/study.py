"""A study of one condition: its settings, checked, and what they stand for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from basinet.descents import DESCENTS, Sgd
from basinet.descents.budget import Budget
from basinet.engines import NativeEngine, check_engine, choose_engine
from basinet.foundation.errors import ConfigError, require
from basinet.inits import INITS, Given, Init
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.problems import PROBLEMS, ProblemFamily, split
from basinet.protocols import Descent, Engine, Problem
from basinet.stages.descend import record_steps
from basinet.stages.polish import Polishing
from basinet.study import defaults
from basinet.study.convert import fill

_NUMERICS = 2  # raised when the same settings give other numbers than before: nothing old is then taken up again
_CHANGES_NO_NUMBER = ("restarts", "restarts_max", "threads", "engine")


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
        return self._risk(self._placed(self.problem.inputs), self._placed(self.problem.targets))

    def _risk(self, inputs: Tensor, targets: Tensor) -> EmpiricalRisk:
        chosen = self.objective_settings
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
        """f in float64 on the CPU, on data that is not rounded: what is certified is certified there."""
        return self._risk(self.problem.inputs, self.problem.targets)

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
        return defaults.columns_of(self.settings)

    @cached_property
    def key(self) -> str:
        """The same for studies whose restarts are the same numbers, whatever how many there are of them.

        A hash of the settings without those that change no number, of the data, and of the numerical code: its version
        and the engine.
        """
        settings = {name: value for name, value in self.settings.items() if name not in _CHANGES_NO_NUMBER}
        groups = {
            name: {key: entry for key, entry in group.items() if key != "path"}  # what lies there is hashed below
            for name, group in settings.items()
            if isinstance(group, Mapping)
        }
        native = (
            self.execution.engine != "torch" and NativeEngine().unsupported_reason(self.objective, self.descent) is None
        )
        resolved = {"device": self.device.type, "engine": "native" if native else "torch", "numerics": _NUMERICS}
        plain = _plain({**settings, **groups, **resolved})
        digest = hashlib.sha256(json.dumps(plain, sort_keys=True).encode())
        problem = self.problem
        data = [problem.inputs, problem.targets, problem.holdout_inputs, problem.holdout_targets]
        arrays = [tensor.numpy() for tensor in data]
        if isinstance(self.init, Given):
            arrays.append(self.init.starts)
        for array in arrays:
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:20]

    @cached_property
    def objective_key(self) -> str:
        """The same for studies that minimise the same function: problem, network, loss and penalties."""
        network = self.network  # not its settings: of some, a network with one layer has no use
        hidden = network.activation if network.depth > 1 else None
        shape = [network.widths, hidden, network.output, network.bias]
        return json.dumps([self.settings["problem"], shape, self.settings["objective"]], sort_keys=True)

    def starts(self, restarts: range) -> Tensor:
        """θ `[restart, parameter]` before the first step."""
        return self.init.draw(self.network, self.seed, restarts).to(self.device, self.dtype)

    def _placed(self, samples: Tensor) -> Tensor:
        return samples.to(self.device, self.dtype)


def _plain(value: Any) -> Any:
    """Numbers that are equal, written alike: 1 for 1.0."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


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
