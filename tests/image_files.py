"""Small DICOM and NIfTI files whose values and positions can be worked out by hand."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

ROWS, COLUMNS = 2, 3
SERIES_UID = "1.2.3.4"


@pytest.fixture(scope="session")
def mr_sagittal_oblique(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked sagittal MPRAGE."""
    folder = tmp_path_factory.mktemp("mr_sagittal_oblique")
    with zipfile.ZipFile(shared_data / "dicom/mr_sagittal_oblique.zip") as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture
def dicom_slice() -> Callable[..., Dataset]:
    """Make slice ``k`` of an axial CT of 2 rows × 3 columns, 2 mm apart, feet first.

    The stored value is 100 k + 10 row + column; pixels are 0.5 mm high and 0.25 mm wide; the
    first pixel of slice 0 lies at x = 10, y = 20, z = 30 mm (LPS). Keywords replace elements;
    None takes one away.
    """

    def make(k: int, **elements: Any) -> Dataset:
        data = Dataset()
        data.SOPClassUID = CTImageStorage
        data.SOPInstanceUID = generate_uid()
        data.SeriesInstanceUID = SERIES_UID
        data.Modality = "CT"
        data.SeriesDescription = "made by hand"
        data.SeriesNumber = 7
        data.InstanceNumber = k + 1
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.ImagePositionPatient = [10, 20, 30 + 2 * k]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.PixelSpacing = [0.5, 0.25]
        data.SliceThickness = 2
        data.Rows, data.Columns = ROWS, COLUMNS
        data.SamplesPerPixel = 1
        data.PhotometricInterpretation = "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
        data.PixelRepresentation = 0
        data.RescaleSlope, data.RescaleIntercept = 1, 0
        row, column = np.mgrid[:ROWS, :COLUMNS]
        data.PixelData = (100 * k + 10 * row + column).astype("<u2").tobytes()
        # A patient who must never be seen in a message.
        data.PatientName, data.PatientID = "Doe^Jane", "4711"
        for keyword, value in elements.items():
            if value is None:
                del data[keyword]
            else:
                setattr(data, keyword, value)
        return data

    return make


@pytest.fixture
def save_dicom() -> Callable[..., Path]:
    """Write a data set as a DICOM file and return its path."""

    def save(path: Path, data: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = syntax
        data.file_meta.MediaStorageSOPClassUID = CTImageStorage
        data.file_meta.MediaStorageSOPInstanceUID = data.get("SOPInstanceUID") or generate_uid()
        path.parent.mkdir(parents=True, exist_ok=True)
        pydicom.dcmwrite(path, data, enforce_file_format=True)
        return path

    return save


@pytest.fixture
def save_series(
    tmp_path: Path, dicom_slice: Callable[..., Dataset], save_dicom: Callable[..., Path]
) -> Callable[..., Path]:
    """Write slices, four unless told, into a folder; keywords replace elements of each.

    A callable keyword is asked for its value with the number of the slice.
    """

    def save(*indices: int, folder: str = "study", **elements: Any) -> Path:
        for k in indices or range(4):
            values = {name: v(k) if callable(v) else v for name, v in elements.items()}
            save_dicom(tmp_path / folder / f"slice{k}.dcm", dicom_slice(k, **values))
        return tmp_path / folder

    return save


@pytest.fixture
def save_nifti(tmp_path: Path) -> Callable[..., Path]:
    """Write an array with a RAS affine (2 mm voxels unless told) as NIfTI and return its path."""

    def save(
        array: np.ndarray, affine: Any = None, name: str = "image.nii.gz", **header: Any
    ) -> Path:
        affine = np.diag([2.0, 2.0, 2.0, 1.0]) if affine is None else np.array(affine, dtype=float)
        image = nibabel.Nifti1Image(array, affine)
        image.header.set_xyzt_units(header.pop("units", "mm"))
        image.set_sform(affine, header.pop("sform_code", 1))
        image.set_qform(affine, header.pop("qform_code", 0), strip_shears=True)
        for field, value in header.items():
            image.header[field] = value
        image.to_filename(tmp_path / name)
        return tmp_path / name

    return save
