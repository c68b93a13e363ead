"""Studies that are dropped on the canvas go to the Study panel, all at once.

napari by itself opens dropped files one by one, asks which reader to use for each folder and each
``.dcm`` (its own reader takes them too), and stops at the first file without a suffix, as most
DICOM files from a disc are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.QtCore import QEvent, QMimeData, QObject, Qt, QTimer
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication, QMessageBox, QWidget

from napari_ifa.viewer.state.study_files import holds_a_picture, holds_a_study

_Events = Callable[[], Sequence[QDropEvent]]


def dropped_paths(data: QMimeData) -> list[Path]:
    """Files and folders of a drop; what does not lie on this machine is left out."""
    return [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]


class CanvasDrops(QObject):
    """Takes what is a study out of what is dropped on a napari window's canvas.

    A picture has no place in a patient: while a study is open, a person is asked what it is to be.
    With Shift or Alt held, which ask napari to stack or to offer a choice of readers, and for
    anything else, the drop stays napari's.

    Parameters
    ----------
    open_paths : opens files as a study.
    patient_is_open : whether a picture could be taken for a part of a patient.
    """

    def __init__(
        self, open_paths: Callable[[list[Path]], None], patient_is_open: Callable[[], bool]
    ) -> None:
        super().__init__()
        self._open_paths, self._patient_is_open = open_paths, patient_is_open
        # Whether what is dropped now is napari's, as a person has answered.
        self._answered = False

    def watch(self, window: QWidget) -> None:
        """Watch the canvas of a window; once, since Qt keeps a filter once."""
        from napari.qt import QtViewer

        for canvas in window.findChildren(QtViewer):
            canvas.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """True for a drop that has been taken."""
        if event.type() != QEvent.Type.Drop or not isinstance(event, QDropEvent) or self._answered:
            return False
        keys = event.modifiers()
        if keys & (Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.AltModifier):
            return False
        paths = dropped_paths(event.mimeData())
        if not paths:
            return False
        if holds_a_study(paths):
            event.acceptProposedAction()
            self._open_paths(paths)
            return True
        if self._patient_is_open() and holds_a_picture(paths) and isinstance(watched, QWidget):
            event.acceptProposedAction()
            # The program that the files come from waits until this event is done with.
            same_drop = _repeated(event)
            QTimer.singleShot(0, watched, lambda: self._ask(watched, paths, same_drop))
            return True
        return False

    def _ask(self, canvas: QWidget, paths: list[Path], same_drop: _Events) -> None:
        box = QMessageBox(canvas.window())
        box.setIcon(QMessageBox.Icon.Question)
        box.setWindowTitle("Open pictures?")
        box.setText(
            "A picture does not say where in a patient it lies. It can be a study, which takes the"
            " place of the open one, or a plain layer over the open study, where its pixels are"
            " drawn as if they were millimetres."
        )
        as_study = box.addButton("As a study", QMessageBox.ButtonRole.AcceptRole)
        as_layer = box.addButton("As a plain layer", QMessageBox.ButtonRole.AcceptRole)
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.exec()
        if box.clickedButton() is as_study:
            self._open_paths(paths)
        elif box.clickedButton() is as_layer:
            self._answered = True
            try:
                for event in same_drop():
                    QApplication.sendEvent(canvas, event)
            finally:
                self._answered = False


def _repeated(event: QDropEvent) -> _Events:
    """Makes the same drop once more: Qt deletes an event, and its data, when it is done with.

    Qt drops only where something has been dragged to.
    """
    mime = QMimeData()
    mime.setUrls(event.mimeData().urls())
    where = event.position()
    how = (event.possibleActions(), mime, event.buttons(), event.modifiers())
    # The function keeps the data alive, which the events do not.
    return lambda: (QDragEnterEvent(where.toPoint(), *how), QDropEvent(where, *how))
