from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from napari_ifa.cohorts import Case
from napari_ifa.cohorts.checks import cohort_notes


def cases(*names: str, label: int | str | float | None = 0) -> list[Case]:
    """Cases called by their image."""
    return [Case(name, Path("/c", name), label) for name in names]


def notes(*chosen: str, **splits: list[Case]) -> tuple[str, ...]:
    return cohort_notes(splits, chosen or tuple(splits))


def test_a_list_without_fault_tells_its_classes_alone() -> None:
    found = notes(train=cases("a", "b", label="healthy") + cases("c", label=2), test=cases("d"))

    assert found == ("Classes: 0 (1), 2 (1), healthy (2).",)


def test_images_and_ids_that_are_listed_twice() -> None:
    twice = [*cases("a", "b", "a", "a", "b", "c"), Case("c", Path("/c/d"), 0)]

    assert notes(train=twice)[:2] == (
        "2 images are listed more than once in split 'train' (the first is a) and count as often.",
        "1 id stands for more than one image in split 'train' (the first is c).",
    )


def test_items_of_one_file_are_images_of_their_own() -> None:
    path = Path("/c/a.npz")
    items = [Case(f"{m} {n}", path, 0, None, n, m) for m in "xy" for n in range(3)]

    assert notes(train=items) == ("Classes: 0 (6).",)


def test_cases_that_stand_in_two_splits_are_told_whichever_is_asked_for() -> None:
    splits = {
        "training": cases("a", "b", "c", "d"),
        # c is the same image, and a another image of the same id.
        "test": [*cases("c", "e"), Case("a", Path("/c/other"), 0)],
    }
    of_test = (
        "2 of 3 cases of split 'test' also stand in split 'training' by image or id (the first is"
        " c): a model that was trained on the one has seen them already."
    )
    of_training = (
        "2 of 4 cases of split 'training' also stand in split 'test' by image or id (the first is"
        " a): a model that was trained on the one has seen them already."
    )

    assert notes("test", **splits)[0] == of_test
    assert notes("training", **splits)[0] == of_training
    assert [note for note in notes(**splits) if "also stand" in note] == [of_test]


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (
            [0, None, None],
            "Labels are missing for 2 of 3 cases: accuracy and the importance of the true class"
            " (eq. 4) leave them out.",
        ),
        (
            [None, None],
            "No case has a label: there is no accuracy and no importance of the true class"
            " (eq. 4).",
        ),
    ],
)
def test_missing_labels_are_counted(labels, expected: str) -> None:
    listed = [Case(str(n), Path(str(n)), label) for n, label in enumerate(labels)]

    assert notes(train=listed)[0] == expected


def test_many_classes_are_counted_and_values_have_a_range() -> None:
    many = [case for n in range(30) for case in cases(f"{n}", f"{n}b"[: 1 + n], label=n)]
    values = [case for n in range(4) for case in cases(f"{n}", label=n / 2)]

    assert notes(train=many)[-1] == "30 classes, of 2 to 2 cases each."
    assert notes(train=values) == ("Labels are values from 0 to 1.5.",)


def test_a_patient_in_two_splits_is_counted_and_never_named() -> None:
    def of(*groups: str | None) -> list[Case]:
        return [replace(case, group=g) for case, g in zip(cases(*"abcd"), groups, strict=True)]

    splits = {
        "training": of("Ann", "Ann", "Bob", None),
        "test": [
            replace(c, id=f"t{c.id}", path=Path("/t", c.id)) for c in of("Eve", "Ann", "Eve", "Cy")
        ],
    }

    found = notes("test", **splits)

    assert found[:2] == (
        "3 patients or groups, of 1 to 2 cases each.",
        "1 of 3 patients or groups of split 'test', with 1 of its 4 cases, also stands in split"
        " 'training': a model that was trained on the one has seen them already.",
    )
    assert not any(name in note for note in found for name in ("Ann", "Bob", "Eve", "Cy"))
    assert "2 patients or groups, of 1 to 2 cases each; 1 of 4 cases belong to none." in notes(
        "training", **splits
    )
