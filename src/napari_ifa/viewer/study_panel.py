"""Open a study: a folder or file by button or drop, then the series to look at."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QVBoxLayout,
)

from napari_ifa.viewer.feature_table import MINUS
from napari_ifa.viewer.panel import JobBars, MessageLine, Panel, heading

if TYPE_CHECKING:
    import napari

    from napari_ifa.volumes import Series, Volume, Window

_FILE_FILTER = "Images (*.dcm *.ima *.nii *.nii.gz *.png *.jpg *.jpeg);;All files (*)"
_INVITATION = "Drop a folder or file here,\nor open one above."
_PLANES = ("axial", "coronal", "sagittal", "3D")


class StudyPanel(Panel):
    """What can be opened, what is open, and how it is shown."""

    def __init__(self, napari_viewer: napari.Viewer) -> None:
        super().__init__(napari_viewer)
        self.setAcceptDrops(True)
        self._build()
        self._lay_out()
        self.listen(self.session.series_changed, self._list)
        self.listen(self.session.volume_changed, self._describe)
        self.listen(self.workspace.scene.plane_changed, self._mark_plane)
        self._list(self.session.series)
        self._describe(self.session.volume)

    # ----------------------------------------------------------------- widgets

    def _build(self) -> None:
        self.open_folder = QPushButton("Open folder…")
        self.open_folder.setToolTip("A folder of DICOM or NIfTI images, with all folders below it")
        self.open_folder.clicked.connect(self._ask_folder)
        self.open_file = QPushButton("Open file…")
        self.open_file.setToolTip("A NIfTI file, or one DICOM image for its whole series")
        self.open_file.clicked.connect(self._ask_file)
        self.list = QListWidget()
        self.list.setAcceptDrops(False)
        self.list.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setSpacing(1)
        self.list.itemDoubleClicked.connect(self._open_item)
        self.list.currentItemChanged.connect(self._allow_opening)
        self.invitation = QLabel(_INVITATION)
        self.invitation.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.invitation.setMinimumHeight(110)
        self.invitation.setStyleSheet(
            "QLabel { border: 1px dashed #6b7380; border-radius: 6px; color: #a9b0ba; }"
        )
        self.open_series = QPushButton("Open series")
        self.open_series.setToolTip("Show the chosen series; a double click does the same")
        self.open_series.clicked.connect(self._open_current)
        self.title = heading("")
        self.title.setWordWrap(True)
        self.facts = QLabel()
        self.facts.setWordWrap(True)
        self.badge = QLabel()
        self.badge.setWordWrap(True)
        self.badge.setStyleSheet(
            "QLabel { background: #5a4a12; color: #ffe08a; border-radius: 4px; padding: 3px 6px; }"
        )
        self.window_choice = QComboBox()
        self.window_choice.setToolTip(
            "Which values are shown from black to white; or drag with the right button"
        )
        self.window_choice.activated.connect(self._choose_window)
        self.plane_buttons = {name: QPushButton(name) for name in _PLANES}
        for name, button in self.plane_buttons.items():
            button.setCheckable(True)
            button.setToolTip(f"Show the study in {name}" if name == "3D" else f"{name} slices")
            button.clicked.connect(lambda _=False, plane=name: self._show_plane(plane))
        self.jobs = JobBars(self.workspace.jobs, ("study",))
        self.message = MessageLine(self.session, "study")

    def _lay_out(self) -> None:
        buttons = QHBoxLayout()
        buttons.addWidget(self.open_folder)
        buttons.addWidget(self.open_file)
        planes = QHBoxLayout()
        planes.setSpacing(4)
        for button in self.plane_buttons.values():
            planes.addWidget(button)
        window = QHBoxLayout()
        self.window_label = QLabel("window")
        window.addWidget(self.window_label)
        window.addWidget(self.window_choice, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addLayout(buttons)
        layout.addWidget(self.invitation)
        layout.addWidget(self.list, 1)
        layout.addWidget(self.open_series)
        layout.addWidget(self.jobs)
        layout.addWidget(self.message)
        layout.addSpacing(6)
        layout.addWidget(self.title)
        layout.addWidget(self.facts)
        layout.addWidget(self.badge)
        layout.addLayout(window)
        layout.addLayout(planes)
        layout.addStretch(0)

    # ----------------------------------------------------------------- opening

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Open a folder of images")
        if folder:
            self.session.open_path(folder)

    def _ask_file(self) -> None:
        file, _ = QFileDialog.getOpenFileName(self, "Open an image", "", _FILE_FILTER)
        if file:
            self.session.open_path(file)

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Files and folders may be dropped."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Open what was dropped; of several files of a series the first stands for all."""
        paths = [url.toLocalFile() for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            event.acceptProposedAction()
            self.session.open_path(Path(paths[0]))

    def _open_item(self, item: QListWidgetItem) -> None:
        series: Series = item.data(Qt.ItemDataRole.UserRole)
        if series.unsupported is None:
            self.session.open_series(series)

    def _open_current(self) -> None:
        item = self.list.currentItem()
        if item is not None:
            self._open_item(item)

    def _allow_opening(self, item: QListWidgetItem | None, _: Any = None) -> None:
        self.open_series.setEnabled(
            item is not None and item.data(Qt.ItemDataRole.UserRole).unsupported is None
        )

    # ----------------------------------------------------------------- showing

    def _list(self, found: list[Series]) -> None:
        self.list.clear()
        for series in found:
            self.list.addItem(_item(series))
        for row, series in enumerate(found):
            if series.unsupported is None:
                self.list.setCurrentRow(row)
                break
        self._allow_opening(self.list.currentItem())
        self.invitation.setVisible(not found)
        self.list.setVisible(bool(found))
        self.open_series.setVisible(bool(found))

    def _describe(self, volume: Volume | None) -> None:
        shown = volume is not None
        for widget in (
            self.title,
            self.facts,
            self.window_choice,
            self.window_label,
        ):
            widget.setVisible(shown)
        is_picture = volume is not None and volume.is_picture
        for button in self.plane_buttons.values():
            button.setVisible(shown and not is_picture)
        self.badge.hide()
        if volume is None:
            return
        self.title.setText(" · ".join(filter(None, (volume.modality, volume.description))))
        size = " × ".join(str(n) for n in volume.shape)
        # Lines break between these facts, not within them.
        facts = [volume.plane, f"{size} voxels", f"{_millimetres(volume.spacing)} mm (I × P × L)"]
        if is_picture:
            facts = [volume.plane, f"{volume.shape[2]} × {volume.shape[1]} pixels"]
        self.facts.setText(" · ".join(fact.replace(" ", "\N{NO-BREAK SPACE}") for fact in facts))
        notes = [text for text in (volume.report.badge, *volume.report.notes) if text]
        self.badge.setText("\n".join(notes))
        self.badge.setToolTip(
            "The study is shown in the planes it was acquired in; nothing is resampled."
            if volume.report.badge
            else ""
        )
        self.badge.setVisible(bool(notes))
        self._offer_windows(volume)
        self._mark_plane(self.workspace.scene.plane)

    def _offer_windows(self, volume: Volume) -> None:
        from napari_ifa.volumes import offered_windows

        self.window_choice.clear()
        if volume.array.ndim == 4:
            return
        for window in offered_windows(volume):
            low, high = window.limits
            values = f"{low:.4g} to {high:.4g}".replace("-", MINUS)
            self.window_choice.addItem(f"{window.name}  ({values})", window)

    def _choose_window(self, row: int) -> None:
        window: Window | None = self.window_choice.itemData(row)
        image = self.workspace.scene.image
        if window is not None and image is not None:
            image.contrast_limits = window.limits

    def _show_plane(self, plane: str) -> None:
        self.workspace.scene.show_plane(plane)
        self._mark_plane(plane)

    def _mark_plane(self, plane: str) -> None:
        for name, button in self.plane_buttons.items():
            button.setChecked(name == plane)


def _item(series: Series) -> QListWidgetItem:
    """What it is and how it is made; greyed with the reason where it is refused."""
    number = "" if series.number is None else f"{series.number} · "
    name = " · ".join(filter(None, (series.modality, series.description))) or "image"
    count = "1 image" if series.image_count == 1 else f"{series.image_count} images"
    made = " · ".join(filter(None, (count, series.orientation)))
    spacing = "" if series.spacing is None else f"{_millimetres(series.spacing)} mm"
    lines = [f"{number}{name}", made, spacing]
    if series.unsupported is not None:
        lines[2] = "cannot be opened"
    item = QListWidgetItem("\n".join(lines))
    item.setData(Qt.ItemDataRole.UserRole, series)
    item.setSizeHint(QSize(0, 58))
    item.setToolTip(series.unsupported or "\n".join(lines))
    if series.unsupported is not None:
        item.setFlags(Qt.ItemFlag.NoItemFlags)
    return item


def _millimetres(spacing: tuple[float, float, float]) -> str:
    return " × ".join(f"{value:.2f}".rstrip("0").rstrip(".") for value in spacing)
