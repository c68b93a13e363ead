"""Class activation of pictures: on the right pixels, in the right files, or one clear sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import (
    BorderPad,
    CenterSpatialCrop,
    Compose,
    EnsureChannelFirst,
    Flip,
    Orientation,
    Resize,
    Rotate90,
    ScaleIntensityRange,
    Spacing,
    SpatialCrop,
    Transpose,
)
from PIL import Image
from torch import nn

from napari_ifa.analysis import Explanation, analyze, explain
from napari_ifa.analysis.problems import AnalysisProblem
from napari_ifa.cohorts import read_cohort
from napari_ifa.errors import BundleError, ExplanationError
from napari_ifa.export.explanation import write_explanation
from napari_ifa.export.picture import comparison_picture
from napari_ifa.models import Classifier
from napari_ifa.models.preprocessing import OpenedImage, Preprocessing
from napari_ifa.models.problems import NetworkProblem
from napari_ifa.reading import picture_volume
from napari_ifa.volumes import SourceOrder, volume_from_file_order
from tests.problems import refused
from tests.tiny import tiny_classifier

ROWS, COLUMNS = 5, 9
CORNERS = [(0, 0), (0, 8), (4, 0), (4, 8), (1, 6)]


class FlatNetwork(nn.Module):
    """Features (x, −x) of the first channel on blocks of ``stride``², pooling, a linear layer."""

    def __init__(self, channels: int = 1, stride: int = 1) -> None:
        super().__init__()
        self.features = nn.Conv2d(channels, 2, stride, stride, bias=False)
        self.linear = nn.Linear(2, 2)
        with torch.no_grad():
            self.features.weight.zero_()
            self.features.weight[:, 0] = torch.tensor([1.0, -1.0]).reshape(2, 1, 1) / stride**2
            self.linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.5, 2.0]]))
            self.linear.bias.copy_(torch.tensor([10.0, 20.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.features(x).mean(dim=(2, 3)))


def classifier(*steps: Any, channels: int = 1, stride: int = 1) -> Classifier:
    chain = Compose([OpenedImage({}), EnsureChannelFirst(), *steps])
    return Classifier(
        network=FlatNetwork(channels, stride).eval(),
        class_names=("none", "lesion"),
        target_layer="features",
        preprocessing=Preprocessing.from_built(chain),
        device=torch.device("cpu"),
    )


def one_bright_pixel(row: int, column: int) -> np.ndarray:
    array = np.zeros((ROWS, COLUMNS), np.float32)
    array[row, column] = 1
    return array


def activation(found: Explanation) -> np.ndarray:
    """The class activation of class "none", which is x / V, as ``[rows, columns]``."""
    (plane,) = found.class_activation.array
    assert plane.shape == (ROWS, COLUMNS)
    return plane


def test_answer_and_map_of_a_flat_network_by_hand() -> None:
    values = np.arange(6.0).reshape(2, 3)

    found = explain(classifier(), picture_volume(values), class_idx="none")

    # mean 2.5: logits 10 + 2.5 and 20 + 0.5 · 2.5 − 2 · 2.5
    np.testing.assert_allclose(found.logits, [12.5, 16.25])
    np.testing.assert_allclose(found.contributions, [2.5, 0.0])
    np.testing.assert_allclose(found.class_activation.array, values[None] / 6, rtol=1e-6)
    assert found.grid.shape == (3, 2, 1)


#: Chains that move pixels and lose none of them.
MOVED = {
    "as it is": [],
    "a quarter turn": [Rotate90(k=1)],
    "three quarter turns": [Rotate90(k=3)],
    "columns reversed": [Flip(0)],
    "rows reversed": [Flip(1)],
    "turned and reversed": [Rotate90(k=1), Flip(0)],
    "three times as fine": [Resize((27, 15), mode="bilinear")],
    "turned, finer, reversed": [Rotate90(k=1), Resize((15, 27), mode="bilinear"), Flip(1)],
    "a border": [BorderPad([2, 1, 0, 3])],
    "another orientation": [Orientation(axcodes="LP", labels=None)],
    "another spacing": [Spacing((1 / 3, 1 / 3), mode="bilinear")],
}


@pytest.mark.parametrize("chain", list(MOVED))
@pytest.mark.parametrize(("row", "column"), CORNERS)
def test_a_bright_pixel_comes_back_at_its_row_and_column(chain: str, row: int, column: int) -> None:
    image = one_bright_pixel(row, column)
    found = explain(classifier(*MOVED[chain]), picture_volume(image), class_idx="none")

    pixels = found.case.network_input[0, 0].numel()
    np.testing.assert_allclose(activation(found) * pixels, image, atol=1e-5)


@pytest.mark.parametrize(("row", "column"), CORNERS)
def test_a_bright_pixel_comes_back_where_sizes_do_not_divide(row: int, column: int) -> None:
    image = picture_volume(one_bright_pixel(row, column))
    chain = [Rotate90(k=1), Resize((16, 25), mode="bilinear")]
    found = activation(explain(classifier(*chain), image, class_idx="none"))

    assert np.unravel_index(found.argmax(), found.shape) == (row, column)


def test_a_coarse_layer_answers_for_its_block() -> None:
    """Blocks of 3 × 3 of a picture of 6 × 9: the block of the bright pixel, centred on row 4."""
    image = np.zeros((6, 9), np.float32)
    image[3:, 6:] = 1
    found = explain(classifier(stride=3), picture_volume(image), class_idx="none")

    (plane,) = found.class_activation.array
    assert found.grid.shape == (3, 2, 1)
    # One of 6 blocks is 1; between block centres (rows 1 and 4, columns 4 and 7) it is linear.
    np.testing.assert_allclose(plane[:, 8] * 6, [0, 0, 1 / 3, 2 / 3, 1, 1], atol=1e-6)
    np.testing.assert_allclose(plane[5] * 6, [0, 0, 0, 0, 0, 1 / 3, 2 / 3, 1, 1], atol=1e-6)


def test_what_the_network_does_not_see_has_no_value() -> None:
    chain = [SpatialCrop(roi_start=(2, 1), roi_end=(6, 4))]
    found = explain(classifier(*chain), picture_volume(np.ones((ROWS, COLUMNS))), class_idx="none")

    seen = np.zeros((ROWS, COLUMNS), bool)
    seen[1:4, 2:6] = True
    np.testing.assert_array_equal(np.isfinite(activation(found)), seen)


def test_colour_is_explained_on_the_pictures_grid() -> None:
    image = np.zeros((ROWS, COLUMNS, 3), np.uint8)
    image[1, 6, 0], image[4, 2, 1] = 200, 250
    chain = [CenterSpatialCrop((9, 5)), Flip(1)]

    found = explain(classifier(*chain, channels=3), picture_volume(image), class_idx="none")

    np.testing.assert_allclose(activation(found), image[..., 0] / (ROWS * COLUMNS), rtol=1e-6)


def test_a_transform_that_forgets_how_it_moved_pixels_is_named() -> None:
    with pytest.raises(BundleError, match="'Transpose'"):
        classifier(Transpose([0, 2, 1]))


# --------------------------------------------------------------------------- files


@pytest.fixture
def explained(tmp_path: Path) -> Explanation:
    """A blue picture of 20 × 30 with a white square, rows 4 to 11 and columns 18 to 27.

    The network sees the first channel, half as fine and turned: 1 in the square and −1 around it.
    """
    array = np.zeros((20, 30, 3), np.uint8)
    array[..., 2] = 90
    array[4:12, 18:28] = 255
    Image.fromarray(array).save(tmp_path / "square.png")
    datalist = tmp_path / "datalist.json"
    datalist.write_text(json.dumps({"training": [{"image": "square.png", "label": 0}]}))
    cohort = read_cohort(datalist)
    chain = [Rotate90(k=1), Resize((10, 15)), ScaleIntensityRange(0, 255, -1, 1)]
    model = classifier(*chain, channels=3)
    return explain(model, cohort.cases[0].read(), analyze(model, cohort), "none")


def test_the_exported_map_lies_on_the_picture(explained: Explanation, tmp_path: Path) -> None:
    write_explanation(explained, tmp_path / "out")

    exported = nibabel.load(tmp_path / "out" / "s_cam_none.nii.gz")
    values = exported.get_fdata()[:, :, 0].T
    np.testing.assert_allclose(values, explained.s_cam.array[0], atol=1e-6)
    # Columns and rows as in the picture; where it lies in the patient nobody knows, and it says so.
    assert (int(exported.header["qform_code"]), int(exported.header["sform_code"])) == (0, 0)
    assert exported.header.get_zooms() == (1.0, 1.0, 1.0)
    rows, columns = np.nonzero(values > explained.scale.neutral)
    assert (rows.min(), rows.max()) == (4, 11)
    assert (columns.min(), columns.max()) == (18, 27)


def test_the_drawn_picture_is_upright_with_the_overlay_on_the_square(
    explained: Explanation,
) -> None:
    image, overlaid, *_ = comparison_picture([explained], ["square"]).axes

    drawn = image.images[0].get_array()
    np.testing.assert_array_equal(drawn, explained.volume.array[0])
    for panel in (image, overlaid):
        left, right = panel.get_xlim()
        bottom, top = panel.get_ylim()
        assert left < right
        assert top < bottom, "row 0 is drawn at the top"
    colours = overlaid.images[1].get_array()
    red, _, blue, opacity = np.moveaxis(colours, -1, 0)
    for_it = (red > blue) & (opacity > 0.05)
    rows, columns = np.nonzero(for_it)
    assert (rows.min(), rows.max()) == (4, 11)
    assert (columns.min(), columns.max()) == (18, 27)


def test_an_explanation_of_a_colour_picture_is_written(
    explained: Explanation, tmp_path: Path
) -> None:
    written = write_explanation(explained, tmp_path / "out")

    assert {path.name for path in written} >= {
        "class_activation_none.nii.gz",
        "s_cam_none.nii.gz",
        "explanation_none.png",
    }
    assert all(path.stat().st_size for path in written)


# ------------------------------------------------------------------- what does not fit


def test_a_network_for_volumes_says_so_of_a_picture() -> None:
    said = "The model takes three-dimensional images and this is a picture; choose a model for"
    for array in (np.zeros((4, 6)), np.zeros((4, 6, 3))):
        with refused(ExplanationError, AnalysisProblem.TOO_FLAT, found="picture") as caught:
            explain(tiny_classifier(), picture_volume(array))
        assert str(caught.value) == f"{said} pictures."


@pytest.mark.parametrize("chain", [[], [Resize((8, 8))]], ids=["forward", "preprocessing"])
def test_a_network_for_pictures_says_so_of_a_volume(chain: list[Any]) -> None:
    volume = volume_from_file_order(np.zeros((6, 5, 4), np.float32), np.eye(4), SourceOrder())
    kind = AnalysisProblem.NOT_FLAT if chain else NetworkProblem.INPUT_SHAPE
    with refused(ExplanationError, kind) as caught:
        explain(classifier(*chain), volume)
    expected = (
        "The model takes pictures (2D) and this is a three-dimensional image; choose a model for"
        " those."
        if chain
        else "The network takes [batch, 1, 2 spatial sizes] (its first convolution is 'features'),"
        " and the input has the shape [1, 1, 6, 5, 4]."
    )
    assert str(caught.value) == expected


def test_a_grey_network_says_what_is_wrong_with_colour() -> None:
    with refused(ExplanationError, AnalysisProblem.IN_COLOUR):
        explain(classifier(), picture_volume(np.zeros((4, 6, 3))))
