"""95 % intervals: of a share, and of anything that resampling the cases can tell."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

#: A statistic of resamples ``[..., n]`` (one array per quantity), over the last axis.
Statistic = Callable[..., NDArray[np.float64]]

_LEVEL = 0.95
#: Resamples; of many cases fewer, since each takes longer and the interval is narrow.
_RESAMPLES, _FEWER_RESAMPLES = 2000, 500
#: Beyond this many cases BCa's jackknife costs more than it corrects.
_MOST_FOR_BCA = 2000
#: Numbers in a block of resamples.
_BLOCK = 2**21


@dataclass(frozen=True)
class Interval:
    """A 95 % interval and how it was found; NaN and no method where there is none."""

    low: float = float("nan")
    high: float = float("nan")
    method: str = ""


NO_INTERVAL = Interval()


def wilson(successes: int, trials: int) -> Interval:
    """Of a share of independent trials (Wilson, JASA 1927); none without a trial."""
    from scipy.stats import binomtest

    if trials == 0:
        return Interval()
    found = binomtest(successes, trials).proportion_ci(_LEVEL, "wilson")
    return Interval(float(found.low), float(found.high), "Wilson")


def bootstrapped(statistic: Statistic, *samples: NDArray[np.float64], seed: int = 0) -> Interval:
    """By resampling the cases, the same ones in every sample ``[n]``.

    BCa (Efron, JASA 1987) where it is defined; percentiles of the resamples where it is not, as
    for a correlation of exactly 1, and beyond 2000 cases. None below three cases.
    """
    from scipy.stats import bootstrap

    cases = len(samples[0])
    if cases < 3:
        return Interval()
    method = "BCa" if cases <= _MOST_FOR_BCA else "percentile"
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        # Told by the NaN that comes with it.
        warnings.simplefilter("ignore")
        found = bootstrap(
            samples,
            statistic,
            paired=True,
            vectorized=True,
            n_resamples=_RESAMPLES if cases <= _MOST_FOR_BCA else _FEWER_RESAMPLES,
            batch=max(1, _BLOCK // cases),
            confidence_level=_LEVEL,
            method=method,
            random_state=np.random.default_rng(seed),
        )
    low, high = map(float, found.confidence_interval)
    if np.isfinite([low, high]).all():
        return Interval(low, high, f"{method} bootstrap")
    resamples = found.bootstrap_distribution
    resamples = resamples[np.isfinite(resamples)]
    if not resamples.size:
        return Interval()
    low, high = np.percentile(resamples, [50 * (1 - _LEVEL), 50 * (1 + _LEVEL)])
    return Interval(float(low), float(high), "percentile bootstrap")


def of_mean(values: ArrayLike, seed: int = 0) -> Interval:
    """Of the mean of values ``[n]``, by resampling."""
    return bootstrapped(_mean, np.asarray(values, dtype=float), seed=seed)


def _mean(values: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    result: NDArray[np.float64] = values.mean(axis=axis)
    return result
