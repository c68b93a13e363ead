"""Tables and sections as files: CSV, JSON and Markdown, figures as PNG and SVG, and back again."""

from __future__ import annotations

from napari_ifa.export.tables.cells import NO_VALUE, cell_text, clean_text, is_number
from napari_ifa.export.tables.folder import write_sections
from napari_ifa.export.tables.pictures import StoredSection, pictures_of, smaller_png
from napari_ifa.export.tables.stored import TracedSections, read_folder
from napari_ifa.export.tables.table import Row, column_names, write_table

__all__ = [
    "NO_VALUE",
    "Row",
    "StoredSection",
    "TracedSections",
    "cell_text",
    "clean_text",
    "column_names",
    "is_number",
    "pictures_of",
    "read_folder",
    "smaller_png",
    "write_sections",
    "write_table",
]
