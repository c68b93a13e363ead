"""What can be wrong with a cohort: the kinds, each with its sentence."""

from __future__ import annotations

from enum import Enum

#: Follows a sentence about a label that may be the value of a regression.
IF_VALUES = " If it answers with values, its metadata's task has to say 'regression'."


class CohortProblem(Enum):
    """Why the cases of a cohort cannot be used."""

    # A pass over the cases
    EMPTY = "The cohort holds no case; choose a split that does."
    NO_BATCH = "A batch needs 1 case or more, and {size} were asked for."
    NO_SHARE = (
        "A share of {share:g} of the cases is not between 0 and 1; give for example 0.05 to"
        " skip up to 5 %."
    )
    NOT_FINITE = "{values} of {of} values that the network would see are not finite."
    UNREADABLE = "The {what} cannot be read: {reason}."
    STOPPED = "The work was stopped."
    NONE_USABLE = "None of the cohort's cases can be used; the first, case {case}: {reason}"
    TOO_MANY_SKIPPED = (
        "Case {case} cannot be used: {reason}; {such} where up to {most} may be skipped, so correct"
        " them or leave them out of the cohort."
    )
    # Labels
    NAMES_AND_VALUES = (
        "The labels are names in some cases and values with fractions in others; give either a"
        " class or a value for all."
    )
    CLASS_OR_VALUE = (
        "The model has one output, and its bundle does not say whether that is a class or a"
        " value, so that the labels have no meaning; choose the output's activation: sigmoid for a"
        " class, none for a value."
    )
    NAME_OR_NUMBER = (
        "The label {label} may be the class called '{label}' or class number {label}, which is"
        " '{name}'; give the classes' names in the list of a folder or a datalist."
    )
    VALUE_FOR_CLASSES = (
        "Case {case}: the label {label:g} is a value, but the model answers with classes; give"
        " class numbers or names." + IF_VALUES
    )
    NO_SUCH_CLASS = "Case {case}: {reason}{hint}"
    NO_VALUE = (
        "Case {case}: the label is no number, but the model answers with values; give the value it"
        " should answer."
    )


_KINDS = "give a MONAI datalist (JSON), a CSV table, a folder per class, an idx pair or an npz file"
_DAMAGED = "it is damaged or was not copied to its end"


class ListProblem(Enum):
    """Why a list of cases cannot be read: a file, a folder, or arrays."""

    NOT_FOUND = "{file}: no such file or folder; " + _KINDS + "."
    NOT_A_LIST = "{file} is no list of cases; " + _KINDS + "."
    NO_ROOT = "{folder}: no such folder; give the one that the paths start from."
    UNREADABLE = "{file} cannot be read: {reason}."
    DAMAGED = "{file} cannot be read: " + _DAMAGED + "."
    NOT_A_PATH = "{where}: the path cannot be a file's; correct it."
    LEADS_OUT = "{where}: the path leads out of the cohort's folder; give that folder as the root."
    # Splits
    NO_CASE = "{file} lists no case; {expected}."
    NO_CASE_IN_SPLIT = "{file}: split '{split}' lists no case; the splits are {splits}."
    NO_SUCH_SPLIT = "{file} has no split '{split}'; it has {splits}."
    SEVERAL_SPLITS = "{file}: split '{split}' may be any of {splits}; name one."
    # One case
    NOT_ONE_IMAGE = "{where}: 'image' is not one path; list one image for each case."
    NO_IMAGE_NAMED = "{where}: no image is named; give its path or remove the row."
    GROUP_TYPE = "{where}: the group is neither a name nor a number; correct it."
    LIST_OF_LABELS = (
        "{where}: the label is a list of {labels}, neither a class number nor a name; several"
        " labels for one case are not supported, give one."
    )
    LABEL_TYPE = "{where}: the label is neither a class number nor a name nor a value; correct it."
    LABEL_SIZE = "{where}: the label is too large for a class or a value; correct it."
    # Datalists
    NOT_JSON = "{file} is not JSON; give a MONAI datalist."
    NO_SPLITS = "{file} holds no splits; a MONAI datalist is a table of lists."
    # Tables
    NOT_CSV = (
        "{file} is not a sound CSV table ({complaint}, about line {line}); check its quotation"
        " marks."
    )
    NOT_UTF8 = "{file} is not UTF-8 text; save the table as CSV with that encoding."
    COLUMNS_ALIKE = "{file}: columns {columns} may all be the {meaning}; rename all but one."
    NO_IMAGE_COLUMN = (
        "{file} has no column 'image' ('path', 'file', 'filename'); the first row names the"
        " columns: image, label, and if need be mask, id, split, patient."
    )
    ROW_LENGTH = (
        "{where}: {cells} cells where the header has {titles}; put texts that hold the delimiter in"
        " quotation marks."
    )
    # Folders
    IMAGES_AND_MASKS = (
        "{folder} has folders of images and of masks, not of classes; list image, label and mask"
        " in a CSV table."
    )
    # Arrays and their labels
    NO_IMAGE_FILE = (
        "{file}: the images are missing; put the file of the same name with 'images' beside it."
    )
    ARRAYS_ALIKE = (
        "{file}: arrays '{first}' and '{second}' may both be the {meaning}s; save one of them."
    )
    NO_IMAGE_ARRAY = (
        "{file} has no array 'images' or 'x', but {members}; save the images [N, rows, columns]"
        " under that name and their labels [N] as 'labels' or 'y'."
    )
    NOT_IMAGES = (
        "{file}: an array of {shape} {dtype} values holds no images; they are [N, rows, columns],"
        " [N, rows, columns, 3] or [N, slices, rows, columns]."
    )
    LABELS_PER_CASE = (
        "{where}: {labels} labels for each case; several labels for one case are not supported,"
        " give one."
    )
    NUMBER_OF_LABELS = "{where}: {labels} labels for {images} images; give one for each."
    NO_SUCH_ITEM = "{file} holds {items} items, so there is no item {item}; read the cohort again."
    NO_LONGER_IMAGES = "{file} no longer holds images; read the cohort again."
    # Files of arrays
    NOT_IDX = (
        "{file} is no idx file: its first bytes are not an idx header's; give the file as it was"
        " published."
    )
    NOT_NUMPYS_PACKING = "{file} is not packed as numpy does; save it with numpy anew."
    NEGATIVE_SIZE = "{array} has a negative size; it is damaged."
    PYTHON_OBJECTS = (
        "{array} holds Python objects, which may run code when read; save it as an array of"
        " numbers."
    )
    NOT_NUMBERS = "{array} holds neither numbers nor names; save it as such."
    TOO_SHORT = (
        "{array}: the header claims {shape} values, more than the file can hold; " + _DAMAGED + "."
    )
    TOO_LONG = "{array} is longer than its header says; it is damaged."
