"""What can be wrong with a command, for code that has to tell one problem from another."""

from __future__ import annotations

from enum import Enum


class CommandProblem(Enum):
    """The kinds of errors of a command itself, each with its ``facts``."""

    PARTS_LIE_THERE = (
        "An interrupted analysis lies in {parts}; go on with it by --resume, or remove it."
    )
    NOTHING_TO_RESUME = (
        "There is nothing to resume: no finished part of an analysis lies in {file} beside the"
        " file; leave out --resume to begin."
    )
    HALF_A_MODEL = (
        "Maps of the candidates and what accuracy loses without features need the model and"
        " its cases: give --bundle and --cohort, or neither."
    )
    ONE_PLACE_FOR_TWO = (
        "The report is a file and the tables need a folder, and both were given the same"
        " place; give the tables another one."
    )
    TOP_OF_NO_COHORT = "The top features are those of a cohort; give its analysis with --analysis."
    SCALE_OF_NO_COHORT = (
        "A scale's scope and percentiles are those of a cohort; give its analysis with --analysis."
    )
    NEEDS_A_BUNDLE = (
        "A layer, a device, trust and an activation are those of a model; give its bundle with"
        " --bundle."
    )
    FOLDER_FOR_A_FILE = "{out} is a folder; give a file's name, such as {example}."
    FILE_FOR_A_FOLDER = "The place for the results is a file; give a folder, or a new name for one."
    NOT_WRITTEN = "The results cannot be written there{why}; choose another place."
    NO_WINDOW = "napari's window cannot be opened ({error}); install 'napari-ifa[all]'."
