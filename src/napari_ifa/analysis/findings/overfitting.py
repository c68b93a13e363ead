"""Overfitting: features that contribute otherwise on training cases than on unseen ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.findings.finding import Finding
from napari_ifa.analysis.findings.permutation import any_difference
from napari_ifa.analysis.findings.welch import Moments, benjamini_hochberg, welch
from napari_ifa.analysis.section import Section
from napari_ifa.analysis.store import Analysis, Kind, differing
from napari_ifa.analysis.truth import cases_of_class
from napari_ifa.analysis.wording import counted, listed
from napari_ifa.errors import AnalysisMismatchError

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
    t, p : ``[F, C]``, Welch's t (training minus test) and its two-sided p; NaN where a class has
        fewer than two cases on a side.
    adjusted : ``[F, C]``, p after Benjamini and Hochberg, over all features of all classes.
    p_any : that any feature of any class differs, by dealing the cases out anew; None where an
        analysis holds no contributions of single cases to deal out.
    train_cases, test_cases : ``[C]``, cases that count.
    distance : ``[C]``, Σ_f |train − test| / Σ_f |train|.
    distance_by_chance : ``[C]``, what that distance would be on average by sampling alone.
    correlation : ``[C]``, Pearson's r of the two columns over the features.
    shared : images that stand in both analyses; None where a file does not tell.
    kind : ``"true"``, of the cases of each class (eq. 4), or ``"all"`` (eq. 3).
    why_all : for ``"all"``: the model answers with ``"values"``, there are ``"no labels"``, or it
        was ``"asked"`` for; None for ``"true"``.
    top : share of a class's features that the table lists, the most different first.
    level : adjusted p up to which a difference is called significant.
    """

    class_names: tuple[str, ...]
    train: Floats
    test: Floats
    t: Floats
    p: Floats
    adjusted: Floats
    p_any: float | None
    train_cases: Counts
    test_cases: Counts
    distance: Floats
    distance_by_chance: Floats
    correlation: Floats
    shared: int | None
    kind: Kind
    why_all: WhyAll | None
    top: float
    level: float

    @property
    def significant(self) -> NDArray[np.bool_]:
        """``[F, C]``: small adjusted p, in cohorts that differ at all; False where not tested.

        Welch's p is no probability far in its tail where contributions are skewed and the cohorts
        of different sizes, as behind a ReLU. So no feature is called significant unless the
        permutation test finds a difference somewhere.
        """
        differs = self.p_any is not None and self.p_any <= self.level
        return self.suspected & differs

    @property
    def suspected(self) -> NDArray[np.bool_]:
        """``[F, C]``: adjusted p of Welch's test at most ``level``; False where not tested."""
        return np.asarray(self.adjusted <= self.level)

    @property
    def tested(self) -> NDArray[np.bool_]:
        """``[C]``: classes with at least two cases on each side."""
        return np.asarray((self.train_cases > 1) & (self.test_cases > 1))

    @property
    def sections(self) -> tuple[Section, ...]:
        """The classes, and the features that differ most."""
        return (self._class_section(), self._feature_section())

    def _class_section(self) -> Section:
        rows = tuple(
            {
                "class": name,
                "training_cases": int(self.train_cases[c]),
                "test_cases": int(self.test_cases[c]),
                "features": len(self.train),
                "significant": self._number(self.significant[:, c]) if self.tested[c] else None,
                "least_adjusted_p": float(_least(self.adjusted[:, c])),
                "distance": float(self.distance[c]),
                "distance_by_chance": float(self.distance_by_chance[c]),
                "correlation": float(self.correlation[c]),
            }
            for c, name in enumerate(self.class_names)
        )
        return Section(
            key="overfitting",
            title="Overfitting",
            meaning=self._meaning(),
            limits=(
                "A significant difference can also be a shift of domain between the two cohorts,"
                " such as another scanner or other patients, and none is no proof that the model"
                " generalises: a few cases show large differences only."
            ),
            rows=rows,
            columns={
                "class": "class",
                "training_cases": "cases of the class in the training analysis",
                "test_cases": "cases of the class in the test analysis",
                "features": "features tested",
                "significant": "features whose mean contribution differs (Welch's t, adjusted p at"
                f" most {self.level:g}, where the permutation test finds a difference at all);"
                " empty where that could not be tested",
                "least_adjusted_p": "least p of the class after Benjamini and Hochberg",
                "distance": "sum of |training − test| over the features, by the sum of |training|",
                "distance_by_chance": "what sampling alone would make of that distance on average",
                "correlation": "Pearson's r of the two columns over the features",
            },
            draw=self.figure,
        )

    def _meaning(self) -> str:
        tested = int(self.tested.sum())
        if not tested:
            return (
                "No class has two cases in both analyses, so nothing could be compared; analyse"
                " more cases."
            )
        text = self._verdict(tested)
        if tested < len(self.class_names):
            missing = [n for n, ok in zip(self.class_names, self.tested, strict=True) if not ok]
            text += f" Fewer than two cases on a side: {listed(missing)}."
        text += _WHY_ALL[self.why_all]
        if self.shared:
            text += (
                f" {counted(self.shared, 'image')} in both analyses hide overfitting; leave such"
                " images out of one."
            )
        elif self.shared is None:
            text += " Whether images stand in both analyses is not known from these files."
        else:
            text += " No image stands in both analyses."
        return text

    def _verdict(self, tested: int) -> str:
        means = counted(tested * len(self.train), "mean contribution")
        if len(self.class_names) > 1:
            of = "the " if tested == len(self.class_names) else f"{tested} of the "
            means += f" in {of}{len(self.class_names)} classes"
        test = (
            "Welch's t, Benjamini and Hochberg over all features of all classes, adjusted p ≤"
            f" {self.level:g}"
        )
        suspected = int(self.suspected.sum())
        if self.p_any is None:
            return (
                f"{suspected} of {means} seem to differ between training and test ({test}), but"
                " without the contributions of single cases that p is an approximation that finds"
                " too much in skewed contributions, so nothing is called significant; analyse"
                " again with them."
            )
        p_any = f"permutation test of any difference: p = {self.p_any:.3g}"
        if self.p_any > self.level:
            by_welch = (
                f"; Welch's t alone would name {suspected}, which skewed contributions make it do"
                if suspected
                else ""
            )
            return (
                f"No difference between training and test was found in {means} ({p_any}{by_welch})."
            )
        if not suspected:
            return (
                f"Training and test differ somewhere ({p_any}), but no single one of {means} can be"
                f" named as different ({test})."
            )
        return f"{suspected} of {means} differ between training and test ({test}; {p_any})."

    def _number(self, significant: NDArray[np.bool_]) -> int | None:
        return int(significant.sum()) if self.p_any is not None else None

    def _feature_section(self) -> Section:
        number = min(_MOST_ROWS, max(1, int(np.ceil(self.top * len(self.train) - 1e-9))))
        rows = []
        for c in np.flatnonzero(self.tested):
            for f in np.lexsort((-np.abs(self.t[:, c]), self.p[:, c]))[:number]:
                rows.append(
                    {
                        "class": self.class_names[c],
                        "feature": int(f),
                        "training": float(self.train[f, c]),
                        "test": float(self.test[f, c]),
                        "t": float(self.t[f, c]),
                        "p": float(self.p[f, c]),
                        "adjusted_p": float(self.adjusted[f, c]),
                        "significant": (
                            bool(self.significant[f, c]) if self.p_any is not None else None
                        ),
                    }
                )
        return Section(
            key="overfitting_features",
            title="Features that differ most between training and test",
            meaning=(
                f"The {counted(number, 'feature')} of each class with the least p, from"
                f" {'the cases of the class' if self.kind == 'true' else 'all cases'}; a positive t"
                " speaks for the class more strongly in training than in test."
            ),
            limits=(
                "The order is by p, so a small but steady difference stands before a large one that"
                " varies from case to case."
            ),
            rows=tuple(rows),
            columns={
                "class": "class",
                "feature": "number of the feature, from 0",
                "training": "mean contribution in training, logit",
                "test": "mean contribution in test, logit",
                "t": "Welch's t of training minus test; infinite where neither side varies",
                "p": "two-sided p of that feature alone",
                "adjusted_p": "p after Benjamini and Hochberg over all features of all classes",
                "significant": f"adjusted p at most {self.level:g}, where the permutation test"
                " finds a difference at all",
            },
        )

    def figure(self) -> Figure:
        """Training against test for each class, with the significant features marked."""
        from napari_ifa.analysis.findings.figures import overfitting_figure

        return overfitting_figure(self)


def overfitting(
    train: Analysis,
    test: Analysis,
    *,
    top: float = 0.05,
    level: float = 0.05,
    kind: Kind = "true",
) -> Overfitting:
    """Compare the importance matrices of a model's training cases and of cases it never saw.

    Welch's t from the stored means, variances and counts; Benjamini and Hochberg (1995) over all
    features of all classes. Where no feature differs, anything is called significant in at most
    ``level`` of the comparisons, by the permutation test of ``permutation.any_difference``.

    Raises
    ------
    AnalysisMismatchError
        The analyses are not of one model by one method; what differs is named.
    """
    check_same_model(train, test)
    one, other = (_moments(a, kind) for a in (train, test))
    t, p = welch(one, other)
    return Overfitting(
        class_names=train.class_names,
        train=one[0],
        test=other[0],
        t=t,
        p=p,
        adjusted=benjamini_hochberg(p),
        p_any=_p_of_any_difference(train, test, kind),
        train_cases=one[2],
        test_cases=other[2],
        **_columns_against_each_other(one, other),
        shared=_shared_images(train, test),
        kind=kind,
        why_all=_why_all(train, test) if kind == "all" else None,
        top=top,
        level=level,
    )


def check_same_model(one: Analysis, other: Analysis) -> None:
    """Refuse two analyses that are not of one model by one method.

    Raises
    ------
    AnalysisMismatchError
        Lists what differs.
    """
    mine, theirs = one.dataset.attrs, other.dataset.attrs
    different = differing(mine, theirs)
    if str(mine.get("method")) != str(theirs.get("method")):
        different.append("method")
    if one.dataset["importance_all"].shape != other.dataset["importance_all"].shape:
        different.append("number of features or classes")
    if different:
        raise AnalysisMismatchError(
            f"The two analyses cannot be compared: {', '.join(different)} differ; analyse both"
            " cohorts with the same model and method."
        )


def cases_that_count(analysis: Analysis, kind: Kind) -> Counts:
    """``[C]``: the cases that a column of the importance matrix is the mean of."""
    data = analysis.dataset
    if kind == "true":
        return np.asarray(data["cases_true"].values, dtype=np.int64)
    number = int(data["cases_all"]) if "cases_all" in data else data.sizes["case"]
    return np.full(len(analysis.class_names), number, dtype=np.int64)


def _moments(analysis: Analysis, kind: Kind) -> Moments:
    data = analysis.dataset
    return (
        np.asarray(data[f"importance_{kind}"].values, dtype=float),
        np.asarray(data[f"variance_{kind}"].values, dtype=float),
        cases_that_count(analysis, kind),
    )


def _why_all(train: Analysis, test: Analysis) -> WhyAll:
    if train.is_regression:
        return "values"
    labelled = all(cases_that_count(analysis, "true").any() for analysis in (train, test))
    return "asked" if labelled else "no labels"


def _p_of_any_difference(train: Analysis, test: Analysis, kind: Kind) -> float | None:
    by_class = [_contributions_by_class(analysis, kind) for analysis in (train, test)]
    if by_class[0] is None or by_class[1] is None:
        return None
    pairs = zip(*by_class, strict=True)
    enough = [(one, other) for one, other in pairs if min(len(one), len(other)) > 1]
    return any_difference(enough) if enough else None


def _contributions_by_class(analysis: Analysis, kind: Kind) -> list[Floats] | None:
    """For each class the contributions ``[n, F]`` whose mean is its column, if they are stored."""
    data = analysis.dataset
    if "contribution" not in data or (kind == "all" and data.sizes["class"] > 1):
        return None
    values, label = data["contribution"].values, data["label"].values
    if kind == "all":
        return [values.astype(np.float64)]
    of_class = cases_of_class(label, data.sizes["class"])
    return [values[members].astype(np.float64) for members in of_class.T]


def _columns_against_each_other(one: Moments, other: Moments) -> dict[str, Any]:
    mean, variance, cases = one
    other_mean, other_variance, other_cases = other
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.abs(mean).sum(axis=0)
        distance = np.abs(mean - other_mean).sum(axis=0) / size
        # The mean of |x| for a normal x of mean 0 is √(2/π) of its standard deviation.
        error = np.sqrt(variance / cases + other_variance / other_cases)
        by_chance = np.sqrt(2 / np.pi) * error.sum(axis=0) / size
        centred, other_centred = mean - mean.mean(axis=0), other_mean - other_mean.mean(axis=0)
        spread = np.sqrt((centred**2).sum(axis=0) * (other_centred**2).sum(axis=0))
        correlation = (centred * other_centred).sum(axis=0) / spread
    return {
        "distance": np.where(size > 0, distance, np.nan),
        "distance_by_chance": np.where(size > 0, by_chance, np.nan),
        "correlation": correlation,
    }


def _shared_images(one: Analysis, other: Analysis) -> int | None:
    if "content" not in one.dataset or "content" not in other.dataset:
        return None
    return len(np.intersect1d(one.dataset["content"].values, other.dataset["content"].values))


def _least(values: Floats) -> float:
    return float(np.nanmin(values)) if np.isfinite(values).any() else float("nan")
