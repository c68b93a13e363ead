"""Batches of a scan: results early, and little time spent on showing them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from napari_ifa.reading import Series
from napari_ifa.reading.scan import Scan
from napari_ifa.reading.series_list import SkippedFiles


@dataclass
class Computer:
    """One whose files take ``reading`` and whose rows take ``grouping`` seconds each."""

    reading: float
    grouping: float
    now: float = 0.0
    grouped: list[float] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def scan_frames(self, files: list[Path], *_: object) -> list[tuple[Path, list[Any]]]:
        self.now += self.reading * len(files)
        return [(file, [SimpleNamespace()]) for file in files]

    def dicom_series(self, frames: list[Any], root: Path) -> list[Series]:
        self.grouped.append(self.grouping * len(frames))
        self.now += self.grouped[-1]
        return [Series(key="0", path=root, kind="dicom", image_count=len(frames))]


@pytest.mark.parametrize("reading", [0.0005, 0.005, 0.1])
@pytest.mark.parametrize("grouping", [1e-6, 4e-5, 4e-4])
def test_first_results_come_early_and_showing_them_costs_little(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, reading: float, grouping: float
) -> None:
    computer = Computer(reading, grouping)
    monkeypatch.setattr("napari_ifa.reading.scan.time", computer)
    monkeypatch.setattr("napari_ifa.reading.dicom.scan_frames", computer.scan_frames)
    monkeypatch.setattr("napari_ifa.reading.dicom.dicom_series", computer.dicom_series)
    told: list[tuple[float, int]] = []
    scan = Scan(tmp_path, SkippedFiles())
    files = [tmp_path / f"{k}.dcm" for k in range(5000)]
    scan.run(files, found=lambda series: told.append((computer.now, series[0].image_count)))
    (series,) = scan.series()
    assert series.image_count == 5000
    # The first batch is small; on a lost network drive it still takes a while.
    assert told[0][0] < max(0.5, 9 * reading)
    gaps = [after - before for (before, _), (after, _) in pairwise(told)]
    assert min(gaps, default=1.0) >= 0.5
    if len(gaps) > 2:
        assert max(gaps) < max(2.0, 3 * max(computer.grouped) / 0.15)
    # The last grouping is the answer itself.
    assert sum(computer.grouped[:-1]) <= 0.2 * computer.now + 0.1


def test_nothing_is_grouped_before_the_end_where_nobody_listens(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    computer = Computer(0.005, 1e-6)
    monkeypatch.setattr("napari_ifa.reading.scan.time", computer)
    monkeypatch.setattr("napari_ifa.reading.dicom.scan_frames", computer.scan_frames)
    monkeypatch.setattr("napari_ifa.reading.dicom.dicom_series", computer.dicom_series)
    scan = Scan(tmp_path, SkippedFiles())
    scan.run([tmp_path / f"{k}.dcm" for k in range(1000)])
    scan.series()
    scan.series()
    assert len(computer.grouped) == 1
