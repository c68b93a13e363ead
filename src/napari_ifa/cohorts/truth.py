"""What is known to be right of each case: its class, or the value that a regression should give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_ifa.cohorts.cohort import Case
from napari_ifa.cohorts.problems import IF_VALUES, CohortProblem
from napari_ifa.errors import BundleError, CohortError
from napari_ifa.models.classifier import Classifier

#: Class number of a case without one.
UNLABELLED = -1


@dataclass(frozen=True, eq=False)
class Truth:
    """What is known of some cases.

    Attributes
    ----------
    labels : ``[N]`` class numbers; -1 without a label, and in a regression.
    targets : ``[N]`` the values of a regression; NaN elsewhere.
    """

    labels: NDArray[np.int64]
    targets: NDArray[np.float64]

    @classmethod
    def of(cls, classifier: Classifier, cases: Sequence[Case]) -> Truth:
        """From the cases' labels.

        Raises
        ------
        CohortError
            For a label that the model lacks; the case is named. For labels of a model with one
            output that may be a class or a value.
        """
        regression = classifier.output_activation == "none"
        labelled = any(case.label is not None for case in cases)
        if (
            labelled
            and classifier.output_activation == "unknown"
            and len(classifier.class_names) == 1
        ):
            raise CohortError(CohortProblem.CLASS_OR_VALUE)
        if not regression:
            _check_unambiguous(classifier, cases)
        labels = np.full(len(cases), UNLABELLED, np.int64)
        targets = np.full(len(cases), np.nan)
        for n, case in enumerate(cases):
            if case.label is None:
                continue
            if regression:
                targets[n] = _value(case)
            else:
                labels[n] = _class_number(classifier, case)
        return cls(labels, targets)


def cases_of_class(labels: NDArray[np.int64], classes: int) -> NDArray[np.bool_]:
    """Which cases are truly of which class, ``[N, C]``; label 1 means the only class of one."""
    if classes == 1:
        return (labels == 1)[:, None]
    result: NDArray[np.bool_] = labels[:, None] == np.arange(classes)
    return result


def decisive(logits: NDArray[np.floating[Any]], activation: str) -> NDArray[np.floating[Any]]:
    """Outputs ``[..., C]`` so that one output says above 0 that its class is present.

    As it does in logits; where the network's only output is a probability, ½ is taken off.
    """
    return logits - 0.5 if logits.shape[-1] == 1 and activation == "identity" else logits


def answer_names(class_names: tuple[str, ...]) -> tuple[str, ...]:
    """What a label can say, by its number; one output answers absent (0) and present (1)."""
    if len(class_names) == 1:
        return (f"not {class_names[0]}", class_names[0])
    return class_names


def predicted_classes(logits: ArrayLike) -> NDArray[np.int64]:
    """The class numbers that logits ``[N, C]`` answer; with one output, 1 for its presence."""
    values = np.asarray(logits)
    if values.shape[1] == 1:
        return (values[:, 0] > 0).astype(np.int64)
    return values.argmax(axis=1).astype(np.int64)


def _check_unambiguous(classifier: Classifier, cases: Sequence[Case]) -> None:
    """CohortError where classes are called "1", "2", "3" and numbers may be meant as names."""
    names = classifier.class_names
    numbers = {case.label for case in cases if isinstance(case.label, int)}
    as_names = numbers and all(str(number) in names for number in numbers)
    as_numbers = all(0 <= number < len(names) for number in numbers)
    if as_names and as_numbers and any(names[number] != str(number) for number in numbers):
        first = min(numbers)
        raise CohortError(CohortProblem.NAME_OR_NUMBER, label=first, name=names[first])


def _class_number(classifier: Classifier, case: Case) -> int:
    label = case.label
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    # One sigmoid output: 0 and 1 say whether the class is absent or present.
    if len(classifier.class_names) == 1 and str(label) in ("0", "1"):
        return int(str(label))
    if isinstance(label, float):
        raise CohortError(CohortProblem.VALUE_FOR_CLASSES, case=case.id, label=label)
    assert label is not None
    try:
        number = classifier.class_index(label)
    except BundleError as error:
        hint = "" if isinstance(label, str) else IF_VALUES
        raise CohortError(
            CohortProblem.NO_SUCH_CLASS, case=case.id, reason=str(error), hint=hint
        ) from error
    return 1 if len(classifier.class_names) == 1 else number


def _value(case: Case) -> float:
    try:
        value = float(case.label)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = float("nan")
    if not np.isfinite(value):
        raise CohortError(CohortProblem.NO_VALUE, case=case.id)
    return value
