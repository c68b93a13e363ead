"""The cases that a pass could not use: how many there may be, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from napari_ifa.cohorts.cohort import Cohort
from napari_ifa.cohorts.problems import CohortProblem
from napari_ifa.errors import AnalysisError, CohortError
from napari_ifa.wording import counted


@dataclass(frozen=True)
class SkippedCase:
    """A case, or its lesion mask alone, that could not be used.

    Attributes
    ----------
    position : the case's place in the cohort.
    id : the case's.
    reason : why, in one sentence.
    mask_alone : whether only the lesion mask was left out.
    """

    position: int
    id: str
    reason: str
    mask_alone: bool = False


@dataclass
class SkippedCases:
    """The cases that were skipped so far, of which there may be ``most``."""

    most: int
    cases: list[SkippedCase] = field(default_factory=list)

    def add(self, *cases: SkippedCase) -> None:
        """Some more.

        Raises
        ------
        CohortError
            They are more than may be skipped; the first in the cohort is named.
        """
        self.cases += cases
        self.cases.sort(key=lambda case: case.position)
        count = len(self.cases)
        if count <= self.most:
            return
        first = self.cases[0]
        reason = f"{'its lesion mask: ' * first.mask_alone}{first.reason.rstrip('.')}"
        raise CohortError(
            CohortProblem.TOO_MANY_SKIPPED,
            case=first.id,
            reason=reason,
            such=counted(count, "such case"),
            skipped=count,
            most=self.most,
        )


def most_skipped(share: float, cases: int) -> int:
    """How many of so many cases may be skipped.

    Raises
    ------
    AnalysisError
        The share is not between 0 and 1.
    """
    if not 0 <= share <= 1:
        raise AnalysisError(CohortProblem.NO_SHARE, share=share)
    # 0.29 · 100 is a hair below 29.
    return int(share * cases + 1e-9)


def check_not_empty(cohort: Cohort) -> None:
    """CohortError where there is no case."""
    if not cohort.cases:
        raise CohortError(CohortProblem.EMPTY)


def none_usable(skipped: Iterable[SkippedCase]) -> CohortError:
    """The error where every case was skipped; the first is named."""
    first = min(skipped, key=lambda case: case.position)
    return CohortError(CohortProblem.NONE_USABLE, case=first.id, reason=first.reason)
