"""The list of series in the Study panel, as a tree: several images of one series below it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import QSignalBlocker, QSize, Qt, Signal
from qtpy.QtGui import QBrush, QColor, QKeyEvent
from qtpy.QtWidgets import QStyle, QTreeWidget, QTreeWidgetItem

from napari_ifa.reading.choice import candidates
from napari_ifa.viewer.panels.widgets import plain
from napari_ifa.viewer.state.series_groups import SeriesGroup, group_series
from napari_ifa.wording import counted

if TYPE_CHECKING:
    from napari_ifa.reading import Series

_SERIES = Qt.ItemDataRole.UserRole
#: Under which a row is found again when the list grows: a series' key, or its group's.
_KEY = Qt.ItemDataRole.UserRole + 1
#: Of what is not opened, or not at first; can be read on a dark ground and on a light one.
GREY = QColor("#7d8591")
_ROW, _ROW_OF_A_STUDY, _PART_ROW = QSize(0, 42), QSize(0, 58), QSize(0, 22)


class SeriesTree(QTreeWidget):
    """Series to choose from. A row of several images holds them and is none itself.

    Signals
    -------
    chosen(Series | None) : another row is marked; None where it is no image.
    opened(Series) : a row was double-clicked, or Enter was pressed on it.
    """

    chosen = Signal(object)
    opened = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.setHeaderHidden(True)
        self.setAcceptDrops(False)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setIndentation(14)
        # The row that was marked for the person, who has marked none yet.
        self._proposed: str | None = None
        self.currentItemChanged.connect(lambda *_: self.chosen.emit(self.current))
        # Not itemActivated: on some desktops a single click activates.
        self.itemDoubleClicked.connect(self._open)

    @property
    def current(self) -> Series | None:
        """The marked series."""
        item = self.currentItem()
        return None if item is None else item.data(0, _SERIES)

    def show_series(self, found: Sequence[Series]) -> None:
        """List what was found; what was marked, unfolded and scrolled to stays so."""
        marked = self.currentItem()
        key = None if marked is None else marked.data(0, _KEY)
        unfolded = {item.data(0, _KEY) for item in self._groups() if item.isExpanded()}
        place = self.verticalScrollBar().value()
        with QSignalBlocker(self):
            self.clear()
            self.addTopLevelItems([self._group(group) for group in group_series(found)])
            for item in self._groups():
                item.setExpanded(item.data(0, _KEY) in unfolded)
            row = self._row(key)
            if row is None or key == self._proposed:
                row = self._first_that_opens()
                self._proposed = None if row is None else row.data(0, _KEY)
            if row is not None:
                self.setCurrentItem(row)
        self.verticalScrollBar().setValue(place)
        self.chosen.emit(self.current)

    def mark(self, series: Series) -> None:
        """Mark the row of a listed series."""
        row = self._row(series.key)
        if row is not None:
            self.setCurrentItem(row)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Enter opens the marked series."""
        item = self.currentItem()
        if item is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._open(item)
        else:
            super().keyPressEvent(event)

    def _groups(self) -> list[QTreeWidgetItem]:
        items = (self.topLevelItem(row) for row in range(self.topLevelItemCount()))
        return [item for item in items if item is not None]

    def _rows(self) -> list[QTreeWidgetItem]:
        rows = []
        for item in self._groups():
            children = (item.child(row) for row in range(item.childCount()))
            rows += [item, *(child for child in children if child is not None)]
        return rows

    def _row(self, key: str | None) -> QTreeWidgetItem | None:
        return next((item for item in self._rows() if item.data(0, _KEY) == key), None)

    def _first_that_opens(self) -> QTreeWidgetItem | None:
        # A series of several images is no choice yet, so it is not unfolded for the person.
        for item in self._groups():
            series: Series | None = item.data(0, _SERIES)
            if series is not None and series in candidates([series]) and series.question is None:
                return item
        return next(iter(self._groups()), None)

    def _open(self, item: QTreeWidgetItem) -> None:
        series: Series | None = item.data(0, _SERIES)
        if series is not None:
            self.opened.emit(series)

    # ------------------------------------------------------------------- rows

    def _group(self, group: SeriesGroup) -> QTreeWidgetItem:
        if len(group.images) > 1:
            row = self._row_of_several(group)
            below = [*group.images, *group.alternatives]
        else:
            row = self._row_of_one(group.first)
            below = list(group.alternatives if group.images else group.alternatives[1:])
        row.addChildren([self._part(series) for series in below])
        return row

    def _row_of_several(self, group: SeriesGroup) -> QTreeWidgetItem:
        first = group.first
        count, *facts = _lines(first)
        lines = (_name(first), f"{len(group.images)} images of {count}", *facts)
        row = QTreeWidgetItem(["\n".join(lines)])
        # The key of the first image would mark that one.
        row.setData(0, _KEY, f"all {first.key}")
        row.setSizeHint(0, _ROW_OF_A_STUDY if first.study_words else _ROW)
        choose = f"Choose one of its {len(group.images)} images."
        tip = (_name(first), _made(first), first.study_words, choose)
        row.setToolTip(0, plain("\n".join(filter(None, tip))))
        return row

    def _row_of_one(self, series: Series) -> QTreeWidgetItem:
        name = ", ".join(filter(None, (_name(series), series.part)))
        state = _state(series)
        facts = (state, series.study_words) if state else _lines(series)
        row = QTreeWidgetItem(["\n".join(filter(None, (name, *facts)))])
        row.setSizeHint(0, _ROW_OF_A_STUDY if series.study_words else _ROW)
        self._dress(row, series)
        return row

    def _part(self, series: Series) -> QTreeWidgetItem:
        row = QTreeWidgetItem([_joined(series.part or _made(series), _state(series))])
        row.setSizeHint(0, _PART_ROW)
        self._dress(row, series)
        return row

    def _dress(self, row: QTreeWidgetItem, series: Series) -> None:
        row.setData(0, _SERIES, series)
        row.setData(0, _KEY, series.key)
        lines = (
            _name(series),
            series.part,
            _made(series),
            series.study_words,
            series.unsupported,
            series.question,
        )
        row.setToolTip(0, plain("\n".join(filter(None, (*lines, *series.notes)))))
        if series.unsupported is not None or series.alternative:
            row.setForeground(0, QBrush(GREY))
        if series.alternative:
            font = self.font()
            font.setItalic(True)
            row.setFont(0, font)
        if series.question is not None:
            icon = self.style().standardIcon(QStyle.StandardPixmap.SP_MessageBoxQuestion)
            row.setIcon(0, icon)


def millimetres(spacing: tuple[float, float, float]) -> str:
    """A spacing in few digits: ``"5 × 0.43 × 0.43"``."""
    return " × ".join(f"{value:.2f}".rstrip("0").rstrip(".") for value in spacing)


def _name(series: Series) -> str:
    name = _joined(series.modality, series.description) or "image"
    return name if series.number is None else f"{series.number} · {name}"


def _lines(series: Series) -> list[str]:
    """What a row says below the name; three facts side by side would be cut at the panel's edge."""
    if not series.study_words:
        return [_made(series)]
    shape = _joined(_size(series), series.orientation)
    return [shape, _joined(_spacing(series), series.study_words)]


def _made(series: Series) -> str:
    if series.kind == "image":
        return _joined("picture", _size(series))
    return _joined(_size(series), series.orientation, _spacing(series))


def _size(series: Series) -> str:
    if series.kind == "image":
        return "" if series.shape is None else f"{series.shape[2]} × {series.shape[1]} pixels"
    # Without a place in the patient, as the pictures of an ultrasound, they are no slices of it.
    what = "image" if series.shape is not None and series.spacing is None else "slice"
    return counted(series.image_count, what)


def _spacing(series: Series) -> str:
    return "" if series.spacing is None else f"{millimetres(series.spacing)} mm"


def _joined(*words: str) -> str:
    return " · ".join(filter(None, words))


def _state(series: Series) -> str:
    if series.unsupported is not None:
        return "cannot be opened"
    return "asks before it opens" if series.question is not None else ""
