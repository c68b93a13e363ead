"""The cases of a cohort, from whatever lists them."""

from __future__ import annotations

from napari_ifa.cohorts.cohort import Case, Cohort, cohort_splits, read_cohort

__all__ = ["Case", "Cohort", "cohort_splits", "read_cohort"]
