"""One scan as an ordinary DICOM MR series: a file per slice, real geometry, no real patient."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_dicom_series(
    array: NDArray[np.generic], affine: NDArray[np.float64], folder: Path, description: str
) -> list[Path]:
    """Write ``array[column, row, slice]`` with its RAS ``affine`` into ``folder``; returns files.

    The same content gives the same files, UIDs included. The signal is stored as it is (int16,
    none below zero), without rescale.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lps = _TO_LPS @ affine
    spacing = np.linalg.norm(lps[:3, :3], axis=0)
    directions = lps[:3, :3] / spacing
    common = _common(array, spacing, description)
    common.ImageOrientationPatient = _decimals([*directions[:, 0], *directions[:, 1]])
    files = []
    for k in range(array.shape[2]):
        position = lps[:3, 3] + k * lps[:3, 2]
        dataset = _slice(common, array[:, :, k].T, k, position, float(position @ directions[:, 2]))
        files.append(folder / f"IM{k + 1:04d}.dcm")
        dataset.save_as(files[-1], enforce_file_format=True)
    return files


def _common(array: NDArray[np.generic], spacing: NDArray[np.float64], description: str) -> Dataset:
    """What all slices share: the patient, study, series, frame, equipment and image modules."""
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"
    data.SOPClassUID = MRImageStorage
    data.PatientName = "Phantom^Head"
    data.PatientID = "PHANTOM"
    data.PatientBirthDate = ""
    data.PatientSex = "O"
    data.PatientIdentityRemoved = "YES"
    data.DeidentificationMethod = "synthetic image, no patient"
    data.StudyInstanceUID = _uid(description, "study")
    data.SeriesInstanceUID = _uid(description, "series")
    data.FrameOfReferenceUID = _uid(description, "frame of reference")
    data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = "20240701"
    data.StudyTime = data.SeriesTime = data.AcquisitionTime = data.ContentTime = "120000"
    data.StudyID = "1"
    data.AccessionNumber = ""
    data.ReferringPhysicianName = ""
    data.StudyDescription = "napari-ifa sample"
    data.SeriesDescription = description
    data.SeriesNumber = 1
    data.AcquisitionNumber = 1
    data.Modality = "MR"
    data.BodyPartExamined = "HEAD"
    data.PatientPosition = "HFS"
    data.PositionReferenceIndicator = ""
    data.Laterality = ""
    data.Manufacturer = "napari-ifa"
    data.ManufacturerModelName = "phantom generator"
    data.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    data.ScanningSequence = "RM"
    data.SequenceVariant = "NONE"
    data.ScanOptions = ""
    data.MRAcquisitionType = "2D"
    data.RepetitionTime = 500
    data.EchoTime = 10
    data.EchoTrainLength = 1
    data.MagneticFieldStrength = 1.5
    data.SliceThickness = _decimal(spacing[2])
    data.SpacingBetweenSlices = _decimal(spacing[2])
    data.PixelSpacing = [_decimal(spacing[1]), _decimal(spacing[0])]
    data.Columns, data.Rows = array.shape[0], array.shape[1]
    data.SamplesPerPixel = 1
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated = 16
    data.BitsStored = 16
    data.HighBit = 15
    data.PixelRepresentation = 1
    bright = int(np.percentile(array.astype(float), 99.5))
    data.WindowCenter, data.WindowWidth = bright // 2, bright
    return data


def _slice(
    common: Dataset,
    pixels: NDArray[np.generic],
    index: int,
    position: NDArray[np.float64],
    location: float,
) -> Dataset:
    data = Dataset()
    data.update(common)
    data.SOPInstanceUID = _uid(str(common.SeriesDescription), f"image {index}")
    data.InstanceNumber = index + 1
    data.ImagePositionPatient = _decimals(position)
    data.SliceLocation = _decimal(location)
    data.PixelData = np.ascontiguousarray(pixels, "<i2").tobytes()
    data["PixelData"].VR = "OW"
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(_uid("implementation"))
    meta.ImplementationVersionName = "NAPARI-IFA"
    data.file_meta = meta
    return data


def _uid(*sources: str) -> str:
    """A UID that the same words always give: a UUID as PS3.5 B.2 derives one from it."""
    words = "/".join(["napari-ifa phantom", *sources])
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, words).int}"


def _decimals(values: NDArray[np.float64] | list[float]) -> list[str]:
    return [_decimal(value) for value in values]


def _decimal(value: float) -> str:
    """A DICOM decimal string: at most 16 characters."""
    text = f"{value:.12f}"[:16].rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text
