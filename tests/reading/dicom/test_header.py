"""What a file's header says of its frames: RT dose, look-up tables, X-rays, files that are none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from napari_ifa.reading import list_series, read_volume
from napari_ifa.reading.dicom.header.frame_table import NotAnImage, read_frames
from tests.dicom_parts import item

Save = Callable[..., Path]
Make = Callable[..., Dataset]


def copied(name: str, folder: Path, **elements: Any) -> Path:
    data = pydicom.dcmread(get_testdata_file(name, download=False))
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    data.save_as(folder / name)
    return folder / name


def test_planes_of_a_dose_lie_at_their_offsets(tmp_path: Path) -> None:
    path = copied("rtdose.dcm", tmp_path)
    data = pydicom.dcmread(path)
    volume = read_volume(path)
    dose = data.pixel_array * float(data.DoseGridScaling)
    x, y, z = (float(v) for v in data.ImagePositionPatient)
    height, width = (float(v) for v in data.PixelSpacing)
    to_index = np.linalg.inv(volume.affine)
    for plane, offset in enumerate(data.GridFrameOffsetVector):
        for row, column in ((0, 0), (3, 7), (9, 9)):
            point = [x + width * column, y + height * row, z + float(offset), 1]
            index = tuple(np.rint((to_index @ point)[:3]).astype(int))
            assert volume.array[index] == pytest.approx(dose[plane, row, column])


def test_offsets_of_a_dose_may_be_the_planes_own_heights(tmp_path: Path) -> None:
    plain = read_volume(copied("rtdose.dcm", tmp_path))
    (tmp_path / "own").mkdir()
    data = pydicom.dcmread(get_testdata_file("rtdose.dcm", download=False))
    z = float(data.ImagePositionPatient[2])
    heights = [z + float(offset) for offset in data.GridFrameOffsetVector]
    own = read_volume(copied("rtdose.dcm", tmp_path / "own", GridFrameOffsetVector=heights))
    np.testing.assert_allclose(own.affine, plain.affine)
    np.testing.assert_array_equal(own.array, plain.array)


def test_dose_without_offsets_has_no_place(tmp_path: Path) -> None:
    (series,) = list_series(copied("rtdose.dcm", tmp_path, GridFrameOffsetVector=None))
    assert series.orientation == "2D stack"


def test_offsets_of_a_dose_that_contradict_its_position_give_no_place(tmp_path: Path) -> None:
    data = pydicom.dcmread(get_testdata_file("rtdose.dcm", download=False))
    # Neither counted from the first plane nor, as it seems, heights.
    beside = float(data.ImagePositionPatient[2]) + 48
    offsets = [beside + float(offset) for offset in data.GridFrameOffsetVector]
    (series,) = list_series(copied("rtdose.dcm", tmp_path, GridFrameOffsetVector=offsets))
    assert series.orientation == "2D stack"


def test_values_go_through_the_modality_table(save_series: Save) -> None:
    table = item(LUTDescriptor=[4, 1, 16], ModalityLUTType="HU")
    table.add_new(0x00283006, "US", [1000, 2000, 3000, 4000])
    volume = read_volume(save_series(0, ModalityLUTSequence=[table]))
    # Stored 0, 1, 2 and 10, 11, 12: the table begins at 1 and is held at both ends.
    np.testing.assert_array_equal(volume.array, [[[1000, 1000, 2000], [4000, 4000, 4000]]])


def test_a_table_of_65536_entries_says_0(save_series: Save) -> None:
    table = item(LUTDescriptor=[0, 0, 16], ModalityLUTType="US")
    table.add_new(0x00283006, "OW", np.arange(65536, dtype="<u2")[::-1].tobytes())
    volume = read_volume(save_series(0, ModalityLUTSequence=[table]))
    assert volume.array[0, 0].tolist() == [65535, 65534, 65533]


def test_ge_names_complex_parts_by_number(save_series: Save) -> None:
    from pydicom.dataelem import DataElement

    folder = save_series(*range(4), ImagePositionPatient=lambda n: [0, 0, 2 * (n % 2)])
    for n, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        data.private_block(0x0043, "GEMS_PARM_01", create=True)
        data.add(DataElement(0x0043102F, "SS", [0, 1][n // 2]))
        data.save_as(path)
    assert {s.part for s in list_series(folder)} == {"magnitude", "phase"}


def test_siemens_b_values(save_series: Save) -> None:
    folder = save_series(*range(4), ImagePositionPatient=lambda n: [0, 0, 2 * (n % 2)])
    for n, path in enumerate(sorted(folder.iterdir())):
        data = pydicom.dcmread(path)
        block = data.private_block(0x0019, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0C, "IS", ["0", "800"][n // 2])
        data.save_as(path)
    assert [s.part for s in list_series(folder)] == ["b 0", "b 800"]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", NotAnImage.OTHER_FILE),
        (b"just text, and enough of it to be looked at" * 9, NotAnImage.OTHER_FILE),
        (b"\0" * 128 + b"DICM", NotAnImage.OTHER_OBJECT),
    ],
    ids=["empty", "text", "nothing behind the mark"],
)
def test_files_that_are_no_images(tmp_path: Path, content: bytes, why: NotAnImage) -> None:
    (tmp_path / "a").write_bytes(content)
    assert read_frames(tmp_path / "a") is why


def test_no_folder_is_named_where_a_library_warns(tmp_path: Path) -> None:
    folder = tmp_path / "DOE^JANE"
    folder.mkdir()
    (folder / "a").write_bytes(b"\0" * 128 + b"DICM" + b"\xff" * 40)
    with pytest.warns(UserWarning, match="End of file") as caught:
        rows = read_frames(folder / "a")
    assert isinstance(rows, NotAnImage)
    assert not any("DOE" in str(warning.message) for warning in caught)


def test_a_claimed_length_is_not_allocated(tmp_path: Path) -> None:
    import tracemalloc

    content = bytearray(Path(get_testdata_file("CT_small.dcm", download=False)).read_bytes())
    # Series Description, LO: made an element of unknown kind and of nearly 4 GiB.
    at = content.index(b"\x08\x00\x3e\x10LO") if b"\x08\x00\x3e\x10LO" in content else 600
    content[at : at + 12] = b"\x08\x00\x3e\x10UN\0\0" + (0xFFFFFF00).to_bytes(4, "little")
    (tmp_path / "a").write_bytes(content)
    tracemalloc.start()
    read_frames(tmp_path / "a")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 2**20


@pytest.mark.parametrize("size", [60_000, 2**16 - 700, 2**16 - 300, 2**16, 200_000])
@pytest.mark.parametrize("tag", [0x00091010, 0x00281101])
def test_headers_of_any_length_are_read_to_their_end(
    dicom_slice: Callable[..., Dataset],
    save_dicom: Callable[..., Path],
    tmp_path: Path,
    size: int,
    tag: int,
) -> None:
    short = save_dicom(tmp_path / "short.dcm", dicom_slice(0, SOPInstanceUID="1.2.3"))
    data = dicom_slice(0, SOPInstanceUID="1.2.3")
    data.add_new(tag, "OB", bytes(size))
    long = save_dicom(tmp_path / "long.dcm", data)
    (expected,), (frame,) = read_frames(short), read_frames(long)
    names = (
        "image_position_patient",
        "image_orientation_patient",
        "pixel_spacing",
        "rescale_slope",
    )
    for name in (*names, "rows", "traits"):
        assert getattr(frame, name) == getattr(expected, name)
    assert frame.image.pixels.complete
    assert frame.image.pixels.offset == long.stat().st_size - frame.image.pixels.length
