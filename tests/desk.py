"""A napari window with the panels docked, and what a person does in it."""

from __future__ import annotations

from functools import partial

import numpy as np
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt, QTimer
from qtpy.QtGui import QContextMenuEvent, QMouseEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QApplication,
    QDockWidget,
    QFormLayout,
    QFrame,
    QLineEdit,
    QListView,
    QPushButton,
    QSlider,
    QStyle,
    QStyleOptionSlider,
    QStyleOptionViewItem,
    QWidget,
)

#: napari's role for the layer of a row.
ITEM_ROLE = Qt.ItemDataRole.UserRole


def send_move(widget, point, button):
    """A move with a button held: QTest's moves carry none."""
    where = QPointF(point), widget.mapToGlobal(QPointF(point))
    none, plain = Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier
    QApplication.sendEvent(widget, QMouseEvent(QEvent.Type.MouseMove, *where, none, button, plain))


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

    def right_click(self, widget):
        """A click of the right mouse button, and what the system makes of it."""
        place = widget.rect().center()
        self.qtbot.mouseClick(widget, Qt.MouseButton.RightButton, pos=place)
        event = QContextMenuEvent(QContextMenuEvent.Reason.Mouse, place, widget.mapToGlobal(place))
        QApplication.sendEvent(widget, event)

    def click_check_box(self, feature):
        """Click the check box of a feature."""
        table, model = self.importance.table, self.importance.model
        [row] = [row for row in range(model.rowCount()) if model.feature_at(row) == feature]
        index = model.index(row, 0)
        self.click(table.viewport(), _check_box(table, index))

    def probability(self, row, column):
        """What a cell of the table of answers stands for, with all its digits."""
        return self.explain.predictions.item(row, column).data(Qt.ItemDataRole.UserRole)

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
            send_move(self.canvas, point, button)
            self.qtbot.wait(20)
        self.qtbot.mouseRelease(self.canvas, button, pos=points[-1])

    def drag_slider(self, slider, share):
        """Take the handle of a slider with the mouse to a share of its length."""
        # napari's own has its number beside it.
        slider = next(iter(slider.findChildren(QSlider)), slider)
        option = QStyleOptionSlider()
        slider.initStyleOption(option)
        groove, handle = (
            slider.style().subControlRect(QStyle.ComplexControl.CC_Slider, option, control, slider)
            for control in (QStyle.SubControl.SC_SliderGroove, QStyle.SubControl.SC_SliderHandle)
        )
        start = handle.center()
        end = QPoint(groove.left() + round(share * (groove.width() - 1)), start.y())
        self.drag_on(slider, start, end)

    def drag_on(self, widget, start, end):
        """Drag on a widget; what was made of the move so far is seen after each event."""
        button = Qt.MouseButton.LeftButton
        self.qtbot.mousePress(widget, button, pos=start)
        for step in range(1, 7):
            send_move(widget, start + (end - start) * (step / 6), button)
        self.qtbot.mouseRelease(widget, button, pos=end)

    def choose_layers(self, *layers):
        """Click on the names of layers in napari's list, the control key held from the second."""
        keys = Qt.KeyboardModifier.NoModifier
        for layer in layers:
            view, index = self.in_layer_list(layer)
            place = view.visualRect(index).center()
            self.qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, keys, place)
            keys = Qt.KeyboardModifier.ControlModifier
        assert self.viewer.layers.selection == set(layers)

    def click_eye(self, layer):
        """Click on the eye of a layer in napari's list."""
        view, index = self.in_layer_list(layer)
        self.click(view.viewport(), _check_box(view, index))

    def rename(self, layer, name):
        """Double-click on the name of a layer in napari's list, and type another."""
        view, index = self.in_layer_list(layer)
        place = view.visualRect(index).center()
        self.qtbot.mouseClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
        self.qtbot.mouseDClick(view.viewport(), Qt.MouseButton.LeftButton, pos=place)
        [editor] = view.viewport().findChildren(QLineEdit)
        self.qtbot.keyClicks(editor, name)
        self.qtbot.keyClick(editor, Qt.Key.Key_Return)
        self.qtbot.waitUntil(lambda: not view.viewport().findChildren(QLineEdit))

    def choose_from_menu(self, layer, *titles, also=None):
        """An entry of the menu that a right click on a layer in napari's list opens.

        ``also`` is another layer that is marked with it.
        """
        view, index = self.in_layer_list(layer)
        left, missed = list(titles), []

        def choose():
            menu = QApplication.activePopupWidget()
            if menu is None:
                QTimer.singleShot(20, choose)
                return
            entries = {action.text().replace("&", ""): action for action in menu.actions()}
            if left[0] not in entries:
                missed.append(list(entries))
                # A menu that stays open would hold the test for ever.
                while (menu := QApplication.activePopupWidget()) is not None:
                    menu.close()
                return
            action = entries[left.pop(0)]
            where = menu.actionGeometry(action).center()
            if left:
                QTimer.singleShot(200, choose)
            self.qtbot.mouseMove(menu, where)
            self.qtbot.mouseClick(menu, Qt.MouseButton.LeftButton, pos=where)

        self.choose_layers(layer, *([] if also is None else [also]))
        QTimer.singleShot(20, choose)
        place = view.visualRect(index).center()
        self.qtbot.mouseClick(view.viewport(), Qt.MouseButton.RightButton, pos=place)
        assert not missed, missed
        assert not left

    def drag_in_layer_list(self, layer, below):
        """Drag a layer by the mouse to below another in napari's list."""
        view, index = self.in_layer_list(layer)
        _, other = self.in_layer_list(below)
        window, viewport = view.window().windowHandle(), view.viewport()
        start, end = view.visualRect(index).center(), view.visualRect(other)
        end = QPoint(end.center().x(), end.bottom() - 1)

        def at(point):
            return viewport.mapTo(view.window(), point)

        # From here on Qt's own loop follows the mouse over the whole screen.
        steps = [start + (end - start) * (step / 6) for step in range(1, 7)]
        for number, point in enumerate(steps):
            QTimer.singleShot(100 + 50 * number, partial(QTest.mouseMove, window, at(point)))
        QTimer.singleShot(
            500,
            partial(
                QTest.mouseRelease,
                window,
                Qt.MouseButton.LeftButton,
                Qt.KeyboardModifier.NoModifier,
                at(end),
            ),
        )
        self.qtbot.mousePress(viewport, Qt.MouseButton.LeftButton, pos=start)
        send_move(viewport, start + QPoint(0, 20), Qt.MouseButton.LeftButton)

    def in_layer_list(self, layer):
        """napari's list of layers, and where the layer is in it."""
        window = self.viewer.window._qt_window
        # It shares its place with the Study panel.
        dock = window.findChild(QDockWidget, "layer list")
        dock.raise_()
        [view] = [
            child for child in dock.findChildren(QListView) if type(child).__name__ == "QtLayerList"
        ]
        self.qtbot.waitUntil(view.isVisible)
        model = view.model()
        rows = [model.index(row, 0) for row in range(model.rowCount())]
        return view, next(index for index in rows if index.data(ITEM_ROLE) is layer)

    def viewer_button(self, mode):
        """One of napari's buttons below the layer list, as "transpose"."""
        [button] = [
            button
            for button in self.viewer.window._qt_window.findChildren(QPushButton)
            if button.property("mode") == mode
        ]
        return button

    def layer_controls(self, layer):
        """napari's controls of a layer, which is chosen in its list; by their names."""
        self.choose_layers(layer)
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


def _check_box(view, index):
    """Where the check box of a row is painted; in napari's list of layers, its eye."""
    view.scrollTo(index)
    option = QStyleOptionViewItem()
    view.initViewItemOption(option)
    option.rect = view.visualRect(index)
    option.features |= QStyleOptionViewItem.ViewItemFeature.HasCheckIndicator
    box = QStyle.SubElement.SE_ItemViewItemCheckIndicator
    return view.style().subElementRect(box, option, view).center()
