"""What separates the basins: a few rules that tell from a start where it ends, and how often they are right."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from basinet.analysis import unseen, wording
from basinet.analysis.cards import Card, Shown
from basinet.analysis.unseen import Estimate
from basinet.foundation.errors import require

OTHERS = -1
"""What stands for all bottoms that are not among the commonest."""

MOST = 20_000
"""Restarts that are looked at, the first ones: of more, rules of so few numbers do not become other ones."""

_APART = 6  # bottoms that are told apart, the commonest: as many as have colours of their own
_EVERY = 3  # of so many restarts one is held out
_FEWEST = 30  # that are held out
_QUESTIONS_MAX = 10  # of a rule: nobody reads longer ones
_LEAF = 0.01  # of the starts that rules are made of: a rule holds for so many at least …
_NAMED = 3  # features in the sentence
_LEAST = 5  # … and for so many
_PRUNED = 0.002  # a question that lowers the impurity by less (Breiman's α) is not asked
_LARGEST = 1e30  # numbers beyond are taken for this: what follows is in single precision

Interval = tuple[float, float]  # above the first number, up to the second


@dataclass(frozen=True, repr=False)
class Separation(Shown):
    """Rules that foretell from numbers of a start where it ends, and how often they are right of starts held out."""

    rules: pd.DataFrame  # rule minimum starts right, one row each: held-out starts that it is about, and is right of
    features: pd.DataFrame  # feature matters, the share of right answers that is lost if that number is another start's
    accuracy: Estimate  # share of the held-out starts that the rules are right of, with Wilson's 95 % interval
    baseline: float  # the same of always saying the bottom that is the commonest
    commonest: int  # which this is
    made_of: int  # starts that the rules are made of
    held_out: int  # others

    @property
    def tells(self) -> bool:
        """Whether the rules are better than always saying the commonest bottom, by more than the interval."""
        return self.accuracy.low > self.baseline

    @property
    def sentence(self) -> str:
        """What may be said of all this."""
        low, high = (wording.percent(end).removesuffix(" %") for end in self.accuracy[1:])
        right = f"{wording.percent(self.accuracy.value)} [{low}, {high}] of {self.held_out:,} starts held out"
        always = f"always saying {named(self.commonest)} of {wording.percent(self.baseline)}"
        if not self.tells:
            return f"No simple rule tells from a start where it ends: the best is right of {right}, {always}."
        matter = self.features.loc[(self.features["matters"] > 0).to_numpy(), "feature"].tolist()
        names = ", ".join(matter[:_NAMED]) + (f" and {len(matter) - _NAMED} more" if len(matter) > _NAMED else "")
        return f"Where a start ends is told by {names}: the rules are right of {right}, {always}."

    @property
    def _card(self) -> Card:
        shown = self.rules.assign(minimum=self.rules["minimum"].map(named))
        return Card("What separates the basins", [self.sentence], shown, ".rules  .features  .accuracy  .baseline")


def named(minimum: int) -> str:
    """What a rule says of a start."""
    return "another bottom" if minimum == OTHERS else f"minimum {minimum}"


def too_little(ends: pd.Series) -> str | None:
    """Why no rules can be made of where restarts end, in words; None if they can.

    Args:
        ends: the minimum of each restart, -1 where it ended at none.
    """
    kept = ends[(ends >= 0).to_numpy()].head(MOST)
    needed = _EVERY * _FEWEST
    if len(kept) < needed:
        return f"{len(kept):,} restarts ended at bottoms, and it takes {needed} to tell what separates basins"
    if kept.nunique() < 2:
        return "all restarts that ended at bottoms ended at one, so that there is nothing that separates basins"
    return None


def separate(features: pd.DataFrame, ends: pd.Series, questions: int = 3) -> Separation:
    """Make rules of two thirds of the starts, by a decision tree, and ask them about the others.

    Every third restart is held out: no restart knows of another, so that these are a random sample. The six commonest
    bottoms are told apart, all others are one. What the rules are right of is compared with always saying the bottom
    that is the commonest where they were made; how much a number matters is the share of right answers that is lost
    when each held-out start is given that of another one. Of numbers that go up and down with each other, so that they
    answer the same questions, the first is asked.

    Args:
        features: one row per restart, a column for each number of its start, by the name that rules have for it.
        ends: the minimum of each restart, -1 where it ended at none: those are left out.
        questions: so many a rule asks, at most.

    Raises:
        ConfigError: if the number of questions is not 1 to 10.

    Source: Breiman, Friedman, Olshen & Stone (1984) for the tree and its pruning; Breiman (2001) for what matters.

    >>> start = np.linspace(-1, 1, 300)
    >>> found = separate(pd.DataFrame({"w1": start}), pd.Series(np.where(start > 0.5, 1, 0)))
    >>> found.accuracy.value, found.baseline, found.rules["rule"].tolist()
    (1.0, 0.75, ['w1 ≤ 0.498', 'w1 > 0.498'])
    """
    from sklearn.tree import DecisionTreeClassifier

    require(1 <= questions <= _QUESTIONS_MAX, f"questions={questions}: must be 1 to {_QUESTIONS_MAX}")
    kept = np.flatnonzero((ends >= 0).to_numpy())[:MOST]
    common = ends.iloc[kept].value_counts().index[:_APART]
    labels = ends.iloc[kept].where(ends.iloc[kept].isin(common), OTHERS).to_numpy(np.int64)
    asked_for = _unlike(_finite(features.iloc[kept]))
    numbers, names = asked_for.to_numpy(np.float64), list(asked_for.columns)
    out = np.arange(len(kept)) % _EVERY == _EVERY - 1
    made_of = int((~out).sum())
    leaf = max(_LEAST, int(_LEAF * made_of))
    tree = DecisionTreeClassifier(max_depth=questions, min_samples_leaf=leaf, ccp_alpha=_PRUNED, random_state=0)
    tree.fit(numbers[~out], labels[~out])
    asked, truth = numbers[out], labels[out]
    right = int((tree.predict(asked) == truth).sum())
    interval = unseen.wilson([right], len(truth))
    values, counts = np.unique(labels[~out], return_counts=True)
    commonest = int(values[counts.argmax()])
    return Separation(
        rules=_judged(_Rules(tree, names), asked, truth),
        features=_matter(tree, names, asked, truth),
        accuracy=Estimate(right / len(truth), float(interval.low[0]), float(interval.high[0])),
        baseline=float((truth == commonest).mean()),
        commonest=commonest,
        made_of=made_of,
        held_out=len(truth),
    )


def _finite(features: pd.DataFrame) -> pd.DataFrame:
    """Numbers as the tree has them: finite, and in single precision."""
    numbers = np.clip(np.nan_to_num(features.to_numpy(np.float64)), -_LARGEST, _LARGEST)
    return pd.DataFrame(numbers.astype(np.float32).astype(np.float64), columns=features.columns)


def _unlike(features: pd.DataFrame) -> pd.DataFrame:
    """The columns that do not go up, or down, with one before them."""
    kept: dict[str, npt.NDArray[np.int64]] = {}  # the order of the rows by each
    for name in features.columns:
        column = features[name].to_numpy()
        steps = [np.diff(column[order]) for order in kept.values()]
        if not any((step >= 0).all() or (step <= 0).all() for step in steps):
            kept[name] = np.argsort(column, kind="stable")
    return features[list(kept)]


def _matter(tree: Any, names: list[str], asked: npt.NDArray[np.float64], truth: npt.NDArray[np.int64]) -> pd.DataFrame:
    """What is lost without each of the numbers that the tree asks for, the one that matters most first."""
    right = float((tree.predict(asked) == truth).mean())
    order = np.random.default_rng(0).permutation(len(asked))
    lost = {}
    for column in sorted(set(tree.tree_.feature[tree.tree_.feature >= 0].tolist())):
        mixed = asked.copy()
        mixed[:, column] = asked[order, column]
        lost[names[column]] = right - float((tree.predict(mixed) == truth).mean())
    frame = pd.DataFrame({"feature": list(lost), "matters": list(lost.values())})
    return frame.sort_values("matters", ascending=False, kind="stable", ignore_index=True)


@dataclass(frozen=True)
class _Rules:
    """A tree as rules: its leaves, those beside each other that say the same as one."""

    tree: Any
    names: list[str]

    def answer(self, node: int) -> int:
        """What a node says."""
        return int(self.tree.classes_[self.tree.tree_.value[node, 0].argmax()])

    def whole(self, node: int) -> bool:
        """Whether everything below a node says the same."""
        below = self._below(node)
        return not below or all(self.whole(child) and self.answer(child) == self.answer(node) for child in below)

    def _below(self, node: int) -> list[int]:
        left, right = int(self.tree.tree_.children_left[node]), int(self.tree.tree_.children_right[node])
        return [] if left < 0 else [left, right]

    def leaves(self, node: int = 0, within: Mapping[int, Interval] | None = None) -> Iterator[_Leaf]:
        """The rules from left to right, each with the interval of every number that it asks for."""
        within = dict(within or {})
        if self.whole(node):
            words = " and ".join(_condition(self.names[column], *ends) for column, ends in within.items())
            yield _Leaf(words or "every start", self.answer(node), within)
            return
        column, cut = int(self.tree.tree_.feature[node]), float(self.tree.tree_.threshold[node])
        low, high = within.get(column, (-np.inf, np.inf))
        left, right = self._below(node)
        yield from self.leaves(left, {**within, column: (low, min(high, cut))})
        yield from self.leaves(right, {**within, column: (max(low, cut), high)})


@dataclass(frozen=True)
class _Leaf:
    words: str
    answer: int
    within: Mapping[int, Interval]

    def holds(self, asked: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """Of which starts `[start, number]` the rule speaks."""
        speaks = np.ones(len(asked), dtype=np.bool_)
        for column, (low, high) in self.within.items():
            speaks &= (asked[:, column] > low) & (asked[:, column] <= high)
        return speaks


def _condition(name: str, low: float, high: float) -> str:
    if low == -np.inf:
        return f"{name} ≤ {high:.3g}"
    return f"{name} > {low:.3g}" if high == np.inf else f"{low:.3g} < {name} ≤ {high:.3g}"


def _judged(rules: _Rules, asked: npt.NDArray[np.float64], truth: npt.NDArray[np.int64]) -> pd.DataFrame:
    rows = []
    for leaf in rules.leaves():
        speaks = leaf.holds(asked)
        right = int((truth[speaks] == leaf.answer).sum())
        rows.append({"rule": leaf.words, "minimum": leaf.answer, "starts": int(speaks.sum()), "right": right})
    return pd.DataFrame(rows)
