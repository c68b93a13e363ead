"""The features of the target layer as a Qt model: kept or not, importance, this case's share."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import (
    QAbstractTableModel,
    QModelIndex,
    QPersistentModelIndex,
    QRect,
    Qt,
    Signal,
)
from qtpy.QtGui import QColor, QPainter, QPalette
from qtpy.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem

#: What Qt calls a model with.
Index = QModelIndex | QPersistentModelIndex
FEATURE, IMPORTANCE, CONTRIBUTION = range(3)
#: Orders of the rows, by the name that a person reads.
ORDERS = ("importance", "|importance|", "contribution of this case")

AGAINST_BAR = QColor(58, 104, 214)
FOR_BAR = QColor(200, 66, 52)
MINUS = "−"


class FeatureTable(QAbstractTableModel):
    """``[F]`` rows; the order is kept here in numpy, since a proxy model sorts four times slower.

    Signals
    -------
    toggled(int, bool) : a person has switched a feature.
    """

    toggled = Signal(int, bool)

    def __init__(self) -> None:
        super().__init__()
        self._columns: dict[int, NDArray[np.float64] | None] = {}
        self._keep = np.zeros(0, dtype=bool)
        self._rows = np.zeros(0, dtype=np.intp)
        self._order = ORDERS[0]
        self._ascending = False

    # ---------------------------------------------------------------- content

    def show(
        self,
        keep: NDArray[np.bool_],
        importance: NDArray[np.float64] | None,
        contribution: NDArray[np.float64] | None,
    ) -> None:
        """Take other values, each ``[F]``, and sort again."""
        self.beginResetModel()
        self._columns = {IMPORTANCE: importance, CONTRIBUTION: contribution}
        self._keep = np.array(keep, dtype=bool)
        self._sort()
        self.endResetModel()

    def set_keep(self, keep: NDArray[np.bool_]) -> None:
        """Other features are kept; the order stays."""
        self._keep = np.array(keep, dtype=bool)
        if self._keep.size:
            last = self.index(self._keep.size - 1, FEATURE)
            self.dataChanged.emit(self.index(0, FEATURE), last, [Qt.ItemDataRole.CheckStateRole])

    def order_by(self, order: str, ascending: bool = False) -> None:
        """Sort the rows by one of ``ORDERS``."""
        self._order, self._ascending = order, ascending
        self.layoutAboutToBeChanged.emit()
        self._sort()
        self.layoutChanged.emit()

    def sort(self, column: int, order: Qt.SortOrder = Qt.SortOrder.DescendingOrder) -> None:
        """Sort by a column, as a click on its header asks."""
        ascending = order == Qt.SortOrder.AscendingOrder
        by_column = {FEATURE: "number", IMPORTANCE: ORDERS[0], CONTRIBUTION: ORDERS[2]}
        self.order_by(by_column[column], ascending)

    def feature_at(self, row: int) -> int:
        """The feature's number in the layer."""
        return int(self._rows[row])

    def sort_key(self) -> NDArray[np.float64] | None:
        """The values ``[F]`` that the rows are ordered by; None where there are none."""
        if self._order == "number":
            return -np.arange(self._keep.size, dtype=float)
        values = self._columns.get(CONTRIBUTION if self._order == ORDERS[2] else IMPORTANCE)
        if values is None:
            # Without a cohort the case itself is all there is to sort by.
            values = self._columns.get(CONTRIBUTION)
        if values is not None and self._order == ORDERS[1]:
            return np.abs(values)
        return values

    def _sort(self) -> None:
        key = self.sort_key()
        if key is None:
            self._rows = np.arange(self._keep.size)
            return
        # NaN (a class without a case) goes last whichever way the rows are sorted.
        key = np.where(np.isfinite(key), key if self._ascending else -key, np.inf)
        self._rows = np.argsort(key, kind="stable")

    def largest(self, column: int) -> float:
        """The largest absolute value of a column: the full length of a bar."""
        values = self._columns.get(column)
        if values is None or not np.isfinite(values).any():
            return 0.0
        return float(np.nanmax(np.abs(values)))

    def value(self, row: int, column: int) -> float | None:
        """A number of the table, None where there is none."""
        values = self._columns.get(column)
        if values is None or not np.isfinite(values[self._rows[row]]):
            return None
        return float(values[self._rows[row]])

    # --------------------------------------------------------------- Qt model

    def rowCount(self, parent: Index | None = None) -> int:
        """One row for each feature."""
        return 0 if parent is not None and parent.isValid() else int(self._keep.size)

    def columnCount(self, parent: Index | None = None) -> int:
        """Feature, importance, contribution."""
        return 0 if parent is not None and parent.isValid() else 3

    def headerData(self, section: int, orientation: Any, role: int = 0) -> Any:
        """The columns' titles and what they mean."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return ("feature", "cohort", "this case")[section]
        if role == Qt.ItemDataRole.ToolTipRole:
            return (
                "Number of the feature in the target layer; untick it to take it away",
                "Importance: mean contribution to the class over the cohort, in logit units",
                "What the feature adds to the class activation of the open case, in logit units",
            )[section]
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        """The first column has a check box."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        if index.column() == FEATURE:
            flags |= Qt.ItemFlag.ItemIsUserCheckable
        return flags

    def data(self, index: Index, role: int = 0) -> Any:
        """The number of the feature with its check, or a value."""
        row, column = index.row(), index.column()
        if column == FEATURE:
            feature = self.feature_at(row)
            if role == Qt.ItemDataRole.DisplayRole:
                return f"f{feature}"
            if role == Qt.ItemDataRole.CheckStateRole:
                kept = self._keep[feature]
                return Qt.CheckState.Checked if kept else Qt.CheckState.Unchecked
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return signed(self.value(row, column))
        return None

    def setData(self, index: Index, value: Any, role: int = 0) -> bool:
        """A click on a check box."""
        if role != Qt.ItemDataRole.CheckStateRole or index.column() != FEATURE:
            return False
        kept = Qt.CheckState(value) == Qt.CheckState.Checked
        self.toggled.emit(self.feature_at(index.row()), kept)
        return True


def signed(value: float | None) -> str:
    """Three significant digits with a sign; a dash where there is no value."""
    if value is None:
        return "–"
    if value == 0:
        return "0"
    text = f"{abs(value):.3g}"
    if "e" in text:
        text = f"{abs(value):.1e}"
    return f"{MINUS if value < 0 else '+'}{text}"


class BarDelegate(QStyledItemDelegate):
    """Paints a signed value as a bar from the middle of its cell, with the number beside it."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        without_text = QStyleOptionViewItem(option)
        without_text.text = ""
        super().paint(painter, without_text, QModelIndex())
        model = index.model()
        assert isinstance(model, FeatureTable)
        value = model.value(index.row(), index.column())
        painter.save()
        rect = option.rect.adjusted(3, 2, -3, -2)
        digits = painter.fontMetrics().horizontalAdvance("−0.00012")
        track = QRect(rect.left(), rect.top(), max(10, rect.width() - digits - 4), rect.height())
        middle = track.center().x()
        largest = model.largest(index.column())
        if value is not None and largest > 0:
            length = round(abs(value) / largest * (track.width() / 2 - 1))
            left = middle - length if value < 0 else middle
            colour = AGAINST_BAR if value < 0 else FOR_BAR
            kept = model.index(index.row(), FEATURE).data(Qt.ItemDataRole.CheckStateRole)
            if kept != Qt.CheckState.Checked:
                colour = QColor(colour.red(), colour.green(), colour.blue(), 70)
            painter.fillRect(QRect(left, track.top() + 1, length, track.height() - 2), colour)
        text = option.palette.color(QPalette.ColorRole.Text)
        painter.setPen(QColor(text.red(), text.green(), text.blue(), 70))
        painter.drawLine(middle, track.top(), middle, track.bottom())
        painter.setPen(text)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(rect, right, signed(value))
        painter.restore()
