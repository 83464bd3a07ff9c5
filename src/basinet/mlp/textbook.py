"""Backpropagation as the textbook writes it: one network, lists of matrices in, lists of gradients out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from basinet.foundation import synonyms
from basinet.foundation.errors import require, unknown
from basinet.foundation.random_streams import Array
from basinet.mlp.activations import ACTIVATIONS


def forward_backward(
    x: Array, y: Array, W: Sequence[Array], b: Sequence[Array], activation: str = "logistic", output: str = "logistic"
) -> tuple[float, list[Array], list[Array]]:
    """Loss and gradients of one network, by the δ recursion.

        z_l = W_l a_{l-1} + b_l        a_l = σ_l(z_l)        f = (1/N) Σ ½ ‖a_L - y‖²
        δ_L = (1/N)(a_L - y) ∘ σ'(z_L)        δ_{l-1} = (W_lᵀ δ_l) ∘ σ'(z_{l-1})
        ∂f/∂W_l = δ_l a_{l-1}ᵀ        ∂f/∂b_l = Σ_samples δ_l

    Source: Nielsen (2015), *Neural Networks and Deep Learning*, chapter 2.

    Args:
        x: inputs `[feature, sample]`, or `[feature]` for one sample.
        y: targets `[output, sample]`, or `[output]` for one sample.
        W: weight matrices `[out, in]`, from the input to the output.
        b: biases `[out]`.
        activation: σ of the hidden layers.
        output: σ of the last layer.

    Returns:
        The loss, the list of ∂f/∂W_l and the list of ∂f/∂b_l, shaped like `W` and `b`.

    Raises:
        ConfigError: if the shapes do not fit together, or an activation is unknown.

    >>> import numpy as np
    >>> loss, dW, db = forward_backward(np.array([1.0]), np.array([0.0]), [np.array([[0.0]])], [np.array([0.0])])
    >>> loss, dW[0], db[0]
    (0.125, array([[0.125]]), array([0.125]))
    """
    for name in (activation, output):
        if synonyms.activation_name(name) not in ACTIVATIONS:
            raise unknown("activation", name, (*ACTIVATIONS, *synonyms.ACTIVATIONS))
    a, target = _columns(x), _columns(y)
    weights = [torch.from_numpy(np.array(w, dtype=np.float64)) for w in W]
    biases = [torch.from_numpy(np.array(v, dtype=np.float64)).reshape(-1, 1) for v in b]
    _check_shapes(a, target, weights, biases)
    hidden, last = (ACTIVATIONS[synonyms.activation_name(name)] for name in (activation, output))
    sigmas = [hidden] * (len(weights) - 1) + [last]

    inputs, kept = [], []
    for weight, bias, sigma in zip(weights, biases, sigmas, strict=True):
        inputs.append(a)
        z = weight @ a + bias
        a = sigma.value(z)
        kept.append(a if sigma.reads == "a" else z)

    samples = target.shape[1]
    loss = float(0.5 * (a - target).square().sum() / samples)
    g = (a - target) / samples
    weight_gradients: list[Array] = []
    bias_gradients: list[Array] = []
    for layer in reversed(range(len(weights))):
        delta = sigmas[layer].slope(kept[layer]) * g
        weight_gradients.insert(0, (delta @ inputs[layer].T).numpy())
        bias_gradients.insert(0, delta.sum(1).numpy())
        g = weights[layer].T @ delta
    return loss, weight_gradients, bias_gradients


def _columns(samples: Array) -> torch.Tensor:
    tensor = torch.from_numpy(np.array(samples, dtype=np.float64))
    shape = tuple(tensor.shape)
    require(tensor.ndim in (1, 2), f"samples are a matrix [feature, sample] or, for one sample, a vector; not {shape}")
    return tensor.unsqueeze(1) if tensor.ndim == 1 else tensor


def _check_shapes(
    x: torch.Tensor, y: torch.Tensor, weights: Sequence[torch.Tensor], biases: Sequence[torch.Tensor]
) -> None:
    require(len(weights) == len(biases) >= 1, f"{len(weights)} weight matrices and {len(biases)} biases do not pair up")
    require(x.shape[1] == y.shape[1], f"{x.shape[1]} inputs and {y.shape[1]} targets: one target per sample is needed")
    units = x.shape[0]
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        out = bias.shape[0]
        require(tuple(weight.shape) == (out, units), f"W[{index}] is {tuple(weight.shape)}, should be {(out, units)}")
        units = out
    require(units == y.shape[0], f"the last layer has {units} units, the targets have {y.shape[0]} rows")
