"""Slices that a vendor tiled into one image: Siemens mosaics and United Imaging's tiles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from napari_ifa.reading import list_series, read_volume
from tests.dicom_parts import COLUMNS, ROWS, csa_header, side_by_side
from tests.refusals import refusal

Save = Callable[..., Path]
Make = Callable[..., Dataset]

TILES = 5
#: Five tiles need a square of three by three.
SIDE = 3


@pytest.fixture
def mosaic(dicom_slice: Make) -> Make:
    """Five axial slices of 2 × 3 pixels (0.5 × 0.25 mm), 2 mm apart."""

    def make(normal: list[float] | None = None, **elements: Any) -> Dataset:
        elements = {
            "Modality": "MR",
            "ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"],
            "Rows": SIDE * ROWS,
            "Columns": SIDE * COLUMNS,
            "SpacingBetweenSlices": 2,
            # Of the whole mosaic, as if it were one slice with the same middle.
            "ImagePositionPatient": [10, 20, 30],
            "PixelData": side_by_side(TILES, SIDE, SIDE),
            **elements,
        }
        data = dicom_slice(0, **elements)
        block = data.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
        block.add_new(0x10, "OB", csa_header(normal or [0, 0, 1], TILES))
        return data

    return make


@pytest.mark.parametrize("up", [1, -1], ids=["along", "against"])
def test_slices_run_along_the_private_normal(
    tmp_path: Path, mosaic: Make, save_dicom: Save, up: int
) -> None:
    save_dicom(tmp_path / "a", mosaic([0, 0, float(up)]))
    volume = read_volume(tmp_path / "a")
    assert volume.shape == (TILES, ROWS, COLUMNS)
    assert volume.spacing == (2.0, 0.5, 0.25)
    to_index = np.linalg.inv(volume.affine)
    for k in range(TILES):
        # Half the difference in size: (9 - 3) / 2 · 0.25 and (6 - 2) / 2 · 0.5.
        first = to_index @ [10 + 0.75, 20 + 1, 30 + up * 2 * k, 1]
        index = tuple(np.round(first[:3]).astype(int))
        np.testing.assert_allclose(first[:3], index, atol=1e-9)
        np.testing.assert_array_equal(
            volume.array[index[0]], 100 * k + np.array([[0, 1, 2], [10, 11, 12]])
        )


@pytest.mark.parametrize("moved", [0.0, 0.05, 0.3])
def test_times_of_a_moving_patient_stay_apart(
    tmp_path: Path, mosaic: Make, save_dicom: Save, moved: float
) -> None:
    # The scanner followed the patient: each time lies a little higher and farther back.
    for t in range(3):
        place = [10, 20 + moved * t, 30 + moved * t]
        data = mosaic(
            InstanceNumber=t + 1,
            AcquisitionNumber=t + 1,
            ImagePositionPatient=place,
            PixelData=(np.frombuffer(side_by_side(TILES, SIDE, SIDE), "<u2") + 1000 * t).tobytes(),
        )
        save_dicom(tmp_path / f"{t}", data)
    series = list_series(tmp_path)
    assert [one.part for one in series] == ["image 1 of 3", "image 2 of 3", "image 3 of 3"]
    for t, one in enumerate(series):
        volume = read_volume(one)
        assert volume.shape == (TILES, ROWS, COLUMNS)
        assert volume.array[::-1, 0, 0].tolist() == [1000 * t + 100 * k for k in range(TILES)]
        np.testing.assert_allclose(
            volume.affine @ [TILES - 1, 0, 0, 1], [10.75, 21 + moved * t, 30 + moved * t, 1]
        )


def test_mosaic_without_the_distance_of_its_slices_is_refused(
    tmp_path: Path, mosaic: Make, save_dicom: Save
) -> None:
    # Its thickness is known, but slices may have gaps.
    data = mosaic(SliceThickness=1.5)
    del data.SpacingBetweenSlices
    save_dicom(tmp_path / "a", data)
    assert refusal(tmp_path / "a") == (
        "Series 7: Siemens mosaic without the distance of its slices (SpacingBetweenSlices);"
        " lengths are unknown. Not opened."
    )


def test_number_of_tiles_without_the_word_mosaic(
    tmp_path: Path, mosaic: Make, save_dicom: Save
) -> None:
    data = mosaic(ImageType=["ORIGINAL", "PRIMARY", "M", "ND"])
    data.private_block(0x0019, "SIEMENS MR HEADER", create=True).add_new(0x0A, "US", TILES)
    save_dicom(tmp_path / "a", data)
    assert read_volume(tmp_path / "a").shape == (TILES, ROWS, COLUMNS)


NO_HEADER = (
    "Series 7: Siemens mosaic without its private header; the slice direction is unknown, left and"
    " right could be swapped. Not opened."
)


@pytest.mark.parametrize(
    "header",
    [None, b"", b"SV10\4\3\2\1", b"nonsense", csa_header([1, 0, 0], TILES)],
    ids=["none", "empty", "cut off", "nonsense", "not along the normal"],
)
def test_mosaic_without_its_header_is_refused(
    tmp_path: Path, mosaic: Make, save_dicom: Save, header: bytes | None
) -> None:
    data = mosaic()
    del data[0x00291010]
    if header is not None:
        data.private_block(0x0029, "SIEMENS CSA HEADER").add_new(0x10, "OB", header)
    save_dicom(tmp_path / "a", data)
    assert refusal(tmp_path / "a") == NO_HEADER


def test_mosaic_that_does_not_divide_is_refused(
    tmp_path: Path, mosaic: Make, save_dicom: Save
) -> None:
    data = mosaic(Rows=5, PixelData=b"\0" * 90)
    save_dicom(tmp_path / "a", data)
    assert refusal(tmp_path / "a") == NO_HEADER


def united(make: Make, positions: list[list[float] | None], **elements: Any) -> Dataset:
    """Tiles in a grid of three across and two down, each with its position in an item."""
    data = make(
        0,
        Modality="MR",
        ImageType=["ORIGINAL", "PRIMARY", "M", "VFRAME"],
        Rows=2 * ROWS,
        Columns=3 * COLUMNS,
        ImagePositionPatient=None,
        PixelData=side_by_side(TILES, 3, 2),
        **elements,
    )
    block = data.private_block(0x0065, "Image Private Header", create=True)
    items = []
    for position in positions:
        item = Dataset()
        if position is not None:
            item.ImagePositionPatient = position
        items.append(item)
    block.add_new(0x50, "DS", str(len(items)))
    block.add_new(0x51, "SQ", items)
    return data


def test_tiles_lie_where_their_items_say(
    tmp_path: Path, dicom_slice: Make, save_dicom: Save
) -> None:
    # Acquired in another order than they lie in: 0, 4, 8, 2, 6 mm.
    heights = [0, 4, 8, 2, 6]
    save_dicom(tmp_path / "a", united(dicom_slice, [[1, 2, z] for z in heights]))
    volume = read_volume(tmp_path / "a")
    assert volume.spacing == (2.0, 0.5, 0.25)
    np.testing.assert_allclose(volume.affine[:3, 3], [1, 2, 8])
    # From the head down: 8, 6, 4, 2, 0 mm.
    assert volume.array[:, 0, 0].tolist() == [200, 400, 100, 300, 0]


@pytest.mark.parametrize(
    "positions", [[], [[0, 0, 0], None]], ids=["no items", "an item without a position"]
)
def test_tiles_without_positions_are_refused(
    tmp_path: Path, dicom_slice: Make, save_dicom: Save, positions: list[Any]
) -> None:
    save_dicom(tmp_path / "a", united(dicom_slice, positions))
    assert refusal(tmp_path / "a") == (
        "Series 7: several slices tiled into one image without their positions; left and right"
        " could be swapped. Not opened."
    )
