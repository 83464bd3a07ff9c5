"""A study of one condition: its settings, checked, and what they stand for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import torch
from torch import Tensor

from basinet.descents import DESCENTS
from basinet.engines import check_engine, choose_engine
from basinet.foundation import synonyms
from basinet.foundation.errors import ConfigError, require, unknown
from basinet.foundation.machine import cores, numerics
from basinet.inits import INITS, Init
from basinet.mlp.activations import ACTIVATIONS
from basinet.mlp.network import Network
from basinet.objectives import OBJECTIVES
from basinet.problems import PROBLEMS, Arrays, ProblemFamily, Samples, split
from basinet.problems.arrays import NAME as ARRAYS
from basinet.protocols import Descent, Engine, Objective, ObjectiveFamily, Problem, SelfPaced
from basinet.stages.landscape import LANDSCAPES, NoLandscape, Saddles
from basinet.stages.polish import Polishing
from basinet.stages.tolerances import Tolerances
from basinet.study import defaults
from basinet.study.convert import fill
from basinet.study.defaults import unnamed

_NUMERICS = 4  # raised when the same settings give other numbers than before: nothing old is then taken up again
_MOST_THREADS = 1024  # no machine has more cores, and each takes memory
_DEEPEST = 10_000  # weight layers: each takes a handful of operations a step, however narrow
_CHANGES_NO_NUMBER = ("restarts", "restarts_max", "threads", "landscape")  # of a restart


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
        many = f"threads={self.threads}: must be at most {_MOST_THREADS:,}"
        require(self.threads is None or self.threads <= _MOST_THREADS, many)
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ConfigError("device=cuda: torch sees no CUDA device here; use device=cpu or device=auto")

    @property
    def precision(self) -> torch.dtype:
        """Of the descent."""
        return torch.float32 if self.dtype == "float32" else torch.float64


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
        require(self.depth <= _DEEPEST, f"network.depth={self.depth:,}: must be at most {_DEEPEST:,}")

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
        given = config.get("problem")
        settings, family = _arrays(config, given) if isinstance(given, Arrays) else _from_conf(config)
        execution = fill(Execution, {k: v for k, v in settings.items() if k not in defaults.GROUPS}, "")
        common = fill(
            _ProblemCommon, {key: value for key, value in settings["problem"].items() if key in _COMMON}, "problem"
        )
        samples = family.samples(common.seed)
        problem = split(samples, common.holdout, common.seed)
        width = settings["network"]["width"]
        width = family.natural_width if width is None else width
        resolved = _with_natural(settings, samples)
        network = _network(resolved["network"], family, problem)
        resolved["network"] = {**resolved["network"], "width": width, "output": network.output}
        objectives: ObjectiveFamily = _filled(OBJECTIVES, resolved, "objective")
        trained = objectives.trained(problem, network)
        init: Init = _filled(INITS, resolved, "init")
        descent = _descent(resolved["descent"], execution.seed)
        polishing = fill(Polishing, unnamed(settings["polish"]), "polish")
        if isinstance(descent, SelfPaced):
            dense = polishing.dense_max or defaults.complete({})["polish"]["dense_max"]  # 0: no spectra are wanted
            descent = descent.suited(trained.size, execution.precision, dense)
        resolved["descent"] = _as_taken(resolved["descent"], descent)
        tolerances = fill(Tolerances, unnamed(settings["certify"]), "certify")
        landscape: NoLandscape | Saddles = _filled(LANDSCAPES, settings, "landscape")
        remarks = (*samples.remarks, *_remarks(settings, resolved, problem))
        parts = (problem, trained, objectives, init, descent, polishing, tolerances, landscape)
        study = Study(resolved, execution, *parts, remarks)
        study._check_relations()
        return study

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
        size, dense = self.network.size, self.polishing.dense_max
        if isinstance(self.landscape, Saddles) and size > dense:
            whole = f"landscape=saddles: takes the whole spectrum, and {size:,} parameters are more than"
            raise ConfigError(f"{whole} polish.dense_max={dense}")
        check_engine(self.execution.engine, self.objective, self.descent)

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
        """The same for studies whose restarts are the same numbers, whatever how many there are of them.

        A hash of the settings without those that change no number, of the content of files, and of the version of the
        numerical code. Nothing that is computed enters it, nor which engine `auto` finds: that, like the last bits, is
        the business of a machine, and stands with the blocks (`made_by`).
        """
        settings = {name: value for name, value in self.settings.items() if name not in _CHANGES_NO_NUMBER}
        groups = {
            name: {key: entry for key, entry in group.items() if key != "path"}  # what lies there is in the fingerprint
            for name, group in settings.items()
            if isinstance(group, Mapping)
        }
        read = {"problem": self.problem.fingerprint, "init": self.init.fingerprint}
        resolved = {"device": self.device.type, "numerics": _NUMERICS, "read": read}
        plain = _plain({**settings, **groups, **resolved})
        return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:20]

    @property
    def made_by(self) -> str:
        """What decides the last bits of a block: the engine that runs, the processor, the libraries."""
        return f"{self.engine.name} engine, {numerics()}"

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


def _plain(value: Any) -> Any:
    """Numbers that are equal, written alike: 1 for 1.0."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _filled(family: Mapping[str, type], settings: Mapping[str, Any], group: str) -> Any:
    """The member of a family that the settings of its group describe."""
    return fill(_member(family, group, settings[group]["name"]), unnamed(settings[group]), group)


def _member(family: Mapping[str, type], group: str, name: str) -> Any:
    """A member by its name; `defaults.complete` has found its YAML."""
    text = f"{group}={name}: has a YAML, but is not named in the table of basinet.{group}s"
    require(name in family, text)
    return family[name]


def _from_conf(config: Mapping[str, Any]) -> tuple[dict[str, Any], ProblemFamily]:
    """The complete settings, one name where a list of them is wanted being a list of one, and the problem's family."""
    given = config.get("problem")
    if isinstance(given, Mapping) and given.get("name") == ARRAYS:
        again = '"problem": basinet.Problem(inputs, targets)'
        raise ConfigError(f"problem={ARRAYS}: arrays do not stand in a configuration; give them again as {again}")
    settings = defaults.complete(config)
    problem = settings["problem"]
    network = settings["network"]
    reaches_all = network.get("output") in (None, "identity")
    if problem.get("standardize_targets", False) is None and not reaches_all:
        problem = {**problem, "standardize_targets": False}
    if problem.get("activation", "") is None:  # a teacher of the student's kind
        problem = {**problem, "activation": _activation_of(network)}
    own = {key: value for key, value in unnamed(problem).items() if key not in _COMMON}
    family: ProblemFamily = fill(_member(PROBLEMS, "problem", problem["name"]), own, "problem")
    lists = {key: list(getattr(family, key)) for key, value in own.items() if isinstance(getattr(family, key), tuple)}
    return {**settings, "problem": {**problem, **lists}}, family


def _activation_of(network: Mapping[str, Any]) -> str:
    """That of a student, which there has to be before it can be a teacher's, too."""
    name: str = fill(NetworkSettings, {**unnamed(network), "bias": True}, "network").activation
    if name not in ACTIVATIONS:
        raise unknown("network.activation", name, (*ACTIVATIONS, *synonyms.ACTIVATIONS))
    return name


def _arrays(config: Mapping[str, Any], arrays: Arrays) -> tuple[dict[str, Any], ProblemFamily]:
    """The complete settings with what stands for arrays from Python, and these."""
    settings = defaults.complete({key: value for key, value in config.items() if key != "problem"})
    return {**settings, "problem": arrays.settings}, arrays


def _with_natural(settings: Mapping[str, Any], samples: Samples) -> dict[str, Any]:
    """The settings with what suits the samples where they are open."""
    natural = {
        ("objective", "loss"): samples.natural_loss,
        ("descent", "learning_rate"): samples.natural_learning_rate,
        ("network", "bias"): samples.natural_bias,
    }
    result = dict(settings)
    for (group, key), value in natural.items():
        if key in settings[group] and settings[group][key] is None:
            result[group] = {**settings[group], key: value}
    return result


def _remarks(settings: Mapping[str, Any], resolved: Mapping[str, Any], problem: Problem) -> list[str]:
    """What was chosen that a user does not expect."""
    said = []
    loss = resolved["objective"].get("loss")  # which not every objective has
    if loss not in (None, "squared", settings["objective"].get("loss")):
        said.append(f"objective.loss={loss}, which suits targets that name classes")
    if problem.units is not None:
        said.append("targets are standardized, and losses are of these; loss_original has the units they were given in")
    return said


_COMMON = ("holdout", "seed")  # the settings that every problem has


@dataclass(frozen=True)
class _ProblemCommon:
    holdout: float
    seed: int

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**63, f"problem.seed={self.seed}: must be between 0 and 2^63 - 1")


def _network(settings: Mapping[str, Any], family: ProblemFamily, problem: Problem) -> Network:
    wanted = fill(NetworkSettings, unnamed(settings), "network")
    widths = (problem.inputs.shape[0], *wanted.hidden_widths(family.natural_width), problem.targets.shape[0])
    return Network(widths, wanted.activation, wanted.output or family.natural_output, wanted.bias)


def _as_taken(settings: Mapping[str, Any], descent: Descent) -> dict[str, Any]:
    """The settings of a descent, of the types that they have there."""
    budget = descent.budget
    return {key: getattr(budget, key, getattr(descent, key, value)) for key, value in settings.items()}


def _descent(settings: Mapping[str, Any], seed: int) -> Descent:
    rest = unnamed(settings)
    method: type[Descent] = _member(DESCENTS, "descent", settings["name"])
    limits = typing.get_type_hints(method)["budget"]
    shared = [field.name for field in dataclasses.fields(limits) if field.init and field.name != "seed"]
    budget = fill(limits, {key: rest.pop(key) for key in shared if key in rest}, "descent", seed=seed)
    return fill(method, rest, "descent", budget=budget)
