from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_ifa.analysis import explain
from napari_ifa.analysis.scale import CommonScale
from napari_ifa.errors import ExplanationError
from napari_ifa.evaluation.measures.localisation import (
    CohortLocalisation,
    Localisation,
    localise,
    localised,
    on_image_grid,
)
from napari_ifa.evaluation.problems import EvaluationProblem
from napari_ifa.evaluation.sections import sections_of
from napari_ifa.reading import read_volume
from tests.problems import refused
from tests.tiny import tiny_classifier, write_image

ACTIVATION = np.array([np.nan, -2.0, 1.0, 3.0]).reshape(1, 1, 4)
LESION = np.array([True, False, False, True]).reshape(1, 1, 4)


def test_shares_by_hand() -> None:
    found = localised(ACTIVATION, LESION, None)

    # 3 of 1 + 3; of the field of view, which the NaN is not in, the lesion has one voxel of three
    assert found.positive_share == pytest.approx(0.75)
    assert found.lesion_share == pytest.approx(1 / 3)
    assert found.hit
    assert np.isnan(found.s_cam_share)


def test_s_cam_counts_above_neutral() -> None:
    scale = CommonScale(-1.0, 2.0)

    found = localised(ACTIVATION, LESION, scale)

    one, three = np.tanh(scale.alpha * np.array([1, 3]) + scale.beta) - np.tanh(scale.beta)
    assert found.s_cam_share == pytest.approx(three / (one + three))


def test_without_positive_activation_there_is_no_share() -> None:
    found = localised(-np.abs(np.nan_to_num(ACTIVATION)), LESION, None)

    assert np.isnan(found.positive_share)


def test_a_strongest_activation_beside_the_lesion_is_no_hit() -> None:
    assert not localised(ACTIVATION, ~LESION, None).hit


def test_an_explanation_is_compared_on_its_image(tmp_path: Path) -> None:
    volume = read_volume(write_image(tmp_path / "ramp.nii", [0.0, 1, 2, 3, 4, 5, 6, 7]))
    lesion = read_volume(write_image(tmp_path / "mask.nii", [0, 0, 0, 0, 0, 0, 1, 1]))

    found = localise(explain(tiny_classifier(), volume, class_idx=0), lesion)

    assert found == Localisation(
        pytest.approx(13 / 28), pytest.approx(np.nan, nan_ok=True), True, 0.25
    )


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    image = read_volume(write_image(tmp_path / "image.nii", [1.0] * 8))
    other = replace(image, array=np.ones((2, 2, 3)))

    with refused(
        ExplanationError, EvaluationProblem.MASK_OFF_GRID, mask=(2, 2, 3), image=image.shape
    ):
        on_image_grid(other, image)


def test_rows_for_each_class_explained_and_all() -> None:
    found = CohortLocalisation(
        found=(
            Localisation(0.5, 0.25, True, 0.1),
            Localisation(0.7, 0.35, False, 0.1),
            Localisation(float("nan"), float("nan"), False, 0.2),
        ),
        classes=(1, 1, 2),
        empty=4,
        class_names=("healthy", "bright", "dark"),
    )

    section = sections_of(found)[0]

    by_class = {row["class"]: row for row in section.rows}
    assert list(by_class) == ["bright", "dark", "all"]
    assert by_class["bright"]["positive_share"] == pytest.approx(0.6)
    assert by_class["bright"]["hit_share"] == 0.5
    assert np.isnan(by_class["dark"]["positive_share"])
    assert by_class["all"]["positive_share"] == pytest.approx(0.6)
    assert by_class["all"]["lesion_share"] == pytest.approx(0.4 / 3)
    assert by_class["all"]["without_evidence"] == 1
    # two differences of one sign: 2 · (1/2)²
    assert by_class["bright"]["p"] == pytest.approx(0.5)
    assert "4 masks without a lesion are left out" in section.meaning
    assert all(row.keys() == section.columns.keys() for row in section.rows)
    assert section.draw is not None
    assert len(section.draw().axes) == 2


def test_nothing_inside_is_drawn_at_0_and_has_no_interval() -> None:
    nothing = Localisation(0.0, 0.0, False, 0.002)
    found = CohortLocalisation((nothing,) * 16, (1,) * 16, 0, ("healthy", "bright"))

    (row,) = sections_of(found)[0].rows
    left, _ = sections_of(found)[0].draw().axes

    assert row["positive_share"] == 0
    assert np.isnan([row["positive_low"], row["s_cam_high"]]).all()
    assert row["positive_interval"] == row["s_cam_interval"] == "no interval: all cases equal"
    np.testing.assert_allclose(left.collections[0].get_offsets(), [(0.2, 0)] * 16)
    low, high = left.get_ylim()
    assert low < 0 < high
    assert [tick.get_text() for tick in left.get_yticklabels()][:2] == ["0", "0.1"]
