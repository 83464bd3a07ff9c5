"""Compiled kernels, called by ctypes: which network they are made for, and the structures they take."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass, fields
from functools import cache
from itertools import pairwise
from pathlib import Path
from threading import Condition
from typing import Any

import torch
from torch import Tensor

from basinet.engines.native.compiler import NativeError, build
from basinet.foundation.threads import workers
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import Marching

_STOP = 1 << 48  # no block has such a number, nor is it out of range when it is counted in restarts
_DEEPEST_HESSIAN = 12  # layers
_LARGEST_ALGEBRA = 128  # parameters: a block of their Hessians is 1 MB, what an L2 cache holds

ACTIVATIONS = ("logistic", "tanh", "relu", "softplus", "gelu", "identity")
"""Those that backprop.h has a struct for, of the same name in C++'s spelling."""

LOSSES = ("squared", "cross_entropy")
"""Likewise."""


class _Function(ctypes.Structure):
    _fields_ = (
        ("inputs", ctypes.c_void_p),
        ("targets", ctypes.c_void_p),
        ("samples", ctypes.c_int64),
        ("l2_weights", ctypes.c_double),
        ("l2_biases", ctypes.c_double),
        ("restarts", ctypes.c_int64),
        ("next", ctypes.c_void_p),
    )


class Segment(ctypes.Structure):
    """The argument of `descend` (descend.cpp says what is what)."""

    _fields_ = (
        ("theta", ctypes.c_void_p),
        ("memory", ctypes.c_void_p),
        ("status", ctypes.c_void_p),
        ("steps", ctypes.c_void_p),
        ("loss", ctypes.c_void_p),
        ("gradient_norm", ctypes.c_void_p),
        ("first", ctypes.c_int64),
        ("until", ctypes.c_int64),
        ("check_every", ctypes.c_int64),
        ("tolerance", ctypes.c_double),
        ("rates", ctypes.c_void_p),
        ("rate_stride", ctypes.c_int64),
        ("constants", ctypes.c_void_p),
        ("batches", ctypes.c_void_p),
        ("batch_sizes", ctypes.c_void_p),
        ("batch_size", ctypes.c_int64),
    )


_Growths = ctypes.c_double * 9
_RULES = [field.name for field in fields(Marching) if field.name != "growths"]


class Rules(ctypes.Structure):
    """The numbers of `march`, in the order of march.h."""

    _fields_ = (
        *((name, ctypes.c_double) for name in _RULES),
        ("scale", ctypes.c_double),
        ("rounding", ctypes.c_double),
        ("growths", _Growths),
    )

    @staticmethod
    def of(marching: Marching, scale: float, rounding: float) -> Rules:
        """Those for an objective with this scale and rounding."""
        return Rules(*(getattr(marching, name) for name in _RULES), scale, rounding, _Growths(*marching.growths))


@dataclass(frozen=True)
class Shape:
    """All that a kernel knows when it is compiled; the names are those of C++."""

    widths: tuple[int, ...]
    hidden: str
    output: str
    bias: bool
    loss: str
    dtype: torch.dtype
    samples: int  # worked on together

    @staticmethod
    def of(risk: EmpiricalRisk, dtype: torch.dtype) -> Shape:
        """The shape of an objective."""
        network = risk.trained_network
        hidden, output = _camel(network.activation), _camel(network.output)
        loss = _camel(risk.loss_name)
        return Shape(network.widths, hidden, output, network.bias, loss, dtype, samples_together(risk.samples))

    @property
    def size(self) -> int:
        """Number of parameters."""
        return sum(units * (inputs + self.bias) for inputs, units in pairwise(self.widths))

    def definitions(self) -> dict[str, str | int]:
        """The macros that say the same."""
        return {
            "REAL": {torch.float32: "float", torch.float64: "double"}[self.dtype],
            "WIDTHS": ",".join(map(str, self.widths)),
            "HIDDEN": self.hidden,
            "OUTPUT": self.output,
            "BIAS": int(self.bias),
            "LOSS": self.loss,
            "SAMPLES": self.samples,
        }


def _camel(name: str) -> str:
    return name.title().replace("_", "")


def samples_together(samples: int) -> int:
    """How many samples to unroll: enough to hide latencies, few enough for the cache, with little padding.

    >>> [samples_together(n) for n in (1, 4, 24, 25, 1797)]
    [1, 4, 8, 5, 7]
    """
    if samples <= 8:
        return samples
    return min((8, 7, 6, 5), key=lambda size: -samples % size)


class Library:
    """One loaded library."""

    def __init__(self, source: str, shape: Shape, **more: str | int | Path) -> None:
        path = build(source, {**shape.definitions(), **more})
        try:
            self._loaded = ctypes.CDLL(str(path))
        except OSError as error:
            path.unlink(missing_ok=True)  # the next process makes it again
            hint = "if its folder forbids programs, name another one in XDG_CACHE_HOME"
            raise NativeError(f"{path} cannot be loaded: {error}; {hint}") from None
        self.shape = shape
        self.lanes: int = self._loaded.lanes()

    def run(self, name: str, risk: EmpiricalRisk, restarts: int, threads: int, *arguments: Any) -> None:
        """Call a function of the library for some restarts from several threads, which share them block by block."""
        inputs, targets = _by_sample(risk, self.shape.dtype)
        taken = ctypes.c_int64(0)
        f = _Function(
            *(inputs.data_ptr(), targets.data_ptr(), risk.samples, risk.l2_weights, risk.l2_biases),
            *(restarts, ctypes.addressof(taken)),
        )
        function = getattr(self._loaded, name)
        blocks = -(-restarts // self.lanes)
        if blocks <= 1:
            function(ctypes.byref(f), *arguments)
            return
        threads = max(1, min(threads, blocks))  # one, too, is another than this: Ctrl-C is heard here
        crew = _Crew(lambda: function(ctypes.byref(f), *arguments))
        waiting: list[Future[None]] = []
        try:
            waiting.extend(workers(threads).submit(crew.work) for _ in range(threads))
            wait(waiting, return_when=FIRST_EXCEPTION)
        finally:  # Ctrl-C: no thread may go on with memory that is about to be given back
            taken.value = _STOP
            crew.dismiss()
        for thread in waiting:
            thread.result()


class _Crew:
    """Threads that call a function, until they are dismissed: then none is at it any more, and none begins.

    Ctrl-C may come while a thread is being asked, so that nobody holds its future; so they are counted where they work.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._changed = Condition()
        self._at_work = 0
        self._dismissed = False

    def work(self) -> None:
        """Call the function, unless it is too late."""
        with self._changed:
            if self._dismissed:
                return
            self._at_work += 1
        try:
            self._call()
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    def dismiss(self) -> None:
        """Return when nobody is at work any more."""
        with self._changed:
            self._dismissed = True
            self._changed.wait_for(lambda: self._at_work == 0)


def pointer(tensor: Tensor | None) -> ctypes.c_void_p:
    """Where a contiguous tensor lies; null for none."""
    if tensor is None:
        return ctypes.c_void_p(None)
    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        raise ValueError(f"a kernel cannot read this: device {tensor.device}, contiguous {tensor.is_contiguous()}")
    return ctypes.c_void_p(tensor.data_ptr())


@cache
def descent_library(shape: Shape, update: Path, rates: int) -> Library:
    """The steps of a descent (descend.cpp), with a header for its update that takes so many rates."""
    return Library("descend.cpp", shape, UPDATE=update, RATES_GIVEN=rates)


@cache
def follower_library(shape: Shape, source: str) -> Library:
    """A descent whose restarts go at their own pace."""
    return Library(source, shape)


@cache
def curvature_library(shape: Shape) -> Library:
    """Loss, gradient and second derivatives (curvature.cpp); whole Hessians only of networks that `has_hessian`."""
    parts = {"HESSIAN": has_hessian(shape), "ALGEBRA": has_algebra(shape)}
    return Library("curvature.cpp", shape, **{name: 1 for name, there in parts.items() if there})


def has_algebra(shape: Shape) -> bool:
    """Whether Hessians can be factorized and diagonalized in lanes: where that is quicker than LAPACK (measured)."""
    return has_hessian(shape) and shape.size <= _LARGEST_ALGEBRA


def has_hessian(shape: Shape) -> bool:
    """Whether whole Hessians are compiled: in float64, and where a function for each pair of layers takes seconds."""
    return shape.dtype == torch.float64 and len(shape.widths) <= _DEEPEST_HESSIAN + 1


def _by_sample(risk: EmpiricalRisk, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Inputs `[sample, feature]` and targets `[sample, output]`, contiguous."""
    return risk.inputs.to(dtype).t().contiguous(), risk.targets.to(dtype).t().contiguous()
