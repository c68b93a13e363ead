"""How long a CT series takes to open beside SimpleITK, and how many files a scan looks at.

    python tests/benchmarks/studies.py --data DATA [--json studies.json]

``DATA`` is the folder of real studies. The head CT in it is repeated five times with new positions
and UIDs: 140 slices of 512². Opening means finding the series in its folder and reading it whole.
The scan is of 5,000 small files in 20 series, with other files between them.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
import pydicom
from pydicom.uid import generate_uid

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.machine import description, in_a_line
from tests.benchmarks.measuring import Spread, interleaved

#: Of the time of SimpleITK's reader.
REACH = 1.0
COPIES, SLICE_MM = 5, 5.0
PACKAGES = ("napari-ifa", "pydicom", "numpy", "SimpleITK")
FILES, SERIES, OTHERS = 5_000, 20, 500


@dataclass(frozen=True)
class Opening:
    """The ratio is this project's time over the other's in the same round."""

    against: str
    ratio: Spread
    seconds: float
    other_seconds: float
    difference: float

    @property
    def met(self) -> bool:
        return self.ratio.median <= REACH


@dataclass(frozen=True)
class Scan:
    """``first_seconds`` is when the first series was told while the scan went on."""

    files: int
    series: int
    files_per_second: float
    first_seconds: float


@dataclass(frozen=True)
class Peak:
    """The most memory that opening took beyond what was held, over the size of the image."""

    image_mib: float
    peak_mib: float

    @property
    def ratio(self) -> float:
        return self.peak_mib / self.image_mib


def repeated_series(source: Path, folder: Path) -> Path:
    """The series of a folder several times over, one copy above the other."""
    files = [pydicom.dcmread(path, force=True) for path in sorted(source.iterdir())]
    slices = [data for data in files if "ImagePositionPatient" in data]
    slices.sort(key=lambda data: float(data.ImagePositionPatient[2]))
    series = generate_uid()
    folder.mkdir()
    for copy in range(COPIES):
        for k, data in enumerate(slices):
            n = copy * len(slices) + k
            x, y, _ = data.ImagePositionPatient
            data.ImagePositionPatient = [x, y, SLICE_MM * n]
            data.SliceLocation = SLICE_MM * n
            data.InstanceNumber = n + 1
            data.SeriesInstanceUID = series
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            data.save_as(folder / f"IM{n:04d}")
    return folder


def by_simpleitk(folder: Path) -> np.ndarray:
    """``[slice, row, column]``, from the feet up."""
    import SimpleITK

    reader = SimpleITK.ImageSeriesReader()
    (series,) = reader.GetGDCMSeriesIDs(str(folder))
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), series))
    return SimpleITK.GetArrayFromImage(reader.Execute())


def by_this_project(folder: Path) -> np.ndarray:
    """``[I, P, L]``, from the head down."""
    from napari_ifa.reading import read_volume

    return read_volume(folder).array


def opening(folder: Path, rounds: int) -> Opening:
    import torch

    calls = {
        "napari-ifa": lambda: by_this_project(folder),
        "SimpleITK": lambda: by_simpleitk(folder),
    }
    times = interleaved(calls, rounds, torch.device("cpu"))
    found, expected = times.results["napari-ifa"], times.results["SimpleITK"]
    return Opening(
        against="SimpleITK",
        ratio=times.ratio("napari-ifa", "SimpleITK"),
        seconds=times.median("napari-ifa"),
        other_seconds=times.median("SimpleITK"),
        difference=float(np.abs(found[::-1].astype(float) - expected).max()),
    )


def peak(folder: Path) -> Peak:
    """Of the resident size of this process, looked at every millisecond."""
    process = psutil.Process()
    before = highest = process.memory_info().rss
    stop = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not stop.wait(0.001):
            highest = max(highest, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    array = by_this_project(folder)
    stop.set()
    watcher.join()
    return Peak(array.nbytes / 2**20, (highest - before) / 2**20)


def small_files(source: Path, folder: Path) -> Path:
    """Files of 32 × 32 pixels in many series, and files that are no images."""
    files = (pydicom.dcmread(path, force=True) for path in sorted(source.iterdir()))
    data = next(data for data in files if "ImagePositionPatient" in data)
    data.Rows = data.Columns = 32
    data.PixelData = bytes(2 * 32 * 32)
    for number in range(SERIES):
        place = folder / f"{number:02d}"
        place.mkdir(parents=True)
        data.SeriesInstanceUID, data.SeriesNumber = generate_uid(), number
        for k in range(FILES // SERIES):
            data.ImagePositionPatient = [0, 0, k]
            data.InstanceNumber = k + 1
            data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
            data.save_as(place / f"IM{k:04d}")
        for k in range(OTHERS // SERIES):
            (place / f"note{k}.txt").write_text("no image " * 50, encoding="utf-8")
    return folder


def scan(folder: Path) -> Scan:
    from napari_ifa.reading import list_series

    first: list[float] = []
    begin = time.perf_counter()
    found = list_series(folder, found=lambda _: first.append(time.perf_counter() - begin))
    seconds = time.perf_counter() - begin
    files = FILES + OTHERS
    return Scan(files, len(found), files / seconds, first[0] if first else seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of real studies")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    import torch

    machine = description(torch.device("cpu"), PACKAGES)
    head = options.data / "dicom" / "ct_head"
    print(in_a_line(machine))
    with TemporaryDirectory() as temporary:
        folder = repeated_series(head, Path(temporary, "series"))
        memory = peak(folder)
        opened = opening(folder, options.rounds)
        small = small_files(head, Path(temporary, "small"))
        scans = [scan(small) for _ in range(3)]
    for line in _lines(opened, memory, scans):
        print(line)
    if options.json:
        result = {
            "machine": machine,
            "opening": {**asdict(opened), "reach": REACH, "met": opened.met},
            "memory": {**asdict(memory), "ratio": memory.ratio},
            "scans": [asdict(one) for one in scans],
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _lines(opened: Opening, memory: Peak, scans: list[Scan]) -> Iterator[str]:
    ratio = opened.ratio
    yield (
        f"opening 140 slices of 512²: {ratio.median:.3f} of {opened.against}'s time"
        f" ({ratio.lower:.3f} to {ratio.upper:.3f}; reach {REACH},"
        f" {'met' if opened.met else 'missed'}); {opened.seconds:.3f} s,"
        f" {opened.other_seconds:.3f} s; largest difference {opened.difference:g}"
    )
    yield (
        f"memory: {memory.ratio:.2f} of the image ({memory.peak_mib:.0f} MiB for"
        f" {memory.image_mib:.0f} MiB)"
    )
    for one in scans:
        yield (
            f"scan of {one.files} files, {one.series} series: {one.files_per_second:.0f} files a"
            f" second, the first series after {one.first_seconds:.2f} s"
        )


if __name__ == "__main__":
    main()
