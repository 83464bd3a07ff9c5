"""Blocks from workers: whoever makes them, in whichever order, the tables are those of one process, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from basinet.foundation.errors import ConfigError
from basinet.pipeline import missing as planning
from basinet.pipeline.ahead import Ahead, BlockFailed, Lot
from basinet.pipeline.blocks import Block, FolderStore, MemoryStore, Store, block_of
from basinet.pipeline.gather import Findings
from basinet.pipeline.run import run
from basinet.pipeline.solve import solve
from basinet.pipeline.work import Job, kind_of_machine, work
from basinet.study.study import Study
from crews import Lost, Pretended, honest
from logs import logs_as_they_were

SETTINGS: dict[str, Any] = {"restarts": 44, "descent": {"steps": 10}, "engine": "torch", "polish": {"steps": 0}}
CAMEL: dict[str, Any] = {
    "objective": {"name": "test_function", "function": "camel"},
    "init": "uniform",
    "engine": "torch",
    "descent": {"learning_rate": 0.01, "steps": 50, "tolerance": 1e-3},
    "restarts": 12,
}


def study(**more: Any) -> Study:
    return Study.from_config({**SETTINGS, **more})


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "block_size", lambda *_: 8)
    monkeypatch.setattr("basinet.pipeline.run._RUNS", 8)


def stores(studies: list[Study]) -> list[Store[Block]]:
    return [MemoryStore() for _ in studies]


def filled(crew: Pretended, studies: list[Study], kept: list[Store[Block]]) -> list[Any]:
    """The store of every condition, or why there is none, one after the other."""
    ahead = Ahead(crew, len(studies), lambda number: lots[number])
    lots = [Lot(one, lambda made_by, own=own: own) for one, own in zip(studies, kept, strict=True)]
    ended: list[Any] = []
    with crew.at_work():
        for number, lot in enumerate(lots):
            try:
                ended.append(ahead.fill(number, lot, lambda share: None))
            except Exception as error:
                ended.append(error)
    return ended


def assert_same(there: Findings, here: Findings) -> None:
    for table in ("restarts", "minima", "curves", "quantiles", "visits"):
        if getattr(here, table) is not None:
            pd.testing.assert_frame_equal(getattr(there, table), getattr(here, table), check_exact=True)


def computed(crew: Pretended) -> list[Job]:
    return [job for _, job in crew.calls if len(job.restarts) > 0]


def test_in_whichever_order_blocks_come_back_the_tables_are_those_of_one_process() -> None:
    studies = [study(), study(init="uniform")]
    kept = stores(studies)
    crew = Pretended()
    assert filled(crew, studies, kept) == kept
    starts = [job.restarts.start for job in computed(crew)]
    assert starts != sorted(starts)
    for one, own in zip(studies, kept, strict=True):
        assert_same(run(one, store=own), run(one))


def test_conditions_are_begun_ahead_of_their_turn_as_far_as_blocks_may_be_pending() -> None:
    studies = [study(restarts=16, seed=seed) for seed in range(12)]
    crew, begun = Pretended(pending=4), []
    lots = [Lot(one, lambda made_by: MemoryStore()) for one in studies]

    def begin(number: int) -> Lot:
        begun.append(number)
        return lots[number]

    ahead = Ahead(crew, len(studies), begin)
    with crew.at_work():
        ahead.fill(0, lots[0], lambda share: None)
    assert begun == list(range(1, len(begun) + 1))
    assert 1 <= len(begun) <= 4 + 4
    assert crew.most <= 4


def test_a_block_that_was_lost_on_its_way_is_made_again() -> None:
    lost: list[range] = []

    def careless(worker: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        own = arguments[0].restarts
        if own not in lost:
            lost.append(own)
            raise Lost(worker)
        return honest(worker, call, arguments)

    studies = [study()]
    (kept,) = filled(Pretended(answer=careless), studies, stores(studies))
    assert len(lost) == 7  # six blocks, and the question who would make them
    assert kept.finished() == 44


def test_a_job_that_always_fails_ends_its_condition_alone_and_says_where(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(one: Study, restarts: range) -> Block:
        if one.seed == 7 and restarts.start == 16:
            raise ZeroDivisionError("in the middle of it")
        return solve(one, restarts)

    monkeypatch.setattr("basinet.pipeline.work.solve", failing)
    studies = [study(seed=7), study(seed=8)]
    crew = Pretended()
    failed, kept = filled(crew, studies, stores(studies))
    assert isinstance(failed, BlockFailed)
    assert "in failing" in str(failed)
    assert "ZeroDivisionError: in the middle of it" in str(failed)
    assert [job.study.seed for job in computed(crew)].count(7) <= 6 + 2
    assert kept.finished() == 44


def test_a_block_that_kills_every_worker_ends_its_condition_after_three_of_them() -> None:
    def deadly(worker: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        if arguments[0].restarts.start == 8:
            raise Lost(worker)
        return honest(worker, call, arguments)

    crew = Pretended(answer=deadly)
    (failed,) = filled(crew, [study()], stores([study()]))
    assert "restarts 8 to 15 were lost 3 times" in str(failed)
    assert [job.restarts.start for job in computed(crew)].count(8) == 3


def test_what_a_worker_says_is_a_users_error_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def refusing(one: Study, restarts: range) -> Block:
        raise ConfigError("engine=native: no compiler")

    monkeypatch.setattr("basinet.pipeline.work.solve", refusing)
    (failed,) = filled(Pretended(), [study()], stores([study()]))
    assert isinstance(failed, ConfigError)
    assert str(failed) == "engine=native: no compiler"


def test_of_unlike_machines_the_first_to_answer_is_taken_and_the_others_are_refused_and_named(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlike(worker: str, call: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
        monkeypatch.setattr("basinet.pipeline.work.kind_of_machine", lambda: "odd" if worker == "b" else "even")
        return honest(worker, call, arguments)

    studies = [study(), study(init="uniform")]
    crew = Pretended(answer=unlike)
    with logs_as_they_were(), caplog.at_level("WARNING", "basinet"):
        kept = filled(crew, studies, stores(studies))
    makers = {worker for worker, job in crew.calls if job.kind in (None, "even")}
    assert makers == {"a", "b", "c"}
    assert caplog.messages == ["worker b is refused: its blocks are of odd, others here of even"]
    after = [worker for worker, _ in crew.calls[[worker for worker, _ in crew.calls].index("b") + 9 :]]
    assert "b" not in after
    assert [own.finished() for own in kept] == [44, 44]


def test_a_worker_of_another_kind_computes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basinet.pipeline.work.solve", lambda *_: pytest.fail("it has"))
    assert work(Job(study(), range(8), None, "another")) == {"kind": kind_of_machine()}


def test_a_block_travels_as_plain_arrays_and_is_the_same_there() -> None:
    answer = work(Job(study(), range(4, 12)))
    assert all(type(array).__module__ == "numpy" for array in answer["arrays"].values())
    block = block_of(answer["arrays"], range(4, 12))
    assert block.solution.theta.equal(solve(study(), range(4, 12)).solution.theta)


def test_blocks_that_are_there_behind_a_gap_are_not_made_again(tmp_path: Path) -> None:
    one = study()
    kept = FolderStore(tmp_path / "blocks", made_by=one.made_by)
    for own in (range(8), range(24, 32), range(40, 44)):
        kept.add(solve(one, own))
    crew = Pretended()
    assert filled(crew, [one], [kept]) == [kept]
    made = sorted(number for job in computed(crew) for number in job.restarts)
    assert made == [*range(8, 24), *range(32, 40)]
    assert kept.blocks()[2].solution.theta.equal(solve(one, range(16, 24)).solution.theta)


def test_with_restarts_auto_as_many_are_done_as_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("basinet.pipeline.run.AUTO_FIRST", 16)
    monkeypatch.setattr("basinet.pipeline.run.enough", lambda _, blocks: sum(len(own.restarts) for own in blocks) > 30)
    one = study(restarts="auto", restarts_max=60)
    (kept,) = filled(Pretended(), [one], stores([one]))
    assert sum(len(block.restarts) for block in kept.blocks()) == 32


def test_runs_that_were_begun_go_on_at_the_workers_as_they_do_here(tmp_path: Path) -> None:
    small, large = (
        Study.from_config({**CAMEL, "escape": {"name": "basin_hopping", "budget": budget}}) for budget in (60, 120)
    )
    kept = []
    for name in ("here", "there"):
        before = FolderStore(tmp_path / name, made_by=small.made_by, budget=small.budget)
        for own in (range(8), range(8, 12)):
            before.add(solve(small, own))
        kept.append(FolderStore(tmp_path / name, made_by=large.made_by, budget=large.budget))
    crew = Pretended()
    assert filled(crew, [large], kept[1:]) == kept[1:]
    assert all(job.begun is not None for job in computed(crew))
    assert_same(run(large, store=kept[0]), run(large, store=kept[1]))
