"""The common scale: one map from class activation to colour for every patient of a cohort."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.errors import AnalysisError

Form = Literal["paper", "centred"]
Basis = Literal["voxels", "extremes", "auto"]
Scope = Literal["class", "all"]

_ATANH_LOW = float(np.arctanh(0.1))
_ATANH_HIGH = float(np.arctanh(0.9))
_WIDTH_KNOWN_TO = 0.002
#: Below so many cases a scale is not to be relied on: its width is known to ±20 % from 50 to 100.
FEW_CASES = 50
#: Above this ratio the strongest places of the cases set the scale of basis ``"auto"``.
FOCAL_RATIO = 5.0


def check_choice(given: str, what: str, known: tuple[str, ...]) -> None:
    """AnalysisError where the one given is not among the known ones."""
    if given not in known:
        raise AnalysisError(
            AnalysisProblem.NO_CHOICE, what=what, given=given, known=", ".join(known)
        )


@dataclass(frozen=True)
class ScaleChoice:
    """How a common scale is made from a cohort.

    Attributes
    ----------
    form : ``"paper"``, tanh(α·u + β) between two percentiles (Li et al., arXiv 2407.01142, eq. 2);
        or ``"centred"``, tanh(atanh 0.9 · u / P): zero stays zero, and equal colour is equal
        evidence on both sides.
    basis : ``"voxels"``, percentiles over all voxels; ``"extremes"``, of the cases' least and
        greatest values, which suits evidence that fills a small part of the image; ``"auto"``, the
        extremes where P90 of the cases' greatest magnitude is more than five times that of the
        voxels.
    scope : a scale for the ``"class"``, or one for ``"all"`` classes, with which classes compare.
    low, high : percentiles that map to 0.1 and 0.9; ``low`` is 10 for voxels and 50 for extremes
        where it is None. The centred form has ``high`` alone, at ±0.9.

    Raises
    ------
    AnalysisError
        For an unknown form, basis or scope, and percentiles out of order.
    """

    form: Form = "paper"
    basis: Basis = "voxels"
    scope: Scope = "class"
    low: float | None = None
    high: float = 90.0

    def __post_init__(self) -> None:
        check_choice(self.form, "form", get_args(Form))
        check_choice(self.basis, "basis", get_args(Basis))
        check_choice(self.scope, "scope", get_args(Scope))
        low, high = 0.0 if self.low is None else self.low, self.high
        if self.form == "centred" and self.low is not None:
            raise AnalysisError(AnalysisProblem.NO_LOW_PERCENTILE)
        ordered = self.basis == "extremes" or self.percentiles_on("voxels")[0] < high
        if not (0 <= low <= 100 and 0 <= high <= 100 and ordered):
            raise AnalysisError(AnalysisProblem.PERCENTILES, low=low, high=high)

    def percentiles_on(self, basis: str) -> tuple[float, float]:
        """The two percentiles on a basis."""
        if self.low is not None:
            return self.low, self.high
        return (50.0 if basis == "extremes" else 10.0), self.high


#: For reading: what the viewer and the command line begin with.
READING = ScaleChoice("centred", "auto")
#: That of the paper's tables, and the library's own.
PAPER = ScaleChoice()


@dataclass(frozen=True)
class CommonScale:
    """S-CAM = tanh(α·u + β), the same for every patient of a cohort.

    Of form ``"paper"`` the cohort's low percentile lies at 0.1 and its high one at 0.9 (Li et al.,
    arXiv 2407.01142, eq. 1 and 2; β as it follows from the two conditions, the printed one is a
    misprint), and zero class activation maps to ``neutral = tanh(β)``, not to 0. Of form
    ``"centred"`` zero stays 0, and ∓P lies at ∓0.9.

    Attributes
    ----------
    p_low, p_high : class activation at the two percentiles, or -P and P, in logit units.
    low, high : the percentiles, in percent; of the centred form the high one alone.
    basis : ``"voxels"`` of every map, or the cases' ``"extremes"``.
    scope : one scale for the ``"class"``, or one for ``"all"`` classes.
    uncertainty : how far ``p_high - p_low`` can be from the exact width, in logit units.
    form : see `ScaleChoice`.
    ratio : how many times the cases' strongest places are above the voxels, by which basis
        ``"auto"`` chose; None where it was not asked.
    cases : in the cohort; 0 where it is not known.
    drawn_widths : finds `width_interval` when it is first asked for.

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
    form: Form = "paper"
    ratio: float | None = None
    cases: int = 0
    drawn_widths: Callable[[], tuple[float, float] | None] | None = field(
        default=None, compare=False, repr=False
    )

    def __post_init__(self) -> None:
        if not np.isfinite([self.p_low, self.p_high]).all() or self.p_high <= self.p_low:
            if self.form == "centred":
                raise AnalysisError(
                    AnalysisProblem.NO_CENTRED_SCALE, most=self.high, value=self.p_high
                )
            raise AnalysisError(
                AnalysisProblem.NO_SCALE,
                low=self.p_low,
                high=self.p_high,
                least=self.low,
                most=self.high,
            )

    @property
    def ends(self) -> tuple[float, float]:
        """Where the two percentiles lie on the scale."""
        return (-0.9, 0.9) if self.form == "centred" else (0.1, 0.9)

    @property
    def width(self) -> float:
        """``p_high - p_low``, in logit units."""
        return self.p_high - self.p_low

    @cached_property
    def width_interval(self) -> tuple[float, float] | None:
        """95 % interval of ``width`` over cohorts of this size, in logit units.

        None where the cases' own values are not kept. It takes up to some tenths of a second.
        """
        return None if self.drawn_widths is None else self.drawn_widths()

    @property
    def alpha(self) -> float:
        """Slope, per logit unit."""
        return (_ATANH_HIGH - self._at_low) / self.width

    @property
    def beta(self) -> float:
        """Offset."""
        return (self.p_high * self._at_low - self.p_low * _ATANH_HIGH) / self.width

    @property
    def neutral(self) -> float:
        """Where zero class activation lies on the scale: the border of against and for."""
        return 0.0 if self.form == "centred" else float(np.tanh(self.beta))

    @property
    def _at_low(self) -> float:
        return -_ATANH_HIGH if self.form == "centred" else _ATANH_LOW

    @property
    def low_name(self) -> str:
        """What the low end is called."""
        return f"-P{self.high:g}" if self.form == "centred" else f"P{self.low:g}"

    @property
    def high_name(self) -> str:
        """What the high end is called."""
        return f"P{self.high:g}"

    @property
    def marks(self) -> tuple[tuple[float, str], tuple[float, str]]:
        """Where the two ends lie on the scale, and their values: ``"P90: +3.2"``, in logits."""
        low, high = self.ends
        return (
            (low, f"{self.low_name}: {self.p_low:+.2g}"),
            (high, f"{self.high_name}: {self.p_high:+.2g}"),
        )

    @property
    def words(self) -> str:
        """Form, ends in logits, basis and scope, as a result's provenance has them."""
        ends = f"{self.low_name} = {self.p_low:g}, {self.high_name} = {self.p_high:g} logits"
        auto = "" if self.ratio is None else f" (chosen by the ratio {self.ratio:.3g})"
        form = "" if self.form == "paper" else f"{self.form}, "
        return f"{form}{ends}, basis {self.basis}{auto}, scope {self.scope}"

    @property
    def precision(self) -> str:
        """A sentence of how well the cohort tells the scale's width; empty where it is not known.

        It warns below fifty cases.
        """
        if self.cases < 2:
            return "One case is too few to rely on." if self.cases else ""
        few = ", too few to rely on," if self.cases < FEW_CASES else ""
        if self.width_interval is None:
            return (
                f"How far another cohort of {self.cases} cases{few} would give another scale is not"
                " known: the analysis keeps no quantiles of its cases; `napari-ifa analyze` makes"
                " one that does, of up to 32 classes."
            )
        low, high = (100 * (end / self.width - 1) for end in self.width_interval)
        return (
            f"The width of the scale in another cohort of {self.cases} cases{few} would differ by"
            f" {low:+.0f} to {high:+.0f} % (95 % interval)."
        )

    @property
    def note(self) -> str:
        """A sentence where the width of the scale is not known to 0.2 %; empty where it is."""
        share = self.uncertainty / self.width
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
        if self.form == "centred":
            return 0.0, 0.0, self.alpha, 0.0
        near = float(np.float32(self.p_low))
        return near, self.p_low - near, self.alpha, _ATANH_LOW

    def __call__(self, activation: ArrayLike) -> np.ndarray:
        """S-CAM of class activations that already lie on the grid they are shown on."""
        values = np.asarray(activation)
        dtype = values.dtype if values.dtype.kind == "f" else np.dtype(float)
        near, rest, factor, at_low = map(dtype.type, self.float32_steps)
        return np.asarray(np.tanh((values - near - rest) * factor + at_low, dtype=dtype))
