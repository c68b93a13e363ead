"""The burnt-in colour bar: its colours, marks and words, in pictures of any size."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_ifa.export import Colouring
from napari_ifa.export.colour_bar import bar_size, colour_bar


def red_above_blue_below(values: np.ndarray) -> np.ndarray:
    """Opaque red for values above 0.2, opaque blue below."""
    above = np.asarray(values) > 0.2
    return np.stack([above, np.zeros_like(above), ~above, np.ones_like(above)], -1).astype(float)


SIDES = ("against pneumonia", "for pneumonia")
BAR = Colouring(red_above_blue_below, (-1.0, 1.0), 0.2, ((0.1, "P10"), (0.9, "P90")), SIDES)
RED, BLUE = (255, 0, 0), (0, 0, 255)


def rows_of(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Rows in which a colour stands."""
    return np.flatnonzero((picture == colour).all(axis=-1).any(axis=1))


@pytest.mark.parametrize("height", [64, 512, 2048])
def test_for_is_above_against_and_the_border_is_where_the_values_say(height: int) -> None:
    picture = colour_bar(BAR, "S-CAM", height)

    assert picture.shape == (*bar_size(height), 3)
    assert picture.shape[0] >= height
    red, blue = rows_of(picture, RED), rows_of(picture, BLUE)
    assert red.max() < blue.min()
    # 1 down to −1: 0.8 of the bar's length of 2 lie above 0.2.
    length = blue.max() - red.min() + 1
    assert (red.max() - red.min() + 1) / length == pytest.approx(0.4, abs=0.02)


def test_every_mark_and_every_word_is_drawn() -> None:
    """Each leaves the picture different from one without it."""
    whole = colour_bar(BAR, "S-CAM", 512)
    others = [
        colour_bar(replace(BAR, marks=BAR.marks[:1]), "S-CAM", 512),
        colour_bar(replace(BAR, marks=BAR.marks[1:]), "S-CAM", 512),
        colour_bar(replace(BAR, neutral=-0.5), "S-CAM", 512),
        colour_bar(replace(BAR, sides=("against effusion", "for effusion")), "S-CAM", 512),
        colour_bar(BAR, "FS-S-CAM", 512),
    ]
    for other in others:
        assert (other != whole).any()


def test_the_warning_stands_at_the_foot(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = colour_bar(BAR, "S-CAM", 512)
    monkeypatch.setattr("napari_ifa.export.colour_bar.PURPOSE", "")
    without = colour_bar(BAR, "S-CAM", 512)

    assert whole[-50:].any()
    assert not without[-15:].any()


@pytest.mark.parametrize("name", ["x" * 200, "many words " * 30, "肺炎", ""])
def test_a_long_name_stays_in_the_margin_and_leaves_room_for_the_bar(name: str) -> None:
    picture = colour_bar(
        replace(BAR, sides=(f"against {name}", f"for {name}")), "FS-class activation", 64
    )

    assert picture.shape == (*bar_size(64), 3)
    # Nothing reaches the edge, where a word would be cut.
    assert not picture[:, -2:].any()
    assert len(rows_of(picture, RED)) + len(rows_of(picture, BLUE)) > 0.25 * picture.shape[0]


def test_words_of_marks_that_lie_close_do_not_cover_each_other() -> None:
    """Moved apart: more is seen than of either word alone, and no row is shared."""
    close = replace(BAR, neutral=0.12, marks=((0.1, "P10"),))
    picture = colour_bar(close, "S-CAM", 512).astype(int)
    words = picture[:, 40:].any(axis=-1).any(axis=1)
    bar = rows_of(picture, RED).min(), rows_of(picture, BLUE).max()

    inside = np.flatnonzero(words[bar[0] : bar[1]])
    assert np.count_nonzero(np.diff(inside) > 1) == 1
