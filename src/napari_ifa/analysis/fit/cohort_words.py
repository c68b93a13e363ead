"""What reference an analysis keeps, in words, and which of its own cases differ from the others."""

from __future__ import annotations

import numpy as np

from napari_ifa.analysis.fit.cohort_fit import NOT_KEPT, OUTSIDE_SCORE
from napari_ifa.analysis.fit.reference import LEAST_CASES, LEAST_FOR_P
from napari_ifa.analysis.fit.statistics import STATISTICS
from napari_ifa.analysis.store import Analysis
from napari_ifa.wording import counted, listed


def reference_sentences(analysis: Analysis) -> tuple[str, ...]:
    """What other cases are compared with, and how much that can tell; one sentence each."""
    reference = analysis.reference
    if reference is None:
        return NOT_KEPT.notes
    number = reference.independent
    of = counted(number, "patient" if reference.patients else "case")
    if not reference.patients and number < len(reference.distances):
        of = f"{of}; copies of an image count once"
    header = reference.header
    parts = [STATISTICS[name] for name in reference.spreads]
    said = [
        ("modality", " and ".join(header.modalities)),
        ("orientation", "known" if header.axes else ""),
        ("spacing and size", "known" if header.spacing else ""),
    ]
    parts += [f"{what} ({text})" if text != "known" else what for what, text in said if text]
    sentences = [
        f"Other cases are compared with all that were analysed ({of}) by"
        f" {listed(parts, 8) if parts else 'nothing'}."
    ]
    if number < LEAST_CASES:
        sentences.append(
            f"That is too few to compare intensities and features with; {LEAST_CASES} are needed at"
            " least, and better 100."
        )
    elif number < LEAST_FOR_P:
        sentences.append(
            f"That is few: only gross differences will be seen; {LEAST_FOR_P} are needed to call a"
            " case unusual, and better 100."
        )
    return tuple(sentences)


def cases_outside(analysis: Analysis) -> tuple[tuple[str, float], ...]:
    """The cohort's own cases that lie outside the range of the others: ids and scores."""
    if analysis.reference is None:
        return ()
    scores = analysis.reference.scores(analysis.reference.distances)
    found = np.flatnonzero(scores >= OUTSIDE_SCORE)
    return tuple(
        (analysis.case_ids[n], float(scores[n])) for n in found[np.argsort(-scores[found])]
    )
