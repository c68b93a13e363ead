"""From files to series, in batches, so that what is found can be shown while the scan goes on."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_ifa.progress import Progress, Stop, check_stop
from napari_ifa.reading.series import Found, Series
from napari_ifa.reading.series_list import SkippedFiles
from napari_ifa.reading.starts import archive_kind, is_picture, start_of
from napari_ifa.reading.threads import in_threads

if TYPE_CHECKING:
    from napari_ifa.reading.dicom.header.frames import Frame

NO_IMAGE = "neither DICOM, NIfTI, PNG nor JPEG"
ARCHIVE = "archive, to be opened by itself"

#: Files of the first batch, and seconds that each later one should take.
_FIRST_BATCH, _BATCH_SECONDS = 8, 0.25
_LEAST_BATCH, _MOST_BATCH = 8, 4096
#: Seconds between two lists shown; more where making one takes long, to at most this share.
_SHOW_SECONDS, _SHOW_SHARE = 0.5, 0.15


@dataclass(eq=False)
class Scan:
    """One look into files, whose results can be asked for at any time.

    Attributes
    ----------
    root : folder from which the places of files count.
    skipped : is given the files without an image.
    archive : what the files were unpacked from; every Series keeps it.
    beside : files that count only as a part of a DICOM series, and are not missed otherwise.
    parsed : the frames of DICOM files whose headers were parsed before.
    """

    root: Path
    skipped: SkippedFiles
    archive: Any = None
    beside: Container[Path] = ()
    parsed: Mapping[Path, list[Frame]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._frames: list[Frame] = []
        # By key: a header and its data file, where they are two, give the same series.
        self._others: dict[str, Series] = {}
        self._grouped: tuple[int, list[Series]] = (0, [])

    def run(
        self,
        files: Sequence[Path],
        progress: Progress | None = None,
        stop: Stop | None = None,
        found: Found | None = None,
    ) -> None:
        """Look into the files; ``found`` is given what there is, now and then."""
        done, size = 0, _FIRST_BATCH
        show_at, shown = 0.0, 0
        while done < len(files):
            begun = time.monotonic()
            batch = files[done : done + size]
            advance = progress and partial(_after, progress, done, len(files))
            self._look_into(batch, advance, stop)
            done += len(batch)
            now = time.monotonic()
            factor = _BATCH_SECONDS / max(now - begun, 1e-3)
            size = int(min(max(size * min(factor, 4.0), _LEAST_BATCH), _MOST_BATCH))
            rows = len(self._frames) + len(self._others)
            if found is None or done == len(files) or rows == shown or now < show_at:
                continue
            found(self.series())
            shown, cost = rows, time.monotonic() - now
            show_at = now + cost + max(_SHOW_SECONDS, cost / _SHOW_SHARE)

    def series(self) -> list[Series]:
        """What the files looked into so far hold: numbered series first, pictures last."""
        from napari_ifa.reading.dicom import dicom_series

        if self._grouped[0] != len(self._frames):
            self._grouped = (len(self._frames), dicom_series(self._frames, self.root))
        series = [*self._grouped[1], *self._others.values()]
        if self.archive is not None:
            series = [replace(one, archive=self.archive) for one in series]
        return sorted(series, key=place_in_list)

    def _look_into(
        self, files: Sequence[Path], progress: Progress | None, stop: Stop | None
    ) -> None:
        from napari_ifa.reading.dicom import scan_frames
        from napari_ifa.reading.dicom.header.frame_table import NotAnImage
        from napari_ifa.reading.nifti import is_nibabel_file, nifti_series
        from napari_ifa.reading.picture import picture_series

        named = [file for file in files if is_nibabel_file(file)]
        known = set(named)
        unnamed = [file for file in files if file not in known]
        unknown = []
        for file, rows in scan_frames(unnamed, self.parsed, progress, stop):
            if not isinstance(rows, NotAnImage):
                self._frames += rows
            elif file in self.beside:
                continue
            elif rows is NotAnImage.OTHER_FILE:
                unknown.append(file)
            else:
                self.skipped.add(rows.value, file.name)
        for done, file in enumerate(named, start=len(unnamed) + 1):
            check_stop(stop)
            if file not in self.beside:
                self._add(nifti_series(file, self.root))
            if progress is not None:
                progress(done, len(files))
        for file, start in in_threads(lambda f: (f, start_of(f)), unknown, None, stop):
            if is_picture(start):
                self._add([picture_series(file, self.root)])
            else:
                self.skipped.add(ARCHIVE if archive_kind(start) else NO_IMAGE, file.name)

    def _add(self, series: Iterable[Series]) -> None:
        self._others |= {one.key: one for one in series}


def place_in_list(series: Series) -> tuple[bool, int, bool, int, str]:
    """Sort key: study by study, numbered series first, pictures last; parts stay as they are."""
    number = series.number is None, series.number or 0
    return series.kind == "image", series.study, *number, series.description


def _after(progress: Progress, done: int, total: int, more: int, _: int) -> None:
    """Progress of a batch as progress of the whole."""
    progress(done + more, total)
