"""What the panels share: a session that outlives them, a line for messages, bars for jobs."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.compat import isalive
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_ifa.viewer.panels.widgets import badge_style, button, fill, line
from napari_ifa.viewer.state.jobs import Job, Jobs
from napari_ifa.viewer.workspace import workspace_of

if TYPE_CHECKING:
    import napari
    from qtpy.QtGui import QShowEvent

    from napari_ifa.viewer.state.session import Session


#: Ground and text of a message: to be read in napari's dark theme and in its light one.
_MESSAGE_COLOURS = {"error": ("#6b1f1f", "#ffc4b8"), "note": ("#26405e", "#cfe3ff")}
#: Milliseconds that a job may take before it shows a bar.
_PATIENCE = 300


class Panel(QWidget):
    """A view of the session. It listens weakly, so closing it needs no clearing up."""

    # napari gives the viewer to a parameter of this name.
    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__()
        self.workspace = workspace_of(napari_viewer)
        self.session = self.workspace.session

    def showEvent(self, event: QShowEvent) -> None:
        """The window is known now: it gives drops, and its closing ends the jobs."""
        super().showEvent(event)
        self.workspace.watch_window(self)

    def listen(self, signal: Any, slot: Callable[..., None]) -> None:
        """Call a method of this panel for as long as its widget lives."""
        listen(signal, slot)


def listen(signal: Any, slot: Callable[..., None]) -> None:
    """Connect a session's signal to a method of a widget, for as long as the widget lives.

    The session stays when a panel is closed, and Qt may delete a widget before Python does.
    """
    method: weakref.WeakMethod[Any] = weakref.WeakMethod(slot)

    def call(*values: Any) -> None:
        bound = method()
        if bound is not None and isalive(bound.__self__):
            bound(*values)

    signal.connect(call)


class MessageLine(QWidget):
    """The latest sentence about ``"study"`` or ``"model"``, with a button that takes it away."""

    def __init__(self, session: Session, about: str) -> None:
        super().__init__()
        self._about = about
        self.text = line(selectable=True)
        dismiss = QToolButton()
        dismiss.setText("✕")
        dismiss.setAutoRaise(True)
        dismiss.setToolTip("Take this message away")
        dismiss.clicked.connect(self.hide)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.text, 1)
        row.addWidget(dismiss, 0, Qt.AlignmentFlag.AlignTop)
        self.hide()
        listen(session.said, self.say)
        listen(session.volume_changed, self._outdate)
        listen(session.explanation_changed, self._outdate)

    def say(self, kind: str, sentence: str, about: str) -> None:
        """Show a sentence; ``kind`` is ``"error"`` or ``"note"``."""
        if about != self._about:
            return
        self.text.setStyleSheet(badge_style(*_MESSAGE_COLOURS[kind]))
        self.text.setText(sentence)
        self.setVisible(bool(sentence))

    def _outdate(self, opened: Any) -> None:
        # What has been opened since answers the question that the sentence left open.
        if opened is not None:
            self.hide()


class JobBars(QWidget):
    """A bar, the time left and a Cancel button for each job that runs in these lanes.

    A job that ends within a blink shows none: the panel would only jump.
    """

    def __init__(self, jobs: Jobs, lanes: tuple[str, ...]) -> None:
        super().__init__()
        self._jobs, self._lanes = jobs, lanes
        self._patience = QTimer(self)
        self._patience.setSingleShot(True)
        self._patience.setInterval(_PATIENCE)
        self._patience.timeout.connect(self._update)
        self.rows: dict[Job, _JobRow] = {}
        self._layout = fill(QVBoxLayout(self))
        jobs.changed.connect(self._update)
        jobs.progressed.connect(self._progress)
        self._update()

    def _update(self) -> None:
        running = [job for job in self._jobs.running if job.lane in self._lanes]
        shown = [job for job in running if 1000 * job.seconds >= _PATIENCE]
        if len(shown) < len(running):
            self._patience.start()
        for job in [job for job in self.rows if job not in running]:
            row = self.rows.pop(job)
            self._layout.removeWidget(row)
            row.hide()
            row.deleteLater()
        for job in shown:
            if job not in self.rows:
                self.rows[job] = _JobRow(self._jobs, job)
                self._layout.addWidget(self.rows[job])
        self.setVisible(bool(self.rows))

    def _progress(self, job: Job) -> None:
        if job in self.rows:
            self.rows[job].show_progress()


class _JobRow(QWidget):
    def __init__(self, jobs: Jobs, job: Job) -> None:
        super().__init__()
        self._job = job
        self.label = QLabel(job.title + " …")
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.bar = QProgressBar()
        self.bar.setRange(0, 0)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        tip = "Stop this after its current step; what was open stays open"
        self.cancel = button("Cancel", tip, lambda: jobs.cancel(job))
        self.cancel.setObjectName("cancel")
        column = fill(QVBoxLayout(), self.label, self.bar)
        column.setSpacing(3)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 2, 0, 2)
        row.addLayout(column, 1)
        row.addWidget(self.cancel)

    def show_progress(self) -> None:
        """The steps done, and the time left as far as it can be judged."""
        done, total = self._job.steps
        if total > 0:
            self.bar.setRange(0, total)
            self.bar.setValue(done)
        text = f"{self._job.title}: {done} of {total}" if total else self._job.title + " …"
        left = self._job.seconds_left
        if self._job.stopping.is_set():
            text = f"{self._job.title}: stopping …"
            self.cancel.setEnabled(False)
        elif left is not None:
            text += f", {_duration(left)} left"
        self.label.setText(text)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"
