"""What an analysis shows about a model and its cohort: all checks of it together."""

from __future__ import annotations

from dataclasses import dataclass, replace

from napari_ifa.analysis.given import Source, given_analysis
from napari_ifa.analysis.store import Analysis, Kind
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.checks.confounders import Confounders, confounder_candidates
from napari_ifa.evaluation.checks.duplicates import Duplicates, duplicates
from napari_ifa.evaluation.checks.new_case import Comparison, compared_with_class
from napari_ifa.evaluation.checks.outliers import Outliers, outliers
from napari_ifa.evaluation.checks.overfitting import Overfitting, overfitting
from napari_ifa.evaluation.checks.principal import PrincipalFeatures, principal_features
from napari_ifa.evaluation.checks.redundancy import Redundancy, redundancy
from napari_ifa.evaluation.checks.sides import cases_that_count
from napari_ifa.evaluation.measures.feature_removal import FeatureRemoval
from napari_ifa.evaluation.numbers import Numbers
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.sections import sections_of
from napari_ifa.memory import memory_said

__all__ = ["Comparison", "Findings", "compared_with_class", "findings"]


@dataclass(frozen=True, eq=False, repr=False)
class Findings:
    """All findings of one analysis, and of two where training and test were given.

    Attributes
    ----------
    analysis : what they were found in; the training cases' where there are two.
    overfitting : training against test; None with one analysis.
    """

    analysis: Analysis
    overfitting: Overfitting | None
    principal: PrincipalFeatures
    confounders: Confounders
    outliers: Outliers
    duplicates: Duplicates
    redundancy: Redundancy

    @property
    def sections(self) -> tuple[Section, ...]:
        """Every finding's tables with their figures, in the order of a report."""
        return sections_of(*self._parts)

    @property
    def _parts(self) -> tuple[Numbers | None, ...]:
        return (
            self.overfitting,
            self.principal,
            self.confounders,
            self.outliers,
            self.duplicates,
            self.redundancy,
        )

    def __repr__(self) -> str:
        return "\n".join(str(sections_of(part)[0]) for part in self._parts if part is not None)

    def with_removal(self, removal: FeatureRemoval) -> Findings:
        """The same with what accuracy loses without features, see `feature_removal`."""
        return replace(self, redundancy=replace(self.redundancy, removal=removal, reason=""))

    def without_removal(self, reason: str) -> Findings:
        """The same with a sentence on why that could not be measured."""
        return replace(self, redundancy=replace(self.redundancy, removal=None, reason=reason))


@memory_said(
    AnalysisError,
    "look through this analysis",
    "use a computer with more memory, or an analysis without profiles",
)
def findings(
    analysis: Analysis | Source,
    other: Analysis | Source | None = None,
    *,
    top: float = 0.05,
    level: float = 0.05,
    kind: Kind = "true",
) -> Findings:
    """Overfitting, principal features, confounder candidates, outliers, duplicates, redundancy.

    Parameters
    ----------
    analysis, other : or the paths that they are read from.
    analysis : of the cohort; of the training cases where ``other`` is given.
    other : of cases that the model never saw, by the same model and method.
    top : share of the features that is called principal.
    level : of significance, each finding's table as a whole.
    kind : the importance to judge by: ``"true"``, over the cases of each class (eq. 4), or
        ``"all"`` (eq. 3). Where no case has a label there is ``"all"`` alone, and the findings
        say so.

    Raises
    ------
    AnalysisMismatchError
        The two analyses are not of one model by one method.
    AnalysisError
        A share or level that is none.
    """
    analysis = given_analysis(analysis)
    other = None if other is None else given_analysis(other)
    if not 0 < level < 1:
        raise AnalysisError(EvaluationProblem.LEVEL, level=level)
    both = (analysis,) if other is None else (analysis, other)
    chosen = kind if all(cases_that_count(one, "true").any() for one in both) else "all"
    return Findings(
        analysis=analysis,
        overfitting=(
            overfitting(analysis, other, top=top, level=level, kind=chosen)
            if other is not None
            else None
        ),
        principal=principal_features(analysis, top=top, kind=chosen),
        confounders=confounder_candidates(analysis, level=level, kind=chosen),
        outliers=outliers(analysis),
        duplicates=duplicates(analysis, other),
        redundancy=redundancy(analysis),
    )
