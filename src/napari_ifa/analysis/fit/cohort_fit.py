"""Whether a study fits the cohort, as an answer in words that never certifies anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

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
        kind = "patient" if self.patients else "case"
        return f"{self.references} reference {kind}{'' if self.references == 1 else 's'}"

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
