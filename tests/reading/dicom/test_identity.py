"""Claims of patient, study and place: what contradicts, what agrees, what joins."""

from __future__ import annotations

from itertools import permutations

import pytest

from napari_ifa.reading.dicom.header.identity import (
    Claims,
    Patient,
    Subject,
    disagreements,
    one_each,
    words_of_name,
)


def whole(*claims: Claims) -> list[Claims]:
    """Of how many things the claims are, in whatever order they come."""
    found = [
        sorted(set(one_each(order).values()), key=Claims.sort_key) for order in permutations(claims)
    ]
    assert all(one == found[0] for one in found)
    return found[0]


@pytest.mark.parametrize(
    ("one", "other", "subjects"),
    [
        (Claims(Patient(id="1")), Claims(Patient(id="2")), {Subject.PATIENT}),
        (Claims(Patient(id="1")), Claims(Patient()), set()),
        (Claims(study_uid="1.2"), Claims(study_uid="1.3"), {Subject.STUDY}),
        (Claims(study_date="2020-01-31"), Claims(study_date="2020-02-01"), set()),
        (Claims(study_date="2020-01-31"), Claims(study_date="2020-02-02"), {Subject.STUDY}),
        (
            Claims(frame_of_reference="1.2", series_number=0),
            Claims(frame_of_reference="1.3", series_number=1),
            {Subject.FRAME_OF_REFERENCE, Subject.SERIES_NUMBER},
        ),
        (
            Claims(Patient(name=words_of_name("Doe^Jane"))),
            Claims(Patient(name=words_of_name("DOE, JANE  M."))),
            set(),
        ),
        (
            Claims(Patient(name=words_of_name("Doe^Jane"))),
            Claims(Patient(name=words_of_name("Doe^John"))),
            {Subject.PATIENT},
        ),
    ],
)
def test_what_contradicts(one: Claims, other: Claims, subjects: set[Subject]) -> None:
    assert one.contradictions(other) == other.contradictions(one) == subjects
    assert disagreements([one, other]) == subjects


def test_a_claim_that_says_less_joins_the_only_one_it_could_be_of() -> None:
    full = Claims(Patient(id="1", sex="F"), "1.2", frame_of_reference="1.9", series_number=3)
    assert whole(full, Claims(study_uid="1.2"), Claims(Patient(id="1"), "1.2")) == [full]


def test_a_claim_that_could_be_of_two_is_of_neither() -> None:
    one, two = Claims(Patient(id="1"), "1.2"), Claims(Patient(id="2"), "1.2")
    unnamed = Claims(study_uid="1.2")
    assert whole(one, two, unnamed) == [unnamed, one, two]


def test_saying_nothing_ties_to_nobody() -> None:
    assert len(whole(Claims(Patient(id="1")), Claims())) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Müller^Jürgen", "MUELLER^JUERGEN"),
        ("Müller^Jürgen", "Muller^Jurgen"),
        ("Łuczak^Zoë", "Luczak^Zoe"),
        ("O'Brien^Siân", "OBRIEN^SIAN"),
        ("Gæde^Bjørn", "Gade^Bjoern"),
        ("Mu\u0308ller^J", "M\u00fcller^J"),
    ],
)
def test_one_name_with_and_without_its_accents_is_one(one: str, other: str) -> None:
    assert words_of_name(one) == words_of_name(other)
    assert words_of_name(one) != words_of_name("Meyer^Jane")


def test_nothing_of_the_patient_is_printed() -> None:
    claims = Claims(
        Patient("4711", "North", words_of_name("Doe^Jane"), "1970-01-02"), "1.2", "", "A1"
    )
    for secret in ("4711", "North", "doe", "1970", "A1"):
        assert secret not in repr(claims)
