"""Cohorts whose images stand in one array: idx pairs as of MNIST, and npz files.

A 2D image is ``[rows, columns]`` or ``[rows, columns, 3]``, a 3D image ``[slices, rows, columns]``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from napari_ifa.cohorts.array_file import (
    array_header,
    npz_members,
    read_array,
    size_text,
)
from napari_ifa.cohorts.case import Case, Label, label_of
from napari_ifa.cohorts.listing import Listing
from napari_ifa.cohorts.problems import ListProblem
from napari_ifa.cohorts.splits import is_split_name
from napari_ifa.errors import CohortError

_IDX_NAME = re.compile(
    r"(?P<split>.*?)[-_.]?(?P<kind>images|labels)[-_.]idx\d[-_.]ubyte(\.gz)?", re.I
)
_IMAGE_WORDS = frozenset({"images", "image", "x"})
_LABEL_WORDS = frozenset({"labels", "label", "targets", "target", "y"})
_EXPECTED = "images stand in an array [N, rows, columns] with their labels [N] beside them"
#: Where an array stands: the file, and its name in an npz file.
_Place = tuple[Path, str | None]


def is_idx_name(path: Path) -> bool:
    """True for ``…-images-idx3-ubyte``, ``…-labels-idx1-ubyte`` and both with ``.gz``."""
    return _IDX_NAME.fullmatch(path.name) is not None


def read_idx(path: Path) -> Listing:
    """The pair that an idx file belongs to, or every pair of a folder: each is a split.

    Raises
    ------
    CohortError
        Where images are missing, or images and labels do not fit.
    """
    folder = path if path.is_dir() else path.parent
    places: dict[str, dict[str, _Place]] = {"images": {}, "labels": {}}
    for file in sorted(folder.iterdir()):
        if match := _IDX_NAME.fullmatch(file.name):
            # An unpacked file stands before its packed twin.
            places[match["kind"].lower()].setdefault(match["split"], (file, None))
    wanted = _IDX_NAME.fullmatch(path.name) if path != folder else None
    images = {
        split: place
        for split, place in places["images"].items()
        if wanted is None or split == wanted["split"]
    }
    if not images:
        raise CohortError(ListProblem.NO_IMAGE_FILE, file=path.name)
    return _listing(folder.resolve().name, path.name, images, places["labels"])


def read_npz(path: Path) -> Listing:
    """The images of an npz file, and their labels where it has any.

    Arrays are called ``images`` and ``labels`` or ``x`` and ``y``, with the split's name where
    there are several: ``train_images``, ``x_test``.

    Raises
    ------
    CohortError
        Where there are none of these names, or images and labels do not fit.
    """
    members = npz_members(path)
    images: dict[str, _Place] = {}
    labels: dict[str, _Place] = {}
    for member in members:
        kind, split = _meaning(member)
        if kind is None:
            continue
        place = images if kind == "image" else labels
        if split in place:
            raise CohortError(
                ListProblem.ARRAYS_ALIKE,
                file=path.name,
                first=place[split][1],
                second=member,
                meaning=kind,
            )
        place[split] = (path, member)
    if not images:
        raise CohortError(ListProblem.NO_IMAGE_ARRAY, file=path.name, members=_named(members))
    return _listing(path.stem, path.name, images, labels)


def _listing(
    name: str, source: str, images: Mapping[str, _Place], labels: Mapping[str, _Place]
) -> Listing:
    splits = {split: _cases(split, place, labels.get(split)) for split, place in images.items()}
    return Listing(name, source, splits, _EXPECTED)


def _cases(split: str, images: _Place, labels: _Place | None) -> list[Case | CohortError]:
    header = array_header(*images)
    number, shape = header.shape[0] if header.shape else 0, header.shape[1:]
    if len(shape) not in (2, 3) or 0 in shape or header.dtype.kind not in "biuf":
        raise CohortError(
            ListProblem.NOT_IMAGES,
            file=images[0].name,
            shape=size_text(header.shape),
            dtype=str(header.dtype),
        )
    truth: Iterable[Label] = [None] * number if labels is None else _labels(labels, number)
    path, member = images[0].resolve(), images[1]
    # Numbers alone would make train's item 7 the same case as test's.
    begin = f"{split} item" if split else "item"
    return [Case(f"{begin} {n:05d}", path, label, None, n, member) for n, label in enumerate(truth)]


def _labels(place: _Place, number: int) -> list[Label]:
    """Labels ``[N]`` or ``[N, 1]``."""
    header = array_header(*place)
    where = ", ".join(filter(None, (place[0].name, place[1])))
    if len(header.shape) == 2 and header.shape[1] > 1:
        raise CohortError(ListProblem.LABELS_PER_CASE, where=where, labels=header.shape[1])
    if header.shape not in ((number,), (number, 1)):
        found = size_text(header.shape) or "no"
        raise CohortError(ListProblem.NUMBER_OF_LABELS, where=where, labels=found, images=number)
    values = read_array(header).reshape(number)
    if header.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if header.dtype.kind == "b":
        values = values.astype(np.uint8)
    return [label_of(value, f"{where} {n}") for n, value in enumerate(values.tolist())]


def _meaning(member: str) -> tuple[str | None, str]:
    """``("image" or "label" or None, split)`` of an array by its name."""
    words = [word for word in re.split(r"[\W_]+", member.casefold()) if word]
    # "xtrain" for "x_train"
    if words and words[0][0] in "xy" and is_split_name(words[0][1:]):
        words = [words[0][0], words[0][1:], *words[1:]]
    rest = [word for word in words if word not in _IMAGE_WORDS | _LABEL_WORDS]
    if len(words) - len(rest) != 1:
        return None, ""
    kind = "image" if _IMAGE_WORDS & set(words) else "label"
    return kind, "-".join(rest)


def _named(members: list[str]) -> str:
    quoted = [f"'{member}'" for member in members[:8]]
    return ", ".join(quoted) + (", …" if len(members) > 8 else "") if quoted else "no array at all"
