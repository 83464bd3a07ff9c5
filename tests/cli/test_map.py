"""`basinet-map`: what is wrong with a command is one line, and a map is the one that was computed densely."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import basinet
from basinet import Findings, Study
from basinet.cli.map import main
from basinet.foundation.errors import ConfigError
from basinet.mlp.names import written
from basinet.reporting.basins import Extent, map_of, names_of, over_axes, through_minima
from basinet.workflows.basin_map import Place, check_folder, write_map
from two_valleys import BORDER, NEURON

COARSE = Extent(x=(-8.0, 18.0), y=(-8.0, 18.0), resolution=41, flows=6, times=20)


@pytest.fixture(scope="module")
def neuron() -> Findings:
    return basinet.run(Study.from_config({**NEURON, "restarts": 40}))


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("run --x a,1", "--x a,1: must be numbers with commas between them, such as -5,5"),
        ("run --x -1,1,2", "--x -1,1,2: must be two numbers, such as --x -5,5"),
        ("run --x 5,1", "x=(5.0, 1.0): must be two finite numbers, the lower one first"),
        ("run --minima 0,1", "minima=0,1: a plane goes through three"),
        ("run --minima 0,1,2 --axes w1", "leave --axes and --through out"),
        ("run --minima 0,b,2", "--minima 0,b,2: must be numbers"),
        ("run --resolution 3", "resolution=3: must be between 8 and 4,000 pixels"),
        ("run --output .", "holds something.txt, which is no part of a map; name another folder"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_leaves_nothing(
    line: str, fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "something.txt").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["basinet-map", *line.split()])
    with pytest.raises(SystemExit) as end:
        main()
    assert isinstance(end.value.code, str)
    assert fault in end.value.code
    assert "\n" not in end.value.code
    assert [path.name for path in tmp_path.iterdir()] == ["something.txt"]


def test_the_map_of_the_neuron_has_the_colours_of_load_minima_and_its_borders(neuron: Findings) -> None:
    """Each weight ends in the valley that it starts in, so that a minimum's weights say what its quarter is."""
    tables = {"restarts": neuron.restarts, "minima": neuron.minima}
    found = map_of(neuron.study, tables, neuron.parameters, extent=COARSE)
    assert found.names == ("w₁", "w₂")
    ends = np.stack(neuron.minima.set_index("minimum").loc[found.pixels["minimum"], "parameters"].to_list())
    np.testing.assert_array_equal(ends > BORDER, found.pixels[["x", "y"]].to_numpy() > BORDER)
    assert found.pixels["followed"].mean() < 0.6
    first = found.paths.groupby("start").first()
    begun = neuron.parameters["initial"][first["restart"].to_numpy()]
    np.testing.assert_allclose(first[["x", "y"]].to_numpy(), begun)
    np.testing.assert_array_equal(first["minimum"], neuron.restarts["minimum"].to_numpy()[first["restart"].to_numpy()])


def test_a_map_is_a_figure_and_tables_and_replaces_no_other_folder(neuron: Findings, tmp_path: Path) -> None:
    tables = {"restarts": neuron.restarts, "minima": neuron.minima}
    line = over_axes(neuron.study, ["w2"], np.array(neuron.minima["parameters"].iloc[0]))
    found = map_of(neuron.study, tables, neuron.parameters, line, Extent(resolution=20, flows=3, times=5))
    assert set(found.pixels["minimum"]) == {0, int(found.pixels["minimum"].iloc[-1])}
    for _ in range(2):  # an earlier map is replaced
        paths = write_map(found, "a title", tmp_path / "map", animation=False)
    names = ["basins.png", "basins.svg", "minima.csv", "minima.parquet", "paths.parquet", "pixels.parquet"]
    assert [path.name for path in paths] == names
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "map" / "pixels.parquet"), found.pixels)
    assert [path.name for path in tmp_path.iterdir()] == ["map"]
    (tmp_path / "map" / "mine.txt").touch()
    with pytest.raises(ConfigError, match=r"holds mine\.txt, which is no part of a map"):
        check_folder(tmp_path / "map")


@pytest.mark.slow
def test_an_animation_has_a_frame_for_each_time(neuron: Findings, tmp_path: Path) -> None:
    from PIL import Image

    tables = {"restarts": neuron.restarts, "minima": neuron.minima}
    found = map_of(neuron.study, tables, neuron.parameters, extent=Extent(resolution=20, flows=3, times=5))
    write_map(found, "a title", tmp_path / "map", animation=True)
    with Image.open(tmp_path / "map" / "descents.gif") as gif:
        assert gif.n_frames >= 5  # equal ones are one


def test_axes_are_named_or_numbered_and_the_plane_goes_through_three_minima(neuron: Findings) -> None:
    point = np.array([1.0, 2.0])
    assert over_axes(neuron.study, ["1", "w1"], point).names == ("w₂", "w₁")
    for axes, fault in ((["w9"], "unknown parameter 'w9'"), (["7"], "there are 2"), (["w1", "0"], "two different")):
        with pytest.raises(ConfigError, match=fault):
            over_axes(neuron.study, axes, point)
    section = through_minima(neuron.restarts, neuron.parameters, [0, 1, 2])
    np.testing.assert_allclose(section.plane.project(section.through)[1], 0.0, atol=1e-9)
    xor = Study.from_config({"problem": "xor", "network": {"width": 2}})
    assert [written(name) for name in names_of(xor)[3:6]] == ["W₀[1,1]", "b₀[0]", "b₀[1]"]
    camel = Study.from_config({"objective": {"name": "test_function", "function": "camel"}, "init": "uniform"})
    assert names_of(camel) == ["theta1", "theta2"]


def test_a_plane_through_minima_has_no_other_axes() -> None:
    with pytest.raises(ConfigError, match="leave --axes and --through out"):
        Place(through=1, minima=[0, 1, 2])
