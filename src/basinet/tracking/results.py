"""What an experiment, a sweep or a run has left: opened once, and then read as often as one likes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import yaml

from basinet.analysis.cards import Card, Shown
from basinet.analysis.tally import ALIKE, tally
from basinet.foundation.errors import ConfigError, require
from basinet.foundation.large import HELD
from basinet.study.defaults import columns_of
from basinet.tracking import proofs
from basinet.tracking.find import find_conditions
from basinet.tracking.frames import check_columns, identity, joined, select, settings_of, typed
from basinet.tracking.integrity import COUNTS, VISITS, has_runs, is_large, open_table, reading
from basinet.tracking.row_choice import Choice, first, read
from basinet.tracking.store import TrackingStore
from basinet.tracking.sweep_minima import SweepMinima, read_table
from basinet.tracking.tags import COLUMNS, CONDITION, LANDSCAPE, SYMMETRY
from basinet.tracking.where import Rows, Where

if TYPE_CHECKING:
    from basinet.study.study import Study

_BETWEEN = ("tables/saddles.parquet", "tables/paths.parquet")  # which only some conditions have


@dataclass(frozen=True, repr=False)
class Results(Shown):
    """The conditions of an experiment, a sweep or a run, as they were when it was opened; of each the newest run.

    Tables are read when they are first asked for, of the conditions that have finished, and kept; `load_*` say what
    stands in them. Made by `basinet.open`.
    """

    name: str
    store: TrackingStore
    found: list[Any]  # MLflow's runs, one for each condition, in the order in which they were asked for

    @staticmethod
    def open(name: str, tracking_uri: str | None = None) -> Results:
        """The results of an experiment, the id of a sweep's parent run, or the id of a condition's run.

        Args:
            name: which.
            tracking_uri: the store; the one of the working directory if None.

        Raises:
            ConfigError: if there is no such experiment or run, or it has no conditions yet.
        """
        store, runs = find_conditions(name, tracking_uri)
        require(bool(runs), f"'{name}' has no conditions yet")
        return Results(name, store, runs)

    @property
    def _card(self) -> Card:
        rows = [
            {"condition": run.info.run_name, "run": run.info.run_id[:8], "status": run.info.status.lower()}
            for run in self.found
        ]
        done = sum(run.info.status == "FINISHED" for run in self.found)
        facts = [f"{len(rows):,} condition{'s' * (len(rows) != 1)}, {done:,} finished"]
        rest = ".runs  .restarts  .minima  .curves  .parameters(run)  .study(run)"
        return Card(f"Results of '{self.name}'", facts, pd.DataFrame(rows), rest)

    @property
    def runs(self) -> pd.DataFrame:
        """As `basinet.load_runs`."""
        return self.load_runs()

    @property
    def restarts(self) -> pd.DataFrame:
        """As `basinet.load_restarts`."""
        return self._whole("restarts")

    @property
    def minima(self) -> pd.DataFrame:
        """As `basinet.load_minima`."""
        return self._whole("minima")

    @property
    def saddles(self) -> pd.DataFrame:
        """As `basinet.load_saddles`."""
        return self._whole("saddles")

    @property
    def symmetries(self) -> list[str]:
        """Of every condition that has finished, what may be done to its problem without changing what is minimised.

        In words, empty where nothing may, or where it was not asked yet.
        """
        return [run.data.tags.get(SYMMETRY, "") for run in self.finished]

    @property
    def evidence(self) -> pd.DataFrame:
        """As `basinet.load_evidence`."""
        return self._whole("evidence")

    @property
    def curves(self) -> pd.DataFrame:
        """As `basinet.load_curves`."""
        return self._whole("curves")

    @property
    def quantiles(self) -> pd.DataFrame:
        """As `basinet.load_quantiles`."""
        return self._whole("quantiles")

    @property
    def has_runs(self) -> bool:
        """Whether restarts of some condition that has finished went on as runs."""
        return any(has_runs(run) for run in self.finished)

    @property
    def visits(self) -> pd.DataFrame:
        """As `basinet.load_visits`."""
        return self._whole("visits")

    def parameters(self, run_id: str | None = None) -> dict[str, np.ndarray[Any, Any]]:
        """`initial` and `final` of a condition's restarts, `[restart, parameter]` each; errors as for `study`."""
        run = self._condition(run_id)
        return _arrays(self._artifact(run, "parameters.npz"))

    def study(self, run_id: str | None = None) -> Study:
        """What a condition was, ready to be run again, asked for its objective, or its restarts drawn.

        Args:
            run_id: which condition; may be left out where there is only one.

        Raises:
            ConfigError: if it has to be said which condition is meant, or it is none that has finished here.
        """
        from basinet.study.study import Study  # which takes the time of torch: not everybody who reads tables asks

        return Study.from_config(self.settings(run_id))

    def settings(self, run_id: str | None = None) -> dict[str, Any]:
        """The resolved settings of a condition; arguments and errors as for `study`."""
        run = self._condition(run_id)
        path = self._artifact(run, "config.yaml")
        with reading(path):
            settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        require(isinstance(settings, dict), f"{path}: is not the configuration of a condition")
        _check_unchanged(columns_of(settings), json.loads(run.data.tags[COLUMNS]), path)
        return settings  # type: ignore[no-any-return]

    def load_runs(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """`runs`, or some columns of it."""
        rows, every = [], settings_of(self.found)
        for run, settings in zip(self.found, every, strict=True):
            metrics = {key: value for key, value in run.data.metrics.items() if key not in settings}
            rows.append({**identity(run), **metrics, **settings})
        frame = pd.DataFrame(rows)
        settings_keys = {key for settings in every for key in settings}
        for key in frame.columns:
            if key in settings_keys or key == "status":
                frame[key] = typed(frame[key])
        return select(frame, columns, "load_runs")

    def load_table(
        self,
        table: str,
        columns: Sequence[str] | None = None,
        where: Where | None = None,
        choice: Choice | None = None,
    ) -> pd.DataFrame:
        """One of the tables by its name, or some columns and rows of it: no others are kept in memory.

        Of each condition's rows that satisfy `where` those are read that a `choice` takes.
        """
        rows = Rows.wanted(where)
        parts, runs, known = [], [], {"run_id"}
        stored = {"run_id"}
        settings = dict(zip([run.info.run_id for run in self.found], settings_of(self.found), strict=True))
        for run, path in self._artifacts(f"tables/{table}.parquet"):
            own = {"run_id": run.info.run_id, **settings[run.info.run_id]}
            part, names = self._part(run, path, columns, rows, own, choice)
            parts.append(part)
            runs.append(run)
            stored.update(names, own)
            known.update(names, part.columns, own)
        check_columns(rows.names, stored, f"load_{table} to choose rows by")
        check_columns(columns, known, f"load_{table}")
        frame = joined(parts, runs, columns)
        if table == "minima":
            frame = frame.drop(columns="signature", errors="ignore")
        return select(frame, columns, f"load_{table}")

    def load_counted(self, columns: Sequence[str] | None = None) -> tuple[pd.DataFrame, pd.DataFrame | None]:
        """Restarts as `load_table` reads them, of a large condition the first ones; and what counts all of them.

        Returns:
            The restarts; and, where some condition is large, the tallies of all (`analysis.tally`) with their settings.
        """
        if not any(is_large(run) for run in self.finished):
            return self.load_table("restarts", columns), None
        parts = [self._tally(run) for run in self.finished]
        return self.load_table("restarts", columns, choice=first(HELD)), joined(parts, self.finished, None)

    def _tally(self, run: Any) -> pd.DataFrame:
        alone = Results(self.name, self.store, [run])
        if is_large(run) and self.store.artifact(run, COUNTS) is not None:
            return tally(alone.load_table("counts"))
        known = alone.columns("restarts")  # also of a large one that an earlier version wrote
        wanted = ["loss", *(name for name in ALIKE if name in known), "sweep_minimum"]
        return tally(alone.load_table("restarts", wanted))

    def last_restart(self, run_id: str | None = None) -> int:
        """The number of a condition's last restart, which no table is read for; arguments and errors as for `study`."""
        path = self._artifact(self._condition(run_id), "tables/restarts.parquet")
        with open_table(path) as file:
            return file.metadata.num_rows - 1  # type: ignore[no-any-return]

    def _part(
        self,
        run: Any,
        path: Path,
        columns: Sequence[str] | None,
        rows: Rows,
        settings: dict[str, Any],
        choice: Choice | None,
    ) -> tuple[pd.DataFrame, list[str]]:
        """Of one condition's table what is wanted, and the names of all columns of the file."""
        with_proofs = path.name == "minima.parquet" and proofs.are_asked_for(columns, self.finished)
        with open_table(path) as file:
            names: list[str] = file.schema_arrow.names
            with_sweep = "minimum" in names and (columns is None or "sweep_minimum" in columns)
            asked = None if columns is None else [*columns, "minimum"] if with_sweep or with_proofs else columns
            wanted = None if asked is None else [name for name in names if name in asked] or names[:1]
            if choice is not None and rows.is_all:  # which no more is read for than the row groups that it takes
                part = read(file, wanted, choice).to_pandas()
            else:
                found = rows.read(path, file.schema_arrow, settings, wanted)
                part = (found if choice is None else found.take(choice(len(found)))).to_pandas()
        if with_sweep:
            ids = self._sweep_minima.ids(run, part["minimum"].to_numpy())
            part.insert(list(part.columns).index("minimum") + 1, "sweep_minimum", ids)
        if with_proofs:
            part = proofs.with_proofs(part, self._proofs(run))
        return part, names

    def load_parameters(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """One row per restart: `run_id restart initial final` (vectors), with the condition's settings."""
        parts, runs = [], []
        for run, path in self._artifacts("parameters.npz"):
            both = {key: list(array) for key, array in _arrays(path).items()}
            parts.append(pd.DataFrame({"restart": np.arange(len(both["final"])), **both}))
            runs.append(run)
        return select(joined(parts, runs, None), columns, "load_parameters")

    def catalogues(self) -> pd.DataFrame:
        """The minima of every condition with what merging them takes: `run_id condition signature parameters …`."""
        parts = [
            read_table(path).assign(run_id=run.info.run_id, condition=run.data.tags[CONDITION])
            for run, path in self._artifacts("tables/minima.parquet")
        ]
        return pd.concat(parts, ignore_index=True)

    def columns(self, table: str) -> list[str]:
        """The columns that a table has in every condition that has finished, settings aside."""
        found = []
        for _, path in self._artifacts(f"tables/{table}.parquet"):
            with open_table(path) as file:
                found.append(file.schema_arrow.names)
        return [column for column in found[0] if all(column in names for names in found)]

    @cached_property
    def _tables(self) -> dict[str, pd.DataFrame]:
        return {}

    def _whole(self, table: str) -> pd.DataFrame:
        if table not in self._tables:
            self._tables[table] = self.load_table(table)
        return self._tables[table].copy(deep=False)  # whoever changes theirs changes no one else's: copy on write

    @cached_property
    def _sweep_minima(self) -> SweepMinima:
        return SweepMinima(self.store)

    @cached_property
    def finished(self) -> list[Any]:
        """The runs whose files are whole; there is at least one."""
        finished = [run for run in self.found if run.info.status == "FINISHED"]
        require(bool(finished), f"no condition of '{self.name}' has finished")
        return finished

    def _condition(self, run_id: str | None) -> Any:
        runs = self.finished
        if run_id is None:
            require(len(runs) == 1, f"'{self.name}' has {len(runs)} conditions; name one by its run id")
            return runs[0]
        for run in runs:
            if run.info.run_id == run_id:
                return run
        raise ConfigError(f"'{self.name}' has no finished condition with the run id '{run_id}'")

    def _artifacts(self, relative: str) -> Iterator[tuple[Any, Path]]:
        """The conditions that have finished and have an artifact, each with its local path."""
        runs = self.finished
        if relative == VISITS:
            runs = [run for run in runs if has_runs(run)]
            require(bool(runs), f"'{self.name}' has no runs that escape: its conditions have escape=none")
        if relative in _BETWEEN:
            runs = [run for run in runs if LANDSCAPE in run.data.tags]
            require(bool(runs), f"no condition of '{self.name}' was run with landscape=saddles")
        for run in runs:
            yield run, self._artifact(run, relative)

    def _proofs(self, run: Any) -> Path | None:
        """Where the proofs about a condition's minima lie, if there are any."""
        return self._artifact(run, proofs.PROOFS) if proofs.PROVED in run.data.tags else None

    def _artifact(self, run: Any, relative: str) -> Path:
        path = self.store.artifact(run, relative)
        if path is None:
            text = f"run {run.info.run_id} of '{self.name}' has no {relative}: were its artifacts moved away?"
            raise ConfigError(text)
        return path


def _arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    with reading(path), path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        return {"initial": arrays["initial"], "final": arrays["final"]}


def _check_unchanged(found: dict[str, Any], made_with: dict[str, Any], path: Path) -> None:
    """Raise `ConfigError` if a configuration is not that of its run any more."""
    for key in {**made_with, **found}:
        now, then = found.get(key), made_with.get(key)
        require(now == then, f"{path}: has been changed since the run was made: {key} is {now}, and was {then}")
