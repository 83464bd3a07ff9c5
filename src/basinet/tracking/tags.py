"""What the tags of runs are called by which this program finds them again, and one metric."""

from __future__ import annotations

RUN_KIND, CONDITION, COLUMNS = "basinet.kind", "basinet.condition", "basinet.columns"
SWEEPS = "basinet.sweeps"  # of a condition: the ids of the sweeps it belongs to, by blanks; the newest is its parent
NUMBERS = "basinet.numbers"  # … and its number in each of them, counted from 0 as they were asked for
ALONE = "-"  # stands for a launch of the condition by itself, and for a number that is not known
LANDSCAPE = "basinet.landscape"  # of a condition: what was found between its minima, in words
BEST_LOSS = "final/best_loss"  # the metric of a condition
SYMMETRY = "basinet.problem_symmetry"  # of a condition: in words; empty where there is none
PARENT = "mlflow.parentRunId"
NOTE = "mlflow.note.content"  # what MLflow shows as a description, in Markdown
MINIMUM_GROUP = "basinet.sweep_minimum"  # of a minimum: which of its sweep it is, in words
CURRENT = "basinet.current"  # "no": a later run of the same condition has finished
