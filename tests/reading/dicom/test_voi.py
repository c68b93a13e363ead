"""Windows as DICOM files state them, against pydicom's own."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import apply_voi, apply_windowing
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from napari_ifa.reading.dicom.header.fields import Fields
from napari_ifa.reading.dicom.header.voi import linear_windows, table_window, voi_windows
from napari_ifa.volumes import Window, display

VALUES = np.arange(-300, 700)
SYNTAXES = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, ExplicitVRBigEndian)


def image(**elements: Any) -> Dataset:
    """A data set with windows: 12 bits unsigned, no rescale."""
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 100"
    data.PhotometricInterpretation = "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.PixelRepresentation = 16, 12, 0
    for keyword, value in elements.items():
        setattr(data, keyword, value)
    return data


def table(first: int, entries: list[int], bits: int, name: str = "", vr: str = "US") -> Dataset:
    """An item of a VOI LUT Sequence."""
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries), first, bits])
    item.LUTExplanation = name
    data = np.array(entries, "<u2").tobytes() if vr == "OW" else entries
    item.add_new("LUTData", vr, data)
    return item


def written(data: Dataset, syntax: str) -> Dataset:
    """The data set as a reader gets it from a file."""
    buffer = io.BytesIO()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = syntax
    pydicom.dcmwrite(
        buffer,
        data,
        implicit_vr=syntax == ImplicitVRLittleEndian,
        little_endian=syntax != ExplicitVRBigEndian,
        force_encoding=True,
    )
    buffer.seek(0)
    found = pydicom.dcmread(buffer, force=True)
    return found


def windows(data: Dataset, signed: bool = False) -> tuple[Window, ...]:
    return voi_windows(Fields(data), signed)


def test_windows_by_name_in_the_order_of_the_file() -> None:
    data = image(
        WindowCenter=[40, 300, 40],
        WindowWidth=[80, 1500, 80],
        WindowCenterWidthExplanation=["Schädel", "bone", "again"],
        VOILUTSequence=[table(0, [0, 7, 15], 4, "NORMAL")],
    )
    assert windows(written(data, ExplicitVRLittleEndian)) == (
        Window(40, 80, "Schädel", function="LINEAR"),
        Window(300, 1500, "bone", function="LINEAR"),
        Window(1, 2, "NORMAL", (0, 7 / 15, 1)),
    )


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("center", "width"), [(40, 80), (100.5, 401), (-7, 2), (0.5, 1)])
def test_functions_are_those_of_pydicom(function: str, center: float, width: float) -> None:
    data = image(WindowCenter=center, WindowWidth=width, VOILUTFunction=function)
    (window,) = windows(data)
    assert (window.center, window.width, window.function) == (center, width, function)
    expected = apply_windowing(VALUES, data) / 4095
    # The sigmoid ends half a grey level before black and white.
    np.testing.assert_allclose(
        display(VALUES, window), expected, rtol=0, atol=1 / 509 if function == "SIGMOID" else 1e-12
    )


def test_windows_that_make_no_sense_are_left_out() -> None:
    numbers = [(40, 0), (40, -80), (float("nan"), 80), (40, float("inf")), (300, 1500)]
    centers, widths = zip(*numbers, strict=True)
    assert [(w.center, w.width) for w in linear_windows(centers, widths)] == [(300, 1500)]
    assert linear_windows([40, 50], [80]) == (Window(40, 80, function="LINEAR"),)
    assert linear_windows([], []) == ()
    assert voi_windows(Fields(image())) == ()


def test_an_unknown_function_is_the_standards_default() -> None:
    assert linear_windows([40], [80], function="CUBIC")[0].function == "LINEAR"
    assert linear_windows([40], [80], function=" sigmoid ")[0].function == "SIGMOID"


def test_a_width_below_1_is_meant_as_it_stands() -> None:
    assert linear_windows([0.25], [0.5])[0].limits == (0, 0.5)


@pytest.mark.parametrize("syntax", SYNTAXES)
@pytest.mark.parametrize("vr", ["US", "OW"])
@pytest.mark.parametrize(
    ("first", "bits"), [(0, 12), (50, 16), (-200, 10), (-40, 11)]
)  # fmt: skip
def test_tables_are_those_of_pydicom(syntax: str, vr: str, first: int, bits: int) -> None:
    # Flat at both ends, falling in the middle, never quite black.
    top = 2**bits - 1
    entries = [30] * 40 + np.linspace(30, top, 150).astype(int).tolist() + [top // 2] * 20
    data = image(VOILUTSequence=[table(first, entries, bits, "curve", vr)])
    if vr == "OW" and syntax == ExplicitVRBigEndian:
        data.VOILUTSequence[0].LUTData = np.array(entries, ">u2").tobytes()
    (window,) = windows(written(data, syntax), signed=first < 0)
    assert window.name == "curve"
    # Of the flat ends one value is kept.
    assert window.limits == (first + 40, first + 190)
    expected = apply_voi(VALUES, image(VOILUTSequence=[table(first, entries, bits)])) / top
    np.testing.assert_allclose(display(VALUES, window), expected, rtol=0, atol=1e-12)


def test_bytes_packed_into_words() -> None:
    item = table(0, [0, 0, 0, 0, 0], 8, vr="OW")
    item.LUTData = bytes([0, 10, 200, 100, 255, 0])
    (window,) = windows(image(VOILUTSequence=[item]))
    np.testing.assert_allclose(
        display(np.arange(5), window) * 255, [0, 10, 200, 100, 255], atol=1e-9
    )


def test_a_large_table_is_thinned_out_finer_than_a_screen_shows() -> None:
    entries = (65535 * (np.arange(65536) / 65535) ** 2).astype(int).tolist()
    window = table_window(-1024, entries, 16)
    assert window is not None
    assert len(window.curve) == 4096
    values: NDArray[Any] = np.arange(-1024, 64512)
    np.testing.assert_allclose(display(values, window), np.array(entries) / 65535, atol=1e-4)


def test_zero_entries_mean_65536() -> None:
    item = table(0, list(range(65535)), 16, vr="OW")
    item.LUTDescriptor = [0, 0, 16]
    item.LUTData = np.arange(65536, dtype="<u2").tobytes()
    (window,) = windows(image(VOILUTSequence=[item]))
    assert window.limits == (0, 65535)


def test_tables_that_make_no_sense_are_left_out() -> None:
    short = table(0, [0, 1, 2, 3], 2)
    short.LUTDescriptor = [400, 0, 2]
    nameless = Dataset()
    nameless.LUTDescriptor = [2, 0, 8]
    incomplete = table(0, [0, 1], 8)
    incomplete.LUTDescriptor = [2, 0]
    wrong = [short, nameless, incomplete, table(0, [5, 5, 5], 8), table(0, [0, 1], 0)]
    assert windows(image(VOILUTSequence=wrong)) == ()
    assert len(windows(image(VOILUTSequence=[*wrong, table(0, [0, 1], 1)]))) == 1
    assert len(windows(image(VOILUTSequence=[table(0, [0, 1], 1)] * 100))) == 32
