from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from basinet.mlp.activations import ACTIVATIONS
from basinet.mlp.backprop import backward, forward
from basinet.mlp.layouts import Lanes, Layout, Products
from basinet.mlp.network import Network

LAYOUTS: list[Layout] = [Lanes(), Products()]


def output_and_gradient(network: Network, layout: Layout, theta: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """a_L `[restart, output, sample]` and the gradient of (1/N) Σ ½‖a_L - y‖², `[restart, parameter]`."""
    restarts, samples = theta.shape[0], x.shape[1]
    packed = layout.pack(theta)
    passed = forward(network, layout, packed, layout.pack_samples(x, packed.shape[0]))
    g = passed.output - layout.pack_samples(y, packed.shape[0])
    g = g[:, :, :samples] / samples
    g = torch.nn.functional.pad(g, (0, passed.output.shape[2] - samples))  # columns of padding do not count
    gradient = layout.pack(torch.full_like(theta, torch.nan))
    backward(network, layout, packed, passed, g, gradient)
    return passed.output[:restarts, :, :samples], gradient[:restarts, : network.size]


@st.composite
def networks(draw: st.DrawFn) -> Network:
    widths = draw(st.lists(st.integers(1, 5), min_size=2, max_size=5))
    hidden, output = draw(st.sampled_from(list(ACTIVATIONS))), draw(st.sampled_from(list(ACTIVATIONS)))
    return Network(tuple(widths), hidden, output)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["lanes", "products"])
@settings(max_examples=60)
@given(network=networks(), samples=st.integers(1, 4), seed=st.integers(0, 2**31))
def test_the_recursion_equals_the_textbook_neuron_by_neuron(
    scalar_backpropagation: Callable[..., tuple[float, list[object], list[object]]],
    layout: Layout,
    network: Network,
    samples: int,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    theta, x, y = (
        torch.randn(*shape, generator=generator, dtype=torch.float64)
        for shape in ((3, network.size), (network.widths[0], samples), (network.widths[-1], samples))
    )
    output, gradient = output_and_gradient(network, layout, theta, x, y)
    names = [activation.name for activation in network.activations]
    for r in range(3):
        layers = list(network.layers(theta[r : r + 1]))
        W, b = [layer.weight[0].tolist() for layer in layers], [layer.bias[0].tolist() for layer in layers]
        loss, dW, db = scalar_backpropagation(x.tolist(), y.tolist(), W, b, names)
        scale = 1 + float(gradient[r].norm())
        assert float((output[r] - y).square().sum() / (2 * samples)) == pytest.approx(loss, rel=1e-12, abs=1e-12)
        # At most 5 layers of sums of 5 products: some hundred roundings of numbers of the size of the gradient.
        for layer, weight, bias in zip(network.layers(gradient[r : r + 1]), dW, db, strict=True):
            assert layer.bias is not None
            assert float((layer.weight[0] - torch.tensor(weight, dtype=torch.float64)).norm()) <= 1e-12 * scale
            assert float((layer.bias[0] - torch.tensor(bias, dtype=torch.float64)).norm()) <= 1e-12 * scale


@pytest.mark.parametrize("depth", [1, 2, 3, 8])
def test_one_logistic_neuron_per_layer_follows_the_printed_recursion(depth: int) -> None:
    """δ^(L) = (a^(L) - y) a^(L)(1 - a^(L)), δ^(l) = δ^(l+1) w^(l+1) a^(l)(1 - a^(l)): no index of a neuron at all."""
    w = [math.cos(3 * layer + 1) * 2 for layer in range(depth)]
    b = [math.sin(5 * layer + 2) for layer in range(depth)]
    x, y = 0.7, 0.2
    a = [x]
    for layer in range(depth):
        a.append(1 / (1 + math.exp(-(w[layer] * a[-1] + b[layer]))))
    delta = [0.0] * depth
    delta[-1] = (a[-1] - y) * a[-1] * (1 - a[-1])
    for layer in reversed(range(depth - 1)):
        delta[layer] = delta[layer + 1] * w[layer + 1] * a[layer + 1] * (1 - a[layer + 1])
    expected = [value for layer in range(depth) for value in (delta[layer] * a[layer], delta[layer])]

    theta = torch.tensor([[value for pair in zip(w, b, strict=True) for value in pair]], dtype=torch.float64)
    sample = torch.tensor([[x]], dtype=torch.float64), torch.tensor([[y]], dtype=torch.float64)
    for layout in LAYOUTS:
        _, gradient = output_and_gradient(Network((1,) * (depth + 1)), layout, theta, *sample)
        # Products of at most 8 slopes: relative roundings only, where 1 - a has lost at most a digit.
        assert gradient[0].tolist() == pytest.approx(expected, rel=1e-14, abs=0)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["lanes", "products"])
def test_a_pass_changes_neither_parameters_nor_samples(layout: Layout) -> None:
    for name in ACTIVATIONS:
        network = Network((3, 4, 2), name, name)
        theta = torch.linspace(-2, 2, 5 * network.size, dtype=torch.float64).reshape(5, -1)
        x, y = torch.linspace(-1, 1, 12).double().reshape(3, 4), torch.linspace(0, 1, 8).double().reshape(2, 4)
        copies = theta.clone(), x.clone(), y.clone()
        output_and_gradient(network, layout, theta, x, y)
        assert all(torch.equal(before, after) for before, after in zip(copies, (theta, x, y), strict=True))
        packed, samples = layout.pack(theta), layout.pack_samples(x, 64)
        before = packed.clone(), samples.clone()
        passed = forward(network, layout, packed, samples[: packed.shape[0]])
        backward(network, layout, packed, passed, torch.ones_like(passed.output), torch.zeros_like(packed))
        assert torch.equal(packed, before[0])
        assert torch.equal(samples, before[1])
