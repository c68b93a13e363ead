"""The colour bar that is burnt into an exported picture, in a margin beside the image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_ifa.export.colouring import Colouring
from napari_ifa.export.provenance import PURPOSE

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

#: Pixels; letters of this size are read on any screen.
_SMALLEST_LETTERS = 14
#: Letters and margin grow with the picture.
_LETTERS_PER_HEIGHT = 1 / 36
#: Of the margin, in sizes of letters.
_WIDTH_IN_LETTERS = 11.0
#: A bar with its words is at least this many letters high.
_HEIGHT_IN_LETTERS = 22.0
#: What lies under the overlay in the bar: the grey of a tissue, not the black of air.
_TISSUE = 0.32
_TEXT = (230, 230, 230)
_MOST_LINES = 3


def bar_size(image_height: int) -> tuple[int, int]:
    """Height and width in pixels of the bar beside an image of a height; at least as high."""
    letters = _letters(image_height)
    height = max(image_height, round(_HEIGHT_IN_LETTERS * letters))
    return height, round(_WIDTH_IN_LETTERS * letters)


def colour_bar(colouring: Colouring, kind: str, image_height: int) -> NDArray[np.uint8]:
    """The picture ``[height, width, 3]`` of the bar, in the size of `bar_size`.

    From top to bottom: the kind of map, what its upper values speak for, the colours with their
    marks, what its lower values speak for, the unit of the marks, and that it is not for primary
    diagnosis.
    """
    from PIL import Image, ImageDraw

    height, width = bar_size(image_height)
    size = _letters(image_height)
    font = _font(size)
    picture = Image.new("RGB", (width, height))
    draw = ImageDraw.Draw(picture)
    edge, line = size // 2, round(1.3 * size)
    inner = width - 2 * edge

    head = [*_lines(kind, font, inner, 1), *_lines(colouring.sides[1], font, inner)]
    foot = [*_lines(colouring.sides[0], font, inner), *_lines(colouring.unit, font, inner, 1)]
    warning = _lines(PURPOSE, font, inner)
    top = edge + line * len(head) + edge
    end = height - edge - line * len(warning)
    bottom = end - line * len(foot) - 2 * edge
    _write(draw, head, (edge, edge), line, font)
    _write(draw, foot, (edge, bottom + edge), line, font)
    _write(draw, warning, (edge, end), line, font)

    low, high = colouring.limits
    bar_width = round(1.5 * size)
    values = np.linspace(high, low, bottom - top)
    rgba = np.asarray(colouring.colours(values), dtype=float)
    opaque = rgba[:, :3] * rgba[:, 3:] + _TISSUE * (1 - rgba[:, 3:])
    column = np.rint(255 * opaque).astype(np.uint8)[:, None]
    strip = np.ascontiguousarray(np.repeat(column, bar_width, axis=1))
    picture.paste(Image.fromarray(strip), (edge, top))

    right = edge + bar_width
    taken: list[float] = []
    for value, label in ((colouring.neutral, "neutral"), *colouring.marks):
        y = top + (high - value) / (high - low) * (bottom - top - 1)
        draw.line((edge, y, right + size // 3, y), fill=_TEXT, width=max(1, size // 12))
        beside = _free_place(y, taken, line)
        draw.text((right + size // 2, beside), label, fill=_TEXT, font=font, anchor="lm")
        taken.append(beside)
    return np.asarray(picture)


def _letters(image_height: int) -> int:
    return max(_SMALLEST_LETTERS, round(image_height * _LETTERS_PER_HEIGHT))


def _font(size: int) -> FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has Latin, Greek and Cyrillic letters."""
    import matplotlib
    from PIL import ImageFont

    return ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)


def _free_place(y: float, taken: list[float], line: int) -> float:
    """The nearest height for a word that no other word stands at."""
    near = [t for t in taken if abs(t - y) < line]
    if not near:
        return y
    return near[0] + line if y >= near[0] else near[0] - line


def _lines(words: str, font: Any, width: int, most: int = _MOST_LINES) -> list[str]:
    """``words`` in lines no wider than ``width``; what does not fit is cut with an ellipsis."""
    lines = [""]
    for word in words.replace("_", " ").split():
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return [_cut(text, font, width) for text in lines]


def _cut(text: str, font: Any, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"


def _write(
    draw: ImageDraw, lines: list[str], place: tuple[int, int], line: int, font: FreeTypeFont
) -> None:
    for number, text in enumerate(lines):
        draw.text((place[0], place[1] + number * line), text, fill=_TEXT, font=font)
