from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from basinet.foundation.threads import single_threaded_operations
from basinet.mlp import layouts
from basinet.mlp.layouts import Lanes, Layout, Products, layout_for
from basinet.mlp.network import Layer, Network

LAYOUTS: list[Layout] = [Lanes(), Products()]


def draw(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def packed_parts(
    layout: Layout, seed: int, restarts: int, fan_in: int, fan_out: int, samples: int
) -> tuple[Layer, torch.Tensor]:
    """A layer of packed parameters, and packed activations of its own for every restart `[restart', in, sample']`."""
    network = Network((fan_in, fan_out))
    theta = layout.pack(draw(seed, restarts, network.size))
    (layer,) = network.layers(theta)
    a = layout.pack_samples(draw(seed + 1, fan_in, samples), theta.shape[0])
    factor = 1 + torch.arange(theta.shape[0], dtype=torch.float64) / 10
    return layer, a * factor[:, None, None]


shapes = st.tuples(
    st.sampled_from(LAYOUTS),
    st.integers(0, 2**20),
    st.integers(1, 70),
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 20),
)


@given(shapes)
def test_affine_is_w_a_plus_b_with_or_without_b(shape: tuple[Layout, int, int, int, int, int]) -> None:
    layout, *rest = shape
    layer, a = packed_parts(layout, *rest)
    assert layer.bias is not None
    without = np.einsum("roi,ris->ros", layer.weight.numpy(), a.numpy())
    # Sums of at most 6 products of numbers of size 1 to 20: some 100 roundings.
    np.testing.assert_allclose(layout.affine(Layer(layer.weight, None), a), without, rtol=0, atol=1e-12)
    np.testing.assert_allclose(layout.affine(layer, a), without + layer.bias.numpy()[:, :, None], rtol=0, atol=1e-12)


@given(shapes)
def test_pull_back_is_the_transposed_product(shape: tuple[Layout, int, int, int, int, int]) -> None:
    layout, *rest = shape
    layer, a = packed_parts(layout, *rest)
    delta = layout.affine(layer, a)
    expected = np.einsum("roi,ros->ris", layer.weight.numpy(), delta.numpy())
    np.testing.assert_allclose(layout.pull_back(layer.weight, delta), expected, rtol=0, atol=1e-11)


@given(shapes)
def test_the_gradient_of_a_layer_is_written_into_its_views(shape: tuple[Layout, int, int, int, int, int]) -> None:
    layout, seed, restarts, fan_in, fan_out, samples = shape
    layer, a = packed_parts(layout, seed, restarts, fan_in, fan_out, samples)
    delta = layout.affine(layer, a)
    buffer = layout.pack(torch.full((restarts, (fan_in + 1) * fan_out), torch.nan, dtype=torch.float64))
    (gradient,) = Network((fan_in, fan_out)).layers(buffer)
    layout.write_gradient(gradient, delta, a)
    assert gradient.bias is not None
    # Up to 20 (+ 12 of padding) samples of products of size up to some 1000.
    np.testing.assert_allclose(gradient.weight, np.einsum("ros,ris->roi", delta.numpy(), a.numpy()), rtol=0, atol=1e-9)
    np.testing.assert_allclose(gradient.bias, delta.numpy().sum(2), rtol=0, atol=1e-10)


@given(st.integers(1, 300), st.integers(1, 40), st.sampled_from([torch.float32, torch.float64]))
def test_held_parameters_are_the_same_numbers_padded_with_zeros(restarts: int, size: int, dtype: torch.dtype) -> None:
    theta = draw(0, restarts, size).to(dtype)
    for layout in LAYOUTS:
        packed = layout.pack(theta)
        assert torch.equal(packed[:restarts, :size], theta)
        assert not packed[restarts:].any()
        assert not packed[:, size:].any()
    lanes, products = (layout.pack(theta) for layout in LAYOUTS)
    assert lanes.shape == (-(-restarts // 64) * 64, size)
    assert lanes.stride() == (1, lanes.shape[0])  # restarts innermost
    assert products.shape[0] == max(restarts, 2)
    assert products.stride(0) * products.element_size() % 128 == 0  # every row begins on the same alignment


@given(st.integers(1, 40), st.sampled_from([torch.float32, torch.float64]))
def test_packed_samples_are_whole_vectors_padded_with_zeros(samples: int, dtype: torch.dtype) -> None:
    x = draw(0, 3, samples).to(dtype)
    lanes, products = (layout.pack_samples(x, 128) for layout in LAYOUTS)
    assert torch.equal(lanes, x.expand(128, -1, -1))
    assert torch.equal(products[:, :, :samples], x.expand(128, -1, -1))
    assert not products[:, :, samples:].any()
    assert products.shape[2] * products.element_size() % 128 == 0


def test_networks_of_up_to_four_units_a_layer_lie_in_lanes_and_wider_ones_in_products() -> None:
    assert isinstance(layout_for(Network((4, 4, 1))), Lanes)
    assert isinstance(layout_for(Network((5, 1))), Products)
    assert isinstance(layout_for(Network((1, 1, 5))), Products)


@given(st.integers(1, 100), st.integers(1, 2000))
def test_a_chunk_fits_the_cache_but_never_falls_below_what_the_layout_needs(width: int, samples: int) -> None:
    network = Network((1, width, 1))
    lanes, products = (layout.chunk_size(network, samples, 8) for layout in LAYOUTS)
    assert lanes % 64 == 0
    assert lanes == 64 or lanes * width * samples * 8 <= layouts._BYTES["lanes"]
    assert products == 2 or products * width * samples * 8 <= layouts._BYTES["products"]
    assert lanes >= 64
    assert products >= 2


def test_operations_are_single_threaded_inside_and_as_before_outside_even_after_an_error() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        with single_threaded_operations():
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
        with pytest.raises(ZeroDivisionError), single_threaded_operations():
            1 / 0  # noqa: B018
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
