"""Confounder candidates: features of unusual weight, or at one place, in a class's evidence."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from napari_ifa.analysis.store import Analysis, Kind
from napari_ifa.evaluation.checks.sides import patients_of_classes
from napari_ifa.evaluation.numbers import Bools, Floats, Numbers

#: Standard deviations of a normal distribution over its median and mean absolute deviation.
_PER_MEDIAN_DEVIATION, _PER_MEAN_DEVIATION = 1.4826, 1.2533
#: Efficiency of the median absolute deviation: from F values it is as uncertain as the standard
#: deviation of 0.37 F (Rousseeuw and Croux, 1993).
_EFFICIENCY = 0.37
#: A share below this part of the mean share is none: rounding, and features that are hardly used.
_LEAST_SHARE = 1e-3
#: A place counts where the feature is active in so many cases of the class, and in half of them;
#: and where they are of so many patients.
_LEAST_PLACED = 5
#: A place is constant where it varies so many times less than in any other class, and worth a look
#: where the feature carries so many times the mean share.
STEADIER, PLACED_SHARE = 3.0, 3.0


@dataclass(frozen=True, eq=False, repr=False)
class Confounders(Numbers):
    """How much of a class's evidence each feature makes up, how constant its place is.

    Attributes
    ----------
    class_names : ``[C]``.
    importance : ``[F, C]`` in logits.
    share : ``[F, C]``, |IM[f, c]| / Σ_f |IM[f, c]|; NaN for a class without a case.
    z : ``[F, C]``, robust z of the logarithm of the share over the class's features; NaN for a
        share of next to nothing.
    adjusted : ``[F, C]``, chance of so large a z anywhere in the table if the shares were
        log-normal.
    spread : ``[F, C]``, standard distance of the feature's centre from its mean over the cases of
        the class, as a share of the field of view; NaN where it is not known.
    steadier : ``[F, C]``, how many times less that is than in the class where it is least of all
        others; than the median feature's in the class, where the feature is active in no other.
    adjusted_place : ``[F, C]``, chance of so steady a place among all much used features, by the
        robust z of the logarithm of ``steadier``; NaN for the others, which are not judged by it.
    frequency : ``[F, C]``, share of the cases with k > 0.
    kind : ``"true"``, over the cases of each class (eq. 4), or ``"all"`` (eq. 3).
    level : up to which an adjusted p makes a candidate.
    unplaced : why no feature is judged by its place, where none is; a sentence.
    """

    class_names: tuple[str, ...]
    importance: Floats
    share: Floats
    z: Floats
    adjusted: Floats
    spread: Floats
    steadier: Floats
    adjusted_place: Floats
    frequency: Floats
    kind: Kind
    level: float
    unplaced: str = ""

    @property
    def by_share(self) -> Bools:
        """``[F, C]``: the share stands apart even from heavy-tailed others."""
        return np.asarray(self.adjusted <= self.level)

    @property
    def by_place(self) -> Bools:
        """``[F, C]``: much used, and steady in place in this class's cases alone."""
        return np.asarray((self.adjusted_place <= self.level) & (self.steadier >= STEADIER))

    @property
    def candidate(self) -> Bools:
        """``[F, C]``: by its share or by its place."""
        return self.by_share | self.by_place

    @property
    def ranked(self) -> tuple[tuple[int, int], ...]:
        """Feature and class of every share, the largest first, those of candidates before all."""
        share = np.where(np.isfinite(self.share), self.share, -np.inf)
        order = np.lexsort((-share.ravel(), ~self.candidate.ravel()))
        features, classes = np.unravel_index(order, share.shape)
        known = int(np.isfinite(self.share).sum())
        return tuple((int(f), int(c)) for f, c in zip(features[:known], classes, strict=False))

    @property
    def share_to_reach(self) -> Floats:
        """``[C]``: the share whose adjusted p is ``level``; NaN without a case."""
        from scipy.stats import t as student

        logs = log_share(self.share)
        number = np.isfinite(logs).sum(axis=0)
        tests = max(int(np.isfinite(logs).sum()), 1)
        middle, scale = _middle_and_scale(logs)
        z = student.isf(self.level / tests, np.maximum(_EFFICIENCY * (number - 1), 0.1))
        return np.where(scale > 0, np.exp(np.minimum(middle + z * scale, 0.0)), np.nan)


def confounder_candidates(
    analysis: Analysis, *, level: float = 0.05, kind: Kind = "true"
) -> Confounders:
    """Which features stand apart by their share of Σ_f |IM[f, c]|, or by a place that is constant.

    Shares of a network are heavy-tailed, so they are judged on a logarithmic scale: the robust z of
    log share against Student's t with 0.37 (F − 1) degrees of freedom, as many as the median
    absolute deviation of F normal values is worth, times the number of shares (Bonferroni). It
    holds for log-normal importance of any width. The place is judged likewise, by how many times
    less the centre of a feature's activation varies over the cases of the class than over those of
    any other class: organs stand at one place in all classes, a marker in its own.
    """
    data = analysis.dataset
    importance = np.asarray(data[f"importance_{kind}"].values, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.abs(importance) / np.abs(importance).sum(axis=0)
    spread = np.full_like(share, np.nan)
    if "position_spread" in data:
        active = np.asarray(data["position_cases"].values)
        enough = (active >= _LEAST_PLACED) & (2 * active >= data["cases_true"].values)
        enough &= patients_of_classes(analysis) >= _LEAST_PLACED
        spread = np.where(enough, np.asarray(data["position_spread"].values, dtype=float), np.nan)
    z, steadier = robust_z(log_share(share)), _steadier(spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        z_of_place = robust_z(np.log(steadier))
        much = (share >= PLACED_SHARE / len(share)) & np.isfinite(z_of_place)
    return Confounders(
        class_names=analysis.class_names,
        importance=importance,
        share=share,
        z=z,
        adjusted=chance_of_z(z),
        spread=spread,
        steadier=steadier,
        adjusted_place=chance_of_z(z_of_place, much),
        unplaced=(
            "No feature is active in enough cases of a class to judge its place"
            f" ({_LEAST_PLACED} cases or patients, and half of the class)."
            if "position_spread" in data
            else "The places of features are not known from this file."
        ),
        frequency=np.asarray(data[f"frequency_{kind}"].values, dtype=float),
        kind=kind,
        level=level,
    )


def log_share(share: Floats) -> Floats:
    """Logarithm of shares ``[F, C]``; NaN for what is next to nothing."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(share >= _LEAST_SHARE / len(share), np.log(share), np.nan)


def robust_z(values: Floats) -> Floats:
    """Of every value in its column ``[F, C]``; 0 where a column does not vary, NaN stays NaN.

    (value − median) / s, where s is the larger of 1.4826 times the median and 1.2533 times the mean
    absolute deviation from the median. Both estimate a normal's standard deviation, and where more
    than half of the values are alike the first is next to nothing (Iglewicz and Hoaglin, 1993, use
    the second where the first is 0).
    """
    middle, scale = _middle_and_scale(values)
    known = np.isfinite(values)
    size = np.where(known, np.abs(values), 0.0).max(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        # A spread of rounding alone is none.
        z = np.where(scale <= 1e-12 * size, 0.0, (values - middle) / scale)
    return np.where(known, z, np.nan)


def chance_of_z(z: Floats, judged: Bools | None = None) -> Floats:
    """Of so large a robust z ``[F, C]`` anywhere among values that are normal in every column.

    ``judged [F, C]`` says which of them are looked at, by something else than their size.
    """
    from scipy.stats import t as student

    number = np.isfinite(z).sum(axis=0)
    tests = int(number.sum() if judged is None else judged.sum())
    # Two or three values say nothing about their spread.
    degrees = np.maximum(_EFFICIENCY * (number - 1), 0.1)
    result: Floats = np.minimum(1.0, tests * student.sf(z, degrees))
    return result if judged is None else np.where(judged, result, np.nan)


def _middle_and_scale(values: Floats) -> tuple[Floats, Floats]:
    with warnings.catch_warnings():
        # A column without any value has neither.
        warnings.simplefilter("ignore", RuntimeWarning)
        middle = np.nanmedian(values, axis=0)
        apart = np.abs(values - middle)
        median, mean = np.nanmedian(apart, axis=0), np.nanmean(apart, axis=0)
    return middle, np.maximum(_PER_MEDIAN_DEVIATION * median, _PER_MEAN_DEVIATION * mean)


def _steadier(spread: Floats) -> Floats:
    """How many times less a place varies than in the class where it varies least of all others."""
    if spread.shape[1] < 2:
        return np.full_like(spread, np.nan)
    known = np.where(np.isfinite(spread), spread, np.inf)
    # The least of the other classes: the least of all, or the second where that is the own.
    least, second = np.sort(known, axis=1)[:, :2].T[..., None]
    others = np.where(known <= least, second, least)
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)
        usual = np.nanmedian(spread, axis=0)
        # A place that never varies is as steady as a thousandth of the field.
        result: Floats = np.where(np.isfinite(others), others, usual) / np.maximum(spread, 1e-3)
    return result
