"""What a reader of results should know of the list of cases itself."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from napari_ifa.cohorts.case import Case
from napari_ifa.cohorts.problems import CohortProblem
from napari_ifa.errors import CohortError
from napari_ifa.wording import counted

LabelKind = Literal["class", "value", "none"]

#: What tells one image from another: its path, and its place in a file that holds many.
_Image = tuple[str, str | None, int | None]
#: More classes than this are counted, not named.
_MOST_NAMED = 20
_GROUPS = "patients or groups"


def label_kind(cases: Sequence[Case]) -> LabelKind:
    """What labels are: classes by number or name, values, or none at all.

    Whole numbers may be meant as values too; then the model says so.

    Raises
    ------
    CohortError
        For values among class names.
    """
    kinds = {type(case.label) for case in cases}
    if float in kinds and str in kinds:
        raise CohortError(CohortProblem.NAMES_AND_VALUES)
    if float in kinds:
        return "value"
    return "class" if kinds & {int, str} else "none"


def cohort_notes(splits: Mapping[str, Sequence[Case]], chosen: Sequence[str]) -> tuple[str, ...]:
    """Sentences on repeated cases, cases in two splits, missing labels, and the labels seen.

    Parameters
    ----------
    splits : the cases of all splits by name.
    chosen : the splits that make up the cohort.

    Raises
    ------
    CohortError
        For values among class names.
    """
    cases = [case for name in chosen for case in splits[name]]
    images = {name: [_image(case) for case in own] for name, own in splits.items()}
    return (
        *(note for name in chosen for note in _repeated(name, splits[name], images[name])),
        *_shared(splits, images, chosen),
        *_groups_seen(cases),
        *_shared_groups(splits, chosen),
        *_unlabelled(cases),
        *_labels_seen(cases),
    )


def _image(case: Case) -> _Image:
    return os.path.normcase(case.path), case.member, case.item


def _repeated(name: str, cases: Sequence[Case], images: Sequence[_Image]) -> Iterator[str]:
    where = f" in split '{name}'" if name else ""
    count = Counter(images)
    if len(count) < len(cases):
        first = next(case.id for case, image in zip(cases, images, strict=True) if count[image] > 1)
        number = sum(n > 1 for n in count.values())
        yield (
            f"{counted(number, 'image is', 'images are')} listed more than once{where} (the first"
            f" is {first}) and {'counts' if number == 1 else 'count'} as often."
        )
    ids = Counter(case_id for case_id, _ in set(zip((c.id for c in cases), images, strict=True)))
    if shared := [case_id for case_id in dict.fromkeys(c.id for c in cases) if ids[case_id] > 1]:
        stand = counted(len(shared), "id stands", "ids stand")
        yield f"{stand} for more than one image{where} (the first is {shared[0]})."


def _shared(
    splits: Mapping[str, Sequence[Case]],
    images: Mapping[str, Sequence[_Image]],
    chosen: Sequence[str],
) -> Iterator[str]:
    known = {name: {*images[name], *(case.id for case in own)} for name, own in splits.items()}
    for split, other in _pairs(list(splits), chosen):
        listed, there = list(zip(splits[split], images[split], strict=True)), known[other]
        both = [case.id for case, image in listed if image in there or case.id in there]
        if both:
            yield (
                f"{len(both)} of {counted(len(listed), 'case', 'cases')} of {_split(split)}"
                f" also {'stands' if len(both) == 1 else 'stand'} in {_split(other)} by image"
                f" or id (the first is {both[0]}): a model that was trained on the one has"
                " seen them already."
            )


def _shared_groups(splits: Mapping[str, Sequence[Case]], chosen: Sequence[str]) -> Iterator[str]:
    """Patients on both sides; they are counted, never named."""
    groups = {name: {case.group for case in own} - {None} for name, own in splits.items()}
    for split, other in _pairs(list(splits), chosen):
        both = groups[split] & groups[other]
        if both:
            cases = sum(case.group in both for case in splits[split])
            yield (
                f"{len(both)} of {counted(len(groups[split]), 'patient or group', _GROUPS)} of"
                f" {_split(split)}, with {cases} of its {len(splits[split])} cases, also"
                f" {'stands' if len(both) == 1 else 'stand'} in {_split(other)}: a model that was"
                " trained on the one has seen them already."
            )


def _pairs(names: Sequence[str], chosen: Sequence[str]) -> list[tuple[str, str]]:
    """Each chosen split with every other; of two chosen ones, once is enough."""
    return [
        (split, other)
        for split in chosen
        for other in names
        if other != split and not (other in chosen and names.index(other) > names.index(split))
    ]


def _groups_seen(cases: Sequence[Case]) -> Iterator[str]:
    count = Counter(case.group for case in cases)
    unknown = count.pop(None, 0)
    if not count:
        return
    least, most = min(count.values()), max(count.values())
    each = f"{least} to {most} cases" if least < most else counted(most, "case")
    without = f"; {unknown} of {len(cases)} cases belong to none" if unknown else ""
    yield f"{counted(len(count), 'patient or group', _GROUPS)}, of {each} each{without}."


def _unlabelled(cases: Sequence[Case]) -> Iterator[str]:
    missing = sum(case.label is None for case in cases)
    if missing and missing == len(cases):
        yield (
            "No case has a label: there is no accuracy and no importance of the true class (eq. 4)."
        )
    elif missing:
        yield (
            f"Labels are missing for {missing} of {len(cases)} cases: accuracy and the importance"
            " of the true class (eq. 4) leave them out."
        )


def _labels_seen(cases: Sequence[Case]) -> Iterator[str]:
    kind = label_kind(cases)
    labels = [case.label for case in cases if case.label is not None]
    # Numbers before names.
    count = sorted(Counter(labels).items(), key=lambda c: (isinstance(c[0], str), c[0]))
    if kind == "value":
        values = [float(label) for label in labels]
        yield f"Labels are values from {min(values):g} to {max(values):g}."
    elif len(count) > _MOST_NAMED:
        numbers = [n for _, n in count]
        yield f"{len(count)} classes, of {min(numbers)} to {max(numbers)} cases each."
    elif kind == "class":
        yield "Classes: " + ", ".join(f"{label} ({n})" for label, n in count) + "."


def _split(name: str) -> str:
    return f"split '{name}'" if name else "no split"
