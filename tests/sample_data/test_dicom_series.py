"""The DICOM series: valid MR images with the voxels and the geometry of their NIfTI twin."""

from __future__ import annotations

import json

import nibabel as nib
import numpy as np
import pydicom
import pytest

from napari_ifa import samples
from sample_data.making.dicom_series import write_dicom_series
from sample_data.making.training import preprocessing

# Attributes that the modules of the MR Image IOD require (PS3.3 A.4), type 1 and 2.
REQUIRED = [
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "Modality",
    "SeriesInstanceUID",
    "SeriesNumber",
    "FrameOfReferenceUID",
    "PositionReferenceIndicator",
    "Manufacturer",
    "InstanceNumber",
    "PixelSpacing",
    "ImageOrientationPatient",
    "ImagePositionPatient",
    "SliceThickness",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelData",
    "ImageType",
    "ScanningSequence",
    "SequenceVariant",
    "ScanOptions",
    "MRAcquisitionType",
    "RepetitionTime",
    "EchoTime",
    "EchoTrainLength",
    "SOPClassUID",
    "SOPInstanceUID",
]


#: The NIfTI file with the voxels of the series, at the same places.
TWIN = samples.sample_data() / next(
    entry["image"] for entry in json.loads(samples.cohort().read_text())["test"] if "dicom" in entry
)


@pytest.fixture(scope="module")
def slices():
    files = sorted(samples.dicom_series().glob("*.dcm"))
    return [pydicom.dcmread(file) for file in files]


def test_voxels_and_geometry_are_those_of_the_nifti(slices):
    twin = nib.load(TWIN)
    stored = np.asanyarray(twin.dataobj)
    to_ras = np.diag([-1, -1, 1, 1]) @ twin.affine
    assert len(slices) == stored.shape[2]
    for k, image in enumerate(slices):
        np.testing.assert_array_equal(image.pixel_array.T, stored[:, :, k])
        position = np.array(image.ImagePositionPatient, float)
        np.testing.assert_allclose(position, (to_ras @ [0, 0, k, 1])[:3], atol=1e-3)
        along_row, along_column = np.array(image.ImageOrientationPatient, float).reshape(2, 3)
        down, across = image.PixelSpacing
        np.testing.assert_allclose(along_row * across, to_ras[:3, 0], atol=1e-4)
        np.testing.assert_allclose(along_column * down, to_ras[:3, 1], atol=1e-4)


def test_the_network_sees_the_same_from_both():
    chain = preprocessing()
    series, twin = (chain({"image": str(path)})["image"] for path in (samples.dicom_series(), TWIN))
    np.testing.assert_allclose(series.affine, twin.affine, atol=1e-3)
    np.testing.assert_allclose(series.numpy(), twin.numpy(), atol=1e-4)


def test_the_series_is_oblique(slices):
    directions = np.abs(np.array(slices[0].ImageOrientationPatient, float))
    assert 0.05 < np.sort(directions)[-3] < 0.3


def test_every_slice_has_all_that_an_mr_image_must_have(slices):
    for image in slices:
        assert [name for name in REQUIRED if name not in image] == []
        assert image.SOPClassUID == pydicom.uid.MRImageStorage
        assert image.file_meta.MediaStorageSOPInstanceUID == image.SOPInstanceUID


def test_uids_are_one_per_slice_and_one_for_the_series(slices):
    assert len({image.SOPInstanceUID for image in slices}) == len(slices)
    for name in ("SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID"):
        assert len({image[name].value for image in slices}) == 1
        assert pydicom.uid.UID(slices[0][name].value).is_valid


def test_the_same_content_gives_the_same_files(tmp_path):
    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    affine = np.diag([-2.0, -2.0, 4.0, 1.0])
    first = write_dicom_series(array, affine, tmp_path / "a", "T1")
    second = write_dicom_series(array, affine, tmp_path / "b", "T1")
    assert [f.read_bytes() for f in first] == [f.read_bytes() for f in second]
    image = pydicom.dcmread(first[1])
    np.testing.assert_array_equal(image.pixel_array, [[1, 13], [5, 17], [9, 21]])
    assert image.ImagePositionPatient == [0, 0, 4]
    assert image.ImageOrientationPatient == [1, 0, 0, 0, 1, 0]
    assert image.SliceLocation == 4
