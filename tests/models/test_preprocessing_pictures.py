"""A bundle's preprocessing gives a picture to the network as MONAI's own loader would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks.nets import DenseNet
from PIL import Image

from napari_ifa.errors import ExplanationError
from napari_ifa.models import Classifier, load_classifier
from napari_ifa.models.preprocessing import OpenedImage, Preprocessing, input_lps_affine
from napari_ifa.models.problems import PreprocessingProblem as Problem
from napari_ifa.reading import picture_volume, read_volume
from napari_ifa.volumes import Volume
from tests.problems import refused

NETWORK = {
    "spatial_dims": 2,
    "out_channels": 2,
    "init_features": 4,
    "growth_rate": 4,
    "block_config": [1, 1],
}
ROWS, COLUMNS = 37, 53


def step(name: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": name, "keys": "image", **arguments}


CHAINS = {
    "resize": [
        step("LoadImaged"),
        step("EnsureChannelFirstd"),
        step("Resized", spatial_size=[32, 40]),
        step("ScaleIntensityd"),
    ],
    "channels by the loader": [
        step("LoadImaged", ensure_channel_first=True),
        step("ScaleIntensityRanged", a_min=0, a_max=255, b_min=0, b_max=1, clip=True),
        step("CenterSpatialCropd", roi_size=[30, 30]),
        step("SpatialPadd", spatial_size=[40, 36]),
    ],
    "turned": [
        step("LoadImaged"),
        step("EnsureChannelFirstd"),
        step("Rotate90d", k=1),
        step("Flipd", spatial_axis=0),
        step("Resized", spatial_size=[32, 40], mode="bilinear"),
        step("NormalizeIntensityd", channel_wise=True),
    ],
    "by the affine": [
        step("LoadImaged"),
        step("EnsureChannelFirstd"),
        step("Orientationd", axcodes="LA", labels=None),
        step("Spacingd", pixdim=[0.7, 1.3]),
    ],
    "the file's type": [
        step("LoadImaged", dtype=None),
        step("EnsureChannelFirstd"),
        step("CastToTyped", dtype="float32"),
    ],
    "rows first": [
        step("LoadImaged", reader="PILReader", reverse_indexing=False),
        step("EnsureChannelFirstd"),
        step("Resized", spatial_size=[32, 40]),
    ],
}
FILES = ("grey.png", "colour.png", "wide.png", "grey.jpg", "colour.jpg", "bits.png", "palette.png")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    grey = Image.fromarray(rng.integers(0, 256, (ROWS, COLUMNS), np.uint8))
    colour = Image.fromarray(rng.integers(0, 256, (ROWS, COLUMNS, 3), np.uint8))
    wide = Image.fromarray(rng.integers(0, 2**16, (ROWS, COLUMNS), np.uint16))
    made = (grey, colour, wide, grey, colour, grey.convert("1"), colour.convert("P"))
    for name, image in zip(FILES, made, strict=True):
        image.save(folder / name)
    return folder


@pytest.fixture(scope="module")
def classifier_of(tmp_path_factory: pytest.TempPathFactory):
    """A bundle of a 2D network with the given chain."""

    def make(transforms: list[dict[str, Any]], channels: int) -> Classifier:
        folder = tmp_path_factory.mktemp("bundle")
        (folder / "configs").mkdir()
        (folder / "models").mkdir()
        network = NETWORK | {"in_channels": channels}
        config = {
            "network_def": {"_target_": "DenseNet", **network},
            "preprocessing": {"_target_": "Compose", "transforms": transforms},
        }
        image = {"num_channels": channels, "spatial_shape": [40, 40]}
        labels = {"channel_def": {"0": "benign", "1": "malignant"}}
        metadata = {
            "network_data_format": {"inputs": {"image": image}, "outputs": {"pred": labels}}
        }
        (folder / "configs" / "inference.json").write_text(json.dumps(config))
        (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
        torch.save(DenseNet(**network).state_dict(), folder / "models" / "model.pt")
        return load_classifier(folder, device="cpu")

    return make


def by_monai(transforms: list[dict[str, Any]], path: Path) -> Any:
    """What MONAI's own parser and loader make of the file."""
    chain = ConfigParser({"chain": {"_target_": "Compose", "transforms": transforms}})
    return chain.get_parsed_content("chain")({"image": str(path)})["image"]


@pytest.mark.parametrize("chain", list(CHAINS))
def test_the_network_sees_what_monais_own_loader_gives(
    chain: str, pictures: Path, classifier_of: Any
) -> None:
    classifiers = {channels: classifier_of(CHAINS[chain], channels) for channels in (1, 3)}
    for name in FILES:
        expected = by_monai(CHAINS[chain], pictures / name)

        found = classifiers[3 if "colour" in name else 1].preprocess(read_volume(pictures / name))

        assert found.dtype == expected.dtype, name
        np.testing.assert_array_equal(found.numpy(), expected.numpy(), err_msg=name)


def test_without_a_type_the_loader_keeps_monais(pictures: Path) -> None:
    """MONAI turns uint16, with which torch cannot compute, into int32."""
    loaded = Preprocessing.from_built([OpenedImage({"dtype": None})])
    for name, dtype in (("wide.png", torch.int32), ("grey.png", torch.uint8)):
        assert loaded(read_volume(pictures / name)).dtype == dtype


def test_real_pictures_are_seen_as_by_monai(shared_data: Path, classifier_of: Any) -> None:
    classifier = classifier_of(CHAINS["turned"], 1)
    for folder in ("chest_xray/test/PNEUMONIA", "breast_ultrasound/malignant"):
        for path in sorted((shared_data / folder).iterdir())[:5]:
            expected = by_monai(CHAINS["turned"], path)
            np.testing.assert_array_equal(
                classifier.preprocess(read_volume(path)).numpy(), expected.numpy()
            )


def placed(volume: Volume, *, rows_first: bool = False) -> Any:
    """The input of a chain that only loads, and its index → index of (I, P, L)."""
    loaded = Preprocessing.from_built([OpenedImage({"reverse_indexing": not rows_first})])
    found = loaded(volume)
    return found, np.linalg.inv(volume.affine) @ input_lps_affine(found)


@pytest.mark.parametrize("rows_first", [False, True])
def test_the_inputs_affine_places_its_pixels_in_the_picture(rows_first: bool) -> None:
    volume = picture_volume(np.arange(15.0).reshape(3, 5))

    found, to_picture = placed(volume, rows_first=rows_first)

    assert tuple(found.shape) == ((3, 5) if rows_first else (5, 3))
    for index in np.ndindex(*found.shape):
        i, p, left = np.rint((to_picture @ [*index, 0.0, 1.0])[:3]).astype(int)
        assert found[index] == volume.array[i, p, left]


def test_a_chain_that_makes_slices_of_a_picture_is_refused() -> None:
    from monai.transforms import EnsureChannelFirst, Resize

    chain = [OpenedImage({}), EnsureChannelFirst(), Resize([8, 8, 8])]
    with refused(ExplanationError, Problem.MAKES_SLICES, slices=8):
        Preprocessing.from_built(chain)(picture_volume(np.zeros((3, 5))))


@pytest.mark.parametrize("shape", [(6, 4), (6, 4, 1)])
def test_a_nifti_file_of_two_axes_stays_flat_as_in_monai(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    from monai.transforms import LoadImage

    path = tmp_path / "flat.nii"
    values = np.arange(24, dtype=np.float32).reshape(shape)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([-2.0, 1.0, 1.0, 1.0])), path)
    expected = LoadImage()(path)

    found = Preprocessing.from_built([OpenedImage({})])(read_volume(path))

    np.testing.assert_array_equal(found.numpy(), expected.numpy())
    np.testing.assert_allclose(found.affine, expected.affine)
