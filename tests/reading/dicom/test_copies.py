"""Equal and nearly equal pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, RLELossless

from napari_ifa.reading.dicom.header.frame_table import read_frames
from napari_ifa.reading.dicom.header.frames import Frame
from napari_ifa.reading.dicom.pixels.stack_values import frame_values, read_stack
from napari_ifa.reading.dicom.series.copies import (
    equal_pixels,
    nearly_equal_pixels,
    share_a_uid,
    without_copies,
)
from napari_ifa.reading.dicom.series.stack import Stack
from napari_ifa.reading.reader import list_series

Save = Callable[..., Path]


def frames(folder: Path, count: int) -> list[Frame]:
    rows = [read_frames(folder / f"slice{k}.dcm") for k in range(count)]
    return [row[0] for row in rows if isinstance(row, list)]


def values(*numbers: Any) -> Callable[[int], bytes]:
    return lambda k: np.asarray(numbers[k], "<u2").tobytes()


@pytest.mark.parametrize(("off", "nearly"), [(0, True), (9, True), (11, False), (500, False)])
def test_two_per_cent_of_the_range_is_the_limit(save_series: Save, off: int, nearly: bool) -> None:
    # From the 1st to the 99th percentile the values reach over 500: nearly all of 0 to 500.
    base = np.array([0, 0, 250, 250, 500, 500])
    folder = save_series(0, 1, PixelData=values(base, base + off), Rows=2, Columns=3)
    one, other = frames(folder, 2)
    assert equal_pixels(one, other, frame_values) == (off == 0)
    assert nearly_equal_pixels(one, other, frame_values) == nearly


def test_padding_behind_the_pixels_is_nothing(save_series: Save) -> None:
    folder = save_series(0, 1, PixelData=lambda k: bytes(range(12)) + bytes(4 * k))
    one, other = frames(folder, 2)
    assert equal_pixels(one, other, frame_values)


def test_equal_bytes_with_another_slope_are_other_values(save_series: Save) -> None:
    folder = save_series(0, 1, PixelData=lambda k: bytes(range(12)), RescaleSlope=lambda k: k + 1)
    one, other = frames(folder, 2)
    assert not equal_pixels(one, other, frame_values)


def test_one_uid_in_two_files_is_seen(save_series: Save) -> None:
    assert share_a_uid(frames(save_series(0, 1, SOPInstanceUID="1.5"), 2))
    assert not share_a_uid(frames(save_series(0, 1, SOPInstanceUID=lambda k: f"1.5.{k}"), 2))


def test_a_copy_in_another_compression_and_under_another_uid_is_one(save_series: Save) -> None:
    folder = save_series(0, 1, 2, SOPInstanceUID=lambda k: f"1.5.{k + 1}")
    for k in range(3):
        for number, syntax in enumerate((RLELossless, DeflatedExplicitVRLittleEndian)):
            data = dcmread(folder / f"slice{k}.dcm")
            if syntax == RLELossless:
                data.compress(syntax)
            else:
                data.file_meta.TransferSyntaxUID = syntax
            data.SOPInstanceUID = f"1.6.{number}.{k + 1}"
            data.save_as(folder / f"copy{number}_{k}.dcm")
    (series,) = list_series(folder)
    assert (series.image_count, series.question) == (3, None)


def test_each_file_is_decoded_once_however_many_claim_to_be_one_object(
    save_series: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 12 bits of 16: other bytes may be equal values, so all have to be decoded.
    folder = save_series(
        *range(12),
        ImagePositionPatient=[0.0, 0.0, 0.0],
        SOPInstanceUID="1.5",
        InstanceNumber=1,
        BitsStored=12,
        HighBit=11,
        PixelData=lambda k: np.full(6, k, "<u2").tobytes(),
    )
    decoded: list[int] = []

    def counted(stack: Stack, *more: Any) -> Any:
        decoded.append(len(stack.frames))
        return read_stack(stack, *more)

    monkeypatch.setattr("napari_ifa.reading.dicom.pixels.stack_values.read_stack", counted)
    seen = frames(folder, 12)
    assert len(without_copies(seen, frame_values)) == 12
    assert decoded == 12 * [1]
    equal_pixels(*seen[:2], frame_values)
    assert decoded == 12 * [1]
    # Those of another scan are found anew: nothing outlasts the frames that it is known of.
    equal_pixels(*frames(folder, 2), frame_values)
    assert decoded == 14 * [1]
