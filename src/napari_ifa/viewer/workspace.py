"""Session, jobs and scene of one viewer, and how its panels are docked."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QEvent, QObject, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_ifa.disk import clear_leftovers
from napari_ifa.viewer.corner_note import CornerNote
from napari_ifa.viewer.drops import CanvasDrops
from napari_ifa.viewer.jobs import Jobs
from napari_ifa.viewer.letters import OrientationLetters
from napari_ifa.viewer.scene import Scene
from napari_ifa.viewer.session import Session

if TYPE_CHECKING:
    import napari

STUDY, EXPLAIN, IMPORTANCE = "Study", "Explain", "Feature importance"
#: Width in pixels at which no text of the panels is cut.
_WIDTHS = {STUDY: 330, EXPLAIN: 390}
#: Heights, as shares: layer controls over study, explanation over features.
_LEFT, _RIGHT = (30, 70), (44, 56)
#: Milliseconds within which napari's next file of the same drop follows.
_PATIENCE = 100
_LAYER_CONTROLS, _LAYER_LIST = "layer controls", "layer list"


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
        """Open files that napari brings one by one, together, in the Study panel."""
        self.dock_study()
        self._handed_over += map(Path, paths)
        self._patience.start()

    def _open_handed_over(self) -> None:
        paths, self._handed_over = self._handed_over, []
        # napari starts over with all of them once a person has chosen a reader.
        self.session.open_path(*dict.fromkeys(paths))

    def dock_study(self) -> None:
        """Bring the Study panel to the front, docked beside the layer list if it is not yet."""
        from napari_ifa.viewer.study_panel import StudyPanel

        is_new = not self._panels(StudyPanel)
        study = self._dock(STUDY, StudyPanel, "left")
        window = study.parent()
        if isinstance(window, QMainWindow) and is_new:
            _tabify(window, study)
        study.show()
        QTimer.singleShot(0, study, study.raise_)

    def dock_all(self) -> None:
        """Dock every panel that is not docked: the study left, the explanation right."""
        from napari_ifa.viewer.explain_panel import ExplainPanel
        from napari_ifa.viewer.importance_panel import ImportancePanel
        from napari_ifa.viewer.study_panel import StudyPanel

        study = self._dock(STUDY, StudyPanel, "left")
        explain = self._dock(EXPLAIN, ExplainPanel, "right")
        importance = self._dock(IMPORTANCE, ImportancePanel, "right")
        window = explain.parent()
        if not isinstance(window, QMainWindow):
            return
        _tabify(window, study)
        window.splitDockWidget(explain, importance, Qt.Orientation.Vertical)
        # Sizes and tabs hold only once Qt has laid the docks out.
        QTimer.singleShot(0, study, partial(_arrange, window, study, explain, importance))

    def _dock(self, name: str, make: Any, area: str) -> QDockWidget:
        for panel in self._panels(make):
            return panel
        return self.viewer.window.add_dock_widget(
            make(self.viewer), name=name, area=area, add_vertical_stretch=False
        )

    def _panels(self, kind: type[QWidget]) -> list[QDockWidget]:
        docks = self.viewer.window.dock_widgets
        found = [widget for widget in docks.values() if isinstance(widget, kind)]
        return [widget.parent() for widget in found if isinstance(widget.parent(), QDockWidget)]


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


def _tabify(window: QMainWindow, study: QDockWidget) -> None:
    layer_list = window.findChild(QDockWidget, _LAYER_LIST)
    if layer_list is not None:
        window.tabifyDockWidget(layer_list, study)


def _arrange(
    window: QMainWindow, study: QDockWidget, explain: QDockWidget, importance: QDockWidget
) -> None:
    across, down = Qt.Orientation.Horizontal, Qt.Orientation.Vertical
    study.raise_()
    controls = window.findChild(QDockWidget, _LAYER_CONTROLS)
    if controls is not None:
        window.resizeDocks([controls, study], [_LEFT[0], _LEFT[1]], down)
    window.resizeDocks([explain, importance], [_RIGHT[0], _RIGHT[1]], down)
    window.resizeDocks([study, explain], [_WIDTHS[STUDY], _WIDTHS[EXPLAIN]], across)


class _ClosingWatch(QObject):
    """Ends the threads before Qt takes the window down."""

    def __init__(self, jobs: Jobs) -> None:
        super().__init__()
        self._jobs = jobs
        self._watched: weakref.WeakSet[QWidget] = weakref.WeakSet()

    def watch(self, window: QWidget) -> None:
        if isinstance(window, QMainWindow) and window not in self._watched:
            self._watched.add(window)
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
