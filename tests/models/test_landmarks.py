"""A map lies where its voxels came from, also behind transforms that say nothing of a move."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.transforms import (
    Affined,
    CenterSpatialCropd,
    EnsureChannelFirstd,
    Flipd,
    Lambdad,
    OneOf,
    Orientationd,
    RandFlipd,
    RandLambdad,
    RandSimulateLowResolutiond,
    RandZoomd,
    Resized,
    Rotated,
    Spacingd,
    Zoomd,
)

from napari_ifa.errors import BundleError, ExplanationError
from napari_ifa.models.preprocessing import OpenedImage, Preprocessing, input_lps_affine
from napari_ifa.models.problems import PreprocessingProblem as Problem
from napari_ifa.reading import picture_volume, read_volume
from napari_ifa.volumes import Volume
from tests.problems import refused

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

SHAPE = (40, 52, 24)
#: Where the blob lies in the file's voxels, as shares of the shape.
SPOT = np.array([0.4, 0.62, 0.55])
#: In voxels of the network's input, along the worst axis; what an image of a blob can be held to.
CLOSE = 0.2


def spot(path: Path, shape: tuple[int, int, int] = SHAPE) -> tuple[Volume, Any]:
    """An oblique image with uneven voxels and one blob, and where that lies (LPS mm)."""
    centre = SPOT * shape
    grid = np.indices(shape).reshape(3, -1).T
    values = 100 * np.exp(-(((grid - centre) / 3) ** 2).sum(1) / 2)
    turn = np.eye(4)
    sine, cosine = np.sin(0.23), np.cos(0.23)
    turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
    matrix = turn @ np.diag([-0.9, -1.3, 2.4, 1.0])
    matrix[:3, 3] = [30.0, -12.0, 7.0]
    nibabel.save(nibabel.Nifti1Image(values.reshape(shape).astype(np.float32), matrix), path)
    return read_volume(path), (np.diag([-1, -1, 1, 1]) @ matrix @ [*centre, 1])[:3]


def prepared(volume: Volume, *steps: Any) -> Any:
    chain = [OpenedImage({"keys": "image"}), EnsureChannelFirstd("image"), *steps]
    return Preprocessing.from_built(chain).prepared(volume)


def apart(image: Any, truth: Any) -> float:
    """Voxels of the input between the blob in it and where its affine has the blob's place."""
    values = image.numpy()[0].astype(float)
    values = np.abs(values - np.median(values))
    weight = np.where(values > 0.3 * values.max(), values, 0)
    index = np.indices(values.shape).reshape(3, -1)
    centre = index @ weight.ravel() / weight.sum()
    expected = (np.linalg.inv(input_lps_affine(image)) @ [*truth, 1])[:3]
    return float(np.abs(centre - expected).max())


def near(**arguments: Any) -> dict[str, Any]:
    return {"keys": "image", "mode": "nearest", **arguments}


NEAREST = {
    "half": [Resized(**near(spatial_size=(20, 26, 12)))],
    "a third": [Resized(**near(spatial_size=(13, 17, 8)))],
    "uneven": [Resized(**near(spatial_size=(17, 23, 9)))],
    "double": [Resized(**near(spatial_size=(80, 104, 48)))],
    "up and down": [Resized(**near(spatial_size=(67, 20, 37)))],
    "exact": [Resized("image", spatial_size=(20, 26, 12), mode="nearest-exact")],
    "smoothed": [Resized(**near(spatial_size=(10, 13, 6), anti_aliasing=True))],
    "zoomed": [Zoomd(**near(zoom=(0.5, 0.4, 1.3), keep_size=False))],
    "zoomed and padded": [Zoomd(**near(zoom=0.5))],
    "zoomed by lot": [RandZoomd(**near(prob=1.0, min_zoom=0.45, max_zoom=0.55))],
    "other voxels": [Spacingd(**near(pixdim=(1.8, 2.6, 4.8), scale_extent=True))],
    "finer voxels": [Spacingd(**near(pixdim=(0.45, 0.65, 1.2)))],
    "by an affine": [Affined(**near(scale_params=(0.5, 0.5, 0.5)))],
    "turned": [Rotated(**near(angle=(0.3, 0.1, 0.0)))],
    "coarsened": [RandSimulateLowResolutiond("image", prob=1.0, zoom_range=(0.5, 0.5))],
    "in a chain": [
        Orientationd("image", axcodes="RAS", labels=None),
        Resized(**near(spatial_size=(20, 26, 12))),
        Spacingd("image", pixdim=(1.5, 2.0, 3.0)),
        Flipd("image", spatial_axis=1),
        CenterSpatialCropd("image", roi_size=(18, 20, 10)),
    ],
}


@pytest.mark.parametrize("case", NEAREST)
def test_nearest_voxels_lie_where_they_were_taken_from(case: str, tmp_path: Path) -> None:
    volume, truth = spot(tmp_path / "spot.nii")
    assert apart(prepared(volume, *NEAREST[case]).image, truth) < CLOSE


def test_half_of_an_axis_by_hand() -> None:
    """Voxel i of 4 is voxel 2 i of 8, where MONAI's affine has it at 2 i + ½."""
    volume = picture_volume(np.arange(8.0)[None].repeat(8, 0))
    chain = [
        OpenedImage({"keys": "image"}),
        EnsureChannelFirstd("image"),
        Resized(**near(spatial_size=(4, 4))),
    ]
    found = Preprocessing.from_built(chain)(volume)
    np.testing.assert_array_equal(found.numpy()[0, :, 0], [0, 2, 4, 6])
    to_volume = np.linalg.inv(volume.affine) @ input_lps_affine(found)
    np.testing.assert_allclose((to_volume @ [1, 3, 0, 1])[:3], [0, 6, 2], atol=1e-9)


def test_a_mode_that_interpolates_keeps_monais_affine(tmp_path: Path) -> None:
    volume, truth = spot(tmp_path / "spot.nii")
    step = Resized("image", spatial_size=(20, 26, 12), mode="trilinear")
    found = prepared(volume, step).image
    plain = prepared(volume).image
    expected = step({"image": plain})["image"].affine
    np.testing.assert_array_equal(found.affine, expected)
    assert apart(found, truth) < CLOSE


def function(change: Callable[[Any], Any]) -> Lambdad:
    return Lambdad("image", func=change)


def pooled(x: Any) -> Any:
    return torch.nn.functional.avg_pool3d(x[None], 2)[0]


MOVING = {
    "a flip": lambda x: x.flip(1),
    "two flips": lambda x: torch.flip(x, [2, 3]),
    "axes swapped": lambda x: x.permute(0, 2, 1, 3),
    "every second voxel": lambda x: x[:, ::2, ::2],
    "a cut": lambda x: x[:, 5:-3, 4:],
    "a roll": lambda x: torch.roll(x, (3,), (1,)),
    "a roll by one": lambda x: torch.roll(x, (1,), (3,)),
    "a quarter turn": lambda x: torch.rot90(x, 1, (1, 2)),
    "pooling": pooled,
    "another size": lambda x: torch.nn.functional.interpolate(
        x[None], size=(20, 30, 30), mode="trilinear"
    )[0],
    "a flip of other values": lambda x: (x.flip(2) - x.mean()) / x.std(),
}
STAYING = {
    "a division": lambda x: x / 255,
    "mean and deviation": lambda x: (x - x.mean()) / x.std(),
    "range": lambda x: (x - x.min()) / (x.max() - x.min()),
    "a window": lambda x: x.clamp(10, 30),
    "a band": lambda x: torch.where((x > 20) & (x < 80), x, 0 * x),
    "a sign": lambda x: -x,
    "smoothing": lambda x: torch.nn.functional.avg_pool3d(x[None], 3, 1, 1)[0],
    "noise": lambda x: x + torch.randn_like(x),
}


@pytest.mark.parametrize("case", MOVING)
def test_a_function_that_moves_the_image_is_followed(case: str, tmp_path: Path) -> None:
    volume, truth = spot(tmp_path / "spot.nii")
    found = prepared(volume, function(MOVING[case]))
    assert apart(found.image, truth) < CLOSE
    (note,) = found.notes
    assert "'Lambdad' moves the image without saying so" in note


@pytest.mark.parametrize("case", STAYING)
def test_a_function_of_the_values_is_left_alone(case: str, tmp_path: Path) -> None:
    volume, _ = spot(tmp_path / "spot.nii")
    found = prepared(volume, function(STAYING[case]))
    assert found.notes == ()
    np.testing.assert_array_equal(found.image.affine, prepared(volume).image.affine)


def test_later_transforms_go_on_from_there(tmp_path: Path) -> None:
    volume, truth = spot(tmp_path / "spot.nii", (31, 44, 27))
    found = prepared(
        volume,
        function(lambda x: x.flip(1).permute(0, 3, 1, 2)),
        Spacingd("image", pixdim=(2.0, 2.0, 2.0)),
        Resized("image", spatial_size=(16, 24, 12), mode="trilinear"),
    )
    assert apart(found.image, truth) < CLOSE


class Turned:
    """A transform of a bundle's own, of an image without a key."""

    def __call__(self, image: Any) -> Any:
        return image.flip(2)


def test_a_transform_of_the_bundles_own_is_followed_too(tmp_path: Path) -> None:
    from monai.transforms import EnsureChannelFirst

    volume, truth = spot(tmp_path / "spot.nii")
    chain = [OpenedImage({}), EnsureChannelFirst(), Turned()]
    found = Preprocessing.from_built(chain).prepared(volume)
    assert apart(found.image, truth) < CLOSE
    assert "'Turned'" in found.notes[0]


def test_a_picture_is_followed_as_well() -> None:
    volume = picture_volume(np.random.default_rng(0).random((40, 56)))
    found = prepared(volume, function(lambda x: x.flip(1)))
    to_volume = np.linalg.inv(volume.affine) @ input_lps_affine(found.image)
    # The first axis of the input is the picture's columns, from the last to the first.
    np.testing.assert_allclose((to_volume @ [0, 0, 0, 1])[:3], [0, 0, 55], atol=1e-6)


def test_lots_are_drawn_alike_for_the_image_and_its_landmarks(tmp_path: Path) -> None:
    volume, truth = spot(tmp_path / "spot.nii")
    flips = [function(lambda x: x.flip(1)), function(lambda x: x.flip(2))]
    for step in (OneOf(flips), RandLambdad("image", prob=0.5, func=lambda x: x.flip(1))):
        assert apart(prepared(volume, step).image, truth) < CLOSE


@pytest.mark.parametrize(
    "change",
    [
        lambda x: torch.fft.fftn(x).abs(),
        lambda x: torch.maximum(x, x.flip(1)),
        lambda x: x * 0,
        lambda x: x[:, :, :, 12],
    ],
    ids=["frequencies", "laid over its mirror image", "nothing", "one slice"],
)
def test_what_landmarks_do_not_tell_is_refused_by_name(change: Any, tmp_path: Path) -> None:
    volume, _ = spot(tmp_path / "spot.nii")
    with refused(ExplanationError, Problem.POSITION_UNKNOWN, transform="Lambdad"):
        prepared(volume, function(change))


def test_a_lazy_chain_cannot_be_followed() -> None:
    from monai.transforms import Compose

    steps = [OpenedImage({"keys": "image"}), function(lambda x: x)]
    with refused(BundleError, Problem.LAZY):
        Preprocessing.from_built(Compose(steps, lazy=True))


def test_random_transforms_are_said_to_be_seeded() -> None:
    chain = [OpenedImage({"keys": "image"}), RandFlipd("image", prob=0.5), Flipd("image")]
    (note,) = Preprocessing.from_built(chain).notes
    assert "'RandFlipd'" in note
    assert Preprocessing.from_built(chain[::2]).notes == ()


def test_a_function_may_change_the_image_that_it_is_given(tmp_path: Path) -> None:
    def in_place(image: Any) -> Any:
        image.copy_(image.flip(1) * 2)
        return image

    volume, truth = spot(tmp_path / "spot.nii")
    found = prepared(volume, function(in_place))
    assert apart(found.image, truth) < CLOSE
    assert len(found.notes) == 1


def test_a_function_that_says_what_it_moves_is_believed(tmp_path: Path) -> None:
    def flipped(image: Any) -> Any:
        matrix = np.diag([-1.0, 1.0, 1.0, 1.0])
        matrix[0, 3] = image.shape[1] - 1
        image.copy_(image.flip(1))
        image.affine = image.affine @ torch.from_numpy(matrix)
        return image

    volume, truth = spot(tmp_path / "spot.nii")
    found = prepared(volume, function(flipped))
    assert apart(found.image, truth) < CLOSE
    assert found.notes == ()


def test_a_lazy_transform_in_a_chain_that_is_not_lazy_runs_at_once(tmp_path: Path) -> None:
    volume, truth = spot(tmp_path / "spot.nii")
    found = prepared(volume, Spacingd("image", pixdim=(2.0, 2.0, 2.0), lazy=True)).image
    assert not found.pending_operations
    assert apart(found, truth) < CLOSE
