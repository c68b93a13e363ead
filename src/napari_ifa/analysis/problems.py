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
    PART_GONE = "a finished part that is gone"  # folder
    NO_PLAN = "parts without their plan"  # folder
    OTHER_PLAN = "parts of another analysis"  # different
    OTHER_MODEL = "an analysis by another model"  # different
    OTHER_METHOD = "an analysis by another method"  # method, made_with
    NO_SCALE = "a cohort without a common scale"  # low, high
    PERCENTILES = "percentiles out of order"  # low, high
    NO_CHOICE = "an option that there is not"  # what, given
    NO_FILE = "a file that is not there"  # file
    NO_PERMISSION = "a file that may not be read"  # file
    DAMAGED = "a file that is damaged or of another kind"  # file
    NEWER = "a file of a newer version"  # version
    WRONG_CONTENT = "a variable or attribute that cannot be right"  # what
    OTHER_FORMULA = "an analysis by a formula that was corrected since"  # file
    TOO_LARGE = "more numbers than memory holds"  # bytes
    TOO_COARSE = "counts too coarse for the scale"
    NO_VALUE = "a percentile of no finite value"  # class_idx
    NO_CLASS = "a class that there is not"  # class_idx
    OTHER_FEATURES = "a mask for another number of features"  # given, features
    NO_ANALYSIS = "a scale without an analysis"
    TWO_WAYS_TO_SHARE = "workers and a scheduler"
    NO_WORKER = "no worker"  # workers
    NO_BUNDLE = "a model of no bundle"
    NO_DASK = "Dask is not installed"
    NO_SCHEDULER = "a scheduler that does not answer"  # scheduler
    SCHEDULER_LOST = "a scheduler that went away"
    WORKERS_DIE = "workers that keep dying"
    WORKER_WITHOUT_MODEL = "a worker that cannot load the model"
