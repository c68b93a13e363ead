"""A real napari window with the panels docked, and what a person does in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QStyle, QStyleOptionViewItem

MANIFEST = Path(__file__).resolve().parents[2] / "napari.yaml"


class Desk:
    """A viewer with its workspace and panels."""

    def __init__(self, viewer, qtbot):
        from napari_ifa.viewer.workspace import workspace_of

        self.viewer, self.qtbot = viewer, qtbot
        self.workspace = workspace_of(viewer)
        self.workspace.dock_all()
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

    def top_feature(self, row=0):
        """The feature in a row of the importance table."""
        return self.importance.model.feature_at(row)


@pytest.fixture
def desk(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1600, 1000)
    desk = Desk(viewer, qtbot)
    # Sizes and tabs are set once the event loop runs.
    qtbot.wait(50)
    yield desk
    desk.workspace.jobs.close()


@pytest.fixture
def plugin(npe2pm):
    """The plugin's own manifest, known to napari whether or not the package is installed."""
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(MANIFEST)
    npe2pm.register(manifest)
    return manifest
