"""Gradients in `src` are made by hand: nothing there asks torch for one."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import basinet

SOURCE = Path(basinet.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

FORBIDDEN = {
    "autograd",
    "requires_grad",
    "requires_grad_",
    "retain_grad",
    "retain_graph",
    "grad_fn",
    "enable_grad",
    "set_grad_enabled",
    "functorch",
    "functional_call",
}


def offences(source: str) -> list[str]:
    """Every place at which the source reaches for automatic differentiation, as "line: name".

    A method `.backward` or `.grad` belongs to a tensor; a function of that name, as in `mlp/backprop.py`, does not.
    """
    tree = ast.parse(source)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    found = []
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Attribute):
            torch_func = node.attr == "func" and isinstance(node.value, ast.Name) and node.value.id == "torch"
            names = ["torch.func"] if torch_func else [node.attr]
            names += [f".{node.attr}"] if node.attr in ("backward", "grad") else []
        elif isinstance(node, ast.Name):
            names = [node.id]
        elif isinstance(node, ast.keyword):
            names = [node.arg or ""]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            names = [node.value]  # getattr(torch, "autograd")
        elif isinstance(node, ast.Import):
            names = [part for alias in node.names for part in _module(alias.name)]
        elif isinstance(node, ast.ImportFrom):
            names = _module(node.module or "")
            names += [part for alias in node.names for part in _module(f"{node.module}.{alias.name}")]
        wrong = [name for name in names if name in {*FORBIDDEN, "torch.func", ".backward", ".grad"}]
        found += [f"{getattr(node, 'lineno', 0)}: {name}" for name in dict.fromkeys(wrong)]
    return found


def _module(dotted: str) -> list[str]:
    """`torch.func.vmap` as its parts, with `torch.func` together."""
    parts = dotted.split(".")
    return ["torch.func", *parts] if parts[:2] == ["torch", "func"] else parts


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_no_source_file_differentiates_automatically(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8")) == []


def test_all_of_the_package_is_read() -> None:
    names = {str(path.relative_to(SOURCE)) for path in FILES}
    assert {"mlp/backprop.py", "objectives/empirical_risk.py", "engines/torch_engine.py", "study/study.py"} <= names


@pytest.mark.parametrize(
    "source",
    [
        "loss.backward()",
        "loss.sum().backward(retain_graph=True)",
        "x = theta.requires_grad_()",
        "theta.requires_grad = True",
        "torch.zeros(3, requires_grad=True)",
        "import torch.autograd",
        "import torch.autograd as ag",
        "from torch import autograd",
        "from torch.autograd import grad",
        "from torch.autograd.functional import hessian",
        "g = torch.autograd.grad(f, theta)",
        "g = theta.grad",
        "import torch.func",
        "from torch import func",
        "from torch.func import grad, vmap",
        "h = torch.func.hessian(f)(theta)",
        "import functorch",
        "from functorch import vmap",
        "with torch.enable_grad():\n    pass",
        "torch.set_grad_enabled(True)",
        "getattr(torch, 'autograd').grad(f, theta)",
        "getattr(theta, 'requires_grad_')()",
        "def f(x):\n    return x.grad_fn",
        "torch.func",
    ],
)
def test_the_reader_catches(source: str) -> None:
    assert offences(source) != []


@pytest.mark.parametrize(
    "source",
    [
        "from basinet.mlp.backprop import backward, forward\nbackward(network, layout, theta, passed, g, gradient)",
        "def backward(delta):\n    '''Not torch.autograd: by hand, no requires_grad.'''\n    return delta",
        "gradient = chunk.gradient(held)  # never .backward() nor torch.func",
        "self.func(theta)",
        "with torch.no_grad():\n    pass",
        "import functools\nfrom torch.nn.functional import pad",
    ],
)
def test_the_reader_lets_pass(source: str) -> None:
    assert offences(source) == []
