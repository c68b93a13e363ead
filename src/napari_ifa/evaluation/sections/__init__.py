"""Numbers in words: each measure and check as tables with their figures and two sentences.

* `wording`: what all of them say alike.
* `consistency`, `masking`, `maps`: what is measured with the model and a cohort.
* `overfitting`, `features`, `cases`, `redundancy`: what an analysis alone shows.
* `candidate_maps`: what the first confounder candidates respond to.
* `left_out`: what could not be used.

`sections_of` is the one way from numbers to sections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from napari_ifa.evaluation.checks.confounders import Confounders
from napari_ifa.evaluation.checks.duplicates import Duplicates
from napari_ifa.evaluation.checks.outliers import Outliers
from napari_ifa.evaluation.checks.overfitting import Overfitting
from napari_ifa.evaluation.checks.principal import PrincipalFeatures
from napari_ifa.evaluation.checks.redundancy import Redundancy
from napari_ifa.evaluation.measures.average_drop import AverageDrop
from napari_ifa.evaluation.measures.consistency import Consistency
from napari_ifa.evaluation.measures.localisation import CohortLocalisation
from napari_ifa.evaluation.measures.masking_curve import MaskingCurve
from napari_ifa.evaluation.measures.set_measures import MaskedAccuracy
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.sections.cases import duplicate_sections, outlier_sections
from napari_ifa.evaluation.sections.consistency import consistency_sections
from napari_ifa.evaluation.sections.features import confounder_sections, principal_sections
from napari_ifa.evaluation.sections.maps import average_drop_sections, localisation_sections
from napari_ifa.evaluation.sections.masking import masked_accuracy_sections, masking_curve_sections
from napari_ifa.evaluation.sections.overfitting import overfitting_sections
from napari_ifa.evaluation.sections.redundancy import redundancy_sections

__all__ = ["sections_of"]

_OF: Mapping[type, Callable[[Any], Iterable[Section]]] = {
    Consistency: consistency_sections,
    MaskedAccuracy: masked_accuracy_sections,
    MaskingCurve: masking_curve_sections,
    AverageDrop: average_drop_sections,
    CohortLocalisation: localisation_sections,
    Overfitting: overfitting_sections,
    PrincipalFeatures: principal_sections,
    Confounders: confounder_sections,
    Outliers: outlier_sections,
    Duplicates: duplicate_sections,
    Redundancy: redundancy_sections,
}


def sections_of(*numbers: object) -> tuple[Section, ...]:
    """The tables with their figures of measures and checks, in the order given.

    None stands for a measure that does not exist, and has no section.
    """
    return tuple(s for one in numbers if one is not None for s in _OF[type(one)](one))
