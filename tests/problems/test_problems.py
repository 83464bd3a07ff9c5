from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import torch

from basinet.foundation.errors import ConfigError
from basinet.problems import PROBLEMS, Samples, split, teacher
from basinet.protocols import Problem
from basinet.study.study import Study


def problem(name: str, **settings: Any) -> Problem:
    return Study.from_config({"problem": {"name": name, **settings}}).problem


def pairs(made: Problem) -> list[tuple[list[float], list[float]]]:
    return list(zip(made.inputs.T.tolist(), made.targets.T.tolist(), strict=True))


def test_xor_is_the_truth_table_with_the_target_values_asked_for() -> None:
    made = problem("xor", low=0.1, high=0.9)
    assert pairs(made) == [([0, 0], [0.1]), ([0, 1], [0.9]), ([1, 0], [0.9]), ([1, 1], [0.1])]
    assert made.classes


@pytest.mark.parametrize("bits", [1, 2, 3, 5])
def test_parity_is_the_remainder_of_the_number_of_ones(bits: int) -> None:
    made = pairs(problem("parity", bits=bits, low=-1, high=1))
    assert sorted(x for x, _ in made) == [list(corner) for corner in itertools.product([0.0, 1.0], repeat=bits)]
    assert all(y == [1.0 if sum(x) % 2 else -1.0] for x, y in made)


def test_parity_of_two_bits_is_xor() -> None:
    assert pairs(problem("parity", bits=2)) == pairs(problem("xor"))


def test_sine_is_a_sine_at_equally_spaced_points() -> None:
    made = problem("sine", points=5, periods=0.5)
    assert made.inputs.tolist() == [[-1, -0.5, 0, 0.5, 1]]
    # sin(-π/2), sin(-π/4), 0, …: one rounding of a number of size 1 each.
    assert made.targets[0].tolist() == pytest.approx([-1, -math.sqrt(0.5), 0, math.sqrt(0.5), 1], abs=4e-16)


def test_the_noise_of_sine_has_the_deviation_asked_for_and_the_problem_seed() -> None:
    plain, noisy, again, other = (
        problem("sine", points=20_000, noise=noise, seed=seed).targets
        for noise, seed in ((0, 1), (0.3, 1), (0.3, 1), (0.3, 2))
    )
    noise = (noisy - plain)[0]
    # 5 standard errors of 20,000 draws: s/√n of the mean, s/√(2n) of the deviation.
    assert abs(float(noise.mean())) < 5 * 0.3 / math.sqrt(20_000)
    assert abs(float(noise.std()) / 0.3 - 1) < 5 / math.sqrt(40_000)
    assert torch.equal(noisy, again)
    assert not torch.equal(noisy, other)


def test_neuron_repeats_its_block_on_every_axis() -> None:
    """Auer, Herbster & Warmuth: n = 2d examples x_t e_i."""
    made = problem("neuron", dimension=3, block_inputs=[1.0, 0.1], block_targets=[0.75, 0.5])
    expected = [([0.0] * i + [x] + [0.0] * (2 - i), [y]) for i in range(3) for x, y in ((1.0, 0.75), (0.1, 0.5))]
    assert pairs(made) == expected


def test_chain_is_the_pairs_given() -> None:
    assert pairs(problem("chain", inputs=[1, -2], targets=[0.5, 3])) == [([1], [0.5]), ([-2], [3])]


def test_digits_are_images_of_the_bundled_set_with_one_output_a_class() -> None:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    made = problem("digits", points=300, seed=4)
    assert made.inputs.shape == (64, 300)
    assert made.targets.shape == (10, 300)
    assert 0 <= float(made.inputs.min()) < float(made.inputs.max()) == 1
    known = {image.tobytes(): label for image, label in zip(images, labels, strict=True)}
    for image, target in zip(made.inputs.T.numpy(), made.targets.T.tolist(), strict=True):
        label = known[(image * 16).tobytes()]
        assert target == [float(k == label) for k in range(10)]
    assert len({image.tobytes() for image in made.inputs.T.numpy()}) == 300  # none is drawn twice


def test_all_digits_are_the_whole_set_once_and_more_points_keep_the_earlier_ones() -> None:
    whole, part = problem("digits", points=1797).inputs, problem("digits", points=10).inputs
    assert len(torch.unique(whole, dim=1).T) == 1797
    assert torch.equal(whole[:, :10], part)


def test_a_linear_teacher_makes_an_affine_function_of_its_inputs() -> None:
    made = problem("teacher", activation="identity", features=3, outputs=2, points=30)
    design = np.vstack([made.inputs.numpy(), np.ones(30)])
    residual = np.linalg.lstsq(design.T, made.targets.numpy().T, rcond=None)[1]
    assert (residual < 1e-25).all()  # squares of 30 roundings of 1e-16


@pytest.mark.parametrize("name", ["relu", "erf", "tanh"])
def test_a_gaussian_teacher_adds_up_its_first_axes_and_has_the_activation_of_the_student(name: str) -> None:
    settings = {"name": "gaussian_teacher", "dimension": 5, "units": 3, "samples": 40}
    study = Study.from_config({"problem": settings, "network": {"activation": name}})
    x, y = study.problem.inputs.numpy(), study.problem.targets.numpy()
    value = {"relu": lambda z: max(z, 0.0), "erf": lambda z: math.erf(z / math.sqrt(2)), "tanh": math.tanh}[name]
    expected = [sum(value(column[unit]) for unit in range(3)) for column in x.T]
    assert y.tolist() == [pytest.approx(expected, abs=2e-15)]
    assert (study.network.widths, study.network.bias, study.network.output) == ((5, 3, 1), False, "identity")
    assert study.settings["problem"]["activation"] == name
    assert study.problem.teacher is not None
    assert study.problem.teacher.units.tolist() == np.eye(3, 5).tolist()


def test_the_inputs_of_a_gaussian_teacher_are_standard_normal_and_more_of_them_keep_the_earlier_ones() -> None:
    inputs = problem("gaussian_teacher", dimension=4, units=2, samples=20_000).inputs
    # 5 standard errors of 20,000 draws each.
    assert float(inputs.mean(1).abs().max()) < 5 / math.sqrt(20_000)
    assert float((inputs @ inputs.T / 20_000 - torch.eye(4)).abs().max()) < 5 * math.sqrt(2 / 20_000)
    assert torch.equal(problem("gaussian_teacher", dimension=4, units=2, samples=30).inputs, inputs[:, :30])
    assert not torch.equal(problem("gaussian_teacher", dimension=4, units=2, samples=30, seed=1).inputs, inputs[:, :30])


def test_only_a_teacher_without_biases_leaves_them_out_and_only_where_they_are_left_open() -> None:
    for name, given, there in (
        ("xor", None, True),
        ("gaussian_teacher", None, False),
        ("gaussian_teacher", True, True),
        ("xor", False, False),
    ):
        study = Study.from_config({"problem": name, "network": {"bias": given}})
        assert study.network.bias is study.settings["network"]["bias"] is there


def test_a_teacher_draws_its_weights_biases_inputs_and_noise_independently(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []

    def recorded(*arguments: Any) -> np.ndarray:
        drawn.append(original(*arguments))
        return drawn[-1]

    original = teacher.normal
    monkeypatch.setattr(teacher, "normal", recorded)
    for features, width, outputs in ((4, 4, 1), (3, 5, 2), (1, 1, 1), (8, 600, 3)):
        drawn.clear()
        problem("teacher", features=features, width=width, outputs=outputs, points=50, noise=0.1)
        every = np.concatenate([part.ravel() for part in drawn])
        assert len(every) == features * width + width + width * outputs + 50 * (features + outputs)
        assert len(np.unique(every)) == len(every)  # no draw is used twice


def test_a_teacher_has_the_scale_it_is_documented_with() -> None:
    """y = v·(Wx + b), W ~ N(0, 1/4), b ~ N(0, 1/4), v ~ N(0, 1/6), x ~ N(0, 1): E y² = E[(Wx)² + b²] = 1 + 1/4."""
    squares = [
        float(
            problem("teacher", activation="identity", features=4, width=6, points=200, seed=seed)
            .targets.square()
            .mean()
        )
        for seed in range(600)
    ]
    # 5 standard errors, estimated from the 600 independent teachers.
    assert abs(np.mean(squares) - 1.25) < 5 * np.std(squares) / math.sqrt(600)


def test_more_points_of_a_teacher_keep_the_earlier_ones_and_another_seed_is_another_teacher() -> None:
    few, many, other = (problem("teacher", points=points, seed=seed) for points, seed in ((10, 0), (40, 0), (10, 1)))
    assert torch.equal(many.inputs[:, :10], few.inputs)
    assert torch.equal(many.targets[:, :10], few.targets)
    assert not (other.inputs == few.inputs).any()


def test_the_noise_of_a_teacher_is_added_to_its_targets() -> None:
    plain, noisy = (problem("teacher", points=5000, noise=noise) for noise in (0.0, 0.5))
    assert torch.equal(plain.inputs, noisy.inputs)
    noise = (noisy.targets - plain.targets)[0]
    assert abs(float(noise.std()) / 0.5 - 1) < 5 / math.sqrt(10_000)  # 5 standard errors


def test_a_teacher_without_noise_is_one_hidden_layer_of_its_activation() -> None:
    """y = v tanh(w x + b) with one unit: scipy finds three numbers that leave no residual."""
    for seed in range(5):
        made = problem("teacher", features=1, width=1, points=20, seed=seed)
        x, y = made.inputs[0].numpy(), made.targets[0].numpy()
        fits = [
            scipy.optimize.least_squares(
                lambda p, x=x, y=y: p[0] * np.tanh(p[1] * x + p[2]) - y, start, xtol=1e-15, ftol=1e-15, gtol=1e-15
            )
            for start in np.random.default_rng(seed).normal(size=(20, 3))
        ]
        assert min(fit.cost for fit in fits) < 1e-20  # 20 squares of some roundings


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "table"])
def test_every_problem_is_finite_float64_and_repeats_itself(name: str) -> None:
    made, again = problem(name), problem(name)
    for tensor, other in ((made.inputs, again.inputs), (made.targets, again.targets)):
        assert tensor.dtype == torch.float64
        assert torch.isfinite(tensor).all()
        assert torch.equal(tensor, other)
    assert made.inputs.shape[1] == made.targets.shape[1]
    assert made.holdout_inputs.shape == (made.inputs.shape[0], 0)
    assert made.holdout_targets.shape == (made.targets.shape[0], 0)


def numbered(total: int) -> Samples:
    return Samples(np.arange(2.0 * total).reshape(2, total), np.arange(float(total))[None])


@pytest.mark.parametrize(("share", "total", "held_out"), [(0.25, 20, 5), (0.1, 10, 1), (0.5, 7, 4), (0.9, 10, 9)])
def test_a_holdout_splits_the_samples_in_two_and_keeps_inputs_with_their_targets(
    share: float, total: int, held_out: int
) -> None:
    made = split(numbered(total), share, 3)
    assert made.holdout_inputs.shape == (2, held_out)
    kept, tested = made.targets[0].tolist(), made.holdout_targets[0].tolist()
    assert sorted(kept + tested) == list(range(total))
    for inputs, targets in ((made.inputs, made.targets), (made.holdout_inputs, made.holdout_targets)):
        assert torch.equal(inputs[0], targets[0])
        assert torch.equal(inputs[1], targets[0] + total)
        assert targets[0].tolist() == sorted(targets[0].tolist())  # in the order of the problem


def test_what_is_held_out_depends_on_the_problem_seed_and_reaches_every_sample() -> None:
    chosen = [frozenset(split(numbered(8), 0.25, seed).holdout_targets[0].tolist()) for seed in range(400)]
    assert chosen[:5] == [frozenset(split(numbered(8), 0.25, seed).holdout_targets[0].tolist()) for seed in range(5)]
    assert len(set(chosen)) == 28  # every pair of 8 comes up; a given one is missing with (27/28)^400 = 5e-7


@pytest.mark.parametrize(
    ("share", "message"),
    [
        (1.0, r"problem\.holdout=1: must be a share, at least 0 and below 1"),
        (-0.1, r"problem\.holdout=-0\.1: must be a share"),
        (0.01, r"problem\.holdout=0\.01: of 8 samples that is 0; 1 to 7 are needed"),
        (0.99, r"problem\.holdout=0\.99: of 8 samples that is 8; 1 to 7 are needed"),
    ],
)
def test_an_impossible_holdout_is_refused(share: float, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        split(numbered(8), share, 0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "parity", "bits": 0}, "problem.bits=0: must be between 1 and 16"),
        ({"name": "parity", "bits": 17}, "problem.bits=17: must be between 1 and 16"),
        ({"name": "sine", "points": 1}, "problem.points=1: must be at least 2"),
        ({"name": "sine", "noise": -1}, "problem.noise=-1: must be 0 or more"),
        ({"name": "teacher", "width": 0}, "problem.width=0: must be at least 1"),
        ({"name": "teacher", "points": 0}, "problem.points=0: must be at least 1"),
        ({"name": "teacher", "noise": -0.5}, "problem.noise=-0.5: must be 0 or more"),
        ({"name": "teacher", "activation": "tan"}, "unknown problem.activation 'tan': did you mean 'tanh'?"),
        ({"name": "digits", "points": 1798}, "problem.points=1798: must be between 1 and 1797"),
        ({"name": "digits", "points": 0}, "problem.points=0: must be between 1 and 1797"),
        ({"name": "neuron", "dimension": 0}, "problem.dimension=0: must be at least 1"),
        (
            {"name": "neuron", "block_inputs": [1]},
            "problem.block_inputs has 1 entries, problem.block_targets 2: one target for each input is needed",
        ),
        (
            {"name": "chain", "inputs": [], "targets": []},
            "problem.inputs has 0 entries, problem.targets 0: one target for each input is needed",
        ),
        ({"name": "xor", "seed": -1}, "problem.seed=-1: must be between 0 and 2^63 - 1"),
        ({"name": "xor", "seed": 2**63}, f"problem.seed={2**63}: must be between 0 and 2^63 - 1"),
        ({"name": "xor", "high": "inf"}, "problem: all inputs and targets must be finite numbers"),
        (
            {"name": "chain", "inputs": ["-inf"], "targets": [1]},
            "problem: all inputs and targets must be finite numbers",
        ),
        ({"name": "parity", "bit": 3}, "unknown setting 'problem.bit': did you mean 'problem.bits'?"),
    ],
)
def test_an_impossible_problem_is_refused_with_the_key(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Study.from_config({"problem": settings})
    assert str(caught.value) == message


FRAME = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [4, 5, 6], "flag": [True, False, True], "y": [0.5, 0.25, 0.125]})


def table(path: Path, **settings: Any) -> Problem:
    plain = {"targets": ["y"], "standardize": False, "standardize_targets": False}
    return problem("table", path=str(path), **{**plain, **settings})


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".pq", ".CSV"])
def test_the_rows_of_a_file_are_the_samples(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"data{suffix}"
    FRAME.to_csv(path, index=False) if suffix.lower() == ".csv" else FRAME.to_parquet(path)
    made = table(path)
    assert pairs(made) == [([1, 4, 1], [0.5]), ([2, 5, 0], [0.25]), ([3, 6, 1], [0.125])]
    assert not made.classes
    chosen = table(path, inputs=["b"], targets=["y", "a"])
    assert pairs(chosen) == [([4], [0.5, 1]), ([5], [0.25, 2]), ([6], [0.125, 3])]


def test_numbers_of_a_csv_arrive_to_the_last_bit(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=200) * 10.0 ** np.arange(-100, 100)
    pd.DataFrame({"x": values, "y": values}).to_csv(tmp_path / "d.csv", index=False)
    assert table(tmp_path / "d.csv").inputs[0].tolist() == values.tolist()


def test_standardized_inputs_have_mean_0_and_deviation_1_and_targets_stay(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(1).normal(5, 3, size=(50, 3)), columns=["a", "b", "y"])
    frame.to_parquet(tmp_path / "d.parquet")
    made = table(tmp_path / "d.parquet", standardize=True)
    mean = [sum(frame[name]) / 50 for name in ("a", "b")]
    deviation = [math.sqrt(sum((v - m) ** 2 for v in frame[name]) / 50) for name, m in zip("ab", mean, strict=True)]
    for row, name, m, s in zip(made.inputs, "ab", mean, deviation, strict=True):
        assert row.tolist() == pytest.approx([(v - m) / s for v in frame[name]], rel=1e-12, abs=1e-13)
    assert made.targets[0].tolist() == frame["y"].tolist()


@pytest.mark.parametrize(
    ("targets", "classes"),
    [
        ({"p": [0, 1, 0], "q": [1, 0, 1]}, True),
        ({"p": [0, 1, 0], "q": [1, 1, 1]}, False),  # the second sample has two classes
        ({"p": [0.5, 1, 0], "q": [0.5, 0, 1]}, False),
        ({"p": [0, 1, 0]}, False),
    ],
)
def test_indicator_columns_make_a_classification(
    tmp_path: Path, targets: dict[str, list[float]], classes: bool
) -> None:
    pd.DataFrame({"x": [1, 2, 3], **targets}).to_csv(tmp_path / "d.csv", index=False)
    assert table(tmp_path / "d.csv", targets=list(targets)).classes == classes


CSV = "a,b,y\n1,2,3\n4,5,6\n7,8,9\n"


@pytest.mark.parametrize(
    ("name", "content", "settings", "message"),
    [
        # what is not there
        ("d.csv", None, {}, r"^problem\.path={path}: no such file$"),
        ("d.txt", CSV, {}, r"^problem\.path={path}: must end in \.csv or \.parquet$"),
        ("d", CSV, {}, r"^problem\.path={path}: must end in \.csv or \.parquet$"),
        (
            "d.csv",
            CSV,
            {"targets": ["z"]},
            r"^unknown column in {path} \(problem\.targets\) 'z': choose one of a, b, y$",
        ),
        (
            "d.csv",
            "alpha,beta,y\n1,2,3\n",
            {"inputs": ["alpa"]},
            r"^unknown column in {path} \(problem\.inputs\) 'alpa': did you mean 'alpha'\?$",
        ),
        ("d.csv", CSV, {"targets": []}, r"^problem\.targets=\[\]: name at least one column$"),
        ("d.csv", "y\n1\n2\n", {}, r"^{path}: every column is a target, at least one input is needed$"),
        # files that are none
        ("d.csv", "", {}, r"^{path}: cannot be read \(No columns to parse from file\)$"),
        ("d.csv", "\n\n", {}, r"^{path}: cannot be read \(No columns to parse from file\)$"),
        ("d.csv", "a,b,y\n", {}, r"^{path}: has no rows$"),
        ("d.csv", "a,y\n1,2\n1,2,3,4\n", {}, r"^{path}: cannot be read \(row 2 has 4 fields, the header 2; .*\)$"),
        ("d.csv", "a,y\n1,2,3\n4,5,6\n", {}, r"^{path}: cannot be read \(row 1 has 3 fields, the header 2; .*\)$"),
        ("d.csv", b"a,y\n\xff\xfe,2\n", {}, r"^{path}: cannot be read \(.*utf-8.*\)$"),
        ("d.parquet", b"", {}, r"^{path}: cannot be read \("),
        ("d.parquet", b"PAR1 this is none PAR1", {}, r"^{path}: cannot be read \("),
        ("d.pq", FRAME.head(0), {}, r"^{path}: has no rows$"),
        # columns that are none
        ("d.csv", "a,a,y\n1,2,3\n", {}, r"^{path}: column 'a' stands there twice$"),
        ("d.csv", "a,y,y\n1,2,3\n", {}, r"^{path}: column 'y' stands there twice$"),
        (
            "d.csv",
            CSV,
            {"inputs": ["a", "y"]},
            r"^{path}: column 'y' is both in problem\.inputs and in problem\.targets$",
        ),
        ("d.csv", "a,y\n.1,1\n.1,2\n.1,3\n", {"standardize": True}, r"^{path}, column 'a': constant, cannot be stand"),
        ("d.csv", "a,y\n3,1\n", {"standardize": True}, r"^{path}, column 'a': constant, cannot be standardized"),
        # cells that are none: rows are counted from 1, without the header
        (
            "d.csv",
            "a,y\n1,2\n3,oops\n5,x\n",
            {},
            r"^{path}, column 'y', row 2: 'oops' is not a finite number \(2 of 3 rows\)$",
        ),
        (
            "d.csv",
            "a,y\n1,2\nred,3\n",
            {},
            r"^{path}, column 'a', row 2: 'red' is not a finite number \(1 of 2 rows\)$",
        ),
        (
            "d.csv",
            "a,y\n1,2\n3,4\n,5\n",
            {},
            r"^{path}, column 'a', row 3: nan is not a finite number \(1 of 3 rows\)$",
        ),
        ("d.csv", "a,y\ninf,2\n3,4\n", {}, r"^{path}, column 'a', row 1: inf is not a finite number \(1 of 2 rows\)$"),
        ("d.csv", "a,y\n1,-inf\n3,4\n", {}, r"^{path}, column 'y', row 1: -inf is not a finite number"),
        ("d.csv", "a,y\n1,2\n3\n", {}, r"^{path}, column 'y', row 2: nan is not a finite number \(1 of 2 rows\)$"),
        (
            "d.parquet",
            pd.DataFrame({"a": [1.0, np.nan], "y": [1, 2]}),
            {},
            r"^{path}, column 'a', row 2: nan is not a finite number \(1 of 2 rows\)$",
        ),
        (
            "d.parquet",
            pd.DataFrame({"a": ["p", "q"], "y": [1, 2]}),
            {},
            r"^{path}, column 'a', row 1: 'p' is not a finite number \(2 of 2 rows\)$",
        ),
        (
            "d.parquet",
            pd.DataFrame({"a": [[1, 2], [3, 4]], "y": [1, 2]}),
            {},
            r"^{path}, column 'a'.*number",
        ),
        (
            "d.parquet",
            pd.DataFrame({"a": pd.array([1, None], dtype="Int64"), "y": [1, 2]}),
            {},
            r"^{path}, column 'a', row 2: .* is not a finite number \(1 of 2 rows\)$",
        ),
        (
            "d.parquet",
            pd.DataFrame({"a": pd.to_datetime(["2026-01-01", "2026-01-02"]), "y": [1, 2]}),
            {},
            r"^{path}, column 'a': not a column of numbers$",
        ),
        (
            "d.parquet",
            pd.DataFrame({"a": [1 + 2j, 3j], "y": [1, 2]}).map(str),
            {},
            r"^{path}, column 'a', row 1: '\(1\+2j\)' is not a finite number \(2 of 2 rows\)$",
        ),
    ],
)
def test_a_bad_table_is_refused_with_file_column_and_row(
    tmp_path: Path, name: str, content: Any, settings: dict[str, Any], message: str
) -> None:
    path = tmp_path / name
    if isinstance(content, pd.DataFrame):
        content.to_parquet(path)
    elif content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError, match=message.replace("{path}", str(path).replace(".", r"\."))) as caught:
        table(path, **settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("make_bad", [lambda p: p.mkdir(), lambda p: p.symlink_to(p.parent / "nowhere.csv")])
def test_a_folder_or_a_broken_link_is_no_file(tmp_path: Path, make_bad: Callable[[Path], None]) -> None:
    path = tmp_path / "d.csv"
    make_bad(path)
    with pytest.raises(ConfigError, match="no such file"):
        table(path)
