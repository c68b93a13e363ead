"""See how much each region speaks for or against a model's answer, on one scale for all patients.

The names below are the whole path without a viewer: open a study, load a classifier, analyse a
cohort, explain a case. Each is imported when it is first used, so that ``import napari_ifa`` and
the start of napari cost nothing and leave torch unloaded.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from napari_ifa.errors import (
    AnalysisError,
    AnalysisMismatchError,
    BundleError,
    Cancelled,
    CohortError,
    ExplanationError,
    IfaError,
    UnsupportedStudyError,
    UntrustedModelError,
)

if TYPE_CHECKING:
    from napari_ifa.analysis import (
        Analysis,
        CohortFit,
        CommonScale,
        Explanation,
        FeatureMask,
        analyze,
        explain,
        load_analysis,
    )
    from napari_ifa.cam import class_activation
    from napari_ifa.cohorts import Cohort, read_cohort
    from napari_ifa.evaluation import Evaluation, evaluate
    from napari_ifa.evaluation.findings import Findings, findings
    from napari_ifa.models import Classifier, load_classifier
    from napari_ifa.reading import list_series, read_volume
    from napari_ifa.volumes import Volume

__all__ = [
    "Analysis",
    "AnalysisError",
    "AnalysisMismatchError",
    "BundleError",
    "Cancelled",
    "Classifier",
    "Cohort",
    "CohortError",
    "CohortFit",
    "CommonScale",
    "Evaluation",
    "Explanation",
    "ExplanationError",
    "FeatureMask",
    "Findings",
    "IfaError",
    "UnsupportedStudyError",
    "UntrustedModelError",
    "Volume",
    "analyze",
    "class_activation",
    "evaluate",
    "explain",
    "findings",
    "list_series",
    "load_analysis",
    "load_classifier",
    "read_cohort",
    "read_volume",
]
#: Where a name lies that is not in ``analysis``.
_PACKAGES = {
    "cam": ("class_activation",),
    "cohorts": ("Cohort", "read_cohort"),
    "evaluation": ("Evaluation", "evaluate"),
    "evaluation.findings": ("Findings", "findings"),
    "models": ("Classifier", "load_classifier"),
    "reading": ("list_series", "read_volume"),
    "volumes": ("Volume",),
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        return version("napari-ifa")
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    package = next((one for one, names in _PACKAGES.items() if name in names), "analysis")
    value = getattr(import_module(f"{__name__}.{package}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "__version__"})
