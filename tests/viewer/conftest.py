"""A real napari window with the panels docked."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.desk import Desk

if TYPE_CHECKING:
    from napari_ifa.analysis import Analysis

MANIFEST = Path(__file__).resolve().parents[2] / "napari.yaml"


@pytest.fixture(autouse=True, scope="module")
def garbage_of_these_tests_only() -> Iterator[None]:
    """napari collects garbage with each layer and window that goes.

    Without what all tests import that is done in a moment.
    """
    for name in ("monai.transforms", "napari.qt", "scipy.ndimage", "torch", "xarray"):
        import_module(name)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
def desk(make_napari_viewer, qtbot):
    viewer = make_napari_viewer(show=True)
    viewer.window._qt_window.resize(1600, 1000)
    desk = Desk(viewer, qtbot)
    # Sizes and tabs are set once the event loop runs.
    qtbot.wait(50)
    yield desk
    desk.workspace.jobs.close()


VALUES = [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.fixture(scope="session")
def tiny_analysis(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    """Of two cases by the tiny classifier; nothing changes it."""
    from napari_ifa.analysis import analyze
    from napari_ifa.cohorts import read_cohort
    from tests.tiny import tiny_classifier, write_cohort

    folder = tmp_path_factory.mktemp("cohort")
    cohort = write_cohort(folder, [(VALUES, 1), ([0, 0, 0, 0, 1, 1, 1, 1], 0)])
    return analyze(tiny_classifier(), read_cohort(cohort))


@pytest.fixture
def explained(desk, tmp_path, tiny_analysis):
    """A tiny study with its map on the common scale of two cases."""
    from napari_ifa.reading import read_volume
    from tests.tiny import tiny_classifier, write_image

    desk.session.set_classifier(tiny_classifier())
    desk.session.set_analysis(tiny_analysis)
    desk.session.set_volume(read_volume(write_image(tmp_path / "case.nii", VALUES)))
    desk.settle(lambda: desk.scene.map.layer is not None)
    return desk


@pytest.fixture
def plugin(npe2pm):
    """The plugin's own manifest, known to napari whether or not the package is installed."""
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(MANIFEST)
    npe2pm.register(manifest)
    return manifest
