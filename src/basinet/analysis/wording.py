"""Results as a person reads them: the same wording in the terminal, in MLflow and in reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pandas as pd

from basinet.analysis.bottoms import objectives
from basinet.analysis.groups import by_settings
from basinet.analysis.spread import ACCURACIES, SAME_LOSS
from basinet.foundation.outcomes import ALL_ENDS

_NAMED = 6  # networks that are named in one sentence
SIGNIFICANCE = 0.05
"""Of p-values that are corrected for how many they are."""


def restarts_drawn(shown: int, every: int) -> str:
    """Of how many restarts a figure is; of large conditions it is of the first ones.

    >>> restarts_drawn(1000, 1000), restarts_drawn(1000, 20_000)
    ('1,000 restarts', 'the first 1,000 of 20,000 restarts')
    """
    return f"{every:,} restarts" if shown >= every else f"the first {shown:,} of {every:,} restarts"


def spread_cells(row: pd.Series) -> dict[str, str]:
    """A row of the spread table by the headings a person reads."""
    shares = {name.replace("_", " "): row[f"share_{name}"] for name in ALL_ENDS}
    return {
        "restarts": f"{int(row['restarts']):,}",
        "best loss": f"{row['loss_min']:.3g}",
        "median [95 %]": f"{row['loss_median']:.3g} [{row['median_low']:.3g}, {row['median_high']:.3g}]",
        "worst": f"{row['loss_max']:.3g}",
        **{
            heading: percent(row[f"{name}_median"])
            for name, heading in zip(ACCURACIES, ("accuracy", "held out"), strict=True)
            if f"{name}_median" in row.index
        },
        "ended at": ", ".join(f"{name} {percent(share)}" for name, share in shares.items() if share > 0),
        "minima": _number(row["minima"], "d"),
        **({"orbits": _number(row["orbits"], "d")} if "orbits" in row.index else {}),
        "coverage": "-"
        if np.isnan(row["coverage"])
        else f"{percent(row['coverage'])} of {percent(row['share_minimum'])}",
        "at the best": percent(row["share_best"]),
        "needed": _number(row["restarts_needed"], ".0f"),
    }


class Symmetry(Protocol):
    """What a problem's symmetries say of themselves (`basinet.protocols.ProblemSymmetry`)."""

    @property
    def order(self) -> int: ...
    @property
    def complete(self) -> bool: ...
    @property
    def words(self) -> list[str]: ...


def symmetry(found: Symmetry) -> str:
    """What may be done to a problem without changing what is minimised; nothing if nothing may."""
    if found.order == 1 and found.complete:
        return ""
    told = "; ".join(found.words) or "none found"
    cut = "" if found.complete else ", not searched for to the end: there may be more, and fewer orbits"
    return f"{told} ({found.order:,} in all{cut})"


def symmetries(of_conditions: Sequence[str]) -> list[str]:
    """The symmetries of the problems of some conditions, a sentence each: what `symmetry` says of every condition.

    >>> symmetries(["inputs 1 and 2 exchanged (2 in all)", ""])
    ['Problem symmetries of 1 of 2 conditions: inputs 1 and 2 exchanged (2 in all).']
    """
    counts = {told: list(of_conditions).count(told) for told in dict.fromkeys(of_conditions) if told}
    every = len(of_conditions)
    some = {told: "" if count == every else f" of {count:,} of {every:,} conditions" for told, count in counts.items()}
    sentences = [f"Problem symmetries{of}: {told}." for told, of in some.items()]
    left = sum(list(counts.values())[_SYMMETRIES:])
    return [*sentences[:_SYMMETRIES], *([f"{left:,} more conditions have others."] if left else [])]


_SYMMETRIES = 6  # of different problems that are told


def losses_sentence(row: pd.Series) -> str:
    """How the final losses of a condition are distributed."""
    restarts = f"{int(row['restarts']):,} random restart{'s' * int(row['restarts'] != 1)}"
    if np.isnan(row["loss_min"]):
        return f"{restarts}: none has a finite loss in the end."
    return (
        f"{restarts}: best loss {row['loss_min']:.4g}, median {row['loss_median']:.4g} "
        f"[{row['median_low']:.4g}, {row['median_high']:.4g}], worst {row['loss_max']:.4g}."
    )


def minima_clause(row: pd.Series) -> str:
    """How many minima a condition has, how much of its initialisation leads to them, and to the best of them."""
    found = int(row["minima"])
    if found == 0:
        return f"no restart was certified as a minimum ({spread_cells(row)['ended at']})"
    orbits = row.get("orbits", found)
    fewer = f" ({int(orbits):,} modulo the problem's symmetries)" if orbits < found else ""
    minima = "1 distinct minimum covers" if found == 1 else f"{found:,} distinct minima{fewer} cover"
    elsewhere = 1 - row["share_minimum"]
    starts = "starts" if elsewhere <= 0 else f"starts that end in a minimum ({percent(row['share_minimum'])} of all)"
    clause = f"{minima} {with_interval(row, 'coverage')} of the {starts}; "
    clause += f"the best is reached by {with_interval(row, 'share_best')} of the restarts"
    return clause if elsewhere <= 0 else f"{clause}; {percent(elsewhere)} of them ended in none"


def proved_sentence(proved: int, minima: int) -> str:
    """How many of the minima that were found are proved, which is how many there are at least.

    >>> proved_sentence(17, 17)
    '17 of 17 minima proved; at least 17 distinct minima modulo symmetry exist'
    >>> proved_sentence(0, 1)
    '0 of 1 minimum proved'
    """
    told = f"{proved:,} of {minima:,} minim{'um' if minima == 1 else 'a'} proved"
    if proved == 0:
        return told
    there = "1 minimum exists" if proved == 1 else f"{proved:,} distinct minima modulo symmetry exist"
    return f"{told}; at least {there}"


def with_interval(row: pd.Series, column: str) -> str:
    """A share and its 95 % interval."""
    low, high = (percent(row[f"{column}_{end}"]).removesuffix(" %") for end in ("low", "high"))
    return f"{percent(row[column])} [{low}, {high}]"


def condition_label(settings: Mapping[str, Any] | pd.Series, by: Sequence[str]) -> str:
    """A condition by the settings that tell it apart; those that it has not are left out.

    >>> condition_label({"init": "normal", "init.gain": float("nan"), "seed": 1.0}, ["init", "init.gain", "seed"])
    'init=normal seed=1'
    """
    known = [(key, settings[key]) for key in by if not pd.isna(settings[key])]
    return " ".join(f"{key}={value:g}" if isinstance(value, float) else f"{key}={value}" for key, value in known)


def question(by: Sequence[str]) -> str:
    """What a sweep over the settings `by` asks, where no study says it better."""
    if not by:
        return "Where do random restarts end?"
    settings = by[0] if len(by) == 1 else f"{', '.join(by[:-1])} and {by[-1]}"
    return f"Where do random restarts end, and how does that change with {settings}?"


def status_sentences(statuses: Sequence[str], planned: int) -> list[str]:
    """What is missing from a sweep whose conditions have these statuses; nothing if all have finished."""
    others = {name: statuses.count(name) for name in dict.fromkeys(statuses) if name != "finished"}
    missing = f"{planned - len(statuses):,} of {planned:,} planned conditions were never begun."
    sentences = [missing] if planned > len(statuses) > 0 else []
    if not statuses:
        return ["Nothing has been run: there are no conditions." + (f" {planned:,} were planned." if planned else "")]
    if others:
        told = ", ".join(f"{count:,} {_STATUS.get(name, name)}" for name, count in others.items())
        who = "None" if sum(others.values()) == len(statuses) else f"Only {statuses.count('finished'):,}"
        verb = "have" if who != "None" and statuses.count("finished") > 1 else "has"
        sentences.insert(0, f"{who} of {_conditions(len(statuses))} {verb} finished: {told}.")
    return sentences


_STATUS = {"running": "still running, or cut off", "killed": "interrupted"}


def remark(row: pd.Series) -> str | None:
    """What has to be known before the numbers of a condition are believed, if there is anything."""
    restarts = int(row["restarts"])
    if row["share_diverged"] == 1:
        return "its one restart diverged." if restarts == 1 else f"all {restarts:,} restarts diverged."
    if restarts == 1:
        return "it has one restart; intervals and comparisons say next to nothing."
    if row["loss_max"] - row["loss_min"] <= SAME_LOSS * (1 + abs(row["loss_min"])):
        left = "" if row["share_diverged"] == 0 else " that did not diverge"
        return f"every restart{left} ended at the same loss, {row['loss_min']:.6g}."
    return None


def size_sentence(spread: pd.DataFrame, by: Sequence[str]) -> str:
    """How many conditions of which settings, and restarts, there are."""
    total = f"{int(spread['restarts'].sum()):,} random restart{'s' * int(spread['restarts'].sum() != 1)}"
    if len(spread) == 1:
        return f"One condition, {condition_label(spread.iloc[0], by)}, with {total}."
    factors = " × ".join(f"{spread[key].nunique(dropna=False)} {key}" for key in by)
    return f"{_conditions(len(spread))} ({factors}) with {total} in all."


def _conditions(count: int) -> str:
    return f"{count:,} condition{'s' * int(count != 1)}"


def ended_sentence(spread: pd.DataFrame) -> str:
    """Where all restarts of a sweep ended, taken together."""
    total = int(spread["restarts"].sum())
    counts = {name: float((spread[f"share_{name}"] * spread["restarts"]).sum()) for name in ALL_ENDS}
    shares = [f"{name.replace('_', ' ')} {percent(n / total)}" for name, n in counts.items() if round(n) > 0]
    return f"They ended at: {', '.join(shares)}."


def best_sentence(spread: pd.DataFrame, by: Sequence[str]) -> str:
    """From where the best known minimum of a network is reached most often and least often, where that differs most."""
    known = spread[spread["share_best_known"].notna()]
    if known.empty:
        return "No restart was certified as a minimum, so that no best one is known."
    apart = objectives(by)
    ordered = [
        (key, table.sort_values("share_best_known", kind="stable"))
        for key, table in by_settings(known, apart, sort=False)
    ]
    compared = [(key, table) for key, table in ordered if len(table) > 1]
    if not compared:  # each network has one condition
        key: dict[str, Any] = {}
        table = known.sort_values("share_best_known", kind="stable")
    else:
        key, table = max(compared, key=lambda group: float(np.ptp(group[1]["share_best_known"])))
    own = [name for name in by if name not in key]
    most, least = table.iloc[-1], table.iloc[0]
    of = " of its network" if apart and not key else ""
    at = f"at {condition_label(key, apart)} " if len(compared) > 1 else ""
    told = f"{with_interval(most, 'share_best_known')} of the restarts"
    if most["share_best_known"] == least["share_best_known"]:
        return f"The lowest minimum{of} is reached equally often from everywhere: by {told}."
    return (
        f"The lowest minimum{of} is reached {at}by {told} with {condition_label(most, own)}, "
        f"and by {with_interval(least, 'share_best_known')} with {condition_label(least, own)}."
    )


def networks_sentence(spread: pd.DataFrame, by: Sequence[str]) -> str:
    """How many distinct minima a condition of each network has found at most; nothing where there were none."""
    apart = objectives(by)
    most = [
        (condition_label(key, apart), int(table["minima"].max()))
        for key, table in by_settings(spread, apart, sort=False)
    ]
    numbers = [number for _, number in most]
    if max(numbers, default=0) == 0:
        return ""
    if len(most) == 1:
        return f"Up to {numbers[0]:,} distinct minima were found by one condition." if numbers[0] > 1 else ""
    if len(most) <= _NAMED:
        return f"Distinct minima found: {', '.join(f'{number:,} at {name}' for name, number in most)}."
    return f"Between {min(numbers):,} and {max(numbers):,} distinct minima were found, depending on the network."


def level_heading(loss: float, kind: str) -> str:
    """A column of condition × bottom: the loss, and the kind where it is none of the usual.

    >>> level_heading(0.0625, "at_infinity"), level_heading(0.0625, "minimum")
    ('→ 0.0625', '0.0625')
    """
    written = bottom_loss({"kind": kind, "loss": loss, "level": loss}, 3)
    return f"{written} (degenerate)" if kind == "degenerate" else written


def factor_sentence(factor: str, table: pd.DataFrame, within: Sequence[str]) -> str:
    """What a setting does to the final losses, from its `basinet.analysis.compare.levels`."""
    tested = table[table["p_holm"].notna()]
    certain = tested[tested["p_holm"] <= SIGNIFICANCE]
    if certain.empty:
        return f"{factor} makes no difference to the final loss that could be told from chance."
    where = f" in {len(certain)} of {len(tested)} settings of {' and '.join(within)}" if within else ""
    most = certain.sort_values("epsilon_squared", ascending=False, kind="stable").iloc[0]
    at = f", most at {condition_label(most, within)}" if within and len(tested) > 1 else ""
    explains = f"{percent(most['epsilon_squared'])} of the variance of the ranks"
    return f"{factor} makes a difference to the final loss{where}: it explains {'up to ' * bool(at)}{explains}{at}."


def pairs_sentence(pairs: pd.DataFrame, by: Sequence[str]) -> str:
    """How many pairs of conditions differ for certain, and which of them most, from `compare.differences`."""
    certain = pairs[pairs["better"] != "neither"]
    pairs_of = f"{len(pairs):,} pair{'s' * (len(pairs) != 1)} of conditions"
    told = f"Of {pairs_of}, {len(certain):,} differ{'s' * (len(certain) == 1)} for certain"
    if certain.empty:
        return f"{told}."
    row = certain.sort_values("delta", key=abs, ascending=False, kind="stable").iloc[0]
    cells = difference_cells(row, by)
    lower, higher = (cells["a"], cells["b"]) if row["better"] == "a" else (cells["b"], cells["a"])
    return f"{told}; most of all {lower}, which has lower losses than {higher} (Cliff's δ = {cells['δ']})."


def difference_cells(row: pd.Series, by: Sequence[str]) -> dict[str, str]:
    """A row of `basinet.analysis.compare.differences` by the headings a person reads."""
    a, b = (condition_label({key: row[f"{key}_{side}"] for key in by}, by) for side in "ab")
    size = max(abs(row["median_a"]), abs(row["median_b"]))
    difference, low, high = (_signed(row[f"difference{end}"], size) for end in ("", "_low", "_high"))
    return {
        "a": a,
        "b": b,
        "median of a": _loss(row["median_a"]),
        "median of b": _loss(row["median_b"]),
        "difference [95 %]": f"{difference} [{low}, {high}]",
        "δ": _signed(row["delta"]),
        "p (Holm)": _p(row["p_holm"]),
        "compared": "by start" if row["paired"] else "as a whole",
        "lower losses": {"a": a, "b": b}.get(row["better"], "cannot be told"),
    }


def level_cells(row: pd.Series, within: Sequence[str]) -> dict[str, str]:
    """A row of `basinet.analysis.compare.levels` by the headings a person reads."""
    return {
        "at": condition_label(row, within) or "all",
        "values": f"{int(row['levels'])}",
        "restarts": f"{int(row['restarts']):,}",
        "explained": percent(max(row["epsilon_squared"], 0.0)),
        "H": "-" if np.isnan(row["H"]) else f"{max(row['H'], 0.0):,.4g}",
        "p (Holm)": _p(row["p_holm"]),
    }


def bottom_loss(row: pd.Series | Mapping[str, Any], digits: int = 4) -> str:
    """The loss of a bottom; of one at infinity, what it falls to on the way there.

    >>> bottom_loss({"kind": "minimum", "loss": 0.25})
    '0.25'
    >>> bottom_loss({"kind": "at_infinity", "loss": 1e-4, "level": 1e-16})
    '→ 0'
    """
    loss, level = float(row["loss"]), row.get("level")
    if row["kind"] != "at_infinity":
        return _rounded(loss, digits, _NOTHING)
    return f"→ {_rounded(loss if level is None or np.isnan(level) else float(level), digits, SAME_LOSS)}"


_NOTHING = 1e-14  # what is left of a loss of 0: rounding


def _rounded(loss: float, digits: int, nothing: float) -> str:
    return "0" if abs(loss) <= nothing else f"{loss:.{digits}g}"


def minimum_cells(row: pd.Series) -> dict[str, str]:
    """A row of a condition's table of minima by the headings a person reads."""
    return {
        "minimum": str(row["minimum"]),
        **({"orbit": _orbit(row["orbit"])} if "orbit" in row.index else {}),
        "kind": str(row["kind"]).replace("_", " "),
        "loss": bottom_loss(row, 6),
        "restarts": f"{row['count']:,}",
        "share [95 %]": with_interval(row, "share"),
        "λ min": f"{row['lambda_min']:.3g}",
        "λ max": f"{row['lambda_max']:.3g}",
        "one of its restarts": str(row["restart"]) if row["count"] > 0 else "-",
        **({"proved within": f"{row['radius']:.2g}" if row["proved"] else "-"} if "proved" in row.index else {}),
    }


def _orbit(number: float) -> str:
    return f"{number:.0f}" if number >= 0 else "-"  # NaN where that was not kept


_EXPLAINED = {
    "minima": "distinct ones found",
    "orbits": "… modulo the symmetries of the problem",
    "coverage": "of the starts that end in a minimum, the share that leads to those found (Good-Turing), of the "
    "restarts that ended in one (98 % of 60 %: nothing is said of the other 40 %)",
    "at the best": "share of the restarts in the lowest minimum",
    "needed": "restarts to reach it with 95 %",
    "accuracy": "median share of samples in the right class, of those trained on",
    "held out": "… of the others",
}


def legend(headings: Sequence[str]) -> str:
    """What the headings of `spread_cells` mean, those that do not say it themselves.

    >>> legend(["worst", "minima", "needed"])
    'minima: distinct ones found; needed: restarts to reach it with 95 %.'
    """
    told = [f"{heading}: {meaning}" for heading, meaning in _EXPLAINED.items() if heading in headings]
    return f"{'; '.join(told)}." if told else ""


LEGEND = legend(["minima", "orbits", "coverage", "at the best", "needed"])


def bottom_cells(row: pd.Series) -> dict[str, str]:
    """A bottom that conditions of a sweep have found, by the headings a person reads."""
    return {
        "bottom": "-" if row["sweep_minimum"] < 0 else str(row["sweep_minimum"]),
        "kind": str(row["kind"]).replace("_", " "),
        "loss": bottom_loss(row, 6),
        "restarts": f"{row['restarts']:,}",
        "share": percent(row["share"]),
        "conditions": str(row["conditions"]),
        "λ min": f"{row['lambda_min']:.3g}",
        "λ max": f"{row['lambda_max']:.3g}",
        "basinet-replay": f"{str(row['run_id'])[:8]} {row['restart']}" if row["restart"] >= 0 else "-",
    }


def running_cells(row: pd.Series) -> dict[str, str]:
    """A row of the table of running times by the headings a person reads."""
    low, high = (_gradients(row[f"ert_{end}"]) for end in ("low", "high"))
    reached = np.isfinite(row["ert"])
    return {
        "runs": f"{int(row['runs']):,}",
        "target": _loss(row["target"]),
        "reached by": percent(row["success_share"]),
        "gradients needed [95 %]": f"{_gradients(row['ert'])} [{low}, {high}]" if reached else f"> {low}",
    }


def speedup_sentence(row: pd.Series, by: Sequence[str], method: str = "escape", base: str = "restarts") -> str:
    """How a method compares with training again from another start, as far as the data carry that."""
    where = condition_label(row, by)
    at = f" at {where}" if where else ""
    name, goal = str(row[method]).replace("_", " "), f"the best known minimum (f = {_loss(row['target'])}){at}"
    ratio, low, high = row["ratio"], row["ratio_low"], row["ratio_high"]
    if np.isnan(ratio):
        return f"neither {name} nor {base} reached {goal}"
    if ratio == 0 or np.isinf(ratio):
        one, other = (name, base) if ratio == 0 else (base, name)
        return f"no run of {one} reached {goal}, and some of {other} did"
    if low <= 1 <= high:
        return f"{name} and {base} cannot be told apart: {_times(ratio, low, high)} times as fast, to {goal}"
    if ratio > 1:
        return f"{name} needs {_times(ratio, low, high)} times fewer gradients than {base} for {goal}"
    return f"{name} needs {_times(1 / ratio, 1 / high, 1 / low)} times more gradients than {base} for {goal}"


def _times(ratio: float, low: float, high: float) -> str:
    return f"{ratio:.2g} [{low:.2g}, {high:.2g}]".replace("inf", "∞")


def _gradients(value: float) -> str:
    return "∞" if np.isinf(value) else f"{value:,.0f}" if value < 1e6 else f"{value:.3g}"


def held_out_cells(row: pd.Series) -> dict[str, str]:
    """What was measured beside the loss, by the headings a person reads."""
    name = {
        "loss_holdout": "loss on held-out samples",
        "loss_original": "loss in the targets' units",
        "loss_holdout_original": "loss in the targets' units on held-out samples",
        "accuracy": "accuracy on the samples trained on",
    }
    quartiles = f"{_loss(row['q25'])} to {_loss(row['q75'])}"
    measure = name.get(row["measure"], "accuracy on held-out samples")
    return {"measure": measure, "median": _loss(row["median"]), "quartiles": quartiles}


def percent(share: float) -> str:
    """A share as it is written."""
    if np.isnan(share):
        return "-"
    text = f"{100 * share:.3g}"
    if text == "100" and share < 1:  # nearly all is not all
        text = f"{min(100 * share, 99.99):.4g}"
    return f"{text} %"


def _loss(value: float) -> str:
    return "-" if np.isnan(value) else "∞" if np.isinf(value) else f"{value:.4g}"


def _signed(value: float, size: float = 0.0) -> str:
    """A difference between numbers of a size, where that is more than rounding."""
    if np.isfinite(value) and abs(value) <= SAME_LOSS * (1 + size):
        return "0"
    return "-" if np.isnan(value) else f"{value:+.3g}".replace("inf", "∞").replace("-", "−")


def _p(value: float) -> str:
    return "-" if np.isnan(value) else f"{value:.2g}" if value >= 1e-4 else "< 0.0001"


def _number(value: float, form: str) -> str:
    if np.isnan(value):
        return "-"
    return "∞" if np.isinf(value) else format(int(value) if form == "d" else np.ceil(value), "," + form.lstrip(","))
