"""One HTML file that tells what an analysis found: figures, tables, provenance and limits.

It holds everything it shows, runs no script and loads nothing, so that it reads the same in a mail,
on a hospital's file share and on paper. ``report.html.j2`` is the page. Every value in it is
escaped: names of classes, cases and models come from files of unknown origin.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from napari_ifa.analysis import Analysis
from napari_ifa.disk import whole_file
from napari_ifa.evaluation.section import HasSections, Section
from napari_ifa.evaluation.summary.cases import cohort_names
from napari_ifa.evaluation.summary.provenance import check_provenance, made_from
from napari_ifa.evaluation.summary.summary import headline_measure, summary_sections
from napari_ifa.export.problems import MAKE_ROOM, unwritten_said
from napari_ifa.export.tables import (
    NO_VALUE,
    TracedSections,
    cell_text,
    clean_text,
    column_names,
    is_number,
    pictures_of,
    smaller_png,
)
from napari_ifa.wording import counted

#: Rows that are seen at once, that stand behind a click, and columns of a table.
_SHOWN_ROWS, _MOST_ROWS, _MOST_COLUMNS = 20, 300, 24
#: Longest text of a cell, and of a sentence or an entry of the provenance.
_LONGEST_CELL, _LONGEST_TEXT = 200, 4000
#: An SVG up to this size is taken, and the PNG beside a larger one.
_GOOD_SVG = 250_000
#: A larger picture is made smaller, to this many pixels' width.
_LARGEST_PICTURE, _PAGE_WIDTH = 800_000, 1000

#: Colours by their use, for paper and bright screens, and for dark ones.
LIGHT = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "quiet": "#4d5560",
    "line": "#c9ced6",
    "says": "#eaf1fb",
    "says-edge": "#1f4fb0",
    "not": "#fdf0e6",
    "not-edge": "#a34708",
    "link": "#1a4fb3",
}
DARK = {
    "paper": "#14171b",
    "ink": "#e8eaed",
    "quiet": "#b3bac4",
    "line": "#444c57",
    "says": "#1b2738",
    "says-edge": "#8ab4f8",
    "not": "#33241a",
    "not-edge": "#f0a569",
    "link": "#8ab4f8",
}


class _Part(NamedTuple):
    """Sections under one heading, and a sentence of what they were made from."""

    head: str
    sections: tuple[Section, ...]
    origin: str = ""


class _Table(NamedTuple):
    """Texts of a table; the columns numbered in ``right`` hold numbers."""

    caption: str
    heads: list[str]
    rows: list[list[str]]
    right: frozenset[int] = frozenset()


def write_report(
    path: str | Path,
    analysis: Analysis,
    other: Analysis | None = None,
    evaluation: HasSections | Sequence[Section] | None = None,
    findings: HasSections | Sequence[Section] | None = None,
    sections: Sequence[Section] = (),
    *,
    overwrite: bool = False,
) -> Path:
    """Write a report of an analysis as one self-contained HTML file.

    Parameters
    ----------
    other : the same model's analysis of another cohort; it stands beside the first.
    evaluation, findings : their sections, as they are or read back with ``read_folder``, which also
        tells which cohorts they are of.
    sections : any others, at the end.
    overwrite : replace an HTML file that is there already.

    Raises
    ------
    AnalysisMismatchError
        Where the two analyses are not of one model and layer, or the evaluation or the findings
        say that they are of another model or method.
    ExistingOutputError
        There is one already, and ``overwrite`` was not asked for.
    IfaError
        Where the place cannot be written.
    """
    if isinstance(evaluation, TracedSections):
        check_provenance(evaluation.provenance, "evaluate", analysis, "The evaluation")
    if isinstance(findings, TracedSections):
        check_provenance(findings.provenance, "findings", analysis, "The folder of findings")
    parts = [
        _Part("The analysis", summary_sections(analysis, other)),
        _Part("Evaluation", _sections_of(evaluation), _origin(evaluation, analysis)),
        _Part("Findings", _sections_of(findings), _origin(findings, analysis)),
        _Part("Further results", tuple(sections)),
    ]
    target = Path(os.path.expanduser(path))
    page = _page(analysis, other, [part for part in parts if part.sections]).encode()
    with (
        unwritten_said(f"{target.name} cannot be written to its folder", MAKE_ROOM),
        whole_file(target, "HTML", overwrite=overwrite, needed=len(page)) as part,
    ):
        part.write_bytes(page)
    return target


def _sections_of(source: HasSections | Sequence[Section] | None) -> tuple[Section, ...]:
    if source is None:
        return ()
    return tuple(source) if isinstance(source, Sequence) else tuple(source.sections)


def _origin(source: HasSections | Sequence[Section] | None, analysis: Analysis) -> str:
    if not isinstance(source, TracedSections):
        return ""
    return made_from(source.provenance, analysis) or (
        "The folder does not tell of which model and cohort this is."
    )


def _page(analysis: Analysis, other: Analysis | None, parts: Sequence[_Part]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("napari_ifa", "export"),
        autoescape=True,
        finalize=_plain,
        undefined=StrictUndefined,
        keep_trailing_newline=True,
    )
    names = cohort_names(analysis, other)
    named = list(zip(names, [analysis] if other is None else [analysis, other], strict=True))
    numbers = count(1)
    return environment.get_template("report.html.j2").render(
        title=_short(f"Integrated feature analysis: {_model_name(analysis)}"),
        cohorts=_short(" and ".join(names)),
        created=_short(analysis.dataset.attrs.get("created", "")),
        purpose="For research. Not for primary diagnosis.",
        lead=_short(_in_plain_words(named)),
        parts=[
            {
                "head": part.head,
                "origin": _short(part.origin),
                "sections": [_shown(f"section-{next(numbers)}", one) for one in part.sections],
            }
            for part in parts
        ],
        provenance=_provenance(named),
        limits=_LIMITS,
        light=LIGHT,
        dark=DARK,
    )


_LIMITS = (
    "This report describes a model on the cohorts named above. It holds for this model, this layer"
    " and this method, and says nothing of one patient's diagnosis.",
    "Class activation tells which parts of an image and which features a model's answer rests on."
    " It does not tell whether the answer is right, nor that what lies there caused the disease.",
    "Case ids are shown as the cohort's list has them, relative to its folder; they should carry"
    " no patient's name.",
)


def _in_plain_words(named: Sequence[tuple[str, Analysis]]) -> str:
    analysis = named[0][1]
    run = " and ".join(f"{counted(len(one.case_ids), 'case')} of “{name}”" for name, one in named)
    sentences = [f"The model {_model_name(analysis)} was run on {run}."]
    for name, one in named:
        sentences.append(f"{f'In “{name}” it' if len(named) > 1 else 'It'} {_how_well(one)}.")
    classes = len(analysis.class_names)
    each = "For each class" if classes > 1 else "For its answer"
    sentences.append(
        f"{each} the report gives the common scale on which its maps are coloured, so that one"
        " colour means the same amount of evidence in every patient, and tells which of the"
        f" {analysis.features} features of layer {analysis.dataset.attrs.get('model_layer', '')}"
        " the evidence comes from. It describes the model, not a patient, and cannot by itself show"
        " that the model is right for the right reason."
    )
    return " ".join(sentences)


def _how_well(analysis: Analysis) -> str:
    m = headline_measure(analysis)
    if m is None:
        return "cannot be said to answer well or badly: there is nothing to compare with"
    if analysis.is_regression:
        off = cell_text(m.value)
        return f"was off by {off} on average from the value given, in {m.cases} cases"
    interval = ""
    if np.isfinite(m.low):
        interval = f", 95 % interval {100 * m.low:.0f} % to {100 * m.high:.0f} %"
    return (
        f"answered {round(m.value * m.cases)} of the {m.cases} cases with a label rightly"
        f" ({100 * m.value:.0f} %{interval})"
    )


def _shown(identifier: str, section: Section) -> dict[str, Any]:
    """What the template shows of a section."""
    rows, names = section.rows, column_names(section.rows, section.columns)
    shown = names[:_MOST_COLUMNS]
    tables, left_out = [], []
    if rows and names:
        kept = min(len(rows), _MOST_ROWS)
        tables.append(_table(rows[:_SHOWN_ROWS], shown, counted(len(rows), "row")))
        if kept > _SHOWN_ROWS:
            span = f"rows {_SHOWN_ROWS + 1} to {kept}"
            tables.append(_table(rows[_SHOWN_ROWS:kept], shown, span))
        if kept < len(rows):
            left_out.append(f"{len(rows) - kept} of {len(rows)} rows")
        if len(shown) < len(names):
            left_out.append(f"{len(names) - len(shown)} of {len(names)} columns")
    return {
        "id": identifier,
        "title": _short(section.title),
        "meaning": _short(section.meaning),
        "limits": _short(section.limits),
        "picture": _picture(section),
        "alt": _short(f"Figure: {section.title}. {section.meaning}", 1000),
        "tables": tables,
        "left_out": " and ".join(left_out),
        "columns": [
            (_head(name), _short(section.columns[name]))
            for name in shown
            if tables and name in section.columns
        ],
    }


def _picture(section: Section) -> str:
    """The figure as a data address: in an image, unlike inline, an SVG can run and load nothing."""
    svg = pictures_of(section, ["svg"]).get("svg")
    kind, content = "svg+xml", svg
    if svg is None or len(svg) > _GOOD_SVG:
        png = pictures_of(section, ["png"]).get("png")
        if png is not None:
            kind, content = (
                "png",
                png if len(png) <= _LARGEST_PICTURE else smaller_png(png, _PAGE_WIDTH),
            )
    if content is None:
        return ""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def _table(rows: Sequence[Mapping[str, Any]], names: Sequence[str], caption: str) -> _Table:
    return _Table(
        caption,
        [_head(name) for name in names],
        [[_short(cell_text(row.get(n), n), _LONGEST_CELL) for n in names] for row in rows],
        frozenset(c for c, n in enumerate(names) if any(is_number(row.get(n)) for row in rows)),
    )


def _head(name: str) -> str:
    return _short(str(name).replace("_", " "), _LONGEST_CELL)


def _provenance(named: Sequence[tuple[str, Analysis]]) -> _Table:
    attributes = [one.dataset.attrs for _, one in named]
    rows = []
    for key in dict.fromkeys([*_PROVENANCE, *(key for a in attributes for key in a)]):
        texts = [_short(a.get(key, "")) for a in attributes]
        if any(texts):
            rows.append([_head(_PROVENANCE.get(key, key)), *(text or NO_VALUE for text in texts)])
    rows.append(["cases", *(str(len(one.case_ids)) for _, one in named)])
    heads = ["entry", *(_short(name) for name, _ in named)]
    return _Table("As the analysis file has it", heads, rows)


#: The entries that come first, and what they are called.
_PROVENANCE = {
    "model_name": "model",
    "model_weights": "SHA-256 of its weights",
    "model_layer": "layer",
    "method": "method",
    "model_class_names": "class names",
    "cohort_name": "cohort",
    "cohort_split": "split",
    "cohort_sha256": "SHA-256 of the cohort's list",
    "created": "created",
    "versions": "versions",
    "format_version": "format of the analysis file",
    "model_preprocessing": "preprocessing",
    "model_network": "network",
    "model_settings": "settings that these refer to",
    "model_code": "SHA-256 of the model's own code",
}


def _model_name(analysis: Analysis) -> str:
    name = str(analysis.dataset.attrs.get("model_name", ""))
    return f"“{name}”" if name else "without a name"


def _short(value: Any, longest: int = _LONGEST_TEXT) -> str:
    text = clean_text(str(value))
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _plain(value: Any) -> Any:
    """What every value of the template goes through before it is escaped."""
    return value if hasattr(value, "__html__") else clean_text(str(value))
