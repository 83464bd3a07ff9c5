"""Curvature against curvlinops (Dangel et al., 2025): PyTorch's own layers and losses, differentiated by autograd."""

from __future__ import annotations

import dataclasses
import itertools
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from basinet import Study, run
from basinet.linalg.lanczos import extreme_eigenvalues
from basinet.mlp.activations import ACTIVATIONS
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk


class ScaledErf(nn.Module):
    """erf(z / √2)."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.erf(z * 0.5**0.5)


MODULES: dict[str, Callable[[], nn.Module]] = {
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "softplus": nn.Softplus,
    "gelu": nn.GELU,
    "erf": ScaledErf,
    "identity": nn.Identity,
}
# Some hundred roundings relative to the norm of the matrix, on either side.
ROUNDING = 1e-12


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def risk_of(network: Network, loss: str = "squared", samples: int = 11) -> EmpiricalRisk:
    """Random samples; under cross-entropy the targets are probabilities."""
    x, y = draw(1, network.widths[0], samples), draw(2, network.widths[-1], samples)
    return EmpiricalRisk(network, x, torch.softmax(y, 0) if loss == "cross_entropy" else y, loss)


def sequential(network: Network, loss: str, row: Tensor) -> nn.Sequential:
    """The network as somebody builds it with PyTorch, with the parameters of one restart."""
    modules: list[nn.Module] = []
    for fan_in, fan_out in itertools.pairwise(network.widths):
        modules += [nn.Linear(fan_in, fan_out, network.bias), MODULES[network.activation]()]
    modules[-1] = nn.Identity() if loss == "cross_entropy" else MODULES[network.output]()
    model = nn.Sequential(*modules).double()
    nn.utils.vector_to_parameters(row, model.parameters())
    return model


def hessian_of(risk: EmpiricalRisk, row: Tensor) -> Tensor:
    """The Hessian at one restart; the samples come in batches of unequal size."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what its own imports are warned of
        from curvlinops import HessianLinearOperator

        model = sequential(risk.network, risk.loss_name, row)
        samples, outputs = risk.inputs.shape[1], risk.network.widths[-1]
        # Ours is the mean over the samples of ½‖a - y‖² or of the cross-entropy; PyTorch's squared loss has no ½.
        loss, factor = {
            "squared": (nn.MSELoss(reduction="mean"), outputs / 2),
            "cross_entropy": (nn.CrossEntropyLoss(reduction="sum"), 1 / samples),
        }[risk.loss_name]
        batches = list(zip(risk.inputs.T.split(4), risk.targets.T.split(4), strict=True))
        operator = HessianLinearOperator(model, loss, list(model.parameters()), batches)
        result: Tensor = factor * (operator @ torch.eye(risk.size, dtype=torch.float64))
    decay = [
        torch.full_like(parameter.flatten(), risk.l2_weights if parameter.ndim == 2 else risk.l2_biases)
        for parameter in model.parameters()
    ]
    return (result + torch.diag(torch.cat(decay))).detach()


@pytest.mark.parametrize(("widths", "bias"), [((2, 4, 1), True), ((3, 7, 5, 2), False)], ids=str)
@pytest.mark.parametrize("name", list(ACTIVATIONS))
@pytest.mark.parametrize("loss", ["squared", "cross_entropy"])
def test_hessians_products_and_spectra_are_those_of_curvlinops(
    widths: tuple[int, ...], bias: bool, name: str, loss: str
) -> None:
    network = Network(widths, name, name, bias)
    risk = dataclasses.replace(risk_of(network, loss), l2_weights=0.25, l2_biases=0.5)
    theta, v = draw(3, 2, risk.size), draw(4, 2, risk.size)
    hessian, product = risk.hessian(theta), risk.hvp(theta, v)
    ends = extreme_eigenvalues(risk.hvp, theta, iterations=risk.size)
    for r in range(2):
        expected = hessian_of(risk, theta[r])
        tolerance = ROUNDING * float(expected.norm())
        assert float((hessian[r] - expected).norm()) <= tolerance
        assert float((product[r] - expected @ v[r]).norm()) <= tolerance * float(v[r].norm())
        eigenvalues = torch.linalg.eigvalsh((expected + expected.T) / 2)
        assert float(ends.lowest[r] - eigenvalues[0]) == pytest.approx(0, abs=tolerance)
        assert float(ends.highest[r] - eigenvalues[-1]) == pytest.approx(0, abs=tolerance)


@pytest.mark.parametrize("activation", ["tanh", "logistic"])
def test_spectra_and_traces_of_the_tables_are_those_of_curvlinops(activation: str) -> None:
    """From the settings of a study to the table of its minima."""
    study = Study.from_config(
        {
            "problem": "sine",
            "network": {"activation": activation, "width": 3},
            "objective": {"l2_weights": 1e-3, "l2_biases": 1e-3},
            "descent": {"name": "nesterov", "learning_rate": 0.1, "momentum": 0.95, "steps": 2000},
            "restarts": 20,
            "engine": "torch",
        }
    )
    findings = run(study)
    found = np.stack(findings.evidence["eigenvalues"].tolist())
    assert len(findings.minima) > 0
    for row in findings.minima.to_dict("records"):
        expected = hessian_of(study.exact_objective, torch.tensor(row["parameters"], dtype=torch.float64))
        tolerance = ROUNDING * float(expected.norm())
        eigenvalues = torch.linalg.eigvalsh((expected + expected.T) / 2).numpy()
        np.testing.assert_allclose(found[row["restart"]], eigenvalues, rtol=0, atol=tolerance)
        assert row["trace"] == pytest.approx(float(expected.trace()), abs=len(expected) * tolerance)
        assert row["lambda_min"] == pytest.approx(eigenvalues[0], abs=tolerance)
        assert row["lambda_max"] == pytest.approx(eigenvalues[-1], abs=tolerance)
