"""A folder of sections: their tables and figures, a page to begin with, and what they come from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

from napari_ifa.analysis.section import Section
from napari_ifa.errors import IfaError
from napari_ifa.tables.cells import clean_text
from napari_ifa.tables.pictures import pictures_of
from napari_ifa.tables.stored import INDEX, INDEX_KIND, INDEX_VERSION, KEY, listed_files
from napari_ifa.tables.summary_page import SUMMARY, summary_page
from napari_ifa.tables.table import as_json, table_texts


def write_sections(
    sections: Sequence[Section],
    folder: str | Path,
    provenance: Mapping[str, str] | None = None,
) -> list[Path]:
    """Every section's table and figure, ``summary.md`` to begin with, and the index of them all.

    A section's files are called by its key: ``KEY.csv``, ``.json`` and ``.md``, and where it draws
    ``.png`` (150 dpi) and ``.svg``. The same sections give the same bytes. All is made in a
    temporary folder within the folder and then moved in, the index, ``sections.json``, last; the
    files that an index already there lists are removed, and others left alone. Where something
    fails the folder is as it was.

    Parameters
    ----------
    provenance : what the sections were made from, as named texts; see
        ``napari_ifa.analysis.summary.provenance``. It stands in the index and in words at the top
        of ``summary.md``.

    Raises
    ------
    IfaError
        Where the folder cannot be written, or two sections share a key or have one that cannot be
        a file's name.
    """
    place = Path(folder).expanduser()
    _check_keys(sections)
    made = _missing_folders(place)
    part: Path | None = None
    try:
        place.mkdir(parents=True, exist_ok=True)
        part = Path(mkdtemp(prefix=".napari-ifa-", dir=place))
        names = _write_all(sections, part, dict(provenance or {}))
        _exchange(part, place, names, listed_files(place))
        made = []
    except OSError as error:
        raise IfaError(
            f"The results cannot be written to '{place}' ({error.strerror or error}); make room"
            " there or choose another folder."
        ) from error
    finally:
        if part is not None:
            shutil.rmtree(part, ignore_errors=True)
        for empty in made:
            with suppress(OSError):
                empty.rmdir()
    return [place / name for name in names]


def _check_keys(sections: Sequence[Section]) -> None:
    taken = {Path(name).stem for name in (INDEX, SUMMARY)}
    for section in sections:
        if not KEY.fullmatch(section.key) or section.key.lower() in taken:
            raise IfaError(
                f"A section called '{section.key}' cannot be written; a key is made of letters,"
                " digits, - and _, and stands once."
            )
        taken.add(section.key.lower())


def _missing_folders(place: Path) -> list[Path]:
    """The folders that making ``place`` would make, the innermost first."""
    return [folder for folder in (place, *place.parents) if not folder.exists()]


def _write_all(sections: Sequence[Section], part: Path, provenance: Mapping[str, str]) -> list[str]:
    """Write all files into a folder; their names, the index last."""
    names: list[str] = []

    def write(name: str, content: str | bytes) -> None:
        (part / name).write_bytes(content.encode() if isinstance(content, str) else content)
        names.append(name)

    with_figure: set[str] = set()
    for section in sections:
        for suffix, text in table_texts(section.rows, section.columns).items():
            write(f"{section.key}.{suffix}", text)
        for suffix, picture in pictures_of(section).items():
            with_figure.add(section.key)
            write(f"{section.key}.{suffix}", picture)
    write(SUMMARY, summary_page(sections, with_figure, provenance))
    index = {
        "kind": INDEX_KIND,
        "version": INDEX_VERSION,
        "provenance": {clean_text(k): clean_text(v) for k, v in provenance.items()},
        "sections": [
            {
                "key": section.key,
                "title": clean_text(section.title),
                "meaning": clean_text(section.meaning),
                "limits": clean_text(section.limits),
                "columns": {clean_text(k): clean_text(v) for k, v in section.columns.items()},
                "figure": section.key in with_figure,
            }
            for section in sections
        ],
    }
    write(INDEX, as_json(index))
    return names


def _exchange(part: Path, place: Path, names: Sequence[str], old: Sequence[str]) -> None:
    """Move new files in for the old ones; where one cannot be moved all is put back.

    The old index goes first and the new one comes last, so that a folder between the two is no
    folder of sections.
    """
    before = part / "before"
    before.mkdir()
    moved: list[str] = []
    try:
        for name in dict.fromkeys([INDEX, *names, *old]):
            if (place / name).is_file() or (place / name).is_symlink():
                os.replace(place / name, before / name)
        for name in names:
            os.replace(part / name, place / name)
            moved.append(name)
    except BaseException:
        for name in moved:
            os.replace(place / name, part / name)
        for file in sorted(before.iterdir(), key=lambda file: file.name == INDEX):
            os.replace(file, place / file.name)
        raise
