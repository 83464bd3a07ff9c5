"""The same numbers to the bit: in any division of the restarts, and, up to the first step, on any processor.

Other processors are imitated by what tells the libraries not to use all of this one. As libraries read that when they
are loaded, this file is also a program: it computes everything once and prints what it found.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from basinet import Study
from basinet.engines.native.compiler import NativeError, find_compiler
from basinet.foundation.outcomes import Status
from basinet.inits import INITS
from basinet.mlp.activations import ACTIVATIONS
from basinet.pipeline.blocks import Block, _tensors
from basinet.pipeline.solve import solve
from basinet.problems import PROBLEMS

PROCESSORS: dict[str, dict[str, str]] = {
    "all of it": {"OPENBLAS_CORETYPE": "Haswell"},
    "no vectors in torch": {
        "OPENBLAS_CORETYPE": "Prescott",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",  # heard on Intel's processors
        "MKL_CBWR": "COMPATIBLE",  # heard on all
        "ATEN_CPU_CAPABILITY": "default",
        "NPY_DISABLE_CPU_FEATURES": "X86_V3 AVX2 FMA3",
    },
    "no AVX2 in the matrix products": {
        "OPENBLAS_CORETYPE": "Sandybridge",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "MKL_CBWR": "SSE4_2",
        "ATEN_CPU_CAPABILITY": "avx2",
    },
    "Zen": {
        "OPENBLAS_CORETYPE": "Zen",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "MKL_CBWR": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
    },
}

SHORT = {"steps": 40, "records": 4}
STUDIES: dict[str, dict[str, Any]] = {
    "lanes": {"problem": "xor", "network": {"activation": "tanh"}, "descent": {"learning_rate": 0.5}},
    "lanes, an even number of parameters": {
        "problem": {"name": "sine", "points": 13, "noise": 0.1, "holdout": 0.3},
        "network": {"width": 3, "activation": "relu"},
    },
    "products": {
        "problem": {"name": "teacher", "points": 21, "outputs": 2, "holdout": 0.2},
        "network": {"width": 6, "depth": 3, "activation": "tanh"},
        "init": "orthogonal",
    },
    "products, relu and penalties": {
        "problem": {"name": "teacher", "features": 3, "activation": "relu", "points": 15},
        "network": {"width": 5, "activation": "relu"},
        "objective": {"l2_weights": 0.01, "l2_biases": 0.01},
        "descent": "adam",
    },
    "products, classes, and Lanczos' ends of the spectrum": {
        "problem": {"name": "digits", "points": 40, "holdout": 0.25},
        "network": {"width": 9, "output": "identity"},
        "objective": {"loss": "cross_entropy"},
        "polish": {"dense_max": 50, "lanczos_steps": 7},
    },
    "a linear network": {
        "problem": {"name": "teacher", "activation": "identity", "outputs": 2, "points": 10},
        "network": {"width": 5, "depth": 3, "activation": "identity"},
        "descent": {"learning_rate": 0.02},
    },
}
NATIVE = ("lanes", "products, relu and penalties")
PIECES = (1, 4, 2)
DIVISIONS: dict[str, tuple[int, ...]] = {"pieces": PIECES, "singles": (1,) * 7}
RESTARTS = 7


def study_of(name: str, engine: str) -> Study:
    settings = dict(STUDIES[name])
    descent = settings.get("descent", {})
    descent = {"name": descent} if isinstance(descent, str) else descent
    polish = {"radius": 10.0, "steps": 20, **settings.get("polish", {})}  # wide, so that many steps are taken
    shared = {"descent": {**descent, **SHORT}, "polish": polish, "engine": engine, "restarts": RESTARTS}
    return Study.from_config({**settings, **shared})


def cases() -> Iterator[tuple[str, str]]:
    yield from ((name, "torch") for name in STUDIES)
    try:
        find_compiler()
    except NativeError:
        return
    yield from ((name, "native") for name in NATIVE)


def by_restart(blocks: list[Block]) -> dict[str, Tensor]:
    """Every tensor of the blocks, restart by restart, as bit patterns: 0 is not -0, but NaN is NaN."""
    columns = [dict(_tensors(block, "")) for block in blocks]
    result = {}
    for name in columns[0]:
        if name.endswith("trajectory.step"):
            assert all(torch.equal(column[name], columns[0][name]) for column in columns)
            continue
        whole = torch.cat([column[name] for column in columns], int(".trajectory." in name)).contiguous()
        if whole.is_floating_point():  # the sign of a NaN depends on which of two came first
            whole = whole.masked_fill(whole.isnan(), torch.nan).view(torch.uint8)
        result[name] = whole
    return result


def differences(name: str, engine: str, division: tuple[int, ...]) -> list[str]:
    """Which tensors of a study's blocks are not the same when its restarts are computed in pieces."""
    study = study_of(name, engine)
    whole = solve(study, range(RESTARTS))
    assert bool((whole.solution.status != Status.DIVERGED).any())
    assert bool((whole.polished.distance > 0).any()) or study.polishing.dense_max < study.network.size
    expected = by_restart([whole])
    ends = list(itertools.accumulate(division, initial=0))
    found = by_restart([solve(study, range(first, end)) for first, end in itertools.pairwise(ends)])
    assert expected.keys() == found.keys()
    return [key for key, tensor in expected.items() if not torch.equal(tensor, found[key])]


def digest(*tensors: Tensor) -> str:
    return hashlib.sha256(b"".join(tensor.contiguous().numpy().tobytes() for tensor in tensors)).hexdigest()


def beginnings() -> dict[str, str]:
    """Keys of studies, and hashes of the samples of all problems and the starts of all inits."""
    table = Path("table.csv")
    table.write_text("a,b,y\n" + "\n".join(f"{i / 7},{i * i / 3},{1 / (i + 1)}" for i in range(19)) + "\n")
    problems: list[dict[str, Any]] = [{"name": name} for name in PROBLEMS if name not in ("teacher", "table")]
    problems += [{"name": "sine", "points": 101, "periods": 2.7, "noise": 0.1, "holdout": 0.3}]
    problems += [{"name": "table", "path": str(table), "targets": ["y"], "standardize": True}]
    problems += [
        {"name": "teacher", "activation": name, "features": 5, "width": 9, "outputs": 3, "points": 101, "noise": 0.1}
        for name in ACTIVATIONS
    ]
    found = {f"key of {name}": study_of(name, "torch").key for name in STUDIES}
    for settings in problems:
        study = Study.from_config({"problem": settings})
        problem = study.problem
        found[f"samples of {settings}"] = digest(
            problem.inputs, problem.targets, problem.holdout_inputs, problem.holdout_targets
        )
        found[f"key with {settings}"] = study.key
    for name, width in itertools.product(INITS, (3, 17)):
        if name == "given":  # which is copied from a file
            continue
        study = Study.from_config(
            {"problem": "sine", "init": name, "network": {"depth": 4, "width": width}, "restarts": 1}
        )
        found[f"starts of {name}, width {width}"] = digest(study.starts(range(1 if name == "constant" else 200)))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("division", list(DIVISIONS))
@pytest.mark.parametrize(("name", "engine"), list(cases()))
def test_blocks_are_the_same_to_the_bit_however_the_restarts_are_divided(name: str, engine: str, division: str) -> None:
    assert differences(name, engine, DIVISIONS[division]) == []


@pytest.mark.parametrize(("name", "engine"), [("lanes", "torch"), ("products", "torch")])
def test_blocks_are_the_same_in_pieces(name: str, engine: str) -> None:
    assert differences(name, engine, PIECES) == []


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, dict[str, Any]]:
    """What this file, as a program, finds on each of the processors."""
    return {name: on_processor(settings, tmp_path_factory.mktemp("processor")) for name, settings in PROCESSORS.items()}


def on_processor(settings: Mapping[str, str], folder: Path) -> dict[str, Any]:
    environment = {**os.environ, **settings, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(Path(__file__).resolve())]
    answer = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return json.loads(answer.stdout)  # type: ignore[no-any-return]


@pytest.mark.slow
def test_keys_samples_and_starts_are_the_same_to_the_bit_on_every_processor(
    found: Mapping[str, dict[str, Any]],
) -> None:
    expected = found["all of it"]["beginnings"]
    assert len(expected) > 40
    for name, values in found.items():
        assert values["beginnings"] == expected, name


@pytest.mark.slow
@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() == "DEFAULT", reason="there is nothing to leave out")
def test_the_processors_are_told_apart(found: Mapping[str, dict[str, Any]]) -> None:
    """If nothing heard what it is told, the other tests would say nothing."""
    assert len({values["matrix product"] for values in found.values()}) > 1
    assert {values["capability"] for values in found.values()} > {"DEFAULT"}


@pytest.mark.slow
@pytest.mark.parametrize("processor", list(PROCESSORS))
def test_blocks_do_not_depend_on_their_division_on_any_processor(
    found: Mapping[str, dict[str, Any]], processor: str
) -> None:
    assert len(found[processor]["differences"]) == len(list(cases()))
    for case, names in found[processor]["differences"].items():
        assert names == [], case


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(65, 65, generator=generator, dtype=torch.float64)
    answer = {
        "beginnings": beginnings(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "matrix product": digest(matrix @ matrix),
        "differences": {f"{name}, {engine}": differences(name, engine, PIECES) for name, engine in cases()},
    }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
