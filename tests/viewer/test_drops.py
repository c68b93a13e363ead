"""What is dropped on the canvas: studies go to the Study panel, everything else stays napari's."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from napari.qt import QtViewer
from PIL import Image
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QApplication

from napari_ifa import samples
from napari_ifa.reading import Series, read_volume
from napari_ifa.viewer.state.study_files import holds_a_study
from tests.tiny import write_image

VALUES = [1, 2, 3, 4, 5, 6, 7, 8]


def test_studies_are_known_by_name_or_by_their_first_bytes(tmp_path):
    nameless = tmp_path / "IM0001"
    nameless.write_bytes(bytes(128) + b"DICM")
    picture = tmp_path / "photograph.png"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(picture)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "notes.txt").write_text("x" * 200)
    assert holds_a_study([nameless])
    assert not holds_a_study([picture, tmp_path / "notes.txt", tmp_path / "nowhere"])
    assert not holds_a_study([tmp_path / "deep"])
    (tmp_path / "deep" / "er" / "HEAD.NII.GZ").touch()
    assert holds_a_study([tmp_path / "deep"])


def drop_on_canvas(desk, paths, keys=Qt.KeyboardModifier.NoModifier):
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    how = (Qt.DropAction.CopyAction, mime, Qt.MouseButton.LeftButton, keys)
    [canvas] = desk.study.window().findChildren(QtViewer)
    # Qt drops only where something has been dragged to.
    QApplication.sendEvent(canvas, QDragEnterEvent(QPoint(50, 50), *how))
    QApplication.sendEvent(canvas, QDropEvent(QPointF(50, 50), *how))


@pytest.mark.gui
def test_files_with_and_without_suffix_beside_a_nifti_are_looked_into_together(
    desk, tmp_path, monkeypatch
):
    asked = []
    monkeypatch.setattr(QtViewer, "_qt_open", lambda *a, **k: pytest.fail("napari opened it"))

    def list_series(path, *, progress=None, stop=None, found=None):
        asked.append(path)
        return [Series(key, tmp_path, "dicom") for key in "ab"]

    monkeypatch.setattr("napari_ifa.reading.list_series", list_series)
    dropped = []
    for number, file in enumerate(sorted(samples.dicom_series().rglob("*.dcm"))):
        # As on a disc: some with a suffix, some without.
        name = f"IM{number:04d}" + (".dcm" if number % 2 else "")
        dropped.append(tmp_path / name)
        shutil.copy(file, dropped[-1])
    dropped.append(write_image(tmp_path / "head.nii", VALUES))
    drop_on_canvas(desk, dropped)
    desk.settle(lambda: desk.study.tree.topLevelItemCount() == 2)
    assert asked == [dropped]
    assert len(desk.viewer.layers) == 0, "the person chooses"


@pytest.mark.gui
def test_one_study_dropped_on_the_canvas_opens_without_a_question(desk, monkeypatch):
    opened = []
    monkeypatch.setattr(QtViewer, "_qt_open", lambda self, names, **kwargs: opened.append(names))
    drop_on_canvas(desk, [samples.dicom_series()])
    assert opened == [], "napari would ask which reader to use"
    desk.settle(lambda: desk.session.volume is not None)
    assert [layer.name for layer in desk.viewer.layers] == [desk.scene.image.name]


@pytest.mark.gui
@pytest.mark.parametrize(
    ("answer", "suffix"), [("As a study", "png"), ("As a plain layer", "jpg"), ("Cancel", "tiff")]
)
def test_a_picture_dropped_on_an_open_study_is_asked_about(
    desk, tmp_path, monkeypatch, answer, suffix
):
    desk.session.set_volume(read_volume(write_image(tmp_path / "head.nii", VALUES)))
    opened, looked, asked = [], [], []
    monkeypatch.setattr(QtViewer, "_qt_open", lambda self, names, **kwargs: opened.append(names))
    monkeypatch.setattr(desk.session, "open_path", lambda *paths: looked.append(paths))
    folder = tmp_path / "pictures"
    folder.mkdir()
    picture = folder / f"photograph.{suffix}"
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(picture)
    # A folder of pictures is no more of the patient than one of them.
    path = folder if suffix == "tiff" else picture

    def click():
        box = QApplication.activeModalWidget()
        asked.append(box.text())
        [button] = [b for b in box.buttons() if b.text().replace("&", "") == answer]
        desk.qtbot.mouseClick(button, Qt.MouseButton.LeftButton)

    drop_on_canvas(desk, [path])
    assert (opened, looked) == ([], []), "nothing happens before the answer"
    QTimer.singleShot(200, click)
    desk.qtbot.waitUntil(lambda: bool(asked))
    desk.qtbot.wait(20)
    assert opened == ([[str(path)]] if answer == "As a plain layer" else [])
    assert looked == ([(path,)] if answer == "As a study" else [])


@pytest.mark.gui
@pytest.mark.parametrize("held", ["nothing", "Shift", "Alt"])
def test_other_drops_stay_napari_own(desk, tmp_path, monkeypatch, held):
    opened, looked = [], []
    monkeypatch.setattr(QtViewer, "_qt_open", lambda self, names, **kwargs: opened.append(names))
    monkeypatch.setattr(desk.session, "open_path", lambda *paths: looked.append(paths))
    if held == "nothing":
        path = tmp_path / "photograph.png"
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(path)
        keys = Qt.KeyboardModifier.NoModifier
    else:
        path = write_image(tmp_path / "head.nii", VALUES)
        keys = getattr(Qt.KeyboardModifier, f"{held}Modifier")
    drop_on_canvas(desk, [path], keys)
    assert opened == [[str(path)]]
    assert looked == []
