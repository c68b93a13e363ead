"""Colours of every kind become RGB, pixel for pixel as pydicom converts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.pixels import apply_color_lut, convert_color_space, pixel_array
from pydicom.uid import JPEG2000Lossless, JPEGLSLossless, RLELossless

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.dicom.pixels.stack_values import read_stack
from napari_ifa.reading.dicom.series.stack import Stack
from napari_ifa.reading.problems import DicomProblem
from tests.problems import refused

Call = Callable[..., Any]

FILES_OF_PYDICOM = [
    "ExplVR_BigEnd.dcm",
    "GDCMJ2K_TextGBR.dcm",
    "SC_jpeg_no_color_transform.dcm",
    "SC_jpeg_no_color_transform_2.dcm",
    "SC_rgb_dcmtk_+eb+cr.dcm",
    "SC_rgb_dcmtk_+eb+cy+n1.dcm",
    "SC_rgb_dcmtk_+eb+cy+n2.dcm",
    "SC_rgb_dcmtk_+eb+cy+np.dcm",
    "SC_rgb_dcmtk_+eb+cy+s2.dcm",
    "SC_rgb_dcmtk_+eb+cy+s4.dcm",
    "SC_rgb_gdcm_KY.dcm",
    "SC_rgb_jls_lossy_line.dcm",
    "SC_rgb_jls_lossy_sample.dcm",
    "SC_rgb_jpeg_app14_dcmd.dcm",
    "SC_rgb_jpeg_dcmd.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_jpeg_gdcm.dcm",
    "SC_rgb_jpeg_lossy_gdcm.dcm",
    "SC_rgb_rle.dcm",
    "SC_rgb_rle_16bit.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_small_odd.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "SC_rgb_small_odd_jpeg.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "examples_jpeg2k.dcm",
    "examples_rgb_color.dcm",
    "examples_ybr_color.dcm",
]


@pytest.mark.filterwarnings("error::UserWarning:napari_ifa")
@pytest.mark.parametrize("name", FILES_OF_PYDICOM)
def test_files_of_pydicom_become_rgb(
    pydicom_file: Call, frames_of: Call, read: Call, name: str
) -> None:
    expected = pixel_array(pydicom_file(name))
    array = read(*frames_of(pydicom_file(name)))
    assert array.shape[3] == 3
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected.reshape(array.shape))


@pytest.mark.parametrize("name", ["SC_rgb_rle_32bit.dcm", "SC_rgb_rle_32bit_2frame.dcm"])
def test_upper_half_of_colours_of_32_bits(
    pydicom_file: Call, frames_of: Call, read: Call, name: str
) -> None:
    expected = pixel_array(pydicom_file(name)) >> 16
    array = read(*frames_of(pydicom_file(name)))
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array, expected.reshape(array.shape))


def test_one_picture_in_two_encodings(pydicom_file: Call, frames_of: Call, read: Call) -> None:
    """pydicom does not find the pixels of the first; the second is its decoded copy."""
    compressed = read(*frames_of(pydicom_file("SC_rgb_jpeg.dcm")))
    decoded = read(*frames_of(pydicom_file("SC_rgb_jpeg_dcmd.dcm")))
    np.testing.assert_array_equal(compressed, decoded)


def some_colours(rows: int = 34, columns: int = 40, dtype: str = "u1") -> np.ndarray:
    """[1, row, column, 3]."""
    values = np.random.default_rng(3).integers(0, 256, (1, rows, columns, 3))
    return values.astype(dtype)


@pytest.mark.parametrize("planar", [0, 1])
@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize("syntax", [None, RLELossless, JPEG2000Lossless, JPEGLSLossless], ids=str)
def test_planes_and_colour_spaces(
    save_frames: Call,
    frames_of: Call,
    read: Call,
    syntax: str | None,
    photometric: str,
    planar: int,
) -> None:
    stored = some_colours()
    # pydicom's encoder of RLE, whose planes are apart in any case, takes colours that are not.
    apart = planar and syntax != RLELossless
    data = stored.transpose(0, 3, 1, 2) if apart else stored
    path = save_frames(
        stored,
        PixelData=data.tobytes(),
        SamplesPerPixel=3,
        PlanarConfiguration=int(apart),
        PhotometricInterpretation=photometric,
    )
    if syntax:
        dataset = pydicom.dcmread(path)
        dataset.compress(syntax)
        dataset.PlanarConfiguration = planar
        dataset.save_as(path)
    expected = stored if photometric == "RGB" else convert_color_space(stored, "YBR_FULL", "RGB")
    np.testing.assert_array_equal(read(*frames_of(path)), expected)


def test_large_pictures_are_converted_in_blocks(
    save_frames: Call, frames_of: Call, read: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_ifa.reading.dicom.pixels.colour.BLOCK", 7 * 40)
    stored = some_colours()
    path = save_frames(
        stored, SamplesPerPixel=3, PlanarConfiguration=0, PhotometricInterpretation="YBR_FULL"
    )
    expected = convert_color_space(stored, "YBR_FULL", "RGB")
    np.testing.assert_array_equal(read(*frames_of(path)), expected)


def test_twelve_bits_are_scaled_to_the_range_of_sixteen(
    save_frames: Call, frames_of: Call, read: Call
) -> None:
    stored = some_colours(dtype="<u2") * 16 + 15
    path = save_frames(
        stored,
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation="RGB",
        BitsStored=12,
        HighBit=11,
    )
    array = read(*frames_of(path))
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array, stored * 16)


def test_damaged_colour_slice_is_black(save_series: Call, frames_of: Call) -> None:
    folder = save_series(
        0,
        1,
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation="RGB",
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelData=bytes(range(100, 118)),
    )
    frames = [frames_of(folder / f"slice{k}.dcm")[0] for k in range(2)]
    (folder / "slice1.dcm").write_bytes(b"")
    values, damaged = read_stack(Stack((*frames, None, frames[0]), np.eye(4)))
    assert damaged == (1,)
    assert values.shape == (3, 2, 4, 3)
    assert values[2, 1, 0].tolist() == [115, 116, 117]
    assert (values[:, :, 1:3] == 0).all()


@pytest.mark.parametrize("photometric", ["ARGB", "HSV", "MONOCHROME2", "YBR_PARTIAL_420"])
def test_colours_of_no_known_kind_are_not_guessed(
    save_frames: Call, frames_of: Call, photometric: str
) -> None:
    path = save_frames(
        some_colours(),
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation=photometric,
    )
    with refused(UnsupportedStudyError, DicomProblem.DAMAGED):
        read_stack(Stack(frames_of(path), np.eye(4)))


# Palettes


def test_palette_of_pydicom(pydicom_file: Call, frames_of: Call, read: Call) -> None:
    data = pydicom.dcmread(pydicom_file("examples_palette.dcm"))
    expected = apply_color_lut(data.pixel_array, data)
    array = read(*frames_of(pydicom_file("examples_palette.dcm")))
    assert array.dtype == np.uint16
    np.testing.assert_array_equal(array[0], expected)


def palette(first: int, bits: int, *tables: bytes, segmented: bool = False) -> dict[str, Any]:
    """Elements of a palette of three tables; ``tables`` may be one for all."""
    entries = 3 if segmented else 8 * len(tables[0]) // bits
    kind = "Segmented" if segmented else ""
    elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [entries, first, bits]
        elements[f"{kind}{colour}PaletteColorLookupTableData"] = table
    return elements


def test_palette_by_hand_is_clamped_at_both_ends(
    save_series: Call, frames_of: Call, read: Call
) -> None:
    folder = save_series(
        0,
        PixelData=np.array([0, 10, 11, 12, 13, 300], "<u2").tobytes(),
        **palette(10, 8, bytes([1, 2, 3, 0]), bytes([4, 5, 6, 0]), bytes([7, 8, 9, 0])),
    )
    array = read(*frames_of(folder / "slice0.dcm"))
    assert array.dtype == np.uint8
    assert array.reshape(6, 3).tolist() == [
        [1, 4, 7],
        [1, 4, 7],
        [2, 5, 8],
        [3, 6, 9],
        [0, 0, 0],
        [0, 0, 0],
    ]


def test_palette_of_more_entries_than_colours(
    save_series: Call, frames_of: Call, read: Call
) -> None:
    table = bytes(k // 4 for k in range(1024))
    folder = save_series(
        0,
        PixelData=np.array([0, 255, 256, 512, 1023, 4095], "<u2").tobytes(),
        **palette(0, 8, table, table, table),
    )
    array = read(*frames_of(folder / "slice0.dcm"))
    assert array[..., 0].ravel().tolist() == [0, 63, 64, 128, 255, 255]


def test_segmented_palette(save_series: Call, frames_of: Call, read: Call) -> None:
    # One entry of 100, then two on a line to 300.
    table = np.array([0, 1, 100, 1, 2, 300], "<u2").tobytes()
    folder = save_series(
        0,
        PixelData=np.array([0, 1, 2, 0, 1, 2], "<u2").tobytes(),
        **palette(0, 16, table, table, table, segmented=True),
    )
    array = read(*frames_of(folder / "slice0.dcm"))
    assert array[..., 1].ravel().tolist() == [100, 200, 300, 100, 200, 300]


@pytest.mark.parametrize("segment", [[1, 65535, 5], [2, 65535, 0, 0]], ids=["lines", "repeats"])
def test_segments_that_expand_without_end_are_refused(
    save_series: Call, frames_of: Call, monkeypatch: pytest.MonkeyPatch, segment: list[int]
) -> None:
    """A table of 60 kB would expand to 1.3 GB."""
    table = np.array([0, 1, 100, *(10000 * segment)], "<u2").tobytes()
    folder = save_series(0, **palette(0, 16, table, table, table, segmented=True))
    expanded: list[Any] = []
    monkeypatch.setattr("pydicom.pixels.processing._expand_segmented_lut", expanded.append)
    with refused(UnsupportedStudyError, DicomProblem.DAMAGED):
        read_stack(Stack(frames_of(folder / "slice0.dcm"), np.eye(4)))
    assert expanded == []


def test_palette_that_is_missing_is_one_sentence(save_series: Call, frames_of: Call) -> None:
    folder = save_series(0, PhotometricInterpretation="PALETTE COLOR")
    with refused(UnsupportedStudyError, DicomProblem.DAMAGED):
        read_stack(Stack(frames_of(folder / "slice0.dcm"), np.eye(4)))
