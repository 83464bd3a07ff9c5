"""What the parts of the pipeline promise each other, and the state that passes between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

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

    def loss_original(self, theta: Tensor) -> Tensor | None:
        """The loss without penalties in the units that targets had before they were standardized, `[restart]`.

        None where nothing was standardized.
        """
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
"""What a descent carries from step to step (momentum, moments), each `[restart, parameter]`."""


class Descent(Protocol):
    """One method of descent: frozen settings, and two pure functions."""

    @property
    def budget(self) -> Budget:
        """Learning rate, budget of steps, tolerance and records."""
        ...

    @property
    def settles(self) -> bool:
        """Whether its steps vanish with ∇f: at a flat bottom it stays, instead of wandering along it."""
        ...

    def init(self, theta: Tensor) -> Memory:
        """The memory before the first step."""
        ...

    def step(self, theta: Tensor, gradient: Tensor, memory: Memory, step: int) -> tuple[Tensor, Memory]:
        """Parameters and memory after step number `step` (the first is 0)."""
        ...

    def batch(self, step: int, samples: int) -> Tensor | None:
        """Indices of the samples that this step sees; None for all of them."""
        ...


@dataclass(frozen=True)
class State:
    """What a descent carries between segments; every tensor but `step` has one row per restart."""

    theta: Tensor  # [restart, parameter]
    memory: Memory
    step: int
    status: Tensor = field(repr=False)  # [restart] int8, see Status
    steps: Tensor = field(repr=False)  # [restart] int64: updates made so far
    loss: Tensor = field(repr=False)  # [restart], at theta
    gradient_norm: Tensor = field(repr=False)  # [restart], Euclidean, at theta

    def rows(self, index: Tensor) -> State:
        """The state of some restarts only."""
        return self._with([tensor.index_select(0, index) for tensor in self.tensors()], self.step)

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
        return [self.theta, self.status, self.steps, self.loss, self.gradient_norm, *self.memory]

    def _with(self, tensors: list[Tensor], step: int) -> State:
        theta, status, steps, loss, gradient_norm, *memory = tensors
        return State(theta, tuple(memory), step, status, steps, loss, gradient_norm)

    @staticmethod
    def join(parts: list[State]) -> State:
        """The inverse of `split`."""
        columns = zip(*(part.tensors() for part in parts), strict=True)
        return parts[0]._with([torch.cat(column) for column in columns], parts[0].step)


CHECK_EVERY = 10
"""The stopping test is made at steps divisible by this, and at the end of every segment."""


class Engine(Protocol):
    """How a segment is executed, and derivatives of many restarts at once."""

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

    def segment(self, objective: Objective, descent: Descent, state: State, until: int) -> State:
        """Take all restarts of `state` from `state.step` to step `until`, freezing those that arrive or diverge."""
        ...

    def loss_and_gradient(self, objective: Objective, theta: Tensor) -> tuple[Tensor, Tensor]:
        """f `[restart]` and ∂f/∂θ `[restart, parameter]` at `theta [restart, parameter]`."""
        ...

    def hvp(self, objective: Objective, theta: Tensor, v: Tensor) -> Tensor:
        """Hessian-vector products, `[restart, parameter]`."""
        ...

    def hessian(self, objective: Objective, theta: Tensor) -> Tensor:
        """The exact Hessian, `[restart, parameter, parameter]`."""
        ...
