"""Overfitting: features that contribute otherwise on training cases than on unseen ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.store import Analysis, Kind
from napari_ifa.evaluation.findings.finding import Finding
from napari_ifa.evaluation.findings.sides import Side, cases_that_count, check_same_model, in_both
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.statistics.permutation import compared, least_p
from napari_ifa.wording import counted, listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

WhyAll = Literal["values", "no labels", "asked"]
_WHY_ALL: dict[WhyAll | None, str] = {
    None: "",
    "values": " The means are over all cases, since the model answers with values.",
    "no labels": " The means are over all cases, since none has a label to count by; another mix of"
    " classes differs too.",
    "asked": " The means are over all cases whatever their label, as asked for; another mix of"
    " classes differs too.",
}
#: Most features of a class that the table lists.
_MOST_ROWS = 20


@dataclass(frozen=True, eq=False, repr=False)
class Overfitting(Finding):
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
    train_cases: Counts
    test_cases: Counts
    train_patients: Counts
    test_patients: Counts
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

    @property
    def called(self) -> bool:
        """Whether training and test differ at all, which both tests together decide."""
        return self.p_any is not None and self.p_any <= self.level

    @property
    def significant(self) -> NDArray[np.bool_]:
        """``[F, C]``: features named as different; none where nothing is called at all."""
        return np.asarray(self.adjusted <= self.level) & self.called

    @property
    def significant_sum(self) -> NDArray[np.bool_]:
        """``[C]``: classes whose contributions differ as a whole."""
        return np.asarray(self.adjusted_sum <= self.level) & self.called

    @property
    def tested(self) -> NDArray[np.bool_]:
        """``[C]``: classes whose patients allow a p that small, if they are stored at all."""
        pairs = zip(self.train_patients, self.test_patients, strict=True)
        enough = [least_p(int(n), int(m)) <= self.level for n, m in pairs]
        return np.array(enough, bool) & self.stored

    @property
    def sections(self) -> tuple[Section, ...]:
        """The classes, and the features that differ most."""
        return (self._class_section(), self._feature_section())

    def _class_section(self) -> Section:
        patients = self.grouped != "none"
        rows = tuple(
            {
                "class": name,
                "training_cases": int(self.train_cases[c]),
                "test_cases": int(self.test_cases[c]),
            }
            | (
                {
                    "training_patients": int(self.train_patients[c]),
                    "test_patients": int(self.test_patients[c]),
                }
                if patients
                else {}
            )
            | {
                "features": len(self.train),
                "significant": int(self.significant[:, c].sum()) if self.tested[c] else None,
                "least_adjusted_p": _least(self.adjusted[:, c]),
                "adjusted_p_of_sum": float(self.adjusted_sum[c]),
                "training_logit": float(self.train_logit[c]),
                "test_logit": float(self.test_logit[c]),
                "distance": float(self.distance[c]),
                "distance_by_chance": float(self.distance_by_chance[c]),
                "correlation": float(self.correlation[c]),
            }
            for c, name in enumerate(self.class_names)
        )
        over = "its own cases" if self.kind == "true" else "all cases"
        columns = {
            "class": "class",
            "training_cases": "cases of the class in the training analysis",
            "test_cases": "cases of the class in the test analysis",
            "training_patients": "patients among the training cases; a case without one counts"
            " as a patient",
            "test_patients": "the same of the test cases",
            "features": "features tested",
            "significant": f"features whose adjusted p is at most {self.level:g}, where the two"
            " tests together find a difference; empty where that could not be tested",
            "least_adjusted_p": "least p of the class's features (Westfall and Young, over all"
            " features of all classes)",
            "adjusted_p_of_sum": "p of the sum of squared standardised differences over the"
            " class's features, over all classes",
            "training_logit": f"the class's mean logit over {over} in training",
            "test_logit": "the same in test",
            "distance": "sum of |training − test| over the features, by the sum of |training|",
            "distance_by_chance": "what sampling alone would make of that distance on average",
            "correlation": "Pearson's r of the two columns over the features",
        }
        return Section(
            key="overfitting",
            title="Overfitting",
            meaning=self._meaning(),
            limits=(
                "A difference can also be a shift of domain between the two cohorts, such as"
                " another scanner or other patients, or a wider spread in the smaller cohort alone;"
                " and none is no proof that the model generalises: a few cases show large"
                " differences only."
            ),
            rows=rows,
            columns={name: columns[name] for name in rows[0]},
            draw=self.figure,
        )

    def _meaning(self) -> str:
        parts = [self._verdict()]
        if self.tested.any():
            if too_few := [
                n for n, ok in zip(self.class_names, self.tested, strict=True) if not ok
            ]:
                parts.append(f"Too few cases for any p ≤ {self.level:g}: {listed(too_few)}.")
            parts.append(self._units())
        if logits := self._logits():
            parts.append(logits)
        parts.append(_WHY_ALL[self.why_all].strip())
        parts.append(self._in_both())
        return " ".join(filter(None, parts))

    def _verdict(self) -> str:
        tested = int(self.tested.sum())
        if not self.stored:
            return (
                "Nothing was tested, since the contributions of single cases to these means are not"
                " stored; analyse again with them, and with labels if there are several classes."
            )
        if not tested or self.p_any is None:
            one = "patients" if self.grouped == "both" else "cases"
            return (
                f"No class has enough {one} in both analyses for any p ≤ {self.level:g}, so nothing"
                f" was tested; analyse more {one} (4 and 4 are enough for one class)."
            )
        means = counted(tested * len(self.train), "mean contribution")
        if len(self.class_names) > 1:
            of = "the " if tested == len(self.class_names) else f"{tested} of the "
            means += f" in {of}{len(self.class_names)} classes"
        tests = (
            "Westfall and Young's permutation test: least adjusted p of a feature"
            f" {_least(self.adjusted):.3g}, of a class's sum of squared differences"
            f" {_least(self.adjusted_sum):.3g}; both together p = {self.p_any:.3g}"
        )
        if not self.called:
            return f"No difference between training and test was found in {means} ({tests})."
        number = int(self.significant.sum())
        if number:
            text = f"{number} of {means} differ between training and test ({tests})."
            return f"{text} {self._largest()}{self._as_a_whole(' As a whole')}"
        return (
            f"Training and test differ, but no single one of {means} can be named ({tests})."
            f"{self._as_a_whole(' As a whole')}"
        )

    def _largest(self) -> str:
        """The named feature with the largest difference, its direction and its size."""
        size = np.where(self.significant, np.abs(self.train - self.test), -1.0)
        f, c = np.unravel_index(int(size.argmax()), size.shape)
        train, test = float(self.train[f, c]), float(self.test[f, c])
        way = "higher" if train > test else "lower"
        return (
            f"The largest is feature {f} for '{self.class_names[c]}': its mean contribution is"
            f" {abs(train - test):.3g} logit {way} in training ({train:.3g}) than in test"
            f" ({test:.3g})."
        )

    def _as_a_whole(self, begin: str) -> str:
        found = np.flatnonzero(self.significant_sum)
        if not len(found):
            return ""
        names = listed([f"'{self.class_names[c]}'" for c in found])
        return f"{begin} the contributions to {names} differ (sum of squared differences)."

    def _logits(self) -> str:
        difference = np.abs(self.train_logit - self.test_logit)
        if not np.isfinite(difference).any():
            return ""
        c = int(np.nanargmax(difference))
        one, other = self.train_logit[c], self.test_logit[c]
        over = "its own cases" if self.kind == "true" else "all cases"
        most = ", the most of all classes" if len(self.class_names) > 1 else ""
        return (
            f"The mean logit of '{self.class_names[c]}' over {over} is {one:.3g} in training and"
            f" {other:.3g} in test, {abs(one - other):.3g} apart{most}."
        )

    def _units(self) -> str:
        if self.grouped == "both":
            return "Whole patients are dealt out and a patient's cases averaged."
        if self.grouped == "one":
            return (
                "Patients are known in one of the analyses only; in the other p holds only if each"
                " case is of another patient."
            )
        return "No patients are known: p holds only if each case is of another patient."

    def _in_both(self) -> str:
        patients = ""
        if self.shared_patients:
            patients = (
                f" {counted(self.shared_patients, 'patient')} in both analyses"
                f" {'hides' if self.shared_patients == 1 else 'hide'} overfitting; leave such"
                " patients out of one."
            )
        if self.shared:
            return (
                f"{counted(self.shared, 'image')} in both analyses hide overfitting; leave such"
                f" images out of one.{patients}"
            )
        if self.shared is None:
            return f"Whether images stand in both analyses is not known from these files.{patients}"
        none = " and no patient" if self.shared_patients == 0 else ""
        return f"No image{none} stands in both analyses.{patients}"

    def _feature_section(self) -> Section:
        number = min(_MOST_ROWS, max(1, int(np.ceil(self.top * len(self.train) - 1e-9))))
        rows = []
        for c in np.flatnonzero(self.tested):
            for f in np.lexsort((-np.abs(self.t[:, c]), self.adjusted[:, c]))[:number]:
                rows.append(
                    {
                        "class": self.class_names[c],
                        "feature": int(f),
                        "training": float(self.train[f, c]),
                        "test": float(self.test[f, c]),
                        "difference": float(self.train[f, c] - self.test[f, c]),
                        "t": float(self.t[f, c]),
                        "adjusted_p": float(self.adjusted[f, c]),
                        "significant": bool(self.significant[f, c]),
                    }
                )
        return Section(
            key="overfitting_features",
            title="Features that differ most between training and test",
            meaning=(
                f"Of each class the {counted(number, 'feature')} with the least adjusted p,"
                " significant or not."
            ),
            limits="Features that vary together differ together; they are no separate findings.",
            rows=tuple(rows),
            columns={
                "class": "class",
                "feature": "number of the feature, from 0",
                "training": "mean contribution in training, logit",
                "test": "mean contribution in test, logit",
                "difference": "training minus test, logit",
                "t": "difference of the means over its standard error; of patients' means where"
                " patients are known",
                "adjusted_p": "share of deals in which the most different of all features that"
                " differ less than those before it is at least as different (Westfall and Young)",
                "significant": f"adjusted p at most {self.level:g}, where the two tests together"
                " find a difference",
            },
        )

    def figure(self) -> Figure:
        """Training against test for each class, with the significant features marked."""
        from napari_ifa.evaluation.findings.figures import overfitting_figure

        return overfitting_figure(self)


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
        centred, other_centred = (side.mean - side.mean.mean(axis=0) for side in (one, other))
        spread = np.sqrt((centred**2).sum(axis=0) * (other_centred**2).sum(axis=0))
        correlation = (centred * other_centred).sum(axis=0) / spread
    return {
        "distance": np.where(size > 0, distance, np.nan),
        "distance_by_chance": np.where(size > 0, by_chance, np.nan),
        "correlation": correlation,
    }


def _least(values: Floats) -> float:
    return float(np.nanmin(values)) if np.isfinite(values).any() else float("nan")
