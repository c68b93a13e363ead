"""Open a study: folders and files by button or drop, then the series to look at."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMessageBox,
    QVBoxLayout,
)

from napari_ifa.viewer.drops import dropped_paths
from napari_ifa.viewer.panels.panel import JobBars, MessageLine, Panel
from napari_ifa.viewer.panels.series_tree import SeriesTree
from napari_ifa.viewer.panels.study_view import StudyView
from napari_ifa.viewer.panels.widgets import button, fill, is_confirmed, plain
from napari_ifa.wording import counted

if TYPE_CHECKING:
    import napari

    from napari_ifa.reading import Series
    from napari_ifa.volumes import Volume

#: Files named in a tooltip for one reason.
_MOST_NAMED = 10
_INVITATION = "Drop a folder or files here,\nor open one above."


class StudyPanel(Panel):
    """What can be opened, what is open, and how it is shown."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.setAcceptDrops(True)
        self.browser = self.session.browser
        # Why the marked series is not opened, as it stands in the message line.
        self._reason = ""
        self._build()
        self._lay_out()
        self.listen(self.browser.series_changed, self._list)
        self.listen(self.browser.agreement_wanted, self._ask_agreement)
        self.listen(self.session.volume_changed, self._mark_opened)
        self._list(self.browser.series)

    # ----------------------------------------------------------------- widgets

    def _build(self) -> None:
        self.open_folder = button(
            "Open folder…",
            "A folder of DICOM or NIfTI images, with all folders below it",
            self._ask_folder,
        )
        self.open_file = button(
            "Open file…",
            "A NIfTI file, a picture, an archive, or one DICOM image for its whole series",
            self._ask_file,
        )
        self.tree = SeriesTree()
        self.tree.opened.connect(self.browser.open_series)
        self.tree.chosen.connect(self._allow_opening)
        self.invitation = QLabel(_INVITATION)
        self.invitation.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.invitation.setMinimumHeight(110)
        self.invitation.setStyleSheet("QLabel { border: 1px dashed #7d8591; border-radius: 6px; }")
        self.skipped = QLabel()
        self.skipped.setStyleSheet("QLabel { font-size: 11px; }")
        self.open_series = button(
            "Open series",
            "Show the chosen series; a double click does the same",
            self._open_current,
        )
        self.jobs = JobBars(self.workspace.jobs, ("study",))
        self.message = MessageLine(self.session, "study")
        self.view = StudyView(self.workspace)

    def _lay_out(self) -> None:
        buttons = fill(QHBoxLayout(), self.open_folder, self.open_file)
        parts = (buttons, self.invitation, self.tree, self.skipped, self.open_series)
        layout = fill(QVBoxLayout(self), *parts, self.jobs, self.message, wide=self.tree, margin=6)
        layout.addSpacing(6)
        layout.addWidget(self.view)
        layout.addStretch(0)

    # ----------------------------------------------------------------- opening

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a folder of images")
        if folder:
            self.session.open_path(folder)

    def _ask_file(self) -> None:
        # Files of a disc have no suffix, so that a filter would hide them.
        files, _ = QFileDialog.getOpenFileNames(self, "Open images")
        if files:
            self.session.open_path(*files)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files and folders may be dropped."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Look into everything that was dropped."""
        paths = dropped_paths(event.mimeData())
        if paths:
            event.acceptProposedAction()
            self.session.open_path(*paths)

    def _open_current(self) -> None:
        series = self.tree.current
        if series is not None:
            self.browser.open_series(series)

    def _ask_agreement(self, series: Series, sentence: str) -> None:
        open_ = QMessageBox.StandardButton.Open
        if is_confirmed(self, "Open this series?", sentence, open_):
            self.browser.open_series(series, agreed=True)

    def _allow_opening(self, series: Series | None) -> None:
        able = series is not None and series.unsupported is None
        self.open_series.setEnabled(able)
        why = "" if series is None else series.unsupported or ""
        if why:
            self.message.say("error", why, "study")
        elif self._reason and self.message.text.text() == self._reason:
            self.message.hide()
        self._reason = why

    # ----------------------------------------------------------------- showing

    def _mark_opened(self, volume: Volume | None) -> None:
        if volume is not None and self.session.opened is not None:
            self.tree.mark(self.session.opened)

    def _list(self, found: list[Series]) -> None:
        if self.browser.scanning and not found:
            # A new search: what was said about the last one is of no use any more.
            self.message.hide()
        self.tree.show_series(found)
        self.invitation.setVisible(not found and not self.browser.scanning)
        self.tree.setVisible(bool(found))
        self.open_series.setVisible(bool(found))
        self._count_skipped()

    def _count_skipped(self) -> None:
        from napari_ifa.reading.dicomdir import MISSING

        skipped = self.browser.skipped
        missing = sum(entry.count for entry in skipped if entry.reason == MISSING)
        others = sum(entry.count for entry in skipped) - missing
        words = []
        if missing:
            words.append(f"{counted(missing, 'file')} of the DICOMDIR not there")
        if others:
            words.append(counted(others, "other file is no image", "other files are no images"))
        self.skipped.setText(", ".join(words))
        lines = [f"{entry.count} {entry.reason}: {_first(entry.names)}" for entry in skipped]
        self.skipped.setToolTip(plain("\n".join(lines)))
        self.skipped.setVisible(bool(words))


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:_MOST_NAMED]) + (" …" if len(names) > _MOST_NAMED else "")
