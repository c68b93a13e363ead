from __future__ import annotations

import numpy as np

from napari_ifa.evaluation.checks.duplicates import duplicates
from napari_ifa.evaluation.sections import sections_of
from tests.known_analysis import known_analysis

K = np.ones((6, 2, 2))
LABELS = [0, 1, 0, 0, 1, -1]


def numbers(found):
    """The cases' numbers, group by group."""
    return [[int(one.case.split()[1]) for one in group] for group in found.groups]


def test_cases_with_one_content_are_a_group_and_contradicting_labels_are_told():
    found = duplicates(known_analysis(K, LABELS, content=[5, 6, 5, 7, 7, 8]))

    assert numbers(found) == [[0, 2], [3, 4]]
    assert found.contradicting == found.groups[1:]
    rows = sections_of(found)[0].rows
    assert [(r["group"], r["case"], r["labels_differ"]) for r in rows] == [
        (1, "case 0", False),
        (1, "case 2", False),
        (2, "case 3", True),
        (2, "case 4", True),
    ]
    assert "2 images stand in more than one case, 2 cases too many" in sections_of(found)[0].meaning


def test_a_case_without_a_label_contradicts_none():
    found = duplicates(known_analysis(K, LABELS, content=[1, 2, 3, 4, 5, 1]))

    assert numbers(found) == [[0, 5]]
    assert not found.contradicting


def test_a_hash_beyond_the_range_of_signed_numbers_stays_itself():
    large = 2**64 - 1

    found = duplicates(known_analysis(K[:2], [0, 0], content=[large, large]))

    assert numbers(found) == [[0, 1]]


def test_no_duplicate_and_not_known_are_two_things():
    none = sections_of(duplicates(known_analysis(K, LABELS, content=range(6))))[0]
    unknown = sections_of(duplicates(known_analysis(K, LABELS)))[0]

    assert none.rows == unknown.rows == ()
    assert "No two of the 6 cases" in none.meaning
    assert "not known" in unknown.meaning


def test_both_cohorts_are_looked_at_and_named():
    train = known_analysis(K, LABELS, content=[1, 1, 2, 3, 4, 5], cohort_split="training")
    test = known_analysis(K[:4], LABELS[:4], content=[3, 7, 8, 8], cohort_split="test")

    found = duplicates(train, test)

    assert [(r["group"], r["cohort"], r["case"]) for r in sections_of(found)[0].rows] == [
        (1, "training", "case 0"),
        (1, "training", "case 1"),
        (2, "training", "case 3"),
        (2, "test", "case 0"),
        (3, "test", "case 2"),
        (3, "test", "case 3"),
    ]
    assert len(found.in_both) == 1
    meaning = sections_of(found)[0].meaning
    assert meaning.startswith("Among the 6 cases of 'training' and 4 cases of 'test' 3 images")
    assert "(1 within 'training', 1 within 'test', 1 in both)" in meaning


def test_cohorts_of_one_split_are_told_apart_by_their_names():
    one, other = (
        known_analysis(K, LABELS, content=range(6), cohort_name=name, cohort_split="all")
        for name in ("clinic A", "clinic B")
    )

    assert duplicates(one, other).cohorts == ("clinic A", "clinic B")


def test_values_that_differ_contradict_in_a_regression():
    analysis = known_analysis(
        np.ones((3, 2, 1)),
        [-1] * 3,
        targets=[40.0, 41.5, 40.0],
        content=[1, 1, 2],
        output_activation="none",
    )

    rows = sections_of(duplicates(analysis))[0].rows

    assert [row["target"] for row in rows] == [40.0, 41.5]
    assert all(row["labels_differ"] for row in rows)
