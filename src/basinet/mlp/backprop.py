"""Backpropagation by hand: the δ = ∂f/∂z recursion, batched over restarts."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from basinet.mlp.layouts import Layout
from basinet.mlp.network import Network


class Forward(NamedTuple):
    """What the backward pass needs of the forward pass, per layer l = 0 … L."""

    inputs: tuple[Tensor, ...]  # a_{l-1} [restart, in, sample]
    kept: tuple[Tensor, ...]  # a_l or z_l, whichever σ'_l is written through [restart, out, sample]
    output: Tensor  # a_L [restart, output, sample]


def forward(network: Network, layout: Layout, theta: Tensor, x: Tensor) -> Forward:
    """z_l = W_l a_{l-1} + b_l and a_l = σ_l(z_l), from packed parameters and packed inputs."""
    a, inputs, kept = x, [], []
    for layer, activation in zip(network.layers(theta), network.activations, strict=True):
        inputs.append(a)
        z = layout.affine(layer, a)
        a = activation.value(z)
        kept.append(a if activation.reads == "a" else z)
    return Forward(tuple(inputs), tuple(kept), a)


def backward(network: Network, layout: Layout, theta: Tensor, passed: Forward, g: Tensor, gradient: Tensor) -> None:
    """Write ∂f/∂θ into `gradient`, given g = ∂f/∂a_L `[restart, output, sample]`.

        δ_l = g_l ∘ σ'_l(z_l)      ∂f/∂W_l = δ_l a_{l-1}ᵀ      ∂f/∂b_l = Σ_samples δ_l      g_{l-1} = W_lᵀ δ_l

    Source: Rumelhart, Hinton & Williams (1986), in the notation of Nielsen (2015), chapter 2.
    """
    layers = list(zip(network.layers(theta), network.layers(gradient), network.activations, strict=True))
    for index in reversed(range(network.depth)):
        layer, layer_gradient, activation = layers[index]
        delta = activation.slope(passed.kept[index]).mul_(g)
        layout.write_gradient(layer_gradient, delta, passed.inputs[index])
        if index > 0:
            g = layout.pull_back(layer.weight, delta)
