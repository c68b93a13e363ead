"""What napari finds in the manifest: reader, sample data, widgets; none of it loads torch."""

from __future__ import annotations

import subprocess
import sys

import nibabel
import numpy as np
import pytest

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.viewer import contributions
from napari_ifa.viewer.contributions import get_reader


def write_nifti(path, shape=(4, 5, 6)):
    """RAS voxels of 1 × 2 × 3 mm; the first one at x = −10, y = −20, z = −30 mm."""
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    affine[:3, 3] = (-10, -20, -30)
    array = np.arange(np.prod(shape), dtype=np.int16).reshape(shape)
    nibabel.save(nibabel.Nifti1Image(array, affine), path)
    return array


def test_manifest_names_functions_that_exist(plugin):
    from npe2.manifest.utils import import_python_name

    assert plugin.contributions.commands
    for command in plugin.contributions.commands:
        assert callable(import_python_name(command.python_name))


def test_importing_the_contributions_loads_neither_torch_nor_qt():
    code = (
        "import sys, napari_ifa.viewer.contributions;"
        "print([m for m in ('torch', 'monai', 'qtpy', 'napari') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_reading_a_study_does_not_load_torch(tmp_path):
    write_nifti(tmp_path / "a.nii")
    code = (
        "import sys; from napari_ifa.viewer.contributions import get_reader;"
        "path = sys.argv[1]; get_reader(path)(path); print('torch' in sys.modules)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.nii")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == "False"


def test_reader_places_a_study_in_the_patient(tmp_path):
    array = write_nifti(tmp_path / "a.nii")
    path = str(tmp_path / "a.nii")
    [(data, attributes, kind)] = get_reader(path)(path)
    assert kind == "image"
    # (I, P, L): superior comes first, anterior first, right first.
    np.testing.assert_array_equal(data, array[::-1, ::-1, ::-1].transpose(2, 1, 0))
    assert attributes["scale"] == (3.0, 2.0, 1.0)
    # The most superior, anterior, right voxel: x = −7, y = −12, z = −15 (RAS).
    assert attributes["translate"] == pytest.approx((15.0, 12.0, 7.0))
    assert attributes["units"] == ("mm", "mm", "mm")
    assert attributes["axis_labels"] == ("I", "P", "L")
    assert attributes["metadata"]["orientation"] == "axial"


def test_reader_refuses_what_is_not_there(tmp_path):
    assert get_reader(str(tmp_path / "nothing.nii")) is None
    assert get_reader([]) is None


def test_reader_says_why_a_file_is_not_opened(tmp_path):
    (tmp_path / "broken.nii").write_bytes(b"not an image")
    with pytest.raises(UnsupportedStudyError, match=r"broken\.nii"):
        get_reader(str(tmp_path / "broken.nii"))(str(tmp_path / "broken.nii"))


def test_without_a_window_several_series_are_named_and_none_is_guessed(tmp_path):
    write_nifti(tmp_path / "small.nii", (4, 5, 2))
    write_nifti(tmp_path / "large.nii", (4, 5, 9))
    with pytest.raises(UnsupportedStudyError, match=r"2 series found.*large.*small"):
        get_reader(str(tmp_path))(str(tmp_path))


def test_names_without_a_suffix_are_ours_only_if_they_are_dicom(tmp_path):
    (tmp_path / "LICENSE").write_text("Do as you like.")
    (tmp_path / "IM000001").write_bytes(bytes(128) + b"DICM")
    assert get_reader(str(tmp_path / "LICENSE")) is None
    assert get_reader(str(tmp_path / "IM000001")) is not None


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("scan.dcm", True),
        ("SCAN.DCM", True),
        ("scan.IMA", True),
        ("head.nii.gz", True),
        ("anat+orig.BRIK.gz", True),
        ("anat+orig.HEAD", True),
        ("DICOMDIR", True),
        ("IM000001", True),
        ("00000001", True),
        ("1.2.840.113619.2.5.1762583153.215519", True),
        ("photograph.png", False),
        ("photograph.jpg", False),
        ("stack.tif", False),
        ("table.csv", False),
        ("notes.md", False),
    ],
)
def test_the_manifest_claims_studies_and_leaves_pictures_to_napari(plugin, tmp_path, name, ours):
    from npe2 import PluginManager

    (tmp_path / name).touch()
    readers = PluginManager.instance().iter_compatible_readers([str(tmp_path / name)])
    assert ("napari-ifa" in {reader.plugin_name for reader in readers}) == ours


@pytest.mark.parametrize(
    "sample",
    [
        contributions.sample_healthy,
        contributions.sample_bright_lesion,
        contributions.sample_dark_lesion,
        contributions.sample_confounded,
        contributions.sample_dicom,
    ],
)
def test_samples_are_heads_in_millimetres(sample):
    [(data, attributes, kind)] = sample()
    assert kind == "image"
    extent = np.array(data.shape) * attributes["scale"]
    assert (extent > 140).all()
    assert (extent < 280).all()


@pytest.mark.gui
def test_file_open_of_a_folder_lets_the_person_choose(desk, plugin, tmp_path):
    write_nifti(tmp_path / "small.nii", (4, 5, 2))
    write_nifti(tmp_path / "large.nii", (4, 5, 9))
    assert desk.viewer.open(str(tmp_path), plugin="napari-ifa") == []
    desk.settle(lambda: desk.study.tree.topLevelItemCount() == 2)
    assert desk.session.volume is None
    assert ("note", "2 series found: choose one to open.") in desk.said


@pytest.mark.gui
def test_file_open_docks_the_study_panel_and_opens_the_only_series(
    make_napari_viewer, plugin, qtbot, tmp_path
):
    from napari_ifa.viewer.workspace import workspace_of

    write_nifti(tmp_path / "small.nii", (4, 5, 2))
    viewer = make_napari_viewer(show=True)
    viewer.open(str(tmp_path / "small.nii"), plugin="napari-ifa")
    workspace = workspace_of(viewer)
    qtbot.waitUntil(lambda: len(viewer.layers) == 1 and not workspace.jobs.busy)
    assert workspace.session.volume.shape == (2, 5, 4)
    docked = [type(widget).__name__ for widget in viewer.window.dock_widgets.values()]
    assert docked == ["StudyPanel"]


@pytest.mark.gui
def test_files_that_napari_brings_one_by_one_are_looked_into_together(
    desk, plugin, tmp_path, monkeypatch
):
    looked = []
    monkeypatch.setattr(desk.session, "open_path", lambda *paths: looked.append(paths))
    paths = [tmp_path / f"{number}.nii" for number in range(3)]
    for path in paths:
        write_nifti(path)
    desk.viewer.open([str(path) for path in paths], plugin="napari-ifa")
    desk.qtbot.waitUntil(lambda: bool(looked))
    assert looked == [tuple(paths)]


@pytest.mark.gui
@pytest.mark.parametrize(
    "menu", ["napari/layers/visualize", "napari/layers/classify", "napari/plugins/napari-ifa"]
)
def test_it_is_found_in_the_menus(plugin, make_napari_viewer, menu):
    from napari._app_model import get_app_model

    make_napari_viewer()
    commands = [getattr(item, "command", None) for item in get_app_model().menus.get_menu(menu)]
    assert "napari-ifa.explain" in [command.id for command in commands if command]


@pytest.mark.gui
def test_the_widget_brings_the_other_panels(make_napari_viewer, plugin, qtbot):
    viewer = make_napari_viewer()
    viewer.window.add_plugin_dock_widget("napari-ifa", "Explain a study")
    kinds = ["AllPanels", "ImportancePanel", "StudyPanel"]

    def docked():
        return sorted(type(widget).__name__ for widget in viewer.window.dock_widgets.values())

    qtbot.waitUntil(lambda: docked() == kinds)
    # Asked for again, nothing is docked twice.
    viewer.window.add_plugin_dock_widget("napari-ifa", "Explain a study")
    qtbot.wait(50)
    assert docked() == kinds
