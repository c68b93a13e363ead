"""The common scale: one map from class activation to colour for every patient of a cohort."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from napari_ifa.errors import AnalysisError

_ATANH_LOW = float(np.arctanh(0.1))
_ATANH_HIGH = float(np.arctanh(0.9))


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

    def __post_init__(self) -> None:
        if not np.isfinite([self.p_low, self.p_high]).all() or self.p_high <= self.p_low:
            raise AnalysisError(
                f"The cohort's P{self.low:g} and P{self.high:g} of the class activation are"
                f" {self.p_low:g} and {self.p_high:g}; a common scale needs two different"
                " values, so use a cohort in which the activation varies."
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

    def __call__(self, activation: ArrayLike) -> np.ndarray:
        """S-CAM of class activations that already lie on the grid they are shown on."""
        values = np.asarray(activation)
        dtype = values.dtype if values.dtype.kind == "f" else np.dtype(float)
        result: np.ndarray = np.tanh(
            values * dtype.type(self.alpha) + dtype.type(self.beta), dtype=dtype
        )
        return result
