"""A deflated data set is read as a stream: in any order, in little memory, whatever it claims."""

from __future__ import annotations

import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading.dicom.header.deflated import inflated, read_deflated_header
from napari_ifa.reading.dicom.pixels.stack_values import read_stack
from napari_ifa.reading.dicom.series.stack import Stack
from napari_ifa.reading.problems import DicomProblem
from tests.problems import refused

Call = Callable[..., Any]

META = b"\x02\x00\x10\x00UI\x02\x001\0" + b"\x02\x00\x02\x01OB\0\0\x04\0\0\0abcd"


def deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize("preamble", [bytes(128) + b"DICM", b""], ids=["preamble", "bare"])
def test_bytes_in_any_order(tmp_path: Path, preamble: bytes) -> None:
    data = np.random.default_rng(7).bytes(300_000) + bytes(300_000)
    path = tmp_path / "deflated"
    path.write_bytes(preamble + META + deflate(data))
    with path.open("rb") as file:
        stream = inflated(file)
        assert stream.read(10) == data[:10]
        assert stream.seek(500_000) == 500_000
        assert stream.read(10) == data[500_000:500_010]
        stream.seek(-400_000, 1)
        assert stream.read(20) == data[100_010:100_030]
        assert stream.seek(0, 2) == len(data)
        assert stream.read(1) == b""
        stream.seek(0)
        assert stream.read() == data


@pytest.mark.parametrize("damage", [b"", b"\xff" * 50])
def test_damaged_data_end_the_stream(tmp_path: Path, damage: bytes) -> None:
    data = np.random.default_rng(8).bytes(200_000)
    whole = deflate(data)
    path = tmp_path / "deflated"
    path.write_bytes(META + whole[: len(whole) // 2] + damage)
    with path.open("rb") as file:
        found = inflated(file).read()
    assert 0 < len(found) < len(data)
    assert data.startswith(found[:90_000])


def test_small_file_that_inflates_to_gigabytes(tmp_path: Path) -> None:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    piece = bytes(2**20)
    path = tmp_path / "bomb"
    with path.open("wb") as file:
        file.write(META)
        for _ in range(100):
            file.write(compressor.compress(piece))
        file.write(compressor.flush())
    tracemalloc.start()
    with path.open("rb") as file:
        assert inflated(file).seek(0, 2) == 100 * 2**20
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_stream_is_not_followed_beyond_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "deflated"
    path.write_bytes(META + deflate(bytes(5000)))
    with path.open("rb") as file:
        stream = inflated(file, 1000)
        assert stream.seek(0, 2) == 1000
        stream.seek(4000)
        assert stream.read(1) == b""


# The header


def test_header_is_the_one_that_pydicom_reads(pydicom_file: Call) -> None:
    path = pydicom_file("image_dfl.dcm")
    expected = pydicom.dcmread(path, stop_before_pixels=True)
    with path.open("rb") as file:
        header = read_deflated_header(file, [0x00280010, 0x00280011, 0x00080060])
    assert header is not None
    assert (header.Rows, header.Columns, header.Modality) == (512, 512, expected.Modality)
    assert header.file_meta == expected.file_meta
    assert header.original_encoding == expected.original_encoding
    assert len(header) == 3


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "no_meta.dcm", "ExplVR_BigEndNoMeta.dcm", "meta_missing_tsyntax.dcm"]
)
def test_other_files_are_left_to_pydicom(pydicom_file: Call, name: str) -> None:
    with pydicom_file(name).open("rb") as file:
        assert read_deflated_header(file, [0x00280010]) is None


def test_meta_without_forms(pydicom_file: Call, tmp_path: Path) -> None:
    with pydicom_file("image_dfl.dcm").open("rb") as file:
        data = inflated(file).read()
    uid = DeflatedExplicitVRLittleEndian.encode()
    path = tmp_path / "implicit.dcm"
    meta = b"\x02\x00\x10\x00" + len(uid).to_bytes(4, "little") + uid
    path.write_bytes(bytes(128) + b"DICM" + meta + deflate(data))
    with path.open("rb") as file:
        header = read_deflated_header(file, [0x00280010])
    assert header is not None
    assert header.Rows == 512


def test_header_that_inflates_to_gigabytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A modality of four gigabytes, of which 30 MB are there."""
    monkeypatch.setattr("napari_ifa.reading.dicom.header.deflated.LONGEST_HEADER", 1_000_000)
    element = b"\x08\x00\x60\x00UN\0\0\xf0\xff\xff\xff" + bytes(30_000_000)
    uid = DeflatedExplicitVRLittleEndian.encode()
    meta = b"\x02\x00\x10\x00UI" + len(uid).to_bytes(2, "little") + uid
    path = tmp_path / "bomb"
    path.write_bytes(bytes(128) + b"DICM" + meta + deflate(element))
    tracemalloc.start()
    with path.open("rb") as file:
        header = read_deflated_header(file, [0x00080060])
    assert header is not None
    assert len(header.get_item(0x00080060).value) < 1_000_000
    assert tracemalloc.get_traced_memory()[1] < 4_000_000
    tracemalloc.stop()


def test_frames_of_a_deflated_file_inflate_it_once(
    save_frames: Call, frames_of: Call, read: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = np.random.default_rng(9).integers(0, 4000, (30, 64, 64)).astype("<u2")
    frames = frames_of(save_frames(expected, syntax=DeflatedExplicitVRLittleEndian))
    opened: list[Any] = []

    def counting(file: Any) -> Any:
        opened.append(file)
        return inflated(file)

    for module in ("pixels.stack_values", "header.stored_frames"):
        monkeypatch.setattr(f"napari_ifa.reading.dicom.{module}.inflated", counting)
    np.testing.assert_array_equal(read(*frames), expected)
    assert len(opened) == 1


def test_deflated_file_that_was_cut_off_keeps_its_whole_frames(
    save_frames: Call, frames_of: Call
) -> None:
    expected = np.random.default_rng(9).integers(0, 4000, (4, 64, 64)).astype("<u2")
    path = save_frames(expected, syntax=DeflatedExplicitVRLittleEndian)
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    # pydicom's own header scan wants a whole stream.
    scanned = save_frames(expected, name="scanned.dcm", syntax=DeflatedExplicitVRLittleEndian)
    frames = frames_of(scanned)
    scanned.write_bytes(path.read_bytes())
    values, damaged = read_stack(Stack(frames, np.eye(4)))
    assert damaged
    assert 0 not in damaged
    for k in range(4):
        if k not in damaged:
            np.testing.assert_array_equal(values[:, :, k].T, expected[k])
    scanned.write_bytes(b"")
    with refused(UnsupportedStudyError, DicomProblem.DAMAGED):
        read_stack(Stack(frames, np.eye(4)))
