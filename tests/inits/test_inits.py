from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from basinet.foundation.errors import ConfigError
from basinet.inits import INITS, Given, Init
from basinet.mlp.network import Network
from basinet.study.study import Study

WIDTHS = (3, 8, 5)
NETWORK = Network(WIDTHS)
RESTARTS = 2000

SETTINGS: dict[str, dict[str, Any]] = {
    "normal": {"std": 1.7},
    "uniform": {"bound": 1.7},
    "xavier_normal": {"gain": 1.3},
    "xavier_uniform": {"gain": 1.3},
    "kaiming_normal": {"gain": math.sqrt(2)},
    "kaiming_uniform": {"gain": math.sqrt(2)},
    "lecun_normal": {"gain": 1.3},
    "orthogonal": {"gain": 1.3},
    "constant": {"value": 0.3},
}

# The standard deviation that each paper asks for, as a function of (fan-in, fan-out).
DEVIATIONS: dict[str, Callable[[int, int], float]] = {
    "normal": lambda i, o: 1.7,
    "uniform": lambda i, o: 1.7 / math.sqrt(3),
    "xavier_normal": lambda i, o: 1.3 * math.sqrt(2 / (i + o)),
    "xavier_uniform": lambda i, o: 1.3 * math.sqrt(2 / (i + o)),
    "kaiming_normal": lambda i, o: math.sqrt(2 / i),
    "kaiming_uniform": lambda i, o: math.sqrt(2 / i),
    "lecun_normal": lambda i, o: 1.3 / math.sqrt(i),
}


def init(name: str, bias: str | None = None) -> Init:
    """The init with the settings above; biases as the configuration has them by default, or as asked."""
    config = {"name": name, **SETTINGS[name], **({} if bias is None else {"bias": bias})}
    return Study.from_config({"init": config}).init


def layers(theta: torch.Tensor) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(layer.weight.numpy(), layer.bias.numpy()) for layer in NETWORK.layers(theta)]  # type: ignore[union-attr]


def test_every_init_is_tested_here() -> None:
    assert {*SETTINGS, "given"} == set(INITS)


@pytest.mark.parametrize("name", list(DEVIATIONS))
def test_weights_have_mean_0_and_the_deviation_of_the_paper_in_every_layer(name: str) -> None:
    drawn = layers(init(name).draw(NETWORK, 0, range(RESTARTS)))
    for (weight, _), fan_in, fan_out in zip(drawn, WIDTHS, WIDTHS[1:], strict=False):
        deviation = DEVIATIONS[name](fan_in, fan_out)
        count = weight.size
        # 5 standard errors: of a mean s/√n; of a deviation s √((κ-1)/4n), kurtosis κ = 3 for normal, 1.8 for uniform.
        kurtosis = 1.8 if "uniform" in name else 3.0
        assert abs(weight.mean()) < 5 * deviation / math.sqrt(count)
        assert abs(weight.std() / deviation - 1) < 5 * math.sqrt((kurtosis - 1) / (4 * count))
        assert abs((weight**4).mean() / deviation**4 - kurtosis) < 0.2  # 5 errors of √(96/48000) for the normal
        if "uniform" in name:
            assert abs(weight).max() <= math.sqrt(3) * deviation


@pytest.mark.parametrize("name", [*DEVIATIONS, "constant"])
def test_biases_are_drawn_like_the_weights_of_their_layer_or_are_zero(name: str) -> None:
    same, zero = (init(name, bias).draw(NETWORK, 0, range(RESTARTS)) for bias in ("same", "zero"))
    for (weight, bias), (other_weight, other_bias) in zip(layers(same), layers(zero), strict=True):
        np.testing.assert_array_equal(weight, other_weight)
        assert not other_bias.any()
        if name == "constant":
            assert (bias == 0.3).all()
        else:
            # Both estimate one deviation: 5 standard errors of the smaller sample, at most 1/√(2n) each.
            assert abs(bias.std() / weight.std() - 1) < 5 / math.sqrt(2 * bias.size) + 5 / math.sqrt(2 * weight.size)


@pytest.mark.parametrize("name", list(SETTINGS))
def test_biases_are_by_default_like_the_weights_where_layers_do_not_matter_and_zero_elsewhere(name: str) -> None:
    biases = [bias for _, bias in layers(init(name).draw(NETWORK, 0, range(3)))]
    assert all(bias.all() for bias in biases) == (name in ("normal", "uniform", "constant"))
    assert any(bias.any() for bias in biases) == (name in ("normal", "uniform", "constant"))


@pytest.mark.parametrize("name", list(SETTINGS))
def test_a_network_without_biases_has_weights_only(name: str) -> None:
    network = Network(WIDTHS, bias=False)
    theta = init(name).draw(network, 0, range(4))
    assert theta.shape == (4, 3 * 8 + 8 * 5)
    assert theta.all()


@pytest.mark.parametrize("widths", [(3, 8, 5), (1, 1), (7, 2, 9, 1)], ids=str)
@pytest.mark.parametrize("name", list(SETTINGS))
def test_any_range_of_restarts_is_the_same_rows_of_the_whole_to_the_bit(name: str, widths: tuple[int, ...]) -> None:
    network, drawn = Network(widths), init(name)
    whole = drawn.draw(network, 7, range(300))
    threads = torch.get_num_threads()
    try:
        for count, (first, last) in ((1, (0, 1)), (2, (299, 300)), (3, (63, 65)), (2, (5, 250)), (1, (128, 300))):
            torch.set_num_threads(count)
            part = drawn.draw(network, 7, range(first, last))
            assert torch.equal(part, whole[first:last])
    finally:
        torch.set_num_threads(threads)
    assert whole.dtype == torch.float64
    assert whole.device.type == "cpu"


def test_a_wide_orthogonal_start_is_the_same_alone_as_in_thousands() -> None:
    network, orthogonal = Network((40, 20, 3)), init("orthogonal")
    whole = orthogonal.draw(network, 0, range(4200))  # more than are made orthogonal at once
    for r in (0, 4095, 4096, 4199):
        assert torch.equal(orthogonal.draw(network, 0, range(r, r + 1))[0], whole[r])


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "constant"])
def test_restarts_and_seeds_differ(name: str) -> None:
    theta = init(name).draw(NETWORK, 0, range(100))
    assert len(torch.unique(theta, dim=0)) == 100
    assert not (theta == init(name).draw(NETWORK, 1, range(100))).all(1).any()


def test_inits_that_scale_a_normal_draw_are_paired() -> None:
    """Common random numbers: conditions with one seed differ by the factor of each layer only."""
    plain, he = (init(name).draw(NETWORK, 3, range(5)) for name in ("normal", "kaiming_normal"))
    for (weight, _), (other, _), fan_in in zip(layers(plain), layers(he), WIDTHS, strict=False):
        np.testing.assert_allclose(weight / 1.7 * math.sqrt(2 / fan_in), other, rtol=1e-15)


@pytest.mark.parametrize("widths", [(6, 6, 6), (3, 20), (20, 3), (1, 1), (1, 7), (40, 1), (64, 30, 64)], ids=str)
def test_orthogonal_weights_have_orthonormal_columns_if_tall_and_rows_if_wide(widths: tuple[int, ...]) -> None:
    network = Network(widths)
    restarts = 3000 if network.size < 100 else 50  # among thousands some draws are nearly dependent
    for layer in network.layers(init("orthogonal").draw(network, 0, range(restarts))):
        q = layer.weight / 1.3
        tall = q.shape[1] >= q.shape[2]
        product = q.mT @ q if tall else q @ q.mT
        identity = torch.eye(product.shape[1], dtype=torch.float64)
        # Gram-Schmidt made twice is orthogonal to rounding, whatever the draw: sums of at most 64 products, 1e-16 each.
        assert float((product - identity).abs().max()) < 1e-13
        assert layer.bias is not None
        assert not layer.bias.any()


def test_orthogonal_weights_are_uniform_on_the_orthogonal_matrices() -> None:
    """An entry of a Haar matrix of n rows has moments 0, 1/n, 0, 3/(n(n+2)); entries of a column are not correlated."""
    n, count = 5, 20_000
    network = Network((n, n), bias=False)
    q = init("orthogonal").draw(network, 0, range(count)).reshape(count, n, n).numpy() / 1.3
    # 5 standard errors, with variances E q² = 1/5, E q⁴ - (1/5)² = .0457, E q⁶ = 15/(5·7·9), E q⁸ = 105/(5·7·9·11).
    bounds = (0.2, 0.0457, 15 / 315, 105 / 3465)
    for power, expected in enumerate((0, 1 / n, 0, 3 / (n * (n + 2))), start=1):
        error = 5 * math.sqrt(bounds[power - 1] / count)
        np.testing.assert_allclose((q**power).mean(0), np.full((n, n), expected), rtol=0, atol=error)
    # The sign of the determinant is a fair coin: Haar on O(n), not on SO(n). 5 standard errors of ½/√count.
    assert abs((np.linalg.det(q) > 0).mean() - 0.5) < 2.5 / math.sqrt(count)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "normal", "std": 0}, "init.std=0: must be positive"),
        ({"name": "normal", "std": "inf"}, "init.std=inf: must be positive"),
        ({"name": "uniform", "bound": -1}, "init.bound=-1: must be positive"),
        ({"name": "xavier_normal", "gain": 0}, "init.gain=0: must be positive"),
        ({"name": "xavier_uniform", "gain": -2}, "init.gain=-2: must be positive"),
        ({"name": "kaiming_normal", "gain": 0}, "init.gain=0: must be positive"),
        ({"name": "kaiming_uniform", "gain": 0}, "init.gain=0: must be positive"),
        ({"name": "lecun_normal", "gain": 0}, "init.gain=0: must be positive"),
        ({"name": "orthogonal", "gain": 0}, "init.gain=0: must be positive"),
        ({"name": "constant", "value": "inf"}, "init.value=inf: must be finite"),
        ({"name": "orthogonal", "bias": "same"}, "unknown init.bias 'same': choose one of zero"),
        ({"name": "normal", "bias": "zeros"}, "unknown init.bias 'zeros': did you mean 'zero'?"),
        ({"name": "normal", "gain": 1}, "unknown setting 'init.gain': choose one of init.bias, init.std"),
        ("xaver_normal", "unknown init 'xaver_normal': did you mean 'xavier_normal'?"),
    ],
)
def test_an_impossible_init_is_refused_with_the_key(config: Any, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Study.from_config({"init": config})
    assert str(caught.value) == message


STARTS = np.random.default_rng(0).normal(size=(6, 9))  # the 2-2-1 network of xor has 9 parameters


def written(path: Path, suffix: str) -> str:
    file = path / f"starts{suffix}"
    if suffix == ".npz":
        np.savez(file, anything=STARTS)
    else:
        pd.DataFrame(STARTS).rename(columns=str).to_parquet(file)
    return str(file)


@pytest.mark.parametrize("suffix", [".npz", ".parquet", ".pq", ".PARQUET"])
def test_given_starts_are_the_rows_of_the_file_to_the_bit(tmp_path: Path, suffix: str) -> None:
    given = Given(written(tmp_path, suffix))
    for first, last in ((0, 6), (2, 3), (4, 6)):
        np.testing.assert_array_equal(given.draw(Network((2, 2, 1)), 0, range(first, last)), STARTS[first:last])
    study = Study.from_config({"init": {"name": "given", "path": given.path}, "restarts": 5})
    np.testing.assert_array_equal(study.starts(range(1, 5)), STARTS[1:5])


def test_of_several_arrays_the_one_named_starts_is_taken(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", other=np.zeros(3), starts=STARTS)
    np.testing.assert_array_equal(Given(str(tmp_path / "a.npz")).starts, STARTS)


def test_changing_a_drawn_start_does_not_change_the_next_draw(tmp_path: Path) -> None:
    given = Given(written(tmp_path, ".npz"))
    given.draw(Network((2, 2, 1)), 0, range(6)).zero_()
    np.testing.assert_array_equal(given.draw(Network((2, 2, 1)), 0, range(6)), STARTS)


def _with(position: tuple[int, int], value: float) -> np.ndarray:
    changed = STARTS.copy()
    changed[position] = value
    return changed


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.csv", lambda p: p.write_text("1"), r"init\.path=.*a\.csv: must end in \.npz or \.parquet"),
        ("a", lambda p: p.write_text("1"), r"init\.path=.*a: must end in \.npz or \.parquet"),
        ("a.npz", lambda p: None, r"init\.path=.*a\.npz: no such file"),
        ("a.npz", lambda p: p.mkdir(), r"init\.path=.*a\.npz: no such file"),
        ("a.npz", lambda p: p.write_bytes(b"no zip"), r"a\.npz: cannot be read \("),
        ("a.npz", lambda p: p.write_bytes(b""), r"a\.npz: cannot be read \("),
        ("a.parquet", lambda p: p.write_bytes(b"PAR1 no parquet"), r"a\.parquet: cannot be read \("),
        ("a.npz", lambda p: np.savez(p, a=STARTS, b=STARTS), r"a\.npz: has the arrays a, b; one of them must be named"),
        ("a.npz", lambda p: np.savez(p, STARTS[0]), r"a\.npz: has shape \(9,\), should be \[restart, parameter\]"),
        ("a.npz", lambda p: np.savez(p, STARTS[None]), r"a\.npz: has shape \(1, 6, 9\), should be"),
        ("a.npz", lambda p: np.savez(p, _with((3, 2), np.nan)), r"a\.npz: not a finite number in row 4$"),
        ("a.npz", lambda p: np.savez(p, _with((0, 8), -np.inf)), r"a\.npz: not a finite number in row 1$"),
        ("a.npz", lambda p: np.savez(p, np.array([["a", "b"]])), r"a\.npz: cannot be read \("),
        ("a.npz", lambda p: np.savez(p, np.array([[object()]])), r"a\.npz: cannot be read \("),
        ("a.npz", lambda p: np.savez(p, STARTS[:, :8]), r"a\.npz: has 8 parameters a start, the network 2-2-1 has 9"),
        ("a.npz", lambda p: np.savez(p, STARTS[:3]), r"a\.npz: has 3 starts, restarts=5 asks for more"),
        ("a.pq", lambda p: pd.DataFrame({"x": ["a"]}).to_parquet(p), r"a\.pq: cannot be read \("),
    ],
)
def test_a_bad_file_of_starts_is_refused_with_its_name(
    tmp_path: Path, name: str, write: Callable[[Path], object], message: str
) -> None:
    write(tmp_path / name)
    with pytest.raises(ConfigError, match=message) as caught:
        Study.from_config({"init": {"name": "given", "path": str(tmp_path / name)}, "restarts": 5})
    assert "\n" not in str(caught.value)
