"""Overfitting: features that contribute otherwise on training cases than on unseen ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from napari_ifa.analysis.store import Analysis, Kind
from napari_ifa.evaluation.checks.sides import Side, cases_that_count, check_same_model, in_both
from napari_ifa.evaluation.numbers import Bools, Floats, Ints, Numbers
from napari_ifa.evaluation.statistics.intervals import pearson
from napari_ifa.evaluation.statistics.permutation import compared, least_p

WhyAll = Literal["values", "no labels", "asked"]


@dataclass(frozen=True, eq=False, repr=False)
class Overfitting(Numbers):
    """The importance columns of training and test cases against each other.

    Attributes
    ----------
    class_names : ``[C]``.
    train, test : ``[F, C]``, the importance matrices in logits.
    train_logit, test_logit : ``[C]``, the class's mean logit over the cases that count.
    t, adjusted : ``[F, C]``, the standardised difference (training minus test) and its p after
        Westfall and Young, over all features of all classes; NaN where a class is not tested.
    adjusted_sum : ``[C]``, p of the sum of squared standardised differences, over all classes.
    p_any : that anything differs at all, by the better of the two tests; None where no class could
        be tested.
    train_cases, test_cases : ``[C]``, cases that count.
    train_patients, test_patients : ``[C]``, patients among them, or the cases where no patients
        are known.
    grouped : whether patients are known in both analyses, in one of them, or in none.
    distance : ``[C]``, Σ_f |train − test| / Σ_f |train|.
    distance_by_chance : ``[C]``, what that distance would be on average by sampling alone.
    correlation : ``[C]``, Pearson's r of the two columns over the features.
    shared, shared_patients : images and patients that stand in both analyses; None where a file
        does not tell.
    stored : whether both analyses hold the contributions of single cases, which are dealt out.
    kind : ``"true"``, of the cases of each class (eq. 4), or ``"all"`` (eq. 3).
    why_all : for ``"all"``: the model answers with ``"values"``, there are ``"no labels"``, or it
        was ``"asked"`` for; None for ``"true"``.
    top : share of a class's features that the table lists, the most different first.
    level : adjusted p up to which a difference is called significant.
    compared_class : that all are compared with, and nothing is told of; None where there is none.
    """

    class_names: tuple[str, ...]
    train: Floats
    test: Floats
    train_logit: Floats
    test_logit: Floats
    t: Floats
    adjusted: Floats
    adjusted_sum: Floats
    p_any: float | None
    train_cases: Ints
    test_cases: Ints
    train_patients: Ints
    test_patients: Ints
    grouped: Literal["both", "one", "none"]
    distance: Floats
    distance_by_chance: Floats
    correlation: Floats
    shared: int | None
    shared_patients: int | None
    stored: bool
    kind: Kind
    why_all: WhyAll | None
    top: float
    level: float
    compared_class: int | None = None

    @property
    def called(self) -> bool:
        """Whether training and test differ at all, which both tests together decide."""
        return self.p_any is not None and self.p_any <= self.level

    @property
    def significant(self) -> Bools:
        """``[F, C]``: features named as different; none where nothing is called at all."""
        return np.asarray(self.adjusted <= self.level) & self.called

    @property
    def significant_sum(self) -> Bools:
        """``[C]``: classes whose contributions differ as a whole."""
        return np.asarray(self.adjusted_sum <= self.level) & self.called

    @property
    def tested(self) -> Bools:
        """``[C]``: classes whose patients allow a p that small, if they are stored at all."""
        pairs = zip(self.train_patients, self.test_patients, strict=True)
        enough = [least_p(int(n), int(m)) <= self.level for n, m in pairs]
        return np.array(enough, bool) & self.stored


def overfitting(
    train: Analysis,
    test: Analysis,
    *,
    top: float = 0.05,
    level: float = 0.05,
    kind: Kind = "true",
) -> Overfitting:
    """Compare the contributions of a model's training cases and of cases it never saw.

    The cases of each class are dealt out to the two sides anew, whole patients where these are
    known, and two statistics are compared with the deals': the largest standardised difference of
    any feature of any class (Westfall and Young, 1993, stepped down), which names features, and the
    sum of squares of all of them, which finds shifts that no feature shows alone. Where nothing
    differs, the two together call a difference in at most ``level`` of the comparisons, whatever
    the distribution of the contributions and the sizes of the cohorts.

    Raises
    ------
    AnalysisMismatchError
        The analyses are not of one model by one method; what differs is named.
    """
    check_same_model(train, test)
    one, other = Side.of(train, kind), Side.of(test, kind)
    stored = one.independent is not None and other.independent is not None
    classes: list[tuple[Floats, Floats] | None] = [None] * len(train.class_names)
    if one.independent is not None and other.independent is not None:
        for c, sides in enumerate(zip(one.independent, other.independent, strict=True)):
            # A class that allows no small p has nothing to find and would only raise the others'.
            if least_p(len(sides[0]), len(sides[1])) <= level:
                classes[c] = sides
    dealt = compared(classes, len(one.mean))
    known = (one.grouped, other.grouped)
    return Overfitting(
        class_names=train.class_names,
        train=one.mean,
        test=other.mean,
        train_logit=one.logit,
        test_logit=other.logit,
        t=dealt.t,
        adjusted=dealt.adjusted,
        adjusted_sum=dealt.adjusted_sum,
        p_any=dealt.p_any,
        train_cases=one.cases,
        test_cases=other.cases,
        train_patients=one.patients,
        test_patients=other.patients,
        grouped="both" if all(known) else "one" if any(known) else "none",
        **_columns_against_each_other(one, other),
        shared=in_both(train, test, "content"),
        shared_patients=in_both(train, test, "group"),
        stored=stored,
        kind=kind,
        why_all=_why_all(train, test) if kind == "all" else None,
        top=top,
        level=level,
        compared_class=train.compared_class,
    )


def _why_all(train: Analysis, test: Analysis) -> WhyAll:
    if train.is_regression:
        return "values"
    labelled = all(cases_that_count(analysis, "true").any() for analysis in (train, test))
    return "asked" if labelled else "no labels"


def _columns_against_each_other(one: Side, other: Side) -> dict[str, Any]:
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.abs(one.mean).sum(axis=0)
        distance = np.abs(one.mean - other.mean).sum(axis=0) / size
        # The mean of |x| for a normal x of mean 0 is √(2/π) of its standard deviation.
        error = np.sqrt(one.error + other.error)
        by_chance = np.sqrt(2 / np.pi) * error.sum(axis=0) / size
    return {
        "distance": np.where(size > 0, distance, np.nan),
        "distance_by_chance": np.where(size > 0, by_chance, np.nan),
        "correlation": pearson(one.mean, other.mean, axis=0),
    }
