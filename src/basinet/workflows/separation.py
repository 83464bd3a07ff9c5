"""What separates the basins of a finished run: from what a start looks like to where it ends."""

from __future__ import annotations

import pandas as pd

from basinet.analysis.separation import MOST, Separation, too_little
from basinet.foundation.errors import require
from basinet.pipeline.gather import Findings
from basinet.reporting.separating import separation_of
from basinet.study.study import Study
from basinet.tracking.results import Results
from basinet.tracking.row_choice import first


def separation(run: str | Findings, *, questions: int = 3, tracking_uri: str | None = None) -> Separation:
    """A few rules that tell from a start where it ends, and how often they are right of starts held out.

    Args:
        run: the id of a condition's run, a sweep or experiment of one condition, or what `basinet.run` returned.
        questions: so many a rule asks, at most: with more, rules are longer and may be right more often.
        tracking_uri: the store; the one of the working directory if None.

    Returns:
        The rules, the numbers of a start that they ask for and how much each matters, and how often they are right,
        beside always saying the commonest minimum; `tells` says whether they are better than that by more than chance.

    Raises:
        ConfigError: if there is no such run, several conditions could be meant, or fewer than 90 of its first
            restarts ended at bottoms, or all of them at one, or the number of questions is not 1 to 10.
    """
    if isinstance(run, Findings):
        return _separation(run.study, run.restarts.head(MOST), questions, "this study")
    results = Results.open(run, tracking_uri)
    study = results.study()
    restarts = results.load_table("restarts", ["restart", "minimum", "loss_initial"], choice=first(MOST))
    return _separation(study, restarts, questions, f"'{run}'")


def _separation(study: Study, restarts: pd.DataFrame, questions: int, name: str) -> Separation:
    reason = too_little(restarts["minimum"])
    require(reason is None, f"{name}: {reason}")
    return separation_of(study, restarts, questions)
