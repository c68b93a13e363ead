"""The main job in the real napari on the sample data, as a person does it."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog

from napari_ifa import samples
from napari_ifa.analysis import FeatureMask, analyze, explain, load_analysis
from napari_ifa.analysis.colour import evidence_strength
from napari_ifa.analysis.scale import READING, ScaleChoice
from napari_ifa.cohorts import read_cohort
from napari_ifa.models import load_classifier
from napari_ifa.reading import read_volume
from napari_ifa.viewer.panels.prediction_table import P_ALL, P_CHOSEN
from napari_ifa.volumes import SourceOrder, volume_from_file_order
from sample_data.making.cohort import make_case, plan

pytestmark = pytest.mark.gui


@pytest.fixture(scope="module")
def analysis_file(tmp_path_factory):
    """The analysis of a version's test cases, which are enough for a scale and come quickly."""
    folder = tmp_path_factory.mktemp("analyses")
    files = {}

    def file_of(version):
        if version not in files:
            files[version] = folder / f"{version}.nc"
            cohort = read_cohort(samples.cohort(version), "test")
            analyze(load_classifier(samples.bundle(version)), cohort).save(files[version])
        return files[version]

    return file_of


@pytest.fixture
def open_all(desk, analysis_file, monkeypatch):
    """Study, model and analysis by the panels' buttons."""

    def open_(study, version):
        answers = iter([str(study), str(samples.bundle(version))])
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *a, **k: next(answers))
        if study.is_file():
            monkeypatch.setattr(
                QFileDialog, "getOpenFileNames", lambda *a, **k: ([next(answers)], "")
            )
            desk.click(desk.study.open_file)
        else:
            desk.click(desk.study.open_folder)
        desk.settle(lambda: desk.session.volume is not None)
        desk.click(desk.explain.open_model)
        desk.settle(lambda: desk.session.explanation is not None)
        file = str(analysis_file(version))
        monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *a, **k: (file, ""))
        desk.click(desk.explain.open_analysis)
        desk.settle(lambda: desk.session.explanation.scale is not None)
        return desk

    return open_


def test_dicom_study_model_analysis_and_features_by_click(open_all, analysis_file):
    desk = open_all(samples.dicom_series(), "clean")
    classifier = load_classifier(samples.bundle("clean"))
    volume = read_volume(samples.dicom_series())
    analysis = load_analysis(analysis_file("clean"))
    expected = explain(classifier, volume, analysis, target="others").select(choice=READING)

    image, overlay = desk.scene.image, desk.scene.map.layer
    np.testing.assert_array_equal(image.data, volume.array)
    np.testing.assert_allclose(np.asarray(overlay.data), expected.s_cam.array, atol=1e-5)
    for layer in (image, overlay):
        np.testing.assert_allclose(layer.scale, volume.spacing)
        np.testing.assert_allclose(layer.translate, volume.translate)
        assert [str(unit) for unit in layer.units] == ["millimeter"] * 3
    assert overlay.colormap.map(np.array([0.5]))[0, 3] == 0
    assert desk.explain.legend.neutral == 0
    assert desk.explain.legend.ends == ("for all others", "for bright lesion")
    assert not desk.explain.no_scale.isVisible()

    importance = analysis.of_target("others").importance(expected.class_idx)
    assert desk.top_feature() == importance.argmax()
    desk.click_check_box(desk.top_feature())
    without = expected.select(mask=FeatureMask.without(importance.size, [int(importance.argmax())]))
    np.testing.assert_allclose(np.asarray(overlay.data), without.s_cam.array, atol=1e-5)
    row = expected.class_idx
    assert desk.probability(row, P_ALL) == pytest.approx(expected.probabilities[row], abs=1e-4)
    masked = without.masked_probabilities[row]
    assert desk.probability(row, P_CHOSEN) == pytest.approx(masked, abs=1e-4)
    # The answer, compared with the others, loses just what the feature contributed.
    change = desk.session.prediction.logits - desk.session.prediction.masked_logits
    lost = change[row] - np.delete(change, row).mean()
    assert lost == pytest.approx(expected.contributions[importance.argmax()], abs=1e-4)
    assert lost > 0.5

    choices = desk.explain.map_choices
    assert choices.scale.currentText() == "automatic: from the strongest places"
    choices.scale.setFocus()
    desk.qtbot.keyClick(choices.scale, Qt.Key.Key_End)
    on_paper = without.select(choice=ScaleChoice(basis="extremes"))
    assert abs(on_paper.scale.neutral) > 0.05
    overlay = desk.scene.map.layer
    np.testing.assert_allclose(np.asarray(overlay.data), on_paper.s_cam.array, atol=1e-5)
    assert desk.explain.legend.neutral == pytest.approx(on_paper.scale.neutral)
    desk.session.choose_scale(READING)
    assert choices.scale.currentIndex() == 0, "the panel follows"
    overlay = desk.scene.map.layer
    np.testing.assert_allclose(np.asarray(overlay.data), without.s_cam.array, atol=1e-5)

    choices.compared.setFocus()
    desk.qtbot.keyClick(choices.compared, Qt.Key.Key_Down)
    nearest = without.select(target="runner-up")
    assert desk.explain.legend.ends[0] == f"for {nearest.compared_with}"
    np.testing.assert_allclose(np.asarray(overlay.data), nearest.s_cam.array, atol=1e-5)
    desk.qtbot.keyClick(choices.compared, Qt.Key.Key_Home)
    assert desk.explain.legend.ends[0] == "against bright lesion"
    desk.qtbot.keyClick(choices.compared, Qt.Key.Key_Down)

    desk.click(desk.importance.buttons["Principal"])
    principal = analysis.of_target("others").principal_features(expected.class_idx)
    np.testing.assert_array_equal(desk.session.mask.keep, principal.keep)
    desk.click(desk.importance.buttons["Others"])
    np.testing.assert_array_equal(desk.session.mask.keep, ~principal.keep)
    desk.click(desk.importance.buttons["All"])
    np.testing.assert_allclose(np.asarray(overlay.data), expected.s_cam.array, atol=1e-5)


def test_without_one_or_two_features_the_marker_is_dark_and_the_answer_another(open_all):
    """The confounded model looks at the scanner's marker; the panel shows and undoes that."""
    case = next(c for c in plan("confounded") if c.split == "test" and c.label == 1)
    cohort = read_cohort(samples.cohort("confounded"), "test")
    path = next(c.path for c in cohort.cases if c.path.name.startswith(case.id))
    desk = open_all(path, "confounded")
    class_idx = desk.session.explanation.class_idx
    assert class_idx == case.label
    marker = marker_region(case)
    assert marker.shape == desk.session.volume.shape

    def evidence_at_marker():
        scale = desk.session.explanation.scale
        strength = evidence_strength(np.asarray(desk.scene.map.layer.data), scale.neutral)
        return float(np.nanmean(strength[marker]))

    before = evidence_at_marker()
    answer = desk.probability(class_idx, P_ALL)
    for row in range(2):
        desk.click_check_box(desk.top_feature(row))
    assert desk.session.mask.count == desk.session.mask.keep.size - 2
    after = evidence_at_marker()
    assert before > 0.3
    assert after < before / 3
    assert desk.probability(class_idx, P_CHOSEN) < answer - 0.2


def marker_region(case):
    """Where a scan with its marker differs from the same scan without it, ``[I, P, L]``."""
    scans = [make_case(case, marker=marker) for marker in (True, False)]
    change = np.abs(np.subtract(*(np.asarray(scan.array, dtype=np.float32) for scan in scans)))
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ scans[0].affine
    found = volume_from_file_order(change, lps, SourceOrder(kind="nifti")).array
    return found > 0.3 * found.max()
