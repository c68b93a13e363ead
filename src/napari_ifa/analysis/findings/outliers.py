"""Special cases: those whose contributions are unlike those of their own class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from napari_ifa.analysis.section import Section
from napari_ifa.analysis.store import Analysis
from napari_ifa.analysis.wording import counted, listed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]
Distance = Literal["correlation", "mahalanobis"]

#: Least cases of a class whose cases are judged: each is compared with the mean of the others.
LEAST_CASES = 3
#: Least features whose correlation says anything; with fewer the Mahalanobis distance ranks.
_LEAST_FEATURES = 4
#: Share of the cases that is worth a look, and most rows of the table.
FIRST_SHARE, _MOST_ROWS = 0.05, 50
#: Least shrinkage of a covariance, so that features that never vary leave it invertible.
_LEAST_SHRINKAGE = 1e-6


@dataclass(frozen=True, eq=False)
class Outliers:
    """How far every case's contributions lie from those of its own class's other cases.

    Attributes
    ----------
    class_names : ``[C]``.
    case_ids : ``[N]``.
    label, predicted : ``[N]``, class numbers; −1 for a case without a label.
    correlation : ``[N]``, 1 − Pearson's r of the case's contributions and the mean of its class's
        other cases; NaN where there is no such number.
    mahalanobis : ``[N]``, distance from that mean by their covariance, shrunk.
    p : ``[N]``, share of the class's cases that lie at least as far; see ``outliers``.
    nearer_others : ``[N]``, whether the contributions correlate more with the mean of all cases of
        other labels than with that of their own; False with fewer than four features.
    by : the distance that ranks.
    stored : whether the analysis holds contributions by case at all.
    """

    class_names: tuple[str, ...]
    case_ids: tuple[str, ...]
    label: NDArray[np.int64]
    predicted: NDArray[np.int64]
    correlation: Floats
    mahalanobis: Floats
    p: Floats
    nearer_others: NDArray[np.bool_]
    by: Distance
    stored: bool

    @property
    def distance(self) -> Floats:
        """``[N]``: the distance that ranks."""
        return self.correlation if self.by == "correlation" else self.mahalanobis

    @property
    def ranked(self) -> NDArray[np.int64]:
        """Numbers of the cases that have a distance, the farthest first."""
        order = np.argsort(-self.distance, kind="stable")
        return np.asarray(order[np.isfinite(self.distance[order])])

    @property
    def first(self) -> NDArray[np.int64]:
        """The first 5 % of them, at least one."""
        number = max(1, int(FIRST_SHARE * len(self.ranked)))
        return self.ranked[:number]

    @property
    def sections(self) -> tuple[Section, ...]:
        """The farthest cases, and those nearer to others than to their own class."""
        ranked = self.ranked
        number = min(_MOST_ROWS, max(10, len(self.first)))
        odd = [n for n in ranked[number:] if self.nearer_others[n]][:_MOST_ROWS]
        rank_of = {int(n): rank + 1 for rank, n in enumerate(ranked)}
        rows = tuple(self._row(int(n), rank_of[int(n)]) for n in [*ranked[:number], *odd])
        return (
            Section(
                key="outliers",
                title="Special cases and outliers",
                meaning=self._meaning(),
                limits=(
                    "Some case is always the farthest, and p is its place within its class, not a"
                    " verdict: a wrong label, a rare but true appearance and a poor image look"
                    " alike here, so open the case."
                ),
                rows=rows,
                columns={
                    "rank": "the farthest first, over all classes",
                    "case": "id of the case",
                    "class": "its label",
                    "predicted": "what the model answers",
                    "agrees": "whether the two are the same",
                    "correlation_distance": "1 − Pearson's r of its contributions and the mean of"
                    " its class's other cases",
                    "mahalanobis_distance": "distance from that mean by the class's covariance"
                    " (Ledoit and Wolf's shrinkage), without the case itself",
                    "p": "share of its class's cases that lie at least as far, itself included",
                    "nearer_others": "its contributions are more like those of the other labels'"
                    " cases",
                },
                draw=self.figure if len(ranked) else None,
            ),
        )

    def _meaning(self) -> str:
        if not self.stored:
            return (
                "This analysis was made without the contributions of single cases, so no case can"
                " be judged; analyse again with them."
            )
        if not len(self.ranked):
            return (
                f"No class has {LEAST_CASES} labelled cases with varying contributions, so no case"
                " can be judged."
            )
        judged = self.ranked
        wrong = int((self.label[judged] != self.predicted[judged]).sum())
        text = (
            f"{len(judged)} of {counted(len(self.label), 'case')} ranked by how far the"
            f" contributions lie from those of the class's other cases ({self.by} distance); look"
            f" at the first {len(self.first)}."
        )
        if len(self.class_names) > 1:
            text += (
                f" {int(self.nearer_others.sum())} are more like the cases of other labels, and"
                f" {wrong} of the ranked are answered wrongly."
            )
        few = self._classes_with_few_cases()
        if few:
            text += f" Fewer than {LEAST_CASES} cases, not ranked: {listed(few)}."
        unlabelled = int((self.label < 0).sum())
        return text + (f" Without a label: {counted(unlabelled, 'case')}." if unlabelled else "")

    def _classes_with_few_cases(self) -> list[str]:
        counts = np.bincount(self.label[self.label >= 0], minlength=len(self.class_names))
        return [n for n, k in zip(self.class_names, counts, strict=True) if k < LEAST_CASES]

    def _row(self, n: int, rank: int) -> dict[str, object]:
        return {
            "rank": rank,
            "case": self.case_ids[n],
            "class": self.class_names[self.label[n]],
            "predicted": self.class_names[self.predicted[n]],
            "agrees": bool(self.label[n] == self.predicted[n]),
            "correlation_distance": float(self.correlation[n]),
            "mahalanobis_distance": float(self.mahalanobis[n]),
            "p": float(self.p[n]),
            "nearer_others": bool(self.nearer_others[n]),
        }

    def figure(self) -> Figure:
        """The cases' distances by class, the farthest marked with their ranks."""
        from napari_ifa.analysis.findings.figures import outlier_figure

        return outlier_figure(self)


def outliers(analysis: Analysis, *, by: Distance = "correlation") -> Outliers:
    """Rank the labelled cases by the distance of their contributions from their own class's.

    Each case is compared with the mean of the *other* cases of its label, so that it cannot hide
    behind its own weight. p = (1 + number of the others that lie at least as far) / n of the class:
    valid whatever the distribution where the cases of a class are exchangeable (the rank p of
    conformal prediction; Vovk et al., 2005). It cannot fall below 1/n, so no case is ever called
    significant among n; a chi-square p of a shrunk covariance would be wrong. With fewer than four
    features a correlation says nothing, and the Mahalanobis distance ranks.

    A model of one output (a regression) has one group, all cases.
    """
    data = analysis.dataset
    label = np.asarray(data["label"].values, dtype=np.int64)
    logits = np.asarray(data["logits"].values, dtype=float)
    if len(analysis.class_names) == 1:
        label = np.zeros_like(label)
    stored = "contribution" in data
    number = len(label)
    correlation, mahalanobis, p = (np.full(number, np.nan) for _ in range(3))
    nearer_others = np.zeros(number, bool)
    if stored and data.sizes["feature"] < _LEAST_FEATURES:
        by = "mahalanobis"
    for c in range(len(analysis.class_names)) if stored else ():
        members = np.flatnonzero(label == c)
        if len(members) < LEAST_CASES:
            continue
        profiles = np.asarray(data["contribution"].values[members], dtype=np.float64)
        usual = (profiles.sum(axis=0) - profiles) / (len(members) - 1)
        correlation[members] = correlation_distance(profiles, usual)
        mahalanobis[members] = mahalanobis_of_the_others(profiles)
        p[members] = rank_p((correlation if by == "correlation" else mahalanobis)[members])
        if len(members) < number and by == "correlation":
            # Both means hold contributions to class c, so the sum over all cases less the class's.
            rest = data["importance_all"].values[:, c] * number - profiles.sum(axis=0)
            from_rest = correlation_distance(profiles, rest[None])
            nearer_others[members] = from_rest < correlation[members]
    return Outliers(
        class_names=analysis.class_names,
        case_ids=tuple(str(name) for name in data["case"].values),
        label=label,
        predicted=logits.argmax(axis=1),
        correlation=correlation,
        mahalanobis=mahalanobis,
        p=p,
        nearer_others=nearer_others,
        by=by,
        stored=stored,
    )


def correlation_distance(profiles: Floats, means: Floats) -> Floats:
    """1 − Pearson's r of each row ``[n, F]`` with its mean ``[n or 1, F]``; NaN if one is flat."""
    one = profiles - profiles.mean(axis=1, keepdims=True)
    other = means - means.mean(axis=1, keepdims=True)
    size = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    flat = size <= 1e-12 * np.abs(profiles).max(axis=1) * np.abs(means).max(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        r = (one * other).sum(axis=1) / size
    return np.where(flat, np.nan, 1.0 - np.clip(r, -1.0, 1.0))


def mahalanobis_of_the_others(profiles: Floats) -> Floats:
    """Distance of each row ``[n, F]`` from the mean of the others by the others' covariance.

    The covariance is (1 − a)·S + a·μ·1 with Ledoit and Wolf's a (2004) and μ of all rows; S is that
    of the others, which differs from the whole by one term, so that Sherman and Morrison's formula
    gives each distance from one decomposition. F may exceed n.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    n, features = profiles.shape
    centred = profiles - profiles.mean(axis=0)
    variance = (centred**2).mean()
    if variance <= 1e-24 * (profiles**2).mean():
        return np.zeros(n)
    a = max(float(ledoit_wolf_shrinkage(centred, assume_centered=True)), _LEAST_SHRINKAGE)
    ridge = a * variance
    # u' A⁻¹ u for every row u, where A = (1 − a)·U'U/(n − 1) + ridge·1; on the smaller side.
    if n <= features:
        squares, rows = np.linalg.eigh(centred @ centred.T)
        squares = np.clip(squares, 0.0, None)
        q = rows**2 @ (squares / ((1 - a) * squares / (n - 1) + ridge))
    else:
        squares, axes = np.linalg.eigh(centred.T @ centred)
        squares = np.clip(squares, 0.0, None)
        q = (centred @ axes) ** 2 @ (1 / ((1 - a) * squares / (n - 1) + ridge))
    left_out = (1 - a) * n / (n - 1) ** 2
    result: Floats = n / (n - 1) * np.sqrt(q / (1 - left_out * q))
    return result


def rank_p(distance: Floats) -> Floats:
    """Share of ``distance [n]`` that is at least as large, itself included; NaN stays NaN."""
    known = np.sort(distance[np.isfinite(distance)])
    result = np.full(distance.shape, np.nan)
    finite = np.isfinite(distance)
    at_least = len(known) - np.searchsorted(known, distance[finite], side="left")
    result[finite] = at_least / max(len(known), 1)
    return result
