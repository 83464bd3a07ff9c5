"""Sweeps whose blocks real workers compute: what dies, and what is lost by it; the tables are those of one process."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

SLURM = Path(__file__).parent / "slurm.sh"
PATIENCE = 400  # seconds: other work may run beside

needs_dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="needs the extra: pip install 'basinet[dask]'"
)


@dataclass
class Cluster:
    """A scheduler of Dask and its workers, each in a process of its own."""

    folder: Path
    scheduler: subprocess.Popen[bytes] = field(init=False)
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where the scheduler listens."""
        return self.file.read_text().partition('"address": "')[2].partition('"')[0]

    @property
    def file(self) -> Path:
        """Written by the scheduler when it is there."""
        return self.folder / "scheduler.json"

    def start(self, workers: int) -> None:
        """Start a scheduler, at whatever address, and its workers."""
        self.file.unlink(missing_ok=True)
        self.scheduler = self._process("scheduler", "--port", "0", "--scheduler-file", str(self.file))
        wait_until(self.file.exists)
        self.workers = [
            self._process(
                "worker", self.address, "--nthreads", "1", "--no-nanny", "--local-directory", str(self.folder)
            )
            for _ in range(workers)
        ]

    def _process(self, kind: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", "--no-dashboard", *arguments]
        with (self.folder / f"{kind}.log").open("ab") as log:
            return subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)

    def stop(self) -> None:
        """Kill whatever is still there."""
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "cluster").mkdir()
    made = Cluster(tmp_path / "cluster")
    made.start(workers=3)
    yield made
    made.stop()


def wait_until(holds: Callable[[], bool]) -> None:
    start = time.monotonic()
    while not holds():
        assert time.monotonic() - start < PATIENCE
        time.sleep(0.02)


def kept(folder: Path) -> list[Path]:
    """The blocks that have come back to a launch in this folder, in which other folders come and go meanwhile."""
    found = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    return [path for path in found if path.suffix == ".parquet" and path.parent.parent.name == "blocks"]


@needs_dask
@pytest.mark.stress
def test_of_three_workers_of_dask_two_are_killed_and_the_tables_are_those_of_one_process(
    cluster: Cluster, launch: Any, left: Any, sweep: Any, undisturbed: Any, furnish: Any, tmp_path: Path
) -> None:
    folder = furnish(tmp_path / "there")
    launched = launch(folder, f"{sweep.line} executor=dask executor.address={cluster.address}")
    wait_until(lambda: len(kept(folder)) >= 3 or launched.process.poll() is not None)
    for worker in cluster.workers[:2]:
        worker.kill()
    code, err = launched.end()
    assert code == 0, err
    left(folder).assert_complete(sweep.conditions)
    assert set(left(folder).statuses()) == {"FINISHED"}
    left(folder).assert_same_as(undisturbed)


@needs_dask
@pytest.mark.stress
def test_when_the_scheduler_or_the_launch_is_killed_the_same_command_goes_on_from_there(
    cluster: Cluster, launch: Any, left: Any, sweep: Any, undisturbed: Any, furnish: Any, tmp_path: Path
) -> None:
    folder = furnish(tmp_path / "there")

    def begin() -> Any:
        return launch(folder, f"{sweep.line} executor=dask executor.address={cluster.address}")

    launched = begin()
    wait_until(lambda: len(kept(folder)) >= 2)
    cluster.stop()
    code, err = launched.end()
    assert code == 1
    assert "the same command goes on from there" in err
    assert "Traceback" not in err
    assert "RUNNING" not in left(folder).statuses()
    there = {path: path.stat().st_mtime_ns for path in kept(folder)}
    assert len(there) >= 2

    cluster.start(workers=1)
    launched = begin()
    wait_until(lambda: len(kept(folder)) >= len(there) + 2)
    os.killpg(launched.process.pid, signal.SIGKILL)
    launched.end()
    assert all(path.stat().st_mtime_ns == then for path, then in there.items() if path.exists())

    launched = begin()
    code, err = launched.end()
    assert code == 0, err
    left(folder).assert_complete(sweep.conditions)
    left(folder).assert_same_as(undisturbed)


LINE = (
    "-m init=normal,orthogonal network.depth=1,2 restarts=1000 engine=torch descent.steps=1000 tracking.figures=none "
    "tracking.curves_max=100"
)


@dataclass(frozen=True)
class Sweep:
    """`LINE` as a process of its own, in a folder of its own."""

    python: str
    folder: Path
    more: dict[str, str]  # of the environment

    def begin(self, executor: str) -> subprocess.Popen[str]:
        """Start it."""
        command = [self.python, "-m", "basinet", *LINE.split(), *executor.split()]
        environment = {**os.environ, **self.more}
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def run(self, executor: str) -> str:
        """Run it to its end; what it says."""
        process = self.begin(executor)
        _, err = process.communicate(timeout=1200)
        assert process.returncode == 0, err
        return err


def told(output: str) -> None:
    """Print what a sweep and a scheduler have said, for docs/scaling.md."""
    print(f"\n{output.rstrip()}")


@pytest.fixture
def slurm(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Slurm with two nodes on this machine; the environment that its programs want."""
    if os.getuid() != 0 or any(shutil.which(program) is None for program in ("slurmctld", "slurmd", "munged")):
        pytest.skip("needs root, and: apt-get install slurmctld slurmd slurm-client munge")
    folder = tmp_path / "slurm"
    subprocess.run([SLURM, "start", folder], check=True)
    yield {"SLURM_CONF": str(folder / "slurm.conf")}
    subprocess.run([SLURM, "stop", folder], check=True)


@needs_dask
@pytest.mark.stress
def test_slurm_runs_the_workers_and_one_of_its_jobs_is_cancelled_midway(
    slurm: dict[str, str], left: Any, furnish: Any, tmp_path: Path
) -> None:
    here = Sweep(sys.executable, furnish(tmp_path / "here"), {})
    here.run("executor=local")
    there = Sweep(sys.executable, furnish(tmp_path / "there"), slurm)
    queue = "executor=dask executor.jobqueue=slurm executor.memory=3GB executor.time=00:20:00"
    launched = there.begin(f"{queue} executor.minimum=2 executor.maximum=2")
    wait_until(lambda: len(kept(there.folder)) >= 3 or launched.poll() is not None)
    told(asked(slurm, "squeue"))
    subprocess.run(["scancel", "1"], env={**os.environ, **slurm}, check=True)
    _, err = launched.communicate(timeout=1200)
    assert launched.returncode == 0, err
    told(err)
    told("\n".join(fates(asked(slurm, "scontrol", "--oneliner", "show", "job"))))
    left(there.folder).assert_complete(4)
    left(there.folder).assert_same_as(left(here.folder))


def fates(told: str) -> list[str]:
    """What has become of every job, in a line."""
    wanted = re.compile(r"\b(?:JobId|JobState|RunTime|NodeList)=\S+")
    return [" ".join(wanted.findall(line)) for line in told.splitlines()]


def asked(environment: dict[str, str], *command: str) -> str:
    """What a program of Slurm answers."""
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def with_ray(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python with this package as it is here, and Ray, whose dependencies are not mixed with the pinned ones."""
    folder = tmp_path_factory.mktemp("ray")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    (packages,) = folder.glob("lib/python*/site-packages")
    there = [path for path in sys.path if path.endswith(("site-packages", "/src"))]
    (packages / "beside.pth").write_text("\n".join(there))
    subprocess.run([python, "-m", "pip", "install", "--quiet", "ray[client]>=2.50,<3"], check=True)
    return str(python)


@pytest.mark.stress
@pytest.mark.parametrize("address", ["auto", "ray://127.0.0.1:10001"])
def test_two_nodes_of_ray_compute_a_sweep_and_one_of_them_goes_midway(
    address: str, with_ray: str, left: Any, furnish: Any, tmp_path: Path
) -> None:
    here = Sweep(sys.executable, furnish(tmp_path / "here"), {})
    here.run("executor=local")
    there = Sweep(with_ray, furnish(tmp_path / "there"), {})
    with two_nodes(with_ray) as second:
        launched = there.begin(f"executor=ray executor.address={address}")
        wait_until(lambda: len(kept(there.folder)) >= 3 or launched.poll() is not None)
        second.kill()
        _, err = launched.communicate(timeout=1200)
    assert launched.returncode == 0, err
    told(err)
    left(there.folder).assert_complete(4)
    left(there.folder).assert_same_as(left(here.folder))


@contextmanager
def two_nodes(python: str) -> Iterator[subprocess.Popen[bytes]]:
    """A head and a second node of Ray, with a CPU each; the second one, which can be killed."""
    start = [python, "-m", "ray.scripts.scripts", "start", "--num-cpus=1", "--block", "--disable-usage-stats"]
    memory = "--object-store-memory=200000000"
    port = 26379
    head = subprocess.Popen([*start, "--head", f"--port={port}", "--include-dashboard=false", memory])
    try:
        wait_until(lambda: answers(port) and answers(10001))  # which clients from outside ask
        second = subprocess.Popen([*start, f"--address=127.0.0.1:{port}", memory])
        yield second
        second.terminate()
        second.wait()
    finally:
        head.terminate()
        head.wait()


def answers(port: int) -> bool:
    """Whether somebody listens on a port of this machine."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0
