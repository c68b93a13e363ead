"""What several commands take from their arguments."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from napari_ifa.errors import AnalysisError

if TYPE_CHECKING:
    from napari_ifa.analysis import Analysis, Explanation, FeatureMask
    from napari_ifa.models import Classifier


def share(text: str) -> float:
    """A share between 0 and 1 from words such as ``5%`` or ``0.05``."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no share; write for example 5% or 0.05")
    return value


def percentiles(text: str) -> tuple[float, float]:
    """Two percentiles from words such as ``5,95``."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low, high = -1.0, -1.0
    if not (0 <= low <= 100 and 0 <= high <= 100):
        raise argparse.ArgumentTypeError(f"'{text}' are no percentiles; write for example 5,95")
    return low, high


def loaded_classifier(options: argparse.Namespace) -> Classifier:
    from napari_ifa.models import load_classifier
    from napari_ifa.models.answers import NOT_TOLD

    classifier = load_classifier(
        options.bundle,
        options.device,
        options.layer,
        options.trust,
        output_activation=options.activation,
    )
    for note in classifier.notes:
        print(note)
    if classifier.output_activation == "unknown":
        print(f"{NOT_TOLD.capitalize()}; choose by --activation softmax, sigmoid or none (values).")
    return classifier


def parse_features(text: str, explanation: Explanation, analysis: Analysis | None) -> FeatureMask:
    """A feature mask from the command line's words.

    Raises
    ------
    AnalysisError
        For words that say no mask, or a share of the top features without an analysis.
    """
    from napari_ifa.analysis import FeatureMask

    kind, _, rest = text.partition(":")
    try:
        if kind == "all" and not rest:
            return FeatureMask.all(explanation.features)
        if kind == "top":
            fraction = float(rest.removesuffix("%")) / (100 if rest.endswith("%") else 1)
            if not 0 < fraction <= 1:
                raise ValueError(rest)
            if analysis is None:
                raise AnalysisError(
                    "The top features are those of a cohort; give its analysis with --analysis."
                )
            return analysis.principal_features(explanation.class_idx, fraction)
        if kind in ("only", "not"):
            numbers = [int(number) for number in rest.split(",")]
            make = FeatureMask.only if kind == "only" else FeatureMask.without
            return make(explanation.features, numbers)
    except ValueError:
        pass
    raise AnalysisError(
        f"'{text}' says no choice of features; write all, top:5%, only:1,2 or not:3."
    )


def features_in_words(text: str) -> str:
    """The name of the mask that `parse_features` makes; empty for all features."""
    kind, _, rest = text.partition(":")
    try:
        if kind in ("only", "not"):
            return f"{kind} {', '.join(map(str, sorted(set(map(int, rest.split(','))))))}"
        if kind == "top":
            return f"top {100 * share(rest):g} %"
    except (ValueError, argparse.ArgumentTypeError):
        # `parse_features` says what is wrong.
        pass
    return ""
