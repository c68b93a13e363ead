"""Enhanced multi-frame images, made by hand: geometry, values and kind of each frame."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage, ImplicitVRLittleEndian

from napari_ifa.reading import list_series, read_volume
from napari_ifa.reading.dicom.header.frame_table import read_frames
from napari_ifa.volumes import Window
from tests.dicom_parts import item

Save = Callable[..., Path]
Make = Callable[..., Dataset]


@pytest.fixture
def enhanced(dicom_slice: Make) -> Make:
    """An enhanced MR of n frames of 2 × 3 pixels, 2 mm apart; frame k holds 100 k + 0..5.

    ``groups(k)`` gives further functional groups of frame k, ``shared`` those of all.
    """

    def make(
        n: int,
        groups: Callable[[int], dict[str, Any]] = lambda k: {},
        shared: dict[str, Any] | None = None,
        place: Callable[[int], list[float]] = lambda k: [0, 0, 2 * k],
        **elements: Any,
    ) -> Dataset:
        data = dicom_slice(
            0,
            SOPClassUID=EnhancedMRImageStorage,
            Modality="MR",
            NumberOfFrames=n,
            ImagePositionPatient=None,
            ImageOrientationPatient=None,
            PixelSpacing=None,
            RescaleSlope=None,
            RescaleIntercept=None,
            **elements,
        )
        data.PixelData = (np.arange(6) + 100 * np.arange(n)[:, None]).astype("<u2").tobytes()
        of_all: dict[str, Any] = {
            "PixelMeasuresSequence": {"PixelSpacing": [0.5, 0.25], "SliceThickness": 2},
            "PlaneOrientationSequence": {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
            **(shared or {}),
        }
        data.SharedFunctionalGroupsSequence = [item(**of_all)]
        data.PerFrameFunctionalGroupsSequence = [
            item(PlanePositionSequence={"ImagePositionPatient": place(k)}, **groups(k))
            for k in range(n)
        ]
        return data

    return make


def test_frames_are_slices(tmp_path: Path, enhanced: Make, save_dicom: Save) -> None:
    # The frames stand from the head downwards in the file.
    save_dicom(tmp_path / "a", enhanced(4, place=lambda k: [1, 2, 30 - 2 * k]))
    volume = read_volume(tmp_path / "a")
    assert volume.spacing == (2.0, 0.5, 0.25)
    assert volume.array[:, 0, 0].tolist() == [0, 100, 200, 300]
    np.testing.assert_allclose(volume.affine[:3, 3], [1, 2, 30])
    assert [frame.index for frame in volume.source.frames if frame] == [0, 1, 2, 3]


def test_implicit_encoding(tmp_path: Path, enhanced: Make, save_dicom: Save) -> None:
    kinds = {"MREchoSequence": {"EffectiveEchoTime": 4.5}}
    save_dicom(tmp_path / "a", enhanced(3, shared=kinds), ImplicitVRLittleEndian)
    assert read_volume(tmp_path / "a").array[::-1, 0, 0].tolist() == [0, 100, 200]
    rows = read_frames(tmp_path / "a")
    assert isinstance(rows, list)
    assert [row.traits.echo_time for row in rows] == [4.5] * 3


def test_each_frame_has_its_own_slope(tmp_path: Path, enhanced: Make, save_dicom: Save) -> None:
    data = enhanced(
        2,
        lambda k: {
            "PixelValueTransformationSequence": {
                "RescaleSlope": [2, 0.5][k],
                "RescaleIntercept": [0, -50][k],
            }
        },
    )
    save_dicom(tmp_path / "a", data)
    # 2 × 1 and 0.5 × 101 − 50.
    assert read_volume(tmp_path / "a").array[::-1, 0, 1].tolist() == [2, 0.5]


def test_shared_slope(tmp_path: Path, enhanced: Make, save_dicom: Save) -> None:
    slope = {"PixelValueTransformationSequence": {"RescaleSlope": 3, "RescaleIntercept": 1}}
    save_dicom(tmp_path / "a", enhanced(2, shared=slope))
    assert read_volume(tmp_path / "a").array[::-1, 0, 0].tolist() == [1, 301]


def test_window_of_the_middle_frame(tmp_path: Path, enhanced: Make, save_dicom: Save) -> None:
    data = enhanced(
        3, lambda k: {"FrameVOILUTSequence": {"WindowCenter": 10 * k, "WindowWidth": 5}}
    )
    save_dicom(tmp_path / "a", data)
    (window,) = read_volume(tmp_path / "a").windows
    assert (window.center, window.width) == (10, 5)
    assert isinstance(window, Window)


def test_magnitude_and_field_map_in_one_file(
    tmp_path: Path, enhanced: Make, save_dicom: Save
) -> None:
    data = enhanced(
        4,
        lambda k: {
            "MRImageFrameTypeSequence": {
                "FrameType": ["ORIGINAL", "PRIMARY", "B0", ["M", "FIELD_MAP"][k % 2]],
                "ComplexImageComponent": ["MAGNITUDE", "REAL"][k % 2],
            },
            "PixelValueTransformationSequence": {
                "RescaleSlope": [1, 0.5][k % 2],
                "RescaleIntercept": 0,
            },
        },
        place=lambda k: [0, 0, 2 * (k // 2)],
    )
    save_dicom(tmp_path / "a", data)
    images = {s.part: read_volume(s).array[::-1, 0, 0].tolist() for s in list_series(tmp_path)}
    assert images == {"field map": [50, 150], "magnitude": [0, 200]}


@pytest.mark.parametrize(
    "group",
    [
        lambda t: {"FrameContentSequence": {"TemporalPositionIndex": t + 1}},
        lambda t: {"FrameContentSequence": {"FrameAcquisitionNumber": t + 1}},
        lambda t: {"FrameContentSequence": {"FrameAcquisitionDateTime": f"2020010110000{t}.5"}},
        lambda t: {"MRDiffusionSequence": {"DiffusionBValue": 1000.0 * t}},
        lambda t: {"CardiacSynchronizationSequence": {"NominalCardiacTriggerDelayTime": 40.0 * t}},
    ],
    ids=["temporal index", "acquisition", "time", "b-value", "cardiac"],
)
def test_times_in_one_file(
    tmp_path: Path, enhanced: Make, save_dicom: Save, group: Callable[[int], dict[str, Any]]
) -> None:
    # All times of a slice after one another.
    data = enhanced(6, lambda k: group(k % 2), place=lambda k: [0, 0, 2 * (k // 2)])
    save_dicom(tmp_path / "a", data)
    images = [read_volume(s).array[::-1, 0, 0].tolist() for s in list_series(tmp_path)]
    assert images == [[0, 200, 400], [100, 300, 500]]


def test_dimensions_alone_tell_times_apart(
    tmp_path: Path, enhanced: Make, save_dicom: Save
) -> None:
    data = enhanced(
        4,
        lambda k: {"FrameContentSequence": {"DimensionIndexValues": [1, k % 2 + 1, k // 2 + 1]}},
        place=lambda k: [0, 0, 2 * (k % 2)],
    )
    data.DimensionIndexSequence = [
        item(DimensionIndexPointer=0x00209056),
        item(DimensionIndexPointer=0x00209057),
        item(DimensionIndexPointer=0x20051011),
    ]
    save_dicom(tmp_path / "a", data)
    images = [read_volume(s).array[::-1, 0, 0].tolist() for s in list_series(tmp_path)]
    assert images == [[0, 100], [200, 300]]


def test_a_file_for_each_time(tmp_path: Path, enhanced: Make, save_dicom: Save) -> None:
    for t in range(3):
        data = enhanced(2, SOPInstanceUID=f"1.2.{t}", InstanceNumber=t + 1)
        data.PixelData = (np.arange(12) + 1000 * t).astype("<u2").tobytes()
        save_dicom(tmp_path / str(t), data)
    series = list_series(tmp_path)
    assert [s.part for s in series] == [f"image {t + 1} of 3" for t in range(3)]
    assert [read_volume(s).array[::-1, 0, 0].tolist() for s in series] == [
        [0, 6],
        [1000, 1006],
        [2000, 2006],
    ]


def test_segments_are_an_image_each(tmp_path: Path, enhanced: Make, save_dicom: Save) -> None:
    data = enhanced(
        4,
        lambda k: {"SegmentIdentificationSequence": {"ReferencedSegmentNumber": k // 2 + 1}},
        place=lambda k: [0, 0, 2 * (k % 2)],
    )
    save_dicom(tmp_path / "a", data)
    assert [s.part for s in list_series(tmp_path)] == ["segment 1", "segment 2"]


def test_frames_without_groups_have_no_place(
    tmp_path: Path, enhanced: Make, save_dicom: Save
) -> None:
    data = enhanced(3)
    del data.PerFrameFunctionalGroupsSequence
    save_dicom(tmp_path / "a", data)
    (series,) = list_series(tmp_path)
    assert series.orientation == "2D stack"


def test_more_frames_than_groups_are_damaged_or_apart(
    tmp_path: Path, enhanced: Make, save_dicom: Save
) -> None:
    data = enhanced(3)
    data.PerFrameFunctionalGroupsSequence = data.PerFrameFunctionalGroupsSequence[:2]
    save_dicom(tmp_path / "a", data)
    placed, unplaced = sorted(list_series(tmp_path), key=lambda s: s.orientation)
    assert (placed.orientation, placed.image_count) == ("axial", 2)
    assert unplaced.image_count == 1


def test_an_absurd_number_of_frames_is_refused(
    tmp_path: Path, enhanced: Make, save_dicom: Save
) -> None:
    data = enhanced(2)
    data.NumberOfFrames = 2_000_000_000
    save_dicom(tmp_path / "a", data)
    (series,) = list_series(tmp_path)
    assert series.unsupported == (
        "Series 7: the header claims 2000000000 frames in one file. Not opened."
    )
