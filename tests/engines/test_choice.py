"""Which engine the setting `engine` means, where there is a compiler and where there is none."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import basinet
from basinet import Study
from basinet.descents import Budget, GradientDescent
from basinet.engines import NativeEngine, TorchEngine, check_engine, choose_engine
from basinet.foundation.errors import ConfigError
from basinet.mlp.activations import ACTIVATIONS, Activation
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.objectives.losses import LOSSES

Command = Callable[[str], Any]
REMEDY = "install g++ or clang++, or name a C++17 compiler in the environment variable CXX"
DESCENT = GradientDescent(Budget(0.1, 10, "constant", 0.0, 2))


class _MyDescent(GradientDescent):
    """No kernel is made for this one."""


def risk() -> EmpiricalRisk:
    one = torch.ones(1, 1, dtype=torch.float64)
    return EmpiricalRisk(Network((1, 2, 1), "identity", "identity"), one, one)


def test_auto_is_the_native_engine_where_it_applies_and_torch_where_it_does_not() -> None:
    elsewhere = risk().to(torch.device("meta"), torch.float64)
    assert choose_engine("auto", 3, risk(), DESCENT) == NativeEngine(3)
    assert choose_engine("auto", 3, risk(), _MyDescent(DESCENT.budget)) == TorchEngine(3)
    assert choose_engine("auto", 3, elsewhere, DESCENT) == TorchEngine(3)


def test_an_engine_that_is_asked_for_is_taken() -> None:
    assert choose_engine("torch", 3, risk(), DESCENT) == TorchEngine(3)
    assert choose_engine("native", 3, risk(), DESCENT) == NativeEngine(3)
    assert (TorchEngine().name, NativeEngine().name) == ("torch", "native")


def test_an_engine_that_is_none_or_cannot_do_it_is_refused() -> None:
    for ask in (check_engine, lambda *arguments: choose_engine(arguments[0], 1, *arguments[1:])):
        with pytest.raises(ConfigError, match=r"^unknown engine 'troch': did you mean 'torch'\?$"):
            ask("troch", risk(), DESCENT)
        with pytest.raises(ConfigError, match=r"^engine=native: the native engine has no kernel for _MyDescent$"):
            ask("native", risk(), _MyDescent(DESCENT.budget))


def test_an_activation_without_a_kernel_is_run_by_torch_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """σ(z) = z³, added at run time."""
    cube = Activation("cube", "z", lambda z: z * z * z, lambda z: 3 * z * z, lambda z: 6 * z)
    monkeypatch.setitem(ACTIVATIONS, "cube", cube)
    one = torch.ones(1, 1, dtype=torch.float64)
    for network, what in ((("cube", "identity"), "activation"), (("identity", "cube"), "output")):
        cubed = EmpiricalRisk(Network((1, 2, 1), *network), one, one)
        with pytest.raises(ConfigError, match=rf"^engine=native: the native engine has no kernel for the {what} cube$"):
            check_engine("native", cubed, DESCENT)
        assert choose_engine("auto", 1, cubed, DESCENT) == TorchEngine(1)


def test_a_loss_without_a_kernel_is_run_by_torch_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOSSES, "other", replace(LOSSES["squared"], name="other"))
    one = torch.ones(1, 1, dtype=torch.float64)
    other = EmpiricalRisk(Network((1, 2, 1)), one, one, "other")
    with pytest.raises(ConfigError, match=r"^engine=native: the native engine has no kernel for the loss other$"):
        check_engine("native", other, DESCENT)
    assert choose_engine("auto", 1, other, DESCENT) == TorchEngine(1)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("/nonexistent", f"no C++ compiler (CXX=/nonexistent): {REMEDY}"),
        ("false", f"no C++ compiler (CXX=false): {REMEDY}"),
        ("true", f"true made no library: {REMEDY}"),
        ("echo 'error: odd' >&2; exit 1", f"failing failed with exit code 1 (error: odd): {REMEDY}"),
        ("kill -9 $$", f"failing failed with exit code -9 (it said nothing): {REMEDY}"),
    ],
)
def test_without_a_compiler_auto_goes_on_with_torch_and_says_so_and_native_is_an_error(
    failing: Callable[[str], None], caplog: pytest.LogCaptureFixture, program: str, said: str
) -> None:
    failing(program)
    with caplog.at_level(logging.WARNING):
        assert choose_engine("auto", 2, risk(), DESCENT) == TorchEngine(2)
    (message,) = caplog.messages
    assert message.startswith("engine: torch; ")
    assert message.endswith(said)
    with pytest.raises(ConfigError, match=r"^engine=native: ") as error:
        choose_engine("native", 2, risk(), DESCENT)
    assert str(error.value).endswith(said)


@pytest.mark.slow
def test_a_study_without_a_compiler_has_the_same_results_to_rounding(failing: Callable[[str], None]) -> None:
    config = {"problem": "xor", "descent": {"steps": 200}, "objective": {"l2_weights": 1e-2}, "restarts": 20}
    native = basinet.run(Study.from_config({**config, "engine": "native"}))
    failing("false")
    torch_ = basinet.run(Study.from_config(config))
    assert set(native.restarts["engine"]) == {"native"}
    assert set(torch_.restarts["engine"]) == {"torch"}
    # 200 steps of rounding.
    np.testing.assert_allclose(native.restarts["loss"], torch_.restarts["loss"], rtol=1e-12)


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("/nonexistent", "no C++ compiler (CXX=/nonexistent)"),
        ("echo 'error: odd' >&2; exit 1", "failing failed with exit code 1 (error: odd)"),
    ],
)
def test_the_command_line_refuses_the_native_engine_without_a_compiler_and_creates_nothing(
    failing: Callable[[str], None], command: Command, fresh: Path, tmp_path: Path, program: str, said: str
) -> None:
    failing(program)
    answer = command("engine=native restarts=5 descent.steps=5")
    assert answer.code == 1
    assert answer.out == ""
    assert answer.err.startswith("basinet: engine=native: ")
    assert answer.err.endswith(f"{said}: {REMEDY}\n")
    assert answer.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_line_goes_on_without_a_compiler_and_says_so_once(
    failing: Callable[[str], None], sweeps: Command
) -> None:
    failing("false")
    answer = sweeps("-m init=normal,uniform restarts=5 descent.steps=5 tracking.figures=none")
    assert answer.code == 0
    assert answer.err.count("engine: torch; ") == 1
    assert f"no C++ compiler (CXX=false): {REMEDY}" in answer.err
    assert set(basinet.load_restarts("basinet")["engine"]) == {"torch"}


def test_the_command_line_ends_with_one_line_where_the_compiler_fails(
    failing: Callable[[str], None], sweeps: Command
) -> None:
    failing("true")
    answer = sweeps("engine=native restarts=5 descent.steps=5")
    assert answer.code == 1
    assert f"engine=native: true made no library: {REMEDY}" in answer.err
    assert "Traceback" not in answer.err
