"""What settings come to: what they leave open decided, and a key for what that makes; nothing here needs torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from basinet.foundation import synonyms
from basinet.foundation.elementary import VALUES
from basinet.foundation.errors import ConfigError, require, unknown
from basinet.problems import PROBLEMS, Arrays, ProblemFamily, Samples
from basinet.problems.arrays import NAME as ARRAYS
from basinet.study import defaults
from basinet.study.convert import convert, fill
from basinet.study.defaults import unnamed

if TYPE_CHECKING:
    import torch

_NUMERICS = 4  # raised when the same settings give other numbers than before: nothing old is then taken up again
_MOST_THREADS = 1024  # no machine has more cores, and each takes memory
_DEEPEST = 1_000  # weight layers: each takes operations of a fixed cost, which add up to half a minute of examining
_CHANGES_NO_NUMBER = ("restarts", "restarts_max", "threads", "landscape")  # of a restart
_RATE = 0.01  # of Langevin dynamics, where the descent has none
_COMMON = ("holdout", "seed")  # the settings that every problem has


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
    budget: float | None = None  # gradients of each run; None where a restart is its descent and nothing more

    def __post_init__(self) -> None:
        require(self.restarts == "auto" or self.restarts >= 1, f"restarts={self.restarts}: must be at least 1, or auto")
        require(self.restarts_max >= 1, f"restarts_max={self.restarts_max}: must be at least 1")
        require(0 <= self.seed < 2**63, f"seed={self.seed}: must be between 0 and 2^63 - 1")
        require(self.threads is None or self.threads >= 1, f"threads={self.threads}: must be at least 1")
        many = f"threads={self.threads}: must be at most {_MOST_THREADS:,}"
        require(self.threads is None or self.threads <= _MOST_THREADS, many)
        if self.device == "cuda" and not _is_cuda():
            raise ConfigError("device=cuda: torch sees no CUDA device here; use device=cpu or device=auto")

    @property
    def is_auto(self) -> bool:
        """Whether restarts are added until the stopping rule is met."""
        return self.restarts == "auto"

    @property
    def precision(self) -> torch.dtype:
        """Of the descent."""
        import torch

        return torch.float32 if self.dtype == "float32" else torch.float64

    @property
    def device_type(self) -> str:
        """Where the descent runs: `cpu` or `cuda`."""
        return self.device if self.device != "auto" else "cuda" if _is_cuda() else "cpu"


def _is_cuda() -> bool:
    import torch  # which takes seconds, and nothing else here needs it

    return torch.cuda.is_available()


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
class Common:
    """What every problem has: the share of samples that is held out, and the seed of its samples."""

    holdout: float
    seed: int

    def __post_init__(self) -> None:
        require(0 <= self.seed < 2**63, f"problem.seed={self.seed}: must be between 0 and 2^63 - 1")


@dataclass(frozen=True)
class Resolved:
    """The settings of one condition with nothing left open, as plain values, and the parts of them that were read."""

    settings: dict[str, Any]
    execution: Execution
    family: ProblemFamily
    common: Common
    network: NetworkSettings
    samples: Samples
    remarks: tuple[str, ...]  # what was decided that a user does not expect, a line each

    @cached_property
    def columns(self) -> dict[str, Any]:
        """`Study.columns` of the study that this makes."""
        return defaults.columns_of(self.settings)

    @cached_property
    def key(self) -> str:
        """`Study.key` of the study that this makes; that of none, if its descent decides what is left open."""
        read = {"problem": self.samples.fingerprint, "init": self._init_fingerprint()}
        return condition_key(self.settings, read, self.execution.device_type)

    def _init_fingerprint(self) -> str:
        """Of an init that reads a file; the others are what their settings say."""
        if "path" not in self.settings["init"]:
            return ""
        from basinet.inits import INITS

        init = filled(INITS, self.settings, "init")
        return str(init.fingerprint)


def resolve(config: Mapping[str, Any]) -> Resolved:
    """What the settings of one condition come to, see `Study.from_config`.

    Raises:
        ConfigError: for anything unknown, or of the wrong type, and for samples that cannot be read.
    """
    given = config.get("problem")
    settings, family = _arrays(config, given) if isinstance(given, Arrays) else _from_conf(config)
    own = {key: value for key, value in settings.items() if key not in defaults.GROUPS}
    execution = fill(Execution, own, "", budget=_budget(settings))
    common = fill(Common, {key: value for key, value in settings["problem"].items() if key in _COMMON}, "problem")
    samples = family.samples(common.seed)
    resolved = _with_natural(settings, samples)
    network = fill(NetworkSettings, unnamed(resolved["network"]), "network")
    width = family.natural_width if settings["network"]["width"] is None else settings["network"]["width"]
    output = network.output or family.natural_output
    resolved["network"] = {**resolved["network"], "width": width, "output": output}
    if "learning_rate" in resolved["descent"]:  # which a flow does without
        rate = convert(resolved["descent"]["learning_rate"], float, "descent.learning_rate")
        resolved["descent"] = {**resolved["descent"], "learning_rate": rate}
    if resolved["escape"].get("rate", "") is None:  # of Langevin dynamics: the descent's, if it has one
        resolved["escape"] = {**resolved["escape"], "rate": resolved["descent"].get("learning_rate", _RATE)}
    remarks = (*samples.remarks, *_remarks(settings, resolved, samples))
    return Resolved(resolved, execution, family, common, network, samples, remarks)


def condition_key(settings: Mapping[str, Any], read: Mapping[str, str], device: str) -> str:
    """The same for conditions whose restarts are the same numbers, whatever how many there are of them.

    A hash of the settings without those that change no number, of the content of files (`read`, fingerprints by group),
    and of the version of the numerical code. Nothing that is computed enters it, nor which engine `auto` finds: that,
    like the last bits, is the business of a machine, and stands with the blocks (`Study.made_by`).
    """
    goes_on = _goes_on(settings)
    settings = {name: value for name, value in settings.items() if name not in _CHANGES_NO_NUMBER}
    escape = {key: value for key, value in settings.pop("escape").items() if f"escape.{key}" != defaults.BUDGET}
    if goes_on:  # or else there is nothing to tell
        settings["escape"] = escape
    groups = {
        name: {key: entry for key, entry in group.items() if key != "path"}  # what lies there is in the fingerprint
        for name, group in settings.items()
        if isinstance(group, Mapping)
    }
    plain = _plain({**settings, **groups, "device": device, "numerics": _NUMERICS, "read": read})
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:20]


def _goes_on(settings: Mapping[str, Any]) -> bool:
    """Whether restarts go on as runs: by default they do not."""
    return bool(settings["escape"]["name"] != defaults.usual_columns()["escape"])


def _budget(settings: Mapping[str, Any]) -> float | None:
    """Gradients of each run, where there are any."""
    return float(convert(settings["escape"]["budget"], float, defaults.BUDGET)) if _goes_on(settings) else None


def _plain(value: Any) -> Any:
    """Numbers that are equal, written alike: 1 for 1.0."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def filled(family: Mapping[str, type], settings: Mapping[str, Any], group: str) -> Any:
    """The member of a family that the settings of its group describe."""
    return fill(member(family, group, settings[group]["name"]), unnamed(settings[group]), group)


def member(family: Mapping[str, type], group: str, name: str) -> Any:
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
    family: ProblemFamily = fill(member(PROBLEMS, "problem", problem["name"]), own, "problem")
    lists = {key: list(getattr(family, key)) for key, value in own.items() if isinstance(getattr(family, key), tuple)}
    return {**settings, "problem": {**problem, **lists}}, family


def _activation_of(network: Mapping[str, Any]) -> str:
    """That of a student, which there has to be before it can be a teacher's, too."""
    name: str = fill(NetworkSettings, {**unnamed(network), "bias": True}, "network").activation
    if name not in VALUES:
        raise unknown("network.activation", name, (*VALUES, *synonyms.ACTIVATIONS))
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


def _remarks(settings: Mapping[str, Any], resolved: Mapping[str, Any], samples: Samples) -> list[str]:
    """What was chosen that a user does not expect."""
    said = []
    loss = resolved["objective"].get("loss")  # which not every objective has
    if loss not in (None, "squared", settings["objective"].get("loss")):
        said.append(f"objective.loss={loss}, which suits targets that name classes")
    if samples.target_standardization is not None:
        said.append("targets are standardized, and losses are of these; loss_original has the units they were given in")
    return said
