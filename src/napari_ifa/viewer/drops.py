"""Studies that are dropped on the canvas go to the Study panel, all at once.

napari by itself opens dropped files one by one, asks which reader to use for each folder and each
``.dcm`` (its own reader takes them too), and stops at the first file without a suffix, as most
DICOM files from a disc are.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QEvent, QMimeData, QObject, Qt
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QWidget

from napari_ifa.viewer.study_files import holds_a_study


def dropped_paths(data: QMimeData) -> list[Path]:
    """Files and folders of a drop; what does not lie on this machine is left out."""
    return [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]


class CanvasDrops(QObject):
    """Takes what is a study out of what is dropped on a napari window's canvas.

    With Shift or Alt held, which ask napari to stack or to offer a choice of readers, and for
    anything else than a study, the drop stays napari's.
    """

    def __init__(self, open_paths: Callable[[list[Path]], None]) -> None:
        super().__init__()
        self._open_paths = open_paths
        self._watched: weakref.WeakSet[QWidget] = weakref.WeakSet()

    def watch(self, window: QWidget) -> None:
        """Watch the canvas of a window, once."""
        from napari.qt import QtViewer

        for canvas in window.findChildren(QtViewer):
            if canvas not in self._watched:
                self._watched.add(canvas)
                canvas.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """True for a drop that has been taken."""
        if event.type() != QEvent.Type.Drop or not isinstance(event, QDropEvent):
            return False
        keys = event.modifiers()
        if keys & (Qt.KeyboardModifier.ShiftModifier | Qt.KeyboardModifier.AltModifier):
            return False
        paths = dropped_paths(event.mimeData())
        if not paths or not holds_a_study(paths):
            return False
        event.acceptProposedAction()
        self._open_paths(paths)
        return True
