"""Executors that cannot be opened say why in one line, and what would help."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml

from basinet.executors import EXECUTORS, ExecutorGone
from basinet.executors import dask as dask_executor
from basinet.foundation.errors import ConfigError
from basinet.study.defaults import conf_directory
from basinet.study.resolve import filled

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="needs the extra: pip install 'basinet[dask]'"
)


def executor(name: str, **changes: Any) -> Any:
    """With the settings of its YAML, and some changed."""
    settings = yaml.safe_load((conf_directory() / "executor" / f"{name}.yaml").read_text(encoding="utf-8"))
    return filled(EXECUTORS, {"executor": {**settings, **changes}}, "executor")


def refusal(name: str, **changes: Any) -> str:
    """What is said of an executor that does not open."""
    with pytest.raises(ConfigError) as raised, executor(name, **changes).open():
        pass
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_here_nobody_else_computes() -> None:
    with executor("local").open() as crew:
        assert crew is None


@pytest.mark.parametrize(("name", "package"), [("dask", "distributed"), ("ray", "ray")])
def test_without_its_package_an_executor_says_what_to_install(
    name: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    assert f"pip install 'basinet[{name}]'" in refusal(name)


def test_a_job_queue_needs_the_program_that_submits_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    assert "executor.jobqueue=slurm: there is no sbatch here" in refusal("dask", jobqueue="slurm")


@needs_dask
@pytest.mark.filterwarnings("ignore")  # of what Dask leaves behind when nobody answers
def test_an_address_at_which_nobody_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_executor, "_PATIENCE", 0.2)
    told = refusal("dask", address="tcp://127.0.0.1:1")
    assert told.startswith("executor.address=tcp://127.0.0.1:1: no scheduler of Dask answers there")


def test_a_cluster_of_ray_that_does_not_answer_is_named_without_waiting_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))  # which is not asked
    told = refusal("ray", address="ray://127.0.0.1:1")
    assert told.startswith("executor.address=ray://127.0.0.1:1: no cluster of Ray answers there (")
    assert "refused" in told
    assert told.endswith("start one with ray start --head")


@pytest.mark.parametrize(("dead", "joins"), [(0, True), (2, True), (3, False)])
def test_a_client_of_ray_whose_process_there_dies_at_its_start_asks_for_another(
    dead: int, joins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def init(address: str, **_: Any) -> SimpleNamespace:
        asked.append(address)
        if len(asked) <= dead:
            raise ConnectionAbortedError("Initialization failure from server")
        return SimpleNamespace(disconnect=lambda: asked.append("left"))

    with socket.create_server(("127.0.0.1", 0)) as head:
        address = f"ray://127.0.0.1:{head.getsockname()[1]}"
        monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(init=init, remote=lambda call: call))
        if joins:
            with executor("ray", address=address).open():
                pass
            assert asked == [address] * (dead + 1) + ["left"]
        else:
            assert "Initialization failure" in refusal("ray", address=address)
            assert asked == [address] * dead


@needs_dask
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of what Dask leaves behind in this process
def test_processes_of_this_machine_make_calls_and_are_gone_afterwards() -> None:
    with executor("dask", workers=1).open() as crew:
        made = crew.submit(abs, -3).result(60)
        assert made.value == 3
        assert made.by.startswith("tcp://127.0.0.1:")
        assert crew.count() == 1
        with pytest.raises(ConfigError, match="none of the workers is left"):
            crew.submit(abs, -3, avoid=frozenset({made.by}))
    with pytest.raises(ExecutorGone, match="the scheduler is gone"):
        crew.check()
