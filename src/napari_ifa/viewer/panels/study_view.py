"""What is open and how it is shown: facts, what is wrong with the geometry, window, plane."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_ifa.viewer.panels.feature_table import MINUS
from napari_ifa.viewer.panels.panel import listen
from napari_ifa.viewer.panels.series_tree import millimetres
from napari_ifa.viewer.panels.widgets import badge_style, choice, fill, heading, line, plain
from napari_ifa.viewer.scene.corner_note import BADGE_COLOURS, severity
from napari_ifa.viewer.scene.study_layer import layer_name

if TYPE_CHECKING:
    from napari_ifa.viewer.workspace import Workspace
    from napari_ifa.volumes import Volume, Window

_PLANES = ("axial", "coronal", "sagittal", "3D")
_IN_ITS_PLANES = "The study is shown in the planes it was acquired in; nothing is resampled."


class StudyView(QWidget):
    """The lower part of the Study panel; hidden while nothing is open."""

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self._session, self._scene = workspace.session, workspace.scene
        self._build()
        self._lay_out()
        listen(self._session.volume_changed, self._describe)
        listen(self._scene.plane_changed, self._mark_plane)
        self._describe(self._session.volume)

    def _build(self) -> None:
        self.title = heading("")
        self.title.setWordWrap(True)
        self.facts, self.badge, self.notes = line(), line(), line(selectable=True)
        self.unfold = QToolButton()
        self.unfold.setCheckable(True)
        self.unfold.setAutoRaise(True)
        self.unfold.setToolTip("What was corrected or is missing, in full")
        self.unfold.toggled.connect(self._unfold)
        self.window_label = QLabel("window")
        self.window_choice = choice(
            "Which values are shown from black to white; or drag with the right button"
        )
        self.window_choice.setPlaceholderText("by hand")
        self.window_choice.activated.connect(self._choose_window)
        self.plane_buttons = {name: QPushButton(name) for name in _PLANES}
        for name, button in self.plane_buttons.items():
            button.setCheckable(True)
            button.setToolTip(f"Show the study in {name}" if name == "3D" else f"{name} slices")
            button.clicked.connect(lambda _=False, plane=name: self._show_plane(plane))

    def _lay_out(self) -> None:
        planes = fill(QHBoxLayout(), *self.plane_buttons.values())
        planes.setSpacing(4)
        badge = QHBoxLayout()
        badge.addWidget(self.badge, 1)
        badge.addWidget(self.unfold, 0, Qt.AlignmentFlag.AlignTop)
        window = fill(QHBoxLayout(), self.window_label, self.window_choice, wide=self.window_choice)
        fill(QVBoxLayout(self), self.title, self.facts, badge, self.notes, window, planes)

    # ----------------------------------------------------------------- showing

    def _describe(self, volume: Volume | None) -> None:
        self.setVisible(volume is not None)
        if volume is None:
            return
        self.title.setText(layer_name(volume, self._session.opened))
        self.facts.setText(_facts(volume))
        self._show_report(volume)
        # Across planes that were never a body, nothing can be looked at.
        for button in self.plane_buttons.values():
            button.setVisible(volume.source.placed)
        self._offer_windows(volume)
        self._mark_plane(self._scene.plane)

    def _show_report(self, volume: Volume) -> None:
        report = volume.report
        # Without words of its own, the first note is all there is to say.
        words = report.badge or (report.notes[0] if len(report.notes) == 1 else "")
        notes = report.notes if report.badge or len(report.notes) > 1 else ()
        if not words and notes:
            words = f"{len(notes)} notes on this study"
        self.badge.setStyleSheet(badge_style(*BADGE_COLOURS[severity(report)]))
        self.badge.setText(words)
        self.badge.setVisible(bool(words))
        tip = "\n".join(notes)
        if not tip and report.oblique_degrees and not report.resampled:
            tip = _IN_ITS_PLANES
        self.badge.setToolTip(plain(tip))
        self.notes.setText("\n".join(notes))
        self.unfold.setVisible(bool(notes))
        # What makes an image unreliable is read without a click.
        self.unfold.setChecked(severity(report) == "wrong")
        self._unfold(self.unfold.isChecked())

    def _unfold(self, unfolded: bool) -> None:
        arrow = Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow
        self.unfold.setArrowType(arrow)
        self.notes.setVisible(unfolded and bool(self.notes.text()))

    # ----------------------------------------------------------------- window

    def _offer_windows(self, volume: Volume) -> None:
        from napari_ifa.volumes import offered_windows

        self.window_choice.clear()
        for widget in (self.window_choice, self.window_label):
            widget.setVisible(not volume.is_colour)
        if volume.is_colour:
            return
        for window in offered_windows(volume):
            low, high = window.limits
            values = f"{low:.4g} to {high:.4g}".replace("-", MINUS)
            self.window_choice.addItem(f"{window.name}  ({values})", window)
        image = self._scene.image
        if image is not None:
            listen(image.events.contrast_limits, self._mark_window)
        self._mark_window()

    def _choose_window(self, row: int) -> None:
        window: Window | None = self.window_choice.itemData(row)
        if window is not None:
            self._scene.show_window(window)

    def _mark_window(self, event: object = None) -> None:
        """The window on show; none of them once it has been dragged or typed."""
        shown = self._scene.window
        windows = [self.window_choice.itemData(row) for row in range(self.window_choice.count())]
        self.window_choice.setCurrentIndex(windows.index(shown) if shown in windows else -1)

    # ------------------------------------------------------------------ plane

    def _show_plane(self, plane: str) -> None:
        self._scene.show_plane(plane)
        self._mark_plane(plane)

    def _mark_plane(self, plane: str) -> None:
        for name, button in self.plane_buttons.items():
            button.setChecked(name == plane)


def _facts(volume: Volume) -> str:
    slices, rows, columns = volume.shape
    if volume.is_picture:
        facts = [volume.plane, f"{columns} × {rows} pixels"]
    elif not volume.source.placed:
        facts = [volume.plane, f"{slices} images", f"{columns} × {rows} pixels"]
    else:
        size = f"{slices} × {rows} × {columns} voxels"
        facts = [volume.plane, size, f"{millimetres(volume.spacing)} mm (I × P × L)"]
    # Lines break between these facts, not within them.
    return " · ".join(fact.replace(" ", "\N{NO-BREAK SPACE}") for fact in facts)
