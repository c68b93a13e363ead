"""The page to begin with: what sections say, with their short tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from napari_ifa.evaluation.section import Section
from napari_ifa.evaluation.summary.provenance import made_by, made_from
from napari_ifa.export.tables.cells import markdown_text
from napari_ifa.export.tables.table import markdown_table
from napari_ifa.wording import counted

SUMMARY = "summary.md"
#: Tables of up to these many rows stand in the page.
_MOST_ROWS = 15


def summary_page(
    sections: Sequence[Section], with_figure: Collection[str], provenance: Mapping[str, str]
) -> str:
    """The page as Markdown.

    Parameters
    ----------
    with_figure : keys of the sections that have a figure.
    provenance : what they were made from; may be empty.
    """
    parts = ["# Results\n"]
    parts += [
        f"{markdown_text(told)}\n" for told in (made_from(provenance), made_by(provenance)) if told
    ]
    for section in sections:
        title, key = markdown_text(section.title), section.key
        parts.append(f"## {title}\n")
        if key in with_figure:
            parts.append(f"![{title}]({key}.png)\n")
        for head, text in (
            ("What this says", section.meaning),
            ("What it does not say", section.limits),
        ):
            if text:
                parts.append(f"**{head}:** {markdown_text(text)}\n")
        if 0 < len(section.rows) <= _MOST_ROWS:
            parts.append(markdown_table(section.rows, section.columns))
        files = ["csv", "json", "md", *(["png", "svg"] if key in with_figure else [])]
        links = ", ".join(f"[{key}.{suffix}]({key}.{suffix})" for suffix in files)
        parts.append(f"{counted(len(section.rows), 'row')}. Files: {links}\n")
        if section.columns:
            parts.append(
                "".join(
                    f"* {markdown_text(name)}: {markdown_text(text)}\n"
                    for name, text in section.columns.items()
                )
            )
    parts.append(
        "In the CSV files an apostrophe stands before a text that a spreadsheet would take for a"
        " formula; the JSON files hold it as it is.\n"
    )
    return "\n".join(parts)
