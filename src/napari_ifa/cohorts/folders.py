"""A cohort as folders: one for each class, and above them one for each split if there are any."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from napari_ifa.cohorts.case import Case
from napari_ifa.cohorts.listing import Listing
from napari_ifa.cohorts.problems import ListProblem
from napari_ifa.cohorts.root import Root
from napari_ifa.cohorts.splits import is_split_name
from napari_ifa.errors import CohortError
from napari_ifa.reading.nifti import is_nifti_name
from napari_ifa.reading.picture import is_picture_name
from napari_ifa.reading.starts import is_dicom, start_of

_DICOM = (".dcm", ".dicom", ".ima")
#: What archive tools and file managers leave behind.
_CLUTTER = frozenset({"__macosx", "thumbs.db", "desktop.ini", "dicomdir", "@eadir"})
#: A data set for segmentation looks like a folder per class.
_NO_CLASSES = frozenset({"images", "masks"})
_EXPECTED = (
    "a folder per class holds NIfTI, DICOM, PNG or JPEG files, or a folder for each DICOM series"
)
_MASK = re.compile(r"(.+)_mask(?:_\d+)?", re.I)
#: Folders or kinds of files named in one note.
_MOST_NAMED = 8
_DIGITS = re.compile(r"([0-9]+)")


def read_folders(folder: Path, root: Root) -> Listing:
    """``CLASS/image`` or ``SPLIT/CLASS/image``, at any depth below the class's folder.

    A folder of DICOM files below it is one case. ``NAME_mask.png`` beside ``NAME.png`` is its
    lesion mask. Cases stand in natural order: image 2 before image 10. Where every image lies in a
    folder inside its class's, none is DICOM, and there are two such inner folders or more, each of
    these is a patient; equal names in two classes or splits are one. A note says so.

    Raises
    ------
    CohortError
        Where there is no such folder, or a link leads out of the root.
    """
    name = folder.resolve().name
    children = _folders(folder)
    if {child.casefold() for child in children} >= _NO_CLASSES:
        raise CohortError(ListProblem.IMAGES_AND_MASKS, folder=name)
    splits = [child for child in children if is_split_name(child) and _folders(folder / child)]
    notes: list[str] = []
    if splits:
        if beside := [child for child in children if child not in splits]:
            notes.append(
                f"Folders beside the splits are not read: {', '.join(beside[:_MOST_NAMED])}."
            )
        cases = {split: _classes(folder, split, root, notes) for split in splits}
    else:
        cases = {"": _classes(folder, "", root, notes)} if children else {}
    if patients := _inner_folders(cases):
        cases = {split: [_of_patient(case, split) for case in own] for split, own in cases.items()}
        notes.append(
            f"Every image lies in one of {patients} folders inside its class's; each of these is"
            " taken for a patient, and equal names for the same one."
        )
    return Listing(name, name, cases, _EXPECTED, tuple(notes))


def _inner_folders(splits: Mapping[str, Sequence[Case | CohortError]]) -> int:
    """How many folders stand for patients; 0 where the layout does not say so."""
    folders = {
        _inner_folder(case, split)
        for split, own in splits.items()
        for case in own
        if isinstance(case, Case)
    }
    return 0 if None in folders or len(folders) < 2 else len(folders)


def _inner_folder(case: Case, split: str) -> str | None:
    """The folder inside the class's that holds an image; None for DICOM, which states its own."""
    inner = case.id.split("/")[2 if split else 1 :]
    name = Path(inner[-1])
    is_dicom = not (is_nifti_name(name) or is_picture_name(name))
    return None if is_dicom or len(inner) < 2 else inner[0]


def _of_patient(case: Case | CohortError, split: str) -> Case | CohortError:
    return replace(case, group=_inner_folder(case, split)) if isinstance(case, Case) else case


def _classes(folder: Path, split: str, root: Root, notes: list[str]) -> list[Case | CohortError]:
    cases: list[Case | CohortError] = []
    others = Counter[str]()
    several, empty = 0, []
    for label in _folders(folder / split):
        places, of_no_kind = _images(folder / split / label, root)
        others += of_no_kind
        if not places:
            empty.append(label)
        images, masks = _apart(places)
        begin = f"{split}/{label}" if split else label
        for place, path in images:
            own = masks.get(place, [])
            several += len(own) > 1
            mask = own[0] if own else None
            cases.append(Case(f"{begin}/{place}", path, label, mask))
    where = f" of split '{split}'" if split else ""
    if empty:
        notes.append(f"Classes{where} without an image: {', '.join(empty[:_MOST_NAMED])}.")
    if others:
        kinds = ", ".join(f"{kind} ({n})" for kind, n in others.most_common(_MOST_NAMED))
        notes.append(f"Files{where} that are no image of a kind that is read: {kinds}.")
    if several:
        notes.append(f"{several} cases{where} have more than one mask; only the first is used.")
    return cases


def _images(folder: Path, root: Root) -> tuple[list[tuple[str, Path]], Counter[str]]:
    """The images of a class, by their places below its folder, and a count of what is none."""
    places: list[tuple[str, Path]] = []
    others = Counter[str]()
    # Real folders above each folder, so that a link to one of them is not followed round and round.
    parents = frozenset(root.path(folder, folder.name).parents)
    waiting: list[tuple[Path, str, frozenset[Path]]] = [(folder, "", parents)]
    while waiting:
        here, place, above = waiting.pop()
        real = root.path(here, here.name)
        if real in above:
            continue
        files = []
        for entry in _entries(here):
            kind = _kind(entry)
            if kind == "folder":
                waiting.append((here / entry.name, f"{place}{entry.name}/", above | {real}))
            elif kind == "file":
                files.append(entry)
            else:
                others["broken links"] += 1
        if place and _is_series(files):
            places.append((place.removesuffix("/"), real))
            continue
        for entry in files:
            if _is_image(entry):
                path = (
                    root.path(entry.path, entry.name) if entry.is_symlink() else real / entry.name
                )
                places.append((place + entry.name, path))
            else:
                others[_suffix(entry.name) or "no suffix"] += 1
    return sorted(places, key=lambda found: _natural(found[0])), others


def _apart(
    places: list[tuple[str, Path]],
) -> tuple[list[tuple[str, Path]], dict[str, list[Path]]]:
    """The images, and the masks of each."""
    by_stem = {_stem(place): place for place, _ in places}
    images, masks = [], dict[str, list[Path]]()
    for place, path in places:
        match = _MASK.fullmatch(_stem(place))
        if match and (owner := by_stem.get(match[1])):
            masks.setdefault(owner, []).append(path)
        else:
            images.append((place, path))
    return images, masks


def _folders(folder: Path) -> list[str]:
    return sorted((e.name for e in _entries(folder) if _kind(e) == "folder"), key=_natural)


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            yield from (e for e in entries if e.name[0] != "." and e.name.lower() not in _CLUTTER)
    except OSError as error:
        raise CohortError(
            ListProblem.UNREADABLE, file=folder.name, reason=error.strerror
        ) from error


def _kind(entry: os.DirEntry[str]) -> Literal["folder", "file", "neither"]:
    try:
        return "folder" if entry.is_dir() else "file" if entry.is_file() else "neither"
    except OSError:  # a link to itself
        return "neither"


def _is_series(files: list[os.DirEntry[str]]) -> bool:
    """Whether a folder holds DICOM files, by their names or, of one without suffix, its start."""
    if any(file.name.lower().endswith(_DICOM) for file in files):
        return True
    bare = [file for file in files if not _suffix(file.name)]
    return bool(bare) and is_dicom(start_of(Path(min(bare, key=lambda file: file.name))))


def _is_image(file: os.DirEntry[str]) -> bool:
    suffix = _suffix(file.name)
    path = Path(file.name)
    return (
        suffix in _DICOM
        or is_nifti_name(path)
        or is_picture_name(path)
        or (not suffix and is_dicom(start_of(Path(file))))
    )


def _suffix(name: str) -> str:
    """In small letters; empty for a number behind the last dot, as in a file named by its UID."""
    lower = name.lower()
    if lower.endswith(".nii.gz"):
        return ".nii.gz"
    suffix = os.path.splitext(lower)[1]
    return "" if suffix[1:].isdigit() else suffix


def _stem(place: str) -> str:
    suffix = _suffix(place.rpartition("/")[2])
    return place[: len(place) - len(suffix)]


def _natural(place: str) -> tuple[list[str | int], str]:
    """Orders numbers by value, and the same on every system: case and composed letters aside."""
    parts = _DIGITS.split(unicodedata.normalize("NFC", place).casefold())
    # Every other part is a number.
    return [int(part) if n % 2 else part for n, part in enumerate(parts)], place
