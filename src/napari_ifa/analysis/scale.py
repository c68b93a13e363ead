"""The common scale: one map from class activation to colour for every patient of a cohort."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.errors import AnalysisError

Basis = Literal["voxels", "extremes"]
Scope = Literal["class", "all"]

_ATANH_LOW = float(np.arctanh(0.1))
_ATANH_HIGH = float(np.arctanh(0.9))
_WIDTH_KNOWN_TO = 0.002


@dataclass(frozen=True)
class CommonScale:
    """S-CAM = tanh(α·u + β), with the cohort's low percentile at 0.1 and its high one at 0.9.

    Li et al., arXiv 2407.01142, eq. 1 and 2 (β as it follows from the two conditions; the printed
    one is a misprint). Zero class activation maps to ``neutral = tanh(β)``, not to 0.

    Attributes
    ----------
    p_low, p_high : class activation at the two percentiles, in logit units.
    low, high : the percentiles, in percent.
    basis : ``"voxels"`` of every map, or the cases' ``"extremes"``.
    scope : one scale for the ``"class"``, or one for ``"all"`` classes.
    uncertainty : how far ``p_high - p_low`` can be from the exact width, in logit units.

    Raises
    ------
    AnalysisError
        Where the two percentiles are equal or not finite: such a cohort has no scale.
    """

    p_low: float
    p_high: float
    low: float = 10.0
    high: float = 90.0
    basis: str = "voxels"
    scope: str = "class"
    uncertainty: float = 0.0

    def __post_init__(self) -> None:
        if not np.isfinite([self.p_low, self.p_high]).all() or self.p_high <= self.p_low:
            raise AnalysisError(
                AnalysisProblem.NO_SCALE,
                low=self.p_low,
                high=self.p_high,
                least=self.low,
                most=self.high,
            )

    @property
    def alpha(self) -> float:
        """Slope, per logit unit."""
        return (_ATANH_HIGH - _ATANH_LOW) / (self.p_high - self.p_low)

    @property
    def beta(self) -> float:
        """Offset."""
        return (self.p_high * _ATANH_LOW - self.p_low * _ATANH_HIGH) / (self.p_high - self.p_low)

    @property
    def neutral(self) -> float:
        """Where zero class activation lies on the scale: the border of against and for."""
        return float(np.tanh(self.beta))

    @property
    def note(self) -> str:
        """A sentence where the width of the scale is not known to 0.2 %; empty where it is."""
        share = self.uncertainty / (self.p_high - self.p_low)
        if share <= _WIDTH_KNOWN_TO:
            return ""
        return (
            f"The width of the common scale is known to {100 * share:.2g} % only: the class"
            " activation lies far from zero beside how much it varies."
        )

    @property
    def float32_steps(self) -> tuple[float, float, float, float]:
        """What is subtracted from a map first and second, its factor, and what is then added.

        Together α·u + β. Beside a large offset float32 holds neither α·u nor P10 well enough: the
        two parts of P10 are subtracted before anything is multiplied.
        """
        near = float(np.float32(self.p_low))
        return near, self.p_low - near, self.alpha, _ATANH_LOW

    def __call__(self, activation: ArrayLike) -> np.ndarray:
        """S-CAM of class activations that already lie on the grid they are shown on."""
        values = np.asarray(activation)
        dtype = values.dtype if values.dtype.kind == "f" else np.dtype(float)
        near, rest, factor, at_low = map(dtype.type, self.float32_steps)
        return np.asarray(np.tanh((values - near - rest) * factor + at_low, dtype=dtype))


def checked_percentiles(
    low: float | None, high: float, basis: Basis, scope: Scope
) -> tuple[float, float]:
    """A scale's two percentiles, the lower one by its basis where it is not given.

    Raises
    ------
    AnalysisError
        For an unknown basis or scope, and percentiles out of order.
    """
    check_choice(basis, "basis", get_args(Basis))
    check_choice(scope, "scope", get_args(Scope))
    if low is None:
        low = 50.0 if basis == "extremes" else 10.0
    if not (0 <= low <= 100 and 0 <= high <= 100) or (basis == "voxels" and low >= high):
        raise AnalysisError(AnalysisProblem.PERCENTILES, low=low, high=high)
    return low, high


def check_choice(given: str, what: str, known: tuple[str, ...]) -> None:
    """AnalysisError where the one given is not among the known ones."""
    if given not in known:
        raise AnalysisError(
            AnalysisProblem.NO_CHOICE, what=what, given=given, known=", ".join(known)
        )
