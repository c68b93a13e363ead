"""What can be wrong with an analysis, for code that has to tell one problem from another."""

from __future__ import annotations

from enum import Enum


class AnalysisProblem(Enum):
    """The kinds of `AnalysisError`, each with its ``facts``."""

    NO_METHOD = "a method that there is not"  # method
    NO_SHARD = "a shard of no case"  # size
    NO_PROFILES = "no way to keep profiles"  # profiles
    NOT_WRITTEN = "a place that cannot be written"  # folder or file, kept
    TOO_LARGE_FOR_FLOAT16 = "contributions too large for float16"
    NO_PARTS_FOLDER = "a folder of something else"  # folder
    NO_PLAN = "parts without their plan"  # folder
    OTHER_PLAN = "parts of another analysis"  # different
    OTHER_MODEL = "an analysis by another model"  # different
    OTHER_METHOD = "an analysis by another method"  # method, made_with
    NO_SCALE = "a cohort without a common scale"  # low, high
    PERCENTILES = "percentiles out of order"  # low, high
    NO_CHOICE = "an option that there is not"  # what, given
    TOO_COARSE = "counts too coarse for the scale"
    NO_CLASS = "a class that there is not"  # class_idx
    NO_ANALYSIS = "a scale without an analysis"
    TWO_WAYS_TO_SHARE = "workers and a scheduler"
    NO_WORKER = "no worker"  # workers
    NO_BUNDLE = "a model of no bundle"
    NO_DASK = "Dask is not installed"
    WORKERS_DIE = "workers that keep dying"
    WORKER_WITHOUT_MODEL = "a worker that cannot load the model"
