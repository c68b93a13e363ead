"""The cohort's reference in the analysis file: its variables, and what they may hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from napari_ifa.analysis.fit.distance import Floats, Spread
from napari_ifa.analysis.fit.header import HeaderSummary
from napari_ifa.analysis.fit.reference import FitReference, counted_as_one
from napari_ifa.analysis.fit.statistics import STATISTICS

#: The attribute that holds what the cases' files say.
HEADER = "reference_header"
#: The variable of the cases' own distances.
DISTANCE = "reference_distance"
_PARTS = {
    "mean": (("number",), "mean over the cohort"),
    "deviation": (("number",), "standard deviation over the cohort, with its floor"),
    "axes": (("axis", "number"), "directions with a variance of their own, in deviations"),
    "variance": (("axis",), "variance in these directions, shrunken"),
    "rest": ((), "variance in every other direction"),
}


def _dimension(statistic: str, kind: str) -> str:
    """Pooled features have one number for each feature; the others a dimension of their own."""
    if kind == "number":
        return "feature" if statistic == "features" else f"{statistic}_number"
    return f"{statistic}_axis"


#: Dimensions, unit and long name of every variable; all are optional.
REFERENCE: dict[str, tuple[tuple[str, ...], str, str]] = {
    f"reference_{statistic}_{part}": (
        tuple(_dimension(statistic, kind) for kind in kinds),
        "1",
        f"{STATISTICS[statistic]} of the reference: {text}",
    )
    for statistic in STATISTICS
    for part, (kinds, text) in _PARTS.items()
} | {
    DISTANCE: (
        ("case", "statistic"),
        "1",
        f"distance of each case from the others in {', '.join(STATISTICS.values())}",
    )
}


def variables_of(reference: FitReference) -> dict[str, Any]:
    """The variables that are not per case."""
    return {
        f"reference_{statistic}_{part}": np.asarray(
            getattr(spread, part), np.float32 if part == "axes" else np.float64
        )
        for statistic, spread in reference.spreads.items()
        for part in _PARTS
    }


def reference_of(dataset: xr.Dataset) -> FitReference | None:
    """The reference that an analysis holds; None where it was made before there was one."""
    if DISTANCE not in dataset or HEADER not in dataset.attrs:
        return None
    spreads = {}
    for statistic in STATISTICS:
        values = {part: dataset.get(f"reference_{statistic}_{part}") for part in _PARTS}
        if all(value is not None for value in values.values()):
            numbers = {p: np.asarray(v, float) for p, v in values.items() if v is not None}
            rest = float(numbers.pop("rest"))
            spreads[statistic] = Spread(**numbers, rest=rest)
    distances = np.asarray(dataset[DISTANCE].values, float)
    # Before copies were told apart every case counted by itself.
    content = dataset["content"].values if "content" in dataset else np.arange(len(distances))
    group = dataset["group"].values if "group" in dataset else np.zeros(len(distances), np.uint64)
    groups, patients = counted_as_one(np.asarray(content, np.uint64), np.asarray(group, np.uint64))
    header = HeaderSummary.from_text(str(dataset.attrs[HEADER]))
    return FitReference(spreads, distances, header, groups, patients)


def wrong_reference(dataset: xr.Dataset) -> list[str]:
    """Those of the reference's contents that cannot be; empty where there is none of it."""
    there = [name for name in REFERENCE if name in dataset]
    if not there and HEADER not in dataset.attrs:
        return []
    if DISTANCE not in dataset or HEADER not in dataset.attrs:
        return [HEADER if DISTANCE in dataset else DISTANCE]
    try:
        HeaderSummary.from_text(str(dataset.attrs[HEADER]))
    except (ValueError, TypeError, KeyError, RecursionError):
        return [HEADER]
    distances = dataset[DISTANCE].values
    if distances.shape[1] != len(STATISTICS) or not (np.isnan(distances) | (distances >= 0)).all():
        return [DISTANCE]
    return [name for statistic in STATISTICS for name in _wrong_spread(dataset, statistic)]


def _wrong_spread(dataset: xr.Dataset, statistic: str) -> list[str]:
    names = {part: f"reference_{statistic}_{part}" for part in _PARTS}
    there = [name for name in names.values() if name in dataset]
    if not there:
        return []
    if len(there) < len(names):
        return there[:1]
    values: dict[str, Floats] = {part: dataset[name].values for part, name in names.items()}
    wrong = [names[part] for part, value in values.items() if not np.isfinite(value).all()]
    positive = ("deviation", "variance", "rest")
    wrong += [names[part] for part in positive if not (values[part] > 0).all()]
    # Directions of length one; float32 rounds.
    if not wrong and not np.allclose((values["axes"] ** 2).sum(axis=1), 1.0, atol=1e-3):
        wrong.append(names["axes"])
    return wrong
