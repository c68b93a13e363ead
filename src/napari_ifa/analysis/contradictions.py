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
from napari_ifa.analysis.fit.stored import wrong_reference
from napari_ifa.analysis.identity import IDENTITY, attribute_of
from napari_ifa.analysis.variables import COMPARED, FINE, VARIABLES, of_target, targets_of
from napari_ifa.models.answers import OutputActivation
from napari_ifa.models.targets import LOGIT, TARGETS, target_key

#: Attributes that are texts where they are there at all.
_TEXTS = (
    *("method", "output_activation", "notes", "model_name", "title", "source", "created"),
    *("versions", "cohort_name", "cohort_split", "cohort_sha256"),
)
#: Sums in float64 of as many values as there are, in another order.
_ROUNDING = 1e-6
#: Variables of whole numbers and of texts; all others hold fractions.
_WHOLE = {"voxel_count", "voxel_not_finite", "label", "content", "group", "cases_all", "cases_true"}
_WHOLE |= {"cases_correct", "position_cases", "fine_count", "fine_bins"}
_TEXT = {"skipped_reason"}
#: Numbers that are never below 0, nor above the one given; NaN stands for a class without cases.
_MOST = {
    **dict.fromkeys(("voxel_count", "voxel_not_finite", "cases_all", "cases_true"), np.inf),
    **dict.fromkeys(("cases_correct", "voxel_sum_of_squares"), np.inf),
    **dict.fromkeys(("variance_all", "variance_true", "position_spread"), np.inf),
    **dict.fromkeys(("frequency_all", "frequency_true"), 1.0),
}


def contradictions(content: xr.Dataset) -> Iterator[str]:
    """Variables and attributes of a file of the present version that cannot be right, by name.

    Only the first one is safe to ask for: each check takes for granted what those before it found.
    """
    yield from _wrong_kinds(content)
    yield from _out_of_range(content)
    yield from _wrong_targets(content)
    yield from wrong_reference(content)
    yield from _wrong_texts(content)
    yield from _wrong_sizes(content)
    yield from _wrong_counts(content)
    for target in targets_of(content):
        dataset = of_target(content, target)
        yield from _wrong_fine_counts(dataset)
        yield from _not_finite(dataset)
        yield from _wrong_extremes(dataset)


def _wrong_kinds(dataset: xr.Dataset) -> Iterator[str]:
    for name in VARIABLES:
        if name in dataset and dataset[name].size:
            kinds = "iu" if name in _WHOLE else "OUS" if name in _TEXT else "f"
            if dataset[name].dtype.kind not in kinds:
                yield name


def _out_of_range(dataset: xr.Dataset) -> Iterator[str]:
    labels, classes = dataset["label"].values, dataset.sizes["class"]
    # With one class, label 1 says that it is present.
    if labels.size and not (labels.min() >= -1 and labels.max() < max(2, classes)):
        yield "label"
    for name, most in _MOST.items():
        values = dataset[name].values if name in dataset else np.zeros(0)
        if ((values < 0) | (values > most)).any():
            yield name
    for name in ("voxel_mean", "voxel_sum_of_squares"):
        if not np.isfinite(dataset[name].values).all():
            yield name
    for lower, upper in (
        ("voxel_minimum", "voxel_maximum"),
        ("cases_true", "cases_all"),
        ("cases_correct", "cases_true"),
    ):
        if (dataset[lower].values > dataset[upper].values).any():
            yield lower
    bins = dataset["bin"].values
    if bins.dtype.kind not in "iu" or (np.diff(bins) <= 0).any():
        yield "bin"


def _wrong_targets(dataset: xr.Dataset) -> Iterator[str]:
    held = targets_of(dataset)
    known = {*TARGETS, *map(target_key, range(dataset.sizes["class"]))}
    if held[:1] != (LOGIT,) or len(set(held)) < len(held) or not known.issuperset(held):
        yield COMPARED


def _wrong_fine_counts(dataset: xr.Dataset) -> list[str]:
    """Those of the fine counts, of which there are all or none, that do not fit the others."""
    there = [name for name in FINE if name in dataset]
    if len(there) < len(FINE):
        return there
    values, counts, bins, steps = (dataset[name].values for name in FINE)
    counts = counts.astype(np.int64)
    if bins.min(initial=0) < 0 or bins.sum() != counts.size:
        return ["fine_bins"]
    if not np.isfinite(values).all():
        return ["fine_value"]
    if not (np.isfinite(steps).all() and steps.min(initial=0) >= 0):
        return ["fine_step"]
    starts = np.concatenate([[0], np.cumsum(bins)])
    sums = np.diff(np.concatenate([[0], np.cumsum(counts)])[starts])
    if counts.min(initial=1) < 1 or (sums != dataset["voxel_count"].values.sum(axis=1)).any():
        return ["fine_count"]
    inside = np.ones(values.size, dtype=bool)
    inside[starts[starts < values.size]] = False
    falls = inside[1:] & (values[1:] <= values[:-1])
    return ["fine_value"] if falls.any() else []


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
    always = ["importance_all", "voxel_minimum", "voxel_maximum", "frequency_all"]
    # One case alone has no variance.
    always += ["variance_all"] if dataset["cases_all"] > 1 else []
    always += ["activation_sum", "activation_minimum", "activation_maximum"]
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


def _wrong_extremes(dataset: xr.Dataset) -> Iterator[str]:
    lowest, highest = dataset["voxel_minimum"].values, dataset["voxel_maximum"].values
    valleys, peaks = dataset["activation_minimum"].values, dataset["activation_maximum"].values
    if (valleys > peaks).any() or _beyond(valleys, lowest, highest).any():
        yield "activation_minimum"
    if _beyond(peaks, lowest, highest).any():
        yield "activation_maximum"
    counts = dataset["voxel_count"].values
    counted = counts.sum(axis=1) > 0
    if _beyond(dataset["voxel_mean"].values, lowest, highest)[counted].any():
        yield "voxel_mean"
    if not counts.size:
        return
    for row in np.flatnonzero(counted):
        bins = dataset["bin"].values[counts[row] > 0]
        # The extremes lie in the outermost bins that hold something.
        ends = bins[0] - bin_number(lowest[row]), bins[-1] - bin_number(highest[row])
        if max(map(abs, ends)) > 1:
            yield "voxel_count"


def _beyond(values: NDArray[Any], least: NDArray[Any], greatest: NDArray[Any]) -> NDArray[Any]:
    """Which lie below the least or above the greatest, by more than rounding."""
    below = values < least - _ROUNDING * np.abs(least)
    return np.asarray(below | (values > greatest + _ROUNDING * np.abs(greatest)))


def _all_finite(variable: xr.DataArray) -> bool:
    """Block by block, for the rows of a large cohort stay in their file."""
    step = max(1, 2**22 // max(1, int(np.prod(variable.shape[1:]))))
    rows = range(0, variable.shape[0] if variable.ndim else 1, step)
    return all(bool(np.isfinite(variable[start : start + step].values).all()) for start in rows)
