"""From frames to values: every encoding, multi-frame, tiles, damage, and what is allocated."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.encaps import encapsulate, fragment_frame, generate_frames, itemize_fragment
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from napari_ifa.errors import Cancelled, UnsupportedStudyError
from napari_ifa.reading.dicom.header.frames import LookupTable
from napari_ifa.reading.dicom.pixels.stack_values import read_stack
from napari_ifa.reading.dicom.series.stack import Resampling, Stack
from napari_ifa.reading.problems import DicomProblem
from napari_ifa.volumes.problems import ImageProblem
from tests.problems import refused

Call = Callable[..., Any]


def some_frames(dtype: str = "<u2", count: int = 4, rows: int = 33, columns: int = 40) -> Any:
    """[frame, row, column], every value at another place."""
    flat = np.arange(count * rows * columns) * 3 % 4001
    return flat.reshape(count, rows, columns).astype(dtype)


def stack(*frames: Any, **more: Any) -> Stack:
    return Stack(frames, np.eye(4), **more)


# Uncompressed


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", "<i2", "<u4", "<i4"])
def test_frames_are_found_by_their_number(
    save_frames: Call, frames_of: Call, read: Call, dtype: str
) -> None:
    expected = some_frames(dtype)
    frames = frames_of(save_frames(expected))
    array = read(*frames)
    assert array.dtype == np.int16
    np.testing.assert_array_equal(array, expected)
    # Order and choice are the stack's.
    np.testing.assert_array_equal(read(frames[2], frames[0]), expected[[2, 0]])


def test_one_bit_frames_that_begin_inside_a_byte(
    save_frames: Call, frames_of: Call, read: Call
) -> None:
    # 3 × 5 pixels are 15 bits: the second frame begins at the last bit of the second byte.
    expected = np.random.default_rng(1).integers(0, 2, (5, 3, 5)).astype(np.uint8)
    packed = np.packbits(expected.ravel(), bitorder="little").tobytes()
    path = save_frames(expected, BitsAllocated=1, BitsStored=1, HighBit=0, PixelData=packed)
    np.testing.assert_array_equal(read(*frames_of(path)), expected)


@pytest.mark.parametrize(
    ("keyword", "dtype"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")]
)
def test_floating_point_pixels(
    tmp_path: Path,
    dicom_slice: Call,
    save_dicom: Call,
    frames_of: Call,
    read: Call,
    keyword: str,
    dtype: str,
) -> None:
    expected = (some_frames() / 7 - 100).astype(dtype)
    bits = 8 * expected.itemsize
    data = dicom_slice(0, PixelData=None, BitsAllocated=bits, BitsStored=bits, HighBit=bits - 1)
    data.NumberOfFrames, data.Rows, data.Columns = expected.shape
    setattr(data, keyword, expected.tobytes())
    frames = frames_of(save_dicom(tmp_path / "float.dcm", data))
    array = read(*frames)
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, expected.astype(np.float32))
    np.testing.assert_allclose(
        read(replace(frames[1], rescale_slope=2.0))[0], 2 * expected[1], rtol=1e-6
    )


def test_lowest_finite_value_fills_a_missing_slice_of_floats(
    tmp_path: Path, dicom_slice: Call, save_dicom: Call, frames_of: Call, read: Call
) -> None:
    data = dicom_slice(0, PixelData=None, BitsAllocated=32, BitsStored=32, HighBit=31)
    data.FloatPixelData = np.array([np.nan, -np.inf, 2, 3, 4, np.inf], "<f4").tobytes()
    (frame,) = frames_of(save_dicom(tmp_path / "float.dcm", data))
    array = read(frame, None, frame)
    assert (array[1] == 2).all()
    assert np.isnan(array[0, 0, 0])


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "u4"])
@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, ExplicitVRBigEndian, DeflatedExplicitVRLittleEndian],
    ids=["implicit", "big-endian", "deflated"],
)
def test_uncompressed_transfer_syntaxes(
    save_frames: Call, frames_of: Call, read: Call, syntax: str, dtype: str
) -> None:
    # An odd number of bytes in a frame: in big-endian words, pairs go across two frames.
    expected = some_frames(dtype, count=3, rows=3, columns=5)
    big = syntax == ExplicitVRBigEndian
    stored = expected.astype(expected.dtype.newbyteorder(">" if big else "<")).tobytes()
    if big and expected.itemsize == 1:
        stored = np.frombuffer(stored + b"\0", "<u2").byteswap().tobytes()
    path = save_frames(expected, syntax=syntax, PixelData=stored, form="OW")
    frames = frames_of(path)
    np.testing.assert_array_equal(read(*frames), expected)
    np.testing.assert_array_equal(read(frames[1]), expected[1:2])


def test_big_endian_bytes_that_are_no_words(tmp_path: Path, frames_of: Call, read: Call) -> None:
    data = pydicom.dcmread(pydicom.data.get_testdata_file("liver_expb_1frame.dcm", download=False))
    assert data["PixelData"].VR == "OB"
    data.BitsAllocated = data.BitsStored = 8
    data.HighBit = 7
    data.Rows, data.Columns = 128, 256
    data.save_as(tmp_path / "bytes.dcm")
    expected = np.frombuffer(data.PixelData, np.uint8).reshape(1, 128, 256)
    np.testing.assert_array_equal(read(*frames_of(tmp_path / "bytes.dcm")), expected)


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_implicit.dcm",
        "MR_small_padded.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jp2klossless.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "JPEGLSNearLossless_08.dcm",
        "JPEGLSNearLossless_16.dcm",
        "693_J2KI.dcm",
        "J2K_pixelrep_mismatch.dcm",
        "JPEG2000.dcm",
        "image_dfl.dcm",
        "liver_1frame.dcm",
        "liver_expb_1frame.dcm",
        "rtdose.dcm",
        "rtdose_expb.dcm",
        "rtdose_rle.dcm",
        "examples_overlay.dcm",
    ],
)
def test_files_of_pydicom_read_as_pydicom_reads_them(
    pydicom_file: Call, frames_of: Call, read: Call, name: str
) -> None:
    expected = pydicom.dcmread(pydicom_file(name)).pixel_array
    array = read(*frames_of(pydicom_file(name)))
    np.testing.assert_array_equal(array, expected.reshape(array.shape).astype(array.dtype))


# Compressed


@pytest.mark.parametrize("dtype", ["u1", "<u2", "<i2"])
@pytest.mark.parametrize(
    ("syntax", "layout"),
    [
        (RLELossless, "offset table"),
        (RLELossless, "one fragment each"),
        (JPEG2000Lossless, "offset table"),
        (JPEG2000Lossless, "one fragment each"),
        (JPEG2000Lossless, "three fragments each"),
        (JPEGLSLossless, "three fragments each"),
    ],
)
def test_frames_in_fragments(
    save_frames: Call, frames_of: Call, read: Call, syntax: str, dtype: str, layout: str
) -> None:
    expected = some_frames(dtype)
    path = save_frames(expected)
    data = pydicom.dcmread(path)
    data.compress(syntax, generate_instance_uid=False)
    streams = list(generate_frames(data.PixelData, number_of_frames=len(expected)))
    if layout == "offset table":
        each = 1 if syntax == RLELossless else 3
        data.PixelData = encapsulate(streams, fragments_per_frame=each)
    elif layout == "one fragment each":
        data.PixelData = encapsulate(streams, has_bot=False)
    else:
        # Nothing but the end of a stream says where a frame ends.
        data.PixelData = b"\xfe\xff\x00\xe0\0\0\0\0" + b"".join(
            itemize_fragment(piece) for stream in streams for piece in fragment_frame(stream, 3)
        )
    data["PixelData"].is_undefined_length = True
    data.save_as(path)
    frames = frames_of(path)
    np.testing.assert_array_equal(read(*frames), expected)
    np.testing.assert_array_equal(read(frames[3], frames[1]), expected[[3, 1]])


def test_one_frame_in_many_fragments(save_frames: Call, frames_of: Call, read: Call) -> None:
    expected = some_frames(count=1)
    path = save_frames(expected)
    data = pydicom.dcmread(path)
    data.compress(JPEG2000Lossless, generate_instance_uid=False)
    (stream,) = generate_frames(data.PixelData, number_of_frames=1)
    data.PixelData = encapsulate([stream], fragments_per_frame=5, has_bot=False)
    data.save_as(path)
    np.testing.assert_array_equal(read(*frames_of(path)), expected)


def test_near_lossless_is_within_its_error(save_frames: Call, frames_of: Call, read: Call) -> None:
    expected = some_frames(count=1)
    path = save_frames(expected)
    data = pydicom.dcmread(path)
    data.compress(JPEGLSNearLossless, jls_error=2, generate_instance_uid=False)
    data.save_as(path)
    difference = np.abs(read(*frames_of(path)) - expected.astype(int))
    assert difference.max() == 2


def test_baseline_is_as_pillow_decodes_it(save_frames: Call, frames_of: Call, read: Call) -> None:
    smooth = np.clip(some_frames("i4", count=1) // 16, 0, 255).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(smooth[0]).save(stream, "JPEG")
    path = save_frames(smooth, syntax=JPEGBaseline8Bit, PixelData=encapsulate([stream.getvalue()]))
    expected = np.asarray(Image.open(stream))
    np.testing.assert_array_equal(read(*frames_of(path))[0], expected)


#: Made with OpenJPH: 8 rows × 16 columns of 100 row + column, 16 bits without a sign.
HTJ2K_STREAM = """
ff4fff5100294000000000100000000800000000000000000000001000000008000000000000000000010f0101ff5000
0800020000000aff52000c00020001000504044001ff5c00132088909090909090909090909090888888ff6400170001
4f70656e4a50482056657220302e32362e332eff90000a0000000000650001ff93c000262dfe0507740000c0001280f0
00c77400c0001240001380f81133008e3bfe00823400c0001240001540fc927300c0818181000840a75600c000258000
5a20f0e60be400c646a3d168341ae808407bf62101ecba00ffd9
"""


def test_high_throughput_jpeg_2000(save_frames: Call, frames_of: Call, read: Call) -> None:
    row, column = np.mgrid[:8, :16]
    expected = (100 * row + column).astype("<u2")[None]
    stream = encapsulate([bytes.fromhex(HTJ2K_STREAM)])
    path = save_frames(expected, syntax=HTJ2KLossless, PixelData=stream)
    np.testing.assert_array_equal(read(*frames_of(path)), expected)


# Values


def test_slope_and_intercept_of_each_frame(save_frames: Call, frames_of: Call, read: Call) -> None:
    first, second = frames_of(save_frames(some_frames(count=2)))
    array = read(
        replace(first, rescale_slope=2.0, rescale_intercept=-1.0),
        replace(second, rescale_slope=0.5),
    )
    assert array.dtype == np.float32
    # Stored: 3 (40 row + column) and 3 (1320 + 40 row + column), modulo 4001.
    assert array[0, 1, 2] == 2 * 126 - 1
    assert array[1, 1, 2] == 0.5 * 85


@pytest.mark.parametrize(
    ("table", "expected", "dtype"),
    [
        ((5.0, -7.0, 300.0), [5, 5, -7, 300, 300, 300], np.int16),
        ((0.5, 1.5, 2.5), [0.5, 0.5, 1.5, 2.5, 2.5, 2.5], np.float32),
        ((np.nan, 1.0, 2.0), [np.nan, np.nan, 1, 2, 2, 2], np.float32),
        ((0.0, 1.0, 40000.0), [0, 0, 1, 40000, 40000, 40000], np.float32),
    ],
)
def test_lookup_table_is_clamped_at_both_ends(
    save_series: Call,
    frames_of: Call,
    read: Call,
    table: tuple[float, ...],
    expected: list[float],
    dtype: Any,
) -> None:
    folder = save_series(0, PixelData=np.array([9, 10, 11, 12, 13, 4095], "<u2").tobytes())
    (frame,) = frames_of(folder / "slice0.dcm")
    looked_up = replace(frame, image=replace(frame.image, lookup_table=LookupTable(10, table)))
    array = read(looked_up)
    assert array.dtype == dtype
    np.testing.assert_array_equal(array.ravel(), expected)


def test_monochrome1_is_not_inverted(save_frames: Call, frames_of: Call, read: Call) -> None:
    expected = some_frames(count=1)
    path = save_frames(expected, PhotometricInterpretation="MONOCHROME1")
    np.testing.assert_array_equal(read(*frames_of(path)), expected)


@pytest.mark.parametrize("syntax", [None, RLELossless], ids=["plain", "rle"])
@pytest.mark.parametrize("signed", [0, 1])
def test_bits_beside_the_stored_ones_are_cleared(
    save_frames: Call, frames_of: Call, read: Call, syntax: str | None, signed: int
) -> None:
    """Bits 2 to 13 hold the value, the others hold an overlay."""
    values = np.array([[[-2048, -1, 0], [1, 1000, 2047]]])
    if not signed:
        values = values + 2048
    stored = ((values & 0xFFF) << 2 | 0xC003).astype("<u2")
    path = save_frames(stored, BitsStored=12, HighBit=13, PixelRepresentation=signed)
    if syntax:
        data = pydicom.dcmread(path)
        data.compress(syntax)
        data.save_as(path)
    np.testing.assert_array_equal(read(*frames_of(path)), values)


# Tiles


@pytest.mark.parametrize("syntax", [None, JPEG2000Lossless], ids=["plain", "jpeg2000"])
def test_tiles_are_cut_from_a_frame_that_is_decoded_once(
    save_frames: Call,
    frames_of: Call,
    read: Call,
    monkeypatch: pytest.MonkeyPatch,
    syntax: str | None,
) -> None:
    stored = some_frames(count=1, rows=60, columns=80)
    path = save_frames(stored)
    if syntax:
        data = pydicom.dcmread(path)
        data.compress(syntax)
        data.save_as(path)
    (frame,) = frames_of(path, rows=20, columns=40)
    places = [(0, 0), (0, 40), (20, 0), (20, 40), (40, 0)]
    counted = count_decoding(monkeypatch)
    array = read(*(replace(frame, tile=place) for place in places))
    assert len(counted) == 1
    for tile, (row, column) in zip(array, places, strict=True):
        np.testing.assert_array_equal(tile, stored[0, row : row + 20, column : column + 40])


def count_decoding(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from napari_ifa.reading.dicom.pixels import stack_values as pixels

    calls = []
    for name in ("native_frame", "compressed_frame"):
        real = getattr(pixels, name)

        def counting(*args: Any, real: Any = real, name: str = name) -> Any:
            calls.append(name)
            return real(*args)

        monkeypatch.setattr(pixels, name, counting)
    return calls


def test_tile_outside_of_its_frame_is_damaged(save_frames: Call, frames_of: Call) -> None:
    (frame,) = frames_of(save_frames(some_frames(count=1)), rows=20, columns=20)
    places = [(0, 0), (20, 0), (-25, 0), (0, -25)]
    values, damaged = read_stack(stack(*(replace(frame, tile=place) for place in places)))
    assert damaged == (1, 2, 3)
    assert (values[..., 1:] == 0).all()


# Missing and damaged slices


def test_missing_slices_hold_the_lowest_value(
    save_frames: Call, frames_of: Call, read: Call
) -> None:
    first, second = frames_of(save_frames(some_frames("<i2", count=2) - 50))
    array = read(first, None, None, replace(second, rescale_intercept=-1000.0))
    stored = some_frames("<i2", count=2) - 50
    assert (array[1:3] == stored[1].min() - 1000).all()
    np.testing.assert_array_equal(array[0], stored[0])


def test_damaged_slices_are_named_and_blank(save_series: Call, frames_of: Call) -> None:
    folder = save_series()
    frames = [frames_of(folder / f"slice{k}.dcm")[0] for k in range(4)]
    (folder / "slice1.dcm").write_bytes(b"")
    (folder / "slice3.dcm").unlink()
    values, damaged = read_stack(stack(*frames))
    assert damaged == (1, 3)
    assert values[:, :, 0].T.tolist() == [[0, 1, 2], [10, 11, 12]]
    assert values[:, :, 2].T.tolist() == [[200, 201, 202], [210, 211, 212]]
    assert (values[:, :, [1, 3]] == 0).all()


def test_multi_frame_file_that_was_cut_off_keeps_its_whole_frames(
    save_frames: Call, frames_of: Call
) -> None:
    expected = some_frames()
    path = save_frames(expected)
    path.write_bytes(path.read_bytes()[: -expected[0].nbytes - 1])
    values, damaged = read_stack(stack(*frames_of(path)))
    assert damaged == (2, 3)
    np.testing.assert_array_equal(values.T[:2], expected[:2])
    assert (values.T[2:] == expected[:2].min()).all()


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, RLELossless], ids=["jpeg2000", "rle"])
@pytest.mark.parametrize("table", [True, False])
def test_compressed_file_that_was_cut_off_keeps_its_whole_frames(
    save_frames: Call, frames_of: Call, syntax: str, table: bool
) -> None:
    expected = some_frames()
    path = save_frames(expected)
    data = pydicom.dcmread(path)
    data.compress(syntax, generate_instance_uid=False)
    streams = list(generate_frames(data.PixelData, number_of_frames=len(expected)))
    data.PixelData = encapsulate(streams, has_bot=table)
    data.save_as(path)
    path.write_bytes(path.read_bytes()[:-20])
    values, damaged = read_stack(stack(*frames_of(path)))
    assert damaged == (3,)
    np.testing.assert_array_equal(values.T[:3], expected[:3])


def test_single_damaged_image_is_one_sentence(save_series: Call, frames_of: Call) -> None:
    folder = save_series(0)
    (frame,) = frames_of(folder / "slice0.dcm")
    (folder / "slice0.dcm").write_bytes(b"")
    with refused(UnsupportedStudyError, DicomProblem.DAMAGED, file="slice0.dcm"):
        read_stack(stack(frame))


def test_nothing_but_damage_is_one_sentence(save_series: Call, frames_of: Call) -> None:
    folder = save_series(0, 1)
    frames = [frames_of(folder / f"slice{k}.dcm")[0] for k in range(2)]
    for path in folder.iterdir():
        path.write_bytes(b"")
    with refused(UnsupportedStudyError, DicomProblem.DAMAGED, file="slice0.dcm"):
        read_stack(stack(frames[0], None, frames[1]))


def test_damage_in_slices_that_are_interpolated_is_one_sentence(
    save_series: Call, frames_of: Call
) -> None:
    folder = save_series(0, 1)
    frames = [frames_of(folder / f"slice{k}.dcm")[0] for k in range(2)]
    (folder / "slice1.dcm").write_bytes(b"")
    resampling = Resampling((3, 2, 2), np.array([0.0, 1.0]), np.zeros((2, 2)))
    with refused(UnsupportedStudyError, DicomProblem.DAMAGED, file="slice1.dcm"):
        read_stack(stack(*frames, resampling=resampling))


# What a header may claim


@pytest.mark.parametrize(
    "syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless], ids=["jpeg2000", "jpegls", "rle"]
)
def test_stream_of_another_size_is_not_decoded(
    save_frames: Call, frames_of: Call, monkeypatch: pytest.MonkeyPatch, syntax: str
) -> None:
    path = save_frames(some_frames(count=1))
    data = pydicom.dcmread(path)
    data.compress(syntax)
    data.Rows, data.Columns = 3000, 4000
    data.save_as(path)
    frames = frames_of(path)
    decoder = "napari_ifa.reading.dicom.pixels.decoding.encapsulate"
    if syntax == JPEGLSLossless:
        decoder = "imagecodecs.jpegls_decode"
    decoded: list[object] = []
    monkeypatch.setattr(decoder, decoded.append)
    with refused(UnsupportedStudyError, DicomProblem.DAMAGED):
        read_stack(stack(*frames))
    assert decoded == []
    # The same, where the header tells the truth.
    image = replace(frames[0].image, rows=33, columns=40)
    with pytest.raises(UnsupportedStudyError):
        read_stack(stack(replace(frames[0], rows=33, columns=40, image=image)))
    assert decoded


def test_absurd_claims_allocate_nothing(
    save_frames: Call, frames_of: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_frames(some_frames(count=1))
    (frame,) = frames_of(path)
    image = replace(frame.image, rows=30000, columns=30000, number_of_frames=30000)
    frame = replace(frame, image=image, rows=30000, columns=30000)
    frames = [replace(frame, index=k) for k in range(30000)]
    monkeypatch.setattr(np, "empty", None)
    with refused(UnsupportedStudyError, ImageProblem.TOO_LARGE, shape=(30000, 30000, 30000)):
        read_stack(stack(*frames))
    # What fits this computer is held against the data that are there.
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=2**60))
    with refused(UnsupportedStudyError, DicomProblem.DAMAGED):
        read_stack(stack(*frames[:50]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"rows": 0, "columns": 0},
        {"bits_allocated": 0},
        {"bits_allocated": 12},
        {"bits_allocated": 65535},
        {"bits_stored": 0, "high_bit": 65535},
        {"bits_stored": 17, "high_bit": 16},
        {"bits_stored": 12, "high_bit": 10},
        {"samples_per_pixel": 65535},
        {"photometric_interpretation": "PALETTE COLOR"},
        {"lookup_table": LookupTable(0, ())},
    ],
    ids=str,
)
def test_contradictions_of_a_header_are_one_sentence(
    save_frames: Call, frames_of: Call, wrong: dict[str, Any]
) -> None:
    (frame,) = frames_of(save_frames(some_frames(count=1)))
    image = replace(frame.image, **wrong)
    frame = replace(frame, image=image, rows=image.rows, columns=image.columns)
    with pytest.raises(UnsupportedStudyError) as caught:
        read_stack(stack(frame))
    assert str(caught.value).endswith(".")


def test_size_beside_memory_counts_what_a_decoder_needs(
    save_frames: Call, frames_of: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    (frame,) = frames_of(save_frames(some_frames(count=1, rows=600, columns=800)))
    # 600 × 800 numbers of 2 bytes fit; the 8 bytes a decoder may hold for each do not.
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(total=4_000_000))
    with refused(UnsupportedStudyError, ImageProblem.TOO_LARGE, shape=(600, 800, 1)):
        read_stack(stack(frame))


# Progress


def test_progress_counts_stored_frames_and_stop_ends_the_work(
    save_frames: Call, frames_of: Call
) -> None:
    frames = frames_of(save_frames(some_frames()))
    seen: list[tuple[int, int]] = []
    read_stack(stack(*frames), progress=lambda done, of: seen.append((done, of)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    with pytest.raises(Cancelled):
        read_stack(stack(*frames), stop=lambda: True)


def test_array_is_read_in_one_piece(save_frames: Call, frames_of: Call) -> None:
    """Twice the memory of the image would show here: frames are read into their place."""
    import tracemalloc

    frames = frames_of(save_frames(some_frames(count=40, rows=256, columns=256)))
    read_stack(stack(*frames))
    tracemalloc.start()
    values, _ = read_stack(stack(*frames))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert values.nbytes <= peak < 1.2 * values.nbytes
