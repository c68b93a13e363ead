"""Analysis files of earlier versions, brought to the present one step by step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from napari_ifa.analysis.variables import FORMAT_VERSION, description


def migrated(dataset: xr.Dataset, version: int) -> xr.Dataset:
    """A dataset of an earlier version as the present one would hold it."""
    for step in range(version, FORMAT_VERSION):
        dataset = _STEPS[step](dataset)
    return dataset.assign_attrs(format_version=FORMAT_VERSION)


def _from_1(dataset: xr.Dataset) -> xr.Dataset:
    """Version 1 analysed every case of a cohort or none, and knew no values of a regression."""
    cases = dataset.sizes["case"]
    nothing = np.array([], dtype=object)
    return dataset.assign(
        cases_all=((), np.int64(cases), description("cases_all")),
        target=("case", np.full(cases, np.nan), description("target")),
        skipped_reason=("skipped", nothing, description("skipped_reason")),
    ).assign_coords(skipped=("skipped", nothing))


def _from_2(dataset: xr.Dataset) -> xr.Dataset:
    """Version 2 lacks what may be left out: finer counts, groups, places of features."""
    return dataset


def _from_3(dataset: xr.Dataset) -> xr.Dataset:
    """Version 3 compared a class with no other, and kept no quantiles of cases."""
    return dataset


_STEPS: dict[int, Callable[[xr.Dataset], xr.Dataset]] = {1: _from_1, 2: _from_2, 3: _from_3}
