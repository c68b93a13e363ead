"""A folder of sections: their tables and figures, a page to begin with, and what they come from."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_ifa.disk import whole_folder
from napari_ifa.errors import ExistingOutputError, IfaError
from napari_ifa.evaluation.section import Section
from napari_ifa.export.problems import MAKE_ROOM, ExportProblem, unwritten_said
from napari_ifa.export.tables.cells import clean_text
from napari_ifa.export.tables.pictures import pictures_of
from napari_ifa.export.tables.stored import (
    INDEX,
    INDEX_KIND,
    INDEX_VERSION,
    KEY,
    listed_files,
    read_folder,
)
from napari_ifa.export.tables.summary_page import SUMMARY, summary_page
from napari_ifa.export.tables.table import as_json, table_texts


def write_sections(
    sections: Sequence[Section],
    folder: str | Path,
    provenance: Mapping[str, str] | None = None,
    *,
    overwrite: bool = False,
) -> list[Path]:
    """Every section's table and figure, ``summary.md`` to begin with, and the index of them all.

    A section's files are called by its key: ``KEY.csv``, ``.json`` and ``.md``, and where it draws
    ``.png`` (150 dpi) and ``.svg``. The same sections give the same bytes. All is made elsewhere
    and then moved in; the files that an index already there lists are removed, and others left
    alone. Where something fails the folder is as it was.

    Parameters
    ----------
    provenance : what the sections were made from, as named texts; see
        ``napari_ifa.evaluation.summary.provenance``. It stands in the index and in words at the top
        of ``summary.md``.
    overwrite : replace sections that are there already; those of the same provenance are replaced
        in any case, for they are of the same work.

    Raises
    ------
    ExistingOutputError
        There are other sections already, and ``overwrite`` was not asked for.
    IfaError
        Where the folder cannot be written, or two sections share a key or have one that cannot be
        a file's name.
    """
    place = Path(os.path.expanduser(folder))
    _check_keys(sections)
    if not overwrite:
        check_sections(place, provenance)
    older = listed_files(place)
    try:
        with (
            unwritten_said(f"The results cannot be written to '{place}'", MAKE_ROOM),
            whole_folder(place, obsolete=[SUMMARY, *older] if older else ()) as part,
        ):
            names = _write_all(sections, part, dict(provenance or {}))
    except ExistingOutputError as error:
        raise IfaError(ExportProblem.NO_EARLIER_RESULT, file=error.path.name) from error
    return [place / name for name in names]


def check_sections(folder: Path, provenance: Mapping[str, str] | None = None) -> None:
    """Refuse a folder that holds sections of another provenance, or a page of such a name.

    Raises
    ------
    ExistingOutputError
        It does.
    """
    if not any((folder / name).exists() for name in (INDEX, SUMMARY)):
        return
    try:
        before = read_folder(folder).provenance
    except IfaError:
        before = {}
    expected = {clean_text(k): clean_text(v) for k, v in (provenance or {}).items()}
    if not before or before != expected:
        raise ExistingOutputError(folder)


def _check_keys(sections: Sequence[Section]) -> None:
    taken = {Path(name).stem for name in (INDEX, SUMMARY)}
    for section in sections:
        if not KEY.fullmatch(section.key) or section.key.lower() in taken:
            raise IfaError(ExportProblem.WRONG_KEY, key=section.key)
        taken.add(section.key.lower())


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
