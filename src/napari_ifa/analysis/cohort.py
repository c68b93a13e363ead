"""The cases of a cohort, from a MONAI datalist."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_ifa.errors import CohortError


@dataclass(frozen=True)
class Case:
    """One image of a cohort.

    Attributes
    ----------
    id : the image's path relative to the cohort's root, or what the datalist calls it.
    path : of the image.
    label : class number or name, or None.
    mask : a lesion mask's path, or None.
    """

    id: str
    path: Path
    label: int | str | None = None
    mask: Path | None = None


@dataclass(frozen=True)
class Cohort:
    """Cases in a fixed order, under a name."""

    name: str
    cases: tuple[Case, ...]
    split: str | None = None

    def __len__(self) -> int:
        return len(self.cases)

    def manifest_sha256(self) -> str:
        """What tells one cohort from another: its cases' ids and labels, in any order."""
        rows = sorted(json.dumps([case.id, case.label]) for case in self.cases)
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()


def read_cohort(
    path: str | Path, split: str | None = None, root: str | Path | None = None
) -> Cohort:
    """Read a MONAI datalist JSON.

    Parameters
    ----------
    path : the file; its lists hold ``{"image": …, "label": …}``, and ``"mask"`` and ``"id"`` if
        there are any.
    split : the list's key (``"training"``, ``"validation"``, ``"test"``); all lists by default.
    root : folder that the images' paths are relative to; the file's own by default. A path that
        leads out of it is refused.

    Raises
    ------
    CohortError
        What is wrong, in which entry.
    """
    file = Path(path).expanduser()
    content = _read_json(file)
    base = Path(root).expanduser() if root is not None else file.parent
    splits = {key: value for key, value in content.items() if _is_split(value)}
    if split is not None and split not in splits:
        known = ", ".join(splits) or "none"
        raise CohortError(f"{file.name} has no split '{split}'; it has {known}.")
    chosen = [split] if split is not None else list(splits)
    entries = [(name, number, e) for name in chosen for number, e in enumerate(splits[name])]
    if not entries:
        raise CohortError(
            f"{file.name} lists no case; a MONAI datalist holds lists of"
            ' {"image": …, "label": …} under keys such as "training" and "test".'
        )
    cases = tuple(_case(entry, f"{file.name}, {name} {n}", base) for name, n, entry in entries)
    return Cohort(str(content.get("name") or file.stem), cases, split)


def _read_json(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise CohortError(f"{file.name}: no such file; give a MONAI datalist (JSON).")
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CohortError(f"{file.name} is not JSON; give a MONAI datalist.") from error
    if not isinstance(content, dict):
        raise CohortError(f"{file.name} holds no splits; a MONAI datalist is a table of lists.")
    return content


def _is_split(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(e, Mapping) and "image" in e for e in value)


def _case(entry: Mapping[str, Any], where: str, base: Path) -> Case:
    image = entry["image"]
    if isinstance(image, list) and len(image) == 1:
        image = image[0]
    if not isinstance(image, str) or not image:
        raise CohortError(f"{where}: 'image' is not one path; list one image for each case.")
    label = entry.get("label")
    if isinstance(label, bool) or not (label is None or isinstance(label, int | str)):
        raise CohortError(f"{where}: the label is neither a class number nor a name; correct it.")
    mask = entry.get("mask")
    return Case(
        id=str(entry.get("id", image)),
        path=_below(base, image, where),
        label=label,
        mask=_below(base, mask, where) if isinstance(mask, str) and mask else None,
    )


def _below(base: Path, relative: str, where: str) -> Path:
    try:
        path = (base / relative).resolve()
    except (ValueError, OSError, RuntimeError) as error:
        raise CohortError(f"{where}: the path cannot be a file's; correct it.") from error
    if not path.is_relative_to(base.resolve()):
        raise CohortError(
            f"{where}: the path leads out of the cohort's folder; give that folder as the root."
        )
    return path
