"""What separates the basins of a condition: numbers of its starts that a person can name, and where these end."""

from __future__ import annotations

import pandas as pd

from basinet.analysis.separation import MOST, Separation, named, separate, too_little
from basinet.reporting.document import Cell, Element, Table, Text
from basinet.reporting.start_features import start_features
from basinet.study.study import Study

_RULES = "What separates the basins, rule by rule"
_CAPTION = (
    "One row per rule, of a decision tree made of two thirds of the starts. W0[1,0] is the weight of layer 0 to unit 1 "
    "from input 0, of the copy that stands for all that symmetries of the network relate; answer 2 is what the network "
    "answers to sample 2 before it is trained."
)


def separating(study: Study, restarts: pd.DataFrame) -> list[Element]:
    """What tells from a start where it ends, for the page: a sentence and, folded away, rule by rule; else nothing.

    Nothing is said where rules are not better than always saying the commonest bottom, by more than their interval.
    """
    few = restarts.head(MOST)
    if too_little(few["minimum"]) is not None:
        return []
    found = separation_of(study, few)
    if not found.tells:
        return []
    rows = [
        [
            Cell(row["rule"]),
            Cell(named(row["minimum"])),
            Cell(f"{row['starts']:,}", row["starts"]),
            Cell(f"{row['right']:,}", row["right"]),
        ]
        for row in found.rules.to_dict("records")
    ]
    table = Table(_CAPTION, ["a start with", "is said to end in", "starts held out", "of which do"], rows, _RULES)
    return [Text(found.sentence), table]


def separation_of(study: Study, restarts: pd.DataFrame, questions: int = 3) -> Separation:
    """What separates the basins of a condition (`analysis.separation.separate`) by `start_features`.

    Args:
        study: the condition.
        restarts: its first `MOST` restarts, of which enough ended at bottoms (`too_little` is None).
        questions: see `separate`.
    """
    return separate(start_features(study, restarts), restarts["minimum"].reset_index(drop=True), questions)
