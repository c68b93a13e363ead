"""The variables of an analysis file: their dimensions, units and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from napari_ifa.analysis.fit.stored import REFERENCE
from napari_ifa.models.targets import LOGIT

FORMAT_VERSION = 4
#: Of deflate; higher levels take longer and save next to nothing of shuffled numbers.
COMPRESSION = 1

_MATRIX = ("feature", "class")
_PER_CLASS = ("class",)
_PER_CASE = ("case",)
_PER_CASE_AND_CLASS = ("case", "class")

#: Dimensions, unit and long name of every variable.
VARIABLES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "importance_all": (_MATRIX, "logit", "mean contribution over all cases (eq. 3)"),
    "importance_true": (_MATRIX, "logit", "mean contribution over the cases of the class (eq. 4)"),
    "importance_true_correct": (
        _MATRIX,
        "logit",
        "mean contribution over the rightly classified cases of the class",
    ),
    "variance_all": (_MATRIX, "logit^2", "variance of the contribution over all cases"),
    "variance_true": (_MATRIX, "logit^2", "variance over the cases of the class"),
    "frequency_all": (_MATRIX, "1", "share of all cases with a positive contribution"),
    "frequency_true": (_MATRIX, "1", "the same share of the cases of the class"),
    "position_spread": (
        _MATRIX,
        "1",
        "standard distance of the feature's centre from its mean over the cases of the class, as a"
        " share of the field of view",
    ),
    "position_cases": (_MATRIX, "1", "cases of the class in which the feature is active"),
    "cases_all": ((), "1", "cases analysed"),
    "cases_true": (_PER_CLASS, "1", "cases of the class"),
    "cases_correct": (_PER_CLASS, "1", "rightly classified cases of the class"),
    "voxel_count": (("class", "bin"), "1", "feature-grid voxels by class activation"),
    "voxel_minimum": (_PER_CLASS, "logit", "least class activation of any voxel"),
    "voxel_maximum": (_PER_CLASS, "logit", "greatest class activation of any voxel"),
    "voxel_mean": (_PER_CLASS, "logit", "mean class activation of the voxels"),
    "voxel_sum_of_squares": (_PER_CLASS, "logit^2", "squared deviations from that mean, summed"),
    "voxel_not_finite": (_PER_CLASS, "1", "voxels that are infinite or not a number"),
    "fine_value": (("fine",), "logit", "lower ends of the fine bins, class after class"),
    "fine_count": (("fine",), "1", "feature-grid voxels in each fine bin"),
    "fine_bins": (_PER_CLASS, "1", "fine bins of the class"),
    "fine_step": (_PER_CLASS, "logit", "width of the fine bins; 0 where they are the values"),
    "skipped_reason": (("skipped",), "1", "why a case of the cohort was not analysed"),
    "label": (_PER_CASE, "1", "class number; -1 where none is given"),
    "target": (_PER_CASE, "1", "the value a regression should give; NaN where none is given"),
    "content": (_PER_CASE, "1", "hash of the network's input; equal for two equal inputs"),
    "group": (_PER_CASE, "1", "pseudonym of the patient or group; 0 where it is not known"),
    "logits": (_PER_CASE_AND_CLASS, "logit", "the model's output"),
    "activation_sum": (_PER_CASE_AND_CLASS, "logit", "class activation summed over the grid"),
    "activation_minimum": (_PER_CASE_AND_CLASS, "logit", "least class activation of the case"),
    "activation_maximum": (_PER_CASE_AND_CLASS, "logit", "greatest class activation of the case"),
    "activation_quantiles": (
        ("case", "class", "quantile"),
        "logit",
        "class activation at 0, 5, 10, 25, 50, 75, 90, 95 and 100 % of the case's voxels",
    ),
    "contribution": (
        ("case", "feature"),
        "logit",
        "contributions to the true class, or to the predicted one without a label",
    ),
    **REFERENCE,
}


#: The first dimension of each variable of `OF_TARGET`: what a class is compared with, see
#: `models.targets`. An analysis in use is of one of them and has it no more, and files of earlier
#: versions, which hold the logit alone, never had it.
COMPARED = "compared_with"
#: The variables that differ from target to target.
OF_TARGET = (
    *("importance_all", "importance_true", "importance_true_correct"),
    *("variance_all", "variance_true", "frequency_all", "frequency_true"),
    *("voxel_count", "voxel_minimum", "voxel_maximum", "voxel_mean", "voxel_sum_of_squares"),
    *("voxel_not_finite", "fine_value", "fine_count", "fine_bins", "fine_step"),
    *("activation_sum", "activation_minimum", "activation_maximum", "activation_quantiles"),
    "contribution",
)
#: Of these a target has a run of its own length, one target behind the other.
RUNS = ("fine_value", "fine_count")
FINE = ("fine_value", "fine_count", "fine_bins", "fine_step")
#: Left out on request, or unknown in files of an earlier version.
OPTIONAL = (
    *("content", "contribution", "group", "position_spread", "position_cases"),
    "activation_quantiles",
    *FINE,
    *REFERENCE,
)
#: The coordinate of each dimension that has one.
COORDINATES = {
    "compared_with": "what the class is compared with; 'logit': with nothing",
    "class": "class names",
    "case": "case ids",
    "skipped": "ids of the cases that were not analysed",
    "bin": "signed logarithmic bin, 0.1 % wide; 0 is zero",
}


def dimensions(name: str, targets: bool) -> tuple[str, ...]:
    """Of a variable, in a file that holds several targets or of one of them."""
    own = VARIABLES[name][0]
    return (COMPARED, *own) if targets and name in OF_TARGET and name not in RUNS else own


def described(values: Mapping[str, Any], coordinates: Mapping[str, Any]) -> xr.Dataset:
    """A dataset of the variables given, each with its dimensions, unit and long name."""
    several = COMPARED in coordinates
    return xr.Dataset(
        {
            name: (dimensions(name, several), value, description(name))
            for name, value in values.items()
        },
        coords={
            name: (name, value, {"long_name": COORDINATES[name]})
            for name, value in coordinates.items()
        },
    )


def targets_of(dataset: xr.Dataset) -> tuple[str, ...]:
    """The keys of the targets that a file's content is of."""
    if COMPARED not in dataset.coords:
        return (LOGIT,)
    return tuple(str(name) for name in dataset[COMPARED].values)


def of_target(dataset: xr.Dataset, target: str) -> xr.Dataset:
    """What a file's content holds of one target, as if that had been analysed alone."""
    if COMPARED not in dataset.coords:
        return dataset.assign_attrs(target=target)
    held = targets_of(dataset)
    number = held.index(target)
    one = dataset.isel({COMPARED: number}).drop_vars(COMPARED)
    if "fine_bins" in dataset:
        ends = [0, *np.cumsum(dataset["fine_bins"].values.sum(axis=1))]
        # What is left over is the last one's, where it does not fit.
        one = one.isel(fine=slice(ends[number], (*ends[:-1], None)[number + 1]))
    one = one.isel(bin=one["voxel_count"].values.any(axis=0)).assign_attrs(target=target)
    one.set_close(dataset.close)
    return one


def compressed(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    """How its numbers are written."""
    return {
        str(name): {"zlib": True, "complevel": COMPRESSION, "shuffle": True}
        for name, variable in dataset.variables.items()
        if variable.dtype.kind in "fiu" and variable.ndim and variable.size
    }


def write(file: Path, dataset: xr.Dataset) -> None:
    """Write a file's content."""
    dataset.to_netcdf(file, engine="h5netcdf", encoding=compressed(dataset))


def description(name: str) -> dict[str, str]:
    """The attributes of a variable."""
    _, unit, text = VARIABLES[name]
    return {"units": unit, "long_name": text}
