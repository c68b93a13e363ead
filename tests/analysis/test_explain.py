from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from torch import nn

from napari_ifa.analysis import FeatureMask, analyze, explain
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.cam import METHODS
from napari_ifa.cohorts import read_cohort
from napari_ifa.errors import AnalysisError, AnalysisMismatchError, ExplanationError
from napari_ifa.evaluation.measures.localisation import localise
from napari_ifa.reading import read_volume
from napari_ifa.volumes.problems import ImageProblem
from tests.problems import refused
from tests.tiny import tiny_classifier, write_cohort, write_image

RAMP = [0.0, 1, 2, 3, 4, 5, 6, 7]


@pytest.fixture
def analysis(tmp_path: Path):
    datalist = write_cohort(tmp_path, [(RAMP, 0), ([-v for v in RAMP], 1)])
    return analyze(tiny_classifier(), read_cohort(datalist))


@pytest.fixture
def volume(tmp_path: Path):
    return read_volume(write_image(tmp_path / "ramp.nii", RAMP))


def test_answer_and_map_of_a_tiny_network_by_hand(volume) -> None:
    found = explain(tiny_classifier(), volume, class_idx="none")

    # mean 3.5: logits 10 + 3.5 and 20 + 0.5 · 3.5 − 2 · 3.5
    np.testing.assert_allclose(found.logits, [13.5, 14.75])
    np.testing.assert_allclose(found.contributions, [3.5, 0.0])
    # a = x / 8, on the image's own grid
    np.testing.assert_allclose(found.class_activation.array, volume.array / 8)
    np.testing.assert_allclose(found.class_activation.affine, volume.affine)


def test_the_class_explained_is_the_predicted_one_unless_named(volume) -> None:
    classifier = tiny_classifier()

    assert explain(classifier, volume).class_idx == 1
    assert explain(classifier, volume, class_idx=0).class_idx == 0
    assert explain(classifier, volume, class_idx="lesion").class_idx == 1


@pytest.mark.parametrize("bent", [False, True])
def test_masked_answers_are_those_of_the_network_without_the_features(volume, bent: bool) -> None:
    found = explain(tiny_classifier(bent), volume, mask=FeatureMask.only(2, [0]))

    assert found.follows_contributions is not bent
    # feature 1 is −3.5 on average, which the bent head's ReLU would cut off anyway
    np.testing.assert_allclose(found.masked_logits, [13.5, 21.75], rtol=1e-6)
    np.testing.assert_allclose(found.logits, [13.5, 21.75 if bent else 14.75], rtol=1e-6)
    assert found.masked_probabilities.sum() == pytest.approx(1.0)


def test_chosen_features_alone_make_the_map(volume) -> None:
    whole = explain(tiny_classifier(), volume, class_idx="lesion")
    first, second = (whole.select(mask=FeatureMask.only(2, [f])) for f in (0, 1))

    np.testing.assert_allclose(
        first.class_activation.array + second.class_activation.array, whole.class_activation.array
    )
    np.testing.assert_allclose(second.class_activation.array, -2 * volume.array / 8)
    nothing = whole.select(mask=FeatureMask.none(2))
    np.testing.assert_array_equal(nothing.class_activation.array, 0.0)
    np.testing.assert_allclose(nothing.masked_logits, [10.0, 20.0], rtol=1e-6)


def test_s_cam_is_the_cohorts_scale_of_the_map_and_keeps_negatives(volume, analysis) -> None:
    found = explain(tiny_classifier(), volume, analysis, "lesion")

    scale = analysis.scale(1)
    np.testing.assert_allclose(
        found.s_cam.array,
        np.tanh(scale.alpha * found.class_activation.array + scale.beta),
        rtol=1e-6,
    )
    assert (found.s_cam.array < scale.neutral).any(), "evidence against the class stays"


def test_the_scale_may_rest_on_the_cases_extremes(volume, analysis) -> None:
    found = explain(tiny_classifier(), volume, analysis, "lesion", basis="extremes")

    scale = analysis.scale(1, basis="extremes")
    assert scale != analysis.scale(1)
    np.testing.assert_allclose(found.s_cam.array, scale(found.class_activation.array), rtol=1e-6)
    assert found.select(class_idx=0).scale == analysis.scale(0, basis="extremes")


def test_the_scale_of_chosen_features_is_the_whole_cohorts(volume, analysis) -> None:
    found = explain(tiny_classifier(), volume, analysis, 0)

    assert found.select(mask=FeatureMask.only(2, [0])).scale == found.scale


def test_space_comes_first_then_tanh(tmp_path: Path, analysis) -> None:
    """The two do not commute; eq. 1 brings the activation to the image, then scales it."""
    affine = np.diag([1.0, 1.0, 1.0, 1.0])
    coarse = np.array(RAMP, dtype=np.float32).reshape(2, 2, 2)
    path = tmp_path / "coarse.nii"
    nibabel.save(nibabel.Nifti1Image(coarse, affine), path)
    found = explain(tiny_classifier(), read_volume(path), analysis, 0)
    fine_affine = found.volume.affine @ np.diag([0.5, 0.5, 0.5, 1.0])
    fine_affine[:3, 3] = found.volume.affine[:3, 3] - found.volume.affine[:3, :3].sum(1) * 0.25
    from dataclasses import replace

    fine = replace(found.volume, array=np.zeros((4, 4, 4)), affine=fine_affine)

    on_fine = replace(found, volume=fine)

    expected = found.scale(found.grid.onto(fine).volume(found.activation_map))
    np.testing.assert_allclose(on_fine.s_cam.array, expected)
    other = found.grid.onto(fine).volume(found.scale(found.activation_map))
    assert np.abs(other - expected).max() > 1e-3


def test_without_an_analysis_there_is_no_common_scale(volume) -> None:
    found = explain(tiny_classifier(), volume)

    assert found.scale is None
    with pytest.raises(AnalysisError) as caught:
        _ = found.s_cam
    assert caught.value.kind is AnalysisProblem.NO_ANALYSIS


def test_an_analysis_of_another_model_or_method_is_refused(volume, analysis) -> None:
    with pytest.raises(AnalysisMismatchError):
        explain(tiny_classifier(bent=True), volume, analysis)
    with pytest.raises(AnalysisError) as caught:
        explain(tiny_classifier(), volume, analysis, method="pixelwise")
    assert caught.value.kind is AnalysisProblem.OTHER_METHOD
    assert caught.value.facts["made_with"] == "gradcam"


def test_a_mask_for_another_layer_is_refused(volume) -> None:
    with refused(AnalysisError, AnalysisProblem.OTHER_FEATURES, given=3, features=2):
        explain(tiny_classifier(), volume, mask=FeatureMask.all(3))


def test_localisation_by_hand(volume, tmp_path: Path) -> None:
    """The activation for class 0 is x/8 with x from 0 to 7; the lesion holds the 6 and the 7."""
    lesion = read_volume(write_image(tmp_path / "mask.nii", [0, 0, 0, 0, 0, 0, 1, 1]))

    found = localise(explain(tiny_classifier(), volume, class_idx=0), lesion)

    assert found.positive_share == pytest.approx(13 / 28)
    assert found.hit
    assert np.isnan(found.s_cam_share)


def test_a_mask_on_another_grid_is_refused(volume, tmp_path: Path) -> None:
    path = tmp_path / "mask.nii"
    nibabel.save(nibabel.Nifti1Image(np.ones((2, 2, 2), np.float32), np.diag([2.0, 2, 2, 1])), path)

    with pytest.raises(ExplanationError, match="does not lie on the image's grid"):
        localise(explain(tiny_classifier(), volume), read_volume(path))


def test_an_image_with_missing_slices_is_explained_only_on_request(volume) -> None:
    gap = replace(volume, report=replace(volume.report, missing=(1, 2)))
    with refused(ExplanationError, ImageProblem.MISSING_SLICES, count=2) as caught:
        explain(tiny_classifier(), gap)
    assert str(caught.value) == (
        "2 slices of this image are missing and left blank, which no model has learned from; open"
        " a complete series, or allow missing slices if you know that they do not matter."
    )
    allowed = explain(tiny_classifier(), gap, allow_missing=True)
    np.testing.assert_allclose(allowed.logits, explain(tiny_classifier(), volume).logits)


def test_a_map_that_was_computed_is_no_image_to_explain(volume) -> None:
    computed = replace(volume, source=replace(volume.source, computed=True))
    with refused(ExplanationError, AnalysisProblem.PARAMETRIC_MAP) as caught:
        explain(tiny_classifier(), computed)
    assert str(caught.value) == (
        "This is a parametric map, values that were computed from an image; open that image to"
        " explain it."
    )


def test_colours_are_not_given_to_a_model_of_grey_images(volume) -> None:
    coloured = np.repeat(volume.array[..., None], 3, axis=3).astype(np.uint8)
    with refused(ExplanationError, AnalysisProblem.IN_COLOUR) as caught:
        explain(tiny_classifier(), replace(volume, array=coloured))
    assert str(caught.value) == (
        "The model takes grey images and this one is in colour; open a grey one, or choose a model"
        " for colours."
    )


class Flooring(nn.Module):
    """Valid convolutions and pools that leave voxels out, and a pooled head: all weights 1."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv3d(1, 1, 3, bias=False),
            nn.AvgPool3d(2),
            nn.Conv3d(1, 1, 3, bias=False, dilation=2),
            nn.AvgPool3d(3),
        )
        self.linear = nn.Linear(1, 2)
        for parameter in self.parameters():
            nn.init.ones_(parameter)

    def forward(self, x):
        return self.linear(self.features(x).mean((2, 3, 4)))


@pytest.mark.parametrize("place", [(10, 28, 19), (33, 9, 31), (24, 20, 10)])
def test_a_landmark_is_where_it_is_though_the_network_leaves_voxels_out(place, tmp_path) -> None:
    # 47 voxels -> 45 -> 22 -> 18 -> 6, of which the last reaches voxel 40: spacing 6, start 8.
    array = np.zeros((47, 42, 45), np.float32)
    array[tuple(slice(p - 1, p + 2) for p in place)] = 1
    affine = np.diag([2.0, 3.0, 1.5, 1.0])
    affine[:3, 3] = (-30, 10, 5)
    nibabel.save(nibabel.Nifti1Image(array, affine), tmp_path / "landmark.nii")
    volume = read_volume(tmp_path / "landmark.nii")
    classifier = replace(tiny_classifier(), network=Flooring().eval())

    found = explain(classifier, volume, class_idx=0)

    sizes = found.case.network_input.shape[2:]
    assert found.grid.shape == tuple(((n - 2) // 2 - 4) // 3 for n in sizes)
    values = np.nan_to_num(found.class_activation.array)
    assert values.max() > 0
    centre = np.array(
        [
            np.average(np.arange(n), weights=values.sum(axis=tuple({0, 1, 2} - {a})))
            for a, n in enumerate(values.shape)
        ]
    )
    landmark = np.array(
        [
            np.average(np.arange(n), weights=volume.array.sum(axis=tuple({0, 1, 2} - {a})))
            for a, n in enumerate(volume.array.shape)
        ]
    )
    # Within half a feature voxel; the field of view of the whole input would be 4 voxels off.
    assert abs(centre - landmark).max() < 2.5
    outside = np.isnan(found.class_activation.array)
    assert outside.any()
    assert not outside[tuple(np.round(landmark).astype(int))]


class Rectified(nn.Module):
    """Features relu(x) and relu(2x), pooled, and a head that is affine or not."""

    def __init__(self, bent: bool) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv3d(1, 2, 1, bias=False), nn.ReLU())
        with torch.no_grad():
            self.features[0].weight.copy_(torch.tensor([1.0, 2.0]).reshape(2, 1, 1, 1, 1))
        self.bent = bent
        self.linear = nn.Linear(2, 2)
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[1.0, 0.5], [0.5, -1.0]]))

    def forward(self, x):
        pooled = self.features(x).mean((2, 3, 4))
        return self.linear(torch.relu(pooled) if self.bent else pooled)


@pytest.mark.parametrize("bent", [False, True])
@pytest.mark.parametrize("method", [m for m in METHODS if m not in ("cam", "ss-cam", "is-cam")])
def test_a_layer_that_is_zero_for_a_case_is_said_and_counted(method, bent, tmp_path) -> None:
    classifier = replace(tiny_classifier(), network=Rectified(bent).eval())
    dark = [-1.0 - n for n in range(8)]
    cohort = read_cohort(write_cohort(tmp_path, [(RAMP, 0), (dark, 1), (RAMP[::-1], 1)]))

    analysis = analyze(classifier, cohort, method)
    explanations = [
        explain(classifier, read_volume(case.path), analysis, class_idx=0) for case in cohort.cases
    ]

    silent = cohort.cases[1].id
    assert len(analysis.case_ids) == 3
    assert analysis.silent == (silent,)
    assert [note for note in analysis.notes if silent in note]
    assert not explanations[1].activation_map.any()
    assert "Every feature of layer 'features' is exactly zero" in explanations[1].notes[0]
    assert not any("Every feature" in note for found in explanations[::2] for note in found.notes)


def test_weights_that_are_zero_for_a_class_are_said(volume) -> None:
    classifier = tiny_classifier()
    with torch.no_grad():
        classifier.network.linear.weight[0] = -1.0

    found = explain(classifier, volume, class_idx=0, method="layercam")

    (note,) = found.notes
    assert "exactly zero for class 'none'" in note
    assert found.select(class_idx=1).notes == ()
