"""The variables of an analysis file: their dimensions, units and meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xarray as xr

FORMAT_VERSION = 1

_MATRIX = ("feature", "class")
_PER_CLASS = ("class",)
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
    "cases_true": (_PER_CLASS, "1", "cases of the class"),
    "cases_correct": (_PER_CLASS, "1", "rightly classified cases of the class"),
    "voxel_count": (("class", "bin"), "1", "feature-grid voxels by class activation"),
    "voxel_minimum": (_PER_CLASS, "logit", "least class activation of any voxel"),
    "voxel_maximum": (_PER_CLASS, "logit", "greatest class activation of any voxel"),
    "voxel_mean": (_PER_CLASS, "logit", "mean class activation of the voxels"),
    "voxel_sum_of_squares": (_PER_CLASS, "logit^2", "squared deviations from that mean, summed"),
    "voxel_not_finite": (_PER_CLASS, "1", "voxels that are infinite or not a number"),
    "label": (("case",), "1", "class number; -1 where none is given"),
    "logits": (_PER_CASE_AND_CLASS, "logit", "the model's output"),
    "activation_sum": (_PER_CASE_AND_CLASS, "logit", "class activation summed over the grid"),
    "activation_minimum": (_PER_CASE_AND_CLASS, "logit", "least class activation of the case"),
    "activation_maximum": (_PER_CASE_AND_CLASS, "logit", "greatest class activation of the case"),
    "contribution": (
        ("case", "feature"),
        "logit",
        "contributions to the true class, or to the predicted one without a label",
    ),
}


def described(
    values: Mapping[str, Any], coordinates: Mapping[str, Any], attributes: Mapping[str, Any]
) -> xr.Dataset:
    """A dataset of all variables, each with its dimensions, unit and long name."""
    return xr.Dataset(
        {
            name: (dimensions, values[name], {"units": unit, "long_name": text})
            for name, (dimensions, unit, text) in VARIABLES.items()
        },
        coords=coordinates,
        attrs={
            "title": "integrated feature analysis",
            "source": "napari-ifa; method: Li et al., arXiv 2407.01142",
            "format_version": FORMAT_VERSION,
            **attributes,
        },
    )
