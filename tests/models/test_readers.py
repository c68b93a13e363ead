"""Arguments of MONAI's loader and of its readers: reproduced as MONAI does, or refused by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, Orientationd
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from napari_ifa.errors import BundleError, ExplanationError
from napari_ifa.models.opened_image import OpenedImage
from napari_ifa.models.preprocessing import Preprocessing, input_lps_affine
from napari_ifa.models.problems import PreprocessingProblem as Problem
from napari_ifa.reading import picture_volume, read_volume
from napari_ifa.volumes import Volume
from tests.problems import refused

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")

CHAINS = {
    "loaded": [],
    "channels first": [EnsureChannelFirstd("image")],
    "turned by the affine": [
        EnsureChannelFirstd("image"),
        Orientationd("image", axcodes="RAS", labels=None),
    ],
}


def affine(angle: float, spacing: tuple[float, float, float], order: list[int]) -> np.ndarray:
    """An oblique RAS affine with its columns in another order."""
    turn = np.eye(4)
    sine, cosine = np.sin(np.radians(angle)), np.cos(np.radians(angle))
    turn[:2, :2] = [[cosine, -sine], [sine, cosine]]
    matrix = turn @ np.diag([*spacing, 1.0])
    matrix = matrix[:, [*order, 3]]
    matrix[:3, 3] = [30.0, -12.0, 7.0]
    return matrix


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of every kind that one of the readers opens."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(4)

    def nifti(name: str, array: Any, matrix: Any) -> Path:
        nibabel.save(nibabel.Nifti1Image(array, matrix), folder / name)
        return folder / name

    whole = rng.integers(-500, 999, (6, 7, 5)).astype(np.int16)
    found = {
        "flipped": nifti("flipped.nii.gz", whole, affine(10, (-1.5, -1.2, 2.5), [0, 1, 2])),
        "oblique": nifti(
            "oblique.nii", rng.random((5, 4, 6), np.float32), affine(25, (0.8, -1.1, -3), [2, 0, 1])
        ),
        "4D of one": nifti(
            "one.nii", rng.integers(0, 99, (6, 7, 5, 1), np.uint8), affine(5, (2, 2, 2), [0, 1, 2])
        ),
        "5D of one": nifti("five.nii", whole[..., None, None], affine(5, (-2, 2, 2), [0, 1, 2])),
        "2D": nifti("flat.nii", rng.random((6, 4), np.float32), np.diag([-2.0, 1, 1, 1])),
    }
    for name, shape in {
        "grey.png": (9, 11),
        "colour.png": (8, 5, 3),
        "colour.jpg": (8, 5, 3),
    }.items():
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / name)
        found[name] = folder / name
    for name, source in {"slice": "CT_small.dcm", "x-ray": "JPEG2000.dcm"}.items():
        found[name] = folder / name / source
        found[name].parent.mkdir()
        found[name].write_bytes(Path(get_testdata_file(source, download=False)).read_bytes())
    found["series"] = series(folder / "series", range(4))
    found["numbered downwards"] = series(folder / "downwards", range(4)[::-1])
    return found


def series(folder: Path, numbers: Any) -> Path:
    """Slices 5 mm apart, upwards in the patient, with these instance numbers."""
    folder.mkdir()
    data = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
    data.SeriesInstanceUID = generate_uid()
    pixels = data.pixel_array
    for place, number in enumerate(numbers):
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.ImagePositionPatient = [-158.1, -179.0, -75.7 + 5 * place]
        data.InstanceNumber = number + 1
        data.PixelData = (pixels + 10 * place).astype(np.int16).tobytes()
        data.save_as(folder / f"{place}.dcm")
    return folder


NIFTI = ("flipped", "oblique", "4D of one", "5D of one", "2D")
VOLUMES = ("flipped", "oblique", "4D of one", "5D of one")
PICTURES = ("grey.png", "colour.png", "colour.jpg")
DICOM = ("slice", "x-ray", "series", "numbered downwards")
GREY: Callable[[Any], Any] = lambda image: image.convert("L")  # noqa: E731
EVERY = NIFTI + PICTURES + DICOM
REPRODUCED = {
    "none": ({}, EVERY),
    "closest canonical": ({"reader": "NibabelReader", "as_closest_canonical": True}, VOLUMES),
    "squeezed": ({"reader": "NibabelReader", "squeeze_non_spatial_dims": True}, NIFTI),
    "no channel": ({"reader": "NibabelReader", "channel_dim": "no_channel"}, NIFTI[:2]),
    "last channel": ({"reader": "NibabelReader", "channel_dim": -1}, ("4D of one",)),
    "memory mapped": ({"reader": "monai.data.NibabelReader", "mmap": False}, NIFTI),
    "rows first in DICOM": ({"reader": "PydicomReader", "swap_ij": False}, DICOM),
    "LPS": ({"reader": "pydicomreader", "affine_lps_to_ras": False}, DICOM),
    "both": (
        {"reader": "PydicomReader", "swap_ij": False, "affine_lps_to_ras": False},
        DICOM,
    ),
    "all metadata": ({"reader": "PydicomReader", "prune_metadata": False}, DICOM),
    "rows first": ({"reader": "PILReader", "reverse_indexing": False}, PICTURES),
    "rows first, without a name": ({"reverse_indexing": False}, PICTURES),
    "converted to grey": ({"reader": "PILReader", "converter": GREY}, PICTURES),
    "two readers": ({"reader": ["PydicomReader", "NibabelReader"]}, EVERY),
    "another kind's reader": ({"reader": "NumpyReader"}, EVERY),
    "simple keys": ({"simple_keys": True}, EVERY),
    "pruned": ({"prune_meta_pattern": "space$|spatial"}, EVERY),
    "pruned affine": ({"prune_meta_pattern": "^affine"}, VOLUMES),
    "channels first": ({"ensure_channel_first": True}, ("flipped", "4D of one", "series")),
    "whole numbers": ({"dtype": "int32"}, VOLUMES + PICTURES),
    "the file's type": ({"dtype": None}, VOLUMES + PICTURES),
    "no effect": (
        {"overwriting": True, "allow_missing_keys": True, "expanduser": False},
        EVERY,
    ),
}


def chains(arguments: dict[str, Any], name: str) -> dict[str, list[Any]]:
    """Those that fit: channels come to the front once, and MONAI turns no fourth axis."""
    if arguments.get("ensure_channel_first"):
        return {"loaded": []}
    return dict(list(CHAINS.items())[: 2 if name == "5D of one" else 3])


@pytest.mark.parametrize("case", REPRODUCED)
def test_the_image_is_what_monais_loader_gives(case: str, images: dict[str, Path]) -> None:
    arguments, names = REPRODUCED[case]
    loader = LoadImaged(keys="image", **arguments)
    for name in names:
        volume = read_volume(images[name])
        for chain, steps in chains(arguments, name).items():
            expected: Any = Compose([loader, *steps])({"image": str(images[name])})["image"]
            # As a configuration has it, and as trusted code has built it.
            for opened in (
                OpenedImage({"keys": "image", **arguments}),
                OpenedImage.in_place_of(loader),
            ):
                data = opened({"image": volume})
                found = Compose(steps)(data)["image"]
                where = f"{case}, {chain}, {name}"
                assert found.dtype == expected.dtype, where
                np.testing.assert_array_equal(found.numpy(), expected.numpy(), err_msg=where)
                # One slice has no step: its third column is the thickness here, and 1 in MONAI.
                columns = [0, 1, 3] if name == "slice" else slice(None)
                np.testing.assert_allclose(
                    found.affine[:, columns], expected.affine[:, columns], atol=1e-6, err_msg=where
                )


@pytest.mark.parametrize("case", REPRODUCED)
def test_whatever_the_arguments_a_voxel_lies_where_the_image_has_it(
    case: str, images: dict[str, Path]
) -> None:
    arguments, names = REPRODUCED[case]
    if case == "whole numbers":
        names = ("flipped", *PICTURES)
    for name in names:
        volume = read_volume(images[name])
        for steps in chains(arguments, name).values():
            chain = [OpenedImage({"keys": "image", **arguments}), *steps]
            found = Preprocessing.from_built(chain)(volume)
            check_place(volume, found, first=bool(steps) or "ensure_channel_first" in arguments)


def check_place(volume: Volume, image: Any, *, first: bool) -> None:
    array = image.numpy()
    flat = volume.shape[volume.source.axes.index(2)] == 1
    spatial = array[0] if first else array
    if spatial.ndim > (2 if flat else 3):
        spatial = spatial.reshape(*spatial.shape[: 2 if flat else 3], -1)[..., 0]
    to_volume = np.linalg.inv(volume.affine) @ input_lps_affine(image)
    for share in (0.0, 0.3, 0.6):
        index = [int(share * size) for size in spatial.shape]
        place = to_volume @ [*index, *[0] * (3 - len(index)), 1]
        i, p, left = np.rint(place[:3]).astype(int)
        value = np.atleast_1d(volume.array[i, p, left])[0]
        if volume.is_colour and spatial.ndim == 2 and array.shape[0 if first else -1] != 3:
            continue  # converted to grey
        assert spatial[tuple(index)] == pytest.approx(float(value), abs=1e-5)


def test_itks_view_of_slices_axes_and_pictures(images: dict[str, Path]) -> None:
    """As measured with itk 5.4.7: along the slices' normal, one slice as a volume, −1 mm pixels."""
    upwards = seen(images["series"], reader="ITKReader")
    downwards = seen(images["numbered downwards"], reader="ITKReader")
    np.testing.assert_array_equal(upwards.numpy(), downwards.numpy())
    np.testing.assert_allclose(upwards.affine, downwards.affine, atol=1e-9)
    assert upwards.affine[2, 2] == pytest.approx(5.0)

    assert tuple(seen(images["slice"], reader="ITKReader").shape) == (128, 128, 1)
    picture = seen(images["grey.png"], reader="ITKReader")
    assert tuple(picture.shape) == (11, 9)
    np.testing.assert_array_equal(picture.affine, np.diag([-1.0, -1.0, 1.0]))
    left = seen(images["grey.png"], reader="ITKReader", affine_lps_to_ras=False)
    np.testing.assert_array_equal(left.affine, np.eye(3))
    assert left.meta["space"] == "LPS"

    turned = seen(images["flipped"], reader="ITKReader", reverse_indexing=True)
    usual = seen(images["flipped"], reader="ITKReader")
    np.testing.assert_array_equal(turned.numpy(), usual.numpy().transpose(2, 1, 0))
    np.testing.assert_array_equal(turned.affine, usual.affine)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_reversed_image_of_itk_keeps_its_place(reverse: bool, images: dict[str, Path]) -> None:
    for name in ("flipped", "oblique", "series", "grey.png", "colour.png"):
        arguments = {"reader": "ITKReader", "reverse_indexing": reverse}
        volume = read_volume(images[name])
        found = Preprocessing.from_built([OpenedImage(arguments)])(volume)
        check_place(volume, found, first=False)


def seen(path: Path, **arguments: Any) -> Any:
    return OpenedImage(arguments)(read_volume(path))


def test_an_argument_that_says_how_images_stand_holds_for_other_files_too(
    images: dict[str, Path],
) -> None:
    """A model for NIfTI brought to the closest canonical axes gets a DICOM series so."""
    found = seen(images["series"], reader="NibabelReader", as_closest_canonical=True)
    assert nibabel.aff2axcodes(found.affine.numpy()) == ("R", "A", "S")
    # And one for pictures with rows first gets an X-ray in DICOM so.
    x_ray = read_volume(images["x-ray"])
    found = seen(images["x-ray"], reader="PILReader", reverse_indexing=False)
    np.testing.assert_array_equal(found.numpy(), x_ray.array[0].astype(np.float32))


def test_metadata_stands_where_a_later_transform_looks_for_it(images: dict[str, Path]) -> None:
    for extra, key in (({}, "image_meta_dict"), ({"meta_key_postfix": "about"}, "image_about")):
        data = OpenedImage({"keys": ["image"], "image_only": False, **extra})(
            {"image": read_volume(images["flipped"])}
        )
        assert data[key]["space"] == "RAS"
    named = OpenedImage({"keys": "image", "image_only": False, "meta_keys": "facts"})
    assert "facts" in named({"image": read_volume(images["flipped"])})


REFUSED = {
    "to_gpu": {"reader": "NibabelReader", "to_gpu": True},
    "label_dict": {"reader": "PydicomReader", "label_dict": {"kidney": 0}},
    "fname_regex": {"fname_regex": ".*_1.dcm"},
    "specific_tags": {"reader": "PydicomReader", "specific_tags": ["PixelSpacing"]},
    "series_name": {"reader": "ITKReader", "series_name": "1.2.3"},
    "pixel_type": {"reader": "ITKReader", "pixel_type": "itk.F"},
    "npz_keys": {"reader": "NumpyReader", "npz_keys": ["a"]},
    "index_order": {"reader": "NrrdReader", "index_order": "C"},
    "swap_ij": {"reader": "NibabelReader", "swap_ij": False},
    "WSIReader": {"reader": "WSIReader"},
    "my_readers.Special": {"reader": "my_readers.Special"},
    "channel_dim": {"reader": "NibabelReader", "channel_dim": "last"},
    "no_such": {"no_such": 1},
    "image_only": {"image_only": False},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_reproduced_is_refused_by_name(name: str) -> None:
    with pytest.raises(BundleError) as caught:
        OpenedImage(REFUSED[name])
    if caught.value.kind is Problem.READER:
        assert caught.value.facts["reader"] == name
    else:
        assert caught.value.kind in (Problem.READER_ARGUMENT, Problem.LOADER_ARGUMENT)
        assert caught.value.facts["argument"] == name


def test_a_reader_of_the_bundles_own_is_refused_by_name() -> None:
    from monai.data import NibabelReader

    class Special(NibabelReader):
        pass

    loader = LoadImaged("image", reader=Special)
    with refused(BundleError, Problem.READER, reader="Special"):
        OpenedImage.in_place_of(loader)


def test_values_that_ask_for_nothing_are_no_obstacle() -> None:
    OpenedImage({"reader": "PydicomReader", "to_gpu": False, "label_dict": None, "fname_regex": ""})
    OpenedImage({"reader": "NrrdReader", "index_order": "F"})


@pytest.mark.parametrize(
    ("arguments", "name", "word"),
    [
        ({"reader": "PydicomReader", "swap_ij": False}, "flipped", "swap_ij"),
        (
            {"reader": "NibabelReader", "as_closest_canonical": True},
            "grey.png",
            "as_closest_canonical",
        ),
        ({"reader": "NibabelReader", "as_closest_canonical": True}, "2D", "as_closest_canonical"),
        ({"reader": "PILReader", "converter": GREY}, "series", "converter"),
        ({"reverse_indexing": False}, "flipped", "reverse_indexing"),
        ({"reader": "NibabelReader", "channel_dim": 2}, "flipped", "channel_dim"),
    ],
)
def test_an_image_that_monai_would_not_open_so_is_refused_with_the_argument(
    arguments: dict[str, Any], name: str, word: str, images: dict[str, Path]
) -> None:
    with refused(ExplanationError, Problem.READER_AND_IMAGE, argument=word):
        seen(images[name], **arguments)


def test_a_converter_that_changes_the_size_is_refused() -> None:
    opened = OpenedImage({"reader": "PILReader", "converter": lambda image: image.resize((2, 2))})
    with refused(ExplanationError, Problem.CONVERTER_CHANGES_SIZE):
        opened(picture_volume(np.zeros((3, 5), np.uint8)))


def test_itks_pixel_size_of_an_x_ray_is_not_made_up(images: dict[str, Path]) -> None:
    from monai.transforms import EnsureChannelFirst, Spacing

    opened = OpenedImage({"reader": "ITKReader"})
    chain = [opened, EnsureChannelFirst(), Spacing([1.0, 1.0, 1.0])]
    with refused(
        ExplanationError, Problem.READER_WITHOUT_POSITION, reader="ITKReader", transform="Spacing"
    ):
        Preprocessing.from_built(chain)(read_volume(images["x-ray"]))
