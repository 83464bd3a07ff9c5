"""The console script from the command line to the tables, small."""

from __future__ import annotations

import json
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import basinet
from basinet import plots
from basinet.cli.compose import compose_all
from basinet.cli.main import _parsed
from basinet.cli.plan import plan
from basinet.foundation import machine
from basinet.pipeline.run import run
from basinet.study.study import Study
from basinet.tracking import load
from basinet.tracking.store import TrackingStore
from slowness import slow_but

Command = Callable[[str], Any]
BIN = Path(sys.executable).parent
HEAVY = {"torch", "mlflow", "pandas", "matplotlib", "scipy", "sklearn"}
TINY = "restarts=6 descent.steps=20 polish=none tracking.figures=none"


@dataclass(frozen=True)
class Launched:
    """A sweep that the console script has made."""

    folder: Path
    out: str
    err: str
    files: set[str]  # in the folder when it had ended

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    @property
    def client(self) -> Any:
        return TrackingStore.open(self.uri).client

    def runs(self, kind: str) -> list[Any]:
        (experiment,) = [e for e in self.client.search_experiments() if e.name != "Default"]
        found: list[Any] = self.client.search_runs([experiment.experiment_id], f"tags.`basinet.kind` = '{kind}'")
        return found

    def artifacts(self, run: Any) -> Path:
        address: str = run.info.artifact_uri
        return self.folder / "mlartifacts" / address.removeprefix("mlflow-artifacts:/").lstrip("/")


@pytest.fixture(scope="module")
def launched(tmp_path_factory: pytest.TempPathFactory, furnish: Callable[[Path], Path]) -> Launched:
    """Two initialisations × two depths, by the script itself, with figures."""
    folder = furnish(tmp_path_factory.mktemp("launched"))
    line = "-m init=normal,orthogonal network.depth=1,2 restarts=30 descent.steps=300 descent.records=8"
    answer = subprocess.run([BIN / "basinet", *line.split()], cwd=folder, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    return Launched(folder, answer.stdout, answer.stderr, {path.name for path in folder.iterdir()})


def test_a_sweep_is_a_parent_run_with_a_child_for_every_condition(launched: Launched) -> None:
    (parent,), children = launched.runs("sweep"), launched.runs("condition")
    assert {child.data.tags["mlflow.parentRunId"] for child in children} == {parent.info.run_id}
    assert {child.info.run_name for child in children} == {
        f"network.depth={depth} init={init}" for depth in (1, 2) for init in ("normal", "orthogonal")
    }
    assert {run.info.status for run in (parent, *children)} == {"FINISHED"}
    assert parent.data.metrics["conditions"] == parent.data.metrics["conditions/finished"] == 4


def test_a_sweep_leaves_behind_the_store_the_artifacts_and_hydras_logs(launched: Launched) -> None:
    # no -wal: it is closed; .basinet has the blocks, from which the sweep can be extended
    assert launched.files == {"mlflow.db", "mlflow.db.lock", "mlartifacts", "outputs", ".basinet"}


def test_settings_are_params_and_those_that_are_numbers_are_metrics_too(launched: Launched) -> None:
    for child in launched.runs("condition"):
        config = yaml.safe_load((launched.artifacts(child) / "config.yaml").read_text())
        for group, key in (("init", "bias"), ("descent", "learning_rate"), ("descent", "steps"), ("network", "depth")):
            value = config[group][key]
            assert child.data.params[f"{group}.{key}"] == str(value)
            mirrored = child.data.metrics.get(f"{group}.{key}")
            assert mirrored == (value if isinstance(value, int | float) else None)
        for group in ("problem", "init", "descent"):
            assert child.data.params[group] == config[group]["name"]


def test_the_number_of_restarts_is_a_metric_and_a_tag_and_no_param(launched: Launched) -> None:
    """A sweep can be extended, and a param cannot be changed."""
    for run_ in (*launched.runs("condition"), *launched.runs("sweep")):
        assert run_.data.metrics["restarts"] == 30
        assert not {"restarts", "threads"} & set(run_.data.params)
    assert {child.data.tags["restarts"] for child in launched.runs("condition")} == {"30"}


def test_runs_say_where_they_come_from(launched: Launched) -> None:
    for run_ in (*launched.runs("condition"), *launched.runs("sweep")):
        assert run_.data.tags["basinet.version"] == basinet.__version__
        assert run_.data.tags["hardware.cores"] == str(os.cpu_count())
        assert run_.data.tags["version.python"] == platform.python_version()
        assert run_.data.tags["version.numpy"] == np.__version__
    (parent,) = launched.runs("sweep")
    command = shlex.split(parent.data.tags["basinet.command"])
    assert command[:2] == ["basinet", "-m"]
    assert {"init=normal,orthogonal", "network.depth=1,2", "restarts=30"} <= set(command)


def test_the_artifacts_of_a_condition_are_its_tables_parameters_settings_and_figures(launched: Launched) -> None:
    for child in launched.runs("condition"):
        folder = launched.artifacts(child)
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        tables = {f"tables/{name}.parquet" for name in ("restarts", "curves", "quantiles", "minima")}
        assert files >= tables | {"parameters.npz", "config.yaml", "figures/loss_fan.png", "figures/waterfall.png"}
        for figure in folder.glob("figures/*.png"):
            assert figure.read_bytes().startswith(b"\x89PNG")


def test_the_parameters_are_stored_without_pickle(launched: Launched) -> None:
    for child in launched.runs("condition"):
        with np.load(launched.artifacts(child) / "parameters.npz", allow_pickle=False) as arrays:
            sizes = {name: arrays[name].shape for name in arrays.files}
        size = 3 if child.data.params["network.depth"] == "1" else 9
        assert sizes == {"initial": (30, size), "final": (30, size)}


def test_the_stored_settings_make_the_same_study_which_gives_the_same_numbers(launched: Launched) -> None:
    child = launched.runs("condition")[0]
    folder = launched.artifacts(child)
    study = Study.from_config(yaml.safe_load((folder / "config.yaml").read_text()))
    assert study.columns == json.loads(child.data.tags["basinet.columns"])
    findings = run(study)
    pd.testing.assert_frame_equal(findings.restarts, pd.read_parquet(folder / "tables" / "restarts.parquet"))
    with np.load(folder / "parameters.npz") as arrays:
        np.testing.assert_array_equal(findings.parameters["initial"], arrays["initial"])
        np.testing.assert_array_equal(findings.parameters["final"], arrays["final"])


def test_the_quantiles_of_the_loss_are_metrics_over_the_steps(launched: Launched) -> None:
    child = launched.runs("condition")[0]
    table = pd.read_parquet(launched.artifacts(child) / "tables" / "quantiles.parquet")
    for name in ("min", "median", "q95"):
        history = launched.client.get_metric_history(child.info.run_id, f"loss/{name}")
        found = sorted((entry.step, entry.value) for entry in history)
        assert found == list(zip(table["step"], table[f"loss_{name}"], strict=True))


def test_the_parent_carries_the_spread_of_all_conditions(launched: Launched) -> None:
    (parent,) = launched.runs("sweep")
    folder = launched.artifacts(parent)
    spread = pd.read_parquet(folder / "tables" / "spread.parquet").set_index(["network.depth", "init"])
    restarts = basinet.load_restarts(parent.info.run_id, tracking_uri=launched.uri)
    groups = restarts.astype({"init": str}).groupby(["network.depth", "init"])
    pd.testing.assert_series_equal(spread["loss_median"], groups["loss"].median(), check_names=False)
    assert spread["restarts"].tolist() == [30] * 4
    assert (folder / "figures" / "final_losses.png").read_bytes().startswith(b"\x89PNG")
    assert len(pd.read_csv(folder / "tables" / "spread.csv")) == 4
    note = parent.data.tags["mlflow.note.content"].splitlines()
    rows = [line.replace("&nbsp;", "") for line in note]
    assert len([row for row in rows if re.match(r"^[12] \| (normal|orthogonal) \| .*\d %", row)]) == 4


def test_the_terminal_shows_the_spread_and_what_to_type_next(launched: Launched) -> None:
    lines = launched.out.splitlines()
    assert len([line for line in lines if re.match(r"^[12] +(normal|orthogonal) +30 ", line)]) == 4
    (figures,) = [line.split()[1] for line in lines if line.startswith("figures ")]
    assert (launched.folder / figures / "final_losses.png").is_file()
    (browse,) = [line for line in lines if line.startswith("browse ")]
    assert browse.endswith("basinet-ui")


def test_the_line_to_analyse_with_is_python_that_runs(
    launched: Launched, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = [line for line in launched.out.splitlines() if line.startswith("analyse ")]
    _, program, flag, code = shlex.split(line)
    assert (program, flag) == ("python", "-c")
    monkeypatch.chdir(launched.folder)
    exec(code, {})
    assert "[120 rows x" in capsys.readouterr().out


def test_where_there_is_no_terminal_progress_is_one_line_for_each_condition(launched: Launched) -> None:
    first, disk, note, engine, *lines = launched.err.splitlines()
    assert first == "4 conditions, 30 restarts each"
    assert re.fullmatch(r"disk: at most [\d.]+ MB; [\d.,]+ [GT]B free", disk)
    assert note.startswith("note: no problem chosen: XOR, with network.activation=tanh objective.l2_weights=")
    assert engine.startswith("engine: ")
    assert [line.split()[0] for line in lines] == ["1/4", "2/4", "3/4", "4/4"]
    assert all(re.search(r"init=\w+: best \S+, median \S+ of 30 restarts$", line) for line in lines)


def test_what_is_going_to_be_run_is_said_before_mlflow_has_been_loaded(
    sweeps: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("basinet.workflows.sweep.begin", lambda *arguments: sys.exit("loaded"))
    assert sweeps(f"-m seed=1,2 {TINY}").err.startswith("2 conditions, 6 restarts each\ndisk: at most ")
    assert sweeps(f"{TINY} restarts=auto restarts_max=7").err.startswith("1 condition, up to 7 restarts\ndisk: ")


def _store(folder: Path) -> TrackingStore:
    return TrackingStore.open(f"sqlite:///{folder}/mlflow.db")


def _runs(folder: Path, name: str, kind: str) -> list[Any]:
    store = _store(folder)
    found: list[Any] = store.client.search_runs([store.experiment(name)], f"tags.`basinet.kind` = '{kind}'")
    return found


def _tables(folder: Path, name: str) -> dict[tuple[str, str], pd.DataFrame]:
    """Every table of an experiment by condition and name, without the ids of runs."""
    tables = {}
    for run_ in (*_runs(folder, name, "condition"), *_runs(folder, name, "sweep")):
        place = _store(folder).artifact_folder(run_)
        assert place is not None
        for path in place.rglob("*.parquet"):
            frame = pd.read_parquet(path)
            tables[run_.info.run_name, path.name] = frame.drop(columns="run_id", errors="ignore")
        for path in place.rglob("*.npz"):
            with np.load(path) as arrays:
                tables |= {(run_.info.run_name, key): pd.DataFrame(arrays[key]) for key in arrays.files}
    return tables


def test_the_same_sweep_twice_gives_identical_tables(sweeps: Command, tmp_path: Path) -> None:
    line = "-m init=normal,xavier_normal restarts=20 descent.steps=300 tracking.figures=none"
    for name in ("one", "two"):
        assert sweeps(f"{line} tracking.experiment={name}").code == 0
    first, second = _tables(tmp_path, "one"), _tables(tmp_path, "two")
    assert first.keys() == second.keys()
    assert len(first) >= 2 * 6 + 2
    for key, table in first.items():
        pd.testing.assert_frame_equal(table, second[key], check_exact=True)


def test_one_condition_is_a_run_without_a_parent(sweeps: Command, tmp_path: Path) -> None:
    answer = sweeps(f"{TINY} seed=3")
    assert answer.code == 0
    (run_,) = _runs(tmp_path, "basinet", "condition")
    assert "mlflow.parentRunId" not in run_.data.tags
    assert _runs(tmp_path, "basinet", "sweep") == []
    assert run_.info.run_name == "problem=xor init=normal network.depth=2"
    assert len(basinet.load_restarts(run_.info.run_id)) == 6


@pytest.mark.slow
def test_of_a_condition_that_ran_again_views_show_the_run_that_finished_last(sweeps: Command, tmp_path: Path) -> None:
    finite = "objective.l2_weights=1e-3 objective.l2_biases=1e-3 descent.learning_rate=4 descent.steps=1500"
    for restarts in (60, 70):
        assert sweeps(f"-m init=normal,uniform {finite} restarts={restarts} tracking.figures=none").code == 0
    for kind, counts in (("condition", {60: "no", 70: "yes"}), ("minimum", {60: "no", 70: "yes"})):
        runs = {run_.info.run_id: run_ for run_ in _runs(tmp_path, "basinet", "condition")}
        for run_ in _runs(tmp_path, "basinet", kind):
            above = run_ if kind == "condition" else runs[run_.data.tags["mlflow.parentRunId"]]
            assert run_.data.tags["basinet.current"] == counts[int(above.data.metrics["restarts"])]
    assert _runs(tmp_path, "basinet", "minimum")
    assert len(basinet.load_restarts("basinet")) == 140


@pytest.mark.parametrize(
    ("conditions", "cores", "launcher", "expected"),
    [
        (1, 8, "", (1, 8)),
        (7, 8, "", (1, 8)),  # not enough to make up for starting processes: one after the other, each with all cores
        (8, 8, "", (2, 4)),
        pytest.param(40, 8, "", (8, 1), marks=pytest.mark.slow),
        pytest.param(40, 1, "", (1, 1), marks=pytest.mark.slow),
        pytest.param(40, 8, "hydra/launcher=joblib hydra.launcher.n_jobs=4", (4, 2), marks=pytest.mark.slow),
        (3, 8, "hydra/launcher=joblib", (3, 2)),
        pytest.param(
            40, 8, "hydra/launcher=submitit_local", (None, None), marks=pytest.mark.slow
        ),  # what cores there are is seen where it runs
    ],
)
def test_conditions_share_the_cores(
    conditions: int,
    cores: int,
    launcher: str,
    expected: tuple[int | None, int | None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "submitit" in launcher:
        pytest.importorskip("hydra_plugins.hydra_submitit_launcher")
    monkeypatch.setattr(machine, "cores", lambda: cores)
    seeds = ",".join(map(str, range(conditions)))
    arguments = _parsed(["-m", f"seed={seeds}", *launcher.split()])
    planned = plan(compose_all(arguments, ["-m"]))
    assert (planned.workers, planned.threads) == expected


@pytest.mark.slow
def test_a_glob_runs_every_init_that_needs_no_file(sweeps: Command, tmp_path: Path) -> None:
    answer = sweeps("-m 'init=glob(*)' network.depth=1 restarts=2 descent.steps=1 polish=none tracking.figures=none")
    assert answer.code == 0
    inits = {path.stem for path in (Path(__file__).parents[2] / "conf" / "init").glob("*.yaml")} - {"given"}
    assert sorted(basinet.load_runs("basinet")["init"]) == sorted(inits)


def _own_study(folder: Path, sweep: str) -> None:
    (folder / "my studies" / "experiment").mkdir(parents=True)
    (folder / "my studies" / "experiment" / "mine.yaml").write_text(
        "# @package _global_\n# my own\n"
        "defaults:\n  - override /descent: momentum\n"
        "network:\n  depth: 1\nrestarts: 3\ndescent:\n  steps: 5\n"
        f"hydra:\n  mode: MULTIRUN\n  sweeper:\n    params: {{{sweep}}}\n"
    )


@pytest.mark.slow
def test_a_study_of_ones_own_brings_its_own_sweep(sweeps: Command, tmp_path: Path) -> None:
    _own_study(tmp_path, "init: 'normal,uniform', problem: 'xor,parity'")
    answer = sweeps("--config-dir='my studies' experiment=mine polish=none tracking.figures=none")
    assert answer.code == 0
    runs = basinet.load_runs("mine")
    assert sorted(zip(runs["init"], runs["problem"], strict=True)) == [
        (init, problem) for init in ("normal", "uniform") for problem in ("parity", "xor")
    ]
    assert set(runs["descent"]) == {"momentum"}


def test_a_glob_in_a_study_leaves_out_what_needs_a_file_too(sweeps: Command, tmp_path: Path) -> None:
    """Hydra reads the study again by itself, and has to arrive at the same conditions."""
    _own_study(tmp_path, "init: 'glob(*,exclude=[*uniform,xavier*,kaiming*,lecun*,constant])'")
    answer = sweeps("--config-dir='my studies' experiment=mine polish=none tracking.figures=none")
    assert answer.code == 0
    assert sorted(basinet.load_runs("mine")["init"]) == ["normal", "orthogonal"]


def test_the_command_line_wins_over_the_sweep_of_a_study(sweeps: Command, tmp_path: Path) -> None:
    _own_study(tmp_path, "init: glob(*)")
    answer = sweeps("experiment=mine --config-dir='my studies' init=constant polish=none tracking.figures=none")
    assert answer.code == 0
    assert basinet.load_runs("mine")["init"].tolist() == ["constant"]


@pytest.mark.slow
def test_flags_may_stand_anywhere(sweeps: Command) -> None:
    assert sweeps(f"network.depth=1,2 -m init=normal,uniform {TINY}").code == 0
    assert len(basinet.load_runs("basinet")) == 4


@pytest.mark.parametrize(
    ("setting", "condition", "sweep"),
    [
        pytest.param("condition", True, True, marks=pytest.mark.slow),
        pytest.param("sweep", False, True, marks=pytest.mark.slow),
        ("none", False, False),
        pytest.param("null", True, True, marks=pytest.mark.slow),
    ],
)
def test_figures_are_drawn_where_they_are_asked_for(
    setting: str, condition: bool, sweep: bool, sweeps: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    save = plots.save

    def watched(figures: dict[str, Any], *rest: Any) -> Any:
        drawn.extend(figures)
        return save(figures, *rest)

    monkeypatch.setattr("basinet.plots.save", watched)
    line = f"-m init=normal,uniform restarts=2 descent.steps=1 polish=none tracking.figures={setting}"
    assert sweeps(line).code == 0
    assert ("loss_fan" in drawn, "final_losses" in drawn) == (condition, sweep)


@pytest.mark.slow
def test_a_sweep_in_which_every_restart_diverges_ends_like_any_other(sweeps: Command) -> None:
    answer = sweeps(
        "-m init=normal,uniform problem=sine network.activation=relu descent.learning_rate=1e300 restarts=3 "
        "descent.steps=20 polish=none"
    )
    assert answer.code == 0
    assert set(basinet.load_restarts("basinet")["status"]) == {"diverged"}


@pytest.mark.slow
def test_names_that_look_like_markup_are_shown_as_they_are(sweeps: Command, tmp_path: Path) -> None:
    for name in ("a[", "b["):
        (tmp_path / name).mkdir()
        (tmp_path / name / "c].csv").write_text(f"x,y\n1,2\n2,{ord(name[0])}\n")  # the same would be one condition
    answer = sweeps(f"-m problem=table problem.targets=[y] \"problem.path='a[/c].csv','b[/c].csv'\" {TINY}")
    assert answer.code == 0
    assert "problem.path=a[/c].csv: best" in answer.err
    assert "\na[/c].csv " in answer.out


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], None]], None]:
    """Makes the training of the conditions with a certain init do something else."""

    def install(init: str, happen: Callable[[], None]) -> None:
        def instead(study: Study, **rest: Any) -> Any:
            if study.settings["init"]["name"] == init:
                happen()
            return run(study, **rest)

        monkeypatch.setattr("basinet.workflows.sweep.run", instead)

    return install


def _statuses(folder: Path) -> tuple[str, dict[str, str]]:
    (parent,) = _runs(folder, "basinet", "sweep")
    return parent.info.status, {r.data.params["init"]: r.info.status for r in _runs(folder, "basinet", "condition")}


def test_a_condition_that_fails_is_marked_and_the_others_are_kept(
    sweeps: Command, failing: Callable[..., None], tmp_path: Path
) -> None:
    def fail() -> None:
        raise RuntimeError("the disk is on fire")

    failing("uniform", fail)
    answer = sweeps(f"-m init=normal,uniform,orthogonal {TINY}")
    assert answer.code == 1
    assert "the disk is on fire" in answer.err
    finished = {"normal": "FINISHED", "uniform": "FAILED", "orthogonal": "FINISHED"}
    assert _statuses(tmp_path) == ("FAILED", finished)
    (failed,) = [r for r in _runs(tmp_path, "basinet", "condition") if r.info.status == "FAILED"]
    assert failed.data.tags["basinet.error"].startswith("Traceback (most recent call last):")
    assert "RuntimeError: the disk is on fire" in failed.data.tags["basinet.error"]
    (parent,) = _runs(tmp_path, "basinet", "sweep")
    spread = pd.read_parquet(_store(tmp_path).artifact_folder(parent) / "tables" / "spread.parquet")
    assert set(spread["init"]) == {"normal", "orthogonal"}
    assert parent.data.metrics["conditions/finished"] == 2
    assert set(basinet.load_restarts(parent.info.run_id)["init"]) == {"normal", "orthogonal"}
    assert "uniform" not in answer.out


@pytest.mark.slow
def test_a_sweep_of_which_nothing_finishes_ends_as_failed(
    sweeps: Command, failing: Callable[..., None], tmp_path: Path
) -> None:
    def fail() -> None:
        raise RuntimeError("no")

    failing("uniform", fail)
    assert sweeps(f"-m init=uniform seed=1,2 {TINY}").code == 1
    (parent,) = _runs(tmp_path, "basinet", "sweep")
    assert parent.info.status == "FAILED"


@pytest.mark.parametrize("how", slow_but(["SIGTERM"], ["ctrl-c", "SIGTERM", "clearing up fails"]))
def test_an_interrupted_sweep_is_marked_as_killed_and_keeps_what_had_finished(
    how: str, sweeps: Command, failing: Callable[..., None], tmp_path: Path
) -> None:
    def interrupt() -> None:
        if how == "ctrl-c":
            raise KeyboardInterrupt
        if how == "clearing up fails":
            try:
                raise KeyboardInterrupt
            finally:
                raise OSError("half made")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)

    def unhandled(*arguments: object) -> None:
        raise RuntimeError("nobody waits for the signal")

    signal.signal(signal.SIGTERM, unhandled)  # instead of ending the tests; `command` puts back what was there
    failing("uniform", interrupt)
    answer = sweeps(f"-m init=normal,uniform,orthogonal {TINY}")
    assert answer.code == 130
    assert _statuses(tmp_path) == ("KILLED", {"normal": "FINISHED", "uniform": "KILLED"})
    *_, last = answer.err.splitlines()
    assert last == "basinet: interrupted; what had finished is kept, the same command goes on from there"
    assert set(basinet.load_restarts("basinet")["init"]) == {"normal"}


def test_an_interrupted_condition_is_marked_as_killed(
    sweeps: Command, failing: Callable[..., None], tmp_path: Path
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    failing("normal", interrupt)
    answer = sweeps(TINY)
    assert answer.code == 130
    *_, last = answer.err.splitlines()
    assert last == "basinet: interrupted; what had finished is kept, the same command goes on from there"
    assert [line.split()[0] for line in answer.out.splitlines()] == ["browse"]  # there is nothing to analyse
    assert [r.info.status for r in _runs(tmp_path, "basinet", "condition")] == ["KILLED"]


def test_an_interrupt_before_anything_has_begun_ends_in_one_line(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupt(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("basinet.cli.plan.plan", interrupt)
    answer = command(TINY)
    assert (answer.code, answer.out, answer.err) == (130, "", "basinet: interrupted\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_sweep_whose_summary_fails_does_not_pass_for_finished(
    sweeps: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def fail(*arguments: object) -> None:
        raise RuntimeError("no figure")

    monkeypatch.setattr("basinet.plots.sweep_figures", fail)
    with pytest.raises(RuntimeError, match="no figure"):
        sweeps("-m init=normal,uniform restarts=2 descent.steps=1 polish=none tracking.figures=sweep")
    assert _statuses(tmp_path) == ("FAILED", {"normal": "FINISHED", "uniform": "FINISHED"})
    (parent,) = _runs(tmp_path, "basinet", "sweep")
    assert "RuntimeError: no figure" in parent.data.tags["basinet.error"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--version", f"basinet {basinet.__version__}\n"),
        ("--help", "basinet -m init='glob(*)' network.depth=2,4,8"),
        ("--cfg job experiment=depth restarts=77", "restarts: 77\n"),
        ("experiment=depth --cfg job", "problem:\n  name: sine\n"),
        ("--cfg job --package descent descent=adam", "beta1: 0.9\n"),
        ("--info searchpath", "file://"),
    ],
)
def test_questions_are_answered_and_nothing_is_created(
    line: str, expected: str, command: Command, tmp_path: Path
) -> None:
    answer = command(line)
    assert (answer.code, answer.err) == (0, "")
    assert expected in answer.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("basinet in", {"init="}),
        ("basinet init=xav", {"init=xavier_normal", "init=xavier_uniform"}),
        ("basinet experiment=", {"experiment=depth", "experiment=xor"}),
        ("basinet init=uniform init.b", {"init.bias=", "init.bound="}),
    ],
)
def test_the_shell_can_complete_groups_members_and_settings(
    typed: str, offered: set[str], command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("COMP_LINE", typed)
    answer = command("-sc query=bash")
    assert answer.code == 0
    assert offered <= set(answer.out.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("main", "--version"),
        ("main", "--help"),
        ("main", "-sc query=bash"),
        ("main", "init=xaver"),
        ("listing", ""),
        ("ui", "--help"),
        ("main", "-m init=normal,uniform network.depth=1 restarts=30 descent.steps=100 dry_run=true"),  # has finished
    ],
)
def test_quick_answers_do_not_wait_for_the_numerical_libraries(module: str, line: str, swept: Path) -> None:
    code = (
        f"import sys; from basinet.cli.{module} import main; sys.argv[1:] = {line.split()!r}\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('\\nIMPORTED', *sorted(name for name in sys.modules if '.' not in name))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        cwd=swept,
        env={**os.environ, "COMP_LINE": "basinet in"},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(answer.stdout.rpartition("\nIMPORTED ")[2].split())
    assert "basinet" in imported
    assert imported & HEAVY == set()


def test_what_a_newer_launch_writes_is_what_is_loaded(sweeps: Command) -> None:
    """The same condition with other numbers of restarts, threads and however its numbers are typed."""
    for settings in ("restarts=6", "restarts=4 threads=1 descent.learning_rate=1 init.std=1"):
        assert sweeps(f"{settings} descent.steps=20 polish=none tracking.figures=none").code == 0
    assert len(load.load_restarts("basinet")) == 4


def test_a_launch_of_which_no_restart_has_ended_at_a_bottom_ends_well(sweeps: Callable[[str], Any]) -> None:
    answer = sweeps("restarts=3 descent.steps=1 polish=none tracking.figures=none")
    assert answer.code == 0
    assert "unfinished  " in answer.out[answer.out.index("Where they ended") :]
