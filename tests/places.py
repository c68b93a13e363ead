"""Maps whose value says where in the patient it lies, for the tests of what is exported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import Dataset

from napari_ifa.volumes import Colouring, Provenance, SourceOrder, Volume, volume_from_file_order
from napari_ifa.volumes.dicom.frames import Frame, StoredImage
from napari_ifa.volumes.dicom.pixeldata import PixelData

#: Per mm of x, y, z (LPS): no mirrored, swapped or shifted place has the same value.
PER_MM = np.array([1e-3, 0.7e-3, 0.3e-3])


def place_value(lps: np.ndarray) -> np.ndarray:
    """The map's value at points ``[..., 3]`` (LPS, mm), between −1 and 1 in any patient."""
    return np.asarray(lps) @ PER_MM


def grid_points(affine: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """``[*shape, 3]``: where the voxels of a grid lie."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1)
    return index @ affine[:3, :3].T + affine[:3, 3]


def map_of_places(volume: Volume) -> Volume:
    """A map on the image's grid; no value where x > 40 mm or in the first two slices."""
    points = grid_points(volume.affine, volume.shape)
    values = place_value(points).astype(np.float32)
    values[points[..., 0] > 40] = np.nan
    axis = volume.source.axes.index(2)
    if volume.shape[axis] > 4:
        values[tuple(slice(2) if a == axis else slice(None) for a in range(3))] = np.nan
    return volume.with_array(values)


def as_24_bits(values: np.ndarray) -> np.ndarray:
    """Opaque colours ``[..., 4]`` that hold a value of −1 to 1 in 24 bits; NaN is transparent."""
    known = np.isfinite(values)
    number = np.rint((np.where(known, values, 0).astype(np.float64) + 1) / 2 * (2**24 - 1))
    number = number.astype(np.int64)
    channels = [number >> 16, number >> 8 & 255, number & 255]
    return np.stack([*(c / 255 for c in channels), known.astype(float)], axis=-1)


def from_24_bits(pixels: np.ndarray) -> np.ndarray:
    """The values of such colours, from bytes ``[..., 3]``."""
    high, middle, low = np.moveaxis(pixels.astype(np.int64), -1, 0)
    return (high * 65536 + middle * 256 + low) / (2**24 - 1) * 2 - 1


PROVENANCE = Provenance(
    kind="S-CAM",
    class_name="pneumonia",
    model="chest network",
    weights_sha256="ab" * 32,
    layer="layer4",
    method="gradcam",
    scale="P10 = -1.2, P90 = 3.4 logits, basis voxels, scope class",
)
COLOURING = Colouring(as_24_bits, (-1.0, 1.0), -0.3, ((0.1, "P10"), (0.9, "P90")), "pneumonia")


def enhanced_volume(path: Path, wanted: Callable[[Dataset], bool] = lambda _: True) -> Volume:
    """The wanted frames of an enhanced MR file as a Volume, made from pydicom alone."""
    data = pydicom.dcmread(path)
    image = StoredImage(
        path=path, sop_class=data.SOPClassUID, sop_uid=data.SOPInstanceUID,
        series_uid=data.SeriesInstanceUID, frame_of_reference=data.FrameOfReferenceUID,
        modality="MR", description="", number=int(data.SeriesNumber), instance=1,
        rows=data.Rows, columns=data.Columns, samples=1, planar=0, photometric="MONOCHROME2",
        frame_count=int(data.NumberOfFrames), bits_allocated=16, bits_stored=16, high_bit=15,
        signed=False, transfer_syntax=data.file_meta.TransferSyntaxUID,
        pixels=PixelData(None, 0, False, True, True),
    )  # fmt: skip
    frames, pixels = [], []
    for index, item in enumerate(data.PerFrameFunctionalGroupsSequence):
        if wanted(item):
            frames.append(_frame(image, item, index))
            pixels.append(data.pixel_array[index])
    orientation = np.array(frames[0].orientation)
    across, down = orientation[:3], orientation[3:]
    order = np.argsort([np.dot(f.position, np.cross(across, down)) for f in frames])
    first, last = frames[order[0]], frames[order[-1]]
    affine = np.eye(4)
    affine[:3, 0] = across * frames[0].pixel_spacing[1]
    affine[:3, 1] = down * frames[0].pixel_spacing[0]
    affine[:3, 2] = (np.array(last.position) - np.array(first.position)) / (len(frames) - 1)
    affine[:3, 3] = first.position
    array = np.stack([pixels[k] for k in order]).transpose(2, 1, 0).astype(np.int16)
    source = SourceOrder(kind="dicom", frames=tuple(frames[k] for k in order))
    return volume_from_file_order(array, affine, source, modality="MR")


def _frame(image: StoredImage, item: Dataset, index: int) -> Frame:
    measures = item.PixelMeasuresSequence[0]
    return Frame(
        image=image,
        rows=image.rows,
        columns=image.columns,
        position=tuple(map(float, item.PlanePositionSequence[0].ImagePositionPatient)),
        orientation=tuple(map(float, item.PlaneOrientationSequence[0].ImageOrientationPatient)),
        pixel_spacing=tuple(map(float, measures.PixelSpacing)),
        slice_distance=float(measures.SliceThickness),
        slope=1.0,
        intercept=0.0,
        index=index,
    )


#: Real images by name.
REAL = ("ct_head", "mr_sagittal_oblique", "ct_body_no_uids", "mr_philips", "mr_siemens_xa")
