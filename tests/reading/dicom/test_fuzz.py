"""Damaged DICOM files: a right Volume or one sentence, never a traceback, never endless memory.

``NAPARI_IFA_FUZZ_EXAMPLES`` sets how many files of each kind are damaged; hundreds in all by
default, thousands in a long run.
"""

from __future__ import annotations

import os
import tempfile
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedMRImageStorage, JPEGLSLossless, RLELossless

from napari_ifa.errors import UnsupportedStudyError
from napari_ifa.reading import list_series, read_volume
from tests.dicom_parts import csa_header, item, side_by_side

EXAMPLES = int(os.environ.get("NAPARI_IFA_FUZZ_EXAMPLES", "40"))
#: What a reader may hold beside the image: a header, decoder tables, a first frame.
SPARE = 64 * 2**20

SHIPPED = (
    "CT_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "rtdose.dcm",
    "rtdose_rle.dcm",
    "SC_rgb_jpeg_dcmtk.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "image_dfl.dcm",
    "liver_1frame.dcm",
)


def shipped(name: str) -> bytes:
    return Path(get_testdata_file(name, download=False)).read_bytes()


def written(data: Dataset) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        data.save_as(path)
        return path.read_bytes()


def enhanced() -> bytes:
    """Six frames of 16 × 16 pixels: two echoes at three positions."""
    data = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False))
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    data.NumberOfFrames, data.Rows, data.Columns = 6, 16, 16
    data.PixelData = np.arange(6 * 256, dtype="<i2").tobytes()
    data.SharedFunctionalGroupsSequence = [
        item(
            PixelMeasuresSequence={"PixelSpacing": [1, 1], "SliceThickness": 2},
            PlaneOrientationSequence={"ImageOrientationPatient": [1, 0, 0, 0, 1, 0]},
        )
    ]
    data.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence={"ImagePositionPatient": [0, 0, 2 * (k % 3)]},
            MREchoSequence={"EffectiveEchoTime": 5.0 * (k // 3)},
            FrameContentSequence={"DimensionIndexValues": [1, k % 3 + 1]},
            PixelValueTransformationSequence={"RescaleSlope": 2, "RescaleIntercept": 0},
        )
        for k in range(6)
    ]
    return written(data)


def mosaic() -> bytes:
    data = pydicom.dcmread(get_testdata_file("MR_small.dcm", download=False))
    data.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
    data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    data.Rows, data.Columns, data.SpacingBetweenSlices = 6, 9, 3
    data.PixelData = side_by_side(5, 3, 3)
    block = data.private_block(0x0029, "SIEMENS CSA HEADER", create=True)
    block.add_new(0x10, "OB", csa_header([0, 0, 1], 5))
    return written(data)


def compressed(syntax: str) -> Callable[[], bytes]:
    def make() -> bytes:
        data = pydicom.dcmread(get_testdata_file("CT_small.dcm", download=False))
        data.compress(syntax)
        return written(data)

    return make


KINDS: dict[str, Callable[[], bytes]] = {
    **{name: (lambda name=name: shipped(name)) for name in SHIPPED},
    "enhanced": enhanced,
    "mosaic": mosaic,
    "rle": compressed(RLELossless),
    "jpeg-ls": compressed(JPEGLSLossless),
}

Damage = Callable[[bytearray], None]


@st.composite
def damages(draw: st.DrawFn) -> Damage:
    """One way to damage a file: bytes changed, cut off, taken out, put in or written twice."""
    kind = draw(st.sampled_from(["bytes", "bytes", "number", "cut", "out", "in", "twice"]))
    # Headers are short beside pixels, and where damage does most.
    place = draw(st.one_of(st.floats(0, 1), st.floats(0, 0.05)))
    content = draw(st.binary(min_size=1, max_size=8))
    number = draw(st.sampled_from([0, 1, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF]))
    count = draw(st.integers(1, 400))

    def damage(file: bytearray) -> None:
        at = int(place * max(len(file) - 1, 0))
        if kind == "bytes":
            file[at : at + len(content)] = content
        elif kind == "number":
            file[at : at + 4] = number.to_bytes(4, "little")
        elif kind == "cut":
            del file[at:]
        elif kind == "out":
            del file[at : at + count]
        elif kind == "in":
            file[at:at] = content * (count // 8 + 1)
        else:
            file[at:at] = file[at : at + count]

    return damage


TAGS = (
    "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated", "BitsStored",
    "HighBit", "PixelRepresentation", "PlanarConfiguration", "PhotometricInterpretation",
    "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness",
    "SpacingBetweenSlices", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth",
    "InstanceNumber", "SeriesNumber", "ImageType", "EchoTime", "AcquisitionTime",
    "SeriesInstanceUID", "SOPInstanceUID", "GridFrameOffsetVector", "DoseGridScaling",
    "SeriesDescription", "Modality", "SOPClassUID",
)  # fmt: skip
VALUES = (
    b"", b"0", b"-1", b"1", b"2", b"65535", b"1A", b"***", b"1e400", b"nan", b"inf", b"1\\2",
    b"0\\0\\0", b"1\\0\\0\\0\\1\\0", b"1e30\\1e30\\1e30", b"-0.0", b"99999999999", b"RGB",
    b"MONOCHROME1", b"PALETTE COLOR", b"YBR_FULL_422", b"\xff\xfe", b"A" * 70,
    b"\x00\x00", b"\x01\x00", b"\xff\xff", b"\x00\x80", b"\x00\x00\x00\x00\x00\x00",
)  # fmt: skip


def outcome(files: list[bytes]) -> int:
    """Open all there is; returns bytes of the largest image. Fails by any other exception."""
    largest = 0
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for k, content in enumerate(files):
            Path(folder, f"file{k}").write_bytes(content)
        try:
            listed = list_series(folder)
        except UnsupportedStudyError as error:
            check_sentence(str(error))
            return 0
        for series in listed:
            for sentence in (series.unsupported, series.question, *series.notes):
                if sentence is not None:
                    check_sentence(sentence)
            try:
                volume = read_volume(series)
            except UnsupportedStudyError as error:
                check_sentence(str(error))
                continue
            assert np.isfinite(volume.affine).all()
            assert np.abs(np.linalg.det(volume.affine[:3, :3])) > 0
            assert volume.shape == series.shape
            assert volume.array.dtype.isnative
            assert all(0 <= k < max(volume.shape) for k in volume.report.missing)
            largest = max(largest, volume.array.nbytes)
    return largest


def check_sentence(sentence: str) -> None:
    assert "\n" not in sentence
    assert len(sentence) < 400
    assert sentence.isprintable()
    assert sentence[-1] in ".?"


def bounded(files: list[bytes]) -> None:
    """The outcome of damaged files, in no more memory than four times the image."""
    tracemalloc.start()
    try:
        largest = outcome(files)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak <= 4 * max(largest, max(map(len, files))) + SPARE


FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.parametrize("kind", list(KINDS))
def test_damaged_bytes(kind: str) -> None:
    whole = KINDS[kind]()

    @FUZZ
    @given(st.lists(damages(), min_size=1, max_size=4))
    def run(several: list[Damage]) -> None:
        file = bytearray(whole)
        for damage in several:
            damage(file)
        bounded([bytes(file)])

    run()


@pytest.mark.parametrize("kind", ["CT_small.dcm", "rtdose.dcm", "enhanced", "mosaic", "rle"])
def test_odd_values(kind: str) -> None:
    """Fields of the header with values that their type does not allow, whatever it is."""
    whole = KINDS[kind]()

    @FUZZ
    @given(
        st.dictionaries(st.sampled_from(TAGS), st.sampled_from(VALUES), min_size=1, max_size=5),
        st.booleans(),
    )
    def run(values: dict[str, bytes], absent: bool) -> None:
        bounded([with_values(whole, values, absent)])

    run()


@FUZZ
@given(
    st.lists(
        st.dictionaries(st.sampled_from(TAGS), st.sampled_from(VALUES), max_size=2),
        min_size=3,
        max_size=8,
    ),
    st.lists(st.integers(-3, 6), min_size=8, max_size=8),
    st.lists(st.sampled_from([0.0, 0.1, 1.0, 1000.0]), min_size=8, max_size=8),
)
def test_stacks_of_odd_slices(
    values: list[dict[str, bytes]], heights: list[int], asides: list[float]
) -> None:
    """Slices anywhere, with anything in their headers, in one folder."""
    whole = KINDS["CT_small.dcm"]()
    files = []
    for k, changed in enumerate(values):
        place = {
            "ImagePositionPatient": f"{asides[k]}\\0\\{heights[k]}".encode(),
            "InstanceNumber": str(k).encode(),
            "SOPInstanceUID": f"1.2.{k}".encode(),
        }
        files.append(with_values(whole, {**place, **changed}, False))
    bounded(files)


def with_values(file: bytes, values: dict[str, bytes], absent: bool) -> bytes:
    """The file with raw values in place of others, or without the elements."""
    from io import BytesIO

    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    data: Any = pydicom.dcmread(BytesIO(file))
    little = data.original_encoding[1] is not False
    for keyword, value in values.items():
        tag = Tag(tag_for_keyword(keyword) or 0)
        if absent:
            data.pop(tag, None)
            continue
        padded = value + b" " * (len(value) % 2)
        vr = dictionary_VR(tag)
        data._dict[tag] = RawDataElement(tag, vr, len(padded), padded, 0, False, little)
    out = BytesIO()
    pydicom.dcmwrite(out, data)
    return out.getvalue()
