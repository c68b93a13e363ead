"""Figures of sections as files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from napari_ifa.evaluation.section import Section
from napari_ifa.export.tables.cells import clean_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_DPI = 150
#: What a figure's file would say of its making; a date would make every file another.
_METADATA: Mapping[str, dict[str, str | None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
}


@dataclass(frozen=True, eq=False)
class StoredSection(Section):
    """A section read back from a folder.

    Attributes
    ----------
    pictures : the figure's files, by ``"svg"`` and ``"png"``; empty where there is none.
    """

    pictures: Mapping[str, bytes] = field(default_factory=dict)


def pictures_of(section: Section, formats: Sequence[str] = ("png", "svg")) -> Mapping[str, bytes]:
    """A section's figure as files, by their formats; empty where it has none.

    Text in the SVG is text. The same figure gives the same bytes.
    """
    if isinstance(section, StoredSection):
        return {name: section.pictures[name] for name in formats if name in section.pictures}
    return {} if section.draw is None else _drawn(section.draw(), formats)


def smaller_png(png: bytes, width: int) -> bytes:
    """The picture at most this wide, in 256 colours; as it is where it is none."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(png), formats=["PNG"]) as opened:
            picture = opened.convert("RGB")
    except (OSError, ValueError, Image.DecompressionBombError):
        return png
    picture.thumbnail((width, 4 * width))
    stream = io.BytesIO()
    picture.quantize(256, Image.Quantize.FASTOCTREE).save(stream, format="PNG")
    return stream.getvalue()


def _drawn(figure: Figure, formats: Sequence[str]) -> dict[str, bytes]:
    import matplotlib
    from matplotlib.text import Text

    files = {}
    with matplotlib.rc_context({"svg.hashsalt": "napari-ifa", "svg.fonttype": "none"}):
        for name in formats:
            try:
                files[name] = _saved(figure, name)
            except ValueError:
                # A class name with dollar signs is read as a formula, and may be none.
                for text in figure.findobj(Text):
                    text.set_parse_math(False)
                files[name] = _saved(figure, name)
    return files


def _saved(figure: Figure, name: str) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=name, dpi=_DPI, facecolor="white", metadata=_METADATA[name])
    content = stream.getvalue()
    if name == "svg":
        return clean_text(content.decode("utf-8")).encode()
    return content
