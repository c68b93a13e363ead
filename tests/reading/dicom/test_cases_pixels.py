"""Single files that went wrong: empty frames left out, padding, decimal commas, nuclear medicine,
and compressed pixels that are not what the header or the first decoder says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    NuclearMedicineImageStorage,
    RLELossless,
    SegmentationStorage,
    generate_uid,
)
from scipy.ndimage import shift

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading import list_series, read_volume
from napari_ifa.reading.dicom.header.frame_table import NotAnImage, read_frames
from napari_ifa.reading.dicom.header.frames import LABEL_MAP
from napari_ifa.reading.problems import DicomProblem
from napari_ifa.volumes import Volume
from tests.dicom_parts import item
from tests.problems import refused

Save = Callable[..., Path]
Make = Callable[..., Dataset]

GRID = (5, 4)


def in_file_order(volume: Volume) -> tuple[np.ndarray, np.ndarray]:
    """``[slice, row, column]`` and index (column, row, slice) → LPS mm."""
    array, ras = volume.in_source_order()
    return array.T, np.diag([-1.0, -1.0, 1.0, 1.0]) @ ras


def refusal(path: Path) -> str:
    with pytest.raises(UnsupportedStudyError) as caught:
        read_volume(path)
    return str(caught.value)


# Segmentations


@pytest.fixture
def segmentation(dicom_slice: Make) -> Make:
    """A segmentation of (height, segment, ``[row, column]``), 2.5 mm stated."""

    def make(
        frames: list[tuple[float, int | None, np.ndarray]],
        stated: float | None = 2.5,
        bits: int = 8,
        drift: float = 0.0,
        **elements: Any,
    ) -> Dataset:
        rows, columns = frames[0][2].shape
        data = dicom_slice(
            0,
            SOPClassUID=elements.pop("SOPClassUID", SegmentationStorage),
            Modality="SEG",
            NumberOfFrames=len(frames),
            Rows=rows,
            Columns=columns,
            ImagePositionPatient=None,
            ImageOrientationPatient=None,
            PixelSpacing=None,
            SliceThickness=None,
            BitsAllocated=bits,
            BitsStored=bits,
            HighBit=bits - 1,
            **elements,
        )
        stored = np.stack([pixels for *_, pixels in frames])
        if bits == 1:
            data.PixelData = np.packbits(stored.ravel(), bitorder="little").tobytes()
            data.PixelData += b"\0" * (len(data.PixelData) % 2)
        else:
            data.PixelData = stored.astype(f"<u{bits // 8}").tobytes()
        data["PixelData"].VR = "OB" if bits <= 8 else "OW"
        measures: dict[str, Any] = {"PixelSpacing": [1.5, 1.25], "SliceThickness": 2.5}
        if stated is not None:
            measures["SpacingBetweenSlices"] = stated
        data.SharedFunctionalGroupsSequence = [
            item(
                PixelMeasuresSequence=measures,
                PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
            )
        ]
        data.PerFrameFunctionalGroupsSequence = [
            item(
                PlanePositionSequence={"ImagePositionPatient": [-3, 4 + drift * height, height]},
                **(
                    {}
                    if segment is None
                    else {"SegmentIdentificationSequence": {"ReferencedSegmentNumber": segment}}
                ),
            )
            for height, segment, _ in frames
        ]
        return data

    return make


def some_mask(seed: int, values: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, values, GRID)


@pytest.mark.parametrize(
    ("name", "step", "slices"),
    [("sg_every_second/s.dcm", 2.5, 7), ("public/sparse-labelmap-noppv.dcm", 2.5, 3)],
)
def test_known_segmentation(shared_cases: Path, name: str, step: float, slices: int) -> None:
    path = shared_cases / "studies" / name
    volume = read_volume(path)
    array, affine = in_file_order(volume)
    true = pydicom.dcmread(path).pixel_array
    assert len(array) == slices
    assert_array_equal(array[::2], true)
    assert not array[1::2].any()
    assert_allclose(affine[:3, 2], [0, 0, step])
    assert volume.report.missing == ()
    assert not any("distance" in note or "missing" in note for note in volume.report.notes)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 0, 2, 1)])
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_frames_left_out_are_empty(
    tmp_path: Path, segmentation: Make, save_dicom: Save, bits: int, order: tuple[int, ...]
) -> None:
    """Slices 0, 3, 4 and 40 of 2.5 mm are there, in any order."""
    slots = (0, 3, 4, 40)
    masks = [some_mask(k, 2 if bits == 1 else 200) for k in range(4)]
    frames = [(10 + 2.5 * slots[k], 1, masks[k]) for k in order]
    save_dicom(tmp_path / "a.dcm", segmentation(frames, bits=bits))
    (series,) = list_series(tmp_path)
    volume = read_volume(series)
    # The file's own order is that of its first and last frame.
    array, affine = in_file_order(volume)
    if affine[2, 2] < 0:
        array, affine[2, 3] = array[::-1], affine[2, 3] + 40 * affine[2, 2]
    expected = np.zeros((41, *GRID), int)
    for slot, mask in zip(slots, masks, strict=True):
        expected[slot] = mask
    assert_array_equal(array, expected)
    assert_allclose(affine[:3, 3], [-3, 4, 10])
    assert abs(affine[2, 2]) == pytest.approx(2.5)
    assert volume.report.missing == () == volume.report.notes


def test_segments_are_images_apart_wherever_they_lie(
    tmp_path: Path, segmentation: Make, save_dicom: Save
) -> None:
    masks = [some_mask(k) for k in range(5)]
    heights = (0, 5, 20, 22.5, 27.5)
    segments = (1, 1, 2, 2, 2)
    frames = list(zip(heights, segments, masks, strict=True))
    save_dicom(tmp_path / "a.dcm", segmentation(frames))
    first, second = list_series(tmp_path)
    assert (first.part, second.part) == ("segment 1", "segment 2")
    array, affine = in_file_order(read_volume(first))
    assert_array_equal(array, [masks[0], 0 * masks[0], masks[1]])
    array, affine = in_file_order(read_volume(second))
    assert_array_equal(array, [masks[2], masks[3], 0 * masks[3], masks[4]])
    assert_allclose(affine[:3, 3], [-3, 4, 20])


def test_segmentations_of_two_files_are_not_woven(
    tmp_path: Path, segmentation: Make, save_dicom: Save
) -> None:
    masks = [some_mask(k) for k in range(4)]
    for name, first in (("a", 0), ("b", 2)):
        frames = [(5.0 * k, 1, masks[k]) for k in (first, first + 1)]
        save_dicom(tmp_path / name, segmentation(frames, SOPInstanceUID=generate_uid()))
    read = [in_file_order(read_volume(series))[0] for series in list_series(tmp_path)]
    assert sorted(len(array) for array in read) == [3, 3]
    assert_array_equal(np.sort([a[0].sum() for a in read]), np.sort([m.sum() for m in masks[::2]]))


def test_full_segmentation_whose_lowest_label_is_1_has_empty_gaps(
    tmp_path: Path, segmentation: Make, save_dicom: Save
) -> None:
    full = np.ones(GRID, int)
    save_dicom(tmp_path / "a.dcm", segmentation([(0, 1, full), (7.5, 1, full)]))
    array, _ = in_file_order(read_volume(tmp_path))
    assert array[:, 0, 0].tolist() == [1, 0, 0, 1]


@pytest.mark.parametrize(("stated", "notes"), [(4.0, 1), (None, 0)])
def test_positions_are_right_where_the_stated_distance_is_not(
    tmp_path: Path, segmentation: Make, save_dicom: Save, stated: float | None, notes: int
) -> None:
    masks = [some_mask(k) for k in range(3)]
    frames = [(height, 1, mask) for height, mask in zip((0, 3, 9), masks, strict=True)]
    save_dicom(tmp_path / "a.dcm", segmentation(frames, stated=stated))
    volume = read_volume(tmp_path)
    array, affine = in_file_order(volume)
    assert_array_equal(array, [masks[0], masks[1], 0 * masks[1], masks[2]])
    assert affine[2, 2] == pytest.approx(3)
    assert len(volume.report.notes) == notes


def test_labels_on_no_even_grid_are_refused(
    tmp_path: Path, segmentation: Make, save_dicom: Save
) -> None:
    frames = [(height, 1, some_mask(1)) for height in (0, 2.5, 6.2)]
    save_dicom(tmp_path / "a.dcm", segmentation(frames))
    assert refusal(tmp_path) == (
        "Series 7: slice distances of a segmentation vary (2.50–3.70 mm); labels cannot be"
        " interpolated. Not opened."
    )


def test_absurd_distance_of_a_segmentation_allocates_nothing(
    tmp_path: Path, segmentation: Make, save_dicom: Save
) -> None:
    frames = [(height, 1, some_mask(1)) for height in (0, 0.02, 50_000)]
    save_dicom(tmp_path / "a.dcm", segmentation(frames, stated=1e-6))
    with refused(UnsupportedStudyError, DicomProblem.GRID_OF_LABELS):
        read_volume(tmp_path)


def test_segmentation_of_one_frame(tmp_path: Path, segmentation: Make, save_dicom: Save) -> None:
    mask = some_mask(3)
    save_dicom(tmp_path / "a.dcm", segmentation([(12.5, 4, mask)], stated=3.5))
    volume = read_volume(tmp_path)
    assert_array_equal(in_file_order(volume)[0].squeeze(), mask)
    assert volume.spacing[0] == 3.5


def test_labels_of_a_tilted_stack_are_moved_not_blended(
    tmp_path: Path, segmentation: Make, save_dicom: Save
) -> None:
    """Labels 0, 7 and 90; the second slice lies 0.7 pixels down, the fourth 2.1."""
    labels = np.array([0, 7, 90])
    masks = [labels[some_mask(k, 3)] for k in range(3)]
    frames = [(height, None, m) for height, m in zip((0, 2.5, 7.5), masks, strict=True)]
    data = segmentation(frames, drift=0.7 * 1.5 / 2.5, SOPClassUID=LABEL_MAP)
    save_dicom(tmp_path / "a.dcm", data)
    volume = read_volume(tmp_path)
    array, _ = in_file_order(volume)
    assert volume.report.tilt_degrees == pytest.approx(np.degrees(np.arctan(0.7 * 1.5 / 2.5)))
    expected = np.zeros((4, GRID[0] + 3, GRID[1]), int)
    for slot, rows, mask in ((0, 0, masks[0]), (1, 1, masks[1]), (3, 2, masks[2])):
        expected[slot, rows : rows + GRID[0]] = mask
    assert_array_equal(array, expected)


def test_padding_of_a_map_of_labels_fills_its_gaps(
    tmp_path: Path, segmentation: Make, save_dicom: Save
) -> None:
    mask = np.where(some_mask(5), 3, 255)
    frames = [(0.0, None, mask), (5.0, None, mask)]
    data = segmentation(frames, SOPClassUID=LABEL_MAP, PixelPaddingValue=255)
    save_dicom(tmp_path / "a.dcm", data)
    array, _ = in_file_order(read_volume(tmp_path))
    assert_array_equal(array, [mask, np.full(GRID, 255), mask])


def test_labels_are_read_as_numbers_whatever_their_colours(
    tmp_path: Path, segmentation: Make, save_dicom: Save
) -> None:
    mask = some_mask(6, 3)
    data = segmentation(
        [(0.0, None, mask)], SOPClassUID=LABEL_MAP, PhotometricInterpretation="PALETTE COLOR"
    )
    save_dicom(tmp_path / "a.dcm", data)
    assert_array_equal(in_file_order(read_volume(tmp_path))[0].squeeze(), mask)


def test_segmentation_by_highdicom(tmp_path: Path, dicom_slice: Make, save_dicom: Save) -> None:
    """highdicom leaves empty frames out, and says where the others belong."""
    import highdicom as hd
    from pydicom.sr.codedict import codes

    of_all = {
        "StudyInstanceUID": generate_uid(),
        "FrameOfReferenceUID": generate_uid(),
        "PatientBirthDate": "",
        "PatientSex": "O",
        "AccessionNumber": "",
        "StudyID": "",
        "StudyDate": "20240102",
        "StudyTime": "",
        "ReferringPhysicianName": "",
        "Rows": 4,
        "Columns": 6,
        "PixelData": bytes(48),
    }
    sources = []
    for k in range(7):
        path = save_dicom(tmp_path / "ct" / f"{k}.dcm", dicom_slice(k, **of_all))
        sources.append(pydicom.dcmread(path))
    mask = np.zeros((7, 4, 6, 2), np.uint8)
    mask[[1, 4], 0, 1, 0] = 1
    mask[[2, 3, 6], 1, :, 1] = 1
    described = [
        hd.seg.SegmentDescription(
            segment_number=number,
            segment_label=f"part {number}",
            segmented_property_category=codes.SCT.Tissue,
            segmented_property_type=codes.SCT.Bone,
            algorithm_type="MANUAL",
        )
        for number in (1, 2)
    ]
    made = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=mask,
        segmentation_type="BINARY",
        segment_descriptions=described,
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="none",
        manufacturer_model_name="none",
        software_versions="0",
        device_serial_number="0",
        omit_empty_frames=True,
    )
    (tmp_path / "seg").mkdir()
    made.save_as(tmp_path / "seg" / "a.dcm")
    assert made.NumberOfFrames == 5
    first, second = list_series(tmp_path / "seg")
    for series, number, span in ((first, 0, slice(1, 5)), (second, 1, slice(2, 7))):
        array, affine = in_file_order(read_volume(series))
        if affine[2, 2] < 0:
            array, affine = array[::-1], affine @ _from_the_end(len(array))
        assert_array_equal(array, mask[span, ..., number])
        assert_allclose(affine[:3, 3], [10, 20, 30 + 2 * span.start])


def _from_the_end(slices: int) -> np.ndarray:
    flip = np.diag([1.0, 1, -1, 1])
    flip[2, 3] = slices - 1
    return flip


# Padding


ROWS = COLUMNS = 12


def padded_slices(padding: int, body: Callable[[int], np.ndarray]) -> list[np.ndarray]:
    """A body inside a frame of padding, as of a round field of view."""
    slices = []
    for k in range(5):
        pixels = np.full((ROWS, COLUMNS), padding)
        pixels[3:10, 2:9] = body(k)
        slices.append(pixels)
    return slices


def some_body(k: int) -> np.ndarray:
    return np.random.default_rng(k).integers(-800, 900, (7, 7))


@pytest.fixture
def save_tilted(save_series: Save) -> Save:
    """Slices that drift 1.25 pixels along the columns; keywords replace elements."""

    def save(slices: list[np.ndarray], dtype: str = "<i2", **elements: Any) -> Path:
        return save_series(
            *range(len(slices)),
            Rows=ROWS,
            Columns=COLUMNS,
            BitsStored=16,
            HighBit=15,
            PixelRepresentation=int(dtype == "<i2"),
            PixelSpacing=[2, 2],
            ImagePositionPatient=lambda k: [0, 2.5 * k, 4 * k],
            PixelData=lambda k: slices[k].astype(dtype).tobytes(),
            **elements,
        )

    return save


def shifted(pixels: np.ndarray, known: np.ndarray, rows: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean of the known pixels by nearness, and where at least half of the weight is known."""
    big = [
        np.zeros((ROWS + 5, COLUMNS)),
        np.zeros((ROWS + 5, COLUMNS)),
    ]
    big[0][:ROWS], big[1][:ROWS] = np.where(known, pixels, 0), known
    total, share = (shift(image, (rows, 0), order=1) for image in big)
    inside = share > 0.5 - 1e-6
    return np.divide(total, share, out=np.zeros_like(total), where=inside), inside


def test_known_padding(shared_cases: Path) -> None:
    volume = read_volume(shared_cases / "studies/g_tilt_padding")
    # Nothing but the body (40 HU) and padding (−2000) is in the files.
    assert np.unique(volume.array).tolist() == [-2000, 40]
    assert volume.report.tilt_degrees == pytest.approx(17.745, abs=1e-3)


@pytest.mark.parametrize("padding", [-2000, -32768, 0, 3071])
def test_padding_is_not_blended_by_tilt(save_tilted: Save, padding: int) -> None:
    slices = padded_slices(padding, some_body)
    volume = read_volume(save_tilted(slices, PixelPaddingValue=padding))
    array, _ = in_file_order(volume)
    lowest = min(pixels.min() for pixels in slices)
    for k, pixels in enumerate(slices):
        values, inside = shifted(pixels, pixels != padding, 1.25 * k)
        expected = np.where(inside, np.rint(values), lowest)
        assert_allclose(array[k], expected, atol=1)
        # Not a single number that is neither of the body nor the lowest of all.
        assert_array_equal(array[k] == lowest, expected == lowest)


def test_range_of_padding(save_tilted: Save) -> None:
    """Stored 4000 to 4095 is padding; MONOCHROME1 names its limits the other way round."""
    slices = padded_slices(4000, lambda k: some_body(k) + 1000)
    slices[1][0] = 4095
    volume = read_volume(
        save_tilted(
            slices,
            "<u2",
            PixelPaddingValue=4095,
            PixelPaddingRangeLimit=4000,
            PhotometricInterpretation="MONOCHROME1",
            RescaleIntercept=-1024,
        )
    )
    assert volume.array.max() < 1900 - 1024
    assert volume.array.min() >= 200 - 1024


@pytest.mark.parametrize("form", ["US", "SS"])
def test_sign_of_padding_is_that_of_the_pixels(save_tilted: Save, form: str) -> None:
    """Writers confuse the two; 16 bits mean the same."""
    slices = padded_slices(-3024, some_body)
    folder = save_tilted(slices)
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.add_new(0x00280120, form, -3024 & 0xFFFF if form == "US" else -3024)
        data.save_as(path)
    values = np.unique(read_volume(folder).array)
    assert values[0] == -3024
    assert values[1] >= -800


def test_padding_is_stored_before_the_rescale_of_each_slice(save_tilted: Save) -> None:
    slices = padded_slices(0, lambda k: some_body(k) + 2000)
    volume = read_volume(
        save_tilted(
            slices,
            "<u2",
            PixelPaddingValue=0,
            RescaleSlope=lambda k: 1 + k / 4,
            RescaleIntercept=lambda k: -1000.0 - k,
        )
    )
    array, _ = in_file_order(volume)
    assert array.dtype == np.float32
    for k, pixels in enumerate(slices):
        values, inside = shifted(pixels * (1 + k / 4) - 1000.0 - k, pixels != 0, 1.25 * k)
        assert_allclose(array[k], np.where(inside, values, -1004), rtol=1e-5, atol=1e-3)


def test_padding_is_not_blended_between_unequal_slices(save_series: Save) -> None:
    """0, 4, 8 and 14 mm: slice 3 of the grid is half way between two, the frame differs."""
    slices = [np.full((2, 3), 100 * k) for k in range(4)]
    slices[3][0, 0] = slices[1][1, 1] = -2000
    folder = save_series(
        PixelRepresentation=1,
        BitsStored=16,
        HighBit=15,
        PixelPaddingValue=-2000,
        ImagePositionPatient=lambda k: [0, 0, (0, 4, 8, 14)[k]],
        PixelData=lambda k: slices[k].astype("<i2").tobytes(),
    )
    volume = read_volume(folder)
    array, _ = in_file_order(volume)
    assert volume.report.slice_distances_mm == (4.0, 6.0)
    assert array[1].tolist() == [[100, 100, 100], [100, -2000, 100]]
    # 12 mm is a third of the slice at 8 and two thirds of that at 14.
    assert array[3].tolist() == [[-2000, 267, 267], [267, 267, 267]]


def test_padding_stays_as_stored_where_nothing_is_interpolated(save_series: Save) -> None:
    folder = save_series(PixelPaddingValue=0)
    assert_array_equal(
        in_file_order(read_volume(folder))[0][0], pydicom.dcmread(folder / "slice0.dcm").pixel_array
    )


# Decimal commas


def with_text(path: Path, **texts: str) -> Path:
    """Write decimal strings as they are."""
    data = pydicom.dcmread(path)
    for keyword, text in texts.items():
        data.add_new(keyword, "LO", text)
        raw = data[keyword]
        data[keyword] = pydicom.DataElement(raw.tag, "LO", text.split("\\"))
    data.save_as(path)
    content = path.read_bytes()
    for keyword in texts:
        tag = pydicom.datadict.tag_for_keyword(keyword)
        assert tag is not None
        mark = tag.to_bytes(4, "little")
        mark = mark[2:] + mark[:2]
        content = content.replace(mark + b"LO", mark + b"DS")
    path.write_bytes(content)
    return path


def test_known_decimal_comma(shared_cases: Path) -> None:
    volume = read_volume(shared_cases / "studies/s05_decimal_comma")
    assert volume.spacing == (5.0, 1.5, 1.25)
    assert len(volume.report.notes) == 1
    assert "PixelSpacing" in volume.report.notes[0]


def test_decimal_commas_everywhere(save_series: Save) -> None:
    folder = save_series()
    for k, path in enumerate(sorted(folder.iterdir())):
        with_text(
            path,
            ImagePositionPatient=f"-10,5\\2,25e1\\{30 + 2.5 * k}".replace(".", ","),
            ImageOrientationPatient="0,6\\0,8\\0\\-,8\\0,6\\0,0",
            PixelSpacing="0,75\\0,5",
            SliceThickness="2,5",
            RescaleSlope="0,5",
            RescaleIntercept="-3,25",
            WindowCenter="40,5",
            WindowWidth="80,25",
        )
    volume = read_volume(folder)
    array, affine = in_file_order(volume)
    assert_allclose(affine[:3, 3], [-10.5, 22.5, 30])
    assert_allclose(affine[:3, :3], [[0.3, -0.6, 0], [0.4, 0.45, 0], [0, 0, 2.5]], atol=1e-12)
    assert_allclose(array[1], np.array([[100, 101, 102], [110, 111, 112]]) / 2 - 3.25)
    assert (volume.windows[0].center, volume.windows[0].width) == (40.5, 80.25)
    said = [note for note in volume.report.notes if "comma" in note]
    assert len(said) == 1
    for keyword in ("ImagePositionPatient", "ImageOrientationPatient", "RescaleIntercept"):
        assert keyword in said[0]


def test_a_decimal_comma_in_a_private_element_is_told_by_its_tag(save_series: Save) -> None:
    folder = save_series(0, 1)
    for path in folder.iterdir():
        data = pydicom.dcmread(path)
        data.add_new(0x00190010, "LO", "SIEMENS MR HEADER")
        data.add_new(0x0019100C, "LO", "1000,5")
        data.save_as(path)
    (series,) = list_series(folder)
    assert series.frames[0].traits.diffusion_b_value == 1000.5
    assert sum("(0019,100C)" in note for note in series.notes) == 1


@pytest.mark.parametrize("text", ["0.5,0.25", "1,5,1,25", "1,25", "0.5\\1.000,25", "half\\half"])
def test_spacing_that_could_mean_several_things_is_refused(save_series: Save, text: str) -> None:
    folder = save_series(0)
    with_text(folder / "slice0.dcm", PixelSpacing=text)
    assert refusal(folder) == (
        "Series 7: the pixel spacing is not two numbers; lengths are unknown. Not opened."
    )


def test_spacing_that_is_not_there_is_another_sentence(save_series: Save) -> None:
    assert refusal(save_series(0, PixelSpacing=None)) == (
        "Series 7: no pixel spacing; lengths are unknown. Not opened."
    )


def test_position_that_cannot_be_read_is_not_called_absent(save_series: Save) -> None:
    folder = save_series(0)
    with_text(folder / "slice0.dcm", ImagePositionPatient="left\\here")
    assert read_volume(folder).report.notes == (
        "Series 7: the patient position is not three numbers; opened as 2D, without mm.",
    )


# Nuclear medicine


@pytest.fixture
def nuclear(dicom_slice: Make) -> Make:
    """A reconstruction of n slices of 2 × 3 pixels; frame k holds 100 k + 10 row + column."""

    def make(n: int = 4, kind: str = "RECON TOMO", **elements: Any) -> Dataset:
        values: dict[str, Any] = {
            "SOPClassUID": NuclearMedicineImageStorage,
            "Modality": "NM",
            "ImageType": ["ORIGINAL", "PRIMARY", kind, "EMISSION"],
            "ImagePositionPatient": None,
            "ImageOrientationPatient": None,
            "NumberOfFrames": n,
            "PixelSpacing": [3, 2],
            "SliceThickness": 4.5,
            "SpacingBetweenSlices": 4.5,
            "SliceVector": list(range(1, n + 1)),
            "NumberOfSlices": n,
            "DetectorInformationSequence": [detector()],
            **elements,
        }
        row, column = np.mgrid[:2, :3]
        frames = 100 * np.arange(n)[:, None, None] + 10 * row + column
        for keyword in ("SliceVector", "SpacingBetweenSlices"):
            if values[keyword] is None:
                del values[keyword]
        return dicom_slice(0, **values, PixelData=frames.astype("<u2").tobytes())

    return make


def detector(*place: float, turn: tuple[float, ...] = (1, 0, 0, 0, 1, 0)) -> Dataset:
    return item(ImagePositionPatient=list(place or (5, 6, 70)), ImageOrientationPatient=list(turn))


def test_known_reconstruction(shared_cases: Path) -> None:
    folder = shared_cases / "studies/n01_nm_recon_tomo_positive"
    volume = read_volume(folder)
    array, affine = in_file_order(volume)
    assert_array_equal(array, pydicom.dcmread(folder / "nm.dcm").pixel_array)
    assert_allclose(affine[:3], [[4, 0, 0, -40], [0, 4, 0, -30], [0, 0, 4, 100]])


@pytest.mark.parametrize("spacing", [4.5, -4.5])
@pytest.mark.parametrize("turn", [(1, 0, 0, 0, 1, 0), (0, 1, 0, 0, 0, -1), (-1, 0, 0, 0, 1, 0)])
def test_sign_of_the_spacing_is_the_direction(
    tmp_path: Path, nuclear: Make, save_dicom: Save, spacing: float, turn: tuple[float, ...]
) -> None:
    data = nuclear(SpacingBetweenSlices=spacing, DetectorInformationSequence=[detector(turn=turn)])
    path = save_dicom(tmp_path / "a.dcm", data)
    volume = read_volume(tmp_path)
    array, affine = in_file_order(volume)
    assert_array_equal(array, pydicom.dcmread(path).pixel_array)
    right, down = np.array(turn[:3]), np.array(turn[3:])
    # Behind the first slice as one looks at it, or before it (PS3.3, C.8.4.15).
    step = np.cross(right, down) * spacing
    assert_allclose(affine[:3, :3], np.stack([2 * right, 3 * down, step], axis=1))
    assert_allclose(affine[:3, 3], [5, 6, 70])
    assert volume.report.notes == ()


def test_slice_vector_orders_the_frames(tmp_path: Path, nuclear: Make, save_dicom: Save) -> None:
    save_dicom(tmp_path / "a.dcm", nuclear(SliceVector=[3, 1, 4, 2]))
    volume = read_volume(tmp_path)
    array, affine = in_file_order(volume)
    first = 100 if affine[2, 2] > 0 else 200
    assert sorted(array[:, 0, 0].tolist()) == [0, 100, 200, 300]
    assert array[0, 0, 0] == first
    assert affine[2, 3] == (70 if first == 100 else 83.5)


def test_gated_reconstruction_is_an_image_for_each_time(
    tmp_path: Path, nuclear: Make, save_dicom: Save
) -> None:
    data = nuclear(
        6,
        "RECON GATED TOMO",
        SliceVector=[1, 2, 3, 1, 2, 3],
        TimeSlotVector=[1, 1, 1, 2, 2, 2],
        RRIntervalVector=[1] * 6,
        NumberOfSlices=3,
    )
    save_dicom(tmp_path / "a.dcm", data)
    first, second = list_series(tmp_path)
    for series, expected in ((first, [0, 100, 200]), (second, [300, 400, 500])):
        array, affine = in_file_order(read_volume(series))
        assert array[:, 0, 0].tolist() == expected
        assert_allclose(affine[:3, 3], [5, 6, 70])


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("TOMO", "these are projections from around the patient, not slices"),
        ("GATED TOMO", "these are projections from around the patient, not slices"),
        ("WHOLE BODY", "these are planar images, not slices"),
        ("STATIC", "these are planar images, not slices"),
        ("DYNAMIC", "these are planar images, not slices"),
    ],
)
def test_what_is_no_reconstruction_lies_nowhere(
    tmp_path: Path, nuclear: Make, save_dicom: Save, kind: str, said: str
) -> None:
    save_dicom(tmp_path / "a.dcm", nuclear(kind=kind, SliceVector=None))
    volume = read_volume(tmp_path)
    assert not volume.source.placed
    assert volume.report.notes == (f"Series 7: {said}; opened as 2D, without mm.",)


@pytest.mark.parametrize(
    ("elements", "said"),
    [
        (
            {"SpacingBetweenSlices": None},
            "the distance of its slices is not stated (SpacingBetweenSlices)",
        ),
        (
            {"DetectorInformationSequence": [detector(1, 2, 3), detector(4, 5, 6)]},
            "its detectors state different positions",
        ),
        ({"DetectorInformationSequence": [item(RadialPosition=3)]}, "no patient position"),
    ],
)
def test_reconstruction_that_states_too_little(
    tmp_path: Path, nuclear: Make, save_dicom: Save, elements: dict[str, Any], said: str
) -> None:
    save_dicom(tmp_path / "a.dcm", nuclear(**elements))
    assert read_volume(tmp_path).report.notes == (f"Series 7: {said}; opened as 2D, without mm.",)


def test_detectors_that_agree_are_one(tmp_path: Path, nuclear: Make, save_dicom: Save) -> None:
    both = [detector(1, 2, 3), detector(1, 2, 3)]
    save_dicom(tmp_path / "a.dcm", nuclear(DetectorInformationSequence=both))
    assert_allclose(in_file_order(read_volume(tmp_path))[1][:3, 3], [1, 2, 3])


# Compressed pixels


def test_jpeg_ls_that_pyjpegls_rejects(shared_cases: Path) -> None:
    path = shared_cases / "studies/public/MR1_JLSL"
    array, _ = in_file_order(read_volume(path))
    assert array.squeeze().shape == (512, 512)
    assert array.dtype == np.int16
    # Stated in the file: the smallest and the largest stored number.
    data = pydicom.dcmread(path)
    assert array.min() == data.get("SmallestImagePixelValue", array.min())


@pytest.mark.parametrize("dtype", ["<u2", "<i2"])
@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_compressed_numbers_with_and_without_a_sign(
    save_frames: Save, syntax: str, dtype: str
) -> None:
    low = -2000 if dtype == "<i2" else 0
    truth = np.random.default_rng(1).integers(low, 4000, (4, 40, 33)).astype(dtype)
    path = save_frames(truth, ImagePositionPatient=None)
    data = pydicom.dcmread(path)
    data.compress(syntax)
    data.save_as(path)
    volume = read_volume(path)
    assert_array_equal(in_file_order(volume)[0], truth)
    assert volume.report.missing == ()


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
def test_stream_that_is_cut_off_is_damaged(save_frames: Save, syntax: str) -> None:
    truth = np.random.default_rng(2).integers(0, 4000, (1, 40, 40)).astype("<u2")
    path = save_frames(truth)
    data = pydicom.dcmread(path)
    data.compress(syntax)
    (stream,) = pydicom.encaps.generate_frames(data.PixelData)
    data.PixelData = encapsulate([stream[: len(stream) // 2] + b"\xff\xd9"])
    data.save_as(path)
    assert refusal(path) == "frames.dcm: image data incomplete or damaged; skipped."


def without_its_compression(path: Path, syntax: str) -> None:
    """Let the header name the transfer syntax of plain pixels."""
    content = path.read_bytes()
    named = str(syntax).encode()
    assert named in content
    plain = str(ExplicitVRLittleEndian).encode().ljust(len(named), b"\0")
    path.write_bytes(content.replace(named, plain))


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_compression_that_the_header_does_not_name(save_frames: Save, syntax: str) -> None:
    truth = np.random.default_rng(3).integers(0, 4000, (3, 40, 33)).astype("<u2")
    path = save_frames(truth, ImagePositionPatient=None)
    data = pydicom.dcmread(path)
    data.compress(syntax)
    data.save_as(path)
    without_its_compression(path, syntax)
    volume = read_volume(path)
    assert_array_equal(in_file_order(volume)[0], truth)
    assert any("says that its pixels are not compressed" in note for note in volume.report.notes)


@pytest.mark.parametrize("has_heads", [True, False])
@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
def test_compressed_pixels_in_an_element_of_stated_length(
    save_frames: Save, syntax: str, has_heads: bool
) -> None:
    """With the heads of their fragments, or the bare stream where the pixels should be."""
    truth = np.random.default_rng(7).integers(0, 4000, (1, 40, 33)).astype("<u2")
    path = save_frames(truth, ImagePositionPatient=None)
    data = pydicom.dcmread(path)
    data.compress(syntax)
    (stream,) = pydicom.encaps.generate_frames(data.PixelData)
    plain = pydicom.dcmread(path)
    plain.PixelData = encapsulate([stream]) if has_heads else stream
    plain.save_as(path)
    volume = read_volume(path)
    assert_array_equal(in_file_order(volume)[0].squeeze(), truth[0])
    assert any("says that its pixels are not compressed" in note for note in volume.report.notes)


@pytest.mark.parametrize(
    ("syntax", "named"),
    [
        (JPEGLSLossless, JPEG2000Lossless),
        (JPEG2000Lossless, JPEGLSLossless),
        (RLELossless, JPEG2000Lossless),
        (JPEGLSLossless, JPEGBaseline8Bit),
    ],
)
def test_compression_of_another_name(save_frames: Save, syntax: str, named: str) -> None:
    truth = np.random.default_rng(4).integers(0, 4000, (2, 40, 33)).astype("<u2")
    path = save_frames(truth, ImagePositionPatient=None)
    data = pydicom.dcmread(path)
    data.compress(syntax)
    data.file_meta.TransferSyntaxUID = named
    data.save_as(path)
    volume = read_volume(path)
    assert_array_equal(in_file_order(volume)[0], truth)
    short = {JPEGLSLossless: "JPEG-LS", JPEG2000Lossless: "JPEG 2000", RLELossless: "RLE"}
    assert len(volume.report.notes) == 2
    assert f"they were read as {short[syntax]}" in volume.report.notes[0]


def test_plain_pixels_under_the_name_of_a_compression(save_frames: Save) -> None:
    truth = np.random.default_rng(5).integers(0, 4000, (2, 40, 33)).astype("<u2")
    path = save_frames(truth, ImagePositionPatient=None)
    content = path.read_bytes()
    plain = str(ExplicitVRLittleEndian).encode().ljust(20, b"\0")
    length = content.index(plain) - 2
    named = str(JPEGLSLossless).encode()
    # The element of the transfer syntax grows, and with it the length of its group.
    group = content.index(b"\2\0\0\0UL\4\0") + 8
    more = len(named) - 20
    grown = int.from_bytes(content[group : group + 4], "little") + more
    content = content[:group] + grown.to_bytes(4, "little") + content[group + 4 :]
    content = content[:length] + len(named).to_bytes(2, "little") + named + content[length + 22 :]
    path.write_bytes(content)
    volume = read_volume(path)
    assert_array_equal(in_file_order(volume)[0], truth)
    assert any("not compressed" in note for note in volume.report.notes)


def test_known_compression_that_the_header_does_not_name(shared_cases: Path) -> None:
    path = shared_cases / "studies/public/GH1376.dcm"
    volume = read_volume(path)
    array, _ = in_file_order(volume)
    assert array.squeeze().shape == (2457, 1890)
    # The same stream under its own transfer syntax, by pydicom.
    data = pydicom.dcmread(path)
    data.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.70"
    assert_array_equal(array.squeeze(), data.pixel_array)
    assert "JPEG Lossless" in volume.report.notes[0]


def test_compression_that_nothing_names_is_refused(save_frames: Save) -> None:
    path = save_frames(np.zeros((1, 4, 4), "<u2"))
    data = pydicom.dcmread(path)
    data.PixelData = encapsulate([b"\1\2\3\4" * 20])
    data.file_meta.TransferSyntaxUID = JPEGLSLossless
    data.save_as(path)
    without_its_compression(path, JPEGLSLossless)
    assert refusal(path) == (
        "Series 7: its pixels are compressed, but its header names no compression and they do not"
        " show which it is. Not opened."
    )


# Objects without an image


def test_known_private_object(shared_cases: Path) -> None:
    assert read_frames(shared_cases / "studies/public/XX_0546") is NotAnImage.OTHER_OBJECT


@pytest.mark.parametrize(
    ("sop_class", "is_image"),
    [
        ("1.3.46.670589.11.0.0.12.4", False),
        ("1.3.12.2.1107.5.9.1", False),
        ("1.2.840.10008.5.1.4.1.1.66", False),
        ("1.2.840.10008.5.1.4.1.1.4.2", False),
        ("1.2.840.10008.5.1.4.1.1.2", True),
        ("1.2.840.10008.5.1.4.1.1.66.4", True),
        ("1.2.840.10008.5.1.4.1.1.481.2", True),
        (LABEL_MAP, True),
    ],
)
def test_object_without_pixels_is_damaged_only_where_it_is_an_image(
    tmp_path: Path, dicom_slice: Make, save_dicom: Save, sop_class: str, is_image: bool
) -> None:
    save_dicom(tmp_path / "a.dcm", dicom_slice(0, SOPClassUID=sop_class, PixelData=None))
    found = read_frames(tmp_path / "a.dcm")
    assert isinstance(found, list) == is_image
    assert (found is NotAnImage.OTHER_OBJECT) != is_image


def test_image_of_a_private_class_is_opened(save_series: Save) -> None:
    folder = save_series(SOPClassUID="1.2.840.113619.4.30")
    assert in_file_order(read_volume(folder))[0][:, 0, 0].tolist() == [0, 100, 200, 300]
