"""What is known to be right of each case: its class, or the value that a regression should give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_ifa.cohorts.cohort import Case
from napari_ifa.errors import BundleError, CohortError
from napari_ifa.models.classifier import Classifier

_IF_VALUES = " If it answers with values, its metadata's task has to say 'regression'."
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
            raise CohortError(
                "The model has one output, and its bundle does not say whether that is a class or a"
                " value, so that the labels have no meaning; choose the output's activation:"
                " sigmoid for a class, none for a value."
            )
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
        raise CohortError(
            f"The label {first} may be the class called '{first}' or class number {first}, which is"
            f" '{names[first]}'; give the classes' names in the list of a folder or a datalist."
        )


def _class_number(classifier: Classifier, case: Case) -> int:
    label = case.label
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    # One sigmoid output: 0 and 1 say whether the class is absent or present.
    if len(classifier.class_names) == 1 and str(label) in ("0", "1"):
        return int(str(label))
    if isinstance(label, float):
        raise CohortError(
            f"Case {case.id}: the label {label:g} is a value, but the model answers with"
            f" classes; give class numbers or names.{_IF_VALUES}"
        )
    assert label is not None
    try:
        number = classifier.class_index(label)
    except BundleError as error:
        hint = "" if isinstance(label, str) else _IF_VALUES
        raise CohortError(f"Case {case.id}: {error}{hint}") from error
    return 1 if len(classifier.class_names) == 1 else number


def _value(case: Case) -> float:
    try:
        value = float(case.label)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        value = float("nan")
    if not np.isfinite(value):
        raise CohortError(
            f"Case {case.id}: the label is no number, but the model answers with values; give the"
            " value it should answer."
        )
    return value
