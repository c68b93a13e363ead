"""The panels by click, on a model whose numbers can be redone on paper."""

from __future__ import annotations

import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QMessageBox

from napari_ifa.analysis import analyze, load_analysis
from napari_ifa.cohorts import read_cohort
from napari_ifa.errors import AnalysisError, Cancelled, UntrustedModelError
from napari_ifa.models.classifier import BundleSource
from napari_ifa.reading import read_volume
from napari_ifa.viewer.panels.analysis_dialog import METHODS as OFFERED
from napari_ifa.viewer.panels.analysis_dialog import AnalysisDialog
from napari_ifa.viewer.panels.prediction_table import LOGIT_ALL, LOGIT_CHOSEN, P_ALL, P_CHOSEN
from tests.tiny import tiny_classifier, write_cohort, write_image

pytestmark = pytest.mark.gui

VALUES = [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.fixture
def analysis(tmp_path):
    cohort = write_cohort(tmp_path, [(VALUES, 1), ([0, 0, 0, 0, 1, 1, 1, 1], 0)])
    return analyze(tiny_classifier(), read_cohort(cohort))


@pytest.fixture
def explained(desk, tmp_path, analysis):
    desk.session.set_classifier(tiny_classifier())
    desk.session.set_analysis(analysis)
    desk.session.open_path(write_image(tmp_path / "case.nii", VALUES))
    desk.settle(lambda: desk.session.explanation is not None)
    # The numbers below are those of single logits.
    desk.session.compare_with("logit")
    return desk


def number(table, row, column):
    return float(table.item(row, column).text().replace("−", "-"))


# -- explanation ----------------------------------------------------------------------------------


def test_answers_stand_beside_each_other(explained):
    table = explained.explain.predictions
    # Logits 14.5 and 13.25: a difference of 1.25.
    assert explained.probability(0, P_ALL) == pytest.approx(1 / (1 + np.exp(-1.25)))
    assert table.item(0, P_ALL).font().bold()
    explained.click_check_box(0)
    assert number(table, 0, LOGIT_CHOSEN) == 10.0
    assert number(table, 1, LOGIT_CHOSEN) == 11.0
    assert table.item(1, P_CHOSEN).font().bold()
    assert explained.probability(0, P_ALL) == pytest.approx(1 / (1 + np.exp(-1.25)))


def test_another_class_is_chosen(explained):
    choice = explained.explain.class_choice
    assert "predicted" in choice.itemText(0)
    explained.qtbot.keyClick(choice, Qt.Key.Key_Down)
    assert explained.session.explanation.class_idx == 1
    assert explained.explain.legend.ends == ("against lesion", "for lesion")
    assert explained.explain.legend.neutral == explained.session.explanation.scale.neutral
    expected = explained.session.explanation.s_cam.array
    np.testing.assert_allclose(np.asarray(explained.scene.map.layer.data), expected, atol=1e-6)


def test_opacity_slider_moves_the_layers_opacity(explained):
    slider = explained.explain.opacity
    explained.drag_slider(slider, 0.3)
    assert slider.value() == pytest.approx(30, abs=5)
    assert explained.scene.map.layer.opacity == pytest.approx(slider.value() / 100)
    explained.click(explained.study.view.plane_buttons["3D"])
    assert explained.scene.map.layer_3d.opacity == pytest.approx(slider.value() / 100)


def test_a_foreign_analysis_is_refused_with_the_difference(desk, analysis):
    desk.session.set_classifier(tiny_classifier(bent=True))
    desk.session.adopt(analysis)
    assert desk.session.analysis is None
    assert desk.explain.message.isVisible()
    assert desk.said[0][0] == "error"


def test_running_an_analysis_by_click(desk, tmp_path, monkeypatch, qtbot):
    cohort = write_cohort(tmp_path, [(VALUES, 1), ([0, 0, 0, 0, 1, 1, 1, 1], 0)])
    monkeypatch.setattr("napari_ifa.models.load_classifier", lambda *a, **k: tiny_classifier())
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: str(tmp_path))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(cohort), ""))
    desk.click(desk.explain.open_model)
    desk.settle(lambda: desk.session.classifier is not None)
    desk.click(desk.explain.run_analysis)
    [dialog] = desk.explain.findChildren(AnalysisDialog)
    desk.click(dialog.browse.native)
    qtbot.waitUntil(lambda: not dialog.jobs.busy)
    assert dialog.split.current_choice == "training (2 cases)"
    desk.click(dialog.run)
    desk.settle(lambda: desk.session.analysis is not None)
    assert desk.explain.analysis_name.text() == "2 cases, gradcam"
    assert desk.explain.save_analysis.isVisible()
    target = tmp_path / "kept.nc"
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *a, **k: (str(target), ""))
    desk.click(desk.explain.save_analysis)
    desk.settle(target.exists)
    assert not desk.explain.save_analysis.isVisible()
    desk.session.set_analysis(None)
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (str(target), ""))
    desk.click(desk.explain.open_analysis)
    desk.settle(lambda: desk.session.analysis is not None)


def test_each_save_button_writes_the_analysis_that_stands_beside_it(
    desk, tmp_path, monkeypatch, analysis
):
    """An analysis that was run stays to be saved when another one is opened in its place."""
    (tmp_path / "other").mkdir()
    cohort = write_cohort(tmp_path / "other", [(VALUES, 1), (VALUES[::-1], 0), ([1] * 8, 0)])
    analysis.save(tmp_path / "two.nc")
    monkeypatch.setattr("napari_ifa.models.load_classifier", lambda *a, **k: tiny_classifier())
    target = tmp_path / "saved.nc"
    offered = []

    def ask(parent, title, *rest):
        offered.append(title)
        # While a person looks for a folder, another analysis arrives.
        desk.session.set_analysis(load_analysis(tmp_path / "two.nc"))
        return str(target), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    desk.session.models.load(tmp_path)
    desk.settle(lambda: desk.session.classifier is not None)
    panel = desk.explain

    def cases_saved_by(button):
        target.unlink(missing_ok=True)
        assert button.isVisible()
        desk.click(button)
        desk.settle(target.exists)
        return load_analysis(target).cases.sizes["case"]

    desk.session.run_analysis(cohort, None, "gradcam")
    desk.settle(lambda: desk.session.analysis is not None)
    assert panel.analysis_name.text() == "3 cases, gradcam"
    assert not panel.save_other.isVisible()
    assert cases_saved_by(panel.save_analysis) == 3
    assert offered[-1].endswith("3 cases, gradcam")
    assert panel.analysis_name.text() == "2 cases, gradcam"
    assert not panel.save_analysis.isVisible()
    assert not panel.save_other.isVisible()

    desk.session.run_analysis(cohort, None, "gradcam")
    desk.settle(lambda: not desk.session.analysis_is_saved)
    desk.session.analyses.load(tmp_path / "two.nc")
    desk.settle(lambda: desk.session.analysis_is_saved)
    assert panel.analysis_name.text() == "2 cases, gradcam"
    assert not panel.save_analysis.isVisible()
    assert panel.other_name.text() == "also not saved: 3 cases, gradcam"
    assert cases_saved_by(panel.save_other) == 3
    assert not panel.save_other.isVisible()
    # Closed, and nothing is left to save.
    desk.session.set_analysis(None)
    assert not panel.save_analysis.isVisible()
    assert not panel.save_other.isVisible()


def test_export_writes_what_was_on_the_screen_at_the_click(explained, tmp_path, monkeypatch):
    named = []

    def ask(parent, title, name, *rest):
        named.append(name)
        explained.session.select_class(1)
        return str(tmp_path / "map.nii.gz"), ""

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    expected = explained.session.explanation.s_cam.array
    explained.explain.export.menu().actions()[0].trigger()
    explained.settle((tmp_path / "map.nii.gz").exists)
    assert named == ["s_cam_none.nii.gz"]
    written = nibabel.load(tmp_path / "map.nii.gz").get_fdata()
    np.testing.assert_allclose(np.sort(written, axis=None), np.sort(expected, axis=None), atol=1e-3)
    assert explained.session.explanation.class_idx == 1


def test_cancel_button_stops_an_analysis(desk, tmp_path, monkeypatch):
    cohort = write_cohort(tmp_path, [(VALUES, 1)])
    stopped_at = []

    def slow_analysis(classifier, cohort, method, *, progress, stop):
        import time

        for done in range(2000):
            if stop():
                stopped_at.append(done)
                raise Cancelled("stopped")
            progress(done, 2000)
            time.sleep(0.005)
        raise AnalysisError("it was not stopped")

    monkeypatch.setattr("napari_ifa.models.load_classifier", lambda *a, **k: tiny_classifier())
    monkeypatch.setattr("napari_ifa.analysis.analyze", slow_analysis)
    desk.session.models.load(tmp_path)
    desk.settle(lambda: desk.session.classifier is not None)
    desk.session.run_analysis(cohort, None, "gradcam")
    desk.qtbot.waitUntil(lambda: bool(desk.explain.jobs.rows))
    [row] = desk.explain.jobs.rows.values()
    desk.qtbot.waitUntil(lambda: "left" in row.label.text(), timeout=5000)
    desk.click(row.cancel)
    desk.settle()
    assert 0 < stopped_at[0] < 1999
    assert desk.session.analysis is None
    assert desk.said[-1] == ("note", "Analysing the cohort: cancelled.")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[1, 2]", "list.json holds no splits"),
        ("no json", "list.json is not JSON"),
        (json.dumps({"training": [{"image": "a"}], "test": [{"image": "b"}]}), ""),
    ],
)
def test_dialog_offers_the_parts_of_a_datalist(qtbot, tmp_path, content, problem):
    dialog = AnalysisDialog()
    qtbot.addWidget(dialog)
    (tmp_path / "list.json").write_text(content)
    dialog.file.value = str(tmp_path / "list.json")
    qtbot.waitUntil(lambda: not dialog.jobs.busy)
    assert dialog.problem.text().startswith(problem)
    assert bool(dialog.problem.text()) == bool(problem)
    assert dialog.run.isEnabled() == (not problem)
    assert dialog.split.choices == (() if problem else ("training", "test", ""))


def test_dialog_takes_a_folder_for_each_class(qtbot, tmp_path, monkeypatch):
    for name in ("healthy", "lesion"):
        (tmp_path / name).mkdir()
        write_image(tmp_path / name / "case.nii", VALUES)
    dialog = AnalysisDialog()
    qtbot.addWidget(dialog)
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: str(tmp_path))
    qtbot.mouseClick(dialog.browse_folder.native, Qt.MouseButton.LeftButton)
    qtbot.waitUntil(lambda: not dialog.jobs.busy)
    assert dialog.split.current_choice == "all (2 cases)"
    assert dialog.split.value == ""
    assert dialog.run.isEnabled()


@pytest.mark.parametrize("answer", ["Open", "Cancel"])
def test_a_bundle_that_would_run_code_is_asked_about(desk, tmp_path, monkeypatch, answer):
    def load_classifier(path, trust=False):
        if not trust:
            raise UntrustedModelError("It would run os.system.")
        return tiny_classifier()

    asked = []

    def warning(parent, title, text, *rest):
        asked.append(text)
        return getattr(QMessageBox.StandardButton, answer)

    monkeypatch.setattr("napari_ifa.models.load_classifier", load_classifier)
    monkeypatch.setattr(QMessageBox, "warning", warning)
    desk.session.models.load(tmp_path)
    desk.settle(lambda: bool(asked))
    desk.settle()
    assert "os.system" in asked[0]
    assert (desk.session.classifier is not None) == (answer == "Open")


@pytest.mark.parametrize("answer", ["Yes", "No"])
def test_missing_slices_are_asked_about(desk, tmp_path, monkeypatch, answer):
    asked = []

    def warning(parent, title, text, *rest):
        asked.append(text)
        return getattr(QMessageBox.StandardButton, answer)

    monkeypatch.setattr(QMessageBox, "warning", warning)
    volume = read_volume(write_image(tmp_path / "case.nii", VALUES))
    desk.session.set_classifier(tiny_classifier())
    desk.session.set_volume(replace(volume, report=replace(volume.report, missing=(0, 1))))
    desk.settle()
    assert asked[0].startswith("2 slices are missing in this study")
    assert (desk.session.explanation is not None) == (answer == "Yes")
    assert desk.explain.explain_anyway.isVisible() == (answer == "No")
    if answer == "No":
        desk.click(desk.explain.explain_anyway)
        assert len(asked) == 2


# -- features -------------------------------------------------------------------------------------


def test_check_boxes_and_buttons_choose_features(explained):
    buttons = explained.importance.buttons

    def kept():
        return explained.session.mask.keep.tolist()

    explained.click_check_box(1)
    assert kept() == [True, False]
    explained.click_check_box(1)
    assert kept() == [True, True]
    # For the class "none" feature 0 is the most important one: one of two is the top 5 %.
    for button, expected in (
        ("None", [False, False]),
        ("Invert", [True, True]),
        ("Principal", [True, False]),
        ("Invert", [False, True]),
        ("All", [True, True]),
        ("Others", [False, True]),
    ):
        explained.click(buttons[button])
        assert kept() == expected, button
    assert explained.importance.summary.text() == "1 of 2 features kept, for none"


def test_slider_keeps_the_top_after_a_moment(explained):
    slider = explained.importance.slider
    for _ in range(6):
        explained.qtbot.keyClick(slider, Qt.Key.Key_PageDown)
    assert slider.value() == 40
    assert explained.session.mask.count == 2
    explained.qtbot.waitUntil(lambda: explained.session.mask.count == 1)
    assert explained.session.mask.keep.tolist() == [True, False]


def test_dragging_the_slider_keeps_the_top(explained):
    explained.drag_slider(explained.importance.slider, 0.4)
    explained.qtbot.waitUntil(lambda: explained.session.mask.keep.tolist() == [True, False])
    explained.drag_slider(explained.importance.slider, 1.0)
    explained.qtbot.waitUntil(lambda: explained.session.mask.keep.all())


def test_slider_and_check_boxes_agree(explained):
    importance = explained.importance
    explained.click_check_box(explained.top_feature(1))
    assert importance.percent.text() == "50 %"
    explained.click(importance.buttons["Invert"])
    assert importance.percent.text() == "–"
    explained.click(importance.buttons["All"])
    assert importance.percent.text() == "100 %"


def test_order_and_basis(explained):
    importance = explained.importance
    explained.session.select_class(1)
    # Importance of class 1: 0.25 · (4.5 + 0.5) and −1 · (4.5 + 0.5).
    np.testing.assert_allclose(explained.session.importance(), [1.25, -5.0])
    assert explained.top_feature() == 0
    explained.qtbot.keyClicks(importance.order, "|")
    assert explained.top_feature() == 1
    explained.qtbot.keyClick(importance.basis, Qt.Key.Key_Down)
    # Only the first case has class 1.
    assert importance.model.value(0, 1) == pytest.approx(-9.0)


def test_the_mask_of_a_bent_head_waits_for_the_network(desk, tmp_path):
    desk.session.set_classifier(tiny_classifier(bent=True))
    desk.session.open_path(write_image(tmp_path / "case.nii", VALUES))
    desk.settle(lambda: desk.session.explanation is not None)
    desk.click_check_box(0)
    desk.settle()
    assert number(desk.explain.predictions, 0, LOGIT_CHOSEN) == 10.0
    assert number(desk.explain.predictions, 1, LOGIT_CHOSEN) == 20.0


def test_a_panel_that_was_closed_is_not_called(explained):
    window = explained.viewer.window
    window.remove_dock_widget(explained.importance)
    explained.importance.deleteLater()
    explained.qtbot.wait(50)
    explained.session.select_class(1)
    assert explained.session.explanation.class_idx == 1


def test_every_method_is_offered_for_an_analysis():
    from napari_ifa.cam import METHODS

    assert sorted(OFFERED) == sorted(METHODS)


# -- what a model does not say ---------------------------------------------------------------------


def test_a_model_that_says_nothing_of_its_outputs_has_no_probabilities_until_told(desk, tmp_path):
    silent = replace(
        tiny_classifier(), output_activation="unknown", source=BundleSource(tmp_path), notes=("N.",)
    )
    desk.session.set_classifier(silent)
    desk.session.open_path(write_image(tmp_path / "case.nii", VALUES))
    desk.settle(lambda: desk.session.explanation is not None)
    table, notes = desk.explain.predictions, desk.explain.notes
    assert table.isColumnHidden(P_ALL)
    assert table.horizontalHeaderItem(LOGIT_ALL).text() == "all: logit"
    assert table.item(0, LOGIT_ALL).font().bold()
    assert notes.text.text().splitlines()[-1] == "N."
    assert "the bundle does not say" in notes.text.text()
    assert notes.choice.isVisibleTo(desk.explain)

    explained_by = notes.activation.itemText(notes.activation.findData("softmax"))
    desk.qtbot.keyClicks(notes.activation, explained_by[:3])

    assert not table.isColumnHidden(P_ALL)
    assert table.horizontalHeaderItem(LOGIT_ALL).text() == "logit"
    # Logits 14.5 and 13.25: a difference of 1.25.
    assert desk.probability(0, P_ALL) == pytest.approx(1 / (1 + np.exp(-1.25)))
    assert notes.text.text() == "N."
    assert notes.choice.isVisibleTo(desk.explain)
    assert desk.session.classifier.source.output_activation == "softmax"
    desk.settle(lambda: desk.session.explanation.target == "others")
    assert not table.isColumnHidden(P_ALL)


def test_a_model_that_says_how_it_answers_is_not_asked_about(explained):
    assert not explained.explain.notes.isVisibleTo(explained.explain)


# -- what others have written, and how much of it there is ----------------------------------------


def test_long_names_with_signs_of_html_neither_widen_the_window_nor_become_html(desk, tmp_path):
    names = ("<b>bold</b> & <i>" + "goes on " * 10, "W" * 200)
    window = desk.viewer.window._qt_window
    window.resize(1280, 800)
    desk.session.set_classifier(replace(tiny_classifier(), class_names=names))
    study = read_volume(write_image(tmp_path / "case.nii", VALUES))
    desk.session.set_volume(replace(study, description="<b>T1</b> " + "long " * 20))
    desk.settle(lambda: desk.session.explanation is not None)
    desk.session.select_class(1)
    desk.qtbot.wait(50)
    assert window.width() == 1280
    assert max(desk.importance.minimumSizeHint().width(), desk.explain.width()) < 600
    assert names[1] in desk.importance.summary.toolTip()
    # napari's own status bar would take the study's name for HTML, and Qt the tip.
    assert not Qt.mightBeRichText(desk.scene.image.name)
    assert "&lt;b&gt;" in desk.explain.predictions.item(0, 0).toolTip()


def test_answers_of_many_digits_are_shown_whole(desk, tmp_path):
    model = tiny_classifier()
    with torch.no_grad():
        model.network.linear.bias.copy_(torch.tensor([-1234567.0, 20.0]))
    desk.session.set_classifier(replace(model, output_activation="none"))
    desk.session.set_volume(read_volume(write_image(tmp_path / "case.nii", VALUES)))
    desk.settle(lambda: desk.session.explanation is not None)
    table = desk.explain.predictions
    for column in (LOGIT_ALL, LOGIT_CHOSEN):
        item, width = table.item(0, column), table.columnWidth(column)
        assert len(item.text()) > 9
        assert table.fontMetrics().horizontalAdvance(item.text()) < width
        title = table.horizontalHeaderItem(column).text()
        assert table.horizontalHeader().fontMetrics().horizontalAdvance(title) < width


def test_a_study_that_cannot_be_explained_is_not_called_missing(explained, monkeypatch, tmp_path):
    def explain(*args, **kwargs):
        raise AnalysisError("No.")

    monkeypatch.setattr("napari_ifa.analysis.explain", explain)
    explained.session.open_path(write_image(tmp_path / "next.nii", VALUES[::-1]))
    explained.settle(lambda: explained.explain.message.isVisible())
    assert explained.importance.summary.text() == "No features: nothing is explained."
