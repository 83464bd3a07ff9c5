"""Arrays from Python as a problem."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from basinet.foundation.errors import ConfigError, require
from basinet.foundation.random_streams import Array
from basinet.problems.labels import are_indicators, are_labels, are_probabilities, one_hot
from basinet.problems.samples import Samples
from basinet.problems.standardization import Standardization
from basinet.problems.table import LEARNING_RATE

NAME = "arrays"
"""Stands in settings where other problems have theirs; it cannot be chosen by it."""


@dataclass(frozen=True, eq=False)
class Arrays:
    """Samples to be learned, as arrays whose columns are samples: `basinet.Problem(inputs, targets)`.

    Numbers are taken as they are, unless they are to be standardized. Labels become one output for each class, sorted.

    Args:
        inputs: `[feature, sample]`; `[sample]` is one feature.
        targets: `[output, sample]`; `[sample]` is one output, or one label for each sample.
        classes: whether `targets` name classes: labels, or rows of 0 and 1, one for each class. None: texts,
            true/false and such rows do, other numbers do not.
        standardize: bring every input to mean 0 and standard deviation 1.
        standardize_targets: … and every target, unless it is a class or a probability.
        holdout: share of the samples kept for testing.
        seed: of the choice of what is held out.

    Raises:
        ConfigError: for shapes that do not fit, and for what is not a finite number.

    >>> import basinet
    >>> xor = basinet.Problem([[0, 0, 1, 1], [0, 1, 0, 1]], ["same", "other", "other", "same"])
    >>> basinet.Study.from_config({"problem": xor, "network": {"width": 3}}).network.widths
    (2, 3, 2)
    """

    inputs: Any
    targets: Any
    classes: bool | None = None
    standardize: bool = False
    standardize_targets: bool = False
    holdout: float = 0.0
    seed: int = 0

    natural_width: ClassVar[int] = 8
    natural_output: ClassVar[str] = "identity"

    def __post_init__(self) -> None:
        for name in ("classes", "standardize", "standardize_targets"):
            value = getattr(self, name)
            right = isinstance(value, bool) or (name == "classes" and value is None)
            require(right, f"basinet.Problem: {name}={value}: must be True or False")
        x, y = _array(self.inputs, "inputs"), _array(self.targets, "targets")
        for name, array in (("inputs", x), ("targets", y)):
            shape = f"basinet.Problem: {name} have the shape {_shape(array)}"
            require(array.ndim in (1, 2), f"{shape}, not [row, sample] or [sample]")
            require(array.size > 0, f"{shape}: there are none")
        x, y = (array[None] if array.ndim == 1 and array.dtype.kind in "biuf" else array for array in (x, y))
        shapes = f"basinet.Problem: inputs {_shape(x)} and targets {_shape(y)} have different numbers of columns"
        turned = y.shape[-1] == x.shape[0] or (y.ndim == 2 and y.shape[0] == x.shape[0])
        hint = "; columns are samples, so transpose what has them as rows" if turned else ", which are the samples"
        require(x.shape[-1] == y.shape[-1], shapes + hint)
        object.__setattr__(self, "inputs", x)
        object.__setattr__(self, "targets", y)

    @property
    def settings(self) -> dict[str, Any]:
        """What stands for the arrays in the settings of a study."""
        chosen = ("classes", "standardize", "standardize_targets", "holdout", "seed")
        content = {"fingerprint": self._fingerprint}
        return {"name": NAME, **content, **{name: getattr(self, name) for name in chosen}}

    def samples(self, seed: int) -> Samples:
        x = _numbers(self.inputs, "inputs")
        y, classes, remarks = self._targets()
        fitted = self.standardize_targets and not classes and not are_probabilities(y)
        return Samples(
            x,
            y,
            classes,
            self._fingerprint,
            natural_loss="cross_entropy" if classes and len(y) > 1 else "squared",
            natural_learning_rate=LEARNING_RATE,
            input_standardization=_standardization("inputs", len(x), "standardize") if self.standardize else None,
            target_standardization=_standardization("targets", len(y), "standardize_targets") if fitted else None,
            remarks=tuple(remarks),
        )

    @property
    def _fingerprint(self) -> str:
        """Of what the arrays have become: the same for 1, 1.0 and a tensor of it."""
        y, classes, _ = self._targets()
        digest = hashlib.sha256(f"{self.inputs.shape} {y.shape} {classes}".encode())
        for array in (_numbers(self.inputs, "inputs"), y):
            digest.update(array.tobytes())
        return digest.hexdigest()[:20]

    def _targets(self) -> tuple[Array, bool, list[str]]:
        """Targets `[output, sample]`, whether they name a class, and what is to be said about that."""
        import pandas as pd

        if self.targets.ndim == 1 or (len(self.targets) == 1 and self.classes is not False):
            labels = pd.Series(self.targets.reshape(-1))
            texts = self.targets.dtype.kind not in "iuf" and are_labels(labels)
            if self.classes or (texts and self.classes is None):
                found = one_hot(labels, "basinet.Problem, targets")
                return found.targets, True, [f"basinet.Problem: {found.described()}, one output each"]
        y = _numbers(self.targets, "targets")
        indicators = self.classes is not False and are_indicators(y)
        text = "must be 0 or 1, with one 1 in each column; or give one label for each sample"
        require(indicators or not self.classes, f"basinet.Problem: classes=True: the rows of targets {text}")
        return y, indicators, []


def _array(values: Any, name: str) -> np.ndarray[Any, Any]:
    """A copy of `values` that nothing can change; text and what is no number are kept as objects."""
    if hasattr(values, "columns"):  # a DataFrame
        text = "is a DataFrame, whose rows are samples; give its values, .to_numpy().T, or a file (problem=table)"
        raise ConfigError(f"basinet.Problem: {name} {text}")
    if hasattr(values, "detach"):  # a tensor
        values = values.detach().cpu().numpy()
    try:
        array = np.array(values)
    except ValueError as error:
        raise ConfigError(f"basinet.Problem: {name} cannot be made an array ({error})") from error
    array = array if array.dtype.kind in "biuf" else array.astype(object)
    array.setflags(write=False)
    return array


def _numbers(array: np.ndarray[Any, Any], name: str) -> Array:
    """A copy that is in memory as it is read, so that its bytes are those of its numbers alone."""
    require(array.dtype.kind in "biuf", f"basinet.Problem: {name} must be numbers, {_strange(array)!r} is none")
    return np.array(array, dtype=np.float64, order="C")


def _strange(array: np.ndarray[Any, Any]) -> object:
    return next((entry for entry in array.flat if not isinstance(entry, bool | int | float)), array.flat[0])


def _shape(array: np.ndarray[Any, Any]) -> list[int]:
    return list(array.shape)


def _standardization(name: str, rows: int, setting: str) -> Standardization:
    remedy = f"leave it out, or give {setting}=False"
    return Standardization(tuple(f"{name}[{row}]" for row in range(rows)), "basinet.Problem,", remedy)
