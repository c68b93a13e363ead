"""DICOM series made by hand: sorting, geometry, values, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading import list_series, read_volume
from napari_ifa.reading.problems import DicomProblem
from napari_ifa.volumes import Window
from tests.dicom_parts import item
from tests.refusals import refusal, refused

Save = Callable[..., Path]


def expected_values(slices: int = 4) -> np.ndarray:
    """[I, P, L] of the series made by hand: feet last, 100 k + 10 row + column."""
    i, p, left = np.mgrid[:slices, :2, :3]
    return 100 * (slices - 1 - i) + 10 * p + left


# Geometry


def test_axial_series_by_hand(save_series: Save) -> None:
    volume = read_volume(save_series())
    np.testing.assert_array_equal(volume.array, expected_values())
    assert volume.spacing == (2.0, 0.5, 0.25)
    # The first voxel is the topmost slice's first pixel: x = 10, y = 20, z = 30 + 3 * 2.
    np.testing.assert_allclose(volume.affine[:3, 3], [10, 20, 36])
    np.testing.assert_allclose(volume.affine[:3, 0], [0, 0, -2])
    np.testing.assert_allclose(volume.affine[:3, 1], [0, 0.5, 0])
    np.testing.assert_allclose(volume.affine[:3, 2], [0.25, 0, 0])
    assert (volume.modality, volume.description) == ("CT", "made by hand")
    assert volume.report.notes == ()


def test_file_names_and_instance_numbers_do_not_matter(save_series: Save) -> None:
    shuffled = [2, 0, 3, 1]
    volume = read_volume(save_series(InstanceNumber=lambda k: shuffled[k]))
    np.testing.assert_array_equal(volume.array, expected_values())
    volume = read_volume(save_series(folder="unnumbered", InstanceNumber=None))
    np.testing.assert_array_equal(volume.array, expected_values())


def test_source_order_follows_the_instance_numbers(save_series: Save) -> None:
    feet_first, affine = read_volume(save_series()).in_source_order()
    assert feet_first.shape == (3, 2, 4)
    assert feet_first[1, 1].tolist() == [11, 111, 211, 311]
    np.testing.assert_allclose(affine[:3, 2], [0, 0, 2])
    folder = save_series(folder="head first", InstanceNumber=lambda k: 10 - k)
    head_first, affine = read_volume(folder).in_source_order()
    assert head_first[1, 1].tolist() == [311, 211, 111, 11]
    np.testing.assert_allclose(affine[:3, 2], [0, 0, -2])
    np.testing.assert_allclose(affine[:3, 3], [-10, -20, 36])


def test_sagittal_series_by_hand(save_series: Save) -> None:
    """Columns run to the back, rows to the feet, slices to the left."""
    volume = read_volume(
        save_series(
            ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
            ImagePositionPatient=lambda k: [-5 + 2 * k, 0, 0],
        )
    )
    assert volume.plane == "sagittal"
    assert volume.shape == (2, 3, 4)
    assert volume.spacing == (0.5, 0.25, 2.0)
    assert volume.array[1, 2, 3] == 312
    np.testing.assert_allclose(volume.affine @ [1, 2, 3, 1], [1, 0.5, -0.5, 1])


def test_oblique_series_is_listed_in_words(save_series: Save) -> None:
    c, s = np.cos(np.radians(15)), np.sin(np.radians(15))
    normal = np.array([0, -s, c])
    folder = save_series(
        ImageOrientationPatient=[1, 0, 0, 0, round(c, 10), round(s, 10)],
        ImagePositionPatient=lambda k: [float(f"{v:.8f}") for v in 2 * k * normal],
    )
    (series,) = list_series(folder)
    assert series.orientation == "oblique axial 15°"
    assert read_volume(series).report.badge == "oblique 15°"


def test_copies_of_a_file_are_dropped(save_series: Save) -> None:
    folder = save_series()
    shutil.copy(folder / "slice2.dcm", folder / "copy.dcm")
    (series,) = list_series(folder)
    assert series.image_count == 4
    np.testing.assert_array_equal(read_volume(folder).array, expected_values())
    np.testing.assert_array_equal(read_volume(folder / "copy.dcm").array, expected_values())


def test_the_whole_one_of_two_copies_is_kept(save_series: Save) -> None:
    folder = save_series()
    # Before the whole one in every order.
    shutil.copy(folder / "slice2.dcm", folder / "a.dcm")
    cut(folder / "a.dcm", 2)
    volume = read_volume(folder)
    np.testing.assert_array_equal(volume.array, expected_values())
    assert volume.report.notes == ()


def test_one_uid_for_all_slices_drops_none(save_series: Save) -> None:
    volume = read_volume(save_series(SOPInstanceUID="1.2.3"))
    np.testing.assert_array_equal(volume.array, expected_values())


# Values


def test_rescale_differs_from_slice_to_slice(save_series: Save) -> None:
    folder = save_series(RescaleSlope=lambda k: k + 0.5, RescaleIntercept=lambda k: -k)
    array = read_volume(folder).array
    assert array.dtype == np.float32
    # Slice 3, row 1, column 2 holds 312: 312 * 3.5 - 3.
    assert array[0, 1, 2] == 1089
    assert array[3, 1, 2] == 6


def test_integers_stay_int16_where_they_fit(save_series: Save) -> None:
    volume = read_volume(save_series(RescaleIntercept=-1024))
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, expected_values() - 1024)


@pytest.mark.parametrize("highest", [32767, 32768, 65535])
def test_range_decides_between_int16_and_float32(save_series: Save, highest: int) -> None:
    pixels = np.array([0, 1, 2, 3, 4, highest], "<u2").tobytes()
    array = read_volume(save_series(PixelData=pixels, BitsStored=16, HighBit=15)).array
    assert array.dtype == (np.int16 if highest == 32767 else np.float32)
    assert array.max() == highest


def test_intercept_may_bring_a_large_stored_value_into_range(save_series: Save) -> None:
    pixels = np.array([0, 1, 2, 3, 4, 33000], "<u2").tobytes()
    folder = save_series(PixelData=pixels, BitsStored=16, HighBit=15, RescaleIntercept=-1024)
    array = read_volume(folder).array
    assert array.dtype == np.int16
    assert (array.min(), array.max()) == (-1024, 31976)


def test_signed_values_and_bits_beside_the_stored_ones(save_series: Save) -> None:
    # 12 bits of -5 without the sign above them, and an overlay bit above 7.
    pixels = np.array([0x0FFB, 0x8007, 0, 0, 0, 0], "<u2").tobytes()
    array = read_volume(save_series(PixelData=pixels, PixelRepresentation=1)).array
    assert array[0, 0].tolist() == [-5, 7, 0]


def test_eight_and_thirty_two_bits(save_series: Save) -> None:
    eight = save_series(
        folder="8", PixelData=bytes([0, 1, 2, 3, 4, 200]), BitsAllocated=8, BitsStored=8, HighBit=7
    )
    assert read_volume(eight).array.max() == 200
    pixels = np.array([-70000, 1, 2, 3, 4, 5], "<i4").tobytes()
    wide = save_series(
        folder="32",
        PixelData=pixels,
        BitsAllocated=32,
        BitsStored=32,
        HighBit=31,
        PixelRepresentation=1,
    )
    assert read_volume(wide).array.min() == -70000


def test_monochrome1_values_are_not_inverted(save_series: Save) -> None:
    volume = read_volume(save_series(PhotometricInterpretation="MONOCHROME1"))
    np.testing.assert_array_equal(volume.array, expected_values())
    assert volume.report.notes == (
        "Series 7: shown inverted, as it is meant to be; values are unchanged.",
    )
    assert volume.inverted
    assert not read_volume(save_series(folder="plain")).inverted


def test_windows_of_the_file(save_series: Save) -> None:
    folder = save_series(
        WindowCenter=[40, 300, 40],
        WindowWidth=[80, 1500, 80],
        WindowCenterWidthExplanation=["brain", "bone", "again"],
    )
    assert read_volume(folder).windows == (
        Window(40, 80, "brain", function="LINEAR"),
        Window(300, 1500, "bone", function="LINEAR"),
    )


def test_windows_by_table_come_too(save_series: Save) -> None:
    table = item(LUTDescriptor=[4, 10, 8], LUTExplanation="steps")
    table.add_new(0x00283006, "US", [0, 0, 255, 255])
    folder = save_series(0, WindowCenter=40, WindowWidth=80, VOILUTSequence=[table])
    plain, steps = read_volume(folder).windows
    assert (plain.center, plain.width) == (40, 80)
    assert steps.name == "steps"
    # Dark up to 11, bright from 12 on.
    assert steps.limits == (11, 12)


# Encodings


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian], ids=["implicit", "deflated"]
)
def test_uncompressed_encodings(
    tmp_path: Path, dicom_slice: Callable[..., Dataset], save_dicom: Save, syntax: str
) -> None:
    for k in range(4):
        save_dicom(tmp_path / str(k), dicom_slice(k), syntax)
    np.testing.assert_array_equal(read_volume(tmp_path).array, expected_values())


def test_big_endian_comes_out_in_native_order(
    tmp_path: Path, dicom_slice: Callable[..., Dataset], save_dicom: Save
) -> None:
    for k in range(4):
        data = dicom_slice(k, RescaleSlope=2)
        data.PixelData = np.frombuffer(data.PixelData, "<u2").astype(">u2").tobytes()
        save_dicom(tmp_path / str(k), data, ExplicitVRBigEndian)
    array = read_volume(tmp_path).array
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, 2 * expected_values())


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEG2000Lossless, JPEGLSLossless], ids=["rle", "jpeg2000", "jpegls"]
)
@pytest.mark.parametrize("signed", [0, 1])
def test_compressed_encodings(save_series: Save, syntax: str, signed: int) -> None:
    # The JPEG 2000 encoder wants at least 32 × 32 pixels.
    row, column = np.mgrid[:32, :48]
    folder = save_series(
        Rows=32,
        Columns=48,
        PixelRepresentation=signed,
        PixelData=lambda k: (100 * k + 10 * row + column - 50 * signed).astype("<i2").tobytes(),
    )
    before = read_volume(folder).array
    assert before.min() == -50 * signed
    compress(folder, syntax)
    (series,) = list_series(folder)
    assert series.frames[0].image.pixels.encapsulated
    np.testing.assert_array_equal(read_volume(series).array, before)


def compress(folder: Path, syntax: str) -> None:
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.compress(syntax, generate_instance_uid=False)
        data.save_as(path)


def test_missing_codec_is_named(save_series: Save, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_series(0)
    path = folder / "slice0.dcm"
    data = pydicom.dcmread(path)
    data.compress(RLELossless)
    data.save_as(path)
    decoder = pydicom.pixels.get_decoder(RLELossless)
    monkeypatch.setattr(decoder, "_available", {})
    error = refused(folder)
    assert error.kind is DicomProblem.NEEDS_PACKAGE
    assert str(error) == "Series 7: compression RLE Lossless needs package pylibjpeg-rle."


def test_compression_that_no_codec_reads_is_named(save_series: Save) -> None:
    folder = save_series(0)
    path = folder / "slice0.dcm"
    data = pydicom.dcmread(path)
    data.compress(RLELossless)
    data.file_meta.TransferSyntaxUID = pydicom.uid.MPEG2MPML
    data.save_as(path)
    assert refusal(folder) == (
        "Series 7: compression MPEG2 Main Profile / Main Level is not supported."
    )


# Damage


def cut(path: Path, count: int) -> None:
    path.write_bytes(path.read_bytes()[:-count])


def test_truncated_pixels_are_seen_without_reading_them(save_series: Save) -> None:
    folder = save_series(0)
    cut(folder / "slice0.dcm", 2)
    assert refusal(folder) == "slice0.dcm: image data incomplete or damaged; skipped."


def test_truncated_compressed_pixels_are_seen(save_series: Save) -> None:
    folder = save_series(0)
    data = pydicom.dcmread(folder / "slice0.dcm")
    data.compress(RLELossless)
    data.save_as(folder / "slice0.dcm")
    assert list_series(folder)[0].unsupported is None
    cut(folder / "slice0.dcm", 10)
    assert refused(folder).kind is DicomProblem.DAMAGED


def test_broken_codestream_is_one_sentence(save_series: Save) -> None:
    folder = save_series()
    path = folder / "slice1.dcm"
    data = pydicom.dcmread(path)
    data.PixelData = pydicom.encaps.encapsulate([b"\xff\x4f\xff\x51 not an image "])
    data["PixelData"].is_undefined_length = True
    data.file_meta.TransferSyntaxUID = JPEG2000Lossless
    data.save_as(path)
    volume = read_volume(folder)
    assert volume.report.notes == ("slice1.dcm: image data incomplete or damaged; skipped.",)
    # The third from above.
    assert volume.report.missing == (2,)
    assert (volume.array[2] == 0).all()
    np.testing.assert_array_equal(volume.array[[0, 1, 3]], expected_values()[[0, 1, 3]])


def test_panic_of_a_decoder_is_one_sentence(
    save_series: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    class PanicException(BaseException):
        pass

    def panic(*_: object) -> None:
        raise PanicException("index out of bounds")

    folder = save_series()
    monkeypatch.setattr("napari_ifa.reading.dicom.pixels.stack_values.read_plain", panic)
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(folder)
    assert caught.value.kind is DicomProblem.DAMAGED


def test_garbled_header_does_not_leak_into_the_sentence(save_series: Save) -> None:
    folder = save_series(0, PhotometricInterpretation="RGB\nDoe^Jane", SamplesPerPixel=3)
    assert refusal(folder) == "Series 7: 3 values for a pixel of unknown colours are not supported."
    folder = save_series(0, folder="b", SeriesDescription="head\0\n  thin \x1b[31m")
    assert list_series(folder)[0].description == "head thin [31m"


def test_size_that_does_not_fit_the_pixels_is_refused(save_series: Save) -> None:
    assert refused(save_series(0, Rows=3)).kind is DicomProblem.DAMAGED
    # Fewer columns than were written would shear the picture.
    assert refused(save_series(0, folder="narrow", Columns=2)).kind is DicomProblem.DAMAGED


def test_absurd_size_is_refused_before_anything_is_allocated(
    save_series: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_series()
    compress(folder, RLELossless)
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.Rows = data.Columns = 65535
        data.save_as(path)
    gigabyte = SimpleNamespace(total=2**30)
    monkeypatch.setattr("psutil.virtual_memory", lambda: gigabyte)
    monkeypatch.setattr(np, "empty", None)
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(folder)
    assert str(caught.value) == (
        "Series 7: the header claims 4 × 65535 × 65535 voxels, which need 32 GiB; "
        "this computer has 1 GiB. Not opened."
    )


def test_file_without_pixels_is_damaged(save_series: Save) -> None:
    assert refused(save_series(0, PixelData=None)).kind is DicomProblem.DAMAGED


# Odd headers


def test_garbled_number_of_frames_counts_as_one(save_series: Save) -> None:
    folder = save_series()
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.NumberOfFrames = 11
        data.save_as(path)
        raw = path.read_bytes()
        path.write_bytes(raw.replace(b"IS\x02\x0011", b"IS\x02\x001A"))
    np.testing.assert_array_equal(read_volume(folder).array, expected_values())


def test_empty_uids_group_by_folder_and_description(save_series: Save) -> None:
    parts = {"SOPClassUID": "", "SOPInstanceUID": "", "SeriesInstanceUID": ""}
    save_series(folder="study/a", SeriesDescription="first", **parts)
    folder = save_series(folder="study/b", SeriesDescription="second", **parts).parent
    series = list_series(folder)
    assert [s.description for s in series] == ["first", "second"]
    assert [s.image_count for s in series] == [4, 4]
    np.testing.assert_array_equal(read_volume(series[1]).array, expected_values())


@pytest.mark.parametrize(
    ("elements", "reason"),
    [
        (
            {"ImageOrientationPatient": None},
            "no patient orientation; left and right are unknown. Not opened.",
        ),
        (
            {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
            "the patient orientation is invalid. Not opened.",
        ),
        ({"PixelSpacing": None}, "no pixel spacing; lengths are unknown. Not opened."),
        ({"PixelSpacing": [0, 0]}, "no pixel spacing; lengths are unknown. Not opened."),
        ({"RescaleSlope": 0}, "the rescale slope or intercept is not a usable number. Not opened."),
        (
            {"PhotometricInterpretation": "HSV", "SamplesPerPixel": 3},
            "3 values for a pixel of HSV are not supported.",
        ),
        ({"SamplesPerPixel": 3}, "3 values for a pixel of MONOCHROME2 are not supported."),
        (
            {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.6"},
            "whole-slide microscopy; not opened.",
        ),
        ({"BitsAllocated": 64}, "64 bits per pixel are not supported."),
        (
            {"Modality": "MR", "PixelSpacing": [400, 300]},
            "slices of 800 × 900 mm must be a mosaic of several slices without its private "
            "header; left and right could be swapped. Not opened.",
        ),
        (
            {"BitsStored": 14, "HighBit": 11},
            "the header contradicts itself about the bits of a pixel. Not opened.",
        ),
    ],
)
def test_refused_with_the_reason(save_series: Save, elements: dict[str, Any], reason: str) -> None:
    assert refusal(save_series(**elements)) == f"Series 7: {reason}"


@pytest.mark.parametrize(
    ("elements", "kind"),
    [
        ({"ImageOrientationPatient": None}, DicomProblem.NO_ORIENTATION),
        ({"RescaleSlope": 0}, DicomProblem.RESCALING),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.77.1.6"}, DicomProblem.WHOLE_SLIDE),
    ],
)
def test_a_refusal_has_a_kind(save_series: Save, elements: dict[str, Any], kind: Enum) -> None:
    assert refused(save_series(**elements)).kind is kind


def test_series_without_a_number_says_so(save_series: Save) -> None:
    folder = save_series(SeriesNumber=None, PixelSpacing=None)
    assert refusal(folder).startswith("Series without number: ")


def test_description_in_its_own_character_set(save_series: Save) -> None:
    folder = save_series(SpecificCharacterSet="ISO_IR 192", SeriesDescription="Schädel, кость")
    assert list_series(folder)[0].description == "Schädel, кость"


# Grouping


def test_mixed_series_in_one_folder(save_series: Save) -> None:
    save_series(folder="study/deep/er")
    folder = save_series(
        folder="study",
        SeriesInstanceUID=generate_uid(),
        SeriesNumber=8,
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
        ImagePositionPatient=lambda k: [2 * k, 0, 0],
    )
    series = list_series(folder)
    assert [(s.number, s.image_count, s.orientation) for s in series] == [
        (7, 4, "axial"),
        (8, 4, "sagittal"),
    ]


def test_localizer_and_other_orientation_are_split_off(save_series: Save) -> None:
    folder = save_series(*range(4))
    save_series(8, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    save_series(9, ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    series = list_series(folder)
    assert sorted(s.image_count for s in series) == [1, 1, 4]
    assert all(s.unsupported is None for s in series)


def test_keys_are_the_same_at_every_scan_and_carry_no_names(
    save_series: Save, tmp_path: Path
) -> None:
    folder = save_series()
    (series,) = list_series(folder)
    shutil.copytree(folder, tmp_path / "elsewhere" / "copy")
    (again,) = list_series(tmp_path / "elsewhere")
    assert series.key == again.key
    assert len(series.key) == 8
    int(series.key, 16)


def test_no_preamble(save_series: Save) -> None:
    folder = save_series()
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[132:])
    np.testing.assert_array_equal(read_volume(folder).array, expected_values())
