"""What the panels are built of: buttons, choices, lines of text, badges, rows; and questions."""

from __future__ import annotations

import html
from collections.abc import Callable
from typing import Any, TypeVar

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QBoxLayout,
    QComboBox,
    QLabel,
    QLayout,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QSlider,
    QWidget,
)

from napari_ifa.plain import plain as plain_line

_Layout = TypeVar("_Layout", bound=QBoxLayout)


def button(text: str, tip: str, slot: Callable[..., Any]) -> QPushButton:
    """A button that says what it does."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(slot)
    return made


def choice(tip: str, *entries: tuple[str, Any]) -> QComboBox:
    """A list to choose from, of what is shown and what it stands for."""
    made = QComboBox()
    made.setToolTip(tip)
    for text, value in entries:
        made.addItem(text, value)
    return made


def percent_slider(least: int, tip: str, slot: Callable[..., Any]) -> tuple[QSlider, QLabel]:
    """A slider up to 100, and the label for its value."""
    slider = QSlider(Qt.Orientation.Horizontal)
    slider.setRange(least, 100)
    slider.setToolTip(tip)
    slider.valueChanged.connect(slot)
    value = QLabel()
    value.setMinimumWidth(44)
    value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return slider, value


def line(text: str = "", selectable: bool = False) -> QLabel:
    """A label whose text is shown letter by letter and breaks into lines."""
    made = QLabel(text)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setWordWrap(True)
    if selectable:
        made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return made


def name_line() -> QLabel:
    """A label that is cut off where its text, a name from a file, is wider than the panel."""
    made = QLabel()
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return made


def heading(text: str) -> QLabel:
    """A section's title."""
    made = QLabel(text)
    made.setTextFormat(Qt.TextFormat.PlainText)
    made.setStyleSheet("font-weight: bold;")
    return made


def badge(text: str, colours: tuple[str, str]) -> QLabel:
    """A line on a ground of its own."""
    made = line(text)
    made.setStyleSheet(badge_style(*colours))
    return made


def badge_style(ground: str, text: str) -> str:
    """Style sheet of a label whose text stands out on a ground of its own."""
    return (
        f"QLabel {{ background: {ground}; color: {text}; border-radius: 4px; padding: 3px 6px; }}"
    )


def fill(
    layout: _Layout,
    *parts: QWidget | QLayout,
    wide: QWidget | QLayout | None = None,
    margin: int = 0,
) -> _Layout:
    """A row or column with these parts, of which one may take the room that is left."""
    layout.setContentsMargins(margin, margin, margin, margin)
    for part in parts:
        stretch = int(part is wide)
        if isinstance(part, QLayout):
            layout.addLayout(part, stretch)
        else:
            layout.addWidget(part, stretch)
    return layout


def is_confirmed(
    parent: QWidget,
    title: str,
    question: str,
    yes: QMessageBox.StandardButton = QMessageBox.StandardButton.Yes,
    *,
    warning: bool = False,
) -> bool:
    """Ask before what cannot be taken back lightly; Enter alone does not agree."""
    answers = QMessageBox.StandardButton
    refusal = answers.No if yes == answers.Yes else answers.Cancel
    ask = QMessageBox.warning if warning else QMessageBox.question
    return bool(ask(parent, title, plain(question), yes | refusal, refusal) == yes)


def plain(text: str) -> str:
    """A tooltip or question that is shown letter by letter.

    Qt takes a text with ``<`` and ``>`` for HTML, and descriptions and file names come from others.
    """
    text = "\n".join(map(plain_line, text.split("\n")))
    if not Qt.mightBeRichText(text):  # type: ignore[attr-defined]  # qtpy brings it
        return text
    return "<qt>" + html.escape(text).replace("\n", "<br>") + "</qt>"
