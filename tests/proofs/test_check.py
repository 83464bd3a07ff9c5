"""The checker finds what is right to be right, and everything that was tampered with."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("flint")

import basinet.proofs.check as module
from basinet.proofs.check import check
from basinet.proofs.document import document
from basinet.proofs.statement import digest
from basinet.proofs.theorem import Point, verdicts

Content = dict[str, Any]


def wrong(content: Content) -> list[str]:
    return check(json.dumps(content))[1]


def test_the_nine_minima_and_eight_saddles_of_penalised_xor_hold(xor_text: str) -> None:
    assert check(xor_text) == ({"minimum": 9, "saddle": 8}, [])


def test_all_minima_of_a_neuron_on_three_axes_hold(neuron: Callable[..., Any]) -> None:
    statement, minima = neuron(3)
    found = verdicts(statement, [Point(number, "minimum", theta) for number, theta in enumerate(minima)])
    assert check(document(statement, found, {})) == ({"minimum": 8, "saddle": 0}, [])


def test_a_saddle_passed_off_as_a_minimum_is_caught(xor_proofs: Content) -> None:
    saddle = next(point for point in xor_proofs["points"] if point["kind"] == "saddle")
    saddle.update(kind="minimum", id=99)
    assert wrong(xor_proofs) == ["minimum 99: its index is 1"]
    saddle.update(index=0)
    assert wrong(xor_proofs) == ["minimum 99: its index is 1"]


@pytest.mark.parametrize("coordinate", range(5))
def test_a_centre_that_is_moved_by_a_thousandth_is_caught(xor_proofs: Content, coordinate: int) -> None:
    centre = xor_proofs["points"][1]["centre"]
    centre[coordinate] = (float.fromhex(centre[coordinate]) + 1e-3).hex()
    assert wrong(xor_proofs) == ["minimum 2: the box is not mapped into itself"]


@pytest.mark.parametrize("radius", [0.5, 1.0, 10.0, 1e300, float("inf"), float("nan"), 0.0, -1e-9])
def test_a_radius_for_which_there_is_no_proof_is_caught(xor_proofs: Content, radius: float) -> None:
    xor_proofs["points"][1]["radius"] = radius.hex()
    (line,) = wrong(xor_proofs)
    assert line.startswith("minimum 2: ")


def test_two_copies_of_one_minimum_that_are_claimed_as_two_are_caught(xor_proofs: Content) -> None:
    xor_proofs["points"].append({**xor_proofs["points"][3], "id": 9})
    assert wrong(xor_proofs) == ["minimum 9 may be a copy of minimum 4"]


@pytest.mark.parametrize("key", ["inputs", "targets"])
def test_a_changed_datum_is_caught_even_if_its_digest_is_changed_with_it(xor_proofs: Content, key: str) -> None:
    problem = xor_proofs["problem"]
    problem[key][1][0] = (float.fromhex(problem[key][1][0]) + 1e-3).hex()
    assert wrong(xor_proofs)[0] == "the problem is not the one that the proofs were made for"
    xor_proofs["sha256"] = digest(problem)
    assert "minimum 0: the box is not mapped into itself" in wrong(xor_proofs)


@pytest.mark.parametrize(("key", "value"), [("l2_weights", (2e-3).hex()), ("activation", "tanh"), ("bias", False)])
def test_another_problem_is_caught(xor_proofs: Content, key: str, value: Any) -> None:
    xor_proofs["problem"][key] = value
    xor_proofs["sha256"] = digest(xor_proofs["problem"])
    assert len(wrong(xor_proofs)) == 5


def test_a_parameter_that_is_held_fast_without_a_symmetry_is_caught(xor_proofs: Content) -> None:
    xor_proofs["points"][0]["held"] = [3]
    assert wrong(xor_proofs) == ["minimum 0: not one parameter is held for each symmetry"]


@pytest.mark.parametrize("radius", [3.0, 4.0, 8.0, 16.0])
def test_no_box_that_holds_two_critical_points_is_accepted(neuron: Callable[..., Any], radius: float) -> None:
    """The barrier between the valleys is at 4.1672, 2.89 from the first minimum."""
    statement, minima = neuron(1)
    content = json.loads(document(statement, verdicts(statement, [Point(0, "minimum", minima[0])]), {}))
    content["points"][0]["radius"] = radius.hex()
    (line,) = wrong(content)
    assert line.startswith("minimum 0: ")


@pytest.mark.stress
def test_all_1024_minima_of_a_neuron_on_ten_axes_are_proved_and_hold(neuron: Callable[..., Any]) -> None:
    statement, minima = neuron(10)
    found = verdicts(statement, [Point(number, "minimum", theta) for number, theta in enumerate(minima)])
    assert all(verdict.proved for verdict in found)
    assert check(document(statement, found, {})) == ({"minimum": 1024, "saddle": 0}, [])


def test_the_checker_is_short_and_imports_nothing_but_arithmetic() -> None:
    source = Path(module.__file__).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 200
    nodes = list(ast.walk(ast.parse(source)))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} - sys.stdlib_module_names == {"flint"}
