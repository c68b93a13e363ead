"""Studies that people reported of other programs, made here: see tests/public_reports.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from pydicom.dataset import Dataset

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.export import write_nifti
from napari_ifa.reading import read_volume
from tests.dicom_parts import item

Save = Callable[..., Path]
Make = Callable[..., Dataset]


def notes(volume: Any) -> str:
    return " ".join(volume.report.notes)


# Modality look-up tables: fo-dicom 1442, pydicom 2317


def table(count: int, bits: int, data: bytes, first: int = 0) -> Dataset:
    made = item(LUTDescriptor=[count, first, bits], ModalityLUTType="US")
    made.add_new(0x00283006, "OW", data)
    return made


@pytest.mark.parametrize("sop_class", [f"1.2.840.10008.5.1.4.1.1.12.{k}" for k in (1, 2, 3)])
def test_the_table_of_an_angiography_is_not_applied(save_series: Save, sop_class: str) -> None:
    back = table(256, 16, (np.arange(256, dtype="<u2") ** 2).tobytes())
    volume = read_volume(
        save_series(0, SOPClassUID=sop_class, Modality="XA", ModalityLUTSequence=[back])
    )
    assert volume.array.ravel().tolist() == [0, 1, 2, 10, 11, 12]
    assert "is not applied" in notes(volume)


def test_other_x_rays_go_through_their_table(save_series: Save) -> None:
    squares = table(256, 16, (np.arange(256, dtype="<u2") ** 2).tobytes())
    digital = "1.2.840.10008.5.1.4.1.1.1.1"
    volume = read_volume(
        save_series(0, SOPClassUID=digital, Modality="DX", ModalityLUTSequence=[squares])
    )
    assert volume.array.ravel().tolist() == [0, 1, 4, 100, 121, 144]
    assert "table" not in notes(volume)


def test_entries_of_eight_bits_packed_into_words(save_series: Save) -> None:
    packed = table(13, 8, bytes([*range(100, 113), 0]))
    volume = read_volume(save_series(0, ModalityLUTSequence=[packed]))
    assert volume.array.ravel().tolist() == [100, 101, 102, 110, 111, 112]


@pytest.mark.parametrize("bits", [8, 10, 12, 14])
def test_entries_in_a_word_each(save_series: Save, bits: int) -> None:
    entries = np.arange(13, dtype="<u2") * 3 + 2
    volume = read_volume(save_series(0, ModalityLUTSequence=[table(13, bits, entries.tobytes())]))
    assert volume.array.ravel().tolist() == [2, 5, 8, 32, 35, 38]


@pytest.mark.parametrize("count", [14, 40, 0])
def test_a_table_without_all_of_its_entries_is_refused(save_series: Save, count: int) -> None:
    short = table(count, 16, np.arange(13, dtype="<u2").tobytes())
    with pytest.raises(UnsupportedStudyError, match="look-up table is damaged"):
        read_volume(save_series(0, ModalityLUTSequence=[short]))


# Fractional segmentations: OHIF 1346


def multi_frame(make: Make, stored: np.ndarray, first: int = 0, **elements: Any) -> Dataset:
    """An enhanced image, ``[frame, row, column]`` of bytes, 2 mm apart from frame ``first`` on."""
    data = make(
        0,
        ImagePositionPatient=None,
        RescaleSlope=None,
        RescaleIntercept=None,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        NumberOfFrames=len(stored),
        PixelData=stored.astype(np.uint8).tobytes(),
        **elements,
    )
    data.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence={"ImagePositionPatient": [0, 0, 2 * (first + k)]},
            PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
            PixelMeasuresSequence={"PixelSpacing": [1, 1], "SliceThickness": 2},
            SegmentIdentificationSequence={"ReferencedSegmentNumber": 1},
        )
        for k in range(len(stored))
    ]
    return data


def segmentation(make: Make, stored: np.ndarray, whole: int) -> Dataset:
    """A segmentation of one segment, in fractions of ``whole``."""
    return multi_frame(
        make,
        stored,
        SOPClassUID="1.2.840.10008.5.1.4.1.1.66.4",
        Modality="SEG",
        SegmentationType="FRACTIONAL",
        SegmentationFractionalType="PROBABILITY",
        MaximumFractionalValue=whole,
    )


@pytest.mark.parametrize("whole", [255, 100, 7])
def test_fractions_of_a_segmentation_are_shares_of_one(
    tmp_path: Path, dicom_slice: Make, save_dicom: Save, whole: int
) -> None:
    shares = np.array([[[0, 0, 1], [0, 1, 0]], [[1, 0, 1], [1, 1, 1]], [[0, 0, 0], [0, 1, 1]]])
    quarter = whole // 4
    stored = np.where(shares, whole, quarter)
    path = save_dicom(tmp_path / "seg.dcm", segmentation(dicom_slice, stored, whole))
    volume = read_volume(path)
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array[::-1], stored / whole, atol=1e-7)
    assert "from 0 to 1" in notes(volume)


def test_fractions_of_nothing_stated_are_refused(
    tmp_path: Path, dicom_slice: Make, save_dicom: Save
) -> None:
    data = segmentation(dicom_slice, np.ones((3, 2, 3)), 0)
    with pytest.raises(UnsupportedStudyError, match="not a usable number"):
        read_volume(save_dicom(tmp_path / "seg.dcm", data))


# A quaternion that rounding made longer than 1: nibabel 626, fMRIPrep 845


def with_quaternion(path: Path, numbers: Any) -> Path:
    """Overwrite quatern_b, quatern_c and quatern_d, which stand at byte 256."""
    content = bytearray(path.read_bytes())
    content[256:268] = np.asarray(numbers, "<f4").tobytes()
    path.write_bytes(bytes(content))
    return path


def half_turn(axis: Any) -> np.ndarray:
    """By Rodrigues' formula: 2 a aᵀ − 1."""
    unit = np.asarray(axis) / np.linalg.norm(axis)
    return 2 * np.outer(unit, unit) - np.eye(3)


@pytest.mark.parametrize("axis", [(1, 1, 1), (0, 0, 1), (-1, 2, 0.5)])
@pytest.mark.parametrize("excess", [0, 1e-7, 4e-7, 1e-6, 1e-4, 9e-4])
def test_a_quaternion_a_little_too_long_is_half_a_turn(
    save_nifti: Save, axis: Any, excess: float
) -> None:
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    path = save_nifti(
        values, np.diag([2.0, 3.0, 4.0, 1.0]), "image.nii", sform_code=0, qform_code=1
    )
    numbers = np.array(axis) / np.linalg.norm(axis) * np.sqrt(1 + excess)
    volume = read_volume(with_quaternion(path, numbers))
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ volume.affine
    expected = half_turn(axis) @ np.diag([2.0, 3.0, 4.0])
    # Each voxel where the turn places it: voxel (1, 2, 3) holds 23.
    for index in ((0, 0, 0), (1, 2, 3), (1, 0, 2)):
        place = expected @ index
        found = np.linalg.inv(ras) @ [*place, 1]
        assert volume.array[tuple(np.rint(found[:3]).astype(int))] == values[index]
    _, source_affine = volume.in_source_order()
    np.testing.assert_allclose(source_affine[:3, :3], expected, atol=2e-3)


def test_a_quaternion_a_little_too_long_can_be_exported(save_nifti: Save, tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    path = save_nifti(
        values, np.diag([2.0, 3.0, 4.0, 1.0]), sform_code=0, qform_code=1, name="a.nii"
    )
    volume = read_volume(with_quaternion(path, np.full(3, np.sqrt(1.0005 / 3))))
    copy = nibabel.load(write_nifti(volume, tmp_path / "map.nii.gz"))
    np.testing.assert_allclose(copy.get_fdata(), values)
    np.testing.assert_allclose(
        copy.affine[:3, :3], half_turn((1, 1, 1)) @ np.diag([2, 3, 4]), atol=2e-3
    )


def test_a_quaternion_that_is_much_too_long_is_no_rotation(save_nifti: Save) -> None:
    path = save_nifti(np.zeros((2, 3, 4)), name="image.nii", sform_code=0, qform_code=1)
    with pytest.raises(UnsupportedStudyError, match="orientation matrix is invalid"):
        read_volume(with_quaternion(path, (0.6, 0.6, 0.6)))


# One enhanced image in several files: OHIF 4388


@pytest.mark.parametrize("numbers", [(1, 2, 3), (3, 1, 2), (1, 1, 1)])
def test_an_enhanced_image_in_several_files_is_one(
    tmp_path: Path, dicom_slice: Make, save_dicom: Save, numbers: tuple[int, ...]
) -> None:
    for n, number in enumerate(numbers):
        stored = np.stack([np.full((2, 3), 10 * (3 * n + k)) for k in range(3)])
        # Parts of a concatenation (PS3.3 C.7.6.16.2.2.4), which most archives split so.
        data = multi_frame(
            dicom_slice,
            stored,
            3 * n,
            SOPClassUID="1.2.840.10008.5.1.4.1.1.2.1",
            InstanceNumber=number,
            ConcatenationUID="1.2.3.4.5",
            InConcatenationNumber=n + 1,
            ConcatenationFrameOffsetNumber=3 * n,
        )
        save_dicom(tmp_path / "study" / f"part{n}.dcm", data)
    volume = read_volume(tmp_path / "study")
    assert volume.shape == (9, 2, 3)
    assert volume.spacing[0] == 2
    np.testing.assert_array_equal(volume.array[:, 0, 0], range(80, -1, -10))


# Projections with a place of zeros: Weasis 376, cornerstone3D 1686


@pytest.mark.parametrize("modality", ["MG", "DX", "CR", "US", "OT"])
@pytest.mark.parametrize(
    "place",
    [
        {"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]},
        {"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]},
        {"ImageOrientationPatient": None},
        {"PixelSpacing": None, "ImagerPixelSpacing": [0.2, 0.1]},
        {"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.2, 0.1]},
    ],
    ids=str,
)
def test_a_projection_whose_place_is_none_is_a_picture(
    save_series: Save, modality: str, place: dict[str, Any]
) -> None:
    elements = {"Modality": modality, "ImagePositionPatient": [0, 0, 0], **place}
    volume = read_volume(save_series(0, **elements))
    assert volume.array.ravel().tolist() == [0, 1, 2, 10, 11, 12]
    assert volume.is_picture
    assert "position in the patient is invalid or incomplete" in notes(volume)
    assert "without mm" in notes(volume)
    # A pixel is twice as high as it is wide: 0.5 and 0.25 mm in the file, 0.2 and 0.1 on the plate.
    lengths = np.linalg.norm(volume.affine[:3, :3], axis=0)
    assert lengths[1] / lengths[2] == pytest.approx(2)


@pytest.mark.parametrize("modality", ["CT", "MR", "PT", "NM"])
def test_a_slice_without_an_orientation_is_refused(save_series: Save, modality: str) -> None:
    folder = save_series(0, Modality=modality, ImageOrientationPatient=[0] * 6)
    with pytest.raises(UnsupportedStudyError, match="patient orientation is invalid"):
        read_volume(folder)


def test_a_pixel_of_no_height_gives_no_ratio(save_series: Save) -> None:
    spacings = {"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.3, 0.1]}
    volume = read_volume(save_series(0, Modality="DX", ImagePositionPatient=None, **spacings))
    lengths = np.linalg.norm(volume.affine[:3, :3], axis=0)
    assert lengths[1] / lengths[2] == pytest.approx(3)


def test_a_projection_with_a_place_keeps_it(save_series: Save) -> None:
    volume = read_volume(save_series(0, Modality="XA"))
    assert not volume.is_picture
    assert volume.report.spacing_mm == (2, 0.5, 0.25)


# A CT without its rescaling: monai-deploy-app-sdk 187


def test_a_ct_without_its_rescaling_says_so(save_series: Save) -> None:
    volume = read_volume(save_series(RescaleSlope=None, RescaleIntercept=None))
    assert volume.array[-1].ravel().tolist() == [0, 1, 2, 10, 11, 12]
    assert "may not be Hounsfield units" in notes(volume)


def test_some_slices_of_a_ct_without_their_rescaling_say_so(save_series: Save) -> None:
    offsets = {"RescaleIntercept": lambda k: None if k == 2 else -1024}
    volume = read_volume(save_series(**offsets))
    assert volume.array[:, 0, 0].tolist() == [300 - 1024, 200, 100 - 1024, -1024]
    assert notes(volume).count("may not be Hounsfield units") == 1


@pytest.mark.parametrize("elements", [{"Modality": "MR", "RescaleIntercept": None}, {}], ids=str)
def test_rescaling_that_is_there_or_not_asked_for_is_not_spoken_of(
    save_series: Save, elements: dict[str, Any]
) -> None:
    assert "Hounsfield" not in notes(read_volume(save_series(**elements)))


@pytest.mark.parametrize("place", ["SharedFunctionalGroupsSequence", "frames", "nowhere"])
def test_rescaling_in_the_groups_of_an_enhanced_ct_counts(
    tmp_path: Path, dicom_slice: Make, save_dicom: Save, place: str
) -> None:
    data = multi_frame(dicom_slice, np.ones((3, 2, 3)))
    rescaling = {"RescaleIntercept": -1000, "RescaleSlope": 1, "RescaleType": "HU"}
    if place == "frames":
        for groups in data.PerFrameFunctionalGroupsSequence:
            groups.PixelValueTransformationSequence = [item(**rescaling)]
    elif place != "nowhere":
        setattr(data, place, [item(PixelValueTransformationSequence=rescaling)])
    volume = read_volume(save_dicom(tmp_path / "ct.dcm", data))
    assert (volume.array == (1 if place == "nowhere" else -999)).all()
    assert ("Hounsfield" in notes(volume)) == (place == "nowhere")
