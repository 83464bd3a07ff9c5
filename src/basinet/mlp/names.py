"""What parameters are called: w₁, w₂ where a network is so small that this says it all."""

from __future__ import annotations

import itertools
import re

from basinet.mlp.network import Network

_SUBSCRIPTS = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def parameter_names(network: Network) -> list[str]:
    """The name of each entry of θ, as it can be typed.

    Of a single neuron w1 … wd and b, of a chain of neurons w1, b1, w2, …; of others W0[2,1], which is the weight of
    layer 0 to unit 2 from unit 1, counted as in `unflatten(theta, network)[0].weight[2, 1]`, and b0[2].

    >>> parameter_names(Network((2, 1))), parameter_names(Network((1, 1, 1), bias=False))
    (['w1', 'w2', 'b'], ['w1', 'w2'])
    >>> parameter_names(Network((1, 2, 1)))[:4]
    ['W0[0,0]', 'W0[1,0]', 'b0[0]', 'b0[1]']
    """
    if network.depth == 1 and network.widths[1] == 1:
        return [f"w{place + 1}" for place in range(network.widths[0])] + ["b"] * network.bias
    if set(network.widths) == {1}:
        layers = range(1, network.depth + 1)
        return [name for layer in layers for name in (f"w{layer}", f"b{layer}")[: 1 + network.bias]]
    names = []
    for layer, (fan_in, fan_out) in enumerate(itertools.pairwise(network.widths)):
        names += [f"W{layer}[{unit},{source}]" for unit in range(fan_out) for source in range(fan_in)]
        names += [f"b{layer}[{unit}]" for unit in range(fan_out)] * network.bias
    return names


def written(name: str) -> str:
    """A name as it stands at an axis.

    >>> written("w12"), written("W0[2,1]"), written("theta1")
    ('w₁₂', 'W₀[2,1]', 'θ₁')
    """
    letter, number, rest = re.fullmatch(r"([A-Za-z]+)(\d*)(.*)", name).groups()  # type: ignore[union-attr]
    return f"{'θ' if letter == 'theta' else letter}{number.translate(_SUBSCRIPTS)}{rest}"
