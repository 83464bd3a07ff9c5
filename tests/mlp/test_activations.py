from __future__ import annotations

import mpmath
import numpy as np
import pytest
import torch

from basinet.mlp.activations import ACTIVATIONS

NAMES = list(ACTIVATIONS)

DEFINITIONS = {
    "logistic": lambda z: 1 / (1 + mpmath.exp(-z)),
    "tanh": mpmath.tanh,
    "relu": lambda z: max(z, mpmath.mpf(0)),
    "softplus": lambda z: mpmath.log(1 + mpmath.exp(z)),
    "gelu": lambda z: z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2,
    "erf": lambda z: mpmath.erf(z / mpmath.sqrt(2)),
    "identity": lambda z: z,
}

# From the far left tail to the far right one, through 0, with points near 0 and the threshold of torch's softplus.
POINTS = np.unique(
    np.concatenate(
        [np.linspace(-40, 40, 161), np.linspace(-2.05, 2.07, 42), [-1e-3, 1e-3, -1e-9, 1e-9, 19.999, 20.001, 37.5]]
    )
)


def derivative(name: str, order: int) -> np.ndarray:
    """The derivatives of the definition at POINTS, by mpmath's finite differences with 60 digits."""
    with mpmath.workdps(60):
        if name == "relu":  # its derivatives at 0 are a convention: σ'(0) = σ''(0) = 0
            return np.array([(max(z, 0.0), float(z > 0), 0.0)[order] for z in POINTS])
        return np.array([float(mpmath.diff(DEFINITIONS[name], mpmath.mpf(z), order)) for z in POINTS])


def computed(name: str, order: int, dtype: torch.dtype = torch.float64) -> np.ndarray:
    activation = ACTIVATIONS[name]
    z = torch.tensor(POINTS).to(dtype)
    if order == 0:
        return activation.value(z).double().numpy()
    kept = activation.value(z) if activation.reads == "a" else z
    return (activation.slope, activation.curvature)[order - 1](kept).double().numpy()


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_value_and_derivatives_agree_with_the_definition_at_60_digits(name: str, order: int) -> None:
    expected = derivative(name, order)
    # A few roundings of numbers of size 1 (or of the value itself, where that is larger): 2.2e-16 each.
    np.testing.assert_allclose(computed(name, order), expected, rtol=9e-16, atol=9e-16)


@pytest.mark.parametrize(
    ("name", "order", "side"),
    [
        ("logistic", 0, -1),
        ("logistic", 1, -1),
        ("logistic", 2, -1),
        ("softplus", 0, -1),
        ("softplus", 1, -1),
        ("softplus", 2, -1),
        ("softplus", 2, 1),
        ("gelu", 0, -1),
        ("gelu", 1, -1),
    ],
)
def test_small_tails_keep_their_relative_accuracy(name: str, order: int, side: int) -> None:
    # The tail of gelu leaves the range of normal float64 numbers at z = -37.
    tail = (np.sign(POINTS) == side) & (np.abs(POINTS) > 5) & (np.abs(POINTS) < 37)
    # e^z amplifies the rounding of z by |z| < 40; e^(-t²) that of t = -z/√2, rounded twice, by 2 t² < 1400.
    tolerance = 1400 * 2.2e-16 if name == "gelu" else 40 * 2.2e-16
    np.testing.assert_allclose(computed(name, order)[tail], derivative(name, order)[tail], rtol=tolerance, atol=0)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_float32_agrees_to_float32_rounding(name: str, order: int) -> None:
    # POINTS are rounded to float32 too: a change of |z| 6e-8 in the argument of functions with slopes of size 1.
    np.testing.assert_allclose(computed(name, order, torch.float32), derivative(name, order), rtol=2e-6, atol=2e-6)


def test_the_slope_of_relu_at_zero_is_zero() -> None:
    relu = ACTIVATIONS["relu"]
    assert relu.slope(relu.value(torch.tensor([0.0, -0.0, 1e-300], dtype=torch.float64))).tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("name", NAMES)
def test_no_function_changes_its_argument(name: str) -> None:
    activation = ACTIVATIONS[name]
    z = torch.linspace(-3, 3, 50, dtype=torch.float64)
    for function in (activation.value, activation.slope, activation.curvature):
        argument = z.clone()
        result = function(argument)
        assert torch.equal(argument, z)
        assert result.data_ptr() != argument.data_ptr()
