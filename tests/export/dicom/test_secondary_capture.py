"""Secondary Captures: the same colours at the same places, and a bar that covers nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from napari_ifa.errors import Cancelled, ExistingOutputError, IfaError
from napari_ifa.export import Colouring, write_secondary_capture
from napari_ifa.export.problems import ExportProblem
from napari_ifa.reading import read_volume
from napari_ifa.volumes import Volume, Window
from tests.places import COLOURING, PROVENANCE, REAL, from_24_bits, map_of_places, place_value
from tests.problems import refused

Save = Callable[..., Path]


def nothing(values: np.ndarray) -> np.ndarray:
    """No overlay at all."""
    return np.zeros((*values.shape, 4))


BARE = Colouring(nothing, (-1.0, 1.0), 0.0, sides=("against pneumonia", "for pneumonia"))


def export(image: Volume, folder: Path, **options: Any) -> list[Dataset]:
    """Export with the colours that hold the map's values, and read with pydicom."""
    values = map_of_places(image)
    colouring = options.pop("colouring", COLOURING)
    files = write_secondary_capture(image, values, PROVENANCE, colouring, folder, **options)
    return [pydicom.dcmread(file) for file in files]


def block_points(data: Dataset, factor: int, rows: int, columns: int) -> np.ndarray:
    """``[rows, columns, 3]``: centres (LPS) of the squares that one pixel of the image became."""
    orientation = np.array(data.ImageOrientationPatient, float)
    spacing = np.array(data.PixelSpacing, float)
    row, column = np.mgrid[:rows, :columns] * factor + (factor - 1) / 2
    return (
        np.array(data.ImagePositionPatient, float)
        + column[..., None] * spacing[1] * orientation[:3]
        + row[..., None] * spacing[0] * orientation[3:]
    )


@pytest.mark.parametrize(("name", "factor"), zip(REAL, (1, 2, 1, 8, 8, 8, 1), strict=True))
def test_every_pixel_shows_the_value_of_its_place(
    name: str,
    factor: int,
    real_volume: Callable[[str], Volume],
    secondary_capture: Callable[[str], list[Path]],
) -> None:
    file_order, _ = real_volume(name).in_source_order()
    columns, rows, slices = file_order.shape

    files = secondary_capture(name)

    assert len(files) == slices
    known = 0
    # Every fifth slice is enough; at one end of the stack two slices have no values.
    chosen = [*files[2:-2:5], files[-3]]
    for data in map(pydicom.dcmread, chosen):
        picture = data.pixel_array[: rows * factor, : columns * factor]
        blocks = picture.reshape(rows, factor, columns, factor, 3)
        assert (blocks == blocks[:, :1, :, :1]).all()
        points = block_points(data, factor, rows, columns)
        inside = points[..., 0] < 40 - 1e-3
        values = from_24_bits(blocks[:, 0, :, 0])[inside]
        np.testing.assert_allclose(values, place_value(points)[inside], atol=1e-6, rtol=0)
        known += inside.sum()
    assert known > 0.2 * len(chosen) * rows * columns


@pytest.mark.parametrize("name", REAL)
def test_the_validator_finds_no_fault(
    name: str,
    secondary_capture: Callable[[str], list[Path]],
    faults: Callable[[Path], list[str]],
) -> None:
    files = secondary_capture(name)

    for file in (files[0], files[-1]):
        assert faults(file) == []


def test_the_image_shows_through_in_its_window(save_series: Save, tmp_path: Path) -> None:
    image = read_volume(save_series())
    window = Window(106, 20)

    pictures = export(image, tmp_path / "sc", window=window, colouring=BARE)

    # Slice 1 holds 100, 101, 102 and 110, 111, 112: from 96 (black) to 116 (white).
    stored = np.array([[100, 101, 102], [110, 111, 112]])
    expected = np.rint((stored - 96) / 20 * 255)
    enlarged = pictures[1].pixel_array[: 2 * 171, : 3 * 171]
    for channel in range(3):
        np.testing.assert_array_equal(enlarged[::171, ::171, channel], expected)


def test_a_window_with_a_curve_and_an_inverted_image(save_series: Save, tmp_path: Path) -> None:
    folder = save_series(PhotometricInterpretation="MONOCHROME1")
    # Black below the middle, then rising; inverted: white below it.
    window = Window(106, 20, curve=(0.0, 0.0, 1.0))

    pictures = export(read_volume(folder), tmp_path / "sc", window=window, colouring=BARE)

    enlarged = pictures[1].pixel_array[: 2 * 171 : 171, : 3 * 171 : 171, 0]
    np.testing.assert_array_equal(enlarged[0], [255, 255, 255])
    np.testing.assert_array_equal(
        enlarged[1], np.rint((1 - (np.array([110, 111, 112]) - 106) / 10) * 255)
    )


def test_opacity_mixes_image_and_overlay(save_series: Save, tmp_path: Path) -> None:
    image = read_volume(save_series())
    red = Colouring(lambda v: np.broadcast_to([1.0, 0, 0, 0.5], (*v.shape, 4)), (-1, 1), 0)

    pictures = export(image, tmp_path / "sc", window=Window(105, 10), opacity=0.5, colouring=red)

    # 112 is white. An overlay of half the strength at half the opacity: a quarter of red.
    np.testing.assert_array_equal(pictures[1].pixel_array[171, 2 * 171], [255, 191, 191])


def test_where_there_is_no_value_the_bare_image_shows(save_series: Save, tmp_path: Path) -> None:
    image = read_volume(save_series())
    values = image.with_array(np.full(image.shape, np.nan, np.float32))
    window = Window(105, 10)

    covered = write_secondary_capture(
        image, values, PROVENANCE, COLOURING, tmp_path / "a", window=window, opacity=1
    )
    bare = export(image, tmp_path / "b", window=window, colouring=BARE)

    image_part = np.s_[: 2 * 171, : 3 * 171]
    for file, data in zip(covered, bare, strict=True):
        np.testing.assert_array_equal(
            pydicom.dcmread(file).pixel_array[image_part], data.pixel_array[image_part]
        )


def test_the_bar_stands_in_a_margin_that_the_image_does_not_reach(
    secondary_capture: Callable[[str], list[Path]],
) -> None:
    data = pydicom.dcmread(secondary_capture("ct_head")[0])

    assert (data.Rows, data.PhotometricInterpretation, data.BurnedInAnnotation) == (
        512,
        "RGB",
        "YES",
    )
    margin = data.pixel_array[:, 512:]
    assert margin.shape[1] == data.Columns - 512 == 154
    assert margin.any()


@pytest.mark.parametrize(
    ("name", "letters"), [("ct_head", ["L", "P"]), ("mr_sagittal_oblique", ["P", "F"])]
)
def test_says_where_rows_and_columns_lead(
    name: str, letters: list[str], secondary_capture: Callable[[str], list[Path]]
) -> None:
    assert pydicom.dcmread(secondary_capture(name)[0]).PatientOrientation == letters


def test_axes_that_miss_the_right_angle_a_little_lead_there_too(
    save_series: Save, tmp_path: Path
) -> None:
    # Cosines of three digits, and 0.1 mm of drift over the stack: less than half a pixel.
    image = read_volume(
        save_series(
            ImageOrientationPatient=[0.966, 0.259, 0, -0.259, 0.966, 0.001],
            ImagePositionPatient=lambda k: [0.03 * k, 0, 2 * k],
        )
    )
    assert not image.report.resampled
    picture, *_ = write_secondary_capture(
        image, image.with_array(np.zeros(image.shape)), PROVENANCE, COLOURING, tmp_path / "out"
    )
    assert pydicom.dcmread(picture).PatientOrientation == ["L", "P"]


def test_each_picture_refers_to_its_slice(save_series: Save, tmp_path: Path) -> None:
    folder = save_series(
        StudyInstanceUID="1.2.3", SOPInstanceUID=lambda k: f"1.2.3.{k + 1}", SeriesNumber=3
    )

    pictures = export(read_volume(folder), tmp_path / "sc")

    for k, data in enumerate(pictures):
        (reference,) = data.SourceImageSequence
        assert reference.ReferencedSOPInstanceUID == f"1.2.3.{k + 1}"
        assert data.StudyInstanceUID == "1.2.3"
        assert data.SeriesNumber == 2003
        assert data.InstanceNumber == k + 1
        assert "not for primary diagnosis" in data.DerivationDescription
    assert len({data.SeriesInstanceUID for data in pictures}) == 1
    assert len({data.SOPInstanceUID for data in pictures}) == 4


def test_slices_that_are_missing_or_damaged_are_left_out(save_series: Save, tmp_path: Path) -> None:
    folder = save_series(0, 1, 3, 4, 5, 6, 7)
    damaged = folder / "slice4.dcm"
    damaged.write_bytes(damaged.read_bytes()[:-4])
    image = read_volume(folder)
    # From head to feet: slice 4 is the fourth of eight, slice 2 the sixth.
    assert image.report.missing == (3, 5)

    pictures = export(image, tmp_path / "sc")

    assert [float(data.ImagePositionPatient[2]) for data in pictures] == [30, 32, 36, 40, 42, 44]
    assert [data.InstanceNumber for data in pictures] == [1, 2, 3, 4, 5, 6]


def test_the_folder_appears_whole_or_not_at_all(
    save_series: Save, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = read_volume(save_series())
    place = tmp_path / "out"
    asked: list[int] = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) == 3

    with pytest.raises(Cancelled, match="Writing was stopped"):
        export(image, place / "sc", stop=stop)
    assert not place.exists()

    said: list[tuple[int, int]] = []
    export(image, place / "sc", progress=lambda done, of: said.append((done, of)))
    assert said == [(1, 4), (2, 4), (3, 4), (4, 4)]
    before = (place / "sc" / "slice_0001.dcm").read_bytes()

    def full_disk(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pydicom.Dataset, "save_as", full_disk)
    with refused(IfaError, ExportProblem.NOT_WRITTEN) as caught:
        export(image, place / "sc", overwrite=True)
    assert "No space left on device" in caught.value.facts["reason"]
    assert [p.name for p in place.iterdir()] == ["sc"]
    assert (place / "sc" / "slice_0001.dcm").read_bytes() == before


def test_an_older_export_is_replaced_and_other_files_are_not(
    save_series: Save, tmp_path: Path
) -> None:
    export(read_volume(save_series()), tmp_path / "sc")
    with pytest.raises(ExistingOutputError):
        export(read_volume(save_series(0, 1, folder="short")), tmp_path / "sc")
    assert len(list((tmp_path / "sc").iterdir())) == 4
    export(read_volume(save_series(0, 1, folder="short")), tmp_path / "sc", overwrite=True)
    assert sorted(p.name for p in (tmp_path / "sc").iterdir()) == [
        "slice_0001.dcm",
        "slice_0002.dcm",
    ]
    (tmp_path / "sc" / "letter.txt").touch()
    with refused(IfaError, ExportProblem.OTHER_FILES, folder="sc"):
        export(read_volume(save_series()), tmp_path / "sc")
    assert len(list((tmp_path / "sc").iterdir())) == 3
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_an_image_without_a_place_gets_none(
    save_series: Save, faults: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    """Left and right stay what the source says of its rows and columns, or unsaid."""
    stated = read_volume(save_series(0, PatientOrientation=["L", "F"], folder="stated"))
    unsaid = read_volume(save_series(0, folder="unsaid"))
    wrong = read_volume(save_series(0, PatientOrientation=["UP", "F"], folder="wrong"))
    for image, letters in ((stated, ["L", "F"]), (unsaid, None), (wrong, None)):
        lost = replace(image, source=replace(image.source, placed=False))
        (data,) = export(lost, tmp_path / "sc", overwrite=True)
        assert (data.PatientOrientation or None) == letters
        for keyword in ("ImagePositionPatient", "FrameOfReferenceUID", "PixelSpacing"):
            assert keyword not in data
        assert faults(tmp_path / "sc" / "slice_0001.dcm") == []


def test_a_colour_image_keeps_its_colours(save_series: Save, tmp_path: Path) -> None:
    image = read_volume(save_series())
    colours = np.zeros((*image.shape, 3), np.uint8)
    colours[..., 1] = 128
    coloured = replace(image, array=colours)

    pictures = write_secondary_capture(
        coloured, map_of_places(image), PROVENANCE, BARE, tmp_path / "sc"
    )

    np.testing.assert_array_equal(pydicom.dcmread(pictures[0]).pixel_array[0, 0], [0, 128, 0])


def test_a_map_of_another_shape_is_refused(save_series: Save, tmp_path: Path) -> None:
    image = read_volume(save_series())
    other = read_volume(save_series(0, 1, folder="short"))
    with pytest.raises(ValueError, match=r"map of shape \(2, 2, 3\) on an image of shape"):
        write_secondary_capture(image, other, PROVENANCE, COLOURING, tmp_path / "sc")
