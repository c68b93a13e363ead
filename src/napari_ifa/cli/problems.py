"""What can be wrong with a command, for code that has to tell one problem from another."""

from __future__ import annotations

from enum import Enum


class CommandProblem(Enum):
    """The kinds of errors of a command itself, each with its ``facts``."""

    PARTS_LIE_THERE = "an interrupted analysis that is not to be resumed"
    NOTHING_TO_RESUME = "no finished part of an analysis"
    HALF_A_MODEL = "a model without cases, or cases without a model"
    ONE_PLACE_FOR_TWO = "a file and a folder of one name"
    NEEDS_AN_ANALYSIS = "something of a cohort, without its analysis"
    NEEDS_A_BUNDLE = "something of a model, without its bundle"
    FOLDER_FOR_A_FILE = "a folder where a file is to be written"
    FILE_FOR_A_FOLDER = "a file where a folder is to be written"
    NOT_WRITTEN = "a place that cannot be written"
    NO_WINDOW = "a window that cannot be opened"
