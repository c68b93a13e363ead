"""What a function of the library is given: the object it needs, or the path to read it from."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from napari_ifa.analysis.opening import load_analysis
from napari_ifa.analysis.store import Analysis
from napari_ifa.cohorts.cohort import Cohort, read_cohort
from napari_ifa.models.bundle import load_classifier
from napari_ifa.models.classifier import Classifier
from napari_ifa.reading import read_volume
from napari_ifa.volumes import Volume

#: A path in place of an object.
Source = str | os.PathLike[str]
Thing = TypeVar("Thing")


def given_classifier(given: Classifier | Source) -> Classifier:
    """A model, or the one of a bundle's folder, of which no code is run.

    Raises
    ------
    TypeError
        For what is neither; so do the others here.
    """
    return _given(given, Classifier, load_classifier, "load_classifier")


def given_analysis(given: Analysis | Source) -> Analysis:
    """An analysis, or the one of a file."""
    return _given(given, Analysis, load_analysis, "load_analysis")


def given_cohort(given: Cohort | Source) -> Cohort:
    """A cohort, or all splits of a list."""
    return _given(given, Cohort, read_cohort, "read_cohort")


def given_volume(given: Volume | Source) -> Volume:
    """An image, or the only one of a file or folder."""
    return _given(given, Volume, read_volume, "read_volume")


def _given(given: Any, kind: type[Thing], read: Callable[[Path], Thing], name: str) -> Thing:
    if isinstance(given, kind):
        return given
    if isinstance(given, str | os.PathLike):
        return read(Path(given))
    raise TypeError(
        f"A {kind.__name__} is needed here, or the path that {name}() reads one from; this is of"
        f" type {type(given).__name__}."
    )
