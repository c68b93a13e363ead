"""What several commands take from their arguments."""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_ifa.cli.problems import CommandProblem
from napari_ifa.cli.streams import say
from napari_ifa.errors import AnalysisError

if TYPE_CHECKING:
    from napari_ifa.analysis import Analysis, Explanation, FeatureMask
    from napari_ifa.analysis.scale import ScaleChoice
    from napari_ifa.models import Classifier


#: Cases at a time, and processes for each processor: more only cost memory.
_MOST_CASES, _MOST_WORKERS = 100_000, 8


def place(text: str) -> Path:
    """A path; none is what an unset variable of a shell leaves."""
    if not text.strip():
        raise argparse.ArgumentTypeError("the path is empty; give that of a file or folder")
    if "\0" in text:
        raise argparse.ArgumentTypeError("no path holds a null character")
    return Path(text)


def cases_at_a_time(text: str) -> int:
    """A number of cases from 1 on."""
    return _whole(text, _MOST_CASES, "cases at a time")


def workers(text: str) -> int:
    """A number of processes that this computer can use."""
    return _whole(text, _MOST_WORKERS * (os.cpu_count() or 1), "workers here")


def _whole(text: str, most: int, what: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if not 1 <= value <= most:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of {what}; give 1 to {most}")
    return value


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
        say(note)
    if classifier.output_activation == "unknown":
        print(f"{NOT_TOLD.capitalize()}; choose by --activation softmax, sigmoid or none (values).")
    return classifier


def scale_choice(options: argparse.Namespace, for_reading: bool = False) -> ScaleChoice:
    """The common scale that was asked for, made for reading or the paper's where none was.

    Raises
    ------
    AnalysisError
        Where what was asked for does not go together.
    """
    from napari_ifa.analysis.scale import Basis, Form, ScaleChoice

    low, high = getattr(options, "percentiles", None) or (None, 90.0)
    form: Form = options.scale or ("centred" if for_reading and low is None else "paper")
    basis: Basis = options.basis or ("auto" if form == "centred" else "voxels")
    return ScaleChoice(form, basis, options.scope, low, high)


@dataclass(frozen=True)
class FeatureChoice:
    """Which features to keep, as the command line was told.

    Attributes
    ----------
    kind : ``"all"``, the ``"top"`` by importance, ``"only"`` some or all but some (``"not"``).
    share : of the features, for the top.
    numbers : of features, for only and not.
    """

    kind: str = "all"
    share: float = 1.0
    numbers: tuple[int, ...] = ()

    def check(self, features: int | None, analysis: Analysis | None) -> None:
        """Refuse what this many features cannot be, before the network runs.

        Raises
        ------
        AnalysisError
            For a feature that there is not, or the top features without an analysis.
        """
        if self.kind == "top" and analysis is None:
            raise AnalysisError(CommandProblem.TOP_OF_NO_COHORT)
        if self.numbers and features is not None:
            self._by_number(features)

    @property
    def name(self) -> str:
        """Of the mask that `mask` makes; empty for all features."""
        if self.numbers:
            return f"{self.kind} {', '.join(map(str, sorted(set(self.numbers))))}"
        return f"top {100 * self.share:g} %" if self.kind == "top" else ""

    def mask(self, explanation: Explanation, analysis: Analysis | None) -> FeatureMask:
        """The features kept in an explanation.

        Raises
        ------
        AnalysisError
            As of `check`.
        """
        from napari_ifa.analysis import FeatureMask

        self.check(explanation.features, analysis)
        if self.kind == "top" and analysis is not None:
            return analysis.principal_features(explanation.class_idx, self.share)
        if self.numbers:
            return self._by_number(explanation.features)
        return FeatureMask.all(explanation.features)

    def _by_number(self, features: int) -> FeatureMask:
        from napari_ifa.analysis import FeatureMask

        make = FeatureMask.only if self.kind == "only" else FeatureMask.without
        return make(features, self.numbers)


def features(text: str) -> FeatureChoice:
    """A choice of features from words such as ``top:5%`` or ``not:3``."""
    kind, _, rest = text.partition(":")
    try:
        if kind == "all" and not rest:
            return FeatureChoice()
        if kind == "top" and share(rest) > 0:
            return FeatureChoice(kind, share=share(rest))
        if kind in ("only", "not"):
            return FeatureChoice(kind, numbers=tuple(map(int, rest.split(","))))
    except (ValueError, argparse.ArgumentTypeError):
        pass
    raise argparse.ArgumentTypeError(
        f"'{text}' says no choice of features; write all, top:5%, only:1,2 or not:3"
    )
