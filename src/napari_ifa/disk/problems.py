"""What can be wrong with a place for results, for code; the sentences lie where they are raised."""

from __future__ import annotations

from enum import Enum


class PlaceProblem(Enum):
    """Why nothing is written to a place."""

    A_FOLDER = "a folder where a file goes"
    NOT_A_FILE = "a device or the like"
    ANOTHER_FILE = "a file that is not one of ours"
    OTHER_CONTENT = "an entry of a folder that holds something else"
    READ_BY_THE_WORK = "the work reads it"
    IN_USE = "another run works on it"
