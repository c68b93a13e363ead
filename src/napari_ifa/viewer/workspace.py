"""Session, jobs and scene of one viewer, shared by all its panels."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, QTimer
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_ifa.disk import clear_leftovers
from napari_ifa.viewer.drops import CanvasDrops
from napari_ifa.viewer.scene.corner_note import CornerNote
from napari_ifa.viewer.scene.letters import OrientationLetters
from napari_ifa.viewer.scene.scene import Scene
from napari_ifa.viewer.state.jobs import Jobs
from napari_ifa.viewer.state.session import Session

if TYPE_CHECKING:
    import napari

#: Milliseconds within which napari's next file of the same drop follows.
_PATIENCE = 100


class Workspace:
    """What one viewer has open and shows. All panels of a viewer share one."""

    def __init__(self, viewer: napari.Viewer) -> None:
        self._viewer = weakref.ref(viewer)
        self.jobs = Jobs()
        self.session = Session(self.jobs)
        self.scene = Scene(viewer, self.session)
        self.letters = OrientationLetters(viewer)
        self.corner_note = CornerNote(viewer, self.session, self.scene)
        self._drops = CanvasDrops(
            lambda paths: self.session.open_path(*paths), lambda: self.session.volume is not None
        )
        self._closing = _ClosingWatch(self.jobs)
        self._handed_over: list[Path] = []
        self._patience = QTimer()
        self._patience.setSingleShot(True)
        self._patience.setInterval(_PATIENCE)
        self._patience.timeout.connect(self._open_handed_over)
        self.jobs.start("Getting ready", _get_ready, _ignore, _ignore, key="ready", lane="ready")

    @property
    def viewer(self) -> napari.Viewer:
        """The viewer, which outlives everything that is shown in it."""
        viewer = self._viewer()
        assert viewer is not None
        return viewer

    def watch_window(self, panel: QWidget) -> None:
        """Of the window that shows ``panel``: take drops, and stop the jobs when it closes."""
        self._closing.watch(panel.window())
        self._drops.watch(panel.window())

    def hand_over(self, paths: Sequence[str | Path]) -> None:
        """Open files that napari brings one by one, together."""
        self._handed_over += map(Path, paths)
        self._patience.start()

    def _open_handed_over(self) -> None:
        paths, self._handed_over = self._handed_over, []
        # napari starts over with all of them once a person has chosen a reader.
        self.session.open_path(*dict.fromkeys(paths))


def _get_ready(progress: Any, stop: Any) -> None:
    """Remove what ended processes left, and import what napari imports with its first layer.

    That would then stop the window.

    No layer is made here: napari's own state, as its table of units, is not made for two threads.
    """
    clear_leftovers()
    import_module("xarray")
    import_module("scipy.ndimage")


def _ignore(outcome: Any) -> None:
    """Whatever could not be imported is missed where it is used."""


class _ClosingWatch(QObject):
    """Ends the threads before Qt takes the window down."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self._jobs = jobs

    def watch(self, window: QWidget) -> None:
        # Qt keeps a filter once, however often it is installed.
        if isinstance(window, QMainWindow):
            window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Close:
            self._jobs.close()
        return False


# A viewer has no place for what a plugin keeps, and its panels may be made one by one and in any
# order, so the workspace is found here, by the viewer's identity (viewers compare by content).
# Nothing in a workspace holds its viewer, so that an entry goes with it.
_workspaces: dict[int, Workspace] = {}


def workspace_of(viewer: napari.Viewer) -> Workspace:
    """The workspace of a viewer, made when it is first asked for."""
    viewer = getattr(viewer, "__wrapped__", viewer)
    key = id(viewer)
    if key not in _workspaces:
        _workspaces[key] = Workspace(viewer)
        weakref.finalize(viewer, _workspaces.pop, key, None)
    return _workspaces[key]
