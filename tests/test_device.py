"""Nothing forgets the device: checked without a GPU by fake CUDA tensors and by a default device that holds no data."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import basinet
from basinet.descents import Adam, Budget, GradientDescent, Momentum, Nesterov, Sgd
from basinet.engines import TorchEngine
from basinet.foundation.outcomes import Status
from basinet.mlp.activations import ACTIVATIONS
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import Memory, State
from basinet.stages.solution import fold
from basinet.study.study import Study
from slowness import slow_but

BUDGET = Budget(0.1, 25, "cosine", 1e-3, 3)
DESCENTS = {
    "gradient_descent": GradientDescent(BUDGET),
    "momentum": Momentum(BUDGET, 0.9),
    "nesterov": Nesterov(BUDGET, 0.9),
    "adam": Adam(BUDGET, 0.9, 0.999, 1e-8),
    "sgd": Sgd(BUDGET, batch_size=2),
}


@dataclass(frozen=True)
class SgdOnCuda:
    """`Sgd` with its minibatches on `cuda` already: a build without CUDA cannot even pretend to move them there."""

    sgd: Sgd
    budget: Budget = BUDGET

    def init(self, theta: torch.Tensor) -> Memory:
        return self.sgd.init(theta)

    def step(
        self, theta: torch.Tensor, gradient: torch.Tensor, memory: Memory, step: int
    ) -> tuple[torch.Tensor, Memory]:
        return self.sgd.step(theta, gradient, memory, step)

    def batch(self, step: int, samples: int) -> torch.Tensor | None:
        order = self.sgd.batch(step, samples)
        return order if order is None else torch.zeros(len(order), dtype=torch.int64, device="cuda")


@pytest.fixture
def fake_cuda() -> Iterator[None]:
    """Tensors on `cuda` that have a shape, a type and a device, and no data; mixing devices raises."""
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


def cuda_risk(network: Network, dtype: torch.dtype, loss: str = "squared", targets: str = "cuda") -> EmpiricalRisk:
    x = torch.ones(network.widths[0], 5, dtype=dtype, device="cuda")
    y = torch.ones(network.widths[-1], 5, dtype=dtype, device=targets)
    return EmpiricalRisk(network, x, y, loss, l2_weights=0.1, l2_biases=0.2)


def cuda_state(risk: EmpiricalRisk, descent: Any, restarts: int) -> State:
    theta = torch.ones(restarts, risk.size, dtype=risk.inputs.dtype, device="cuda")
    status = torch.full((restarts,), int(Status.RUNNING), dtype=torch.int8, device="cuda")
    steps = torch.zeros(restarts, dtype=torch.int64, device="cuda")
    return State(theta, descent.init(theta), 0, status, steps, theta.new_zeros(restarts), theta.new_zeros(restarts))


CASES = [(name, "squared", "gradient_descent") for name in ACTIVATIONS]
CASES += [("tanh", "cross_entropy", "gradient_descent")]
CASES += [("tanh", "squared", name) for name in DESCENTS if name != "gradient_descent"]


@pytest.mark.usefixtures("fake_cuda")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("widths", [(2, 3, 3, 2), (3, 7, 2)], ids=["lanes", "products"])
@pytest.mark.parametrize(("activation", "loss", "name"), slow_but([CASES[0], *CASES[-4:]], CASES))
def test_a_segment_on_cuda_stays_on_cuda(
    activation: str, loss: str, name: str, widths: tuple[int, ...], dtype: torch.dtype
) -> None:
    descent = SgdOnCuda(DESCENTS[name]) if name == "sgd" else DESCENTS[name]
    risk = cuda_risk(Network(widths, activation, activation), dtype, loss)
    state = cuda_state(risk, descent, 70)
    for until in (0, 12, 25):
        state = TorchEngine(threads=2).segment(risk, descent, state, until)
        assert {part.device.type for part in state.tensors()} == {"cuda"}
        assert state.theta.dtype == state.loss.dtype == dtype
        assert state.theta.shape == (70, risk.size)
    part = state.rows(torch.tensor([3, 5], device="cuda"))
    back = state.scatter(torch.tensor([3, 5], device="cuda"), TorchEngine().segment(risk, descent, part, 25))
    assert {tensor.device.type for tensor in back.tensors()} == {"cuda"}


@pytest.mark.usefixtures("fake_cuda")
@pytest.mark.parametrize("widths", [(2, 3, 2), (3, 7, 2)], ids=["lanes", "products"])
def test_a_chunk_on_cuda_stays_on_cuda(widths: tuple[int, ...]) -> None:
    risk = cuda_risk(Network(widths), torch.float64)
    theta = torch.ones(70, risk.size, dtype=torch.float64, device="cuda")
    chunk = risk.chunk(70)
    packed = chunk.pack(theta)
    seen = [packed, chunk.unpack(packed), chunk.gradient(packed), *chunk.loss_and_gradient(packed)]
    seen += [chunk.batch(torch.tensor([1, 4], device="cuda")).gradient(packed)]
    seen += [*risk.loss_and_gradient(theta), risk.outputs(theta)]
    assert {part.device.type for part in seen} == {"cuda"}


@pytest.mark.usefixtures("fake_cuda")
def test_a_solution_leaves_cuda_and_its_curves_are_kept_on_the_cpu() -> None:
    risk, descent = cuda_risk(Network((2, 3, 2)), torch.float64), DESCENTS["adam"]
    states = [TorchEngine().segment(risk, descent, cuda_state(risk, descent, 70), until) for until in (0, 25)]
    solution = fold(states, replace(descent, budget=replace(descent.budget, steps=25, records=1)), risk.samples)
    assert solution.theta.device.type == "cuda"
    assert solution.trajectory.loss.device.type == "cpu"
    on_cpu = solution.cpu()
    assert {getattr(on_cpu, name).device.type for name in ("theta", "loss", "gradient_norm", "steps", "status")} == {
        "cpu"
    }
    accuracy = replace(risk, classes=True).accuracy(solution.theta)
    assert accuracy is not None
    assert accuracy.device.type == "cuda"


@pytest.mark.usefixtures("fake_cuda")
@pytest.mark.parametrize("widths", [(2, 3, 2), (3, 7, 2)], ids=["lanes", "products"])
def test_fake_cuda_notices_a_tensor_that_was_left_behind(widths: tuple[int, ...]) -> None:
    risk = cuda_risk(Network(widths), torch.float64, targets="cpu")
    with pytest.raises(RuntimeError, match="device"):
        risk.loss(torch.ones(70, risk.size, dtype=torch.float64, device="cuda"))


@pytest.fixture
def meta_by_default() -> Iterator[None]:
    """Whatever is made without naming a device holds no data: reading it raises."""
    torch.set_default_device("meta")
    try:
        yield
    finally:
        torch.set_default_device(None)


STUDIES: list[dict[str, Any]] = [
    {"problem": {"name": "xor", "holdout": 0.25}, "descent": {"name": "sgd", "batch_size": 2}},
    {"problem": "parity", "network": {"width": 6}, "init": "orthogonal", "descent": "adam"},
    {"problem": "sine", "init": "xavier_uniform", "descent": "momentum", "network": {"activation": "tanh"}},
    {"problem": {"name": "teacher", "outputs": 2}, "init": "lecun_normal", "descent": "nesterov"},
    {
        "problem": {"name": "digits", "points": 20, "holdout": 0.5},
        "objective": {"loss": "cross_entropy", "l2_weights": 1e-3},
        "init": "kaiming_normal",
        "network": {"activation": "relu"},
        "dtype": "float32",
    },
    {"problem": "neuron", "network": {"depth": 1, "bias": False}, "init": "uniform"},
    {"problem": "chain", "network": {"depth": 4, "activation": "softplus"}, "init": "constant"},
]


def complete(config: dict[str, Any]) -> dict[str, Any]:
    descent = config.get("descent", {})
    descent = {"name": descent} if isinstance(descent, str) else descent
    return {**config, "descent": {**descent, "steps": 12, "learning_rate": 0.05}, "restarts": 5, "device": "cpu"}


@pytest.mark.usefixtures("meta_by_default")
@pytest.mark.parametrize(
    "config",
    [STUDIES[0], *(pytest.param(config, marks=pytest.mark.slow) for config in STUDIES[1:])],
    ids=lambda config: str(config["problem"]),
)
def test_a_whole_study_names_its_device_everywhere(config: dict[str, Any]) -> None:
    findings = basinet.run(Study.from_config(complete(config)))
    assert len(findings.restarts) == 5
    assert np.isfinite(findings.restarts["loss"]).all()
    assert np.isfinite(findings.parameters["final"]).all()


@pytest.mark.usefixtures("meta_by_default")
def test_files_are_read_to_the_cpu(tmp_path: Path) -> None:
    np.savez(tmp_path / "starts.npz", np.ones((5, 5)))
    pd.DataFrame({"a": [1.0, 2, 4], "b": [0, 1, 0], "y": [1, 2, 3]}).to_csv(tmp_path / "d.csv", index=False)
    config: dict[str, Any] = {
        "problem": {"name": "table", "path": str(tmp_path / "d.csv"), "targets": ["y"]},
        "network": {"width": 1},
        "init": {"name": "given", "path": str(tmp_path / "starts.npz")},
    }
    assert np.isfinite(basinet.run(Study.from_config(complete(config))).restarts["loss"]).all()


@pytest.mark.usefixtures("meta_by_default")
def test_the_textbook_function_works_on_the_cpu() -> None:
    loss, dW, _ = basinet.forward_backward(np.array([1.0]), np.array([0.0]), [np.zeros((1, 1))], [np.zeros(1)])
    assert (loss, dW[0].tolist()) == (0.125, [[0.125]])


@pytest.mark.usefixtures("meta_by_default")
def test_the_default_device_notices_who_forgets_it() -> None:
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        torch.zeros(3).cpu()


def test_a_study_needs_neither_mlflow_nor_hydra_nor_matplotlib() -> None:
    code = (
        "import sys, basinet\n"
        "basinet.run(basinet.Study.from_config({'restarts': 3, 'descent': {'steps': 5}}))\n"
        "print(sorted({'mlflow', 'hydra', 'matplotlib', 'rich'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


needs_cuda = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device here"),
]


class TestOnAGraphicsCard:
    pytestmark = needs_cuda

    @pytest.mark.parametrize("hidden", [2, 16])
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("name", list(DESCENTS))
    def test_ten_steps_are_those_of_the_cpu_to_rounding(self, name: str, dtype: str, hidden: int) -> None:
        ends = []
        for device in ("cpu", "cuda"):
            config = {
                "network": {"width": hidden, "activation": "tanh"},
                "descent": {"name": name, "steps": 10, "learning_rate": 0.1},
                "restarts": 300,
                "dtype": dtype,
                "polish": "none",
                "device": device,
            }
            ends.append(basinet.run(Study.from_config(config)))
        # Ten steps of some roundings each; Adam divides by √v and so amplifies them where the gradient is tiny.
        tolerance = {"float64": 1e-10, "float32": 1e-2 if name == "adam" else 1e-4}[dtype]
        np.testing.assert_allclose(*(found.parameters["final"] for found in ends), rtol=0, atol=tolerance)
        np.testing.assert_array_equal(*(found.parameters["initial"] for found in ends))

    def test_every_activation_and_loss_has_the_gradient_of_the_cpu(self) -> None:
        generator = torch.Generator().manual_seed(0)
        for name in ACTIVATIONS:
            for widths in ((2, 3, 2), (3, 9, 4)):
                for loss in ("squared", "cross_entropy"):
                    network = Network(widths, name, name)
                    x = torch.randn(widths[0], 7, generator=generator, dtype=torch.float64)
                    y = torch.softmax(torch.randn(widths[-1], 7, generator=generator, dtype=torch.float64), 0)
                    theta = torch.randn(100, network.size, generator=generator, dtype=torch.float64)
                    expected = EmpiricalRisk(network, x, y, loss, 0.1).loss_and_gradient(theta)
                    risk = EmpiricalRisk(network, x.cuda(), y.cuda(), loss, 0.1)
                    for one, other in zip(risk.loss_and_gradient(theta.cuda()), expected, strict=True):
                        # Sums in another order, other implementations of exp: some roundings of size 1 to 100.
                        torch.testing.assert_close(one.cpu(), other, rtol=1e-11, atol=1e-11)

    def test_restarts_arrive_and_diverge_there_too(self) -> None:
        config = {
            "problem": {"name": "chain", "inputs": [1.0], "targets": [1.0]},
            "network": {"depth": 3, "bias": False, "activation": "identity", "output": "identity"},
            "init": {"name": "normal", "std": 3.0},
            "descent": {"learning_rate": 0.1, "steps": 2000},
            "restarts": 500,
            "polish": "none",
            "device": "cuda",
        }
        table = basinet.run(Study.from_config(config)).restarts
        assert {"arrived", "diverged"} <= set(table["status"])
        assert np.isfinite(table.loc[table["status"] == "arrived", "loss"]).all()
        assert (table.loc[table["status"] == "arrived", "gradient_norm"] <= 1e-8).all()
