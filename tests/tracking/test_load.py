from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

import basinet
from basinet.foundation.errors import ConfigError
from basinet.tracking import find, load
from basinet.tracking.membership import join_sweep, leave_sweep
from basinet.tracking.record import OpenRun, open_sweep, write_parquet
from basinet.tracking.store import TrackingStore

Write = Callable[..., OpenRun]
NORMAL = {"seed": 0, "init": "normal", "init.std": 1.5, "network.depth": 2, "network.bias": True}
XAVIER = {"seed": 0, "init": "xavier_normal", "init.gain": 1.0, "network.depth": 3, "network.bias": True}


def test_a_run_is_found_by_the_beginning_of_its_id_as_reports_show_it(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = write(NORMAL, [3.0, 1.0]), write(XAVIER, [2.0])
    for run, losses in ((one, [3.0, 1.0]), (other, [2.0])):
        assert basinet.load_restarts(run.id[:8])["loss"].tolist() == losses
    for name in (one.id[:7], "0123456789"):
        with pytest.raises(ConfigError, match=rf"^unknown experiment or run '{name}'"):
            basinet.load_restarts(name)
    monkeypatch.setattr(find, "search", lambda *arguments: [one.run, other.run])
    with pytest.raises(ConfigError, match=rf"^run '{one.id[:8]}': the ids of 2 runs begin so; give more of it$"):
        basinet.load_restarts(one.id[:8])


def test_the_rows_are_those_of_the_tables_with_the_settings_as_columns(write: Write) -> None:
    one, other = write(NORMAL, [3.0, 1.0]), write(XAVIER, [2.0])
    frame = basinet.load_restarts("made")
    expected = pd.DataFrame(
        {
            "run_id": [one.id, one.id, other.id],
            "restart": [0, 1, 0],
            "loss": [3.0, 1.0, 2.0],
            "init": ["normal", "normal", "xavier_normal"],
            "init.std": [1.5, 1.5, np.nan],
            "init.gain": [np.nan, np.nan, 1.0],
            "network.depth": [2, 2, 3],
        }
    )
    pd.testing.assert_frame_equal(frame[list(expected)], expected, check_dtype=False, check_categorical=False)
    assert next(iter(frame)) == "run_id"


def test_numbers_are_numbers_choices_are_categories_and_nothing_else_is_an_object(write: Write) -> None:
    write(NORMAL, [3.0, 1.0])
    write(XAVIER, [2.0])
    types = basinet.load_restarts("made").dtypes
    assert {key for key, kind in types.items() if kind == "category"} == {"run_id", "status", "init"}
    assert types["network.depth"] == types["restart"] == types["seed"] == np.int64
    assert types["init.std"] == types["init.gain"] == types["loss"] == np.float64
    assert types["network.bias"] == np.bool_
    assert object not in set(types)


def test_the_status_of_a_restart_has_three_categories_whatever_occurs(write: Write) -> None:
    write(NORMAL, [3.0])
    write(XAVIER, [2.0])
    assert list(basinet.load_restarts("made")["status"].cat.categories) == ["arrived", "budget", "diverged"]


def test_curves_are_float32(write: Write) -> None:
    write(NORMAL, [3.0, 1.0])
    curves = basinet.load_curves("made")
    assert curves["loss"].dtype == np.float32
    assert curves["loss"].tolist() == [0, 1, 2, 3]


def test_parameters_come_back_to_the_bit(write: Write) -> None:
    write(NORMAL, [3.0, 1.0])
    frame = basinet.load_parameters("made")
    np.testing.assert_array_equal(np.stack(frame["final"]), [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(np.stack(frame["initial"]), [[-0.0, -1, -2], [-3, -4, -5]])
    assert frame["init"].tolist() == ["normal", "normal"]


def test_quantiles_have_one_row_per_record_and_condition(write: Write) -> None:
    write(NORMAL, [3.0, 1.0])
    write(XAVIER, [3.0, 1.0, 4.0])
    assert basinet.load_quantiles("made")["loss_median"].tolist() == [1.0, 0.5, 1.0, 0.5]


def test_a_name_is_an_experiment_a_sweep_or_a_run(write: Write, store: TrackingStore) -> None:
    sweep = open_sweep(store, store.experiment("made"), "a sweep", "basinet -m init=normal,xavier_normal")
    one, two = write(NORMAL, [1.0], sweep_id=sweep.id), write(XAVIER, [2.0], sweep_id=sweep.id)
    three = write({**NORMAL, "network.depth": 9}, [3.0])
    write(NORMAL, [4.0], experiment="another")
    for name, ids in {
        "made": [one.id, two.id, three.id],
        sweep.id: [one.id, two.id],
        two.id: [two.id],
        three.id: [three.id],
    }.items():
        assert basinet.load_restarts(name)["run_id"].tolist() == ids
        assert basinet.load_runs(name)["run_id"].tolist() == ids


def depths(name: str) -> list[int]:
    return basinet.load_restarts(name)["network.depth"].tolist()


def test_conditions_come_in_the_order_in_which_a_sweep_was_asked_for(write: Write, store: TrackingStore) -> None:
    sweep = open_sweep(store, store.experiment("made"), "a sweep", "basinet -m network.depth=4,2,3,1")
    for number, depth in ((3, 1), (1, 2), (0, 4), (2, 3)):  # as several processes may begin them
        write({**NORMAL, "network.depth": depth}, [1.0], sweep_id=sweep.id, number=number)
    assert depths(sweep.id) == depths("made") == [4, 2, 3, 1]
    assert basinet.load_runs("made")["network.depth"].tolist() == [4, 2, 3, 1]


def test_a_condition_stands_where_the_sweep_that_one_asks_about_has_it(write: Write, store: TrackingStore) -> None:
    """The later sweep takes over what the earlier one has finished."""
    earlier = open_sweep(store, store.experiment("made"), "a sweep", "basinet -m network.depth=3,1")
    runs = [
        write({**NORMAL, "network.depth": depth}, [1.0], sweep_id=earlier.id, number=number)
        for number, depth in enumerate((3, 1))
    ]
    alone = write({**NORMAL, "network.depth": 9}, [1.0])
    later = open_sweep(store, store.experiment("made"), "a sweep", "basinet -m network.depth=1,2,9,3")
    for run, number in zip((*runs, alone), (3, 0, 2), strict=True):
        join_sweep(store, store.client.get_run(run.id), (later.id, number))
    write({**NORMAL, "network.depth": 2}, [1.0], sweep_id=later.id, number=1)
    assert depths(earlier.id) == [3, 1]
    assert depths(later.id) == depths("made") == [1, 2, 9, 3]
    for run in (*runs, alone):
        leave_sweep(store, store.client.get_run(run.id), later.id)
    assert depths("made") == [3, 1, 9, 2]


def test_conditions_of_which_no_number_is_known_stand_behind_as_they_began(write: Write, store: TrackingStore) -> None:
    sweep = open_sweep(store, store.experiment("made"), "a sweep", "basinet -m network.depth=3,1,2")
    for number, depth in enumerate((3, 1, 2)):
        run = write({**NORMAL, "network.depth": depth}, [1.0], sweep_id=sweep.id, number=number)
        if depth != 2:
            store.client.delete_tag(run.id, "basinet.numbers")
    assert depths(sweep.id) == depths("made") == [2, 3, 1]


def test_an_unknown_name_is_answered_with_the_nearest(write: Write) -> None:
    write(NORMAL, [1.0], experiment="depth")
    with pytest.raises(ConfigError, match=r"^unknown experiment or run 'dept': did you mean 'depth'\?$"):
        basinet.load_restarts("dept")


def test_where_there_is_no_store_the_error_says_where_it_looked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=rf"^there is no store at sqlite:///{tmp_path}/mlflow\.db$"):
        basinet.load_restarts("depth")


def test_columns_come_as_asked_for(write: Write) -> None:
    write(NORMAL, [3.0, 1.0])
    write(XAVIER, [2.0])
    whole = basinet.load_restarts("made")
    for columns in (["loss", "init", "restart"], ["network.depth", "run_id"], ["init"], ["loss"]):
        pd.testing.assert_frame_equal(basinet.load_restarts("made", columns=columns), whole[columns])
    runs = basinet.load_runs("made", columns=["network.depth", "status"])
    assert runs.to_numpy().tolist() == [[2, "finished"], [3, "finished"]]


@pytest.mark.parametrize(
    "loader", [load.load_runs, load.load_restarts, load.load_curves, load.load_quantiles, load.load_parameters]
)
def test_an_unknown_column_is_answered_with_the_nearest(loader: Any, write: Write) -> None:
    write(NORMAL, [3.0, 1.0])
    with pytest.raises(ConfigError, match=r"'network\.dept': did you mean 'network\.depth'\?$"):
        loader("made", columns=["network.dept"])


def test_of_a_condition_that_ran_more_than_once_the_newest_finished_run_counts(write: Write) -> None:
    write(NORMAL, [1.0])
    write(XAVIER, [5.0])
    newest = write(NORMAL, [2.0, 2.5])
    for status in ("FAILED", "KILLED", None):
        write(NORMAL, [3.0], status=status)
    frame = basinet.load_restarts("made")
    assert frame.loc[frame["init"] == "normal", "loss"].tolist() == [2.0, 2.5]
    assert set(frame.loc[frame["init"] == "normal", "run_id"]) == {newest.id}
    assert len(basinet.load_runs("made")) == 2


def test_what_a_failed_or_killed_run_left_behind_is_not_loaded(write: Write) -> None:
    """A file may be half written: here it is."""
    broken = write(NORMAL, [1.0], status="KILLED")
    assert broken.folder is not None
    (broken.folder / "tables" / "restarts.parquet").write_bytes(b"PAR1")
    write(XAVIER, [2.0])
    assert basinet.load_restarts("made")["loss"].tolist() == [2.0]
    runs = basinet.load_runs("made")
    assert dict(zip(runs["init"], runs["status"], strict=True)) == {"normal": "killed", "xavier_normal": "finished"}


@pytest.mark.parametrize("status", ["FAILED", "KILLED", None])
def test_where_nothing_has_finished_the_error_says_so(status: str | None, write: Write) -> None:
    write(NORMAL, [1.0], status=status)
    for loader in (load.load_restarts, load.load_parameters):
        with pytest.raises(ConfigError, match=r"^no condition of 'made' has finished$"):
            loader("made")


def test_an_experiment_without_runs_is_said_to_have_none(store: TrackingStore) -> None:
    store.experiment("empty")
    with pytest.raises(ConfigError, match=r"^'empty' has no conditions yet$"):
        basinet.load_restarts("empty")


def test_artifacts_that_are_gone_are_missed_by_the_name_of_the_run(write: Write) -> None:
    """Loading the rest in silence would pass off some conditions as all."""
    run = write(NORMAL, [1.0])
    write(XAVIER, [2.0])
    assert run.folder is not None
    shutil.rmtree(run.folder)
    with pytest.raises(ConfigError, match=rf"^run {run.id} of 'made' has no tables/restarts\.parquet: "):
        basinet.load_restarts("made")


@pytest.mark.parametrize("version", [0, 99, None])
def test_a_table_of_another_schema_is_refused(version: int | None, write: Write) -> None:
    run = write(NORMAL, [1.0])
    assert run.folder is not None
    path = run.folder / "tables" / "restarts.parquet"
    table = pq.read_table(path)
    metadata = {} if version is None else {"basinet_schema": str(version)}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    stated = "none" if version is None else version
    with pytest.raises(ConfigError, match=rf"restarts\.parquet: has schema {stated}, this version of basinet reads 1$"):
        basinet.load_restarts("made")


def test_more_runs_than_a_page_are_all_found(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "_PAGE", 2)
    for depth in range(1, 6):
        write({**NORMAL, "network.depth": depth}, [float(depth)])
    assert basinet.load_restarts("made")["loss"].tolist() == [1, 2, 3, 4, 5]


def test_a_run_has_its_sweep_its_times_and_its_metrics_as_columns(write: Write, store: TrackingStore) -> None:
    sweep = open_sweep(store, store.experiment("made"), "a sweep", "basinet")
    run = write(NORMAL, [1.0], sweep_id=sweep.id, status=None)
    run.log(metrics={"share/arrived": 0.25, "restarts": 7.0, "nothing": float("nan"), "too much": float("inf")})
    before = pd.Timestamp.now("UTC").tz_localize(None)
    time.sleep(0.01)
    run.close("FINISHED")
    (row,) = basinet.load_runs("made").to_dict("records")
    assert row["sweep_id"] == sweep.id
    assert row["share/arrived"] == 0.25
    assert row["restarts"] == 7
    assert "nothing" not in row
    assert "too much" not in row
    assert before - pd.Timedelta(minutes=1) < row["started"] < before
    info = store.client.get_run(run.id).info
    assert row["wall_seconds"] == (info.end_time - info.start_time) / 1000 > 0


def test_logging_the_same_again_adds_nothing(write: Write, store: TrackingStore) -> None:
    run = write(NORMAL, [1.0], status=None)
    for _ in range(2):
        run.log(history=pd.DataFrame({"step": [0, 10], "loss/min": [1.0, 0.5]}))
    history = store.client.get_metric_history(run.id, "loss/min")
    assert [(entry.step, entry.value) for entry in history] == [(0, 1.0), (10, 0.5)]


def test_bottoms_have_the_ids_that_their_sweep_gave_them(write: Write, store: TrackingStore) -> None:
    sweep = open_sweep(store, store.experiment("made"), "a sweep", "basinet")
    one = write(NORMAL, [1.0, 9.0, 1.0, 2.0], minimum=[0, -1, 0, 1], sweep_id=sweep.id)
    two = write(XAVIER, [2.0, 3.0], minimum=[0, 1], sweep_id=sweep.id)
    assert basinet.load_restarts("made")["sweep_minimum"].tolist() == [-1] * 6  # before the sweep has ended
    assert sweep.folder is not None
    rows = [(one.id, 0, 0), (one.id, 1, 1), (two.id, 0, 1), (two.id, 1, 2)]
    merged = pd.DataFrame(rows, columns=["run_id", "minimum", "sweep_minimum"])
    write_parquet(merged, sweep.folder / "tables" / "sweep_minima.parquet")
    restarts = basinet.load_restarts("made")
    assert restarts["sweep_minimum"].tolist() == [0, -1, 0, 1, 1, 2]
    assert basinet.load_minima("made")["sweep_minimum"].tolist() == [0, 1, 1, 2]
    assert basinet.load_restarts("made", columns=["sweep_minimum", "loss"]).columns.tolist() == [
        "sweep_minimum",
        "loss",
    ]


def test_bottoms_of_a_run_without_a_sweep_keep_their_ids(write: Write) -> None:
    write(NORMAL, [1.0, 9.0, 2.0], minimum=[0, -1, 1])
    frame = basinet.load_restarts("made")
    assert frame["sweep_minimum"].tolist() == frame["minimum"].tolist() == [0, -1, 1]


def test_conditions_from_before_there_were_orbits_are_read_beside_newer_ones(write: Write) -> None:
    write(NORMAL, [1.0, 9.0], minimum=[0, -1])
    newer = write(XAVIER, [2.0, 3.0], minimum=[0, 1])
    assert newer.folder is not None
    for table, orbits in (("restarts", [0, 0]), ("minima", [0, 0])):
        path = newer.folder / "tables" / f"{table}.parquet"
        write_parquet(pd.read_parquet(path).assign(orbit=orbits), path)
    assert basinet.load_restarts("made")["orbit"].isna().tolist() == [True, True, False, False]
    assert basinet.load_minima("made", columns=["orbit", "loss"])["orbit"].tolist()[1:] == [0, 0]
    assert basinet.open("made").symmetries == ["", ""]
