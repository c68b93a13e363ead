"""Redundancy: features that the answers hardly need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.findings.finding import Finding
from napari_ifa.analysis.importance import FeatureMask
from napari_ifa.analysis.section import Section
from napari_ifa.analysis.store import Analysis
from napari_ifa.analysis.wording import counted
from napari_ifa.errors import AnalysisError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

#: A share of a class's evidence below this part of the mean share, 1/F, is negligible.
NEGLIGIBLE = 0.1
_HOW_TO_MEASURE = (
    " What accuracy remains without them was not measured; `napari-ifa findings … --bundle B"
    " --cohort C` measures it."
)


@dataclass(frozen=True)
class MaskedAccuracy:
    """Accuracy over ``cases`` with all features and without the redundant ones."""

    with_all: float
    without: float
    cases: int

    def interval(self, accuracy: float) -> tuple[float, float]:
        """95 % interval of an accuracy over these cases (Wilson, 1927)."""
        from scipy.stats import binomtest

        right = round(accuracy * self.cases)
        found = binomtest(right, self.cases).proportion_ci(0.95, method="wilson")
        return float(found.low), float(found.high)


@dataclass(frozen=True, eq=False, repr=False)
class Redundancy(Finding):
    """Features that are rarely active, or carry next to nothing, for every class.

    Attributes
    ----------
    class_names : ``[C]``.
    frequency : ``[F, C]``, share of all cases in which the feature speaks for the class.
    steady : ``[F, C]``, whether mean and variance show that the feature contributes, for or
        against, in more than ``threshold`` of all cases.
    share : ``[F, C]``, |IM_all[f, c]| / Σ_f |IM_all[f, c]|; 0 for a class without any evidence.
    threshold : share of the cases below which a feature is rarely active.
    accuracy : what remains without the redundant features, where it was measured.
    regression : whether the model answers with values, so that there is no accuracy.
    """

    class_names: tuple[str, ...]
    frequency: Floats
    steady: NDArray[np.bool_]
    share: Floats
    threshold: float
    accuracy: MaskedAccuracy | None = None
    regression: bool = False

    @property
    def rare(self) -> NDArray[np.bool_]:
        """``[F]``: active for no class in at least ``threshold`` of the cases."""
        return np.asarray(self._seldom_for & ~self.against)

    @property
    def against(self) -> NDArray[np.bool_]:
        """``[F]``: speaks hardly ever for a class, but often against one, so it is not rare."""
        return np.asarray(self._seldom_for & self.steady.any(axis=1))

    @property
    def negligible(self) -> NDArray[np.bool_]:
        """``[F]``: makes up less than a tenth of the mean share for every class."""
        return np.asarray((self.share < NEGLIGIBLE / len(self.share)).all(axis=1))

    @property
    def _seldom_for(self) -> NDArray[np.bool_]:
        return np.asarray((self.frequency < self.threshold).all(axis=1))

    @property
    def redundant(self) -> NDArray[np.bool_]:
        """``[F]``: rare or negligible."""
        return np.asarray(self.rare | self.negligible)

    @property
    def mask(self) -> FeatureMask:
        """Every feature but the redundant ones, to predict with."""
        return FeatureMask(~self.redundant, "without redundant")

    def with_accuracy(self, with_all: float, without: float, cases: int) -> Redundancy:
        """The same with the accuracy measured over ``cases`` cases with all features and ``mask``.

        Raises
        ------
        AnalysisError
            Where an accuracy is not between 0 and 1, or there is no case.
        """
        if cases < 1 or not (0 <= with_all <= 1 and 0 <= without <= 1):
            raise AnalysisError(
                f"Accuracies of {with_all:g} and {without:g} over {cases} cases cannot be; give"
                " shares between 0 and 1 of at least one case."
            )
        return replace(self, accuracy=MaskedAccuracy(float(with_all), float(without), int(cases)))

    @property
    def sections(self) -> tuple[Section, ...]:
        """One row of counts for the layer, and one for every redundant feature."""
        return (self._summary(), *((self._features(),) if self.redundant.any() else ()))

    def _summary(self) -> Section:
        accuracy = self.accuracy
        return Section(
            key="redundancy",
            title="Redundancy",
            meaning=self._meaning(),
            limits=(
                "Rare is not useless: a feature that few cases need can be all that tells a rare"
                " finding, so judge by the accuracy without these features on cases that hold it."
            ),
            rows=(
                {
                    "features": len(self.share),
                    "redundant": int(self.redundant.sum()),
                    "rare": int(self.rare.sum()),
                    "negligible": int(self.negligible.sum()),
                    "against_alone": int(self.against.sum()),
                    "accuracy_with_all": accuracy.with_all if accuracy else None,
                    "accuracy_without": accuracy.without if accuracy else None,
                    "accuracy_cases": accuracy.cases if accuracy else None,
                },
            ),
            columns={
                "features": "features of the target layer",
                "redundant": "rare or negligible",
                "rare": f"active for every class in less than {100 * self.threshold:g} % of the"
                " cases",
                "negligible": "make up less than a tenth of the mean share of the evidence, for"
                " every class",
                "against_alone": "speak for a class as rarely, but against one more often; not"
                " counted as rare",
                "accuracy_with_all": "accuracy with all features; empty where not measured",
                "accuracy_without": "accuracy without the redundant ones; empty where not measured",
                "accuracy_cases": "cases that the accuracies were measured on",
            },
            draw=self.figure,
        )

    def _features(self) -> Section:
        most = self.frequency.max(axis=1)
        chosen = np.flatnonzero(self.redundant)
        return Section(
            key="redundant_features",
            title="The redundant features",
            meaning=f"{counted(len(chosen), 'feature')} that no class's answer seems to need.",
            limits="Together they can matter where each alone does not.",
            rows=tuple(
                {
                    "feature": int(f),
                    "highest_frequency": float(most[f]),
                    "largest_share": float(self.share[f].max()),
                    "rare": bool(self.rare[f]),
                    "negligible": bool(self.negligible[f]),
                }
                for f in chosen
            ),
            columns={
                "feature": "number of the feature, from 0",
                "highest_frequency": "share of the cases in which it speaks for a class, for the"
                " class where that is most",
                "largest_share": "share of the evidence, for the class where that is largest",
                "rare": f"active for every class in less than {100 * self.threshold:g} % of the"
                " cases",
                "negligible": "largest share below a tenth of the mean share",
            },
        )

    def _meaning(self) -> str:
        number, features = int(self.redundant.sum()), len(self.share)
        if not number:
            return (
                f"None of the {counted(features, 'feature')} is redundant: each takes part in"
                f" {100 * self.threshold:g} % of the cases or more, for or against a class, and has"
                " more than a negligible share of the evidence for one class at least."
            )
        text = (
            f"{number} of {counted(features, 'feature')}"
            f" {'is' if number == 1 else 'are'} redundant: active for no class in"
            f" {100 * self.threshold:g} % of the cases, or of a negligible share of the evidence"
            " for every class."
        )
        if self.accuracy is None:
            return text + ("" if self.regression else _HOW_TO_MEASURE)
        a = self.accuracy
        low, high = a.interval(a.without)
        return text + (
            f" Without {'it' if number == 1 else 'them'} the accuracy on"
            f" {counted(a.cases, 'labelled case')} is {100 * a.without:.1f} % (95 % interval"
            f" {100 * low:.1f} to {100 * high:.1f} %), with all features {100 * a.with_all:.1f} %."
        )

    def figure(self) -> Figure:
        """Every feature by its highest frequency and its largest share."""
        from napari_ifa.analysis.findings.figures import redundancy_figure

        return redundancy_figure(self)


def redundancy(analysis: Analysis, *, threshold: float = 0.05) -> Redundancy:
    """Which features are rarely active, or carry next to nothing, for every class.

    ``threshold`` is the share p of all cases below which a feature counts as rarely active. The
    analysis counts the cases with k > 0; that a feature is not silent in the others, but speaks
    against the class, shows in its mean and variance: what is not 0 in at most a share p of the
    cases has mean² ≤ p / (1 − p) · variance (Cauchy and Schwarz).
    """
    data = analysis.dataset
    mean = np.asarray(data["importance_all"].values, dtype=float)
    variance = np.nan_to_num(np.asarray(data["variance_all"].values, dtype=float))
    total = np.abs(mean).sum(axis=0)
    return Redundancy(
        class_names=analysis.class_names,
        frequency=np.asarray(data["frequency_all"].values, dtype=float),
        steady=mean**2 * (1 - threshold) > threshold * variance,
        share=np.abs(mean) / np.where(total > 0, total, 1.0),
        threshold=threshold,
        regression=analysis.is_regression,
    )
