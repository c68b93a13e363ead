"""What can be wrong with an analysis or an explanation: the kinds, each with its sentence."""

from __future__ import annotations

from enum import Enum


class AnalysisProblem(Enum):
    """Why an analysis, or an explanation, cannot be made, read or used."""

    NO_METHOD = "There is no method '{method}'; choose one of {methods}."
    NO_SHARD = "A shard needs 1 case or more, and {size} were asked for."
    NO_PROFILES = "'{profiles}' is no way to keep profiles; choose float32, float16 or none."
    NOT_WRITTEN = "The analysis cannot be written{reason}; make space and resume."
    NOT_ASSEMBLED = (
        "The analysis cannot be written{reason}; what was finished is kept, so make space and"
        " resume."
    )
    FOLDER_NOT_WRITTEN = "{folder}: cannot be written{reason}; make space or choose another folder."
    PART_NOT_WRITTEN = (
        "{folder}: cannot be written{reason}; the first {kept} parts are kept, so make space and"
        " resume."
    )
    FILE_NOT_WRITTEN = (
        "{file} cannot be written there{reason}; make space or choose another folder."
    )
    TOO_LARGE_FOR_FLOAT16 = (
        "The contributions are too large for float16, which ends at 65504; keep the profiles"
        " as float32, or leave them out."
    )
    NO_PARTS_FOLDER = (
        "{folder} does not hold the finished part of an analysis; give an empty folder."
    )
    PART_GONE = "A finished part in {folder} is gone; resume to compute it again."
    NO_PLAN = (
        "{folder} holds parts of an analysis, but not {plan}, which says of what analysis"
        " they are; remove the folder, or choose another one."
    )
    OTHER_PLAN = (
        "The interrupted analysis in {file} was begun with another {differs}; go on with the"
        " same, or begin anew in another folder."
    )
    OTHER_MODEL = (
        "This analysis was made with another model: {differs} differ; run the analysis again with"
        " this model, or open the model it was made with."
    )
    OTHER_BUNDLE = "A worker sees another bundle under the model's path; make it the same for all."
    OTHER_METHOD = (
        "The analysis was made with '{made_with}'; its scale does not hold for '{method}'."
    )
    NO_SCALE = (
        "The cohort's P{least:g} and P{most:g} of the class activation are {low:g} and"
        " {high:g}; a common scale needs two different values, so use a cohort in which the"
        " activation varies."
    )
    NO_CENTRED_SCALE = (
        "The cohort's P{most:g} of the class activation's magnitude is {value:g}; a common scale"
        " needs one above 0, so use a cohort in which the class has evidence."
    )
    PERCENTILES = "The percentiles {low:g} and {high:g} are not in order between 0 and 100."
    NO_LOW_PERCENTILE = (
        "A centred scale has one percentile, the same for both sides; leave the low one out, or"
        " choose the form 'paper'."
    )
    NO_CHOICE = "There is no {what} '{given}'; choose one of {known}."
    TARGET_NOT_RUN = (
        "This case was not explained against '{target}'; explain it again with that target."
    )
    SAME_CLASS = "The class '{name}' cannot be compared with itself; choose another one."
    NO_SUCH_TARGET = (
        "A class is compared with {targets}, or with one of the classes {classes}, not with"
        " '{asked}'."
    )
    NO_TARGET = (
        "This analysis holds no numbers of classes compared with '{asked}', it holds {held}; run"
        " the analysis again{how}."
    )
    NO_FILE = "{file}: no such file; give an analysis file (.nc)."
    NO_PERMISSION = "{file}: no permission to read it."
    DAMAGED = "{file} is damaged or is no analysis file; run the analysis again."
    NO_ANALYSIS_FILE = "{file} is no analysis file; give one written by napari-ifa."
    NOT_WHOLE = "{file} is no whole analysis file of version {version}; run the analysis again."
    NEWER = (
        "{name} was written by a newer napari-ifa (format {version}, this one reads up to"
        " {newest}); update napari-ifa."
    )
    WRONG_CONTENT = "{name} lacks a right '{what}'; run the analysis again."
    OTHER_FORMULA = "{file} {why}; run the analysis again."
    TOO_LARGE = (
        "{file} holds {needed} of numbers, and {free} of memory are free; close other"
        " programs, or use a computer with more memory."
    )
    TOO_COARSE = (
        "The counts of this analysis are too coarse for its scale: P{low:g} and P{high:g} of"
        " the class activation are both {p_low:.6g} within {off:.2g}; run the analysis again"
        " with this version."
    )
    NOT_A_NUMBER = "Not a number has no percentile; ask for a value on the map."
    NO_VALUE = (
        "Class {class_idx} has no finite class activation in this cohort; check the network's"
        " output on it."
    )
    NO_CLASS = "There is no class {class_idx}; the analysis has {classes} classes."
    NO_FEATURE = "There is no feature {asked}; this layer's features are 0 to {last}."
    NO_SHARE = (
        "A share of {share:g} of the features is not between 0 and 1; give for example 0.05 for"
        " the top 5 %."
    )
    NO_IMPORTANCE = (
        "No case of the cohort counts for this class, so its features have no importance; use a"
        " cohort that holds the class, or the importance over all cases."
    )
    OTHER_FEATURES = "The feature mask is for {given} features; this layer has {features}."
    NO_ANALYSIS = "There is no common scale without a cohort's analysis; run or open one."
    PARAMETRIC_MAP = (
        "This is a parametric map, values that were computed from an image; open that image to"
        " explain it."
    )
    IN_COLOUR = (
        "The model takes grey images and this one is in colour; open a grey one, or choose a"
        " model for colours."
    )
    TOO_FLAT = (
        "The model takes three-dimensional images and this is a {found}; choose a model for"
        " pictures."
    )
    NOT_FLAT = (
        "The model takes pictures (2D) and this is a three-dimensional image; choose a model for"
        " those."
    )
    TWO_WAYS_TO_SHARE = (
        "Workers of this machine and a scheduler's are two ways to share the work; give one."
    )
    NO_WORKER = "{workers} workers compute nothing; give 1 or more."
    NO_BUNDLE = (
        "Workers load the model by themselves, so it has to be a bundle's; save it as a MONAI"
        " bundle and open that with load_classifier."
    )
    NO_DASK = "Sharing the work needs Dask; install 'napari-ifa[distributed]'."
    NO_SCHEDULER = (
        "No Dask scheduler answers at {scheduler} within {seconds} s; check the address, such"
        " as tcp://10.0.0.1:8786, and that the scheduler runs."
    )
    SCHEDULER_LOST = (
        "The Dask scheduler went away; what was finished is kept, so start it again and resume."
    )
    WORKERS_DIE = (
        "Workers died again and again on the same cases, most likely for want of memory; what"
        " was finished is kept, so resume with a smaller batch or fewer workers."
    )
    WORKER_WITHOUT_MODEL = (
        "{where} cannot load the model: {error} Bundle and images must lie under the same"
        " paths for all workers."
    )
