from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from basinet.foundation import elementary
from basinet.mlp.activations import ACTIVATIONS

GRID = np.concatenate([np.linspace(-40, 40, 20_001), np.linspace(-1, 1, 2_001), [-1e300, -750, 0.0, -0.0, 750, 1e300]])


def test_e_to_the_x_is_right_to_two_units_in_the_last_place() -> None:
    x = np.linspace(-708, 708, 50_001)
    exact = np.array([math.exp(value) for value in x])
    assert float((np.abs(elementary.exp(x) - exact) / np.spacing(exact)).max()) <= 2
    assert elementary.exp(np.array([-1e6, 1e6])).tolist() == elementary.exp(np.array([-708.0, 708.0])).tolist()


@pytest.mark.parametrize("name", list(ACTIVATIONS))
def test_every_activation_of_networks_is_there_with_the_same_values(name: str) -> None:
    expected = ACTIVATIONS[name].value(torch.from_numpy(GRID)).numpy()
    np.testing.assert_allclose(
        elementary.VALUES[name](GRID), expected, rtol=1e-15, atol=3e-14 if name == "gelu" else 5e-16
    )
