"""From sources to a library: the compiler, its flags, the cache, and what can go wrong with each."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from basinet import Study
from basinet.descents import Budget, GradientDescent
from basinet.engines import NativeEngine
from basinet.engines.native import NativeError, compiler, library
from basinet.engines.native.compiler import build, cache_folder, find_compiler
from basinet.engines.native.library import Library, Shape
from basinet.foundation.outcomes import Status
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk
from basinet.protocols import State
from basinet.stages.derivatives import Derivatives
from basinet.stages.march import march
from basinet.study.defaults import tolerances

Risks = Callable[..., EmpiricalRisk]
Draws = Callable[..., Tensor]

REMEDY = re.escape("install g++ or clang++, or name a C++17 compiler in the environment variable CXX")
SHAPE = Shape((1, 2, 1), "Identity", "Identity", True, "Squared", torch.float64, 1)
GRADIENT_DESCENT = Path("updates/gradient_descent.h")
SMALL = {**SHAPE.definitions(), "UPDATE": GRADIENT_DESCENT, "RATES_GIVEN": 1}


def works(path: Path) -> None:
    """The library has its functions."""
    assert ctypes.CDLL(str(path)).lanes() in (2, 4, 8, 16)


# --- The cache -----------------------------------------------------------------------------------------------------


def test_a_library_is_compiled_once_and_then_kept(
    fresh: Path, forget: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = build("descend.cpp", SMALL)
    assert path.parent == fresh
    assert os.listdir(fresh) == [path.name]
    works(path)
    before = path.stat().st_mtime_ns
    monkeypatch.setattr(compiler, "_compile", lambda *arguments: pytest.fail("compiled again"))
    forget()
    assert build("descend.cpp", SMALL) == path
    assert path.stat().st_mtime_ns == before
    with pytest.raises(pytest.fail.Exception):
        build("descend.cpp", {**SMALL, "BIAS": 0})


def test_another_compiler_or_processor_has_libraries_of_its_own(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_compiler()
    keys = {compiler._key(found, "descend.cpp", ["-O3"]), compiler._key(found, "curvature.cpp", ["-O3"])}
    keys.add(compiler._key(found, "descend.cpp", ["-O2"]))
    keys.add(compiler._key(compiler.Compiler(found.command, "13.0"), "descend.cpp", ["-O3"]))
    keys.add(compiler._key(compiler.Compiler(("other",), found.version), "descend.cpp", ["-O3"]))
    monkeypatch.setattr(compiler, "_processor", lambda: "another")
    keys.add(compiler._key(found, "descend.cpp", ["-O3"]))
    assert len(keys) == 6


@pytest.mark.parametrize("damage", ["truncated", "overwritten", "empty"])
def test_a_damaged_library_is_noticed_and_made_again(
    fresh: Path, forget: Callable[[], None], caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    path = build("descend.cpp", SMALL)
    whole = path.read_bytes()
    path.unlink()  # a new file: this process, or another, may have loaded the old one
    path.write_bytes({"truncated": whole[:-9], "overwritten": b"#" * len(whole), "empty": b""}[damage])
    forget()
    again = build("descend.cpp", SMALL)
    works(again)
    assert os.listdir(fresh) == [again.name]
    assert [record.getMessage() for record in caplog.records] == [f"{path} was damaged and is compiled again"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")  # and may be forked
def test_several_processes_may_compile_the_same_at_once(fresh: Path) -> None:
    find_compiler()
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            try:
                works(build("descend.cpp", SMALL))
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    (name,) = os.listdir(fresh)
    assert build("descend.cpp", SMALL).name == name


def test_remains_of_a_killed_compilation_are_swept_up_a_day_later(fresh: Path) -> None:
    folder = cache_folder()
    for name, age in (("building-old", 90_000), ("building-new", 10)):
        (folder / name).mkdir()
        (folder / name / "made.so").write_bytes(b"half")
        os.utime(folder / name, (time.time() - age,) * 2)
    build("descend.cpp", SMALL)
    assert not (folder / "building-old").exists()
    assert (folder / "building-new").exists()


def test_the_cache_is_the_users_own(fresh: Path) -> None:
    assert cache_folder() == fresh
    assert stat.S_IMODE(fresh.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("place", "said"),
    [("file", "Not a directory"), ("others", "can be written by others"), ("relative", "is no absolute path")],
)
def test_where_no_cache_can_be_the_kernels_are_this_processs_own(
    fresh: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    place: str,
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    if place == "file":
        (tmp_path / "file").touch()
    elif place == "others":
        (tmp_path / "others" / "basinet" / "native").mkdir(parents=True)
        (tmp_path / "others" / "basinet" / "native").chmod(0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative" if place == "relative" else str(tmp_path / place))
    path = build("descend.cpp", SMALL)
    works(path)
    assert tmp_path not in path.parents
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert not (tmp_path / "relative").exists()
    assert build("descend.cpp", {**SMALL, "BIAS": 0}).parent == path.parent
    (message,) = {record.getMessage() for record in caplog.records}
    assert said in message
    assert message.endswith("XDG_CACHE_HOME names another folder")
    shutil.rmtree(path.parent)


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write everywhere")
def test_a_cache_that_cannot_be_written_is_left_alone(fresh: Path, caplog: pytest.LogCaptureFixture) -> None:
    fresh.mkdir(parents=True)
    fresh.chmod(0o500)
    path = build("descend.cpp", SMALL)
    works(path)
    assert path.parent != fresh
    assert "Permission denied" in caplog.text
    shutil.rmtree(path.parent)


# --- Compilers that fail -------------------------------------------------------------------------------------------

FAILING = {  # the value of CXX, or a script in its place; and what is said
    "nothing there": ("/nonexistent/g++", rf"no C\+\+ compiler \(CXX=/nonexistent/g\+\+\): {REMEDY}"),
    "false": ("false", rf"no C\+\+ compiler \(CXX=false\): {REMEDY}"),
    "true": ("true", f"true made no library: {REMEDY}"),
    "half a quote": ("g++'", rf"no C\+\+ compiler \(CXX=g\+\+'\): {REMEDY}"),
    "only quotes": ("''", rf"no C\+\+ compiler \(CXX=''\): {REMEDY}"),
    "no program": (__file__, rf"no C\+\+ compiler \(CXX=.*test_compiler.py\): {REMEDY}"),
    "a folder": ("/", rf"no C\+\+ compiler \(CXX=/\): {REMEDY}"),
    "says why": (
        "echo warning: odd >&2; echo 'x.cpp:3: error: no' >&2; echo more >&2; exit 4",
        r"\S+ refuses a source: x.cpp:3: error: no",
    ),
    "knows no C++17": (
        "echo \"c++: error: unrecognized option '-std=c++17'\" >&2; exit 1",
        rf"\S+ failed with exit code 1 \(c\+\+: error: unrecognized option '-std=c\+\+17'\): {REMEDY}",
    ),
    "says nothing": ("exit 1", rf"\S+ failed with exit code 1 \(it said nothing\): {REMEDY}"),
    "killed": ('for out; do :; done; echo half > "$out"; kill -9 $$', rf"\S+ failed with exit code -9 .*: {REMEDY}"),
    "makes rubbish": ('for out; do :; done; echo rubbish > "$out"', r"\S+\.so cannot be loaded: .*"),
}


@pytest.mark.parametrize("name", FAILING)
def test_a_compiler_that_fails_is_reported_in_one_line_and_leaves_nothing_behind(
    fresh: Path, failing: Callable[[str], None], name: str
) -> None:
    program, said = FAILING[name]
    failing(program)
    with pytest.raises(NativeError) as error:
        Library("descend.cpp", SHAPE, UPDATE=GRADIENT_DESCENT, RATES_GIVEN=1)
    assert re.fullmatch(said, str(error.value))
    assert not fresh.exists() or os.listdir(fresh) == []


def test_a_mistake_in_a_header_is_said_in_the_compilers_words_and_with_no_advice_on_compilers(
    fresh: Path, tmp_path: Path
) -> None:
    text = (compiler.SOURCES / GRADIENT_DESCENT).read_text(encoding="utf-8")
    header = tmp_path / "mistaken.h"
    header.write_text(f"{text}\nint error_of(int x) {{ return x + unheard_of; }}\n", encoding="utf-8")
    line = 1 + header.read_text(encoding="utf-8").splitlines().index("int error_of(int x) { return x + unheard_of; }")
    with pytest.raises(NativeError) as error:
        build("descend.cpp", {**SMALL, "UPDATE": header})
    assert f"{header}:{line}:" in str(error.value)
    assert "unheard_of" in str(error.value)
    assert not re.search(REMEDY, str(error.value))
    assert "\n" not in str(error.value)
    assert os.listdir(fresh) == []


def test_a_compiler_that_never_ends_is_given_up(
    fresh: Path, failing: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing("exec sleep 100")
    monkeypatch.setattr(compiler, "_PATIENCE", 0.2)
    with pytest.raises(NativeError, match=r"failing did not end within 0.2 s: install"):
        build("descend.cpp", SMALL)
    assert os.listdir(fresh) == []


def test_a_disk_that_is_full_is_an_error_of_one_line(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(NativeError, match=r"^no kernel can be kept: \[Errno 28\] No space left on device$"):
        build("descend.cpp", SMALL)
    assert os.listdir(fresh) == []


def test_the_compiler_is_cxx_else_the_first_that_there_is(
    fresh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "bin").mkdir()

    def install(name: str) -> None:
        (tmp_path / "bin" / name).write_text("#!/bin/sh\necho 1.0\n")
        (tmp_path / "bin" / name).chmod(0o755)

    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(NativeError, match=r"^no C\+\+ compiler \(c\+\+, g\+\+, clang\+\+\): install"):
        find_compiler()
    install("clang++")
    assert find_compiler().command == ("clang++",)
    install("g++")
    find_compiler.cache_clear()
    assert find_compiler().command == ("g++",)
    monkeypatch.setenv("CXX", " clang++  --some-flag ")
    find_compiler.cache_clear()
    assert find_compiler().command == ("clang++", "--some-flag")


# --- What is compiled ----------------------------------------------------------------------------------------------


def test_only_integers_and_known_names_reach_the_compiler(
    fresh: Path, tmp_path: Path, failing: Callable[[str], None]
) -> None:
    real = " ".join(find_compiler().command)
    log = tmp_path / "tokens"
    failing(f'for token; do printf "%s\\n" "$token" >> "{log}"; done\nexec {real} "$@"')  # but it does not
    strange = tmp_path / "a b;$(touch pwned) -DREAL=int `x` 'y' \"z\".csv"
    columns = {"-O0": [0.0, 1, 2], "$(touch pwned)": [1.0, 0, 1], "@file": [1.0, 2, 4]}
    pd.DataFrame(columns).to_csv(strange, index=False)
    np.savez(tmp_path / "-fplugin=x y.npz", np.ones((3, 9)))
    study = Study.from_config(
        {
            "problem": {"name": "table", "path": str(strange), "targets": ["@file"]},
            "network": {"depth": 2, "width": 2},
            "init": {"name": "given", "path": str(tmp_path / "-fplugin=x y.npz")},
            "restarts": 3,
            "engine": "native",
        }
    )
    assert study.engine.name == "native"
    source = str(compiler.SOURCES)
    expected = {
        *("-O3", "-O2", *compiler.FLAGS),
        *("-DREAL=double", "-DWIDTHS=2,2,1", "-DHIDDEN=Logistic", "-DOUTPUT=Identity", "-DBIAS=1", "-DLOSS=Squared"),
        *("-DSAMPLES=3", '-DUPDATE="updates/gradient_descent.h"', "-DRATES_GIVEN=1", "-DHESSIAN=1", "-DALGEBRA=1"),
        *("-o", f"{source}/descend.cpp", f"{source}/curvature.cpp"),
    }
    tokens = log.read_text().splitlines()
    outputs = {token for token in tokens if re.fullmatch(rf"{re.escape(str(fresh))}/building-\w+/made\.so", token)}
    assert len(outputs) == 2
    assert set(tokens) == expected | outputs
    assert "pwned" not in {path.name for path in (*tmp_path.iterdir(), *Path.cwd().iterdir())}


def test_every_name_that_a_setting_can_have_is_a_word_of_cpp() -> None:
    """What a kernel is told of a network is a name from a fixed list, so that it cannot be anything else."""
    for hidden in ("logistic", "tanh", "relu", "softplus", "gelu", "identity"):
        for loss, outputs in (("squared", 1), ("cross_entropy", 2)):
            one = torch.ones(outputs, 1, dtype=torch.float64)
            shape = Shape.of(EmpiricalRisk(Network((1, 1, outputs), hidden, hidden), one[:1], one, loss), torch.float64)
            assert all(re.fullmatch(r"\w+(,\w+)*", str(value)) for value in shape.definitions().values())


VARIANTS = {  # what a processor must have
    "x86-64": "sse2",
    "x86-64-v3": "avx2 fma bmi2",
    "x86-64-v4": "avx512f avx512dq avx512vl avx512bw avx512cd",
}
WARNINGS = ("-Wall", "-Wextra", "-Werror")


def _flags() -> set[str]:
    try:
        return set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        return set()


def state_of(risk: EmpiricalRisk, theta: Tensor, descent: GradientDescent) -> State:
    restarts = len(theta)
    status = torch.full((restarts,), int(Status.RUNNING), dtype=torch.int8)
    zeros = theta.new_zeros(restarts)
    return State(theta, descent.init(theta), 0, status, torch.zeros(restarts, dtype=torch.int64), zeros, zeros)


def answers(risk: EmpiricalRisk, theta: Tensor, v: Tensor) -> list[Tensor]:
    """Everything that the kernels compute, and e^x over the whole range."""
    engine, descent = NativeEngine(2), GradientDescent(Budget(0.1, 30, "cosine", 1e-2, 3))
    state = engine.segment(risk, descent, state_of(risk, theta, descent), 30)
    results = [*state.tensors(), *engine.loss_and_gradient(risk, theta), engine.hvp(risk, theta, v)]
    if theta.dtype == torch.float64:
        results.append(engine.hessian(risk, theta))
        results += [engine.eigenvalues(risk, theta), *engine.eigenvectors(risk, theta)]
        results += engine.newton_step(risk, theta, v, torch.full_like(theta[:, 0], 0.1))
        marched = march(Derivatives(risk, engine), theta, tolerances(), torch.ones_like(theta[:, 0]), steps=150)
        results += [getattr(marched, field.name) for field in fields(marched)]
    x = torch.linspace(-800, 800, 20_001, dtype=theta.dtype)
    y = torch.empty_like(x)
    loaded = library.curvature_library(Shape.of(risk, theta.dtype))._loaded
    loaded.exponentials(library.pointer(x), library.pointer(y), len(x))
    return [*results, y]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("activation", "dtype"),
    [
        ("tanh", "float64"),
        ("gelu", "float32"),
        *(
            pytest.param(activation, dtype, marks=pytest.mark.stress)
            for activation in ("logistic", "tanh", "relu", "softplus", "gelu", "identity")
            for dtype in ("float64", "float32")
            if (activation, dtype) not in {("tanh", "float64"), ("gelu", "float32")}
        ),
    ],
)
def test_every_instruction_set_gives_the_same_bits_and_no_build_has_a_warning(
    risk_of: Risks,
    normal: Draws,
    forget: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    activation: str,
    dtype: str,
) -> None:
    """Vectors of 2, 4 or 8 lanes and a fused multiply-add by instruction or by library: the same roundings."""
    there = [name for name, needed in VARIANTS.items() if set(needed.split()) <= _flags()]
    if not there:
        pytest.skip("not an x86-64 processor")
    kind = {"float64": torch.float64, "float32": torch.float32}[dtype]
    risk = risk_of(activation, kind)
    theta, v = (normal(3, 19, risk.size) / 2).to(kind), normal(5, 19, risk.size).to(kind)
    found, plain = {}, compiler.FLAGS
    for name in ("native", *there):
        monkeypatch.setattr(compiler, "FLAGS", (*plain, f"-march={name}", *WARNINGS))
        forget()
        found[name] = answers(risk, theta, v)
    for name in there:
        for one, other in zip(found["native"], found[name], strict=True):
            assert torch.equal(one, other), name


# --- In the process ------------------------------------------------------------------------------------------------


def in_a_new_process(text: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", text, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}, timeout=3600
    )


FLOATING_POINT = """
import ctypes, threading
import numpy as np, torch
from basinet.descents import Budget, GradientDescent
from basinet.stages.descend import descend
from basinet.engines import NativeEngine
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk

def mode():
    tiny, single = np.finfo(np.float64).tiny, np.finfo(np.float32).tiny
    python = float(tiny) / 4
    numpy = np.full(64, tiny) / 4, np.full(64, single) / np.float32(4), np.full(64, tiny / 4) * 1.0
    tensor = torch.full((64,), tiny, dtype=torch.float64) / 4, torch.full((64,), tiny / 4, dtype=torch.float64) * 1
    rounding = ctypes.CDLL(None).fegetround()
    thirds = 1 / 3, np.float32(1) / np.float32(3), np.nextafter(1.0, 2) - 1
    alive = python > 0 and all((part > 0).all() for part in (*numpy, *tensor))
    return alive, rounding, thirds

def elsewhere():
    answer = []
    thread = threading.Thread(target=lambda: answer.append(mode()))
    thread.start()
    thread.join()
    return answer[0]

before = mode(), elsewhere()
assert before[0][0] and before[1][0]
x = torch.ones(2, 4, dtype=torch.float64)
for dtype in (torch.float64, torch.float32):
    risk = EmpiricalRisk(Network((2, 3, 2), "gelu", "identity"), x.to(dtype), x.to(dtype))
    engine, theta = NativeEngine(2), torch.full((33, risk.size), 0.1, dtype=dtype)
    theta[5], theta[6], theta[7] = torch.nan, 1e-310 if dtype == torch.float64 else 1e-40, 1e30
    *_, last = descend(risk, GradientDescent(Budget(0.1, 50, "constant", 0.0, 3)), engine, theta)
    engine.loss_and_gradient(risk, theta), engine.hvp(risk, theta, theta), engine.hessian(risk, theta)
    assert (mode(), elsewhere()) == before
print("unchanged")
"""


@pytest.mark.slow
def test_nothing_is_changed_for_the_rest_of_the_process() -> None:
    """Subnormal numbers and rounding of plain floats, numpy and torch, in the main thread and in others."""
    answer = in_a_new_process(FLOATING_POINT)
    assert (answer.returncode, answer.stdout) == (0, "unchanged\n"), answer.stderr


def test_a_library_gives_its_own_functions_only() -> None:
    """No symbol that another library, or another kernel, could take for its own."""
    listing = subprocess.run(
        ["nm", "-D", "--defined-only", str(build("descend.cpp", SMALL))], capture_output=True, text=True, check=False
    )
    if listing.returncode != 0:
        pytest.skip("no nm here")
    symbols = {line.split()[-1]: line.split()[-2] for line in listing.stdout.splitlines()}
    assert {"descend", "lanes"} <= set(symbols)
    strong = {name for name, kind in symbols.items() if kind not in "WV" and not name.startswith("_")}
    assert strong == {"descend", "lanes"}
    assert "u" not in symbols.values()  # one for the whole process


SANITIZED = """
import os, sys
from dataclasses import replace
import torch
from basinet.engines.native import compiler
compiler.FLAGS = (*compiler.FLAGS, *sys.argv[1].split())
from basinet.stages.descend import descend
from basinet.descents import Adam, Budget, GradientDescent, Momentum, Nesterov, Sgd
from basinet.engines import NativeEngine
from basinet.mlp.network import Network
from basinet.objectives.empirical_risk import EmpiricalRisk

generator = torch.Generator().manual_seed(0)
budget = Budget(0.1, 25, "cosine", 1e-2, 4, seed=3)
double, single = torch.float64, torch.float32
cases = [
    ((2, 5, 3), "gelu", "identity", True, "cross_entropy", 0.01, 11, double, Sgd(budget, 4)),
    ((1, 1), "relu", "tanh", True, "squared", 0.0, 1, single, Momentum(budget, 0.9)),
    ((3, 4, 1), "tanh", "softplus", False, "squared", 0.0, 3, double, Adam(budget, 0.9, 0.99, 1e-8)),
    ((2, 5, 3), "softplus", "logistic", True, "squared", 0.01, 11, single, Sgd(budget, 4)),
    ((3, 4, 4, 1), "logistic", "gelu", False, "squared", 0.0, 9, double, Nesterov(budget, 0.9)),
    ((3, 4, 4, 1), "tanh", "identity", True, "squared", 0.0, 9, single, GradientDescent(budget)),
]

def normal(*shape):
    return torch.randn(*shape, generator=generator, dtype=double)

for widths, hidden, output, bias, loss, penalty, samples, dtype, descent in cases[: int(sys.argv[2])]:
    x, y = normal(widths[0], samples).to(dtype), normal(widths[-1], samples).to(dtype)
    y = torch.softmax(y, 0) if loss == "cross_entropy" else y
    risk = EmpiricalRisk(Network(widths, hidden, output, bias), x, y, loss, penalty, penalty)
    for restarts in (1, 7, 17, 33):
        for engine in (NativeEngine(1), NativeEngine(3)):
            theta = normal(restarts, risk.size).to(dtype)
            *_, last = descend(risk, descent, engine, theta)
            engine.loss_and_gradient(risk, last.theta)
            engine.hvp(risk, theta, theta)
            engine.hessian(risk, theta)
    if not isinstance(descent, Sgd):  # half of the restarts arrive within a segment, others take their lanes
        theta, tolerance = normal(70, risk.size).to(dtype), 0.0
        for _ in range(2):
            longer = replace(descent, budget=Budget(0.1, 200, "cosine", tolerance, 2))
            *_, last = descend(risk, longer, NativeEngine(2), theta)
            tolerance = float(last.gradient_norm.median())
        assert (last.status == 1).sum() > 20
print("clean", flush=True)
if os.fork() == 0:  # a sample that there is not
    Sgd.batch = lambda *arguments: torch.tensor([0, 1, 2_000_000])
    theta = normal(3, risk.size).to(dtype)
    list(descend(risk, Sgd(budget, 4) if type(descent) is Sgd else descent, NativeEngine(), theta))
    engine.hvp(risk, theta, torch.empty(1, dtype=dtype)) if type(descent) is not Sgd else None
    os._exit(0)
print("noticed" if os.wait()[1] != 0 else "not noticed")
"""
SANITIZERS = "-fsanitize=address,undefined -fno-sanitize-recover=all -g"


@pytest.mark.slow
@pytest.mark.parametrize(("optimisation", "cases"), [("-O0", 2), pytest.param("-O1", 6, marks=pytest.mark.stress)])
def test_the_sanitizers_have_nothing_to_say(fresh: Path, optimisation: str, cases: int) -> None:
    """Odd numbers of restarts, minibatches and Hessians, with addresses and undefined behaviour watched."""
    program = find_compiler().command[0]
    found = [
        subprocess.run(
            [program, f"-print-file-name={name}.so"], capture_output=True, text=True, check=False
        ).stdout.strip()
        for name in ("libasan", "libubsan")
    ]
    if not all(Path(path).is_absolute() and Path(path).exists() for path in found):
        pytest.skip("no sanitizers here")
    answer = in_a_new_process(
        SANITIZED,
        f"{optimisation} {SANITIZERS}",
        str(cases),
        LD_PRELOAD=" ".join(found),
        ASAN_OPTIONS="detect_leaks=0",  # Python and torch never give everything back
    )
    assert answer.stdout == "clean\nnoticed\n", answer.stderr[-3000:]
    assert "AddressSanitizer" in answer.stderr  # of what was noticed on purpose
    assert answer.returncode == 0


MANY = """
import os, sys
from pathlib import Path
import torch
from basinet.engines.native.compiler import cache_folder
from basinet.engines.native.library import Library, Shape

def resident():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])  # kB

def make(number):
    shape = Shape((1, 1 + number), "Identity", "Identity", False, "Squared", torch.float32, 1)
    Library("descend.cpp", shape, UPDATE=Path("updates/gradient_descent.h"), RATES_GIVEN=1)

make(0), make(1)
files, memory = len(os.listdir("/proc/self/fd")), resident()
for number in range(2, 2 + int(sys.argv[1])):
    make(number)
    print(resident() - memory, len(os.listdir("/proc/self/fd")) - files)
print(len(list(cache_folder().glob("*.so"))), len(list(cache_folder().iterdir())))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here")
@pytest.mark.parametrize("shapes", [8, pytest.param(200, marks=pytest.mark.stress)])
def test_many_shapes_in_a_row_leak_nothing(fresh: Path, shapes: int) -> None:
    answer = in_a_new_process(MANY, str(shapes))
    assert answer.returncode == 0, answer.stderr
    *lines, last = answer.stdout.splitlines()
    assert last == f"{shapes + 2} {shapes + 2}"  # libraries, and nothing else
    memory, files = zip(*(map(int, line.split()) for line in lines), strict=True)
    print(f"\n{shapes} shapes: {memory[-1] / shapes:.0f} kB each")
    assert set(files) == {0}
    # A library is 20 to 60 kB in five segments, and the loader keeps some pages about it.
    assert memory[-1] / shapes < 250
