"""What the model answers: with all features beside with the chosen ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QPainter, QPalette
from qtpy.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
)

from napari_ifa.viewer.panels.feature_table import MINUS, Index
from napari_ifa.viewer.panels.widgets import plain

if TYPE_CHECKING:
    from napari_ifa.viewer.state.predicting import Prediction

CLASS, P_ALL, LOGIT_ALL, P_CHOSEN, LOGIT_CHOSEN = range(5)
_TITLES = ("class", "all: p", "logit", "chosen: p", "logit")
_TITLES_WITHOUT_P = ("class", "", "all: logit", "", "chosen: logit")
_TIPS = (
    "The model's classes; the most probable one is in bold",
    "Probability with all features",
    "Output before probabilities are made of it, with all features",
    "Probability with the features that are kept",
    "Output before probabilities are made of it, with the features that are kept",
)
_BAR = QColor(86, 118, 190)
_ROW_HEIGHT = 24


class PredictionTable(QTableWidget):
    """One row for each class; probabilities are painted as bars."""

    def __init__(self) -> None:
        super().__init__(0, len(_TITLES))
        self.setHorizontalHeaderLabels(_TITLES)
        for column, tip in enumerate(_TIPS):
            title = self.horizontalHeaderItem(column)
            assert title is not None
            title.setToolTip(tip)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(_ROW_HEIGHT)
        self.setShowGrid(False)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        header = self.horizontalHeader()
        header.setMinimumSectionSize(56)
        header.setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        for column in (LOGIT_ALL, LOGIT_CHOSEN):
            # Outputs that are no logits of a classifier have any number of digits.
            header.setSectionResizeMode(column, QHeaderView.ResizeMode.ResizeToContents)
        for column in (P_ALL, P_CHOSEN):
            self.setItemDelegateForColumn(column, _ProbabilityDelegate(self))

    def show_classes(self, names: tuple[str, ...], class_idx: int) -> None:
        """One row for each class, a dot before the one that is shown."""
        self.setRowCount(len(names))
        for row, name in enumerate(names):
            item = QTableWidgetItem(name)
            item.setToolTip(plain(name))
            self.setItem(row, CLASS, item)
        visible = min(len(names), 6)
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + visible * _ROW_HEIGHT + 4)

    def show_prediction(self, prediction: Prediction | None) -> None:
        """Fill in the numbers; a dash stands for what is still being computed."""
        if prediction is None or self.rowCount() != len(prediction.logits):
            return
        columns = {
            P_ALL: prediction.probabilities,
            LOGIT_ALL: prediction.logits,
            P_CHOSEN: prediction.masked_probabilities,
            LOGIT_CHOSEN: prediction.masked_logits,
        }
        # A model without probabilities has none to wait for.
        without = prediction.probabilities is None
        for column in (P_ALL, P_CHOSEN):
            self.setColumnHidden(column, without)
        self.setHorizontalHeaderLabels(_TITLES_WITHOUT_P if without else _TITLES)
        for column, values in columns.items():
            for row in range(self.rowCount()):
                self.setItem(row, column, _number(column, None if values is None else values[row]))
        for column in (LOGIT_ALL, LOGIT_CHOSEN) if without else (P_ALL, P_CHOSEN):
            values = columns[column]
            if values is not None:
                item = self.item(int(np.argmax(values)), column)
                assert item is not None
                font = item.font()
                font.setBold(True)
                item.setFont(font)


def _number(column: int, value: float | None) -> QTableWidgetItem:
    if value is None:
        text = "…"
    elif column in (P_ALL, P_CHOSEN):
        text = f"{value:.2f}"
    else:
        text = f"{value:+.2f}".replace("-", MINUS)
    item = QTableWidgetItem(text)
    item.setData(Qt.ItemDataRole.UserRole, None if value is None else float(value))
    item.setTextAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
    return item


class _ProbabilityDelegate(QStyledItemDelegate):
    """A bar from 0 to 1 under the number."""

    def paint(self, painter: QPainter, option: QStyleOptionViewItem, index: Index) -> None:
        value = index.data(Qt.ItemDataRole.UserRole)
        text = option.palette.color(QPalette.ColorRole.Text)
        rect = QRectF(option.rect).adjusted(3, 3, -3, -3)
        painter.save()
        painter.fillRect(rect, QColor(text.red(), text.green(), text.blue(), 22))
        if value is not None:
            bar = QRectF(rect)
            bar.setWidth(rect.width() * min(max(value, 0.0), 1.0))
            painter.fillRect(bar, _BAR)
        font = index.data(Qt.ItemDataRole.FontRole)
        if font is not None:
            painter.setFont(font)
        painter.setPen(text)
        right = Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        painter.drawText(rect.adjusted(0, 0, -3, 0), right, index.data())
        painter.restore()
