"""A napari window with the panels docked, and what a person does in it."""

from __future__ import annotations

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import (
    QApplication,
    QFormLayout,
    QFrame,
    QPushButton,
    QStyle,
    QStyleOptionViewItem,
    QWidget,
)


class Desk:
    """A viewer with its workspace and panels."""

    def __init__(self, viewer, qtbot):
        from napari_ifa.viewer.docks import dock_all
        from napari_ifa.viewer.workspace import workspace_of

        self.viewer, self.qtbot = viewer, qtbot
        self.workspace = workspace_of(viewer)
        dock_all(viewer)
        panels = {type(w).__name__: w for w in viewer.window.dock_widgets.values()}
        self.study = panels["StudyPanel"]
        self.explain = panels["ExplainPanel"]
        self.importance = panels["ImportancePanel"]
        self.session, self.scene = self.workspace.session, self.workspace.scene
        self.said = []
        self.session.said.connect(self._hear)

    def _hear(self, kind, sentence, about):
        self.said.append((kind, sentence))

    def settle(self, condition=lambda: True, timeout=60_000):
        """Wait until nothing runs and the condition holds."""
        self.qtbot.waitUntil(lambda: not self.workspace.jobs.busy and condition(), timeout=timeout)

    def click(self, widget, position=None):
        """A click of the left mouse button."""
        button = Qt.MouseButton.LeftButton
        if position is None:
            self.qtbot.mouseClick(widget, button)
        else:
            self.qtbot.mouseClick(widget, button, pos=position)

    def click_check_box(self, feature):
        """Click the check box of a feature, where it is painted."""
        table = self.importance.table
        index = table.model().index(table.model().row_of(feature), 0)
        table.scrollTo(index)
        option = QStyleOptionViewItem()
        table.initViewItemOption(option)
        option.rect = table.visualRect(index)
        option.features |= QStyleOptionViewItem.ViewItemFeature.HasCheckIndicator
        box = table.style().subElementRect(
            QStyle.SubElement.SE_ItemViewItemCheckIndicator, option, table
        )
        self.click(table.viewport(), QPoint(box.center()))

    def press(self, key, modifiers=Qt.KeyboardModifier.NoModifier):
        """A key while the canvas has the focus."""
        self.qtbot.keyClick(self.canvas, key, modifiers)

    @property
    def canvas(self):
        """What is drawn on and takes the mouse: the innermost widget of napari's view."""
        [canvas] = [
            widget
            for widget in self.viewer.window._qt_window.findChildren(QWidget)
            if type(widget).__name__ == "CanvasBackendDesktop"
        ]
        return canvas

    def drag(self, start, end, button=Qt.MouseButton.LeftButton):
        """Drag on the canvas; positions are shares of its width and height."""
        size = self.canvas.size()
        path = np.linspace(start, end, 6) * (size.width(), size.height())
        points = [QPoint(round(x), round(y)) for x, y in path]
        self.qtbot.mouseMove(self.canvas, points[0])
        self.qtbot.mousePress(self.canvas, button, pos=points[0])
        for point in points[1:]:
            # QTest's moves carry no button.
            where = QPointF(point), self.canvas.mapToGlobal(QPointF(point))
            QApplication.sendEvent(
                self.canvas,
                QMouseEvent(
                    QEvent.Type.MouseMove,
                    *where,
                    Qt.MouseButton.NoButton,
                    button,
                    Qt.KeyboardModifier.NoModifier,
                ),
            )
            self.qtbot.wait(20)
        self.qtbot.mouseRelease(self.canvas, button, pos=points[-1])

    def viewer_button(self, mode):
        """One of napari's buttons below the layer list, as "transpose"."""
        [button] = [
            button
            for button in self.viewer.window._qt_window.findChildren(QPushButton)
            if button.property("mode") == mode
        ]
        return button

    def layer_controls(self, layer):
        """napari's controls of a layer, which is made the active one; by their names."""
        self.viewer.layers.selection.active = layer
        self.qtbot.wait(20)
        [controls] = [
            widget
            for widget in self.viewer.window._qt_window.findChildren(QFrame)
            if type(widget).__name__ == "QtImageControls" and widget.layer is layer
        ]
        return controls

    def control(self, layer, title):
        """The widget beside a title in the layer controls, as "gamma:"."""
        form = self.layer_controls(layer).layout()
        for row in range(form.rowCount()):
            label = form.itemAt(row, QFormLayout.ItemRole.LabelRole)
            if label is not None and label.widget().text() == title:
                return form.itemAt(row, QFormLayout.ItemRole.FieldRole).widget()
        raise AssertionError(f"no control {title}")

    @property
    def corner(self):
        """What is said in the corner of the picture, in one line."""
        return " ".join(self.workspace.corner_note.text.split())

    def top_feature(self, row=0):
        """The feature in a row of the importance table."""
        return self.importance.model.feature_at(row)
