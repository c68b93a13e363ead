"""One case compared with a cohort's reference: the answer, with what differs and by how much."""

from __future__ import annotations

import numpy as np

from napari_ifa.analysis.fit.cohort_fit import OUTSIDE_SCORE, UNUSUAL_P, CohortFit
from napari_ifa.analysis.fit.distance import Floats
from napari_ifa.analysis.fit.reference import LEAST_CASES, LEAST_FOR_P, FitReference
from napari_ifa.analysis.fit.statistics import STATISTICS, CaseStatistics
from napari_ifa.wording import listed

#: Beyond it the number of times says nothing more.
_MOST_TIMES = 1000


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
    independent = reference.independent
    fit = CohortFit(references=independent, patients=reference.patients)
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
    return CohortFit(
        outside=outside,
        unusual=unusual and not outside,
        score=score,
        p=p,
        percentile=percentile,
        differs=tuple(differences),
        reasons=tuple(differences.values()),
        notes=(*notes, *_limits(reference, known, fit)),
        references=fit.references,
        patients=fit.patients,
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
