"""How a result shows itself at a prompt and in a notebook: what it is, what came out, and where the rest is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

import pandas as pd

from basinet.analysis import wording
from basinet.foundation.outcomes import Kind

_ROWS = 8  # of a table that are shown


@dataclass(frozen=True)
class Card:
    """A few lines about a result."""

    title: str
    facts: Sequence[str] = ()
    table: pd.DataFrame = field(default_factory=pd.DataFrame)  # of texts; notebooks only
    rest: str = ""  # what can be asked for

    def text(self) -> str:
        """One line for each fact, without the table."""
        return "\n".join([self.title, *(f"  {fact}" for fact in [*self.facts, self.rest] if fact)])

    def html(self) -> str:
        """The same and the table, as a notebook shows it."""
        facts = "".join(f"<p>{escape(fact)}</p>" for fact in self.facts)
        shown = self.table.head(_ROWS)
        table = shown.to_html(index=False, border=0) if len(shown) else ""
        left = len(self.table) - len(shown)
        more = f"<p>{left:,} more rows.</p>" if left > 0 else ""
        rest = f"<p><code>{escape(self.rest)}</code></p>" if self.rest else ""
        return f"<div><p><b>{escape(self.title)}</b></p>{facts}{table}{more}{rest}</div>"


class Shown(ABC):
    """What shows itself as a card; a dataclass that does is made with `repr=False`."""

    @property
    @abstractmethod
    def _card(self) -> Card: ...

    def __repr__(self) -> str:
        return self._card.text()

    def _repr_html_(self) -> str:
        return self._card.html()


def ends(kinds: pd.Series) -> str:
    """How many restarts ended as what, the most frequent first.

    >>> ends(pd.Series(["minimum", "minimum", "at_infinity"]))
    '2 minimum, 1 at infinity'
    """
    counts = kinds.astype(str).value_counts()
    return ", ".join(f"{count:,} {str(name).replace('_', ' ')}" for name, count in counts.items() if count > 0)


def best(minima: pd.DataFrame) -> str:
    """Of a condition's bottoms: how many minima there are, how low the best lies, and who reaches it."""
    found = minima[(minima["kind"] == Kind.MINIMUM.name.lower()) & (minima["count"] > 0)]
    if found.empty:
        return "no restart was certified as a minimum"
    lowest = found.sort_values("loss", kind="stable").iloc[0]
    number = f"{len(found):,} distinct minim{'um' if len(found) == 1 else 'a'}"
    share = wording.with_interval(lowest, "share")
    return f"{number}; the best, {wording.bottom_loss(lowest)}, is reached by {share} of the restarts"


def bottoms(minima: pd.DataFrame) -> pd.DataFrame:
    """The bottoms of a condition, in words."""
    return pd.DataFrame([wording.minimum_cells(row) for _, row in minima.iterrows()])
