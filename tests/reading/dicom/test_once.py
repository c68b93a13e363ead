"""Work that a study costs once: each header is parsed once, and each stack solved once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from napari_ifa.reading import list_series, read_volume
from napari_ifa.reading.dicom.series import listing

Save = Callable[..., Path]


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Headers that pydicom parsed, by the series' own numbers."""
    counted: Counter[str] = Counter()
    real = pydicom.dcmread

    def counting(*args: Any, **options: Any) -> Any:
        dataset = real(*args, **options)
        counted[str(dataset.get("InstanceNumber"))] += 1
        return dataset

    monkeypatch.setattr(pydicom, "dcmread", counting)
    return counted


@pytest.fixture
def solved(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Frames of each stack whose grid was worked out."""
    counted: list[int] = []
    real = listing.stack_frames

    def counting(frames: Any) -> Any:
        counted.append(len(frames))
        return real(frames)

    monkeypatch.setattr(listing, "stack_frames", counting)
    return counted


def test_a_folder_is_parsed_and_solved_once(
    save_series: Save, parsed: Counter[str], solved: list[int]
) -> None:
    volume = read_volume(save_series(0, 1, 2, 3))
    assert volume.shape[0] == 4
    assert sorted(parsed.values()) == [1, 1, 1, 1]
    assert solved == [4]


def test_a_listed_series_is_read_from_the_stack_it_was_listed_with(
    save_series: Save, parsed: Counter[str], solved: list[int]
) -> None:
    (series,) = list_series(save_series(0, 1, 2))
    parsed.clear()
    assert series.stack is not None
    assert solved == [3]
    volume = read_volume(series)
    assert not parsed
    assert solved == [3]
    assert volume.source.frames is series.stack.frames


def test_a_file_among_others_keeps_its_reason(save_series: Save) -> None:
    """A file without an image between two that have one takes nobody else's reason."""
    folder = save_series(0, 1, 2)
    (folder / "slice0.txt").write_bytes(b"text" * 200)
    report = pydicom.dcmread(folder / "slice1.dcm")
    del report.Rows
    report.save_as(folder / "slice1.report")
    listed = list_series(folder)
    assert [series.image_count for series in listed] == [3]
    assert {reason.names for reason in listed.skipped} == {("slice0.txt",), ("slice1.report",)}
    by_name = {reason.names[0]: reason.reason for reason in listed.skipped}
    assert by_name["slice1.report"] == "DICOM without an image"
    assert np.all(read_volume(listed[0]).array >= 0)
