"""What to do about restarts that ended at no minimum: a line for each way of ending so, which is right for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from basinet.analysis.spread import BECAUSE
from basinet.analysis.wording import condition_label, percent

Settings = Sequence[Mapping[str, Any]]
"""Of each condition by their dotted keys; `parameters`, how many the network has, is one of them where it is known."""

PAGE = "docs/unfinished.md"
"""Where more is said."""

_TIMES = 10  # what is tried next, of what there was
_PENALTY = 1e-3


def advice(spread: pd.DataFrame, by: Sequence[str], settings: Settings) -> list[str]:
    """A line for each kind of end that is no bottom one can count, with the share of the restarts that it is about.

    Args:
        spread: one row per condition (`basinet.analysis.spread.spread`).
        by: what tells conditions apart.
        settings: of the same conditions, in any order.

    Returns:
        Nothing where every restart ended in a minimum, at a degenerate bottom or at a kink. Lines end with what to set,
        without a full stop that would be copied with it.
    """
    told = []
    for kind, say in _ADVICE.items():
        told += [f"{_whose(spread, by, kind)}: {text}" for text in say(spread, settings)]
    return told + _repeated(spread)


def _repeated(spread: pd.DataFrame) -> list[str]:
    """What came out where every descent was repeated with a tenth of its error."""
    if "share_elsewhere" not in spread or spread["share_elsewhere"].isna().all():
        return []
    asked = spread[spread["share_elsewhere"].notna()]
    total, moved = int(asked["restarts"].sum()), round((asked["share_elsewhere"] * asked["restarts"]).sum())
    text = f"{moved:,} of {total:,} restarts end in another bottom at a tenth of descent.rtol and descent.atol"
    return [f"{text}: descent.rtol=1e-10 descent.atol=1e-12" if moved else text]


def _whose(spread: pd.DataFrame, by: Sequence[str], kind: str) -> str:
    """A kind and its share of all restarts; of several conditions, where it is largest."""
    share = spread[f"share_{kind}"]
    name = kind.replace("_", " ")
    overall = f"{name} {percent(float((share * spread['restarts']).sum() / spread['restarts'].sum()))}"
    if len(spread) == 1 or share.max() == share.min():
        return overall
    most = spread.iloc[int(share.to_numpy().argmax())]
    return f"{overall}, most in {condition_label(most, by)} ({percent(share.max())})"


def _unfinished(spread: pd.DataFrame, settings: Settings) -> Iterator[str]:
    """By the reason that most of them have."""
    some = spread[spread["share_unfinished"] > 0]
    if some.empty:
        return
    yield _REASONS.get(_most_frequent(some), _early)(settings)


def _most_frequent(some: pd.DataFrame) -> str:
    """The reason that most unfinished restarts of these conditions have; none where that was not kept."""
    known = some[some[BECAUSE].notna()] if BECAUSE in some else some.iloc[:0]
    if known.empty:
        return ""
    counts = (known["share_unfinished"] * known["restarts"]).groupby(known[BECAUSE].astype(str)).sum()
    return str(counts.idxmax())


def _unpolished(settings: Settings) -> str:
    if any(one.get("polish") == "none" or one.get("polish.steps") == 0 for one in settings):
        return "nothing was polished, so that no bottom is known: polish=newton"
    sizes = [one["parameters"] for one in settings if "parameters" in one]
    known = f": polish.dense_max={max(sizes)}, which takes time" if sizes else ", which takes time where it is raised"
    return f"networks of more parameters than polish.dense_max are not polished{known}"


def _far(settings: Settings) -> str:
    """Measured: penalties bring bottoms near, and L-BFGS arrives there; then a wider radius, and last more steps."""
    descent = _common(settings, "descent")
    if descent == "sgd":
        return "minibatches keep them off their bottom: descent=adam"
    if missing := _missing_penalties(settings):
        return f"their bottom is far away, beyond polish.radius; nearer with {missing}"
    if descent not in ("adam", "lbfgs"):
        return f"their bottom is beyond polish.radius: descent=lbfgs, or {_wider(settings)}"
    return f"their bottom is beyond polish.radius: {_longer(settings)}, or {_wider(settings)}"


def _wanders(settings: Settings) -> str:
    name = _common(settings, "descent")
    return f"{name or 'this descent'} never rests where it is flat: descent=gradient_descent"


def _early(settings: Settings) -> str:
    """A rate that is too large bounces about a kink, whatever the number of steps."""
    if _common(settings, "network.activation") == "relu":
        return f"the descent ended too far from a kink: {_slower(settings)} with {_longer(settings)}"
    missing = _missing_penalties(settings)
    return f"the descent ended too early for a verdict: {_longer(settings)}{', or ' * bool(missing)}{missing}"


def _stalled(settings: Settings) -> str:
    if _common(settings, "network.activation") == "relu":
        return "the way down is stuck at kinks of ReLU; a smooth activation has none: network.activation=softplus"
    return f"polishing has used up its steps: {_more(settings, 'polish.steps')}, or {_longer(settings)}"


_REASONS = {"unpolished": _unpolished, "far": _far, "wanders": _wanders, "early": _early, "stalled": _stalled}


def _diverged(spread: pd.DataFrame, settings: Settings) -> Iterator[str]:
    if spread["share_diverged"].max() > 0:
        yield f"the steps are too long: {_slower(settings)}"


def _at_infinity(spread: pd.DataFrame, settings: Settings) -> Iterator[str]:
    if spread["share_at_infinity"].max() > 0:
        penalties = _missing_penalties(settings) or "a penalty on every parameter"
        yield f"the loss falls for ever; penalties make minima: {penalties}"


def _saddle(spread: pd.DataFrame, settings: Settings) -> Iterator[str]:
    if spread["share_saddle"].max() <= 0:
        return
    if _common(settings, "init") == "constant":
        yield "units that start equal stay equal, on a ridge: init=normal"
    else:
        yield "they rest on a ridge, as symmetric starts do; another init: init=normal"


_ADVICE = {"unfinished": _unfinished, "diverged": _diverged, "at_infinity": _at_infinity, "saddle": _saddle}


def _common(settings: Settings, key: str) -> Any:
    """The value that all conditions have; None if there is no such one."""
    values = {one.get(key) for one in settings}
    return values.pop() if len(values) == 1 else None


def _missing_penalties(settings: Settings) -> str:
    """Penalties on what has none, which make every bottom finite; empty where nothing is missing."""
    keys = ["l2_weights"] if _common(settings, "network.bias") is False else ["l2_weights", "l2_biases"]
    missing = [key for key in keys if not all(one.get(f"objective.{key}") for one in settings)]
    return " ".join(f"objective.{key}={_PENALTY:g}" for key in missing)


def _slower(settings: Settings) -> str:
    rate = _common(settings, "descent.learning_rate")
    return f"descent.learning_rate={rate / _TIMES:g}" if rate else "a smaller descent.learning_rate"


def _longer(settings: Settings) -> str:
    return _more(settings, "descent.time" if _common(settings, "descent.time") else "descent.steps")


def _wider(settings: Settings) -> str:
    return _more(settings, "polish.radius")


def _more(settings: Settings, key: str) -> str:
    """A setting with ten times its value; in words where conditions differ in it."""
    value = _common(settings, key)
    return f"{key}={_TIMES * value:.10g}" if value else f"a larger {key}"
