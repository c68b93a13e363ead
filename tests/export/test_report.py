"""An explanation's exports: which map, by which scale, and what they say of it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import highdicom as hd
import nibabel
import numpy as np
import pydicom
import pytest

import napari_ifa as ifa
from napari_ifa import samples
from napari_ifa.analysis import Explanation, FeatureMask
from napari_ifa.export.explanation import (
    colouring,
    export_nifti,
    export_parametric_map,
    export_secondary_capture,
    prediction_rows,
    provenance,
    write_dicom,
)
from napari_ifa.volumes import Window
from tests.tiny import tiny_classifier, write_image


@pytest.fixture(scope="module")
def explanation() -> Explanation:
    """Of the sample series, without an analysis: values are logits."""
    classifier = ifa.load_classifier(samples.bundle("clean"))
    return ifa.explain(
        classifier, ifa.read_volume(samples.dicom_series()), class_idx="bright lesion"
    )


@pytest.fixture(scope="module")
def scaled(explanation: Explanation) -> Explanation:
    """The same on the scale of two cases."""
    classifier = explanation.case.classifier
    cohort = ifa.read_cohort(samples.cohort("clean"), "validation")
    analysis = ifa.analyze(classifier, cohort)
    return ifa.explain(classifier, explanation.volume, analysis, "bright lesion")


def test_without_a_scale_the_class_activation_is_exported(
    explanation: Explanation, tmp_path: Path
) -> None:
    nifti = nibabel.load(export_nifti(explanation, tmp_path / "map.nii.gz"))
    dicom = hd.imread(export_parametric_map(explanation, tmp_path / "map.dcm"))

    expected = explanation.class_activation.array
    order, _ = explanation.class_activation.in_source_order()
    np.testing.assert_array_equal(nifti.get_fdata(dtype=np.float32), order)
    array = dicom.get_volume().array
    assert np.nanmin(array) == pytest.approx(np.nanmin(expected))
    assert np.nanmax(array) == pytest.approx(np.nanmax(expected))
    assert np.isnan(array).sum() == np.isnan(expected).sum()
    assert dicom.ContentLabel == "CLASS_ACTIVATION"


def test_provenance_of_all_and_of_chosen_features(
    explanation: Explanation, scaled: Explanation
) -> None:
    plain = provenance(explanation)
    assert (plain.kind, plain.features, plain.scale) == ("class activation", "all", "")
    assert plain.sentence.endswith(
        "values in logits; image oblique 12°; research, not for primary diagnosis"
    )
    mask = FeatureMask.all(scaled.features)
    keep = mask.keep.copy()
    keep[1:] = False
    chosen = provenance(scaled.select(mask=FeatureMask(keep, "feature 0")))
    assert chosen.kind == "FS-S-CAM"
    assert chosen.features == f"feature 0 (1 of {scaled.features})"
    assert scaled.scale is not None
    assert f"P10 = {scaled.scale.p_low:g}, P90 = {scaled.scale.p_high:g} logits" in chosen.scale
    assert chosen.weights_sha256 == scaled.case.classifier.weights_sha256


def test_the_bar_marks_the_percentiles_or_the_ends(
    explanation: Explanation, scaled: Explanation
) -> None:
    on_scale, raw = colouring(scaled), colouring(explanation)
    assert scaled.scale is not None
    assert (on_scale.limits, on_scale.neutral) == ((-1, 1), scaled.scale.neutral)
    scale = scaled.scale
    assert on_scale.marks == ((0.1, f"P10: {scale.p_low:+.2g}"), (0.9, f"P90: {scale.p_high:+.2g}"))
    end = np.abs(explanation.activation_map).max()
    assert raw.limits == pytest.approx((-end, end))
    for bar in (on_scale, raw):
        values = np.array([bar.limits[0], bar.neutral, bar.limits[1], np.nan])
        rgba = bar.colours(values)
        # Blue is against, red is for, and nothing is drawn at neutral and without a value.
        assert rgba[0, 2] > rgba[0, 0]
        assert rgba[2, 0] > rgba[2, 2]
        assert rgba[[1, 3], 3].tolist() == [0, 0]


def test_pictures_take_window_opacity_and_stop(explanation: Explanation, tmp_path: Path) -> None:
    with pytest.raises(ifa.Cancelled):
        export_secondary_capture(explanation, tmp_path / "none", stop=lambda: True)
    assert not (tmp_path / "none").exists()

    low, high = float(explanation.volume.array.min()), float(explanation.volume.array.max())
    window = Window((low + high) / 2 + 10 * (high - low), high - low)
    said: list[int] = []
    files = export_secondary_capture(
        explanation, tmp_path / "sc", window, 0.0, progress=lambda done, _: said.append(done)
    )
    assert said == list(range(1, len(files) + 1))
    picture = pydicom.dcmread(files[0])
    columns, rows, _ = explanation.volume.in_source_order()[0].shape
    enlarged = -(-512 // max(columns, rows))
    # All lies below this window, and the overlay is invisible: black up to the margin.
    assert not picture.pixel_array[:, : columns * enlarged].any()
    assert picture.pixel_array.any()


def test_dicom_files_are_named_by_class_and_features(scaled: Explanation, tmp_path: Path) -> None:
    keep = np.zeros(scaled.features, dtype=bool)
    keep[:2] = True
    chosen = scaled.select(mask=FeatureMask(keep, "top 5 %"))

    written = write_dicom(chosen, tmp_path, "case")

    assert [path.name for path in written] == [
        "case_fs_s_cam_bright_lesion_top_5.dcm",
        "case_fs_s_cam_bright_lesion_top_5_secondary_capture",
    ]


def test_an_image_without_a_place_becomes_pictures_alone(tmp_path: Path) -> None:
    folder = shutil.copytree(samples.dicom_series(), tmp_path / "series")
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        del data.ImagePositionPatient
        data.save_as(path)
    volume = ifa.read_volume(folder)
    found = ifa.explain(tiny_classifier(), volume, class_idx=0)

    (series,) = write_dicom(found, tmp_path / "out")

    assert len(list(series.iterdir())) == volume.shape[0]


def test_a_model_without_probabilities_leaves_them_out_and_says_why(tmp_path: Path) -> None:
    silent = replace(tiny_classifier(), output_activation="unknown")
    image = write_image(tmp_path / "case.nii", [1, 2, 3, 4, 5, 6, 7, 8])

    rows = prediction_rows(ifa.explain(silent, ifa.read_volume(image)))

    assert [row["probability"] for row in rows] == [None, None]
    assert [row["masked_probability"] for row in rows] == [None, None]
    assert rows[0]["logit"] == 14.5
    assert "the bundle does not say" in str(rows[0]["notes"])
