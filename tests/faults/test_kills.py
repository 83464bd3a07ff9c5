"""A sweep that is shot at random moments and started again, as often as it takes."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import basinet
from basinet.tracking.store import TrackingStore

TWO_PROCESSES = "hydra/launcher=joblib hydra.launcher.n_jobs=2 hydra.launcher.batch_size=1"
MAKER = """
import sys
from basinet.tracking.store import TrackingStore
import mlflow.tracking
print("ready", flush=True)
TrackingStore.open(sys.argv[1])
"""


@dataclass(frozen=True)
class Moment:
    """When a sweep is shot: a while after it has begun so many more blocks."""

    blocks: int  # 0: it may still be planning, or making the store
    seconds: float


@dataclass
class Count:
    """What the shots have cost."""

    kills: int = 0
    starts: int = 0
    sweeps: int = 0
    blocks: int = 0


def shoot(launched: Any, moment: Moment) -> bool:
    """Whether a sweep could be killed before it ended."""
    launched.wait_until_it_works()
    launched.wait_for_blocks(moment.blocks)
    time.sleep(moment.seconds)
    if launched.process.poll() is not None:
        return False
    launched.signal_group(signal.SIGKILL)
    launched.end()
    return True


def bring_to_its_end(launch: Callable[[], Any], moments: list[Moment], count: Count) -> None:
    """Start a sweep again and again, each time to be killed at the next of the `moments`; without any left, no more."""
    while True:
        launched = launch()
        count.starts += 1
        if moments and shoot(launched, moments.pop(0)):
            count.kills += 1
            continue
        code, err = launched.end()
        assert code == 0, err
        count.sweeps += 1
        count.blocks += len(launched.blocks())
        return


@pytest.fixture
def survive(
    sweep: Any, undisturbed: Any, left: Any, launch: Any, furnish: Any, tmp_path: Path
) -> Callable[[int, int, str], None]:
    """Sweeps from the beginning, each killed until one start gets to the end, until there were so many kills."""

    def call(kills: int, workers: int, launcher: str) -> None:
        count, chance = Count(), random.Random(60)
        while count.kills < kills:
            place = furnish(tmp_path / str(count.sweeps))
            moments = [Moment(chance.randint(0, 5), chance.uniform(0, 0.5)) for _ in range(kills - count.kills)]
            bring_to_its_end(lambda place=place: launch(place, f"{sweep.line} {launcher}"), moments, count)
            left(place).assert_complete(sweep.conditions)
            left(place).assert_same_as(undisturbed)
        least = count.sweeps * sweep.blocks
        print(
            f"\n{count.kills} kills, {count.starts} starts, {count.sweeps} sweeps, {workers} at a time: "
            f"{count.blocks} blocks computed, {least} undisturbed, {count.blocks - least} lost"
        )
        assert least <= count.blocks <= least + workers * count.kills

    return call


@pytest.mark.slow
def test_a_sweep_that_is_killed_loses_at_most_the_block_it_was_at(survive: Callable[..., None]) -> None:
    survive(2, 1, "")


@pytest.mark.stress
def test_searches_for_saddles_that_are_killed_lose_at_most_the_block_they_were_at(
    launch: Any, furnish: Any, left: Any, tmp_path: Path
) -> None:
    """One block of restarts and four of searches; it is killed in the second and in the fourth of these."""
    line = (
        "init=normal restarts=64 network.width=3 network.activation=logistic objective.l2_weights=1e-3 "
        "objective.l2_biases=1e-3 landscape=saddles landscape.searches=1024 tracking.figures=none"
    )
    places = [furnish(tmp_path / name) for name in ("undisturbed", "killed")]
    for place, moments in zip(places, ([], [Moment(3, 0.0), Moment(3, 0.0)]), strict=True):
        count = Count()
        bring_to_its_end(lambda place=place: launch(place, line), moments, count)
        assert 5 <= count.blocks <= 5 + count.kills
        left(place).assert_complete(1)
    assert count.kills == 2
    left(places[1]).assert_same_as(left(places[0]), saddles=basinet.load_saddles)
    assert len(basinet.load_saddles("basinet", tracking_uri=left(places[1]).uri)) > 10


@pytest.mark.stress
def test_runs_that_are_killed_lose_at_most_the_block_they_were_at_and_go_on_with_a_larger_budget(
    launch: Any, furnish: Any, left: Any, tmp_path: Path
) -> None:
    """Two conditions of three blocks; killed in the second block, in the fifth, and while a larger budget is spent."""
    line = (
        "-m escape=restart,basin_hopping objective=test_function init=uniform engine=torch restarts=192 "
        "descent.learning_rate=0.01 descent.steps=200 descent.tolerance=1e-5 tracking.figures=none escape.budget={}"
    )
    places = [furnish(tmp_path / name) for name in ("undisturbed", "killed")]
    moments = {400: [Moment(2, 0.0), Moment(3, 0.0)], 800: [Moment(0, 0.5)]}
    whole, shot = Count(), Count()
    for budget in (400, 800):
        bring_to_its_end(lambda budget=budget: launch(places[0], line.format(budget)), [], whole)
        bring_to_its_end(lambda budget=budget: launch(places[1], line.format(budget)), moments[budget], shot)
        left(places[1]).assert_complete(2)
        left(places[1]).assert_same_as(left(places[0]), visits=basinet.load_visits)
    assert shot.kills == 3
    assert len((places[1] / "blocks.txt").read_text().splitlines()) <= 6 + shot.kills
    assert (basinet.load_visits("basinet", tracking_uri=left(places[1]).uri)["spent"] >= 800).all()


@pytest.mark.stress
@pytest.mark.parametrize(("workers", "launcher"), [(1, ""), (2, TWO_PROCESSES)])
def test_a_sweep_that_is_killed_thirty_times_loses_nothing_that_was_finished(
    workers: int, launcher: str, survive: Callable[..., None]
) -> None:
    survive(30, workers, launcher)


@pytest.mark.stress
def test_a_process_that_is_killed_while_it_makes_a_store_leaves_one_that_can_be_used(tmp_path: Path) -> None:
    """MLflow makes its tables in dozens of steps, and cannot use a database that has half of them."""
    chance, kills = random.Random(1), 0
    for number in range(30):
        uri = f"sqlite:///{tmp_path}/{number}.db"
        maker = subprocess.Popen([sys.executable, "-c", MAKER, uri], stdout=subprocess.PIPE)
        assert maker.stdout is not None
        assert maker.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0, 2))
        kills += maker.poll() is None
        maker.kill()
        maker.communicate()
        assert TrackingStore.open(uri).client.search_experiments()
    print(f"\n30 stores, {kills} killed while they were made: all can be used")
