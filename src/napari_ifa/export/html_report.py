"""One HTML file that tells what an analysis found: figures, tables, provenance and limits.

It holds everything it shows, runs no script and loads nothing, so that it reads the same in a mail,
on a hospital's file share and on paper. Every text in it is escaped: names of classes, cases and
models come from files of unknown origin.
"""

from __future__ import annotations

import base64
import html
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from napari_ifa.analysis import Analysis
from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.summary.cases import cohort_names
from napari_ifa.evaluation.summary.provenance import check_provenance, made_from
from napari_ifa.evaluation.summary.summary import headline_measure, summary_sections
from napari_ifa.export.tables import (
    TracedSections,
    cell_text,
    clean_text,
    column_names,
    is_number,
    pictures_of,
    smaller_png,
    write_whole,
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
_PURPOSE = "For research. Not for primary diagnosis."

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

_STYLE = """
body{margin:0 auto;padding:1.5rem;max-width:62rem;background:var(--paper);color:var(--ink);
font:1rem/1.5 system-ui,"Segoe UI","Helvetica Neue",Arial,sans-serif;overflow-wrap:anywhere}
h1{font-size:1.7rem;line-height:1.25;margin:0 0 .3rem}
h2{font-size:1.35rem;margin:2.4rem 0 .6rem;border-bottom:1px solid var(--line)}
h3{font-size:1.1rem;margin:1.8rem 0 .5rem}
a{color:var(--link)}
.lead{font-size:1.08rem}
.quiet,figcaption,caption{color:var(--quiet);font-size:.9rem}
figure{margin:1rem 0}
figure img{max-width:100%;height:auto;background:#fff;padding:.4rem;box-sizing:border-box}
.words{border-left:.3rem solid;padding:.5rem .8rem;margin:.6rem 0}
.words strong{display:block}
.says{background:var(--says);border-color:var(--says-edge)}
.not{background:var(--not);border-color:var(--not-edge)}
.table{overflow-x:auto;margin:.8rem 0}
table{border-collapse:collapse;font-size:.86rem;font-variant-numeric:tabular-nums}
caption{text-align:left;padding-bottom:.3rem}
th,td{border-bottom:1px solid var(--line);padding:.22rem .5rem;text-align:left;vertical-align:top;
overflow-wrap:break-word;max-width:20em}
thead th{border-bottom:2px solid var(--line)}
tbody th{font-weight:normal}
.number{text-align:right;white-space:nowrap}
thead .number{white-space:normal}
dl{margin:.4rem 0}dt{font-weight:600}dd{margin:0 0 .35rem 1rem}
summary{cursor:pointer;padding:.2rem 0}
@page{size:A4;margin:16mm}
@media print{body{padding:0;max-width:none;font-size:10pt}
h2,h3,caption,thead{break-after:avoid}figure,.words,tr{break-inside:avoid}
figure img{max-height:225mm}.table{overflow:visible}table{font-size:8pt}
th,td{padding:.1rem .3rem;max-width:12em}nav{display:none}}
"""


class Part(NamedTuple):
    """Sections under one heading, and a sentence of what they were made from."""

    head: str
    sections: tuple[Section, ...]
    origin: str = ""


class HasSections(Protocol):
    """An evaluation, findings, or anything else that is made of sections."""

    @property
    def sections(self) -> tuple[Section, ...]:
        """In the order in which they are read."""


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
        Part("The analysis", summary_sections(analysis, other)),
        Part("Evaluation", _sections_of(evaluation), _origin(evaluation, analysis)),
        Part("Findings", _sections_of(findings), _origin(findings, analysis)),
        Part("Further results", tuple(sections)),
    ]
    target = Path(os.path.expanduser(path))
    page = "\n".join(_page(analysis, other, [part for part in parts if part.sections]))
    return write_whole(target, page + "\n", "HTML", overwrite=overwrite)


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


def _page(analysis: Analysis, other: Analysis | None, parts: Sequence[Part]) -> Iterator[str]:
    names = cohort_names(analysis, other)
    title = f"Integrated feature analysis: {_model_name(analysis)}"
    yield "<!DOCTYPE html>"
    yield '<html lang="en">\n<head>\n<meta charset="utf-8">'
    # A reader's browser refuses what this file should not hold, whatever got into it.
    yield (
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\';'
        " img-src data:; style-src 'unsafe-inline'\">"
    )
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    yield f"<title>{_text(title)}</title>\n<style>{_style()}</style>\n</head>\n<body>"
    yield f'<header>\n<h1>{_text(title)}</h1>\n<p class="quiet">{_text(" and ".join(names))}'
    yield f" · {_text(analysis.dataset.attrs.get('created', ''))} · {_PURPOSE}</p>"
    yield f'<p class="lead">{_text(_in_plain_words(analysis, other))}</p>\n</header>'
    numbers = count(1)
    numbered = [(part, [(f"section-{next(numbers)}", s) for s in part.sections]) for part in parts]
    yield '<nav aria-label="Contents">\n<ul>'
    for part, group in numbered:
        links = (f'<li><a href="#{i}">{_text(s.title)}</a></li>' for i, s in group)
        yield f"<li>{_text(part.head)}<ul>{''.join(links)}</ul></li>"
    yield '<li><a href="#provenance">Where this comes from</a></li>\n</ul>\n</nav>\n<main>'
    for part, group in numbered:
        yield f"<h2>{_text(part.head)}</h2>"
        if part.origin:
            yield f'<p class="quiet">{_text(part.origin)}</p>'
        for identifier, section in group:
            yield from _section(identifier, section)
    yield '<h2 id="provenance">Where this comes from</h2>'
    yield from _provenance(names, [analysis] if other is None else [analysis, other])
    yield "<h2>Limits of the whole</h2>"
    yield from (f"<p>{_text(sentence)}</p>" for sentence in _LIMITS)
    yield f"</main>\n<footer>\n<p><strong>{_PURPOSE}</strong></p>\n</footer>\n</body>\n</html>"


_LIMITS = (
    "This report describes a model on the cohorts named above. It holds for this model, this layer"
    " and this method, and says nothing of one patient's diagnosis.",
    "Class activation tells which parts of an image and which features a model's answer rests on."
    " It does not tell whether the answer is right, nor that what lies there caused the disease.",
    "Case ids are shown as the cohort's list has them, relative to its folder; they should carry"
    " no patient's name.",
)


def _style() -> str:
    light, dark = (
        "".join(f"--{name}:{value};" for name, value in colours.items())
        for colours in (LIGHT, DARK)
    )
    # Paper is white, whatever the screen.
    return (
        f":root{{color-scheme:light dark;{light}}}"
        f"@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{_STYLE}"
    )


def _in_plain_words(analysis: Analysis, other: Analysis | None) -> str:
    both = [analysis] if other is None else [analysis, other]
    run = " and ".join(
        f"{counted(len(one.case_ids), 'case')} of “{name}”"
        for name, one in zip(cohort_names(analysis, other), both, strict=True)
    )
    sentences = [f"The model {_model_name(analysis)} was run on {run}."]
    for name, one in zip(cohort_names(analysis, other), both, strict=True):
        sentences.append(f"{f'In “{name}” it' if other else 'It'} {_how_well(one)}.")
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


def _section(identifier: str, section: Section) -> Iterator[str]:
    yield f'<section aria-labelledby="{identifier}">'
    yield f'<h3 id="{identifier}">{_text(section.title)}</h3>'
    for kind, head, words in (
        ("says", "What this says", section.meaning),
        ("not", "What it does not say", section.limits),
    ):
        if words:
            yield f'<div class="words {kind}"><strong>{head}</strong> {_text(words)}</div>'
    picture = _picture(section)
    if picture:
        alt = _text(f"Figure: {section.title}. {section.meaning}", 1000)
        yield f'<figure><img src="{picture}" alt="{alt}"></figure>'
    yield from _table(section)
    yield "</section>"


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


def _table(section: Section) -> Iterator[str]:
    names = column_names(section.rows, section.columns)
    if not section.rows or not names:
        yield '<p class="quiet">There is nothing to list.</p>'
        return
    number = len(section.rows)
    shown, kept = names[:_MOST_COLUMNS], min(number, _MOST_ROWS)
    left_out = [f"{number - kept} of {number} rows"] if kept < number else []
    if len(shown) < len(names):
        left_out.append(f"{len(names) - len(shown)} of {len(names)} columns")
    yield from _rows(section.rows[:_SHOWN_ROWS], shown, counted(number, "row"))
    if kept > _SHOWN_ROWS:
        span = f"rows {_SHOWN_ROWS + 1} to {kept}"
        yield f"<details>\n<summary>Show {span}</summary>"
        yield from _rows(section.rows[_SHOWN_ROWS:kept], shown, span)
        yield "</details>"
    if left_out:
        yield (
            f'<p class="quiet">Left out here: {" and ".join(left_out)}. The table as CSV or JSON'
            " has them all.</p>"
        )
    described = [(name, section.columns[name]) for name in shown if name in section.columns]
    if described:
        yield "<details>\n<summary>What the columns hold</summary>\n<dl>"
        yield from (f"<dt>{_head(name)}</dt><dd>{_text(text)}</dd>" for name, text in described)
        yield "</dl>\n</details>"


def _rows(rows: Sequence[Mapping[str, Any]], names: Sequence[str], caption: str) -> Iterator[str]:
    right = {name for name in names if any(is_number(row.get(name)) for row in rows)}
    yield f'<div class="table"><table>\n<caption>{_text(caption)}</caption>\n<thead><tr>'
    for name in names:
        yield f'<th scope="col"{_side(name in right)}>{_head(name)}</th>'
    yield "</tr></thead>\n<tbody>"
    for row in rows:
        cells = [_text(cell_text(row.get(name), name), _LONGEST_CELL) for name in names]
        first = f'<th scope="row"{_side(names[0] in right)}>{cells[0]}</th>'
        rest = zip(names[1:], cells[1:], strict=True)
        others = "".join(f"<td{_side(name in right)}>{cell}</td>" for name, cell in rest)
        yield f"<tr>{first}{others}</tr>"
    yield "</tbody>\n</table></div>"


def _side(is_right: bool) -> str:
    return ' class="number"' if is_right else ""


def _head(name: str) -> str:
    return _text(str(name).replace("_", " "), _LONGEST_CELL)


def _provenance(names: Sequence[str], analyses: Sequence[Analysis]) -> Iterator[str]:
    attributes = [one.dataset.attrs for one in analyses]
    keys = dict.fromkeys([*_PROVENANCE, *(key for a in attributes for key in a)])
    yield '<div class="table"><table>\n<caption>As the analysis file has it</caption>\n<thead><tr>'
    yield '<th scope="col">entry</th>'
    yield from (f'<th scope="col">{_text(name)}</th>' for name in names)
    yield "</tr></thead>\n<tbody>"
    for key in keys:
        texts = [_text(a.get(key, "")) for a in attributes]
        if any(texts):
            cells = "".join(f"<td>{text or '–'}</td>" for text in texts)
            yield f'<tr><th scope="row">{_head(_PROVENANCE.get(key, key))}</th>{cells}</tr>'
    cases = "".join(f"<td>{len(one.case_ids)}</td>" for one in analyses)
    yield f'<tr><th scope="row">cases</th>{cases}</tr>\n</tbody>\n</table></div>'


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


def _text(value: Any, longest: int = _LONGEST_TEXT) -> str:
    """Any value as text of an HTML element or attribute, shortened where it is very long."""
    plain = value.item() if isinstance(value, np.generic) else value
    text = clean_text(str(plain))
    text = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return html.escape(text, quote=True)
