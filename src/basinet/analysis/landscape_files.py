"""A landscape for programs that read energy landscapes: `min.data` and `ts.data` (PATHSAMPLE, disconnectionDPS)."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

_NO_INERTIA = "1.0 1.0 1.0"  # a network has no moments of inertia


def min_data(minima: pd.DataFrame, saddles: pd.DataFrame) -> str:
    """One line per minimum, in the order of the table: loss, Σ log λ, symmetry order, and three ones.

    The order is that of the stabiliser: such programs divide by it, as a point with fewer copies weighs less.

    Args:
        minima: of one condition, as `basinet.load_minima` returns them; rows that are no minima are left out.
        saddles: of the same condition.
    """
    rows = minima[minima["kind"] == "minimum"]
    orders = _orders(rows["orbit_size"], minima, saddles)
    columns = zip(rows["loss"], 2 * rows["log_det"], orders, strict=True)
    return "".join(f"{loss:.15g} {log:.15g} {order} {_NO_INERTIA}\n" for loss, log, order in columns)


def ts_data(minima: pd.DataFrame, saddles: pd.DataFrame) -> str:
    """One line per saddle of index 1 whose minima are known: loss, Σ log λ (λ > 0), symmetry order, two minima, ones.

    Minima are numbered by their lines in `min_data`, from 1.
    """
    rows = minima[minima["kind"] == "minimum"]
    line = {minimum: number for number, minimum in enumerate(rows["minimum"], start=1)}
    known = saddles[(saddles["index"] == 1) & (saddles["minimum_a"] >= 0) & (saddles["minimum_b"] >= 0)]
    logs = 2 * known["log_det"] - np.log(known["lambda_min"].abs())
    orders = _orders(known["orbit_size"], minima, saddles)
    ends = zip(known["minimum_a"].map(line), known["minimum_b"].map(line), strict=True)
    columns = zip(known["loss"], logs, orders, ends, strict=True)
    return "".join(f"{loss:.15g} {log:.15g} {order} {a} {b} {_NO_INERTIA}\n" for loss, log, order, (a, b) in columns)


def _orders(sizes: pd.Series, minima: pd.DataFrame, saddles: pd.DataFrame) -> list[int]:
    """The orders of stabilisers, up to one factor for all points: by how many times there could be more copies."""
    every = [int(size) for size in [*minima["orbit_size"], *saddles["orbit_size"]] if math.isfinite(size)]
    whole = math.lcm(*every)
    return [whole // int(size) if math.isfinite(size) else 1 for size in sizes]
