"""The findings that need the model and its cases, beside those that the analysis alone gives."""

from __future__ import annotations

from dataclasses import dataclass

from napari_ifa.analysis.given import Source, given_analysis, given_classifier, given_cohort
from napari_ifa.analysis.store import Analysis, Kind
from napari_ifa.cohorts.cohort import Cohort
from napari_ifa.errors import AnalysisError
from napari_ifa.evaluation.checks.candidate_maps import CandidateMaps, candidate_maps
from napari_ifa.evaluation.findings import Findings, findings
from napari_ifa.evaluation.measures.feature_removal import feature_removal
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.sections.candidate_maps import candidate_maps_section
from napari_ifa.models.classifier import Classifier
from napari_ifa.progress import Progress, Stop


@dataclass(frozen=True, eq=False)
class ModelFindings:
    """Findings with what the model loses without features, and the candidates' maps.

    Attributes
    ----------
    findings : of the analysis, with the removal or the reason why it could not be measured.
    maps : of the first confounder candidates; None where there are none, or none can be shown.
    maps_left_out : why none can be shown, a sentence; empty where it is not so.
    """

    findings: Findings
    maps: CandidateMaps | None = None
    maps_left_out: str = ""

    @property
    def sections(self) -> tuple[Section, ...]:
        """Every finding's tables with their figures, in the order of a report."""
        sections = self.findings.sections
        if self.maps is None:
            return sections
        return (*sections, candidate_maps_section(self.findings.confounders, self.maps))


def findings_with_model(
    classifier: Classifier | Source,
    analysis: Analysis | Source,
    cohort: Cohort | Source,
    other: Analysis | Source | None = None,
    *,
    top: float = 0.05,
    level: float = 0.05,
    kind: Kind = "true",
    skip_up_to: float = 0.05,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> ModelFindings:
    """`findings` and, over the cases of a cohort, feature removal and the candidates' maps.

    Parameters
    ----------
    classifier, analysis, cohort, other : or the paths that they are read from.
    cohort : best one that the model was not trained on; the maps need cases of the analysis.
    top, level, kind : as of `findings`, and so are the errors.
    skip_up_to, stop : as of `evaluate`, and so are the other errors.
    progress : called with cases done and cases in all of the removal, each case twice.
    """
    classifier, analysis = given_classifier(classifier), given_analysis(analysis)
    cohort = given_cohort(cohort)
    analysis.check(classifier)
    found = findings(analysis, other, top=top, level=level, kind=kind)
    try:
        removal = feature_removal(
            classifier, cohort, skip_up_to=skip_up_to, progress=progress, stop=stop
        )
        found = found.with_removal(removal)
    except AnalysisError as error:
        found = found.without_removal(str(error))
    maps, why = None, ""
    if found.confounders.ranked:
        try:
            maps = candidate_maps(classifier, cohort, found, skip_up_to=skip_up_to, stop=stop)
        except AnalysisError as error:
            # The findings stand without their pictures.
            why = str(error)
    return ModelFindings(found, maps, why)
