"""A study of one condition: its settings, checked, and what they stand for."""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from basinet.analysis.cards import Card, Shown
from basinet.descents import DESCENTS
from basinet.engines import check_engine, choose_engine, described
from basinet.escapes import ESCAPES, Escape
from basinet.escapes.seam import Allowance
from basinet.foundation.errors import ConfigError, require
from basinet.foundation.machine import cores, numerics
from basinet.inits import INITS, Init
from basinet.inits.fresh import FreshStarts
from basinet.mlp.network import Network
from basinet.objectives import OBJECTIVES
from basinet.problems import split
from basinet.protocols import Descent, Engine, Objective, ObjectiveFamily, Problem, SelfPaced
from basinet.stages.landscape import LANDSCAPES, NoLandscape, Saddles
from basinet.stages.polish import Polishing
from basinet.stages.tolerances import Tolerances
from basinet.study import defaults
from basinet.study.convert import fill
from basinet.study.defaults import unnamed
from basinet.study.resolve import Execution, Resolved, condition_key, filled, member, resolve


@dataclass(frozen=True, repr=False)
class Study(Shown):
    """One condition, checked: everything that decides the numbers of its restarts, and nothing else.

    Build it with `from_config`. `settings` is the resolved configuration as nested plain values; `remarks` are what the
    program has decided about the user's data that the user should know, a line each.
    """

    settings: dict[str, Any]
    execution: Execution
    problem: Problem
    network: Network
    objectives: ObjectiveFamily
    init: Init
    descent: Descent
    escape: Escape
    polishing: Polishing
    tolerances: Tolerances
    landscape: NoLandscape | Saddles
    remarks: tuple[str, ...] = ()

    @staticmethod
    def from_config(config: Mapping[str, Any]) -> Study:
        """The study that `config` describes; what it leaves out is taken from `conf/`.

        Args:
            config: settings as on the command line, nested: `{"problem": "xor", "restarts": 50}`. The problem may be
                arrays: `{"problem": basinet.Problem(inputs, targets)}`.

        Raises:
            ConfigError: for anything unknown, of the wrong type, out of range, or that does not fit together.

        >>> Study.from_config({"problem": "xor", "network": {"depth": 3, "width": 4}}).network.widths
        (2, 4, 4, 1)
        """
        resolved = resolve(config)
        settings, execution, common = resolved.settings, resolved.execution, resolved.common
        problem = split(resolved.samples, common.holdout, common.seed)
        network = _network(resolved, problem)
        objectives: ObjectiveFamily = filled(OBJECTIVES, settings, "objective")
        trained = objectives.trained(problem, network)
        init: Init = filled(INITS, settings, "init")
        descent = _descent(settings["descent"], execution.seed)
        polishing = fill(Polishing, unnamed(settings["polish"]), "polish")
        if isinstance(descent, SelfPaced):
            dense = polishing.dense_max or defaults.complete({})["polish"]["dense_max"]  # 0: no spectra are wanted
            descent = descent.suited(trained.size, execution.precision, dense)
        settings = {**settings, "descent": _as_taken(settings["descent"], descent)}
        tolerances = fill(Tolerances, unnamed(settings["certify"]), "certify")
        landscape: NoLandscape | Saddles = filled(LANDSCAPES, settings, "landscape")
        methods = (objectives, init, descent, _escape(settings["escape"]), polishing, tolerances, landscape)
        study = Study(settings, execution, problem, trained, *methods, resolved.remarks)
        study._check_relations()
        return study

    @property
    def _card(self) -> Card:
        objective = self.settings["objective"]
        facts = [
            f"{'up to ' * self.is_auto}{self.restarts:,} restarts, {self.network.size:,} parameters, seed {self.seed}",
            f"starts: {_settings_in_words(self.settings['init'])}",
            f"descent: {_settings_in_words(self.settings['descent'])}",
            f"objective: {_settings_in_words(objective)}",
            *self.remarks,
        ]
        return Card(f"Study of {self.label}", facts, rest="basinet.run(study)")

    @property
    def label(self) -> str:
        """The problem and the network in a few words; of `objective=test_function` only what is minimised."""
        objective = self.settings["objective"]
        if objective["name"] == "test_function":
            return str(objective["function"])
        shape = "-".join(map(str, self.network.widths))
        hidden = f" {self.network.activation}" if self.network.depth > 1 else ""
        return f"{self.settings['problem']['name']}: {shape}{hidden}, output {self.network.output}"

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: not what was computed from it, which may be threads and compiled code."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def _check_relations(self) -> None:
        for name in ("inputs", "targets"):
            values = getattr(self.problem, name)
            largest = float(values.abs().max())
            fits = bool(torch.isfinite(values.to(self.dtype)).all())
            require(fits, f"dtype={self.execution.dtype}: {largest:g} among the {name} is too large; use float64")
        self.init.check(self.network, self.restarts)
        self._check_runs()
        size, dense = self.network.size, self.polishing.dense_max
        if isinstance(self.landscape, Saddles) and size > dense:
            whole = f"landscape=saddles: takes the whole spectrum, and {size:,} parameters are more than"
            raise ConfigError(f"{whole} polish.dense_max={dense}")
        check_engine(self.execution.engine, self.objective, self.descent)

    def _check_runs(self) -> None:
        if not self.escape.goes_on:
            return
        init, escape = (self.settings[group]["name"] for group in ("init", "escape"))
        require(self.device.type == "cpu", f"device={self.execution.device}: escape={escape} needs device=cpu")
        endless = not self.escape.fresh or self.init.max_restarts is None
        require(endless, f"escape={escape}: needs other starts in every round, and init={init} has only so many")

    @property
    def restarts(self) -> int:
        """Number of restarts; with `restarts=auto` the largest number that there can be."""
        if self.execution.restarts != "auto":
            return self.execution.restarts
        limit, there_are = self.execution.restarts_max, self.init.max_restarts
        return limit if there_are is None else min(limit, there_are)

    @property
    def is_auto(self) -> bool:
        """Whether restarts are added until the stopping rule is met."""
        return self.execution.is_auto

    @property
    def budget(self) -> float | None:
        """Gradients of each run; None where a restart is its descent and nothing more."""
        return self.execution.budget

    @property
    def seed(self) -> int:
        """Seed of the restarts."""
        return self.execution.seed

    @cached_property
    def device(self) -> torch.device:
        """Where the descent runs."""
        return torch.device(self.execution.device_type)

    @cached_property
    def dtype(self) -> torch.dtype:
        """Precision of the descent."""
        return self.execution.precision

    @cached_property
    def exact_objective(self) -> Objective:
        """f in float64 on the CPU, on data that is not rounded: what is certified is certified there."""
        return self.objectives.on(self.problem, self.network)

    @cached_property
    def objective(self) -> Objective:
        """f where and as precisely as the descent computes it."""
        return self.exact_objective.to(self.device, self.dtype)

    @cached_property
    def holdout(self) -> Objective | None:
        """The loss on the held-out samples, without penalties; None if nothing is held out."""
        return self.objectives.on_holdout(self.problem, self.network)

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
        return self.execution.threads or cores()

    @cached_property
    def marks(self) -> Sequence[float]:
        """Where losses are recorded: numbers of steps, or times."""
        return self.descent.budget.marks

    @cached_property
    def columns(self) -> dict[str, Any]:
        """The settings with their dotted keys, as they stand in tables: `init`, `init.std`, `network.depth`, …"""
        return defaults.columns_of(self.settings)

    @cached_property
    def key(self) -> str:
        """The same for studies whose restarts are the same numbers, whatever how many there are: `condition_key`."""
        read = {"problem": self.problem.fingerprint, "init": self.init.fingerprint}
        return condition_key(self.settings, read, self.device.type)

    @property
    def made_by(self) -> str:
        """What decides the last bits of a block: the engine that runs, its compiler, the processor, the libraries."""
        return f"{described(self.engine)}, {numerics()}"

    @cached_property
    def objective_key(self) -> str:
        """The same for studies that minimise the same function: problem, network, loss and penalties."""
        network = self.network  # not its settings: of some, a network with one layer has no use
        hidden = network.activation if network.depth > 1 else None
        shape = [network.widths, hidden, network.output, network.bias]
        return json.dumps([self.settings["problem"], shape, self.settings["objective"]], sort_keys=True)

    @cached_property
    def fresh_starts(self) -> FreshStarts:
        """Starts for the rounds of runs, other ones than those of restarts."""
        return FreshStarts(self.init, self.network, self.seed)

    def starts(self, restarts: range) -> Tensor:
        """θ `[restart, parameter]` before the first step."""
        return self.init.draw(self.network, self.seed, restarts).to(self.device, self.dtype)


def _settings_in_words(settings: Mapping[str, Any]) -> str:
    """The choice of a group and its settings: `normal (std=1, bias=same)`."""
    rest = [f"{key}={value}" for key, value in unnamed(settings).items() if value is not None]
    return f"{settings['name']} ({', '.join(rest)})" if rest else str(settings["name"])


def _network(resolved: Resolved, problem: Problem) -> Network:
    wanted = resolved.network
    hidden = wanted.hidden_widths(resolved.family.natural_width)
    widths = (problem.inputs.shape[0], *hidden, problem.targets.shape[0])
    return Network(widths, wanted.activation, resolved.settings["network"]["output"], wanted.bias)


def _as_taken(settings: Mapping[str, Any], descent: Descent) -> dict[str, Any]:
    """The settings of a descent, of the types that they have there."""
    budget = descent.budget
    return {key: getattr(budget, key, getattr(descent, key, value)) for key, value in settings.items()}


def _escape(settings: Mapping[str, Any]) -> Escape:
    """The method, and how long its runs go on."""
    rest = unnamed(settings)
    method: type[Escape] = member(ESCAPES, "escape", settings["name"])
    shared = [field.name for field in dataclasses.fields(Allowance)]
    allowance = fill(Allowance, {key: rest.pop(key) for key in shared if key in rest}, "escape")
    return fill(method, rest, "escape", allowance=allowance)


def _descent(settings: Mapping[str, Any], seed: int) -> Descent:
    rest = unnamed(settings)
    method: type[Descent] = member(DESCENTS, "descent", settings["name"])
    limits = typing.get_type_hints(method)["budget"]
    shared = [field.name for field in dataclasses.fields(limits) if field.init and field.name != "seed"]
    budget = fill(limits, {key: rest.pop(key) for key in shared if key in rest}, "descent", seed=seed)
    return fill(method, rest, "descent", budget=budget)
