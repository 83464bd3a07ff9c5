"""Oracles that several test files share, written without a line of the package; and how hypothesis is set up."""

from __future__ import annotations

import itertools
import math
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import torch
from torch import Tensor

from logs import logs_as_they_were

# The same examples every time: a failure in CI is a failure at home. `--hypothesis-profile=default` explores.
hypothesis.settings.register_profile("repeatable", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("repeatable")

Matrix = list[list[float]]


def _logistic(z: float) -> float:
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def _normal_density(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _normal_distribution(z: float) -> float:
    return math.erfc(-z / math.sqrt(2)) / 2


# σ and σ' of one number, from the definitions.
SCALAR_ACTIVATIONS: dict[str, tuple[Callable[[float], float], Callable[[float], float]]] = {
    "logistic": (_logistic, lambda z: _logistic(z) * _logistic(-z)),
    "tanh": (math.tanh, lambda z: 1 / math.cosh(z) ** 2),
    "relu": (lambda z: max(z, 0.0), lambda z: 1.0 if z > 0 else 0.0),
    "softplus": (lambda z: max(z, 0.0) + math.log1p(math.exp(-abs(z))), _logistic),
    "erf": (lambda z: math.erf(z / math.sqrt(2)), lambda z: 2 * _normal_density(z)),
    "gelu": (lambda z: z * _normal_distribution(z), lambda z: _normal_distribution(z) + z * _normal_density(z)),
    "identity": (lambda z: z, lambda z: 1.0),
}


def _scalar_backpropagation(
    x: Matrix, y: Matrix, W: Sequence[Matrix], b: Sequence[list[float]], names: Sequence[str]
) -> tuple[float, list[Matrix], list[list[float]]]:
    """The textbook's recursion, sample by sample and neuron by neuron, on lists of floats.

    `x[feature][sample]`, `y[output][sample]`, `W[l][out][in]`, `b[l][out]`, `names[l]` the activation of layer l;
    returns f = (1/N) Σ ½‖a_L - y‖² and the lists of ∂f/∂W_l and ∂f/∂b_l.
    """
    loss = 0.0
    dW = [[[0.0 for _ in row] for row in weight] for weight in W]
    db = [[0.0 for _ in bias] for bias in b]
    samples = len(x[0])
    for i in range(samples):
        a = [[row[i] for row in x]]  # a[l][unit] is the input of layer l
        z: list[list[float]] = []
        for weight, bias, name in zip(W, b, names, strict=True):
            z.append(
                [sum(w * s for w, s in zip(row, a[-1], strict=True)) + c for row, c in zip(weight, bias, strict=True)]
            )
            a.append([SCALAR_ACTIVATIONS[name][0](value) for value in z[-1]])
        errors = [a[-1][k] - y[k][i] for k in range(len(y))]
        loss += sum(error * error for error in errors) / (2 * samples)
        delta = [error * SCALAR_ACTIVATIONS[names[-1]][1](s) / samples for error, s in zip(errors, z[-1], strict=True)]
        for layer in range(len(W) - 1, -1, -1):
            for k, d in enumerate(delta):
                db[layer][k] += d
                for j, s in enumerate(a[layer]):
                    dW[layer][k][j] += d * s
            if layer > 0:
                slope = SCALAR_ACTIVATIONS[names[layer - 1]][1]
                delta = [
                    sum(W[layer][k][j] * d for k, d in enumerate(delta)) * slope(z[layer - 1][j])
                    for j in range(len(W[layer][0]))
                ]
    return loss, dW, db


AUTOGRAD_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "logistic": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "softplus": lambda z: torch.logaddexp(z, torch.zeros_like(z)),  # torch's own softplus is 2e-9 off beyond 20
    "erf": lambda z: torch.erf(z / math.sqrt(2)),
    "gelu": lambda z: z * (1 + torch.erf(z / math.sqrt(2))) / 2,
    "identity": lambda z: z,
    "softmax": lambda z: torch.log_softmax(z, 0),  # its logarithm
}


def _autograd_risk(
    theta: Tensor,
    widths: Sequence[int],
    names: Sequence[str],
    x: Tensor,
    y: Tensor,
    bias: bool = True,
    penalties: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """f of one network as an expression that autograd can differentiate.

    `theta` is one vector that holds, layer by layer, the weight matrix row by row and then the bias; `names` are the
    activations, the last one `softmax` for cross-entropy instead of the squared loss; `penalties` are the coefficients
    of ½‖W‖² and ½‖b‖².
    """
    a, rest, risk = x, theta, theta.new_zeros(())
    for (fan_in, fan_out), name in zip(itertools.pairwise(widths), names, strict=True):
        weight, rest = rest[: fan_in * fan_out].reshape(fan_out, fan_in), rest[fan_in * fan_out :]
        risk = risk + penalties[0] / 2 * (weight**2).sum()
        a = weight @ a
        if bias:
            c, rest = rest[:fan_out], rest[fan_out:]
            risk = risk + penalties[1] / 2 * (c**2).sum()
            a = a + c[:, None]
        a = AUTOGRAD_ACTIVATIONS[name](a)
    assert len(rest) == 0
    if names[-1] == "softmax":
        return risk - (y * a).sum() / x.shape[1]
    return risk + ((a - y) ** 2).sum() / (2 * x.shape[1])


@pytest.fixture(scope="session")
def scalar_backpropagation() -> Callable[..., tuple[float, list[Matrix], list[list[float]]]]:
    """The textbook's recursion on plain floats, see `_scalar_backpropagation`."""
    return _scalar_backpropagation


@pytest.fixture(scope="session")
def autograd_risk() -> Callable[..., Tensor]:
    """The objective of one network as an autograd expression, see `_autograd_risk`."""
    return _autograd_risk


@dataclass(frozen=True)
class Answer:
    """What a command ended with."""

    code: int
    out: str
    err: str


@pytest.fixture
def same_signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Afterwards signals, and exceptions that Python drops, mean what they meant before."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    handler = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, handler)


@pytest.fixture
def shell(
    same_signals: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[[str], Answer]]:
    """A line as it is typed in a shell, a console script and what stands behind it, run in the empty `tmp_path`.

    In this process, which is quicker than a new one by three seconds a call.
    """

    def call(line: str) -> Answer:
        program, *arguments = shlex.split(line)
        (script,) = entry_points(group="console_scripts", name=program)
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        capsys.readouterr()
        try:
            code = script.load()()
        except SystemExit as end:
            code = end.code
        written = capsys.readouterr()
        if isinstance(code, str):  # what the interpreter would print
            return Answer(1, written.out, f"{written.err}{code}\n")
        return Answer(code or 0, written.out, written.err)

    monkeypatch.chdir(tmp_path)
    with logs_as_they_were():
        yield call


@pytest.fixture
def command(shell: Callable[[str], Answer]) -> Callable[[str], Answer]:
    """`basinet` as a function of what stands behind it on the command line, run in the empty `tmp_path`."""
    return lambda line: shell(f"basinet {line}")


@pytest.fixture
def sweeps(
    command: Callable[[str], Answer], furnish: Callable[[Path], Path], tmp_path: Path
) -> Callable[[str], Answer]:
    """`command`, where a tracking store is there already."""
    furnish(tmp_path)
    return command


@pytest.fixture(scope="session")
def furnish(empty_store: Path) -> Callable[[Path], Path]:
    """Puts an embedded tracking store with nothing in it into a folder, which is made if it is not there."""

    def call(folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        shutil.copy(empty_store, folder / "mlflow.db")
        return folder

    return call


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of an embedded tracking store with nothing in it. Copies of it are quick; making one takes seconds."""
    from basinet.tracking.store import TrackingStore

    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    store = TrackingStore.open(f"sqlite:///{path}")
    store.client.search_experiments()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # so that this one file is all of it
    return path


SWEPT = "-m init=normal,uniform network.depth=1 restarts=30 descent.steps=100 tracking.figures=none"


@pytest.fixture(scope="session")
def swept_once(tmp_path_factory: pytest.TempPathFactory, furnish: Callable[[Path], Path]) -> Path:
    """A folder in which the console script has run the sweep `SWEPT`; to look at only."""
    folder = furnish(tmp_path_factory.mktemp("swept"))
    script = Path(sys.executable).parent / "basinet"
    answer = subprocess.run([script, *SWEPT.split()], cwd=folder, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return folder


@pytest.fixture
def swept(swept_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which the sweep of two conditions `-m init=normal,uniform …` has finished."""
    shutil.copytree(swept_once, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def swept_again(command: Callable[[str], Answer], swept: Path) -> Callable[..., Answer]:
    """The command of the sweep in `swept`, with more settings."""
    return lambda more="": command(f"{SWEPT} {more}")


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> list[range]:
    """The restarts that are computed from now on."""
    from basinet.pipeline import run as pipeline

    ranges: list[range] = []
    solve = pipeline.solve

    def noting(study: Any, restarts: range, *rest: Any) -> Any:
        ranges.append(restarts)
        return solve(study, restarts, *rest)

    monkeypatch.setattr(pipeline, "solve", noting)
    return ranges


@pytest.fixture
def without_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that belongs to no Slurm cluster, whichever this one is."""
    which = shutil.which

    def elsewhere(program: str, *rest: Any, **more: Any) -> str | None:
        return None if program in {"srun", "sbatch"} else which(program, *rest, **more)

    monkeypatch.setattr(shutil, "which", elsewhere)
