"""Tables as people have them: how they are read, what is made of their targets, and that defaults train on them."""

from __future__ import annotations

import csv
import gzip
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import load_diabetes, load_wine

import basinet
from basinet.foundation.errors import ConfigError
from basinet.study.study import Study

AS_THEY_ARE = {"standardize": False, "standardize_targets": False}


def study(path: Path, **settings: Any) -> Study:
    return Study.from_config({"problem": {"name": "table", "path": str(path), "targets": "y", **settings}})


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "d.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def columns(made: Study) -> list[list[float]]:
    return [*made.problem.inputs.tolist(), *made.problem.targets.tolist()]


ROWS = [[1.5, -3.0, 1200.25], [2.0, 0.125, -7.0]]  # x, y


@pytest.mark.parametrize("between", [",", ";", "\t", "|"])
@pytest.mark.parametrize("mark", [".", ","])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_csv_is_read_whatever_separates_and_encodes_it(
    tmp_path: Path, between: str, mark: str, quoting: Any, encoding: str, end: str
) -> None:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=between, quoting=quoting, lineterminator=end)
    writer.writerow(["größe, in mm", "y"])
    writer.writerows([str(value).replace(".", mark) for value in row] for row in zip(*ROWS, strict=True))
    told = {"decimal": "comma"} if between == mark else {}  # where commas are both, it has to be said
    path = written(tmp_path, out.getvalue().encode(encoding))
    made = study(path, inputs="größe, in mm", **told, **AS_THEY_ARE)
    assert columns(made) == ROWS


@pytest.mark.parametrize(("separator", "decimal"), [("semicolon", "comma"), (";", ",")])
def test_separator_and_decimal_mark_can_be_said(tmp_path: Path, separator: str, decimal: str) -> None:
    path = written(tmp_path, "x;a,b,c;y\n1,5;0;2\n-3;1;0,125\n")  # the header has more commas than semicolons
    made = study(path, inputs="x", separator=separator, decimal=decimal, **AS_THEY_ARE)
    assert columns(made) == [[1.5, -3.0], [2.0, 0.125]]


def test_the_line_that_excel_writes_about_the_separator_is_no_header(tmp_path: Path) -> None:
    assert columns(study(written(tmp_path, "sep=;\nx;y\n1;2\n3;5\n"), **AS_THEY_ARE)) == [[1, 3], [2, 5]]


@pytest.mark.parametrize("repeated", [1, 2])
def test_an_index_as_pandas_writes_it_is_left_out_and_that_is_said(tmp_path: Path, repeated: int) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 4.0], "y": [0.5, 0.25, 0.75]}, index=[7, 3, 5])
    path = tmp_path / "d.csv"
    frame.to_csv(path)
    for _ in range(repeated - 1):  # read and written once more, the index has become two columns
        pd.read_csv(path).to_csv(path)
    made = study(path, **AS_THEY_ARE)
    assert columns(made) == [[1, 2, 4], [0.5, 0.25, 0.75]]
    assert len(made.remarks) == repeated
    for number, remark in enumerate(made.remarks, 1):
        assert remark.startswith(f"{path}: column {number} has no name")
        assert "problem.inputs" in remark
        assert "problem.ignore" in remark
    asked = study(path, inputs=["Unnamed: 0", "x"], **AS_THEY_ARE)
    assert len(columns(asked)) == 3
    assert not asked.remarks


def test_a_last_column_that_only_a_separator_makes_is_none(tmp_path: Path) -> None:
    made = study(written(tmp_path, "x,y,\n1,2,\n3,5,\n"), **AS_THEY_ARE)
    assert columns(made) == [[1, 3], [2, 5]]
    assert not made.remarks


@pytest.mark.parametrize("last", ["\n\n", ",,\n,,\n", "  \n \n", ", ,\n"])
@pytest.mark.parametrize("first", ["", "\n\n", "  \n"])
def test_lines_without_a_value_before_and_after_a_table_are_none_of_it(tmp_path: Path, first: str, last: str) -> None:
    made = study(written(tmp_path, f"{first}x,z,y\n1,2,3\n3,5,1\n2,2,3\n4,4,1\n{last}"))
    assert columns(made) == [[1, 3, 2, 4], [2, 5, 2, 4], [0, 1, 0, 1], [1, 0, 1, 0]]  # y stays integers, so classes


def test_a_column_of_one_value_is_said(tmp_path: Path) -> None:
    inputs, targets = study(written(tmp_path, "x,z,y\n1,2,3.5\n1,5,3.5\n"), **AS_THEY_ARE).remarks
    assert "column 'x' is the same in all rows: its weights do what a bias does" in inputs
    assert "column 'y' is the same in all rows: there is nothing to learn" in targets


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("x,z,y\n1,2,3\n1,2,3,4\n", "row 2 has 4 fields, the header 3"),
        ("# made by hand\nx,z,y\n1,2,3\n", "row 1 has 3 fields, the header 1"),
        ("x,y\n1,2\n".encode("utf-16-le"), "zero bytes, as UTF-16 without its mark"),
        ("x,y\n1,2\n".encode("utf-32"), "zero bytes"),
        (gzip.compress(b"x,y\n1,2\n", mtime=0), "compressed by gzip"),
        (b"PK\x03\x04\x00", "a workbook of Excel"),
        ("x;y\n1.234,5;1\n2;3\n", "'1.234,5' (marks between thousands?"),
        ("x,y\n1,NA\n2,EU\n3,EU\n", "row 1: no class (empty, or a word for that, such as NA"),
    ],
)
def test_a_file_that_is_no_table_is_refused_with_what_it_is(tmp_path: Path, content: str | bytes, fault: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(fault)):
        study(written(tmp_path, content))


def test_columns_to_ignore_are_no_inputs(tmp_path: Path) -> None:
    path = written(tmp_path, "name,x,z,y\nann,1,8,2\nbob,3,9,5\n")
    assert columns(study(path, ignore=["name", "z"], **AS_THEY_ARE)) == [[1, 3], [2, 5]]
    assert columns(study(path, ignore=["name", "z"], **AS_THEY_ARE)) == columns(study(path, inputs="x", **AS_THEY_ARE))


def test_one_name_without_brackets_is_the_same_condition_as_a_list_of_it(tmp_path: Path) -> None:
    path = written(tmp_path, "x,z,y\n1,8,2\n3,9,5\n")
    one, other = study(path, inputs="x"), study(path, inputs=["x"], targets=["y"])
    assert one.key == other.key
    assert one.columns == other.columns


LABELS = [
    # the cells of the targets, and the class of each row, or None where they are numbers
    (["red", "blue", "red", "green"], [2, 0, 2, 1]),
    (["b", " a", "a ", "b"], [1, 0, 0, 1]),
    (["True", "False", "True", "True"], [1, 0, 1, 1]),
    (["0", "1", "1", "0"], [0, 1, 1, 0]),
    (["10", "9", "10", "9"], [1, 0, 1, 0]),  # by size, not by letters
    (["-1", "1", "-1", "1"], [0, 1, 0, 1]),
    (["0", "1", "2", "3"], None),  # each there once
    (["0", "1", "1", "1"], None),
    (["0.0", "1.0", "0.0", "1.0"], None),
    (["5", "5", "5", "6.5"], None),
    ([str(value) for value in [*range(10), *range(10)]], [*range(10), *range(10)]),
    ([str(value) for value in [*range(11), *range(11)]], None),  # eleven different ones
]


@pytest.mark.parametrize(("cells", "classes"), LABELS)
def test_text_and_few_integers_are_classes_and_other_numbers_are_not(
    tmp_path: Path, cells: list[str], classes: list[int] | None
) -> None:
    path = written(tmp_path, "x,y\n" + "".join(f"{row * row},{cell}\n" for row, cell in enumerate(cells)))
    made = study(path, **AS_THEY_ARE)
    assert made.problem.classes == (classes is not None)
    if classes is None:
        assert made.problem.targets[0].tolist() == [float(cell) for cell in cells]
        assert made.settings["objective"]["loss"] == "squared"
        return
    rows = [[float(one == row) for one in classes] for row in range(max(classes) + 1)]
    assert made.problem.targets.tolist() == rows
    assert made.network.widths[-1] == len(rows)
    assert made.settings["objective"]["loss"] == "cross_entropy"
    assert any(f"{len(rows)} classes" in remark for remark in made.remarks)
    assert any("objective.loss=cross_entropy" in remark for remark in made.remarks)


def test_whether_integers_are_classes_can_be_said(tmp_path: Path) -> None:
    path = written(tmp_path, "x,few,many\n1,0,3\n2,1,30\n3,0,300\n5,1,3\n")
    numbers = study(path, targets="few", inputs="x", classes=False, **AS_THEY_ARE)
    assert numbers.problem.targets.tolist() == [[0, 1, 0, 1]]
    assert not numbers.problem.classes
    labels = study(path, targets="many", inputs="x", classes=True)
    assert labels.problem.targets.tolist() == [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0]]


def test_categories_of_a_parquet_file_are_classes(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    pd.DataFrame({"x": [1.0, 2.0, 3.0], "y": pd.Categorical(["v", "u", "v"], categories=["w", "v", "u"])}).to_parquet(
        path
    )
    assert study(path).problem.targets.tolist() == [[0, 1, 0], [1, 0, 1]]


def test_a_loss_that_was_asked_for_stays_and_is_another_condition_than_the_one_that_suits(tmp_path: Path) -> None:
    path = written(tmp_path, "x,y\n1,a\n2,b\n4,a\n")
    config: dict[str, Any] = {"problem": {"name": "table", "path": str(path), "targets": "y"}}
    chosen, same, other = (
        Study.from_config({**config, "objective": {"loss": loss}}) for loss in (None, "cross_entropy", "squared")
    )
    assert chosen.key == same.key != other.key
    assert chosen.settings == same.settings
    assert other.settings["objective"]["loss"] == "squared"
    assert not any("objective.loss" in remark for remark in (*same.remarks, *other.remarks))


def test_probabilities_are_not_standardized_and_may_have_cross_entropy(tmp_path: Path) -> None:
    path = written(tmp_path, "x,p,q\n1,.25,.75\n2,.5,.5\n4,1,0\n")
    made = Study.from_config(
        {
            "problem": {"name": "table", "path": str(path), "targets": ["p", "q"]},
            "objective": {"loss": "cross_entropy"},
        }
    )
    assert made.exact_objective.loss(torch.zeros(1, made.network.size, dtype=torch.float64)).item() == pytest.approx(
        np.log(2), rel=1e-12
    )
    assert made.problem.targets.tolist() == [[0.25, 0.5, 1], [0.75, 0.5, 0]]


def test_mean_and_deviation_are_those_of_the_samples_that_are_trained_on(tmp_path: Path) -> None:
    frame = pd.DataFrame(np.random.default_rng(1).normal(5, 3, size=(40, 3)), columns=["a", "b", "y"])
    frame.to_csv(tmp_path / "d.csv", index=False)
    raw = study(tmp_path / "d.csv", holdout=0.25, **AS_THEY_ARE).problem
    made = study(tmp_path / "d.csv", holdout=0.25, standardize=True, standardize_targets=True).problem
    for kept, tested, scaled_kept, scaled_tested in (
        (raw.inputs, raw.holdout_inputs, made.inputs, made.holdout_inputs),
        (raw.targets, raw.holdout_targets, made.targets, made.holdout_targets),
    ):
        for row in range(len(kept)):
            mean, deviation = np.mean(kept[row].numpy()), np.std(kept[row].numpy())
            for plain, scaled in ((kept, scaled_kept), (tested, scaled_tested)):
                np.testing.assert_allclose(scaled[row], (plain[row].numpy() - mean) / deviation, rtol=1e-12, atol=1e-14)
    assert made.units is not None
    assert made.units.tolist() == pytest.approx([np.std(raw.targets[0].numpy())], rel=1e-14)
    assert raw.units is None


def test_original_losses_are_those_of_the_answers_in_the_units_of_the_file(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    frame = pd.DataFrame(generator.normal(size=(24, 4)) * [1, 5, 100, 0.01] + 7, columns=["a", "b", "y", "z"])
    frame.to_csv(tmp_path / "d.csv", index=False)
    settings = {"name": "table", "path": str(tmp_path / "d.csv"), "targets": ["y", "z"], "holdout": 0.25}
    made = Study.from_config(
        {
            "problem": settings,
            "network": {"width": 2},
            "objective": {"l2_weights": 0.01},
            "descent": {"steps": 60},
            "restarts": 6,
        }
    )
    raw = Study.from_config({"problem": {**settings, **AS_THEY_ARE}}).problem
    findings = basinet.run(made)
    units = np.std(raw.targets.numpy(), 1)
    means = np.mean(raw.targets.numpy(), 1)
    for theta, row in zip(findings.parameters["final"], findings.restarts.itertuples(), strict=True):
        W1, b1, W2, b2 = theta[:4].reshape(2, 2), theta[4:6], theta[6:10].reshape(2, 2), theta[10:]
        for inputs, targets, found in (
            (made.problem.inputs, raw.targets, row.loss_original),
            (made.problem.holdout_inputs, raw.holdout_targets, row.loss_holdout_original),
        ):
            hidden = 1 / (1 + np.exp(-(W1 @ inputs.numpy() + b1[:, None])))
            answers = means[:, None] + units[:, None] * (W2 @ hidden + b2[:, None])
            assert found == pytest.approx(0.5 * np.mean(((answers - targets.numpy()) ** 2).sum(0)), rel=1e-9)
    ends = findings.minima.set_index("restart")["loss_original"]
    assert ends.tolist() == findings.restarts["loss_original"][ends.index].tolist()


def test_losses_in_other_units_stand_only_where_targets_were_standardized(tmp_path: Path) -> None:
    path = written(tmp_path, "x,y\n1,a\n2,b\n4,a\n")
    findings = basinet.run(
        Study.from_config(
            {
                "problem": {"name": "table", "path": str(path), "targets": "y"},
                "descent": {"steps": 2},
                "restarts": 2,
            }
        )
    )
    assert not any("original" in name for name in (*findings.restarts, *findings.minima))
    assert "accuracy" in findings.restarts


def test_the_rate_of_gradient_descent_suits_the_problem_unless_it_is_given(tmp_path: Path) -> None:
    path = written(tmp_path, "x,y\n1,2.5\n2,3.5\n4,3\n")
    table = {"name": "table", "path": str(path), "targets": "y"}
    rates = [
        Study.from_config({"problem": problem, "descent": descent}).settings["descent"]["learning_rate"]
        for problem in (table, "xor")
        for descent in ({}, {"learning_rate": 3}, {"name": "adam"})
    ]
    assert rates == [0.1, 3.0, 0.01, 1.0, 3.0, 0.01]
    assert all(type(rate) is float for rate in rates)


@pytest.mark.parametrize(
    ("output", "asked", "standardized"),
    [
        (None, None, True),
        ("identity", None, True),
        ("logistic", None, False),
        ("logistic", True, True),
        (None, False, False),
    ],
)
def test_targets_stay_within_what_an_output_reaches_unless_it_is_asked_for(
    tmp_path: Path, output: str | None, asked: bool | None, standardized: bool
) -> None:
    path = written(tmp_path, "x,y\n1,25\n2,75\n4,50\n")
    problem = {"name": "table", "path": str(path), "targets": "y", "standardize_targets": asked}
    made = Study.from_config({"problem": problem, "network": {"output": output}})
    assert (made.problem.targets.min() < 0) == standardized


@pytest.mark.parametrize(
    ("cells", "standardized"),
    [([1, 3, 10], False), ([1, 3, 11], True), ([-11, 3, 2], True), ([0.0, 0.2, 0.3], False), ([0.0, 0.02, 0.03], True)],
)
def test_scales_that_are_near_one_are_left_as_they_are(tmp_path: Path, cells: list[float], standardized: bool) -> None:
    made = study(written(tmp_path, "x,y\n" + "".join(f"{cell},{cell}\n" for cell in cells)))
    for rows in (made.problem.inputs, made.problem.targets):
        assert (rows[0].tolist() != cells) == standardized
        assert (abs(float(rows.mean())) < 1e-12) == standardized
    assert len(made.remarks) == 2 * standardized


@pytest.mark.slow
@pytest.mark.parametrize("penalty", [0.0, 1e-3])
@pytest.mark.parametrize("activation", ["logistic", "tanh"])
@pytest.mark.parametrize("name", ["diabetes", "diabetes as measured", "wine"])
def test_defaults_train_on_ordinary_tables(tmp_path: Path, name: str, activation: str, penalty: float) -> None:
    """Without standardizing, with a rate of 1, 8.5 to 100 % of these restarts diverged."""
    if name == "wine":
        load_wine(as_frame=True).frame.rename(columns={"target": "y"}).to_csv(tmp_path / "d.csv", index=False)
    else:
        frame = load_diabetes(as_frame=True, scaled=name == "diabetes").frame.rename(columns={"target": "y"})
        frame.head(200)[["age", "bmi", "bp", "s1", "s2", "y"]].to_csv(tmp_path / "d.csv", index=False)
    made = Study.from_config(
        {
            "problem": {"name": "table", "path": str(tmp_path / "d.csv"), "targets": "y"},
            "network": {"activation": activation},
            "objective": {"l2_weights": penalty, "l2_biases": penalty},
            "descent": {"steps": 2000},
            "polish": "none",
            "restarts": 100,
        }
    )
    restarts = basinet.run(made).restarts
    assert (restarts["status"] != "diverged").all()
    if name == "wine":
        assert (restarts["accuracy"] > 0.95).all()
    else:  # ½ is what the mean of the targets reaches; a linear fit of these five columns has 0.34
        assert restarts["loss"].max() < 0.4
