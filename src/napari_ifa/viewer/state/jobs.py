"""Long work beside the window: one thread per lane, progress, time left, cancel, one sentence.

The work itself knows nothing of Qt: it is a function of ``progress(done, total)`` and ``stop()``
that returns a value, or raises.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_ifa.errors import Cancelled, IfaError
from napari_ifa.memory import memory_said
from napari_ifa.progress import Progress, Stop

Work = Callable[[Progress, Stop], Any]

_LOG = logging.getLogger(__name__)
_SMALLER = "close other images and programs and try again, or use a smaller image"
#: Seconds between two reports of progress; more would only repaint the bar.
_REPORT_EVERY = 0.05


@dataclass(eq=False)
class Job:
    """One piece of work. ``done`` and ``failed`` are called in the window's own thread.

    Attributes
    ----------
    key : a job replaces an unfinished one of the same key.
    lane : jobs of one lane run one after the other.
    """

    title: str
    work: Work
    done: Callable[[Any], None]
    failed: Callable[[IfaError], None]
    key: str
    lane: str
    steps: tuple[int, int] = (0, 0)
    started: float = 0.0
    superseded: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)
    thread: threading.Thread | None = None

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self.started

    @property
    def seconds_left(self) -> float | None:
        """Estimated from the steps done so far; None before there is anything to judge by."""
        done, total = self.steps
        if done < 1 or self.seconds < 0.5 or total <= done:
            return None
        return self.seconds / done * (total - done)


class Jobs(QObject):
    """Runs jobs and tells what runs.

    Signals
    -------
    changed : the list of running jobs is another one.
    progressed : a job has reported a step.
    """

    changed = Signal()
    progressed = Signal(object)
    _posted = Signal(object)
    _reported = Signal(object, int, int)
    _ended = Signal(object, object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._running: dict[str, Job] = {}
        self._waiting: list[Job] = []
        self._closed = False
        self._posted.connect(self._call)
        self._reported.connect(self._take_report)
        self._ended.connect(self._take_end)

    @property
    def running(self) -> list[Job]:
        """Jobs at work now that nobody has replaced, the oldest first."""
        return [job for job in self._running.values() if not job.superseded]

    @property
    def busy(self) -> bool:
        """Whether anything runs or waits."""
        return bool(self._running or self._waiting)

    def start(
        self,
        title: str,
        work: Work,
        done: Callable[[Any], None],
        failed: Callable[[IfaError], None],
        *,
        key: str,
        lane: str = "main",
    ) -> None:
        """Queue work; an unfinished job of the same key is stopped and its outcome dropped."""
        self._waiting = [job for job in self._waiting if job.key != key]
        for job in self._running.values():
            if job.key == key:
                job.superseded = True
                job.stopping.set()
        self._waiting.append(Job(title, work, done, failed, key, lane))
        self._start_waiting()

    def post(self, call: Callable[[], None]) -> None:
        """Have work that runs call something in the window's thread, before its outcome arrives.

        This is how results that are not complete are shown.
        """
        self._posted.emit(call)

    def cancel(self, job: Job) -> None:
        """Ask a running job to stop; at its next step it fails with ``Cancelled``."""
        job.stopping.set()
        self.progressed.emit(job)

    def close(self, wait_seconds: float = 5.0) -> None:
        """Stop everything for good: the window is closing."""
        self._closed = True
        self._waiting.clear()
        for job in self._running.values():
            job.superseded = True
            job.stopping.set()
        for job in self._running.values():
            if job.thread is not None:
                job.thread.join(wait_seconds)
        self._running.clear()

    def _start_waiting(self) -> None:
        for job in list(self._waiting):
            if self._closed or job.lane in self._running:
                continue
            self._waiting.remove(job)
            self._running[job.lane] = job
            job.started = time.monotonic()
            job.thread = threading.Thread(
                target=self._run, args=(job,), name=f"napari-ifa {job.key}", daemon=True
            )
            job.thread.start()
        self.changed.emit()

    def _run(self, job: Job) -> None:
        """In the worker thread."""
        reported = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal reported
            now = time.monotonic()
            if now - reported > _REPORT_EVERY or done >= total:
                reported = now
                self._reported.emit(job, done, total)

        try:
            with memory_said(IfaError, f"finish: {job.title}", _SMALLER):
                outcome = job.work(progress, job.stopping.is_set)
        except IfaError as error:
            outcome = error
        except Exception as error:
            # The traceback may name files and values of a patient, so it stays off the screen.
            _LOG.debug("%s failed", job.title, exc_info=True)
            outcome = IfaError(f"{job.title} failed unexpectedly ({type(error).__name__}).")
        if not self._closed:
            self._ended.emit(job, outcome)

    def _call(self, call: Callable[[], None]) -> None:
        if not self._closed:
            call()

    def _take_report(self, job: Job, done: int, total: int) -> None:
        job.steps = (done, total)
        if not job.superseded:
            self.progressed.emit(job)

    def _take_end(self, job: Job, outcome: Any) -> None:
        if self._running.get(job.lane) is job:
            del self._running[job.lane]
        self._start_waiting()
        if job.superseded or self._closed:
            return
        if isinstance(outcome, Cancelled) or job.stopping.is_set():
            job.failed(Cancelled(f"{job.title}: cancelled."))
        elif isinstance(outcome, IfaError):
            job.failed(outcome)
        else:
            job.done(outcome)
