"""A launch whose blocks are computed by workers: conditions are begun ahead of their turn, and completed in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from filelock import Timeout

from basinet.executors import Crew
from basinet.pipeline.ahead import Ahead, Lot, Pace, with_threads
from basinet.pipeline.blocks import Block, Store
from basinet.pipeline.solve import OnProgress
from basinet.study.study import Study
from basinet.workflows.launch import TrackingSettings
from basinet.workflows.sweep import Begun, Ended, Place, begin_condition, complete_condition


class Handing:
    """The conditions of one launch, and the workers who compute their blocks.

    Workers write nothing: runs are opened, blocks kept and tables made by this process. A condition whose beginning
    fails says so in its turn, and so does one that another launch is at, for which is waited then.
    """

    def __init__(
        self,
        crew: Crew,
        studies: Sequence[Study],
        tracking: TrackingSettings,
        place: Place,
        on_pace: Callable[[Pace], None],
    ) -> None:
        self._studies = studies
        self._tracking = tracking
        self._place = place
        self._threads = crew.threads
        self._begun: dict[int, tuple[Begun, Lot] | Ended | Exception] = {}
        self._ahead = Ahead(crew, len(studies), self._begin_ahead, on_pace)

    def run_condition(self, progress: OnProgress, number: int) -> Ended:
        """As `sweep.run_condition`, with the blocks of this condition from workers, who go on with later ones."""
        begun = self._begun.pop(number, None) or self._begin(number, patience=-1)
        if isinstance(begun, Exception):
            raise begun
        if isinstance(begun, Ended):
            return begun
        condition, lot = begun

        def keep() -> Store[Block]:
            return self._ahead.fill(number, lot, progress)

        return complete_condition(condition, self._tracking, self._place, progress, keep)

    def close(self) -> None:
        """Give up what is at work, and what was begun ahead."""
        self._ahead.close()
        for begun in self._begun.values():
            if isinstance(begun, tuple):
                begun[0].held.close()
        self._begun.clear()

    def _begin_ahead(self, number: int) -> Lot | None:
        try:
            self._begun[number] = self._begin(number, patience=0)
        except Timeout:
            return None
        except Exception as error:  # which is that condition's own
            self._begun[number] = error
        begun = self._begun[number]
        return begun[1] if isinstance(begun, tuple) else None

    def _begin(self, number: int, patience: float) -> tuple[Begun, Lot] | Ended:
        study = self._studies[number]
        begun = begin_condition(study, self._tracking, self._place, number, patience)
        if isinstance(begun, Ended):
            return begun
        return begun, Lot(with_threads(study, self._threads), begun.kept_by)
