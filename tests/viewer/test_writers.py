"""Saving by File > Save and exporting by the button: what is chosen now, as it is shown now."""

from __future__ import annotations

import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_ifa.analysis import FeatureMask, analyze
from napari_ifa.cohorts import read_cohort
from napari_ifa.errors import Cancelled, IfaError
from napari_ifa.reading import read_volume
from napari_ifa.viewer.writers import LayerProblem, write_nifti_layer, write_parametric_map_layer
from napari_ifa.volumes import Window
from tests.problems import refused
from tests.tiny import tiny_classifier, write_cohort, write_image

pytestmark = pytest.mark.gui

VALUES = [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.fixture
def explained(desk, tmp_path):
    cohort = write_cohort(tmp_path, [(VALUES, 1), ([0, 0, 0, 0, 1, 1, 1, 1], 0)])
    desk.session.set_classifier(tiny_classifier())
    desk.session.set_analysis(analyze(tiny_classifier(), read_cohort(cohort)))
    desk.session.set_volume(read_volume(write_image(tmp_path / "case.nii", VALUES)))
    desk.settle(lambda: desk.scene.map.layer is not None)
    return desk


class Exports:
    """Stands for the report's functions and remembers what it was told to write."""

    def __init__(self):
        self.asked = []

    def export_nifti(self, explanation, path, *, overwrite):
        self.asked.append(("nifti", explanation, Path(path), {}))
        Path(path).touch()
        return Path(path)

    def export_parametric_map(self, explanation, path, *, overwrite, progress=None, stop=None):
        self.asked.append(("map", explanation, Path(path), {}))
        Path(path).touch()
        return Path(path)

    def export_secondary_capture(
        self, explanation, folder, window=None, opacity=0.75, *, overwrite, progress=None, stop=None
    ):
        how = {"window": window, "opacity": opacity}
        self.asked.append(("pictures", explanation, Path(folder), how))
        return [Path(folder) / f"{number}.dcm" for number in range(2)]


@pytest.fixture
def exports(monkeypatch):
    exports = Exports()
    for name in ("export_nifti", "export_parametric_map", "export_secondary_capture"):
        monkeypatch.setattr(
            f"napari_ifa.export.explanation.{name}", getattr(exports, name), raising=False
        )
    return exports


def save_selected(desk, layer, path):
    """As File > Save Selected Layers does once a name has been given."""
    desk.viewer.layers.selection = {layer}
    return desk.viewer.layers.save(str(path), selected=True, plugin="napari-ifa")


@pytest.mark.parametrize(
    ("name", "kind"),
    [("map.nii", "nifti"), ("map.nii.gz", "nifti"), ("map.dcm", "map")],
)
def test_an_explanation_is_saved_by_its_suffix(explained, plugin, exports, tmp_path, name, kind):
    explained.session.set_mask(FeatureMask.only(2, [1]))
    saved = save_selected(explained, explained.scene.map.layer, tmp_path / name)
    assert [str(path) for path in saved] == [str(tmp_path / name)]
    [(asked, explanation, path, _)] = exports.asked
    assert (asked, path) == (kind, tmp_path / name)
    # The map as it is chosen now, with one of two features.
    assert explanation is explained.session.explanation
    assert explanation.mask.count == 1


def test_a_folder_of_pictures_is_saved_as_shown(explained, plugin, exports, tmp_path):
    from npe2 import PluginManager

    explained.scene.show_window(Window(4, 6, "mine"))
    explained.explain.opacity.setValue(40)
    layer = explained.scene.map.layer
    writers = PluginManager.instance().iter_compatible_writers(["image"])
    [writer] = [w for w in writers if w.command == "napari-ifa.write_pictures"]
    explained.viewer.layers.selection = {layer}
    saved = explained.viewer.layers.save(str(tmp_path / "out"), selected=True, _writer=writer)
    assert len(saved) == 2
    [(_, explanation, folder, how)] = exports.asked
    assert explanation is explained.session.explanation
    assert folder == tmp_path / "out"
    assert how == {"window": Window(4, 6, "mine"), "opacity": pytest.approx(0.4)}


def test_the_study_itself_is_saved_as_nifti(explained, plugin, tmp_path):
    save_selected(explained, explained.scene.image, tmp_path / "study.nii.gz")
    saved = nibabel.load(tmp_path / "study.nii.gz")
    original = nibabel.load(tmp_path / "case.nii")
    np.testing.assert_array_equal(saved.get_fdata(), original.get_fdata())
    np.testing.assert_array_equal(saved.affine, original.affine)


@pytest.mark.parametrize("write", [write_nifti_layer, write_parametric_map_layer])
def test_another_layer_is_refused_in_one_sentence(write, tmp_path):
    with refused(IfaError, LayerProblem.NO_EXPLANATION):
        write(str(tmp_path / "a.nii"), np.zeros((2, 2)), {"metadata": {}})


# -- the Export button ----------------------------------------------------------------------------


def choose_format(desk, title, monkeypatch, answer):
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(answer), ""))
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: str(answer))
    [action] = [
        action for action in desk.explain.export.menu().actions() if action.text().startswith(title)
    ]
    action.trigger()
    desk.settle()


def test_the_button_writes_a_file_and_says_so(explained, exports, monkeypatch, tmp_path):
    assert explained.explain.export.isVisible()
    choose_format(explained, "NIfTI", monkeypatch, tmp_path / "map.nii.gz")
    choose_format(explained, "DICOM Parametric Map", monkeypatch, tmp_path / "map.dcm")
    assert [asked[0] for asked in exports.asked] == ["nifti", "map"]
    assert explained.said[-2:] == [
        ("note", "NIfTI written: map.nii.gz."),
        ("note", "DICOM Parametric Map written: map.dcm."),
    ]
    assert explained.explain.message.isVisible()


def test_pictures_go_into_a_folder_of_their_own(explained, exports, monkeypatch, tmp_path):
    explained.session.set_mask(FeatureMask.only(2, [0]))
    choose_format(explained, "DICOM pictures", monkeypatch, tmp_path)
    [(_, _, folder, how)] = exports.asked
    # Class "none", of some of the features.
    assert folder == tmp_path / "fs_s_cam_none"
    assert how["opacity"] == pytest.approx(0.75)
    assert how["window"] == explained.scene.window
    assert explained.said[-1] == ("note", "2 pictures written into the folder fs_s_cam_none.")


def test_nothing_is_written_without_an_answer(explained, exports, monkeypatch):
    for title in ("NIfTI", "DICOM pictures"):
        choose_format(explained, title, monkeypatch, "")
    assert exports.asked == []


def test_an_export_can_be_cancelled(explained, exports, monkeypatch, tmp_path):
    def slow(explanation, folder, window, opacity, overwrite, progress, stop):
        for done in range(2000):
            if stop():
                raise Cancelled("stopped")
            progress(done, 2000)
            time.sleep(0.005)

    monkeypatch.setattr(
        "napari_ifa.export.explanation.export_secondary_capture", slow, raising=False
    )
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: str(tmp_path))
    explained.explain.export.menu().actions()[2].trigger()
    explained.qtbot.waitUntil(lambda: bool(explained.explain.jobs.rows))
    [row] = explained.explain.jobs.rows.values()
    explained.click(row.cancel)
    explained.settle()
    assert explained.said[-1] == ("note", "Exporting DICOM pictures for the PACS: cancelled.")


def test_there_is_nothing_to_export_without_an_explanation(desk):
    assert not desk.explain.export.isVisible()
