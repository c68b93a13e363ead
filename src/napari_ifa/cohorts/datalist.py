"""A cohort as a MONAI datalist: JSON with a list of images and labels for each split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from napari_ifa.cohorts.case import Case, group_text, group_title, label_of, sole
from napari_ifa.cohorts.listing import Listing
from napari_ifa.cohorts.problems import ListProblem
from napari_ifa.cohorts.root import Root
from napari_ifa.cohorts.splits import is_split_name
from napari_ifa.errors import CohortError

_EXPECTED = (
    'a MONAI datalist holds lists of {"image": …, "label": …} under keys such as "training" and'
    ' "test"'
)


def read_datalist(file: Path, root: Root) -> Listing:
    """Every list of a MONAI datalist; a file that is one plain list has no splits.

    Raises
    ------
    CohortError
        Where the file holds no such list.
    """
    content = _read_json(file)
    table = content if isinstance(content, dict) else {"": content}
    lists = {str(key): value for key, value in table.items() if _is_split(str(key), value)}
    splits = {
        name: [
            _listed(entry, f"{file.name}, {name} {n}" if name else f"{file.name}, entry {n}", root)
            for n, entry in enumerate(entries)
        ]
        for name, entries in lists.items()
    }
    title = table.get("name")
    return Listing(str(title) if title else file.stem, file.name, splits, _EXPECTED)


def _read_json(file: Path) -> Any:
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise CohortError(ListProblem.NOT_JSON, file=file.name) from error
    if not isinstance(content, dict) and not _is_split("", content):
        raise CohortError(ListProblem.NO_SPLITS, file=file.name)
    return content


def _is_split(key: str, value: Any) -> bool:
    if not isinstance(value, list):
        return False
    # A list of texts may be anything, but the Decathlon's datalists name test images like that.
    return (
        not value
        or any(isinstance(entry, dict) and "image" in entry for entry in value)
        or (is_split_name(key) and all(isinstance(entry, str) for entry in value))
    )


def _listed(entry: Any, where: str, root: Root) -> Case | CohortError:
    try:
        return _case({"image": entry} if isinstance(entry, str) else entry, where, root)
    except CohortError as error:
        return error


def _case(entry: Any, where: str, root: Root) -> Case:
    image = sole(entry.get("image")) if isinstance(entry, dict) else None
    if not isinstance(image, str) or not image:
        raise CohortError(ListProblem.NOT_ONE_IMAGE, where=where)
    mask, name = sole(entry.get("mask")), entry.get("id")
    title = group_title(key for key in map(str, entry) if key in entry)
    return Case(
        id=str(image if name is None else name),
        path=root.path(image, where),
        label=label_of(entry.get("label"), where),
        mask=root.path(mask, where) if isinstance(mask, str) and mask else None,
        group=None if title is None else group_text(entry[title], where),
    )
