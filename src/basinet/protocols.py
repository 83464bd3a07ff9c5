"""What the parts of the pipeline promise each other, and the state that passes between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

if TYPE_CHECKING:
    from basinet.descents.budget import Budget
    from basinet.mlp.network import Network


@dataclass(frozen=True)
class Committee:
    """A teacher of which everything is known: y = Σ_j φ(v_j·x) for inputs x ~ N(0, I)."""

    units: Tensor  # [unit, feature] float64: v_1 … v_k
    activation: str  # φ


@dataclass(frozen=True)
class Problem:
    """Samples to learn; columns are samples, so that a layer is `weight @ a + bias`."""

    inputs: Tensor  # [feature, sample] float64
    targets: Tensor  # [output, sample] float64
    holdout_inputs: Tensor  # [feature, held-out sample]; no columns if nothing is held out
    holdout_targets: Tensor  # [output, held-out sample]
    classes: bool = False  # whether the targets name a class: accuracy is then defined
    fingerprint: str = ""  # of what the settings do not say: the content of files, or arrays from Python
    units: Tensor | None = None  # [output]: what 1 is of standardized targets; None: targets are as they were given
    teacher: Committee | None = None  # what the samples are drawn from, where that is known


class Chunk(Protocol):
    """An objective laid out for a chunk of restarts: the inner loop of every descent.

    `packed` tensors are `[restart', parameter']`: in the memory order that is fastest, padded where that helps.
    """

    def pack(self, theta: Tensor) -> Tensor:
        """`theta [restart, parameter]` as a packed tensor."""
        ...

    def unpack(self, packed: Tensor) -> Tensor:
        """The inverse of `pack`."""
        ...

    def gradient(self, packed: Tensor) -> Tensor:
        """∂f/∂θ, packed; valid until the next call."""
        ...

    def loss_and_gradient(self, packed: Tensor) -> tuple[Tensor, Tensor]:
        """f `[restart']` and ∂f/∂θ, packed; valid until the next call."""
        ...

    def batch(self, samples: Tensor) -> Chunk:
        """The same chunk on a subset of the samples (indices)."""
        ...


class Nearest(NamedTuple):
    """Two parameter vectors, the second as near the first as the discrete group has brought it."""

    theta: Tensor  # [parameter], the first; scales are fixed as in `canonical`
    image: Tensor  # [parameter], of the second
    distance: float  # between the two
    at_least: float  # no image is nearer than this: the distance itself where all have been compared


class Symmetry(Protocol):
    """Which changes of the parameters leave an objective as it is."""

    @property
    def by_function(self) -> bool:
        """Whether only the answers tell equivalent points, so that signatures have the last word."""
        ...

    def canonical(self, theta: Tensor) -> Tensor:
        """One representative of each class, `[restart, parameter]`: nearly the same for most copies."""
        ...

    def distance(self, theta: Tensor, other: Tensor) -> float:
        """The distance of two parameter vectors `[parameter]` modulo the discrete symmetries."""
        ...

    def nearest(self, theta: Tensor, other: Tensor) -> Nearest:
        """The image of the second of two parameter vectors `[parameter]` that is nearest to the first."""
        ...

    def explained_zeros(self, theta: Tensor) -> Tensor:
        """How many zeros of the Hessian the continuous symmetries account for, `[restart]` int64."""
        ...

    def orbit_size(self, theta: Tensor) -> Tensor:
        """How many points are images of θ, itself among them, `[restart]`: inf on a continuum, NaN if not counted."""
        ...

    def near_copy(self, theta: Tensor, draws: Tensor) -> Tensor:
        """An image of θ that is not far, `[restart, parameter]`; which one, numbers in (0, 1) `[restart, 5]` say."""
        ...


class ProblemSymmetry(Protocol):
    """What may be done to a problem, such as exchanging two inputs, without changing an objective as a whole.

    It is no symmetry of the network: it makes other answers, and another minimum, of the same loss.
    """

    @property
    def order(self) -> int:
        """How many different things may be done, nothing at all among them."""
        ...

    @property
    def complete(self) -> bool:
        """Whether these are all."""
        ...

    @property
    def words(self) -> list[str]:
        """What they are made of, in words; empty if nothing may be done."""
        ...

    def invariants(self, theta: Tensor) -> Tensor:
        """Numbers `[restart, n]` that all images of parameters have in common, and copies by `Objective.symmetry`."""
        ...

    def images(self, theta: Tensor, other: Tensor) -> Iterator[Tensor]:
        """Those images of `theta [parameter]` that may be `other`, up to `Objective.symmetry`.

        Whether one of them is has to be seen: they are no more than the likely ones.
        """
        ...


class Objective(Protocol):
    """A function to be minimised from many starts at once, with what certifying and merging ask about it.

    `basinet.objectives.plain` has what an objective without batches and symmetries needs of this.
    """

    @property
    def size(self) -> int:
        """Number of parameters."""
        ...

    @property
    def samples(self) -> int:
        """Number of samples that the loss is a mean of; 1 where there are none to choose from."""
        ...

    @property
    def scale(self) -> float:
        """What counts as a large value of f."""
        ...

    @property
    def lowest(self) -> float:
        """A lower bound of f; -inf if none is known."""
        ...

    @property
    def rounding(self) -> float:
        """By how much rounding may change f where it is near 0; 0 where no large terms cancel there."""
        ...

    @property
    def coercive(self) -> bool:
        """Whether f → ∞ as ‖θ‖ → ∞, so that no bottom is at infinity."""
        ...

    @property
    def symmetry(self) -> Symmetry:
        """Which changes of the parameters leave f as it is."""
        ...

    @property
    def problem_symmetry(self) -> ProblemSymmetry:
        """Which changes of the problem leave f as it is, and what becomes of parameters in them."""
        ...

    @property
    def chunk_size(self) -> int:
        """Number of restarts to evaluate at once: what fits the cache."""
        ...

    @property
    def parallel_chunks(self) -> bool:
        """Whether operations on a chunk are long enough for several Python threads to gain anything."""
        ...

    def chunk(self, restarts: int) -> Chunk:
        """The objective laid out for a chunk of that many restarts."""
        ...

    def to(self, device: torch.device, dtype: torch.dtype) -> Objective:
        """The same objective elsewhere, or in another precision."""
        ...

    def loss(self, theta: Tensor) -> Tensor:
        """f `[restart]` at `theta [restart, parameter]`."""
        ...

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """f `[restart]` and ∂f/∂θ `[restart, parameter]`."""
        ...

    def hvp(self, theta: Tensor, v: Tensor) -> Tensor:
        """Hessian-vector products, `[restart, parameter]`."""
        ...

    def hessian(self, theta: Tensor) -> Tensor:
        """The exact Hessian, `[restart, parameter, parameter]`."""
        ...

    def signature(self, theta: Tensor) -> Tensor:
        """A few numbers that tell what the parameters do, `[restart, 2 · n]`, the same under every symmetry of f.

        The first half is about the samples only, the second half about other inputs.
        """
        ...

    def kink_distance(self, theta: Tensor) -> Tensor:
        """How near f is to not being differentiable: the smallest |z| of a ReLU unit, inf if it is smooth."""
        ...

    def accuracy(self, theta: Tensor) -> Tensor | None:
        """The share of the samples that are in the right class, `[restart]`; None where there are no classes."""
        ...

    def whole(self, theta: Tensor) -> tuple[Network, Tensor] | None:
        """The network whose function `theta [restart, parameter]` makes, and its parameters `[restart, n]`.

        With what is fixed about it, such as output weights; None where f is not that of a network.
        """
        ...

    def statement(self) -> dict[str, Any] | None:
        """What f is, in names and in the numbers that it is made of, exactly, for proofs (`basinet.proofs.statement`).

        None if nothing can be proved of it.
        """
        ...

    def loss_original(self, theta: Tensor) -> Tensor | None:
        """The loss without penalties in the units that targets had before they were standardized, `[restart]`.

        None where nothing was standardized.
        """
        ...


class Function(Protocol):
    """What a descent that chooses its own steps may ask: an `Objective`, or one that an engine differentiates."""

    @property
    def size(self) -> int:
        """Number of parameters."""
        ...

    @property
    def rounding(self) -> float:
        """By how much rounding may change f where it is near 0."""
        ...

    def loss_and_gradient(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """f `[restart]` and ∂f/∂θ `[restart, parameter]`."""
        ...

    def hvp(self, theta: Tensor, v: Tensor) -> Tensor:
        """Hessian-vector products, `[restart, parameter]`."""
        ...

    def hessian(self, theta: Tensor) -> Tensor:
        """The exact Hessian, `[restart, parameter, parameter]`, which the caller may overwrite."""
        ...


class ObjectiveFamily(Protocol):
    """A member of `objective=`: frozen settings that make an objective of a problem and a network."""

    def trained(self, problem: Problem, network: Network) -> Network:
        """The network that θ is laid out by: `network`, or those of its layers that are not fixed.

        Raises:
            ConfigError: if the three do not fit together.
        """
        ...

    def on(self, problem: Problem, network: Network) -> Objective:
        """What is minimised, in float64 on the CPU; `network` is the trained one.

        Raises:
            ConfigError: if the three do not fit together.
        """
        ...

    def on_holdout(self, problem: Problem, network: Network) -> Objective | None:
        """What is measured on samples that are held out, without penalties; None where there are none."""
        ...


Memory = tuple[Tensor, ...]
"""What a descent carries from step to step (momentum, moments): one row per restart, mostly `[restart, parameter]`."""


class Limits(Protocol):
    """How long a descent goes on, when it stops, and where it is looked at."""

    @property
    def clock(self) -> Literal["step", "time"]:
        """What marks are numbers of."""
        ...

    @property
    def marks(self) -> Sequence[float]:
        """Where losses are recorded, ascending from the start, 0, to the end."""
        ...

    @property
    def steps(self) -> int:
        """How many a restart makes at most."""
        ...

    @property
    def tolerance(self) -> float:
        """A restart whose ‖∇f‖ is larger has not arrived."""
        ...

    @property
    def seed(self) -> int:
        """Of what is random about a descent."""
        ...

    def share(self, mark: float) -> float:
        """Which part of the way is behind a restart that has got to a mark, or beyond, from 0 to 1."""
        ...


class Descent(Protocol):
    """A method of descent: frozen settings. How it makes its steps says `Stepwise`, `SelfPaced` or `Searching`."""

    @property
    def budget(self) -> Limits:
        """Budget of steps or of time, tolerance and records."""
        ...

    @property
    def settles(self) -> bool:
        """Whether its steps vanish with ∇f: at a flat bottom it stays, instead of wandering along it."""
        ...

    def init(self, theta: Tensor) -> Memory:
        """The memory before the first step."""
        ...


@runtime_checkable
class Stepwise(Descent, Protocol):
    """All restarts take the same steps: pure functions of them, the loop is the engine's."""

    @property
    def budget(self) -> Budget:
        """Learning rate, budget of steps, tolerance and records."""
        ...

    def step(self, theta: Tensor, gradient: Tensor, memory: Memory, step: int) -> tuple[Tensor, Memory]:
        """Parameters and memory after step number `step` (the first is 0)."""
        ...

    def batch(self, step: int, samples: int) -> Tensor | None:
        """Indices of the samples that this step sees; None for all of them."""
        ...


@runtime_checkable
class SelfPaced(Descent, Protocol):
    """Every restart chooses its own steps, by a line search or by the error of a step.

    The loop is the engine's here, too: a step sees only restarts that are running, and no restart's numbers may depend
    on which others are there. Whatever it has to remember from step to step is in `State.memory`.
    """

    def advance(self, f: Function, state: State, gradient: Tensor, until: Tensor) -> tuple[State, Tensor]:
        """One step of every restart of `state`, and ∇f where it leads; it may be refused, so that all stays but memory.

        Args:
            f: what is minimised.
            state: restarts that are running; `loss` and `gradient_norm` are those at `theta`.
            gradient: ∇f there, `[restart, parameter]`.
            until: `[restart]`, the mark that each does not step over.
        """
        ...

    def rests(self, gradient_norm: Tensor) -> Tensor:
        """Whether a start is where a restart ends, `[restart]` bool."""
        ...

    def numbers(self, size: int) -> int:
        """How many a step holds of a restart with so many parameters, in its largest arrays."""
        ...

    def suited(self, size: int, dtype: torch.dtype, dense_max: int) -> SelfPaced:
        """The same, with what its settings leave open chosen for so many parameters.

        Raises:
            ConfigError: if it cannot be done with so many, or in this precision.
        """
        ...


@runtime_checkable
class Searching(Descent, Protocol):
    """Every restart chooses its own steps, each after as many evaluations as its search takes.

    Restarts that are evaluated together are at different places of their searches, so the loop is the descent's own.
    """

    def follow(self, f: Objective, state: State, most: int) -> State:
        """A chunk of restarts as `Engine.follow` has it, at most as many as `Objective.chunk_size`."""
        ...


AtOwnPace = SelfPaced | Searching
"""Descents in which every restart chooses its own steps, so that none waits for the others."""


@runtime_checkable
class Repeatable(Protocol):
    """A descent that may be asked to show that its accuracy decides nothing."""

    @property
    def repetition(self) -> Descent | None:
        """The same descent, more exact; None where that is not wanted."""
        ...


@dataclass(frozen=True)
class State:
    """What a descent carries between segments; every tensor but `step` has one row per restart."""

    theta: Tensor  # [restart, parameter]
    memory: Memory
    step: float  # the mark that all have got to: a number of steps, or a time
    status: Tensor = field(repr=False)  # [restart] int8, see Status
    steps: Tensor = field(repr=False)  # [restart] int64: updates made so far
    loss: Tensor = field(repr=False)  # [restart], at theta
    gradient_norm: Tensor = field(repr=False)  # [restart], Euclidean, at theta
    time: Tensor | None = field(default=None, repr=False)  # [restart] float64, where that is the descent's clock
    gradients: Tensor | None = field(default=None, repr=False)  # [restart] float64, spent, if it is `AtOwnPace`
    records: Tensor | None = field(default=None, repr=False)  # [restart, record, 3], likewise: see `RECORDED`

    def rows(self, index: Tensor) -> State:
        """The state of some restarts only."""
        return self._with([tensor.index_select(0, index) for tensor in self.tensors()], self.step)

    def copy(self) -> State:
        """The same in memory of its own, contiguous."""
        return self._with([tensor.clone(memory_format=torch.contiguous_format) for tensor in self.tensors()], self.step)

    def split(self, size: int) -> list[State]:
        """The state in pieces of at most `size` restarts."""
        pieces = zip(*(tensor.split(size) for tensor in self.tensors()), strict=True)
        return [self._with(list(piece), self.step) for piece in pieces]

    def scatter(self, index: Tensor, part: State) -> State:
        """This state with the rows `index` taken from `part`, at `part`'s step."""
        pairs = zip(self.tensors(), part.tensors(), strict=True)
        return self._with([mine.index_copy(0, index, theirs) for mine, theirs in pairs], part.step)

    def tensors(self) -> list[Tensor]:
        """All tensors of the state, in a fixed order."""
        own = [tensor for tensor in (self.time, self.gradients, self.records) if tensor is not None]
        return [self.theta, self.status, self.steps, self.loss, self.gradient_norm, *own, *self.memory]

    def _with(self, tensors: list[Tensor], step: float) -> State:
        theta, status, steps, loss, gradient_norm, *more = tensors
        time = None if self.time is None else more.pop(0)
        gradients = None if self.gradients is None else more.pop(0)
        records = None if self.records is None else more.pop(0)
        return State(theta, tuple(more), step, status, steps, loss, gradient_norm, time, gradients, records)

    @property
    def at(self) -> Tensor:
        """How far each restart has got: its steps, or its time; `[restart]`."""
        return self.steps if self.time is None else self.time

    @staticmethod
    def join(parts: list[State]) -> State:
        """The inverse of `split`."""
        columns = zip(*(part.tensors() for part in parts), strict=True)
        return parts[0]._with([torch.cat(column) for column in columns], parts[0].step)


RECORDED = ("loss", "gradient_norm", "steps")
"""What a descent in which every restart chooses its own steps notes of each of them at each mark; NaN before that."""

CHECK_EVERY = 10
"""The stopping test is made at steps divisible by this, and at the end of every segment."""


class NewtonStep(NamedTuple):
    """A step of Newton's method within a trust region, one row per restart."""

    step: Tensor  # [restart, parameter]
    foretold: Tensor  # [restart], by how much the quadratic model falls along it
    curvature: Tensor  # [restart], Frobenius norm of the Hessian where it begins


@dataclass(frozen=True)
class Marching:
    """The numbers by which implicit steps along the gradient flow go (`basinet.stages.march`, which explains them)."""

    steps: int
    corrections: int
    shrinks: float
    caution: int
    slowly: float
    exact: float
    contracts: float
    noise: float
    longest: float
    refusals: int
    long_ago: float
    rise: float
    stationary: float
    settled: float
    flat: float
    faded: float
    fading: float
    swift: float
    lasting: float
    growth: float
    fall: float
    growths: tuple[float, ...]


@dataclass(frozen=True)
class Marched:
    """Where the flow has got to, one row per restart."""

    theta: Tensor  # [restart, parameter]
    loss: Tensor  # [restart], f there
    gradient: Tensor  # [restart, parameter], ∇f there
    rests: Tensor  # [restart] bool: the gradient is at rounding level, and the way of the last decades is none
    faded: Tensor  # [restart] bool: it still moves, but nothing is left of the slope
    grows: Tensor  # [restart], by which share ‖θ‖ has grown in the last two decades of time; 0 of one that rests


class Engine(Protocol):
    """How a segment is executed, and derivatives of many restarts at once, with what is made of them."""

    @property
    def name(self) -> str:
        """As in the setting `engine`."""
        ...

    @property
    def threads(self) -> int:
        """How many threads it may use."""
        ...

    def unsupported_reason(self, objective: Objective, descent: Descent) -> str | None:
        """Why this engine cannot run that, in a few words; None if it can."""
        ...

    def segment(self, objective: Objective, descent: Stepwise, state: State, until: int) -> State:
        """Take all restarts of `state` from `state.step` to step `until`, freezing those that arrive or diverge."""
        ...

    def follow(self, objective: Objective, descent: AtOwnPace, state: State, most: int) -> State:
        """Take every restart of `state` that is running at most so many steps of its own, refused ones included.

        Each makes a record where it gets to a mark, and ends at the last. With `most` = 0 only starts are looked at,
        and those that rest or diverge end there. Nothing depends on how a descent is divided into calls.
        """
        ...

    def loss_and_gradient(self, objective: Objective, theta: Tensor) -> tuple[Tensor, Tensor]:
        """f `[restart]` and ∂f/∂θ `[restart, parameter]` at `theta [restart, parameter]`."""
        ...

    def signature(self, objective: Objective, theta: Tensor) -> Tensor:
        """`Objective.signature`, `[restart, 2 · n]`, up to rounding."""
        ...

    def hvp(self, objective: Objective, theta: Tensor, v: Tensor) -> Tensor:
        """Hessian-vector products, `[restart, parameter]`."""
        ...

    def hessian(self, objective: Objective, theta: Tensor) -> Tensor:
        """The exact Hessian, `[restart, parameter, parameter]`."""
        ...

    def eigenvalues(self, objective: Objective, theta: Tensor) -> Tensor:
        """Those of the Hessian, ascending, `[restart, parameter]`."""
        ...

    def eigenvectors(self, objective: Objective, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Eigenvalues `[restart, parameter]`, ascending, and eigenvectors `[restart, parameter, eigenvalue]`."""
        ...

    def newton_step(self, objective: Objective, theta: Tensor, gradient: Tensor, region: Tensor) -> NewtonStep:
        """From `theta`, where ∇f is `gradient [restart, parameter]`, no longer than `region [restart]`."""
        ...

    def march(self, objective: Objective, theta: Tensor, limit: Tensor, marching: Marching) -> Marched | None:
        """The long-time limit of the gradient flow, as `basinet.stages.march` makes it of the above.

        None where the engine can do no better than that.
        """
        ...
