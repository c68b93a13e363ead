"""What can be wrong with an evaluation or with findings: the kinds, each with its sentence."""

from __future__ import annotations

from enum import Enum


class EvaluationProblem(Enum):
    """Why an analysis, or what is measured with its model, cannot be evaluated."""

    # Settings
    LEVEL = "A level of significance of {level:g} is not between 0 and 1; give for example 0.05."
    NO_SHARES = "The masking curve has no share of features; give one or more."
    NO_MASK = "There is no feature mask; give one or more."
    MASK_SIZES = "The feature masks are for different numbers of features."
    NO_SUCH_RANKING = "Features cannot be ranked by '{by}'; use value, abs or contrast."
    CONTRAST_OF_ONE = (
        "The contrast is a class against the others, and here one class alone has an importance;"
        " rank by value or abs."
    )
    # The analysis and its model
    NO_IMPORTANCE = "The analysis has no importance of any feature; run it again."
    VALUES = "The model answers with values, so that there is no accuracy to lose without features."
    ONE_FEATURE = "The target layer has one feature; without it there is no answer."
    # Two analyses, or results and an analysis
    NOT_COMPARABLE = (
        "The two analyses cannot be compared: {different} differ; analyse both cohorts with the"
        " same model and method, and compare their classes with the same."
    )
    CLASSES_OR_FEATURES = (
        "The two analyses differ in their classes or features; give two cohorts' analyses by one"
        " model and layer."
    )
    FEATURES_AND_CLASSES = (
        "The first analysis has {features} features and {classes} classes, the second"
        " {other_features} and {other_classes}; give analyses by one model."
    )
    OTHER_COMMAND = (
        "{folder} was written by napari-ifa {found}, not by {command}; give the folder that"
        " {command} has written."
    )
    OTHER_MODEL = (
        "{folder} was made with another model or method than the analysis: {different} differ; run"
        " napari-ifa {command} again with this analysis."
    )
    OTHER_TARGET = (
        "{folder} is of classes compared with '{found}', and what is asked for is of '{expected}':"
        " ask for '{found}', or run napari-ifa {command} again."
    )
    # Cases
    FEW_LABELS = (
        "{cases} cases of the cohort have a label; what accuracy loses without features takes"
        " {least} or more."
    )
    NO_CANDIDATE_CASE = (
        "The cohort has no case of a class with confounder candidates; give the cohort that was"
        " analysed."
    )
    MASK_OFF_GRID = (
        "The lesion mask (shape {mask}) does not lie on the image's grid (shape {image}); use a"
        " mask drawn on this image."
    )
    # A new case
    NO_PROFILES = (
        "This analysis was made without the contributions of single cases, so no case can be"
        " compared with them; analyse again with them."
    )
    CONTRIBUTIONS = (
        "The analysis has {features} features, but {given} contributions were given; give those of"
        " the same layer."
    )
    FEW_CASES = (
        "The analysis has {independent} of '{name}' to compare with, and {least} are needed;"
        " analyse more."
    )
