"""What an analysis says that cannot be, each number by itself or one beside another.

A file may be whole and yet hold what no cohort gives, be it by damage or by hand; a scale or a
table made of it would look like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from napari_ifa.analysis.distribution import bin_number
from napari_ifa.analysis.identity import IDENTITY, attribute_of
from napari_ifa.models.answers import OutputActivation

#: Attributes that are texts where they are there at all.
_TEXTS = (
    *("method", "output_activation", "notes", "model_name", "title", "source", "created"),
    *("versions", "cohort_name", "cohort_split", "cohort_sha256"),
)
#: Sums in float64 of as many values as there are, in another order.
_ROUNDING = 1e-6


def contradictions(dataset: xr.Dataset) -> Iterator[str]:
    """Variables and attributes of a file of the present version that cannot be right, by name."""
    yield from _wrong_texts(dataset)
    yield from _wrong_sizes(dataset)
    yield from _not_finite(dataset)
    yield from _wrong_counts(dataset)
    yield from _wrong_extremes(dataset)


def _wrong_texts(dataset: xr.Dataset) -> Iterator[str]:
    for name in (*_TEXTS, *map(attribute_of, IDENTITY)):
        if not isinstance(dataset.attrs.get(name, ""), str):
            yield name
    for name, value in dataset.attrs.items():
        if np.ndim(value) or not isinstance(value, str | int | float | np.number):
            yield str(name)
    activation = dataset.attrs.get("output_activation", "")
    if activation and activation not in get_args(OutputActivation):
        yield "output_activation"
    for name in ("class", "case", "skipped"):
        if not all(isinstance(one, str) for one in dataset[name].values.tolist()):
            yield name
    classes = [str(one) for one in dataset["class"].values]
    if len(set(classes)) < len(classes):
        yield "class"


def _wrong_sizes(dataset: xr.Dataset) -> Iterator[str]:
    for name in ("class", "feature", "case"):
        if not dataset.sizes.get(name, 0):
            yield name
    if int(dataset["cases_all"]) != dataset.sizes["case"]:
        yield "cases_all"


def _not_finite(dataset: xr.Dataset) -> Iterator[str]:
    """Numbers that are finite wherever every activation was."""
    if dataset["voxel_not_finite"].values.any():
        return
    of_class, right = dataset["cases_true"].values, dataset["cases_correct"].values
    for name, least in (
        ("importance_true", of_class > 0),
        ("frequency_true", of_class > 0),
        ("variance_true", of_class > 1),
        ("importance_true_correct", right > 0),
    ):
        if not np.isfinite(dataset[name].values[:, least]).all():
            yield name
    always = ["frequency_all", "activation_sum", "activation_minimum", "activation_maximum"]
    for name in [*always, "logits", "contribution"]:
        if name in dataset and not _all_finite(dataset[name]):
            yield name


def _wrong_counts(dataset: xr.Dataset) -> Iterator[str]:
    labels, classes = dataset["label"].values, dataset.sizes["class"]
    if classes > 1 and dataset.attrs.get("output_activation") != "none":
        known = labels[labels >= 0]
        if (np.bincount(known, minlength=classes) != dataset["cases_true"].values).any():
            yield "cases_true"
    if "position_cases" in dataset:
        active = dataset["position_cases"].values
        if active.size and (active.min() < 0 or (active > dataset["cases_true"].values).any()):
            yield "position_cases"
    if "position_spread" in dataset and (dataset["position_spread"].values < 0).any():
        yield "position_spread"


def _wrong_extremes(dataset: xr.Dataset) -> Iterator[str]:
    lowest, highest = dataset["voxel_minimum"].values, dataset["voxel_maximum"].values
    valleys, peaks = dataset["activation_minimum"].values, dataset["activation_maximum"].values
    if (valleys > peaks).any():
        yield "activation_minimum"
    if (valleys < _below(lowest)).any() or (valleys > _above(highest)).any():
        yield "activation_minimum"
    if (peaks > _above(highest)).any() or (peaks < _below(lowest)).any():
        yield "activation_maximum"
    counts = dataset["voxel_count"].values
    counted = counts.sum(axis=1) > 0
    mean = dataset["voxel_mean"].values
    if ((mean < _below(lowest)) | (mean > _above(highest)))[counted].any():
        yield "voxel_mean"
    if (dataset["voxel_sum_of_squares"].values < 0).any():
        yield "voxel_sum_of_squares"
    if not counts.size:
        return
    for row in np.flatnonzero(counted):
        bins = dataset["bin"].values[counts[row] > 0]
        # The extremes lie in the outermost bins that hold something.
        ends = bins[0] - bin_number(lowest[row]), bins[-1] - bin_number(highest[row])
        if max(map(abs, ends)) > 1:
            yield "voxel_count"


def _below(values: NDArray[Any]) -> NDArray[Any]:
    return values - _ROUNDING * np.abs(values)


def _above(values: NDArray[Any]) -> NDArray[Any]:
    return values + _ROUNDING * np.abs(values)


def _all_finite(variable: xr.DataArray) -> bool:
    """Block by block, for the rows of a large cohort stay in their file."""
    step = max(1, 2**22 // max(1, int(np.prod(variable.shape[1:]))))
    rows = range(0, variable.shape[0] if variable.ndim else 1, step)
    return all(bool(np.isfinite(variable[start : start + step].values).all()) for start in rows)
