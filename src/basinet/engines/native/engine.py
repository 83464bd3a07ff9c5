"""The native engine: segments and derivatives by kernels that are compiled for each network."""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from basinet.engines.native.compiler import NativeError, find_compiler
from basinet.engines.native.follower import FOLLOWERS, Follower, follower_of
from basinet.engines.native.library import (
    ACTIVATIONS,
    LOSSES,
    Library,
    Rules,
    Segment,
    Shape,
    curvature_library,
    descent_library,
    follower_library,
    has_algebra,
    has_hessian,
    pointer,
)
from basinet.engines.native.update import UPDATES, constants_of, rates_of
from basinet.engines.own_pace import Computed, followed, pieces
from basinet.foundation.threads import single_threaded_operations
from basinet.linalg.eigen import eigenvalues, eigenvectors
from basinet.linalg.trust_region import BISECTIONS, SHIFT, newton_step
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import (
    CHECK_EVERY,
    AtOwnPace,
    Descent,
    Marched,
    Marching,
    NewtonStep,
    Objective,
    SelfPaced,
    State,
    Stepwise,
)

_LARGEST = 50_000  # parameters: beyond, a block of lanes is far larger than any cache
_DEEPEST = 100  # layers: kernels are unrolled over them
_TRUST_REGION = (ctypes.c_double(SHIFT), ctypes.c_int(BISECTIONS))


@dataclass(frozen=True)
class NativeEngine:
    """Segments by compiled kernels, one restart per SIMD lane, blocks of lanes handed to `threads` Python threads."""

    threads: int = 1
    name: str = "native"

    def is_meant_for(self, objective: Objective) -> bool:
        """Whether it is an objective of the kind that kernels are made for, whatever else may stand in the way."""
        return isinstance(objective, EmpiricalRisk)

    def unsupported_reason(self, objective: Objective, descent: Descent) -> str | None:
        if not isinstance(objective, EmpiricalRisk):
            return f"the native engine has no kernel for {type(objective).__name__}"
        device, depth = objective.inputs.device.type, objective.network.depth
        hidden, output = objective.trained_network.activation, objective.trained_network.output
        obstacles = {
            f"runs on the CPU, not on {device}": device != "cpu",
            f"has no kernel for {type(descent).__name__}": not isinstance(descent, SelfPaced)
            and type(descent) not in (*UPDATES, *FOLLOWERS),
            f"has no kernel for the activation {hidden}": hidden not in ACTIVATIONS,
            f"has no kernel for the output {output}": output not in ACTIVATIONS,
            f"has no kernel for the loss {objective.loss_name}": objective.loss_name not in LOSSES,
            f"is for networks of up to {_LARGEST:,} parameters, not {objective.size:,}": objective.size > _LARGEST,
            f"is for networks of up to {_DEEPEST} layers, not {depth}": depth > _DEEPEST,
        }
        for obstacle, present in obstacles.items():
            if present:
                return f"the native engine {obstacle}"
        try:
            find_compiler()
        except NativeError as error:
            return str(error)
        return None

    def prepare(self, objective: Objective, descent: Descent) -> None:
        """Compile what a study will need.

        Raises:
            NativeError: if that fails.
        """
        risk = _risk(objective)
        with ThreadPoolExecutor(2) as pool:  # two compilers at a time
            made = [pool.submit(curvature_library, Shape.of(risk, torch.float64))]
            if isinstance(descent, Stepwise):
                made.append(pool.submit(self._descent_library, risk, risk.inputs.dtype, descent))
            elif (follower := follower_of(descent, Shape.of(risk, risk.inputs.dtype))) is not None:
                made.append(pool.submit(follower_library, Shape.of(risk, risk.inputs.dtype), follower.source))
        for library in made:
            library.result()

    def segment(self, objective: Objective, descent: Stepwise, state: State, until: int) -> State:
        risk = _risk(objective)
        restarts = state.theta.shape[0]
        result = replace(
            state,
            step=until,
            theta=state.theta.clone(memory_format=torch.contiguous_format),
            **{name: getattr(state, name).clone() for name in ("status", "steps", "loss", "gradient_norm")},
        )
        memory = torch.stack(state.memory) if state.memory else None  # [memory, restart, parameter]
        first = int(state.step)
        rates = torch.from_numpy(rates_of(descent, first, until))
        constants = torch.from_numpy(constants_of(descent))
        batches, sizes = _batches(descent, first, until, risk.samples)
        segment = Segment(
            *(pointer(tensor) for tensor in (result.theta, memory, result.status, result.steps)),
            *(pointer(tensor) for tensor in (result.loss, result.gradient_norm)),
            *(first, until, CHECK_EVERY, descent.budget.tolerance),
            *(pointer(rates), rates.shape[1] if len(rates) > 1 else 0, pointer(constants)),
            *(pointer(tensor) for tensor in (batches, sizes)),
            0 if batches is None else batches.shape[1],
        )
        library = self._descent_library(risk, state.theta.dtype, descent)
        library.run("descend", risk, restarts, self.threads, ctypes.byref(segment))
        return replace(result, memory=() if memory is None else memory.unbind())

    def follow(self, objective: Objective, descent: AtOwnPace, state: State, most: int) -> State:
        risk = _risk(objective)
        follower = follower_of(descent, Shape.of(risk, state.theta.dtype))
        if follower is not None:
            return self._in_lanes(risk, follower, descent, state, most)
        if not isinstance(descent, SelfPaced):
            raise NativeError(f"the native engine has no kernel for {type(descent).__name__}")
        f, parts = Computed(objective, self), pieces(descent, state, objective.size, 1)  # kernels have their threads
        with single_threaded_operations():
            return State.join([followed(f, descent, part, most) for part in parts])

    def _in_lanes(self, risk: EmpiricalRisk, follower: Follower, descent: AtOwnPace, state: State, most: int) -> State:
        result = state.copy()
        marks = torch.tensor(descent.budget.marks, dtype=follower.marks, device="cpu")
        task = follower.task(risk, descent, result, marks, most)
        library = follower_library(Shape.of(risk, state.theta.dtype), follower.source)
        library.run("follow", risk, state.theta.shape[0], self.threads, *map(ctypes.byref, task))
        return result

    def loss_and_gradient(self, objective: Objective, theta: Tensor) -> tuple[Tensor, Tensor]:
        risk, theta = _risk(objective), theta.contiguous()
        loss, gradient = theta.new_empty(theta.shape[0]), torch.empty_like(theta)
        self._evaluate(risk, "evaluate", theta, loss, gradient)
        return loss, gradient

    def signature(self, objective: Objective, theta: Tensor) -> Tensor:
        risk, theta = _risk(objective), theta.contiguous()
        library, parts = curvature_library(Shape.of(risk, theta.dtype)), []
        for probed, coefficients in risk.probes:
            rows = coefficients.to(theta).contiguous()
            part = theta.new_empty(theta.shape[0], rows.shape[0])
            arguments = (pointer(theta), pointer(rows), ctypes.c_int64(rows.shape[0]), pointer(part))
            library.run("project", probed, theta.shape[0], self.threads, *arguments)
            parts.append(part)
        return torch.cat(parts, 1)

    def hvp(self, objective: Objective, theta: Tensor, v: Tensor) -> Tensor:
        theta = theta.contiguous()
        result = torch.empty_like(theta)
        self._evaluate(_risk(objective), "multiply", theta, v.contiguous(), result)
        return result

    def hessian(self, objective: Objective, theta: Tensor) -> Tensor:
        risk, theta = _risk(objective), theta.contiguous()
        if not has_hessian(Shape.of(risk, theta.dtype)):
            return risk.hessian(theta)
        result = theta.new_empty(theta.shape[0], risk.size, risk.size)
        self._evaluate(risk, "hessian", theta, result)
        return result

    def eigenvalues(self, objective: Objective, theta: Tensor) -> Tensor:
        risk = _risk(objective)
        if not has_algebra(Shape.of(risk, theta.dtype)):
            return eigenvalues(self.hessian(risk, theta), self.threads)
        result = torch.empty_like(theta, memory_format=torch.contiguous_format)
        self._evaluate(risk, "eigenvalues", theta.contiguous(), result)
        return result

    def eigenvectors(self, objective: Objective, theta: Tensor) -> tuple[Tensor, Tensor]:
        risk = _risk(objective)
        if not has_algebra(Shape.of(risk, theta.dtype)):
            return eigenvectors(self.hessian(risk, theta), self.threads)
        values = torch.empty_like(theta, memory_format=torch.contiguous_format)
        vectors = theta.new_empty(theta.shape[0], risk.size, risk.size)  # [restart, eigenvalue, parameter]
        self._evaluate(risk, "eigenvectors", theta.contiguous(), values, vectors)
        return values, vectors.transpose(1, 2)

    def newton_step(self, objective: Objective, theta: Tensor, gradient: Tensor, region: Tensor) -> NewtonStep:
        risk, theta = _risk(objective), theta.contiguous()
        if not has_algebra(Shape.of(risk, theta.dtype)):
            return newton_step(self.hessian(risk, theta), gradient, region, self.threads)
        step, (foretold, norms) = torch.empty_like(theta), theta.new_empty(2, theta.shape[0])
        given = (theta, gradient.contiguous(), region.contiguous())
        self._evaluate(risk, "newton_step", *given, step, foretold, norms, *_TRUST_REGION)
        return NewtonStep(step, foretold, norms)

    def march(self, objective: Objective, theta: Tensor, limit: Tensor, marching: Marching) -> Marched | None:
        risk, theta = _risk(objective), theta.contiguous()
        if not has_algebra(Shape.of(risk, theta.dtype)):
            return None
        loss, grows = theta.new_empty(2, theta.shape[0])
        rests, faded = theta.new_empty(2, theta.shape[0], dtype=torch.bool)
        found = Marched(torch.empty_like(theta), loss, torch.empty_like(theta), rests, faded, grows)
        results = (getattr(found, field.name) for field in fields(found))
        rules = Rules.of(marching, risk.scale, risk.rounding)
        self._evaluate(risk, "march", theta, limit.contiguous(), *results, ctypes.byref(rules))
        return found

    def _evaluate(self, risk: EmpiricalRisk, name: str, theta: Tensor, *more: Any) -> None:
        library = curvature_library(Shape.of(risk, theta.dtype))
        arguments = (pointer(each) if isinstance(each, Tensor) else each for each in (theta, *more))
        library.run(name, risk, theta.shape[0], self.threads, *arguments)

    def _descent_library(self, risk: EmpiricalRisk, dtype: torch.dtype, descent: Stepwise) -> Library:
        rates = rates_of(descent, 0, 1).shape[1]
        return descent_library(Shape.of(risk, dtype), UPDATES[type(descent)].header, rates)


def _risk(objective: Objective) -> EmpiricalRisk:
    if not isinstance(objective, EmpiricalRisk):
        raise TypeError(f"the native engine has no kernel for {type(objective).__name__}")
    return objective


def _batches(descent: Stepwise, first: int, until: int, samples: int) -> tuple[Tensor | None, Tensor | None]:
    """The samples of every step `[step, batch]` int32 and how many they are `[step]`; None for all of them."""
    batches = [descent.batch(step, samples) for step in range(first, until)]
    chosen = [batch for batch in batches if batch is not None]
    if not chosen:
        return None, None
    sizes = torch.tensor([len(batch) for batch in chosen], device="cpu")
    table = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True)
    return table.to(torch.int32).contiguous(), sizes
