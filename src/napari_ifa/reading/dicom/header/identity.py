"""Whose image a file is, as it claims: patient, study, frame of reference, series number.

UIDs are claims, not facts: many anonymisers and research exporters write one series UID, or one
UID of all, for several patients. So every claim of a file counts, and files are of one image only
where none contradicts another.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import Enum
from itertools import combinations, repeat
from unicodedata import combining, normalize

#: What anonymisers write in place of an ID: equal for everybody, so that it tells nobody apart.
_PLACEHOLDER = re.compile(
    r"anon(ym(ous|ized|ised|i[sz]ed patient|us)?)?|unknown|none|null|nil|nan|n/?a|not available"
    r"|removed|deleted|withheld|hidden|de-?identified|no ?(name|id)|patient|patient ?id|subject"
    r"|test|default|[0x*#?._\- ]*",
    re.IGNORECASE,
)
#: An examination may run past midnight.
_SAME_STUDY_DAYS = 1
#: Letters that are no letter with an accent, as they are written without them; an apostrophe is
#: no end of a word.
_LETTERS = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "oe", "å": "aa", "ł": "l", "đ": "d", "'": "", "’": "", "`": ""}
)
#: More different claims than this in one series: each is taken for itself.
_MOST_COMPARED = 2000


class Subject(Enum):
    """What two files can disagree about."""

    PATIENT = "patient"
    STUDY = "study"
    FRAME_OF_REFERENCE = "frame of reference"
    SERIES_NUMBER = "series number"


@dataclass(frozen=True, slots=True)
class Patient:
    """What a file says of its patient; empty where it says nothing.

    ``name`` holds the words of the name in lower case, in whatever order and form they were
    written. None of it is ever shown.
    """

    id: str = ""
    issuer: str = ""
    birth_date: str = ""
    sex: str = ""
    age: str = ""
    name: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        """Nothing of the patient: it would stand in every traceback."""
        return "Patient(…)"

    @property
    def identifier(self) -> str | None:
        """The PatientID, with its issuer where one is stated; it must not be stored or shown.

        None where there is no ID or a placeholder such as "ANONYMOUS" or "000000".
        """
        if _PLACEHOLDER.fullmatch(self.id):
            return None
        return f"{self.issuer}\\{self.id}" if self.issuer else self.id

    def contradicts(self, other: Patient) -> bool:
        """Whether the two cannot be one person."""
        # A second first name, or a title, is written here and left out there.
        is_one_name = self.name <= other.name or other.name <= self.name
        return not is_one_name or any(map(_differ, self.words, other.words))

    @property
    def words(self) -> tuple[str, ...]:
        """All but the name."""
        return self.id, self.issuer, self.birth_date, self.sex, self.age

    def with_more_of(self, other: Patient) -> Patient:
        """What either of the two says."""
        pairs = zip(self.words, other.words, strict=True)
        own_id, issuer, birth_date, sex, age = (mine or its for mine, its in pairs)
        name = max(self.name, other.name, key=len)
        return Patient(own_id, issuer, birth_date, sex, age, name)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a file says of where it belongs; empty or None where it says nothing.

    ``study_date`` is ``"2018-05-26"``.
    """

    patient: Patient = field(default_factory=Patient)
    study_uid: str = ""
    study_date: str = ""
    accession: str = field(default="", repr=False)
    frame_of_reference: str = ""
    series_number: int | None = None

    @property
    def study(self) -> tuple[str, str, str]:
        """All that is said of the study."""
        return self.study_uid, self.study_date, self.accession

    def contradictions(self, other: Claims) -> set[Subject]:
        """What the two disagree about; what one of them does not say is no disagreement."""
        numbers = {self.series_number, other.series_number} - {None}
        differ = {
            Subject.PATIENT: self.patient.contradicts(other.patient),
            Subject.STUDY: _differ(self.study_uid, other.study_uid)
            or _differ(self.accession, other.accession)
            or _days_apart(self.study_date, other.study_date) > _SAME_STUDY_DAYS,
            Subject.FRAME_OF_REFERENCE: _differ(self.frame_of_reference, other.frame_of_reference),
            Subject.SERIES_NUMBER: len(numbers) > 1,
        }
        return {subject for subject, is_so in differ.items() if is_so}

    def agrees_with(self, other: Claims) -> bool:
        """Whether files that claim the one and the other may be of one image.

        Where a file says less than another, something has to tie it to the same person: the
        patient's ID or the study's UID.
        """
        if self.frame_of_reference and _differ(self.frame_of_reference, other.frame_of_reference):
            return False
        tied = (
            (self.patient == other.patient and self.study == other.study)
            or bool(self.study_uid and self.study_uid == other.study_uid)
            or bool(self.patient.id and self.patient.id == other.patient.id)
        )
        return tied and not self.contradictions(other)

    def with_more_of(self, other: Claims) -> Claims:
        """What either of the two says."""
        mine, its = self.series_number, other.series_number
        return Claims(
            self.patient.with_more_of(other.patient),
            self.study_uid or other.study_uid,
            min(filter(None, (self.study_date, other.study_date)), default=""),
            self.accession or other.accession,
            self.frame_of_reference or other.frame_of_reference,
            its if mine is None else mine,
        )

    def of_the_study(self) -> Claims:
        """Only what is said of patient and study."""
        return replace(self, frame_of_reference="", series_number=None)

    def sort_key(self) -> tuple[str | int, ...]:
        """An order that no file's name or place has a part in."""
        (own_id, issuer, *others), name = self.patient.words, sorted(self.patient.name)
        return (
            *(self.study_date, self.study_uid, self.accession),
            *(own_id, issuer, " ".join(name), *others),
            -1 if self.series_number is None else self.series_number,
            self.frame_of_reference,
        )

    def stated(self) -> int:
        """How many of all things are said."""
        return sum(value not in ("", -1) for value in self.sort_key())


def one_each(claims: Iterable[Claims]) -> dict[Claims, Claims]:
    """For each claim, all that is known of what it is of: equal for those that agree.

    A claim that says less than others joins them only where all it could join are one.
    """
    distinct = sorted(set(claims), key=lambda c: (-c.stated(), c.sort_key()))
    if len(distinct) == 1 or len(distinct) > _MOST_COMPARED:
        return {claim: claim for claim in distinct}
    known: list[Claims] = []
    members: list[list[Claims]] = []
    for claim in distinct:
        fitting = [k for k, other in enumerate(known) if claim.agrees_with(other)]
        if len(fitting) == 1:
            (k,) = fitting
            known[k] = known[k].with_more_of(claim)
            members[k].append(claim)
        else:
            known.append(claim)
            members.append([claim])
    return {claim: whole for whole, own in zip(known, members, strict=True) for claim in own}


def disagreements(claims: Sequence[Claims]) -> set[Subject]:
    """What any two of them disagree about."""
    few = len(claims) <= _MOST_COMPARED // 10
    pairs = combinations(claims, 2) if few else zip(repeat(claims[0]), claims[1:], strict=False)
    return {subject for one, other in pairs for subject in one.contradictions(other)}


def words_of_name(name: str) -> frozenset[str]:
    """``{"doe", "jane"}`` of ``"Doe^Jane"``, in whichever way it is written.

    Accents are left out, and ae, oe and ue are what stands in for ä, ö and ü: one scanner writes
    them and the next does not.
    """
    plain = name.casefold().translate(_LETTERS)
    plain = "".join(c for c in normalize("NFKD", plain) if not combining(c))
    return frozenset(re.findall(r"\w+", re.sub("([aou])e", r"\1", plain)))


def _differ(one: str, other: str) -> bool:
    return bool(one and other and one != other)


def _days_apart(one: str, other: str) -> int:
    if not one or not other:
        return 0
    return abs((date.fromisoformat(one) - date.fromisoformat(other)).days)
