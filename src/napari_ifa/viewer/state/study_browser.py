"""What can be opened where a person looked: series, listed while the scan runs, and the reading.

No Qt and no layers here, as in the session, which this is a part of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from psygnal import Signal

from napari_ifa.errors import Cancelled, IfaError
from napari_ifa.reading.choice import candidates
from napari_ifa.viewer.state.series_groups import group_series

if TYPE_CHECKING:
    from napari_ifa.reading import Series
    from napari_ifa.reading.series_list import Skipped
    from napari_ifa.volumes import Volume

_LANE = "study"
_INCOMPLETE = (
    "The search was stopped before every file was seen, so images of this series may be missing."
)


class Runner(Protocol):
    """Runs work beside the window; ``Jobs`` is the one with threads."""

    def start(
        self,
        title: str,
        work: Callable[[Callable[[int, int], None], Callable[[], bool]], Any],
        done: Callable[[Any], None],
        failed: Callable[[IfaError], None],
        *,
        key: str,
        lane: str = "main",
    ) -> None:
        """Queue work; see ``Jobs.start``."""

    def post(self, call: Callable[[], None]) -> None:
        """Have work that runs call something in the window's thread; see ``Jobs.post``."""


class StudyBrowser:
    """Looks for series, keeps the list, and reads the one that is chosen.

    A series that is chosen while the scan goes on is read when the scan has ended: until then
    nobody knows whether all of its images have been found.

    Signals
    -------
    series_changed(list[Series]) : what has been found, or found so far.
    agreement_wanted(Series, sentence) : a person has to agree to the sentence before it is opened.
    """

    series_changed = Signal(list)
    agreement_wanted = Signal(object, str)

    def __init__(
        self,
        runner: Runner,
        opened: Callable[[Volume, Series], None],
        say: Callable[[str, str], None],
    ) -> None:
        self._runner, self._opened, self._say = runner, opened, say
        self.series: list[Series] = []
        #: Files that were looked at and are no images, by reason.
        self.skipped: tuple[Skipped, ...] = ()
        self.scanning = False
        self._incomplete = False
        # Chosen during the scan.
        self._wanted: str | None = None

    def look_into(self, paths: Sequence[str | Path]) -> None:
        """List the series of folders and files; the only one there is to choose is opened."""
        places = [Path(path) for path in paths]
        if not places:
            return
        self.scanning, self._incomplete, self._wanted = True, True, None
        self._take([], ())

        def work(progress: Any, stop: Any) -> list[Series]:
            from napari_ifa.reading import list_series

            def tell(so_far: list[Series]) -> None:
                listed, skipped = list(so_far), _skipped(so_far)
                self._runner.post(lambda: None if stop() else self._take(listed, skipped))

            return list_series(places, progress=progress, stop=stop, found=tell)

        self._runner.start(
            "Looking for series",
            work,
            self._finish,
            self._fail_looking,
            key="series",
            lane=_LANE,
        )

    def open_series(self, series: Series, agreed: bool = False) -> None:
        """Read a listed series and make it the study.

        ``agreed`` : a person has read the sentence of ``agreement_wanted``.
        """
        if series.unsupported is not None:
            self._say("error", series.unsupported)
            return
        if self.scanning:
            self._wanted = series.key
            self._say("note", "The series opens as soon as all files have been looked at.")
            return
        reasons = [series.question or "", _INCOMPLETE if self._incomplete else ""]
        sentence = " ".join(filter(None, reasons))
        if sentence and not agreed:
            self.agreement_wanted.emit(series, sentence)
            return

        def work(progress: Any, stop: Any) -> Volume:
            from napari_ifa.reading import read_volume
            from napari_ifa.volumes import offered_windows

            volume = read_volume(series.path, series, progress=progress, stop=stop)
            if not volume.is_colour:
                # Here, since it looks at every voxel: the volume remembers what was found.
                offered_windows(volume)
            return volume

        self._runner.start(
            "Reading the images",
            work,
            lambda volume: self._opened(volume, series),
            self._fail,
            key="study",
            lane=_LANE,
        )

    def _take(self, found: list[Series], skipped: tuple[Skipped, ...]) -> None:
        self.series, self.skipped = found, skipped
        self.series_changed.emit(found)

    def _finish(self, found: list[Series]) -> None:
        self.scanning = self._incomplete = False
        wanted, self._wanted = self._wanted, None
        self._take(list(found), _skipped(found))
        chosen = next((series for series in found if series.key == wanted), None)
        able = candidates(found)
        if chosen is not None:
            self.open_series(chosen)
        elif len(able) == 1:
            self.open_series(able[0])
        elif able:
            count = len(group_series(able))
            images = "" if count == len(able) else f" with {len(able)} images"
            self._say("note", f"{count} series{images} found: choose one to open.")
        elif len(found) == 1 and found[0].unsupported is not None:
            self._say("error", found[0].unsupported)
        elif found:
            self._say("error", f"None of the {len(found)} series can be opened; each says why.")
        else:
            self._say("error", "No image was found there; choose a DICOM or NIfTI study.")

    def _fail_looking(self, error: IfaError) -> None:
        # What had been found stays in the list, and may be opened by someone who knows the risk.
        self.scanning, self._wanted = False, None
        self.series_changed.emit(self.series)
        self._fail(error)

    def _fail(self, error: IfaError) -> None:
        self._say("note" if isinstance(error, Cancelled) else "error", str(error))


def _skipped(found: list[Series]) -> tuple[Skipped, ...]:
    return tuple(getattr(found, "skipped", ()))
