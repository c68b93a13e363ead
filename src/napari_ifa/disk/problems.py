"""What can be wrong with a place for results, for code; the sentences lie where they are raised."""

from __future__ import annotations

from enum import Enum


class PlaceProblem(Enum):
    """Why nothing is written to a place."""

    A_FOLDER = "{file} is a folder; give the name of a file."
    NOT_A_FILE = "{file} is not a file that can be replaced; give another name."
    ANOTHER_FILE = (
        "{file} exists already and is no {kind_of_file} file of ours, so it is not replaced;"
        " give another name."
    )
    OTHER_CONTENT = (
        "{file} is there already and holds something else, so it is not replaced; choose"
        " another folder."
    )
    READ_BY_THE_WORK = (
        "The results would be written over what they are made from; give another place for them."
    )
    IN_USE = "another run works on it"
