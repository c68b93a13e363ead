"""A cohort: cases in a fixed order, from whatever lists them."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

from napari_ifa.cohorts.case import Case
from napari_ifa.cohorts.checks import LabelKind, cohort_notes, label_kind
from napari_ifa.cohorts.datalist import read_datalist
from napari_ifa.cohorts.folders import read_folders
from napari_ifa.cohorts.listing import Listing
from napari_ifa.cohorts.problems import ListProblem
from napari_ifa.cohorts.root import Root
from napari_ifa.cohorts.stack import is_idx_name, read_idx, read_npz
from napari_ifa.cohorts.table import read_table
from napari_ifa.errors import CohortError

_KINDS = "give a MONAI datalist (JSON), a CSV table, a folder per class, an idx pair or an npz file"
_TABLES = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class Cohort:
    """Cases in a fixed order, under a name.

    ``notes`` are sentences on what was found in the list, such as a case that stands in two splits.
    """

    name: str
    cases: tuple[Case, ...]
    split: str | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.cases)

    @property
    def label_kind(self) -> LabelKind:
        """``"class"`` (numbers or names), ``"value"`` or ``"none"``; CohortError for a mixture."""
        return label_kind(self.cases)

    def manifest_sha256(self) -> str:
        """What tells one cohort from another: its cases' ids and labels, in any order."""
        rows = sorted(json.dumps([case.id, case.label]) for case in self.cases)
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def read_cohort(
    path: str | Path, split: str | None = None, root: str | Path | None = None
) -> Cohort:
    """Read a list of cases; only lists and headers are opened, no image.

    Parameters
    ----------
    path : what lists the cases:

        * a MONAI datalist (JSON); its lists hold ``{"image": …, "label": …}``, and ``"mask"``,
          ``"id"`` and ``"patient"`` or ``"group"`` if there are any;
        * a CSV table with columns ``image`` and ``label``, and ``mask``, ``id``, ``split``,
          ``patient`` if there are any;
        * a folder with one folder per class, or with one per split that holds these;
        * an idx file or the folder of such files, as MNIST's;
        * an npz file with arrays ``images`` and ``labels``.
    split : its name, such as ``"training"`` or ``"test"``; all by default.
    root : folder that the images' paths are relative to; by default the list's own. A path that
        leads out of it is refused.

    Raises
    ------
    CohortError
        What is wrong, in which entry.
    """
    place = Path(os.path.expanduser(path)).absolute()
    listing = _listing(place, root)
    chosen = listing.chosen(split)
    cases = {
        name: listing.cases(name) if name in chosen else listing.sound_cases(name)
        for name in listing.splits
    }
    return Cohort(
        name=listing.name,
        cases=tuple(case for name in chosen for case in cases[name]),
        split=None if split is None else chosen[0],
        notes=(*listing.notes, *cohort_notes(cases, chosen)),
    )


def cohort_splits(path: str | Path) -> dict[str, int]:
    """How many cases each split of a list holds, by its name; ``""`` for those in none.

    Raises
    ------
    CohortError
        Where it lists no case, or cannot be read.
    """
    listing = _listing(Path(os.path.expanduser(path)).absolute(), None)
    return {name: len(listing.splits[name]) for name in listing.chosen(None)}


def _listing(place: Path, root: str | Path | None) -> Listing:
    try:
        is_folder, is_file = place.is_dir(), place.is_file()
    except (OSError, ValueError):
        is_folder = is_file = False
    if not is_folder and not is_file:
        raise CohortError(ListProblem.NOT_FOUND, file=place.name)
    below = _root(place if is_folder else place.parent, root)
    try:
        return _in_folder(place, below) if is_folder else _in_file(place, below)
    except OSError as error:
        raise CohortError(ListProblem.UNREADABLE, file=place.name, reason=error.strerror) from error


def _in_folder(folder: Path, root: Root) -> Listing:
    holds_idx = any(is_idx_name(child) for child in folder.iterdir())
    return read_idx(folder) if holds_idx else read_folders(folder, root)


def _in_file(file: Path, root: Root) -> Listing:
    suffix = file.suffix.lower()
    if is_idx_name(file):
        return read_idx(file)
    if suffix == ".npz":
        return read_npz(file)
    if suffix == ".json" or _starts_as_json(file):
        return read_datalist(file, root)
    if suffix in _TABLES:
        return read_table(file, root)
    raise CohortError(ListProblem.NOT_A_LIST, file=file.name)


def _root(own: Path, given: str | Path | None) -> Root:
    folder = own if given is None else Path(os.path.expanduser(given)).absolute()
    if not folder.is_dir():
        raise CohortError(ListProblem.NO_ROOT, folder=folder.name)
    return Root(folder)


def _starts_as_json(file: Path) -> bool:
    with file.open("rb") as stream:
        return stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[")
