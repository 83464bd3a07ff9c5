"""What is asked of the landscape between minima: the group `landscape`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from basinet.foundation.errors import require

_MOST = 10_000_000  # searches: of more, the blocks alone would fill a disk


@dataclass(frozen=True)
class NoLandscape:
    """Nothing: the minima are all that is wanted."""

    most: ClassVar[int] = 0


@dataclass(frozen=True)
class Saddles:
    """Saddles between the minima, and what they connect."""

    searches: int | Literal["auto"]
    searches_max: int  # with searches=auto
    indices: Literal[1, "all"]  # only saddles of index 1, or critical points of every index
    steps: int  # of one search, at most

    def __post_init__(self) -> None:
        few = self.searches == "auto" or self.searches >= 1
        require(few, f"landscape.searches={self.searches}: must be at least 1, or auto")
        require(self.searches_max >= 1, f"landscape.searches_max={self.searches_max}: must be at least 1")
        key = "searches_max" if self.searches == "auto" else "searches"
        require(self.most <= _MOST, f"landscape.{key}={self.most:,}: must be at most {_MOST:,}")
        require(self.steps >= 1, f"landscape.steps={self.steps}: must be at least 1")

    @property
    def most(self) -> int:
        """How many searches there are at most."""
        return self.searches_max if self.searches == "auto" else self.searches


LANDSCAPES: dict[str, type] = {"none": NoLandscape, "saddles": Saddles}
"""The members of the group `landscape`."""
