from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import basinet
from basinet.foundation.errors import ConfigError
from basinet.foundation.random_streams import Array
from basinet.mlp.activations import ACTIVATIONS

NAMES = st.sampled_from(list(ACTIVATIONS))

Case = tuple[Array, Array, list[Array], list[Array], str, str]


def case(widths: list[int], samples: int, seed: int, hidden: str, output: str) -> Case:
    rng = np.random.default_rng(seed)
    W = [rng.normal(size=(o, i)) for i, o in itertools.pairwise(widths)]
    b = [rng.normal(size=o) for o in widths[1:]]
    return rng.normal(size=(widths[0], samples)), rng.normal(size=(widths[-1], samples)), W, b, hidden, output


cases = st.builds(
    case, st.lists(st.integers(1, 6), min_size=2, max_size=6), st.integers(1, 6), st.integers(0, 2**31), NAMES, NAMES
)


def flat(weights: list[Any], biases: list[Any]) -> Array:
    """[W_0 row by row, b_0, W_1, …] as one vector."""
    return np.concatenate([np.ravel(part) for pair in zip(weights, biases, strict=True) for part in pair])


@settings(max_examples=100)
@given(cases)
def test_loss_and_gradients_equal_the_scalar_recursion(scalar_backpropagation: Callable[..., Any], given: Case) -> None:
    x, y, W, b, hidden, output = given
    loss, dW, db = basinet.forward_backward(*given)
    names = [hidden] * (len(W) - 1) + [output]
    by_hand = scalar_backpropagation(x.tolist(), y.tolist(), [w.tolist() for w in W], [c.tolist() for c in b], names)
    assert loss == pytest.approx(by_hand[0], rel=1e-12, abs=1e-12)
    expected, scale = flat(*by_hand[1:]), 1 + np.linalg.norm(flat(dW, db))
    assert np.linalg.norm(flat(dW, db) - expected) <= 1e-12 * scale  # some hundred roundings
    assert [part.shape for part in dW] == [w.shape for w in W]
    assert [part.shape for part in db] == [c.shape for c in b]


@settings(max_examples=100)
@given(cases)
def test_loss_and_gradients_equal_autograd(autograd_risk: Callable[..., torch.Tensor], given: Case) -> None:
    x, y, W, b, hidden, output = given
    loss, dW, db = basinet.forward_backward(*given)
    theta = torch.tensor(flat(W, b), requires_grad=True)
    widths, names = [x.shape[0], *(len(c) for c in b)], [hidden] * (len(W) - 1) + [output]
    expected = autograd_risk(theta, widths, names, torch.tensor(x), torch.tensor(y))
    (gradient,) = torch.autograd.grad(expected, theta)
    assert loss == pytest.approx(expected.item(), rel=1e-12, abs=1e-12)
    difference = np.linalg.norm(flat(dW, db) - gradient.numpy())
    assert difference <= 1e-12 * (1 + np.linalg.norm(gradient.numpy()))


def test_gradients_equal_central_finite_differences() -> None:
    x, y, W, b, *names = case([3, 4, 2], 5, 0, "gelu", "softplus")
    _, dW, db = basinet.forward_backward(x, y, W, b, *names)
    h = 1e-5
    for parts, gradients in ((W, dW), (b, db)):
        for part, gradient in zip(parts, gradients, strict=True):
            for index in np.ndindex(part.shape):
                middle, losses = part[index], []
                for shift in (h, -h):
                    part[index] = middle + shift
                    losses.append(basinet.forward_backward(x, y, W, b, *names)[0])
                part[index] = middle
                # Truncation h² f'''/6 and rounding 1e-16 f / h are some 1e-10 each for f of size 1 to 10.
                assert gradient[index] == pytest.approx((losses[0] - losses[1]) / (2 * h), abs=1e-8)


def test_one_sample_may_be_given_as_vectors() -> None:
    x, y, W, b, *names = case([3, 4, 2], 1, 1, "tanh", "logistic")
    as_columns, as_vectors = (
        basinet.forward_backward(x, y, W, b, *names),
        basinet.forward_backward(x[:, 0], y[:, 0], W, b, *names),
    )
    assert as_columns[0] == as_vectors[0]
    np.testing.assert_array_equal(flat(*as_columns[1:]), flat(*as_vectors[1:]))


def test_sigmoid_is_another_word_for_logistic() -> None:
    x, y, W, b, *_ = case([3, 4, 2], 5, 1, "tanh", "logistic")
    one, other = (basinet.forward_backward(x, y, W, b, name, name) for name in ("sigmoid", "logistic"))
    assert one[0] == other[0]
    np.testing.assert_array_equal(flat(*one[1:]), flat(*other[1:]))


def test_arguments_stay_as_they_are_and_may_be_integers_or_nested_lists() -> None:
    x, y, W, b, *_ = case([2, 3, 1], 4, 2, "logistic", "logistic")
    copies = x.copy(), y.copy(), [w.copy() for w in W], [c.copy() for c in b]
    basinet.forward_backward(x, y, W, b)
    np.testing.assert_array_equal(x, copies[0])
    np.testing.assert_array_equal(y, copies[1])
    np.testing.assert_array_equal(flat(W, b), flat(*copies[2:]))
    # One neuron, x = 1, w = b = 0, y = 0: a = 1/2, f = 1/8, δ = 1/2 · 1/4.
    loss, dW, db = basinet.forward_backward([1], [0], [[[0]]], [[0]])  # type: ignore[arg-type, list-item]
    assert (loss, dW[0].tolist(), db[0].tolist()) == (0.125, [[0.125]], [0.125])


X, Y = np.zeros((2, 5)), np.zeros((1, 5))
W, B = [np.zeros((3, 2)), np.zeros((1, 3))], [np.zeros(3), np.zeros(1)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((X, Y, W, B[:1]), "2 weight matrices and 1 biases do not pair up"),
        ((X, Y, [], []), "0 weight matrices and 0 biases do not pair up"),
        ((X, Y[:, :4], W, B), "5 inputs and 4 targets: one target per sample is needed"),
        ((X[:1], Y, W, B), r"W\[0\] is \(3, 2\), should be \(3, 1\)"),
        ((X, Y, [W[0], np.zeros((1, 2))], B), r"W\[1\] is \(1, 2\), should be \(1, 3\)"),
        ((X, Y, [np.zeros(3), W[1]], B), r"W\[0\] is \(3,\), should be \(3, 2\)"),
        ((X, Y, W, [np.zeros(2), B[1]]), r"W\[0\] is \(3, 2\), should be \(2, 2\)"),
        ((X, np.zeros((2, 5)), W, B), "the last layer has 1 units, the targets have 2 rows"),
        ((1.0, 0.0, W, B), r"samples are a matrix \[feature, sample\] or, for one sample, a vector; not \(\)"),
        ((np.zeros((2, 5, 1)), Y, W, B), r"a vector; not \(2, 5, 1\)"),
        ((X, Y, W, B, "logistc"), "unknown activation 'logistc': did you mean 'logistic'?"),
        ((X, Y, W, B, "tanh", "none"), "unknown activation 'none': choose one of erf, gelu, identity"),
    ],
)
def test_shapes_that_do_not_fit_are_refused_in_one_sentence(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        basinet.forward_backward(*arguments)
