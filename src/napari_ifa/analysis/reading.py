"""What a study is read with where nothing else is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from napari_ifa.models.targets import LOGIT, OTHERS, Target

if TYPE_CHECKING:
    from napari_ifa.analysis.store import Analysis
    from napari_ifa.models.classifier import Classifier


class ReadingTarget(NamedTuple):
    """What a class is compared with.

    Attributes
    ----------
    target : see `models.targets`.
    note : a sentence where an analysis lacks what would be better; empty where it does not.
    """

    target: Target
    note: str = ""


def reading_target(classifier: Classifier, analysis: Analysis | None) -> ReadingTarget:
    """All other classes where the model's outputs compete, as behind a softmax, else the logit.

    An analysis of an earlier version holds the logit alone; its maps are of that.
    """
    if OTHERS not in classifier.targets:
        return ReadingTarget(LOGIT)
    if analysis is None or OTHERS in analysis.held_targets:
        return ReadingTarget(OTHERS)
    return ReadingTarget(
        LOGIT,
        "The analysis holds no numbers of classes compared with all others, so the map shows what"
        " raises or lowers the class's own score; `napari-ifa analyze` makes one that holds them.",
    )
