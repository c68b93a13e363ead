"""The Study panel as a person uses it: open, drop, choose, agree, read why not."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pydicom
import pytest
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_ifa import samples
from napari_ifa.errors import Cancelled
from napari_ifa.reading import Series
from napari_ifa.reading.dicomdir import MISSING
from napari_ifa.viewer.panels.series_tree import GREY, SeriesTree
from napari_ifa.volumes import SourceOrder, volume_from_file_order
from tests.tiny import write_image

pytestmark = pytest.mark.gui

VALUES = [1, 2, 3, 4, 5, 6, 7, 8]


def dicom(key, **values):
    values = {"modality": "MR", "image_count": 20, **values}
    return Series(key=key, path=Path("study"), kind="dicom", **values)


def rows(tree):
    return [tree.topLevelItem(row) for row in range(tree.topLevelItemCount())]


class Listing(list):
    """What a scan returns: series, and how many files were no images."""

    skipped = ()


@pytest.fixture
def scan(monkeypatch):
    """Replace the scan by one that finds what it is told, in steps that the test lets go on."""

    class Scan:
        def __init__(self):
            self.steps, self.asked = [], []
            self.go_on = threading.Semaphore(0)

        def __call__(self, path, *, progress=None, stop=None, found=None):
            self.asked.append(path)
            for number, step in enumerate(self.steps[:-1], start=1):
                found(step)
                progress(number, len(self.steps))
                self.go_on.acquire(timeout=10)
                if stop():
                    raise Cancelled("stopped")
            return self.steps[-1]

    scan = Scan()
    monkeypatch.setattr("napari_ifa.reading.list_series", scan)
    return scan


@pytest.fixture
def read(monkeypatch):
    """Replace reading by an image of zeros, and remember what was read."""
    done = []

    def read_volume(path, series, *, progress=None, stop=None):
        done.append(series.key)
        return volume_from_file_order(
            np.zeros((4, 5, 6), np.float32),
            np.eye(4),
            SourceOrder(kind="dicom"),
            modality=series.modality,
            description=series.description,
        )

    monkeypatch.setattr("napari_ifa.reading.read_volume", read_volume)
    return done


# -- opening --------------------------------------------------------------------------------------


def test_open_file_and_open_folder(desk, tmp_path, monkeypatch):
    for name in ("a.nii", "b.nii"):
        write_image(tmp_path / name, VALUES)
    (tmp_path / "c.nii").write_bytes(b"not an image")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: str(tmp_path))
    assert desk.study.invitation.isVisible()
    desk.click(desk.study.open_folder)
    desk.settle(lambda: len(rows(desk.study.tree)) == 3)
    assert not desk.study.invitation.isVisible()
    assert desk.session.volume is None
    [refused] = [row for row in rows(desk.study.tree) if "cannot be opened" in row.text(0)]
    assert "c.nii" in refused.toolTip(0)
    assert "1 × 1 × 1 mm" in rows(desk.study.tree)[0].text(0)
    desk.click(desk.study.open_series)
    desk.settle(lambda: desk.session.volume is not None)
    assert desk.study.view.title.text() == "a"
    files = [str(tmp_path / "b.nii")]
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *a, **k: (files, ""))
    desk.click(desk.study.open_file)
    desk.settle(lambda: desk.session.volume.description == "b")


def test_everything_that_is_dropped_on_the_panel_is_looked_into(desk, scan, tmp_path):
    scan.steps = [Listing([dicom("a"), dicom("b")])]
    paths = [tmp_path / name for name in ("IM0001", "head.nii.gz")]
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    event = QDropEvent(
        QPointF(5, 5),
        Qt.DropAction.CopyAction,
        mime,
        Qt.MouseButton.LeftButton,
        Qt.KeyboardModifier.NoModifier,
    )
    desk.study.dropEvent(event)
    desk.settle(lambda: bool(scan.asked))
    assert scan.asked == [paths]


def test_an_error_is_one_sentence_in_the_panel(desk, tmp_path):
    desk.session.open_path(tmp_path / "nowhere.nii")
    desk.settle(lambda: bool(desk.said))
    message = desk.study.message
    assert message.isVisible()
    assert message.text.text() == "There is no such file or folder; check the path of the study."
    assert "Traceback" not in message.text.text()
    desk.session.open_path(write_image(tmp_path / "case.nii", VALUES))
    desk.settle(lambda: desk.session.volume is not None)
    assert not message.isVisible()


def test_files_that_are_no_images_are_counted(desk, scan):
    scan.steps = [Listing([dicom("a"), dicom("b")])]
    scan.steps[0].skipped = (
        SimpleNamespace(reason="DICOM without an image", count=2, names=("report", "dose")),
        SimpleNamespace(reason="not an image", count=1, names=("readme.txt",)),
    )
    desk.session.open_path("study")
    desk.settle(desk.study.skipped.isVisible)
    assert desk.study.skipped.text() == "3 other files are no images"
    assert desk.study.skipped.toolTip().splitlines() == [
        "2 DICOM without an image: report, dose",
        "1 not an image: readme.txt",
    ]


def test_files_that_are_missing_on_a_disc_are_not_called_no_images(desk, scan):
    scan.steps = [Listing([dicom("a"), dicom("b")])]
    scan.steps[0].skipped = (
        SimpleNamespace(reason=MISSING, count=2, names=("I1", "I2")),
        SimpleNamespace(reason="not an image", count=1, names=("readme.txt",)),
    )
    desk.session.open_path("study")
    desk.settle(desk.study.skipped.isVisible)
    words = "2 files of the DICOMDIR not there, 1 other file is no image"
    assert desk.study.skipped.text() == words


def test_a_new_search_takes_the_last_ones_message_away(desk, scan):
    scan.steps = [[dicom("a"), dicom("b")]]
    desk.session.open_path("study")
    desk.settle(desk.study.message.isVisible)
    scan.steps = [[dicom("a"), dicom("b")], [dicom("a"), dicom("b")]]
    desk.session.open_path("study")
    assert not desk.study.message.isVisible()
    scan.go_on.release()
    desk.settle(desk.study.message.isVisible)


# -- while the scan goes on -----------------------------------------------------------------------


def test_the_list_grows_and_keeps_what_the_person_has_marked(desk, scan, read):
    scan.steps = [[dicom("a"), dicom("b")], [dicom("a"), dicom("b"), dicom("c")]]
    desk.session.open_path("study")
    tree = desk.study.tree
    desk.qtbot.waitUntil(lambda: len(rows(tree)) == 2)
    tree.setCurrentItem(rows(tree)[1])
    scan.go_on.release()
    desk.settle(lambda: len(rows(tree)) == 3)
    assert tree.current.key == "b"


def test_what_is_chosen_during_the_scan_is_read_whole_after_it(desk, scan, read):
    """Half of its slices may not have been found yet."""
    half, whole = dicom("a", image_count=10), dicom("a", image_count=20)
    scan.steps = [[half, dicom("b")], [whole, dicom("b")]]
    desk.session.open_path("study")
    desk.qtbot.waitUntil(lambda: len(rows(desk.study.tree)) == 2)
    desk.click(desk.study.open_series)
    desk.qtbot.wait(50)
    assert read == []
    assert "as soon as all files" in desk.said[-1][1]
    scan.go_on.release()
    desk.settle(lambda: desk.session.volume is not None)
    assert desk.session.opened is whole


def test_after_a_cancelled_scan_a_series_opens_only_with_consent(desk, scan, read, monkeypatch):
    asked = []

    def question(parent, title, text, *rest):
        asked.append(text)
        return QMessageBox.StandardButton.Open

    monkeypatch.setattr(QMessageBox, "question", question)
    scan.steps = [[dicom("a"), dicom("b")], [dicom("a"), dicom("b"), dicom("c")]]
    desk.session.open_path("study")
    desk.qtbot.waitUntil(lambda: bool(desk.study.jobs.rows))
    [row] = desk.study.jobs.rows.values()
    desk.click(row.cancel)
    scan.go_on.release()
    desk.settle()
    assert desk.said[-1] == ("note", "Looking for series: cancelled.")
    assert len(rows(desk.study.tree)) == 2
    assert read == []
    desk.click(desk.study.open_series)
    desk.settle(lambda: read == ["a"])
    assert "may be missing" in asked[0]


# -- the list -------------------------------------------------------------------------------------


@pytest.fixture
def tree(qtbot):
    tree = SeriesTree()
    qtbot.addWidget(tree)
    tree.resize(330, 300)
    tree.show()
    return tree


def test_a_double_click_or_enter_opens_and_a_click_does_not(tree, qtbot):
    opened = []
    tree.opened.connect(lambda series: opened.append(series.key))
    tree.show_series([dicom("a"), dicom("b")])
    place = tree.visualItemRect(rows(tree)[1]).center()
    qtbot.mouseClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=place)
    assert opened == []
    assert tree.current.key == "b"
    qtbot.mouseDClick(tree.viewport(), Qt.MouseButton.LeftButton, pos=place)
    qtbot.keyClick(tree, Qt.Key.Key_Return)
    assert opened == ["b", "b"]


def test_several_images_of_a_series_stand_below_it(tree):
    parts = [
        dicom("a", number=801, description="B0 map", part="magnitude"),
        dicom("b", number=801, description="B0 map", part="field map"),
    ]
    tree.show_series(parts)
    [row] = rows(tree)
    assert row.text(0) == "801 · MR · B0 map\n2 images of 20 slices"
    assert [row.child(k).text(0) for k in range(2)] == ["magnitude", "field map"]
    assert tree.current is None, "the series is no image itself"
    row.setExpanded(True)
    tree.setCurrentItem(row.child(1))
    assert tree.current is parts[1]


def test_the_first_that_opens_is_proposed_until_the_person_marks_another(tree):
    tree.show_series([dicom("c")])
    assert tree.current.key == "c"
    tree.show_series([dicom("a"), dicom("b"), dicom("c")])
    assert tree.current.key == "a", "not what was found first"
    tree.setCurrentItem(rows(tree)[1])
    tree.show_series([dicom("x"), dicom("a"), dicom("b"), dicom("c")])
    assert tree.current.key == "b"


def test_an_ultrasound_has_images_and_no_slices(tree):
    tree.show_series([dicom("a", image_count=30, shape=(30, 240, 320), orientation="2D stack")])
    assert rows(tree)[0].text(0).splitlines()[1] == "30 images · 2D stack"


def test_series_of_several_studies_say_which_is_theirs(tree):
    when = {"study": 2, "study_date": "2018-05-26"}
    tree.show_series(
        [
            dicom("a", number=5, description="head", study=1, spacing=(5, 0.5, 0.5)),
            dicom("b", number=5, description="head", **when),
            dicom("c", number=801, description="B0 map", part="magnitude", **when),
            dicom("d", number=801, description="B0 map", part="field map", **when),
        ]
    )
    assert [row.text(0).splitlines()[-1] for row in rows(tree)] == [
        "5 × 0.5 × 0.5 mm · study 1",
        "study 2, 2018-05-26",
        "study 2, 2018-05-26",
    ]


def test_four_hundred_times_are_folded_away_and_quick_to_list(tree, qtbot):
    import time

    times = [dicom(f"{k:08x}", number=5, part=f"time {k} of 400") for k in range(1, 401)]
    tree.show_series(times)
    [row] = rows(tree)
    assert row.childCount() == 400
    assert not row.isExpanded()
    row.setExpanded(True)
    tree.setCurrentItem(row.child(300))
    started = time.perf_counter()
    tree.show_series(times)
    assert time.perf_counter() - started < 0.5
    assert tree.current is times[300]
    assert rows(tree)[0].isExpanded()


def test_another_view_is_grey_and_slanted_and_never_the_first_choice(tree):
    image, view = dicom("a", number=4), dicom("b", number=4, part="run 1", alternative=True)
    tree.show_series([view, image])
    [row] = rows(tree)
    assert tree.current is image
    below = row.child(0)
    assert below.font(0).italic()
    assert below.foreground(0).color() == GREY
    assert not row.font(0).italic()


def test_notes_stand_in_the_tooltip(tree):
    tree.show_series([dicom("a", notes=("Gantry tilt 18.5° corrected by resampling.",))])
    assert "Gantry tilt 18.5°" in rows(tree)[0].toolTip(0)


def test_a_picture_is_described_in_pixels(tree):
    tree.show_series([Series("a", Path("x.png"), "image", description="x", shape=(1, 20, 30))])
    assert rows(tree)[0].text(0) == "x\npicture · 30 × 20 pixels"


def test_a_refused_series_says_why_when_it_is_marked(desk, scan):
    reason = "Series 3: Siemens mosaic without its private header."
    scan.steps = [[dicom("a"), dicom("b"), dicom("c", number=3, unsupported=reason)]]
    desk.session.open_path("study")
    tree, message = desk.study.tree, desk.study.message
    desk.settle(lambda: len(rows(tree)) == 3)
    tree.setCurrentItem(rows(tree)[2])
    assert message.text.text() == reason
    assert message.isVisible()
    assert not desk.study.open_series.isEnabled()
    tree.setCurrentItem(rows(tree)[0])
    assert not message.isVisible()
    assert desk.study.open_series.isEnabled()


@pytest.mark.parametrize("answer", ["Open", "Cancel"])
def test_a_series_with_a_question_opens_only_if_the_person_agrees(
    desk, scan, read, monkeypatch, answer
):
    sentence = "Series 3: nothing tells its images apart. Open as a 2D stack?"
    asked = []

    def question(parent, title, text, *rest):
        asked.append(text)
        return getattr(QMessageBox.StandardButton, answer)

    monkeypatch.setattr(QMessageBox, "question", question)
    scan.steps = [[dicom("a", question=sentence), dicom("b"), dicom("c")]]
    desk.session.open_path("study")
    desk.settle(lambda: len(rows(desk.study.tree)) == 3)
    desk.study.tree.setCurrentItem(rows(desk.study.tree)[0])
    desk.click(desk.study.open_series)
    desk.settle()
    assert asked == [sentence]
    assert read == (["a"] if answer == "Open" else [])


def test_only_one_series_to_choose_is_opened_at_once(desk, scan, read):
    scan.steps = [
        [
            dicom("a", description="EPI", part="field map"),
            dicom("b", description="EPI", part="run 1", alternative=True),
            dicom("c", unsupported="No."),
            dicom("e", question="As a 2D stack?"),
            Series("d", Path("logo.png"), "image"),
        ]
    ]
    desk.session.open_path("study")
    desk.settle(lambda: desk.session.volume is not None)
    assert read == ["a"]
    assert desk.scene.image.name == "MR EPI, field map"


def test_an_only_series_that_asks_is_asked_about_at_once(desk, scan, read, monkeypatch):
    answer = QMessageBox.StandardButton.Open
    monkeypatch.setattr(QMessageBox, "question", lambda *a, **k: answer)
    scan.steps = [[dicom("a", question="As a 2D stack?"), dicom("b", unsupported="No.")]]
    desk.session.open_path("study")
    desk.settle(lambda: read == ["a"])


# -- privacy --------------------------------------------------------------------------------------


def test_nothing_of_the_patient_is_shown_or_stands_in_the_layer(desk, tmp_path):
    folder = tmp_path / "Doe^Jane"
    folder.mkdir()
    for number, file in enumerate(sorted(samples.dicom_series().rglob("*.dcm"))):
        data = pydicom.dcmread(file)
        data.PatientName, data.PatientID, data.PatientBirthDate = "Doe^Jane", "Doe4711", "19700101"
        data.save_as(folder / f"Doe{number}.dcm")
    desk.session.open_path(folder)
    desk.settle(lambda: desk.session.volume is not None)
    [layer] = desk.viewer.layers
    view, [row] = desk.study.view, rows(desk.study.tree)
    seen = [layer.name, repr(layer.metadata), view.title.text(), view.facts.text()]
    seen += [view.badge.text(), row.text(0), row.toolTip(0), desk.study.message.text.text()]
    seen += [sentence for _, sentence in desk.said]
    assert "phantom" in layer.name
    for text in seen:
        assert "Doe" not in text
        assert "19700101" not in text


def test_what_others_wrote_is_shown_letter_by_letter(desk, scan):
    """Qt takes ``<b>`` in a tooltip or a label for HTML, and an ``<img>`` for a file to load."""
    written = '<img src="other.png"><b>T1</b>'
    scan.steps = [[dicom("a", description=written, unsupported=f"{written}: not opened.")]]
    desk.session.open_path("study")
    desk.settle(desk.study.message.isVisible)
    [row] = rows(desk.study.tree)
    assert written in row.text(0)
    assert "&lt;img" in row.toolTip(0)
    assert "<img" not in row.toolTip(0)
    assert desk.study.message.text.textFormat() == Qt.TextFormat.PlainText
