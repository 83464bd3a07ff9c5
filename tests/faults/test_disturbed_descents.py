"""Ctrl-C, SIGKILL, and the same command again: population losses, the gradient flow, a line search."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import basinet

BLOCKS = 4
TEACHER = "problem=gaussian_teacher objective=population problem.dimension=4 problem.units=4 network.activation=relu"
SINE = "problem=sine network.width=2 objective.l2_weights=1e-3 objective.l2_biases=1e-3"
LINES = {
    "population": f"{TEACHER} init=lecun_normal descent.learning_rate=0.1 descent.steps=2000",
    "flow": f"{SINE} descent=gradient_flow",
    "lbfgs": f"{SINE} descent=lbfgs descent.steps=3000",
}


@pytest.mark.stress
@pytest.mark.parametrize("name", LINES)
def test_a_condition_that_is_interrupted_and_killed_ends_as_if_it_had_not_been(
    name: str, launch: Any, furnish: Any, left: Any, sweep: Any, tmp_path: Path
) -> None:
    """To the bit: what stands in the store is what `basinet.run` makes of the same settings at one go."""
    line, place = f"{LINES[name]} restarts={BLOCKS * sweep.block} engine=torch tracking.figures=none", furnish(tmp_path)
    for number in (signal.SIGINT, signal.SIGKILL):
        launched = launch(place, line)
        launched.wait_until_it_works()
        launched.wait_for_blocks(1)  # the first of what is left, so that there is something to lose
        launched.signal_group(number)
        code, err = launched.end()
        assert code == (130 if number is signal.SIGINT else -number), err
    launched = launch(place, line)
    code, err = launched.end()
    assert code == 0, err
    assert BLOCKS <= len(launched.blocks()) <= BLOCKS + 2  # of each interruption the block it was at
    left(place).assert_complete(1)
    results = basinet.open("basinet", left(place).uri)
    alone = basinet.run(results.study())
    for key, numbers in alone.parameters.items():
        assert numbers.tobytes() == results.parameters()[key].tobytes(), key
    restarts = results.restarts
    for column in ("loss", "gradients", "steps", "minimum"):
        assert np.array_equal(restarts[column], alone.restarts[column]), column
    last = len(restarts) - 1
    again = basinet.replay(restarts["run_id"].iloc[last], last, tracking_uri=left(place).uri)
    assert again.identical
