"""A real napari window with the panels docked."""

from __future__ import annotations

from pathlib import Path

import pytest
from desk import Desk

MANIFEST = Path(__file__).resolve().parents[2] / "napari.yaml"


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
