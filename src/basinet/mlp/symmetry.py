"""When two parameter vectors are the same bottom: the symmetries of a network's penalised loss.

A hidden unit's incoming row (w, b) and its outgoing column v can be changed together, in ways that depend on the
activation, so that the function stays as it is; a penalty may still tell the two apart. So the group belongs to the
objective, not to the network alone:

* units of a hidden layer may be permuted, always;
* tanh, erf and identity are odd: (w, b, v) → (-w, -b, -v), whatever the penalties;
* logistic: the same with the next bias b' → b' + v, for σ(-z) = 1 - σ(z). It needs a next bias, without a penalty;
* ReLU: (w, b, v) → (c w, c b, v / c), c > 0, without a penalty on the weights and, for b ≠ 0, on the biases;
* identity: (W, b, V) → (A W, A b, V A⁻¹) for every invertible A, of which a penalty on the weights (or on biases that
  are not 0) leaves the rotations; and without a penalty on the biases also (b, b') → (b + t, b' - V t);
* a softmax does not see a number added to all outputs: (W_L, b_L) → (W_L + 1 uᵀ, b_L + β 1), each without its penalty.

The first three are discrete: they make copies of a minimum. The others are continuous: they make it a manifold, and
zeros of the Hessian that have nothing degenerate about them.

Sources: Sussmann (1992); Kůrková & Kainen (1994); Dinh, Pascanu, Bengio & Bengio (2017).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from basinet.foundation.random_streams import normal
from basinet.mlp.images import exchanged, orbit_sizes
from basinet.mlp.network import Layer, Network
from basinet.protocols import Nearest

_BIAS_IS_ZERO = 1e-6  # |b| / ‖w‖ at a critical point: the penalty curves the orbit by its square, which is nothing
_ROWS = 4  # and columns, of which matrices have a multiple
_RANK = 1e-8  # singular values below this share of the largest possible one count as zero
_IMAGES = 10_000  # elements of a group of which all images are compared
_FALLS = 1e-12  # relative: by less a distance has not fallen
_ELEMENTS = 1 << 22  # of the tangent vectors of a chunk of restarts


@dataclass(frozen=True)
class SymmetryGroup:
    """All changes of a network's parameters that leave its penalised loss as it is, whatever the samples."""

    network: Network
    l2_weights: float = 0.0
    l2_biases: float = 0.0
    softmax: bool = False  # whether the loss reads the outputs through a softmax (cross-entropy)

    @property
    def flips(self) -> bool:
        """Whether hidden units may change their sign."""
        if self.network.activation == "logistic":
            return self.network.bias and self.l2_biases == 0
        return self.network.activation in ("tanh", "erf", "identity")

    @property
    def rescales(self) -> bool:
        """Whether hidden units may be scaled; under a penalty on the biases, only those with b = 0."""
        return self.network.activation == "relu" and self.l2_weights == 0

    @property
    def mixes(self) -> bool:
        """Whether hidden units may be mixed: by rotations at least."""
        return self.network.activation == "identity"

    @property
    def shifts(self) -> bool:
        """Whether a hidden bias may be moved into the next one."""
        return self.mixes and self.network.bias and self.l2_biases == 0

    @property
    def by_function(self) -> bool:
        """Whether only the network's answers tell equivalent points: `canonical` and `distance` do not undo mixing."""
        return self.mixes and self.network.depth > 1

    # One representative

    def canonical(self, theta: Tensor) -> Tensor:
        """One representative of the parameters that are equivalent under permutations, flips and scales.

        Outputs that can be shifted sum to 0. Then, layer by layer from the input: ‖(w, b)‖ = 1 where units can be
        scaled; c · (w, b) ≥ 0 where they can be flipped; units in the order of c · (w, b) + c' ‖v‖, in the last hidden
        layer c · (w, b) + c' · v; each change carried into the next layer. The coefficients c and c' are fixed random
        numbers: the structure that minima have (w = (1, -1), two units that exchange two inputs, a unit split in two)
        makes no ties with them, where the largest entry or the first one would.

        Equivalent points get the same representative up to rounding, unless one of these comparisons is nearly a tie:
        then they may differ by a flip or an exchange. So equal representatives prove equivalence; about unequal ones
        `distance` has the last word.

        Args:
            theta: `[restart, parameter]`.

        Returns:
            The representatives, `[restart, parameter]`. A row does not depend on the others.

        >>> group = SymmetryGroup(Network((1, 2, 1), "tanh", "identity", bias=False))
        >>> theta = torch.tensor([[1.0, -2.0, 3.0, 4.0], [2.0, 1.0, -4.0, 3.0]], dtype=torch.float64)
        >>> first, second = group.canonical(theta)
        >>> torch.equal(first, second)
        True
        """
        result = self._scaled(theta)
        for hidden, (layer, following) in enumerate(itertools.pairwise(self.network.layers(result))):
            projection = _projection(_rows(layer))
            if self.flips:
                _flip_of(self.network)(layer, following, torch.where(projection < 0, -1.0, 1.0).to(theta))
                projection = projection.abs()
            columns = following.weight.mT
            if hidden < self.network.depth - 2:  # what the next layer's flips and order do not change
                columns = torch.linalg.vector_norm(columns, dim=2, keepdim=True)
            _permute(layer, following, (projection + math.pi * _projection(columns)).argsort(dim=1, stable=True))
        self._centre_outputs(result)  # flips move the last bias
        return result

    def align(self, theta: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Bring the second of two parameter vectors `[parameter]` as near the first as the discrete group can.

        Scales are fixed in both as in `canonical`. Then, layer by layer from the input, units are assigned to units,
        with signs, such that the squared distances of rows and columns have the least sum; of columns into a hidden
        layer, whose units are not in order yet, the norms are compared. That is exact for copies of one point, unless
        two of its units are equal in what is compared; for other points it is a heuristic, and their distance an upper
        bound. The values must be finite.

        Source: Ainsworth, Hayase & Srinivasa (2023), *Git Re-Basin*, for matching units by assignment.
        """
        fixed, moved = self._scaled(theta.unsqueeze(0)), self._scaled(other.unsqueeze(0))
        pairs, others = (itertools.pairwise(self.network.layers(vector)) for vector in (fixed, moved))
        for hidden, (pair, other_pair) in enumerate(zip(pairs, others, strict=True)):
            is_last = hidden == self.network.depth - 2
            units, odd = _features(*pair, is_last)
            order, signs = self._match(units, _features(*other_pair, is_last)[0], odd)
            _permute(*other_pair, order)
            if self.flips:
                _flip_of(self.network)(*other_pair, signs)
        self._centre_outputs(moved)
        return fixed.squeeze(0), moved.squeeze(0)

    def distance(self, theta: Tensor, other: Tensor) -> float:
        """The Euclidean distance of two parameter vectors `[parameter]` modulo the discrete group, after `align`."""
        first, second = self.align(theta, other)
        return float(torch.linalg.vector_norm(first - second))

    # Images

    def orbit_size(self, theta: Tensor) -> Tensor:
        """How many points the group makes of θ, `[restart]`: inf where continuous symmetries move it.

        Otherwise |G| / |stabiliser| of the discrete group (`basinet.mlp.images`), NaN where that is not counted.
        """
        sizes = orbit_sizes(self.network, self.flips, theta)
        return torch.where(self.explained_zeros(theta) > 0, torch.inf, sizes)

    def images(self, theta: Tensor) -> Tensor:
        """θ `[parameter]` under every element of the discrete group, `[element, parameter]`: Π n! (2ⁿ) of them."""
        result = theta.unsqueeze(0)
        for hidden, units in enumerate(self.network.widths[1:-1]):
            pairs = list(itertools.product(itertools.permutations(range(units)), self._sign_changes(units)))
            orders = torch.tensor([order for order, _ in pairs], device=theta.device).repeat(len(result), 1)
            signs = torch.tensor([signs for _, signs in pairs], dtype=theta.dtype, device=theta.device)
            signs, result = signs.repeat(len(result), 1), result.repeat_interleave(len(pairs), 0)
            layer, following = list(self.network.layers(result))[hidden : hidden + 2]
            _permute(layer, following, orders)
            if self.flips:
                _flip_of(self.network)(layer, following, signs)
        return result

    def nearest(self, theta: Tensor, other: Tensor) -> Nearest:
        """The image of the second of two parameter vectors `[parameter]` that is nearest to the first.

        Of small groups all images are compared. Of others, `align` is refined: layer by layer units are assigned again,
        now by their rows and columns as they stand, for as long as that brings the two nearer. How near any image
        could be follows from what the group cannot change: the sizes of the weights of each layer, whatever their
        order, and the rows of the first hidden layer and the columns of the last.
        """
        first = self._scaled(theta.unsqueeze(0))
        if self._order() <= _IMAGES:
            images = self.images(self._scaled(other.unsqueeze(0)).squeeze(0))
            self._centre_outputs(images)
            distances = torch.linalg.vector_norm(images - first, dim=1)
            closest = int(distances.argmin())
            distance = float(distances[closest])
            return Nearest(first.squeeze(0), images[closest], distance, distance)
        _, moved = self.align(theta, other)
        moved = self._refined(first, moved.unsqueeze(0))
        distance = float(torch.linalg.vector_norm(moved - first))
        return Nearest(first.squeeze(0), moved.squeeze(0), distance, self._least_distance(first, moved))

    def _sign_changes(self, units: int) -> list[tuple[float, ...]]:
        return list(itertools.product((1.0, -1.0), repeat=units)) if self.flips else [(1.0,) * units]

    def _order(self) -> int:
        """Of the discrete group."""
        return math.prod(math.factorial(n) * (2**n if self.flips else 1) for n in self.network.widths[1:-1])

    def _refined(self, first: Tensor, moved: Tensor) -> Tensor:
        """`moved [1, parameter]` with units of one layer after the other assigned again, as long as that helps."""
        best, falls = torch.linalg.vector_norm(moved - first), True
        while falls:
            falls = False
            for hidden in range(self.network.depth - 1):
                trial = moved.clone()
                layer, following = list(self.network.layers(first))[hidden : hidden + 2]
                other_layer, other_following = list(self.network.layers(trial))[hidden : hidden + 2]
                units, odd = _features(layer, following, is_last=True)
                order, signs = self._match(units, _features(other_layer, other_following, is_last=True)[0], odd)
                _permute(other_layer, other_following, order)
                if self.flips:
                    _flip_of(self.network)(other_layer, other_following, signs)
                self._centre_outputs(trial)
                distance = torch.linalg.vector_norm(trial - first)
                if distance < best * (1 - _FALLS):
                    best, moved, falls = distance, trial, True
        return moved

    def _least_distance(self, theta: Tensor, other: Tensor) -> float:
        """What no image of `other [1, parameter]` can be nearer to `theta [1, parameter]` than."""
        squares = 0.0
        layers = list(zip(self.network.layers(theta), self.network.layers(other), strict=True))
        for number, (layer, other_layer) in enumerate(layers):
            rows, others = layer.weight.squeeze(0), other_layer.weight.squeeze(0)
            if number == len(layers) - 1:
                rows, others = rows.T, others.T  # what leaves each unit
            if number in (0, len(layers) - 1):
                order, signs = self._match(rows, others, -torch.ones_like(rows[0]))
                squares += float((rows - others[order.squeeze(0)] * signs.T).square().sum())
            else:
                squares += float((rows.abs().flatten().sort()[0] - others.abs().flatten().sort()[0]).square().sum())
        return math.sqrt(squares)

    def near_copy(self, theta: Tensor, draws: Tensor) -> Tensor:
        """θ with two units of a hidden layer exchanged, perhaps flipped, `[restart, parameter]`.

        Of `draws [restart, 5]`, in (0, 1), the first says in which layer, the next two which units, and the last two
        whether each of them is flipped, if units may be.
        """
        result = theta.clone()
        chosen = (draws[:, 0] * (self.network.depth - 1)).long()
        for hidden, (layer, following) in enumerate(itertools.pairwise(self.network.layers(result))):
            here, units = chosen == hidden, layer.weight.shape[1]
            one, other = (torch.where(here, (draws[:, place] * units).long(), 0) for place in (1, 2))
            _permute(layer, following, exchanged(one, other, units))
            if self.flips:
                signs = torch.ones_like(layer.weight[:, :, 0])
                for unit, draw in ((one, draws[:, 3]), (other, draws[:, 4])):
                    flip = torch.where(here & (draw < 0.5), -1.0, 1.0).to(signs)
                    signs.scatter_(1, unit.unsqueeze(1), flip.unsqueeze(1))
                _flip_of(self.network)(layer, following, signs)
        return result

    def _scaled(self, theta: Tensor) -> Tensor:
        result = theta.clone()
        self._centre_outputs(result)
        if self.rescales:
            for layer, following in itertools.pairwise(self.network.layers(result)):
                norms = torch.linalg.vector_norm(_rows(layer), dim=2)
                _rescale(layer, following, torch.where(self._scalable(layer) & (norms > 0), 1 / norms, 1.0))
        return result

    def _centre_outputs(self, theta: Tensor) -> None:
        for tensor in self._shiftable_outputs(theta):
            tensor.sub_(tensor.mean(1, keepdim=True))

    def _shiftable_outputs(self, theta: Tensor) -> list[Tensor]:
        """What of W_L `[restart, output, in]` and b_L `[restart, output]` a softmax lets move along the outputs."""
        *_, (weight, bias) = self.network.layers(theta)
        weights = [weight] if self.softmax and self.l2_weights == 0 else []
        biases = [bias] if self.softmax and self.l2_biases == 0 and bias is not None else []
        return weights + biases

    def _match(self, units: Tensor, others: Tensor, odd: Tensor) -> tuple[Tensor, Tensor]:
        """For every unit the other one that goes with it, and the sign, `[1, unit]` each."""
        from scipy import optimize  # which takes a while: not everybody who names an objective compares its minima

        cost = _squared_distances(units, others)
        flipped = _squared_distances(units, others * odd) if self.flips else cost
        _, assigned = optimize.linear_sum_assignment(torch.minimum(cost, flipped).cpu().numpy())
        order = torch.from_numpy(assigned).to(units.device).unsqueeze(0)
        chosen = (flipped < cost).gather(1, order.T).T
        return order, torch.where(chosen, -1.0, 1.0).to(units)

    # Continuous symmetries

    def tangents(self, theta: Tensor) -> Tensor:
        """The directions in which the continuous symmetries move θ, `[restart, generator, parameter]`.

            (W, b, V) → (B W, B b, -V B)        (b, b') → (t, -V t)        (W_L, b_L) → (1 uᵀ, β 1)

        with B = e_u e_uᵀ for the scale of unit u, and the antisymmetric and (unless a penalty forbids them) the
        symmetric matrices for mixing. A generator that does not hold at θ is a row of zeros. At a critical point each
        row is a null vector of the Hessian.
        """
        directions = [theta.new_zeros(theta.shape[0], 0, theta.shape[1])]
        for hidden, layer in enumerate(list(self.network.layers(theta))[:-1]):
            if self.rescales or self.mixes:
                directions.append(_moved_by_mixing(self.network, theta, hidden, self._generators(layer)))
            if self.shifts:
                directions.append(_moved_by_shifting(self.network, theta, hidden))
        if self.softmax:
            directions.append(self._moved_outputs(theta))
        return torch.cat(directions, 1)

    def _moved_outputs(self, theta: Tensor) -> Tensor:
        """(1 uᵀ, β 1) for the unit vectors (u, β), zero where it is not allowed, `[restart, in + 1, parameter]`."""
        inputs = self.network.widths[-2]
        result = theta.new_zeros(inputs + 1, self.network.size)
        for tensor in self._shiftable_outputs(result):
            if tensor.ndim == 3:
                tensor.narrow(0, 0, inputs).diagonal(dim1=0, dim2=2).fill_(1)
            else:
                tensor.select(0, inputs).fill_(1)
        return result.expand(theta.shape[0], -1, -1)

    def explained_zeros(self, theta: Tensor) -> Tensor:
        """How many zeros of the Hessian at a critical point the continuous symmetries explain, `[restart]` int64.

        That is the rank of `tangents`. Linear layers without a penalty on the weights can have more: where the
        derivative of θ ↦ W_L ⋯ W_0 has its greatest possible rank, all parameters of the same function make a manifold.
        It is the group's orbit in 4-6-4 (32 dimensions), not in 10-6-4 (44, the orbit 36), where also what the last
        layer does not see of a row can change. Where the rank is lower, for instance where two weights of a chain are
        zero, the parameters of the same function make no manifold, and only the orbit counts.

        Source: Trager, Kohn & Bruna (2020), *Pure and spurious critical points*, for the linear layers.

        Args:
            theta: `[restart, parameter]`.

        Returns:
            The numbers of zeros; 0 where θ is not finite.

        >>> chain = SymmetryGroup(Network((1, 1, 1, 1), "identity", "identity", bias=False))
        >>> chain.explained_zeros(torch.tensor([[1.0, 2.0, 0.5], [0.0, 0.0, 3.0]], dtype=torch.float64)).tolist()
        [2, 1]
        """
        count = sum(self._generator_count(units) for units in self.network.widths[1:-1])
        count += (self.network.widths[-2] + 1) * self.softmax
        if count == 0 or theta.shape[0] == 0:
            return torch.zeros(theta.shape[0], dtype=torch.int64, device=theta.device)
        finite = torch.isfinite(theta).all(1)
        known = torch.where(finite.unsqueeze(1), theta, 0)
        restarts = _ELEMENTS // (count * max(self.network.size, max(self.network.widths) ** 2))
        return torch.cat([self._explained_zeros(part) for part in known.split(max(1, restarts))]) * finite

    def _generator_count(self, units: int) -> int:
        if self.mixes:
            return units * units + units * self.shifts
        return units * self.rescales

    def _explained_zeros(self, theta: Tensor) -> Tensor:
        if not self.mixes or self.l2_weights > 0:
            return _rank_of_rows(self.tangents(theta))
        dimension, is_manifold = self._same_function(theta)
        if is_manifold.all():
            return dimension
        return torch.where(is_manifold, dimension, _rank_of_rows(self.tangents(theta)))

    def _same_function(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The dimension of what leaves the function of linear layers as it is, and whether that is a manifold."""
        layers = list(self.network.layers(theta))
        weights = [layer.weight for layer in layers]
        if self.softmax:  # the function is the differences of the outputs
            weights[-1] = weights[-1].narrow(1, 1, weights[-1].shape[1] - 1) - weights[-1].narrow(1, 0, 1)
        rank = _rank_of_end_to_end(weights)
        widths = (*self.network.widths[:-1], weights[-1].shape[1])
        is_manifold = rank == min(widths) * (widths[0] + widths[-1] - min(widths))
        free = sum(o * i for i, o in itertools.pairwise(self.network.widths))
        if self.network.bias and self.l2_biases == 0:
            free += sum(self.network.widths[1:-1]) + self.softmax  # the last bias makes up for any hidden one
        for layer in layers[:-1]:
            is_manifold = is_manifold & self._stretchable(layer).squeeze(1)
        dimension: Tensor = free - rank
        return dimension, is_manifold

    def _generators(self, layer: Layer) -> Tensor:
        """B of `tangents`, `[restart, generator, unit, unit]`; zero where it does not hold."""
        weight = layer.weight
        units = weight.shape[1]
        unit = torch.eye(units, dtype=weight.dtype, device=weight.device)
        if self.rescales:
            return torch.diag_embed(torch.diag_embed(self._scalable(layer).to(weight)))
        i, j = torch.triu_indices(units, units, device=weight.device).unbind(0)
        upper = unit.index_select(0, i).unsqueeze(2) * unit.index_select(0, j).unsqueeze(1)  # e_i e_jᵀ, i ≤ j
        symmetric, antisymmetric = upper + upper.mT, (upper - upper.mT)
        allowed = self._stretchable(layer).to(weight).unsqueeze(2).unsqueeze(3)
        rotations = antisymmetric.index_select(0, (i != j).nonzero().squeeze(1))
        return torch.cat([rotations.expand(weight.shape[0], -1, -1, -1), symmetric * allowed], 1)

    def _scalable(self, layer: Layer) -> Tensor:
        """Which ReLU units may be scaled, as far as the penalty on the biases goes, `[restart, unit]`."""
        if layer.bias is None or self.l2_biases == 0:
            return torch.ones_like(layer.weight.select(2, 0), dtype=torch.bool)
        limit: Tensor = _BIAS_IS_ZERO * torch.linalg.vector_norm(layer.weight, dim=2)
        return layer.bias.abs() <= limit

    def _stretchable(self, layer: Layer) -> Tensor:
        """In which restarts a linear layer may be mixed by more than rotations, `[restart, 1]`."""
        allowed: Tensor = self._scalable(layer).all(1, keepdim=True) & (self.l2_weights == 0)
        return allowed


# The actions, on views of the parameters: a hidden layer and the one after it.

Action = Callable[[Layer, Layer, Tensor], None]


def _permute(layer: Layer, following: Layer, order: Tensor) -> None:
    layer.weight.copy_(layer.weight.gather(1, order.unsqueeze(2).expand_as(layer.weight)))
    following.weight.copy_(following.weight.gather(2, order.unsqueeze(1).expand_as(following.weight)))
    if layer.bias is not None:
        layer.bias.copy_(layer.bias.gather(1, order))


def _rescale(layer: Layer, following: Layer, factors: Tensor) -> None:
    layer.weight.mul_(factors.unsqueeze(2))
    following.weight.div_(factors.unsqueeze(1))
    if layer.bias is not None:
        layer.bias.mul_(factors)


def _flip_logistic(layer: Layer, following: Layer, signs: Tensor) -> None:
    if following.bias is not None:  # without one, the flip is no symmetry
        following.bias.add_((following.weight * (signs < 0).unsqueeze(1)).sum(2))
    _rescale(layer, following, signs)


def _flip_of(network: Network) -> Action:
    return _flip_logistic if network.activation == "logistic" else _rescale


# Comparing units


def _rows(layer: Layer) -> Tensor:
    """(w, b) of every unit, `[restart, unit, in (+ 1)]`."""
    return layer.weight if layer.bias is None else torch.cat([layer.weight, layer.bias.unsqueeze(2)], 2)


def _projection(vectors: Tensor) -> Tensor:
    """c · x of every vector x of `[restart, unit, entry]` with fixed random coefficients."""
    return (vectors * torch.from_numpy(normal(0, range(1), vectors.shape[2])).to(vectors)).sum(2)


def _features(layer: Layer, following: Layer, is_last: bool) -> tuple[Tensor, Tensor]:
    """What `align` compares of the units of one network, `[unit, feature]`, and the signs of a flip, `[feature]`."""
    rows = _rows(layer).squeeze(0)
    columns = following.weight.squeeze(0).T
    if not is_last:
        columns = torch.linalg.vector_norm(columns, dim=1, keepdim=True)
    odd = torch.cat(
        [-torch.ones_like(rows[0]), -torch.ones_like(columns[0]) if is_last else torch.ones_like(columns[0])]
    )
    return torch.cat([rows, columns], 1), odd


def _squared_distances(units: Tensor, others: Tensor) -> Tensor:
    """`[unit, other unit]`, from differences: the usual expansion of the square loses half of the digits."""
    return (units.unsqueeze(1) - others.unsqueeze(0)).square().sum(2)


# Tangents and ranks


def _moved_by_mixing(network: Network, theta: Tensor, hidden: int, generators: Tensor) -> Tensor:
    """(B W, B b, -V B), `[restart, generator, parameter]`."""
    restarts, count = generators.shape[:2]
    result = theta.new_zeros(restarts * count, theta.shape[1])
    layer, following = list(network.layers(theta))[hidden : hidden + 2]
    moved, moved_following = list(network.layers(result))[hidden : hidden + 2]
    moved.weight.copy_(_product(generators, layer.weight.unsqueeze(1)).flatten(0, 1))
    moved_following.weight.copy_(_product(following.weight.unsqueeze(1), -generators).flatten(0, 1))
    if moved.bias is not None and layer.bias is not None:
        moved.bias.copy_(_product(generators, layer.bias.unsqueeze(1).unsqueeze(3)).flatten(0, 1).squeeze(2))
    return result.view(restarts, count, -1)


def _moved_by_shifting(network: Network, theta: Tensor, hidden: int) -> Tensor:
    """(t, -V t) for the unit vectors t, `[restart, unit, parameter]`."""
    following = list(network.layers(theta))[hidden + 1].weight
    restarts, _, units = following.shape
    result = theta.new_zeros(restarts * units, theta.shape[1])
    moved, moved_following = list(network.layers(result))[hidden : hidden + 2]
    if moved.bias is None or moved_following.bias is None:
        raise ValueError("a shift needs biases")
    moved.bias.copy_(torch.eye(units, dtype=theta.dtype, device=theta.device).repeat(restarts, 1))
    moved_following.bias.copy_(following.mT.flatten(0, 1).neg())
    return result.view(restarts, units, -1)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """`left @ right` of the last two axes, term by term: products of odd sizes depend on their place in memory."""
    result = left.select(-1, 0).unsqueeze(-1) * right.select(-2, 0).unsqueeze(-2)
    for k in range(1, left.shape[-1]):
        result = result + left.select(-1, k).unsqueeze(-1) * right.select(-2, k).unsqueeze(-2)
    return result


def _singular_values(matrices: Tensor) -> Tensor:
    """Descending, of `[matrix, row, column]`, with zeros at the end up to a multiple of 4.

    So many rows and columns have every matrix start at a multiple of 128 bytes, see `basinet.linalg.eigen`.
    """
    rows, columns = matrices.shape[1:]
    values: Tensor = torch.linalg.svdvals(pad(matrices, (0, -columns % _ROWS, 0, -rows % _ROWS)))
    return values


def _rank_of_rows(rows: Tensor) -> Tensor:
    """The rank of `rows [restart, row, column]`, each taken at length 1, or 0 if it is nothing beside the others."""
    lengths = torch.linalg.vector_norm(rows, dim=2, keepdim=True)
    counts = lengths > _RANK * lengths.amax(1, keepdim=True)
    values = _singular_values(torch.where(counts, rows / lengths, 0.0))
    rank: Tensor = (values > _RANK * values.amax(1, keepdim=True)).sum(1)
    return rank


def _rank_of_end_to_end(weights: list[Tensor]) -> Tensor:
    """The rank of the derivative of θ ↦ W_L ⋯ W_0, `[restart]`.

    Its image is the sum over l of U_l ⊗ V_l, where U_l is the range of W_L ⋯ W_{l+1}, which grows with l, and V_l the
    row space of W_{l-1} ⋯ W_0, which shrinks. So its dimension is Σ_l (dim U_l - dim U_{l-1}) dim V_l.
    """
    scale = torch.stack([torch.linalg.matrix_norm(weight) for weight in weights]).amax(0)  # of one layer
    after = _ranks_of_products([weight.mT for weight in reversed(weights)], scale)[::-1]
    before = _ranks_of_products(weights, scale)
    result = after[0] * before[0]
    for (smaller, larger), rows in zip(itertools.pairwise(after), before[1:], strict=True):
        result = result + (larger - smaller) * rows
    return result


def _ranks_of_products(factors: list[Tensor], scale: Tensor) -> list[Tensor]:
    """The ranks of 1, F_0, F_1 F_0, …, up to all factors but the last, `[restart]` each."""
    first = factors[0]
    ranks = [torch.full(first.shape[:1], first.shape[2], device=first.device)]
    product = torch.eye(first.shape[2], dtype=first.dtype, device=first.device).expand(first.shape[0], -1, -1)
    for power, factor in enumerate(factors[:-1], start=1):
        product = _product(factor, product)
        values = _singular_values(product)
        ranks.append((values > _RANK * scale.unsqueeze(1) ** power).sum(1))
    return ranks
