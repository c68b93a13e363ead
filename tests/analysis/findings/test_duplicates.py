from __future__ import annotations

import numpy as np
from known_analysis import known_analysis

from napari_ifa.analysis.findings.duplicates import duplicates

K = np.ones((6, 2, 2))
LABELS = [0, 1, 0, 0, 1, -1]


def test_cases_with_one_content_are_a_group_and_contradicting_labels_are_told():
    found = duplicates(known_analysis(K, LABELS, content=[5, 6, 5, 7, 7, 8]))

    assert found.groups == ((0, 2), (3, 4))
    assert found.contradicting == ((3, 4),)
    rows = found.sections[0].rows
    assert [(r["group"], r["case"], r["labels_differ"]) for r in rows] == [
        (1, "case 0", False),
        (1, "case 2", False),
        (2, "case 3", True),
        (2, "case 4", True),
    ]
    assert found.sections[0].meaning.startswith("2 images in more than one case, 2 cases too many")


def test_a_hash_beyond_the_range_of_signed_numbers_stays_itself():
    large = 2**64 - 1

    assert duplicates(known_analysis(K[:2], [0, 0], content=[large, large])).groups == ((0, 1),)


def test_no_duplicate_and_not_known_are_two_things():
    none = duplicates(known_analysis(K, LABELS, content=range(6))).sections[0]
    unknown = duplicates(known_analysis(K, LABELS)).sections[0]

    assert none.rows == unknown.rows == ()
    assert "No two of the 6 cases" in none.meaning
    assert "not known" in unknown.meaning
