"""How the panels of one viewer are docked."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QWidget

from napari_ifa.viewer.panels.explain_panel import ExplainPanel
from napari_ifa.viewer.panels.importance_panel import ImportancePanel
from napari_ifa.viewer.panels.study_panel import StudyPanel

if TYPE_CHECKING:
    import napari

STUDY, EXPLAIN, IMPORTANCE = "Study", "Explain", "Feature importance"
#: Width in pixels at which no text of the panels is cut.
_WIDTHS = {STUDY: 330, EXPLAIN: 390}
#: Heights, as shares: layer controls over study, explanation over features.
_LEFT, _RIGHT = (30, 70), (44, 56)
_LAYER_CONTROLS, _LAYER_LIST = "layer controls", "layer list"


class AllPanels(ExplainPanel):
    """The Explain panel that brings the others: the way in from napari's menus."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        # napari docks this one itself, so the others can stand beside it only afterwards.
        QTimer.singleShot(0, self, partial(dock_all, self.workspace.viewer))


def dock_study(viewer: napari.Viewer) -> None:
    """Bring the Study panel to the front, docked beside the layer list if it is not yet."""
    is_new = not _panels(viewer, StudyPanel)
    study = _dock(viewer, STUDY, StudyPanel, "left")
    window = study.parent()
    if isinstance(window, QMainWindow) and is_new:
        _tabify(window, study)
    study.show()
    QTimer.singleShot(0, study, study.raise_)


def dock_all(viewer: napari.Viewer) -> None:
    """Dock every panel that is not docked: the study left, the explanation right."""
    study = _dock(viewer, STUDY, StudyPanel, "left")
    explain = _dock(viewer, EXPLAIN, ExplainPanel, "right")
    importance = _dock(viewer, IMPORTANCE, ImportancePanel, "right")
    window = explain.parent()
    if not isinstance(window, QMainWindow):
        return
    _tabify(window, study)
    window.splitDockWidget(explain, importance, Qt.Orientation.Vertical)
    # Sizes and tabs hold only once Qt has laid the docks out.
    QTimer.singleShot(0, study, partial(_arrange, window, study, explain, importance))


def _dock(viewer: napari.Viewer, name: str, make: Any, area: str) -> QDockWidget:
    for panel in _panels(viewer, make):
        return panel
    return viewer.window.add_dock_widget(
        make(viewer), name=name, area=area, add_vertical_stretch=False
    )


def _panels(viewer: napari.Viewer, kind: type[QWidget]) -> list[QDockWidget]:
    docks = viewer.window.dock_widgets
    parents = (widget.parent() for widget in docks.values() if isinstance(widget, kind))
    return [parent for parent in parents if isinstance(parent, QDockWidget)]


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
