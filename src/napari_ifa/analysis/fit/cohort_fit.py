"""Whether a study fits the cohort, as an answer in words that never certifies anything."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from napari_ifa.analysis.fit.distance import Floats
from napari_ifa.analysis.fit.reference import LEAST_CASES, LEAST_FOR_P, FitReference
from napari_ifa.analysis.fit.statistics import STATISTICS, CaseStatistics
from napari_ifa.wording import counted, listed

#: Beyond it the number of times says nothing more.
_MOST_TIMES = 1000
#: Beyond this p, one in twenty cases of the cohort itself, a case is not called unusual.
UNUSUAL_P = 0.05
#: From this many times the distance within which 95 % of the reference lie, a case is outside.
OUTSIDE_SCORE = 1.5


@dataclass(frozen=True)
class CohortFit:
    """How a case stands to the cohort that its scale comes from.

    It names differences that were seen. It cannot certify that there are none: a cohort with a
    confounder looks as if everything fitted, and a mixed cohort fits nearly everything.

    Attributes
    ----------
    outside : something differs more than anything that the cohort lets expect.
    unusual : not outside, but one in twenty cases of the cohort or fewer lie as far (p ≤ 0.05).
    score : the greatest of the statistics' distances, each in units of the distance within which
        95 % of the reference lie; 1.5 and more is outside. None where no distance is known.
    p : share of the reference, this case included, that lies at least as far (conformal p).
    percentile : percentage of the reference that lies nearer.
    differs : what differs, in a word or two each: of ``"modality"``, ``"orientation"``,
        ``"spacing"``, ``"size"``, ``"intensities"``, ``"early features"`` and ``"features"``.
    reasons : the same in sentences, with this case's value beside the reference's.
    notes : sentences on what could not be compared, and how little a small reference can tell.
    references : patients of the reference, or cases where no patients are known.
    patients : whether those are patients.
    known : False where the analysis holds nothing to compare with.
    """

    outside: bool = False
    unusual: bool = False
    score: float | None = None
    p: float | None = None
    percentile: float | None = None
    differs: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    references: int = 0
    patients: bool = False
    known: bool = True

    @property
    def words(self) -> str:
        """A few words for a badge; they never say that a case fits."""
        if not self.known:
            return "fit to the cohort not known"
        if self.outside or self.unusual:
            found = "outside the reference range" if self.outside else "unusual"
            return f"{found}: {', '.join(self.differs)}"
        if self.score is None:
            return "fit to the cohort not known: too little to compare"
        return f"not seen to differ from the {self.reference_words}"

    @property
    def reference_words(self) -> str:
        """What it was compared with: ``"146 reference patients"``."""
        return counted(self.references, f"reference {'patient' if self.patients else 'case'}")

    @property
    def sentences(self) -> tuple[str, ...]:
        """The words, the reasons and the notes: all there is to say, one sentence each."""
        return (f"{self.words[0].upper()}{self.words[1:]}.", *self.reasons, *self.notes)

    def as_data(self) -> dict[str, Any]:
        """All of it as plain values, for a table or JSON."""
        compared = self.known and (self.outside or self.score is not None)
        return {
            "fit": self.words,
            "fit_outside": self.outside if compared else None,
            "fit_unusual": self.unusual if compared else None,
            "fit_score": self.score,
            "fit_p": self.p,
            "fit_references": self.references,
            "fit_reasons": " ".join((*self.reasons, *self.notes)),
        }


#: What a table says where there is no analysis.
WITHOUT_COHORT = CohortFit(known=False)
#: The answer where an analysis was made before references were kept.
NOT_KEPT = CohortFit(
    known=False,
    notes=(
        "This analysis was made before a reference of the cohort was kept; run the analysis again"
        " to compare cases with it.",
    ),
)


def compared(
    reference: FitReference,
    case: CaseStatistics,
    own: int | None = None,
    stated_modality: str = "",
) -> CohortFit:
    """How one case stands to a cohort.

    Parameters
    ----------
    case : of this one case.
    own : its place in the cohort where it is one of the reference's own; it is then judged by the
        distances from the others that are kept of it.
    stated_modality : what the model is made for, where the cohort's files say none.
    """
    distances = np.full(len(STATISTICS), np.nan)
    for column, name in enumerate(STATISTICS):
        spread, values = reference.spreads.get(name), getattr(case, name).astype(np.float64)
        if spread is not None and values.shape[1] == len(spread.mean):
            distances[column] = spread.distance(values)[0]
    notes, place = [], None
    if own is not None and np.isfinite(reference.distances[own]).any():
        distances, place = reference.distances[own], own
        notes.append("This image is one of the reference's own; it is compared with the others.")
    ratios = distances / reference.units
    known = np.isfinite(ratios)
    differences = dict(reference.header.differences(case.headers[0], stated_modality))
    fit = CohortFit(references=reference.independent, patients=reference.patients)
    score = p = percentile = None
    unusual = False
    if known.any():
        score = float(ratios[known].max())
        p = reference.p(score, known, place)
        percentile = reference.percent_nearer(score, known, place)
        unusual = p <= UNUSUAL_P
    outside = bool(differences) or (score is not None and score >= OUTSIDE_SCORE)
    limit = OUTSIDE_SCORE if outside else 1.0
    if outside or unusual:
        differences |= _reasons(ratios, limit, fit, always=not differences)
    return replace(
        fit,
        outside=outside,
        unusual=unusual and not outside,
        score=score,
        p=p,
        percentile=percentile,
        differs=tuple(differences),
        reasons=tuple(differences.values()),
        notes=(*notes, *_limits(reference, known, fit)),
    )


def _reasons(ratios: Floats, limit: float, fit: CohortFit, *, always: bool) -> dict[str, str]:
    """The statistics that lie beyond the limit; or the farthest one where none does."""
    beyond = np.isfinite(ratios) & (ratios >= limit)
    if always and not beyond.any():
        beyond[int(np.nanargmax(ratios))] = True
    kind = "patients" if fit.patients else "cases"
    return {
        words: (
            f"{words.capitalize()}: {_times(ratio)} as far from the cohort as 95 % of the reference"
            f" {kind} lie at most."
        )
        for words, ratio, found in zip(STATISTICS.values(), ratios, beyond, strict=True)
        if found
    }


def _times(ratio: float) -> str:
    if ratio >= _MOST_TIMES:
        return f"more than {_MOST_TIMES} times"
    return f"{ratio:.1f} times" if ratio < 10 else f"{ratio:.0f} times"


def _limits(reference: FitReference, known: np.ndarray, fit: CohortFit) -> list[str]:
    """What could not be compared, and how little a small reference can tell."""
    number = reference.independent
    if number < LEAST_CASES:
        return [
            f"With {fit.reference_words} nothing can be said of intensities and features;"
            f" {LEAST_CASES} are needed at least, and better 100."
        ]
    notes = []
    missing = [words for words, there in zip(STATISTICS.values(), known, strict=True) if not there]
    if missing:
        notes.append(f"Not compared: {listed(missing)}; the analysis or this image lacks them.")
    if number < LEAST_FOR_P:
        notes.append(
            f"With {fit.reference_words} only gross differences can be seen; {LEAST_FOR_P} are"
            " needed to call a case unusual."
        )
    return notes
